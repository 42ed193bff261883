"""One turn of a dialogue, and the allowed order of turns. Examples and cases share it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, model_validator

from topcoat.spec.reading.section import refuse

__all__ = ["Message", "Role", "order_problems"]

Role = Literal["system", "user", "assistant", "tool"]


class Message(BaseModel):
    """A turn in mlx-lm's chat format. Extra keys are kept, because chat templates read keys of their own."""

    model_config = ConfigDict(frozen=True, extra="allow", strict=True, allow_inf_nan=False)

    role: Role
    """Who speaks."""
    content: str | None = None
    """The text."""
    tool_calls: list[dict[str, Any]] | None = None
    """The calls of an assistant turn, in OpenAI's form."""
    name: str | None = None
    """The name of the tool whose result this is."""
    weight: Literal[0, 1] | None = None
    """0 for an assistant turn that is shown and not trained, as in OpenAI's fine-tuning format."""

    @model_validator(mode="after")
    def _says_something(self) -> Message:
        if (self.model_extra or {}).get("function_call"):
            refuse(
                [("function_call", "is OpenAI's older form of tool_calls, which templates leave out: import the file")]
            )
        if self.content is None and not (self.role == "assistant" and self.tool_calls):
            refuse([("content", "is missing")])
        if self.tool_calls and self.role != "assistant":
            refuse([("tool_calls", f"only an assistant turn calls tools, this is {_turn(self.role)}")])
        if self.weight is not None and self.role != "assistant":
            refuse([("weight", f"only an assistant turn is trained, this is {_turn(self.role)}")])
        return self

    def as_dict(self) -> dict[str, Any]:
        """The turn in a chat template's form: the keys that were written, extra ones included, but not `weight`."""
        return self.model_dump(mode="json", exclude_unset=True, exclude={"weight"})

    @property
    def says_something(self) -> bool:
        """Whether the turn has words or calls."""
        return bool(self.tool_calls or (self.content or "").strip())


_MAY_FOLLOW: dict[Role | None, tuple[Role, ...]] = {
    None: ("system", "user"),
    "system": ("user",),
    "user": ("assistant",),
    "assistant": ("user", "tool"),
    "tool": ("tool", "assistant"),
}


def order_problems(messages: Sequence[Message], *, last: tuple[Role, ...]) -> list[tuple[str, str]]:
    """The mistakes in the order of `messages`, as (key, message) pairs. A dialogue must end with a role of `last`.

    An optional system turn comes first. Then user and assistant turns alternate. Tool turns may come between an
    assistant turn and the next one.
    """
    if not messages:
        return [("messages", "must hold at least one turn")]
    problems: list[tuple[str, str]] = []
    before: Role | None = None
    for index, message in enumerate(messages):
        allowed = _MAY_FOLLOW[before]
        if message.role not in allowed:
            place = f"after {_turn(before)}" if before else "at the start"
            problems.append(
                (f"messages.{index}.role", f"{_turn(message.role)} can't stand {place}, only {' or '.join(allowed)}")
            )
        before = message.role
    if before not in last:
        problems.append(
            (f"messages.{len(messages) - 1}.role", f"the last turn must be {' or '.join(last)}, is {before}")
        )
    return problems


def _turn(role: Role) -> str:
    return f"{'an' if role == 'assistant' else 'a'} {role} turn"
