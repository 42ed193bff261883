"""Which calls mlx-lm's server takes out of a model's text, so that clients get them as structure.

mlx-lm (0.32) knows a family by a word of its chat template, and leaves the calls of others in the text. For some of
them, a mark in the template and a parser of mlx-lm's own are enough.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from mlx_lm.tokenizer_utils import TokenizerWrapper
from mlx_lm.tool_parsers import json_tools, mistral

__all__ = ["ServedCalls", "serve_calls", "served_calls"]

Parser = Callable[[str, Any], Any]


@dataclass(frozen=True, slots=True)
class ServedCalls:
    """The text before a call, the text after it ("" for the end of the answer), and what reads the text between."""

    start: str
    end: str
    parser: Parser


def _llama(text: str, tools: Any = None) -> list[dict[str, Any]]:
    """Calls of Llama 3, several after semicolons. Raises ValueError for other text, as mlx-lm's parsers do."""
    decoder, calls, position = json.JSONDecoder(), [], 0
    while text[position:].strip(" \n;"):
        position += len(text[position:]) - len(text[position:].lstrip(" \n;"))
        document, position = decoder.raw_decode(text, position)
        if not isinstance(document, dict) or not isinstance(document.get("name"), str):
            raise ValueError("a call has no name")
        calls.append({"name": document["name"], "arguments": document.get("parameters", document.get("arguments"))})
    return calls


_BY_MARK: Final = (
    ServedCalls("<|python_tag|>", "", _llama),
    ServedCalls("<|tool_call|>", "", mistral.parse_tool_call),  # Granite and Phi-4 mini write a list behind it
    ServedCalls("<tool_call>", "</tool_call>", json_tools.parse_tool_call),
)
"""By the mark before a call."""


def served_calls(wrapper: TokenizerWrapper) -> ServedCalls | None:
    """How the server reads the model's calls. None if it leaves them in the text."""
    if wrapper.has_tool_calling:
        return ServedCalls(wrapper.tool_call_start, wrapper.tool_call_end, wrapper.tool_parser)
    written = _written_call(wrapper)
    return next((calls for calls in _BY_MARK if calls.start in written), None)


def _written_call(wrapper: TokenizerWrapper) -> str:
    """A call as the chat template writes it: Llama's mentions marks that it doesn't write. "" if it refuses calls."""
    call = {"type": "function", "id": "call00001", "function": {"name": "look", "arguments": {"at": "it"}}}
    turns = [{"role": "user", "content": "look"}, {"role": "assistant", "content": "", "tool_calls": [call]}]
    try:
        return str(wrapper.apply_chat_template(turns, tokenize=False))
    except Exception:  # a jinja template may raise anything
        return ""


def serve_calls(wrapper: TokenizerWrapper) -> None:
    """Have the server that generates with `wrapper` take out the calls of `served_calls`."""
    calls = served_calls(wrapper)
    if calls is not None and not wrapper.has_tool_calling:
        wrapper._tool_call_start, wrapper._tool_call_end, wrapper._tool_parser = calls.start, calls.end, calls.parser
        wrapper._tool_call_start_tokens = tuple(wrapper.encode(calls.start, add_special_tokens=False))
        wrapper._tool_call_end_tokens = tuple(wrapper.encode(calls.end, add_special_tokens=False))
