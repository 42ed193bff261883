from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.usage.reading import dialogues_of
from topcoat.usage.formats.table import detect
from topcoat.usage.messages import answers_beside, keys_of, turns_of
from topcoat.usage.turns import Spoken, boundaries, events_of

REPORTS = Path(__file__).parents[3] / "shared" / "data" / "reports"

WRITE = {"type": "tool_use", "id": "u1", "name": "write_note", "input": {"title": "milk"}}
READ = {"type": "tool_use", "id": "u2", "name": "read_note", "input": {"title": "milk"}}
ASKED = [{"role": "user", "content": "Note the milk"}]


def of_chat(document: dict[str, Any]) -> list[Spoken]:
    (found,) = dialogues_of(document, "chat")
    return found.turns


def test_calls_results_and_thoughts_of_the_messages_api_are_read() -> None:
    turns = of_chat(
        {
            "system": [{"type": "text", "text": "You keep notes."}],
            "messages": [
                *ASKED,
                {
                    "role": "assistant",
                    "content": [
                        {"type": "thinking", "thinking": "A note."},
                        {"type": "text", "text": "Both."},
                        WRITE,
                        READ,
                    ],
                },
                {
                    "role": "user",
                    "content": [
                        {"type": "tool_result", "tool_use_id": "u2", "content": [{"type": "text", "text": "milk"}]},
                        {"type": "tool_result", "tool_use_id": "u1", "is_error": True, "content": "the book is full"},
                        {"type": "text", "text": "And the bread"},
                    ],
                },
            ],
        }
    )
    assert [turn.role for turn in turns] == ["system", "user", "assistant", "tool", "tool", "user"]
    system, _, answer, second, first, last = turns
    assert (system.content, answer.content, answer.reasoning) == ("You keep notes.", "Both.", "A note.")
    assert [(call.id, call.name, call.meant) for call in answer.calls] == [
        ("u1", "write_note", {"title": "milk"}),
        ("u2", "read_note", {"title": "milk"}),
    ]
    assert (second.content, second.failed) == ("milk", None)
    assert (first.content, first.failed, last.content) == ("the book is full", True, "And the bread")
    events = [event for event in events_of(turns, boundaries(turns), session="s") if event.kind == "tool_call"]
    assert [(e.tool, e.result is not None and e.result.success) for e in events] == [
        ("read_note", True),
        ("write_note", False),
    ]


def test_a_systems_turn_among_the_messages_is_not_said_twice() -> None:
    turns = of_chat({"system": "Be brief.", "messages": [{"role": "system", "content": "You keep notes."}, *ASKED]})
    assert [turn.content for turn in turns] == ["You keep notes.", "Note the milk"]


MESSAGE = {"role": "assistant", "content": "Noted."}


@pytest.mark.parametrize(
    "beside",
    [
        {"response": "Noted."},
        {"response": MESSAGE},
        {"response": {"choices": [{"message": MESSAGE, "finish_reason": "stop"}]}},
        {"response": json.dumps({"choices": [{"message": MESSAGE}]})},
        {"response": {"type": "message", "role": "assistant", "content": [{"type": "text", "text": "Noted."}]}},
        {"response": {"message": MESSAGE, "done": True}},
        {"response": {"output": [{"type": "message", "content": [{"type": "output_text", "text": "Noted."}]}]}},
        {"choices": [{"text": "Noted.", "index": 0}]},
        {"choices": [{"message": MESSAGE}]},
        {"output": "Noted."},
        {"output": [MESSAGE]},
        {"output": [{"type": "reasoning", "summary": []}, {"type": "message", "content": "Noted."}]},
        {"response": None, "completion": "Noted."},
    ],
)
def test_an_answer_beside_the_messages_is_the_last_turn(beside: dict[str, Any]) -> None:
    assert [(turn.role, turn.content) for turn in of_chat({"messages": ASKED, **beside})] == [
        ("user", "Note the milk"),
        ("assistant", "Noted."),
    ]
    repeated = of_chat({"messages": [*ASKED, MESSAGE], **beside})
    assert [turn.content for turn in repeated] == ["Note the milk", "Noted."]


def test_a_call_beside_the_messages_is_read() -> None:
    call = {"type": "function_call", "call_id": "u1", "name": "write_note", "arguments": '{"title": "milk"}'}
    (answer,) = answers_beside({"output": [call]})
    assert [(c.id, c.name, c.meant) for c in answer[0].calls] == [("u1", "write_note", {"title": "milk"})]
    (answer,) = answers_beside({"response": {"content": [WRITE], "stop_reason": "tool_use"}})
    assert ([c.name for c in answer[0].calls], answer[0].finish) == (["write_note"], "tool_use")


