from __future__ import annotations

from typing import Any

import pytest

from tests.support.usage.reading import dialogues_of, lines_read
from topcoat.usage.formats.dialogue import Dialogue

TOOLS = [{"type": "function", "name": "set_lamp", "parameters": {"type": "object"}}, {"type": "web_search"}]
ASK = {"model": "coat", "instructions": "You help.", "input": "Lamps on", "tools": TOOLS}
CALLS = [
    {
        "type": "function_call",
        "id": f"f{n}",
        "call_id": f"c{n}",
        "name": "set_lamp",
        "arguments": f'{{"room": "{room}"}}',
    }
    for n, room in ((1, "den"), (2, "attic"))
]
OUTPUT = [
    {"type": "reasoning", "id": "r1", "summary": [{"type": "summary_text", "text": "Hm."}]},
    {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Yes."}]},
    *CALLS,
]
RESULTS = [
    {"type": "function_call_output", "call_id": "c1", "output": "on"},
    {"type": "function_call_output", "call_id": "c2", "output": [{"type": "input_text", "text": "Error: no room"}]},
]
DONE = [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Done."}]}]


def response(name: str, output: list[Any], **more: Any) -> dict[str, Any]:
    return {"id": name, "object": "response", "status": "completed", "model": "coat", "output": output, **more}


FIRST = {"request": ASK, "response": response("r1", OUTPUT)}
WHOLE = {**ASK, "input": [{"role": "user", "content": "Lamps on"}, *OUTPUT, *RESULTS]}


def shown(dialogue: Dialogue) -> list[tuple[str, object]]:
    return [(turn.role, turn.content) for turn in dialogue.turns]


ALL = [
    ("system", "You help."),
    ("user", "Lamps on"),
    ("assistant", "Yes."),
    ("tool", "on"),
    ("tool", "Error: no room"),
    ("assistant", "Done."),
]


@pytest.mark.parametrize(
    "document",
    [
        {"request": WHOLE, "response": response("r2", DONE)},
        {"request": {"body": WHOLE}, "response": {"status_code": 200, "body": response("r2", DONE)}},
        {**WHOLE, "response": response("r2", DONE)},
        {**WHOLE, "output": DONE},
        {**WHOLE, "input": [*WHOLE["input"], *DONE]},
    ],
)
def test_a_request_and_its_answer_are_a_dialogue(document: dict[str, Any]) -> None:
    (dialogue,) = dialogues_of(document)
    assert shown(dialogue) == ALL
    answer = dialogue.turns[2]
    assert [(call.id, call.meant) for call in answer.calls] == [("c1", {"room": "den"}), ("c2", {"room": "attic"})]
    assert (answer.reasoning, dialogue.model) == ("Hm.", "coat")
    assert dialogue.tools == [{"type": "function", "function": {"name": "set_lamp", "parameters": {"type": "object"}}}]


def test_a_request_that_names_the_answer_before_it_continues_the_dialogue() -> None:
    second = {"request": {**ASK, "input": RESULTS, "previous_response_id": "r1"}, "response": response("r2", DONE)}
    form, (first, whole), report = lines_read([FIRST, second])
    assert (form, shown(first), shown(whole)) == ("responses", ALL[:3], ALL)
    assert report.passed == {"tool of type web_search": 2}
    _, (alone,), report = lines_read([second])
    assert shown(alone) == [ALL[0], *ALL[3:]]
    assert report.passed["beginning of a dialogue: the answer before it isn't in the file"] == 1


def test_an_answer_alone_is_read_and_items_of_the_providers_tools_are_passed_over() -> None:
    alone = response("r2", [{"type": "web_search_call"}, *DONE], status="incomplete")
    alone["incomplete_details"] = {"reason": "max_output_tokens"}
    form, (dialogue,), report = lines_read([alone])
    assert (form, shown(dialogue), dialogue.turns[-1].finish) == ("responses", ALL[-1:], "length")
    assert report.passed == {"item of type web_search_call": 1}


def test_a_call_of_a_server_holds_its_result() -> None:
    call = {"type": "mcp_call", "id": "m1", "name": "find", "arguments": "{}", "error": "unreachable", "output": None}
    (dialogue,) = dialogues_of({**ASK, "output": [call, *DONE]})
    assert [(turn.role, turn.content, turn.failed) for turn in dialogue.turns[2:]] == [
        ("assistant", None, None),
        ("tool", "unreachable", True),
        ("assistant", "Done.", None),
    ]


def test_a_bad_request_costs_only_itself() -> None:
    nameless = {"request": {"input": [{"type": "function_call", "arguments": "{}"}]}, "response": response("r", DONE)}
    _, dialogues, report = lines_read([FIRST, nameless, {"input": [{"role": "robot", "content": "x"}]}])
    assert len(dialogues) == 1
    assert [(m.where and m.where.line, m.message) for m in report.mistakes] == [
        (2, "not responses: a function_call without a name"),
        (3, "not responses: a message's role can't be 'robot'"),
    ]
