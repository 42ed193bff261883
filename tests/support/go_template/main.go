// Executes a template as Ollama does: Go's text/template, with a dialogue whose tools and arguments print as JSON.
package main

import (
	"encoding/json"
	"os"
	"text/template"
)

type shown struct{ raw json.RawMessage }

func (s shown) String() string { return string(s.raw) }

func (s *shown) UnmarshalJSON(data []byte) error {
	s.raw = append(json.RawMessage{}, data...)
	return nil
}

type tool struct {
	raw      json.RawMessage
	Function shown
}

func (t tool) String() string { return string(t.raw) }

func (t *tool) UnmarshalJSON(data []byte) error {
	t.raw = append(json.RawMessage{}, data...)
	inner := struct {
		Function shown `json:"function"`
	}{}
	err := json.Unmarshal(data, &inner)
	t.Function = inner.Function
	return err
}

type dialogue struct {
	Template string
	System   string
	Tools    []tool
	Messages []struct {
		Role      string
		Content   string
		ToolCalls []struct {
			Function struct {
				Name      string
				Arguments shown
			}
		} `json:"tool_calls"`
	}
}

func main() {
	var asked dialogue
	if err := json.NewDecoder(os.Stdin).Decode(&asked); err != nil {
		panic(err)
	}
	parsed := template.Must(template.New("").Parse(asked.Template))
	if err := parsed.Execute(os.Stdout, asked); err != nil {
		panic(err)
	}
}
