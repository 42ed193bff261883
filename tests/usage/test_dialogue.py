from __future__ import annotations

from topcoat.usage.dialogue import dialogues, written_calls
from topcoat.usage.events import Event, ToolCall, ToolResult

CALL = ToolCall(id="1", name="read_file", arguments='{"path": "x.py", "lines": [1, 2]}')


def event(**fields: object) -> Event:
    return Event.model_validate({"session": "s", "kind": "request", **fields})


FIRST = event(after="a", system="You help.", query="read x", answer="Reading.", calls=[CALL])
RESULT = event(kind="tool_call", before="a", after="b", tool="read_file", result=ToolResult(success=True, shape="text"))
SECOND = event(before="b", after="c", answer="Done.")


def said(events: list[Event]) -> list[list[tuple[str, str]]]:
    return [[(turn.role, turn.text) for turn in turns] for turns in dialogues(events)]


def test_events_become_the_dialogue_that_they_came_from() -> None:
    calls = '<tool_call>\n{"name": "read_file", "arguments": {"path": "x.py", "lines": [1, 2]}}\n</tool_call>'
    whole = [
        ("system", "You help."),
        ("user", "read x"),
        ("assistant", f"Reading.\n{calls}"),
        ("tool", "ok: text"),
        ("assistant", "Done."),
    ]
    assert said([FIRST, RESULT, event(kind="commit"), SECOND]) == [whole]


def test_a_dialogue_continued_in_two_ways_is_two() -> None:
    again = event(before="b", after="d", answer="Finished.")
    turns = said([FIRST, RESULT, SECOND, again])
    assert [dialogue[-1] for dialogue in turns] == [("assistant", "Done."), ("assistant", "Finished.")]
    assert [len(dialogue) for dialogue in turns] == [5, 5]


def test_a_dialogue_without_its_beginning_is_left_out() -> None:
    assert dialogues([RESULT, SECOND]) == []


def test_events_without_a_chain_follow_each_other() -> None:
    events = [event(query="hello", answer="hi"), event(kind="tool_call", errors=["KeyError: 'x'"]), event(answer="no")]
    assert said(events) == [
        [("user", "hello"), ("assistant", "hi"), ("tool", "error\nKeyError: 'x'"), ("assistant", "no")]
    ]


def test_a_call_is_written_as_the_model_writes_it() -> None:
    assert written_calls([CALL], "function") == (
        "<tool_call>\n<function=read_file>\n<parameter=path>\nx.py\n</parameter>\n"
        "<parameter=lines>\n[1, 2]\n</parameter>\n</function>\n</tool_call>"
    )
    assert '"arguments": "{broken"' in written_calls([ToolCall(name="f", arguments="{broken")], "json")
