"""A training example: one dialogue a line, in mlx-lm's chat format, with a few extra keys that mlx-lm ignores."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from topcoat.errors import Where
from topcoat.spec.agent import Tools
from topcoat.spec.canonical import digest_of
from topcoat.spec.message import Message, order_problems
from topcoat.spec.reading.loader import load_jsonl
from topcoat.spec.reading.section import refuse
from topcoat.spec.tools.tool_list import own_catalog, tool_faults

__all__ = ["Example", "LocatedExample", "Message", "load_examples"]


class Example(BaseModel):
    """One dialogue to train on.

    Weights don't change the share of replay in the loss. Extra keys are kept, not refused, so that mlx-lm and other
    tools can read the file.
    """

    model_config = ConfigDict(frozen=True, extra="allow", strict=True, allow_inf_nan=False)

    messages: list[Message] = Field(
        examples=['[{"role": "user", "content": "..."}, {"role": "assistant", "content": "..."}]']
    )
    """The turns. The last one is the assistant's."""
    category: Annotated[str, Field(min_length=1)] | None = None
    """The category that the example teaches."""
    weight: Annotated[float, Field(gt=0)] = 1.0
    """The factor of the loss of its trained tokens, relative to other new examples."""
    tools: list[dict[str, Any]] | None = None
    """Tools in OpenAI's form, in place of the catalog's."""

    @model_validator(mode="after")
    def _is_a_dialogue(self) -> Example:
        problems = order_problems(self.messages, last=("assistant",))
        if not problems and not self.trained_turns:
            weightless = any(m.weight == 0 and m.says_something for m in self.messages)
            why = "every assistant turn has weight 0" if weightless else "no assistant turn says or calls anything"
            problems.append(("messages", f"{why}: there is nothing to learn"))
        refuse([*problems, *((f"tools.{index}", fault) for index, fault in tool_faults(self.tools or ()))])
        return self

    @property
    def digest(self) -> str:
        """sha256 of the dialogue and its tools. Examples that differ only in category or weights are the same one."""
        dialogue = self.dialogue()
        return digest_of(dialogue if self.tools is None else {"messages": dialogue, "tools": self.tools})

    @property
    def trained_turns(self) -> list[int]:
        """The places of the assistant turns that say or call something and don't have weight 0."""
        turns = enumerate(self.messages)
        return [i for i, m in turns if m.role == "assistant" and m.says_something and m.weight != 0]

    def shown(self, tools: Tools | None) -> Example:
        """The example as chat templates get it: with `tools` if it brings none, else with its own in OpenAI's form."""
        declared = tools if self.tools is None else own_catalog(self.tools, Path()).declared
        if declared is None or declared == self.tools:
            return self
        return self.model_copy(update={"tools": [dict(tool) for tool in declared]})

    def dialogue(self) -> list[dict[str, Any]]:
        """The turns in a chat template's form."""
        return [message.as_dict() for message in self.messages]


@dataclass(frozen=True, slots=True)
class LocatedExample:
    """An example and its line."""

    example: Example
    where: Where


def load_examples(path: Path) -> list[LocatedExample]:
    """The examples of a JSONL file, in order. Raises `InvalidInput` with every mistake of the file."""
    return [LocatedExample(line.value, line.where) for line in load_jsonl(path, Example)]
