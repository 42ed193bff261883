"""A model's tokenizer and chat template, behind the engine's protocol."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

from mlx_lm.tokenizer_utils import TokenizerWrapper
from mlx_lm.tokenizer_utils import load as load_wrapper

from topcoat.engine.protocol import CallMarkup, Message, Tools
from topcoat.errors import EngineFault, InvalidInput

__all__ = ["CLOCK", "MlxTokenizer"]

CLOCK = "strftime_now"
"""The function that chat templates print the day with."""


class MlxTokenizer:
    """mlx-lm's tokenizer wrapper, with the end-of-sequence ids that mlx-lm generates with.

    A chat template that prints the day prints `day`; None is the day on the clock.
    """

    def __init__(self, folder: Path, eos_token_ids: int | list[int] | None, day: date | None = None) -> None:
        try:
            self.wrapper: TokenizerWrapper = load_wrapper(folder, eos_token_ids=eos_token_ids)
        except Exception as error:  # transformers raises many types here, all of them meaning "unusable"
            raise EngineFault(f"the tokenizer of {folder.name} can't be loaded: {error}") from error
        self._folder = folder
        dated = CLOCK in str(self.wrapper.chat_template or "")
        self._clock = _stopped_clock(day) if day is not None and dated else ""
        if not self.wrapper.has_chat_template:
            raise InvalidInput(
                f"the model {folder.name} has no chat template", hint=f"put a chat_template.jinja into {folder}"
            )

    @property
    def call_markup(self) -> CallMarkup | None:
        """The markup of calls, by the tags in the text of the chat template."""
        template = str(self.wrapper.chat_template or "")
        if "<function=" in template:
            return "function"
        return "json" if "<tool_call>" in template else None

    @property
    def stops(self) -> frozenset[int]:
        return frozenset(self.wrapper.eos_token_ids)

    def chat(
        self, messages: Sequence[Message], *, tools: Tools = None, add_generation_prompt: bool = False
    ) -> list[int]:
        """Token ids of the dialogue, rendered as mlx-lm's `ChatDataset` and server do."""
        return list(self._rendered(messages, tools, tokenize=True, add_generation_prompt=add_generation_prompt))

    def render(self, messages: Sequence[Message], *, tools: Tools = None, add_generation_prompt: bool = False) -> str:
        return str(self._rendered(messages, tools, tokenize=False, add_generation_prompt=add_generation_prompt))

    def _rendered(self, messages: Sequence[Message], tools: Tools, **options: bool) -> Any:
        """What the chat template makes of the dialogue: token ids, or text."""
        try:
            return self.wrapper.apply_chat_template(
                [_plain(message) for message in messages], tools=tools, **self._template(tools), **options
            )
        except Exception as error:  # a jinja template may raise anything
            raise InvalidInput(f"the chat template of {self._folder.name} refuses the dialogue: {error}") from error

    def _template(self, tools: Tools) -> dict[str, str]:
        """The chat template to use instead of the model's, if the model's prints the day."""
        return {"chat_template": self._clock + self.wrapper.get_chat_template(tools=tools)} if self._clock else {}

    def encode(self, text: str) -> list[int]:
        return list(self.wrapper.encode(text, add_special_tokens=False))

    def decode(self, tokens: Sequence[int]) -> str:
        return str(self.wrapper.decode(list(tokens)))


def _plain(message: Message) -> dict[str, Any]:
    """The turn as mlx-lm's server hands it to the template: text instead of none, a call's arguments as an object."""
    plain: dict[str, Any] = {**message, "content": message.get("content") or ""}
    calls = message.get("tool_calls")
    if isinstance(calls, list):
        plain["tool_calls"] = [_plain_call(call) for call in calls]
    return plain


def _plain_call(call: Any) -> Any:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("arguments"), str):
        return call
    arguments = json.loads(function["arguments"]) if function["arguments"].strip() else {}
    return {**call, "function": {**function, "arguments": arguments}}


_DIRECTIVES = ("%-d", "%-m", *(f"%{letter}" for letter in "aAbBcdHIjmMpSuUwWxXyYZz"))


def _stopped_clock(day: date) -> str:
    """A macro that hides the function of this name, which transformers gives to every template.

    A function of our own can't be handed to a template: transformers lets only plain data through. The newline ends the
    macro's line, and Jinja drops it.
    """
    midnight = datetime.combine(day, time())
    values = {"%-d": str(day.day), "%-m": str(day.month)}
    steps = "".join(f"|replace({name!r}, {values.get(name) or midnight.strftime(name)!r})" for name in _DIRECTIVES)
    return f"{{%- macro {CLOCK}(format) -%}}{{{{ format{steps} }}}}{{%- endmacro %}}\n"
