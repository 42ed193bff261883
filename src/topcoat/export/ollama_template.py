"""A chat template as Ollama's: found by rendering, because Ollama reads no Jinja.

Ollama's templates are Go's. A chat template is a program, but what it writes is nearly always a sequence of turns, each
between two texts that depend on its role. These texts are found by rendering dialogues with words that occur nowhere
else. What is composed of them is then compared with what the chat template renders; where it differs, the chat template
is no such sequence. Ollama prints a tool's JSON in its own way, with other spaces and another order of keys.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from topcoat.engine.protocol import Tokenizer
from topcoat.errors import InvalidInput

__all__ = ["OllamaTemplate", "ollama_template"]

_S, _U, _A, _V, _R = "Systemwordqx", "Userwordqx", "Answerwordqx", "Secondwordqx", "Resultwordqx"
_TOOLS = [
    {
        "type": "function",
        "function": {
            "name": name,
            "description": "",
            "parameters": {"type": "object", "properties": {"key_qx": {"type": "string"}}, "required": ["key_qx"]},
        },
    }
    for name in ("tool_one_qx", "tool_two_qx")
]
_ARGUMENTS = {"key_qx": "value_qx"}

Turns = Sequence[Mapping[str, Any]]
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class _Around:
    """The texts before and after what a turn says."""

    before: str
    after: str

    def go(self, inner: str) -> str:
        return f"{_literal(self.before)}{inner}{_literal(self.after)}"


@dataclass(frozen=True, slots=True)
class _Shown:
    """The system turn with tools: `parts` are the texts around the system prompt and the tools, `order` is theirs.

    `between` stands between two tools. `whole`: a tool is shown with its type, else its function alone.
    """

    parts: tuple[str, ...]
    order: tuple[str, ...]
    between: str
    whole: bool

    def go(self) -> str:
        one = "{{ $tool }}" if self.whole else "{{ $tool.Function }}"
        separator = "{{ if $i }}" + _literal(self.between) + "{{ end }}" if self.between else ""
        fields = {"system": "{{ .System }}", "tools": "{{ range $i, $tool := .Tools }}" + separator + one + "{{ end }}"}
        texts = [_literal(part) for part in self.parts]
        return texts[0] + "".join(fields[name] + text for name, text in zip(self.order, texts[1:], strict=True))


@dataclass(frozen=True, slots=True)
class OllamaTemplate:
    """`text` is the Go template. `notes` say what of the chat template it leaves out."""

    text: str
    notes: tuple[str, ...] = ()


def ollama_template(tokenizer: Tokenizer) -> OllamaTemplate:
    """The chat template in Ollama's form. Raises InvalidInput if it isn't a sequence of turns."""
    try:
        turns = _turns(tokenizer)
    except (_Other, InvalidInput) as error:
        raise InvalidInput(
            f"the chat template can't be written for Ollama: {error}",
            hint="topcoat export MODEL --to gguf (llama.cpp and LM Studio read the chat template itself)",
        ) from error
    notes: list[str] = []
    shown = _tried(lambda: _tools(tokenizer, turns), "doesn't show tools in the system turn: Ollama shows none", notes)
    calls = _tried(lambda: _calls(tokenizer, turns), "doesn't write calls as JSON: Ollama finds none in answers", notes)
    result = _tried(lambda: _result(tokenizer, turns), "doesn't write results as turns: Ollama shows none", notes)
    if shown and shown[0] and shown[1] is None:
        notes.append("it shows tools without a system prompt in a way that Ollama's can't: give one")
    return OllamaTemplate(_go(turns, shown, calls, result), tuple(f"the chat template {note}" for note in notes))


class _Other(Exception):
    """The chat template is no sequence of turns, in words."""


@dataclass(frozen=True, slots=True)
class _Turns:
    """The texts of the plain roles. `default` is what begins a dialogue without a system prompt."""

    system: _Around
    user: _Around
    assistant: _Around
    opening: str
    default: str

    def composed(self, turns: Turns, *, opened: bool) -> str:
        first = turns[0]["role"] == "system"
        text = "" if first else self.default
        for turn in turns:
            around: _Around = getattr(self, turn["role"])
            text += around.before + turn["content"] + around.after
        return text + (self.opening if opened else "")


def _dialogue(*roles: str) -> list[dict[str, Any]]:
    users = iter((_U, _V))
    words = {"system": lambda: _S, "user": lambda: next(users), "assistant": lambda: _A}
    return [{"role": role, "content": words[role]()} for role in roles]


def _turns(tokenizer: Tokenizer) -> _Turns:
    whole = _dialogue("system", "user", "assistant", "user")
    before_system, to_user, to_answer, to_second, after_user = _cut(tokenizer.render(whole), _S, _U, _A, _V)
    opened = tokenizer.render(whole, add_generation_prompt=True)
    opening = _after(opened, _V).removeprefix(after_user)
    after_answer = _after(tokenizer.render(whole[:3]), _A)
    before_user = _without(to_second, prefix=after_answer)
    turns = _Turns(
        _Around(before_system, _without(to_user, suffix=before_user)),
        _Around(before_user, after_user),
        _Around(_without(to_answer, prefix=after_user), after_answer),
        opening,
        _without(_cut(tokenizer.render(_dialogue("user")), _U)[0], suffix=before_user),
    )
    for dialogue in (whole, _dialogue("user", "assistant", "user"), _dialogue("user"), whole[:2]):
        for gen in (False, True):
            if turns.composed(dialogue, opened=gen) != tokenizer.render(dialogue, add_generation_prompt=gen):
                roles = ", ".join(turn["role"] for turn in dialogue)
                raise _Other(f"it writes a dialogue of {roles} otherwise than turn by turn")
    return turns


def _tools(tokenizer: Tokenizer, turns: _Turns) -> tuple[_Shown, _Shown | None] | None:
    """How tools are shown beside a system prompt, and without one."""
    shown = _shown(tokenizer, turns, _dialogue("system", "user"))
    try:
        return shown, _shown(tokenizer, turns, _dialogue("user"))
    except _Other:
        return shown, None


def _shown(tokenizer: Tokenizer, turns: _Turns, dialogue: list[dict[str, Any]]) -> _Shown:
    text = tokenizer.render(dialogue, tools=_TOOLS)
    end = turns.user.before + _U + turns.user.after
    if not text.endswith(end):
        raise _Other("tools change the user's turn")
    text = text.removesuffix(end)
    for whole in (True, False):
        for write in (_spaced, _compact, _indented):
            written = [write(tool if whole else tool["function"]) for tool in _TOOLS]
            if all(text.count(one) == 1 for one in written):
                before, between, after = _cut(text, *written)
                return _ordered(before, between, after, whole)
    raise _Other("tools aren't shown as JSON")


def _ordered(before: str, between: str, after: str, whole: bool) -> _Shown:
    if _S in before:
        return _Shown((*_cut(before, _S), after), ("system", "tools"), between, whole)
    if _S in after:
        return _Shown((before, *_cut(after, _S)), ("tools", "system"), between, whole)
    return _Shown((before, after), ("tools",), between, whole)


def _spaced(value: object) -> str:
    return json.dumps(value)


def _compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


def _indented(value: object) -> str:
    return json.dumps(value, indent=4)


def _call(name: str) -> dict[str, Any]:
    return {"id": "callqx001", "type": "function", "function": {"name": name, "arguments": _ARGUMENTS}}


def _called(tokenizer: Tokenizer, turns: _Turns, *names: str) -> tuple[str, _Around]:
    """What an answer with these calls says, and the texts around the result that follows it.

    The last turn of a dialogue may be written otherwise, so the answer isn't the last here.
    """
    answer = {"role": "assistant", "content": "", "tool_calls": [_call(name) for name in names]}
    result = {"role": "tool", "content": _R, "name": names[-1], "tool_call_id": "callqx001"}
    text = tokenizer.render([*_dialogue("system", "user"), answer, result], tools=_TOOLS)
    said, after = _cut(_without(_after(text, _U), prefix=turns.user.after), _R)
    calls, end, before = _without(said, prefix=turns.assistant.before).partition(turns.assistant.after)
    if not end:
        raise _Other("an answer with calls doesn't end as others do")
    return calls, _Around(before, after)


def _calls(tokenizer: Tokenizer, turns: _Turns) -> str:
    """The Go text of an answer's calls."""
    one, _ = _called(tokenizer, turns, "tool_one_qx")
    both, _ = _called(tokenizer, turns, "tool_one_qx", "tool_two_qx")
    second = one.replace("tool_one_qx", "tool_two_qx")
    if not (both.startswith(one) and both.endswith(second)):
        raise _Other("two calls aren't written one after the other")
    between = both[len(one) : len(both) - len(second)]
    for write in (_spaced, _compact):
        arguments = write(_ARGUMENTS)
        if one.count(arguments) == 1 and one.count("tool_one_qx") == 1 and "{" in one.split(arguments)[0]:
            written = _literal(one).replace("tool_one_qx", "{{ $call.Function.Name }}")
            written = written.replace(_literal(arguments), "{{ $call.Function.Arguments }}")
            # Ollama takes the first text of this part for the mark of a call, so the separator comes last.
            more = "{{ if gt (len (slice $turn.ToolCalls $i)) 1 }}" + _literal(between) + "{{ end }}" if between else ""
            return "{{ range $i, $call := .ToolCalls }}" + written + more + "{{ end }}"
    raise _Other("calls aren't written as JSON")


