"""Random dialogues with calls, whose texts look like other things."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

__all__ = ["dialogues", "turn"]


def turn(role: str, content: str | None = None, *calls: dict[str, Any], **keys: Any) -> dict[str, Any]:
    made = [{"type": "function", "function": call} for call in calls]
    return {"role": role, "content": content, **({"tool_calls": made} if calls else {}), **keys}


PIECES = [
    *("<tool_call>", "</tool_call>", "<tool_response>", "[TOOL_CALLS]", "[/INST]", "<|python_tag|>", "<escape>"),
    *("</arg_value>", "<|channel|>", "<parameter=a>", '{"name": "x"}', "{{ m }}", "{% if %}", "&amp;", "```"),
    *("\n", "\n\n", " ", "\t", '"', "'", "\\", "é", "日本", "🙂", "\u2028", "a", "on"),
]
"""Parts of other texts: markup, quotes, line ends, letters of several bytes."""
words = st.lists(st.sampled_from(PIECES) | st.text(max_size=3).filter(str.isprintable), max_size=6).map("".join)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "B", "é"]), inner, max_size=2),
    max_leaves=5,
)
arguments = st.dictionaries(st.sampled_from(["room", "on", "at"]), values, max_size=3)


@st.composite
def dialogues(draw: st.DrawFn, *, thoughts: bool, most_calls: int) -> list[dict[str, Any]]:
    """A system turn or none, and up to three rounds of calls, their results and words."""
    turns = [turn("system", draw(words))] if draw(st.booleans()) else []
    for _ in range(draw(st.integers(1, 3))):
        turns.append(turn("user", draw(words)))
        for _ in range(draw(st.integers(0, 2))):
            thought = draw(st.none() | words) if thoughts else None
            said = "" if thought is None else f"<think>\n{thought}\n</think>\n\n"
            calls = draw(st.lists(arguments, min_size=1, max_size=most_calls))
            made = [{"name": "set_lamp", "arguments": given} for given in calls]
            turns.append(turn("assistant", said + draw(words), *made))
            turns += [turn("tool", draw(words)) for _ in made]
        turns.append(turn("assistant", f"say {draw(words)}"))
    return turns
