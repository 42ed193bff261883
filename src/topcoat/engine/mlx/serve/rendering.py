"""Served dialogues are rendered as trained ones are."""

from __future__ import annotations

import contextlib
from functools import cache
from typing import Any

from topcoat.engine.mlx.model.call_form import CallForm, call_form, has_calls
from topcoat.errors import InvalidInput

__all__ = ["render_as_trained"]


def render_as_trained(server: Any) -> None:
    """Have the module mlx_lm.server hand calls to the chat template in the form that it takes.

    The stock server hands over objects, which some templates refuse or leave out. A dialogue of which the template
    writes the calls in no form stays as the stock server has it.
    """
    stock_load = server.load

    def load(*arguments: Any, **options: Any) -> Any:
        loaded = stock_load(*arguments, **options)
        tokenizer = loaded[1]
        stock_apply = tokenizer.apply_chat_template

        @cache
        def form() -> CallForm:
            def text(turns: list[dict[str, Any]], tools: Any) -> str:
                return str(stock_apply(turns, tools=tools, tokenize=False))

            with contextlib.suppress(InvalidInput):
                return call_form(text, "")
            return CallForm()

        def apply(messages: Any, *given: Any, **named: Any) -> Any:
            if has_calls(messages):
                with contextlib.suppress(InvalidInput):
                    messages = form().turns(messages)
            return stock_apply(messages, *given, **named)

        tokenizer.apply_chat_template = apply
        return loaded

    server.load = load