def _result(tokenizer: Tokenizer, turns: _Turns) -> _Around:
    """The texts around a tool's result."""
    return _called(tokenizer, turns, "tool_one_qx")[1]


def _tried(find: Callable[[], R], otherwise: str, notes: list[str]) -> R | None:
    try:
        return find()
    except (_Other, InvalidInput, ValueError):
        notes.append(otherwise)
        return None


def _go(turns: _Turns, shown: tuple[_Shown, _Shown | None] | None, calls: str | None, result: _Around | None) -> str:
    """The template. Tools come before the turns, as part of the system turn."""
    system = turns.system.go("{{ .System }}")
    plain = f"{{{{ if .System }}}}{system}{{{{ else }}}}{_literal(turns.default)}{{{{ end }}}}"
    top = plain
    if shown is not None:
        beside, alone = shown
        without = alone.go() if alone is not None else _literal(turns.default)
        tools = f"{{{{ if .System }}}}{beside.go()}{{{{ else }}}}{without}{{{{ end }}}}"
        top = f"{{{{ if .Tools }}}}{tools}{{{{ else }}}}{plain}{{{{ end }}}}"
    answer = "{{ .Content }}" + ("{{ if .ToolCalls }}" + calls + "{{ end }}" if calls else "")
    # The last answer stays open if it is the model's to go on with.
    ends = "{{ if not $last }}" + _literal(turns.assistant.after) + "{{ end }}"
    said = _literal(turns.assistant.before) + answer + ends
    roles = '{{ if eq .Role "user" }}' + turns.user.go("{{ .Content }}")
    roles += '{{ else if eq .Role "assistant" }}' + said
    if result is not None:
        roles += '{{ else if eq .Role "tool" }}' + result.go("{{ .Content }}")
    opening = '{{ if and $last (ne .Role "assistant") }}' + _literal(turns.opening) + "{{ end }}"
    loop = "{{ range $n, $turn := .Messages }}{{ $last := eq (len (slice $.Messages $n)) 1 }}"
    return top + loop + roles + "{{ end }}" + opening + "{{ end }}"


def _literal(text: str) -> str:
    """A text as Go's templates have it."""
    return text.replace("{{", '{{ "{{" }}')


def _cut(text: str, *words: str) -> tuple[str, ...]:
    """The text before, between and after the words, which occur once each and in this order."""
    parts = []
    for word in words:
        if text.count(word) != 1:
            raise _Other("it writes a turn not at all, or more than once")
        before, _, text = text.partition(word)
        parts.append(before)
    return (*parts, text)


def _after(text: str, word: str) -> str:
    return _cut(text, word)[1]


def _without(text: str, prefix: str = "", suffix: str = "") -> str:
    if not (text.startswith(prefix) and text.endswith(suffix)):
        raise _Other("what stands around a turn depends on its neighbours")
    return text.removeprefix(prefix).removesuffix(suffix)
