from __future__ import annotations

from typing import Any

from tests.support.usage.reading import lines_read
from tests.support.usage.session_files import ASKED, gemini_session, opencode_session, qwen_session
from topcoat.usage.formats.dialogue import UNFINISHED


def texts(dialogue: Any) -> list[object]:
    return [turn.content for turn in dialogue.turns if turn.role in ("user", "system")]


def test_gemini_clis_earlier_file_is_one_document() -> None:
    lines = gemini_session()
    messages = [line for line in lines if "id" in line]
    document = {**lines[0], "messages": [messages[0], *messages[2:], {"id": "x", "type": "info", "content": "hm"}]}
    form, (dialogue,), report = lines_read([document])
    (other,) = lines_read(lines)[1]
    assert (form, dialogue.session, report.passed) == ("gemini-cli", "s-1", {"info message": 1})
    assert dialogue.turns == [turn for turn in other.turns if turn.role != "system"]


def test_going_back_in_gemini_cli_gives_two_ends() -> None:
    cat = {"id": "u9", "timestamp": "2026-11-01T10:01:00Z", "type": "user", "content": "Cat"}
    first, second = lines_read([*gemini_session(), {"$rewindTo": "u1"}, cat])[1]
    assert texts(first)[1:] == [ASKED]
    assert texts(second)[1:] == ["Cat"]


def test_a_cancelled_call_failed_and_a_call_without_a_result_is_open() -> None:
    calls = [
        {"id": "c1", "name": "edit", "args": {}, "status": "cancelled"}
        | {"result": [{"functionResponse": {"id": "c1", "name": "edit", "response": {"output": "no"}}}]},
        {"id": "c2", "name": "edit", "args": {}, "status": "cancelled"},
    ]
    line = {"id": "g", "timestamp": "2026-11-01T10:00:00Z", "type": "gemini", "content": "", "toolCalls": calls}
    (dialogue,) = lines_read([gemini_session()[0], line])[1]
    assert [(turn.role, turn.failed, len(turn.calls)) for turn in dialogue.turns] == [
        ("assistant", None, 2),
        ("tool", True, 0),
    ]


def test_a_response_with_an_error_failed() -> None:
    lines = qwen_session()
    lines[3]["message"]["parts"][0]["functionResponse"]["response"] = {"error": "not allowed"}
    (dialogue,) = lines_read(lines)[1]
    assert next((turn.content, turn.failed) for turn in dialogue.turns if turn.role == "tool") == ("not allowed", True)


def test_a_summary_in_qwen_code_begins_a_dialogue() -> None:
    lines = qwen_session()
    history = [{"role": "user", "parts": [{"text": "They looked."}]}]
    summary: dict[str, Any] = {
        "uuid": "g",
        "parentUuid": "f",
        "sessionId": "s-1",
        "type": "system",
        "subtype": "chat_compression",
    }
    summary |= {"systemPayload": {"compressedHistory": history}}
    more = {**lines[0], "uuid": "h", "parentUuid": "g"}
    first, second = lines_read([*lines, summary, more])[1]
    assert texts(first) == [ASKED]
    assert texts(second) == ["They looked.", ASKED]


def test_opencodes_files_of_pieces_are_one_session() -> None:
    whole = opencode_session()
    pieces = [whole["info"]]
    for message in whole["messages"][::-1]:  # a folder's order isn't the dialogue's
        pieces += [*message["parts"][::-1], message["info"]]
    (dialogue,) = lines_read(pieces)[1]
    (exported,) = lines_read([whole])[1]
    assert (dialogue.turns, dialogue.session, dialogue.model) == (exported.turns, exported.session, exported.model)


def test_opencodes_summary_begins_a_dialogue_and_an_error_cuts() -> None:
    whole = opencode_session()
    ask, look, done = whole["messages"]
    look["info"]["error"] = {"name": "MessageAbortedError"}
    done["info"]["summary"] = True
    first, second = lines_read([{**whole, "messages": [ask, look, done, ask]}])[1]
    assert [turn.finish for turn in first.turns if turn.role == "assistant"] == ["cut"]
    assert texts(second) == ["Nothing.", ASKED]


def test_what_opencode_added_to_a_question_is_passed_over() -> None:
    whole = opencode_session()
    whole["messages"][0]["parts"].append({"type": "text", "text": "Called the Read tool", "synthetic": True})
    _, (dialogue,), report = lines_read([whole])
    assert texts(dialogue) == [ASKED]
    assert report.passed == {"text that the program wrote": 1}


def test_an_answer_that_opencode_still_writes_is_passed_over() -> None:
    whole = opencode_session()
    del whole["messages"][2]["info"]["time"]["completed"]
    _, (dialogue,), report = lines_read([whole])
    assert [turn.role for turn in dialogue.turns] == ["user", "assistant", "tool", "tool"]
    assert report.passed == {UNFINISHED: 1}


def test_turns_after_going_back_have_times_of_their_own() -> None:
    cat = {"id": "u9", "timestamp": "2026-11-01T11:00:00Z", "type": "user", "content": "Cat"}
    second = lines_read([*gemini_session(), {"$rewindTo": "u1"}, cat])[1][1]
    assert [time and time.hour for time in second.times] == [10, 11]
