"""Finds the dialect of an answer by its first mark, and reads its calls.

Hermes' and Qwen's own forms, `<tool_call>` and `<function=NAME>`, are `calls/markup.py`'s. A reader takes the text from
its mark on. It returns the calls in order, an unreadable one as `Broken`, and takes time linear in the text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

from topcoat.calls.block import TAG_NAME, Block
from topcoat.calls.dialects.gemma import read_gemma
from topcoat.calls.dialects.harmony import read_harmony
from topcoat.calls.dialects.json_calls import read_deepseek, read_kimi, read_llama, read_mistral, read_phi
from topcoat.calls.dialects.kimi_k3 import read_kimi_k3
from topcoat.calls.dialects.pythonic import read_pythonic, read_tool_code
from topcoat.calls.dialects.tagged import read_longcat, read_minicpm, read_minimax, read_muse

__all__ = ["DIALECTS", "first_mark", "read_dialect"]

Reader = Callable[[str], list[Block]]

DIALECTS: Final[Mapping[str, Reader]] = {
    "[TOOL_CALLS]": read_mistral,
    "<|python_tag|>": read_llama,
    "<｜tool▁calls▁begin｜>": read_deepseek,
    "<｜tool▁call▁begin｜>": read_deepseek,
    "<|tool_calls_section_begin|>": read_kimi,
    "<|tool_call_begin|>": read_kimi,
    "<|tool_call_start|>": read_pythonic,
    "```tool_code": read_tool_code,
    "<|tool_call|>": read_phi,
    "functools[": read_phi,
    "<start_function_call>": read_gemma,
    "<|tool_call>": read_gemma,
    "<minimax:tool_call>": read_minimax,
    "<atem:function_calls>": read_muse,
    "<function name=": read_minicpm,
    "<longcat_tool_call>": read_longcat,
    "<|open|>tools<|sep|>": read_kimi_k3,
    "<|channel|>": read_harmony,
    "to=functions.": read_harmony,
}
"""Reader by mark."""

_MARK = re.compile("|".join([r"<tool_call>", rf"<function={TAG_NAME}>", *map(re.escape, DIALECTS)]))


def first_mark(text: str, position: int = 0) -> int | None:
    """Where the first call of `text` from `position` on may begin, in any dialect."""
    mark = _MARK.search(text, position)
    return mark.start() if mark else None


def read_dialect(text: str) -> list[Block] | None:
    """The calls in `text`, which has no thoughts. None if it holds no dialect's mark, or one of `markup`'s before it:
    then the mark stands in an argument.
    """
    mark = _MARK.search(text)
    return DIALECTS[mark[0]](text[mark.start() :]) if mark and mark[0] in DIALECTS else None
