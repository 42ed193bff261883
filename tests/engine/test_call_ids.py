from __future__ import annotations

from typing import Any

from topcoat.engine.call_ids import with_call_ids


def called(*names: str, **more: Any) -> dict[str, Any]:
    calls = [{"function": {"name": name, "arguments": {}}, **more} for name in names]
    return {"role": "assistant", "content": "", "tool_calls": calls}


def result(**more: Any) -> dict[str, Any]:
    return {"role": "tool", "content": "ok", **more}


def ids(turns: list[dict[str, Any]]) -> list[object]:
    return [
        [call["id"] for call in turn["tool_calls"]] if "tool_calls" in turn else turn.get("tool_call_id")
        for turn in turns
    ]


def test_a_dialogue_goes_on_with_the_ids_that_it_began_with() -> None:
    turns = [{"role": "user", "content": "a"}, called("f", "g"), result(), result(), called("f"), result()]
    for named in (False, True):
        whole = with_call_ids(turns, named=named)
        assert [with_call_ids(turns[:n], named=named) for n in range(len(turns))] == [
            whole[:n] for n in range(len(turns))
        ]
    assert ids(with_call_ids(turns)) == [
        None, ["call00100", "call00101"], "call00100", "call00101", ["call00400"], "call00400",
    ]  # fmt: skip
    assert ids(with_call_ids(turns, named=True))[4:] == [["functions.f:2"], "functions.f:2"]


def test_given_ids_stay_and_what_is_no_call_too() -> None:
    turns = [called("f", id="one"), result(tool_call_id="one"), result(tool_call_id="two"), result()]
    assert ids(with_call_ids(turns)) == [["one"], "one", "two", None]
    odd: list[dict[str, Any]] = [
        {"role": "assistant", "tool_calls": ["f", 7]},
        {"role": "assistant", "tool_calls": None},
    ]
    assert with_call_ids(odd) == odd
