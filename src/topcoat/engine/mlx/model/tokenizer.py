"""A model's tokenizer and chat template, behind the engine's protocol."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, time
from functools import cached_property
from pathlib import Path
from typing import Any

from mlx_lm.tokenizer_utils import TokenizerWrapper
from mlx_lm.tokenizer_utils import load as load_wrapper

from topcoat.engine.mlx.model.call_form import CallForm, call_form, has_calls
from topcoat.engine.mlx.model.served_calls import served_calls
from topcoat.engine.mlx.model.template_options import options_read
from topcoat.engine.protocol import CallMarkup, Message, Tools
from topcoat.errors import EngineFault, InvalidInput

__all__ = ["CLOCK", "MlxTokenizer"]

CLOCK = "strftime_now"
"""The function that chat templates print the day with."""


_CALL_HINT = 'write each call as {"type": "function", "function": {"name": "NAME", "arguments": {}}} under tool_calls'


def _has_functions(turn: Mapping[str, Any]) -> bool:
    """Whether each call of a turn is in OpenAI's form."""
    return all(isinstance(call, dict) and "function" in call for call in turn.get("tool_calls") or ())


class MlxTokenizer:
    """mlx-lm's tokenizer wrapper, with the end-of-sequence ids that mlx-lm generates with.

    A chat template that prints the day prints `day`; None is the day on the clock. It is given `options` by name.
    """

    def __init__(
        self,
        folder: Path,
        eos_token_ids: int | list[int] | None,
        day: date | None = None,
        options: Mapping[str, object] | None = None,
    ) -> None:
        try:
            self.wrapper: TokenizerWrapper = load_wrapper(folder, eos_token_ids=eos_token_ids)
        except Exception as error:  # transformers raises many types here, all of them meaning "unusable"
            raise EngineFault(f"the tokenizer of {folder.name} can't be loaded: {error}") from error
        # transformers prints once that a text is longer than the model was made for; `topcoat check` says where.
        self.wrapper.deprecation_warnings["sequence-length-is-longer-than-the-specified-maximum"] = True
        self._folder = folder
        self._options = dict(options or {})
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
    def options(self) -> frozenset[str] | None:
        """What the chat template reads, which may be several by name, or a renderer of mlx-lm's own."""
        renderer = getattr(self.wrapper, "_chat_template", None)
        return options_read(renderer or self.wrapper.chat_template)

    @property
    def serves_calls(self) -> bool:
        return served_calls(self.wrapper) is not None

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

    def turns(self, messages: Sequence[Message]) -> list[dict[str, Any]]:
        """The dialogue as the chat template takes it. Raises InvalidInput if it has calls, and the template none."""
        return (self._call_form if has_calls(messages) else CallForm()).turns(messages)

    def _rendered(self, messages: Sequence[Message], tools: Tools, **how: bool) -> Any:
        """What the chat template makes of the dialogue: token ids, or text."""
        turns = self.turns(messages)
        try:
            return self._applied(turns, tools, **how)
        except Exception as error:  # a jinja template may raise anything
            raise InvalidInput(
                f"the chat template of {self._folder.name} refuses the dialogue: {error}",
                hint=None if all(map(_has_functions, turns)) else _CALL_HINT,
            ) from error

    def _applied(self, turns: list[dict[str, Any]], tools: Tools, **how: bool) -> Any:
        shown = tools or None  # as in mlx-lm's server: templates ask whether tools are none
        return self.wrapper.apply_chat_template(turns, tools=shown, **self._template(shown), **self._options, **how)

    @cached_property
    def _call_form(self) -> CallForm:
        def text(turns: list[dict[str, Any]], tools: Tools) -> str:
            return str(self._applied(turns, tools, tokenize=False, add_generation_prompt=False))

        return call_form(text, self._folder.name)

    def _template(self, tools: Tools) -> dict[str, str]:
        """The chat template to use instead of the model's, if the model's prints the day."""
        return {"chat_template": self._clock + self.wrapper.get_chat_template(tools=tools)} if self._clock else {}

    def encode(self, text: str) -> list[int]:
        return list(self.wrapper.encode(text, add_special_tokens=False))

    def decode(self, tokens: Sequence[int]) -> str:
        return str(self.wrapper.decode(list(tokens)))


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