def test_every_choice_is_an_answer() -> None:
    choices = [{"message": {"content": said}} for said in ("one", "two")]
    found = list(dialogues_of({"messages": ASKED, "choices": choices}, "chat"))
    assert [dialogue.turns[-1].content for dialogue in found] == ["one", "two"]


@pytest.mark.parametrize(
    "beside", [{"response": {"id": 3}}, {"output": [1]}, {"choices": [{"delta": {}}]}, {"output": 7}]
)
def test_what_is_no_answer_is_refused_unless_the_dialogue_has_one(beside: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="is no answer"):
        of_chat({"messages": ASKED, **beside})
    assert len(of_chat({"messages": [*ASKED, MESSAGE], **beside})) == 2


@pytest.mark.parametrize(
    "message",
    [
        {"type": "person", "data": {"content": "hello"}},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "u1", "input": {}}]},
    ],
)
def test_a_message_of_another_shape_is_refused_by_name(message: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"no role; its keys are type, data|a tool_use without a name"):
        turns_of(message)


def langchain(kind: str, content: object, **fields: Any) -> dict[str, Any]:
    return {"type": kind, "data": {"content": content, "type": kind, "additional_kwargs": {}, **fields}}


def test_langchains_messages_are_read() -> None:
    calls = [{"name": "write_note", "args": {"title": "milk"}, "id": "u1", "type": "tool_call"}]
    messages = [
        langchain("system", "You keep notes."),
        langchain("human", "Note the milk"),
        langchain("ai", [{"type": "text", "text": "I do."}, WRITE], tool_calls=calls),
        langchain("tool", "the book is full", tool_call_id="u1", name="write_note", status="error"),
        langchain("ai", "", tool_calls=[], invalid_tool_calls=[{"name": "write_note", "args": "{", "id": "u2"}]),
    ]
    assert detect(messages) == detect({"messages": messages}) == "chat"
    turns = of_chat({"messages": messages})
    (bare,) = dialogues_of(messages, "chat")
    assert bare.turns == turns
    assert [turn.role for turn in turns] == ["system", "user", "assistant", "tool", "assistant"]
    assert (turns[2].content, [(c.id, c.meant) for c in turns[2].calls]) == ("I do.", [("u1", {"title": "milk"})])
    assert (turns[3].tool, turns[3].call_id, turns[3].failed) == ("write_note", "u1", True)
    assert [call.arguments for call in turns[4].calls] == ["{"]


def test_many_keys_are_cut() -> None:
    assert keys_of({str(i): 1 for i in range(12)}) == "0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11"
    assert keys_of({str(i): 1 for i in range(13)}).endswith("11, ...")


BLOCKS = st.sampled_from(
    [
        {"type": "text", "text": "said"},
        WRITE,
        {"type": "thinking", "thinking": "thought"},
        {"type": "tool_result", "tool_use_id": "u1", "content": "back"},
    ]
)


@given(st.lists(BLOCKS, max_size=9))
def test_every_block_is_read_once_and_none_is_text_of_its_type(blocks: list[dict[str, Any]]) -> None:
    turns = turns_of({"role": "assistant", "content": blocks})
    kinds = [block["type"] for block in blocks]
    assert sum(len(turn.calls) for turn in turns) == kinds.count("tool_use")
    assert sum(turn.role == "tool" for turn in turns) == kinds.count("tool_result")
    assert sum(turn.reasoning.count("thought") for turn in turns) == kinds.count("thinking")
    assert "".join(turn.content or "" for turn in turns if turn.role != "tool") == "said" * kinds.count("text")


@pytest.mark.parametrize(
    ("name", "answers", "failures"),
    [
        ("anthropic-messages/anthropic.jsonl", 3, 1),
        ("langchain/lc-wrapped.jsonl", 2, 0),
        ("answer-beside-messages/litellm.jsonl", 1, 0),
        ("answer-beside-messages/oai-choices.jsonl", 2, 0),
        ("answer-beside-messages/oai-flat.jsonl", 2, 0),
    ],
)
def test_reported_logs_are_read(name: str, answers: int, failures: int) -> None:
    if not (REPORTS / name).exists():
        pytest.skip(f"{name} isn't on this machine")
    turns = of_chat(json.loads((REPORTS / name).read_text().splitlines()[0]))
    assert sum(turn.role == "assistant" for turn in turns) == answers
    assert turns[-1].role == "assistant"
    assert sum(turn.failed is True for turn in turns) == failures
