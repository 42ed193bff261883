from __future__ import annotations

from typing import Any

from tests.support.usage.reading import lines_read
from tests.support.usage.session_files import ASKED, claude_line, claude_session
from topcoat.usage.turns import Spoken

DONE = [{"type": "text", "text": "Done."}]


def read(*lines: dict[str, Any]) -> list[list[tuple[str, object]]]:
    """The roles and contents of each dialogue."""
    _, dialogues, report = lines_read(list(lines))
    assert report.mistakes == []
    return [[(turn.role, turn.content) for turn in dialogue.turns] for dialogue in dialogues]


def answer(key: str, parent: str, text: str = "Done.", **more: Any) -> dict[str, Any]:
    return claude_line(
        key, parent, "assistant", [{"type": "text", "text": text}], **{"message": key, "stop": "end_turn", **more}
    )


def test_an_answer_that_is_written_after_the_first_result_is_one_answer() -> None:
    """The program begins to execute calls before the answer ends, so a result may stand between its lines."""
    lines = claude_session()
    early = [*lines[:5], lines[7], {**lines[5], "parentUuid": "h"}, lines[6], lines[8]]
    (whole,), (other,) = lines_read(lines)[1], lines_read(early)[1]
    assert other.turns[1] == whole.turns[1]
    assert [turn.call_id for turn in other.turns if turn.role == "tool"] == ["t1", "t2"]


def test_a_side_chain_is_a_dialogue_of_its_own_in_the_same_session() -> None:
    side = [{**line, "isSidechain": True, "agentId": "x"} for line in claude_session()]
    for line in side:
        line["uuid"] += "-side"
        line["parentUuid"] = line["parentUuid"] and f"{line['parentUuid']}-side"
        if line["type"] == "assistant":
            line["message"] = {**line["message"], "id": f"{line['message']['id']}-side"}
    lines = [claude_line("u", None, "user", "Delegate"), *side, answer("v", "u")]
    found = lines_read(lines)[1]
    assert [[turn.content for turn in one.turns if turn.role == "user"] for one in found] == [[ASKED], ["Delegate"]]
    assert {dialogue.session for dialogue in found} == {"s-1"}


def test_going_back_gives_two_ends() -> None:
    found = read(
        claude_line("a", None, "user", "Hello"),
        answer("b", "a", "Hi."),
        claude_line("c", "b", "user", "Dog"),
        answer("d", "c", "Woof."),
        claude_line("e", "b", "user", "Cat"),
        answer("f", "e", "Meow."),
    )
    begin = [("user", "Hello"), ("assistant", "Hi.")]
    assert found == [
        [*begin, ("user", "Dog"), ("assistant", "Woof.")],
        [*begin, ("user", "Cat"), ("assistant", "Meow.")],
    ]


def test_a_summary_begins_a_dialogue_and_is_nobodys_question() -> None:
    found = read(
        claude_line("a", None, "user", "Hello"),
        answer("b", "a", "Hi."),
        {"type": "system", "subtype": "compact_boundary", "uuid": "c", "parentUuid": None, "logicalParentUuid": "b"}
        | {"sessionId": "s-1", "isSidechain": False},
        claude_line("d", "c", "user", "They said hello.", isCompactSummary=True),
        claude_line("e", "d", "user", "Go on"),
        answer("f", "e"),
    )
    assert found[1] == [("system", "They said hello."), ("user", "Go on"), ("assistant", "Done.")]


def test_an_interruption_cuts_the_answer_and_is_no_question() -> None:
    lines = [
        claude_line("a", None, "user", "Hello"),
        answer("b", "a", "Hi th"),
        claude_line("c", "b", "user", [{"type": "text", "text": "[Request interrupted by user]"}]),
        claude_line("d", "c", "user", "Stop that"),
        answer("e", "d"),
    ]
    (dialogue,) = lines_read(lines)[1]
    assert [(turn.content, turn.finish) for turn in dialogue.turns] == [
        ("Hello", ""),
        ("Hi th", "cut"),
        ("Stop that", ""),
        ("Done.", "end_turn"),
    ]


def test_what_the_program_says_beside_a_question_is_passed_over() -> None:
    lines = [
        claude_line("a", None, "user", "Caveat: commands follow", isMeta=True),
        claude_line("b", "a", "user", "<command-name>/clear</command-name>"),
        claude_line("c", "b", "user", "Hello"),
        answer("d", "c"),
    ]
    assert read(*lines) == [[("user", "Hello"), ("assistant", "Done.")]]
    assert lines_read(lines)[2].passed == {"user line that the program wrote": 2}


def test_what_the_program_says_alone_is_what_the_model_answers() -> None:
    """A user's own command becomes a text of the program. Without it, the question before would have two answers."""
    lines = [
        claude_line("a", None, "user", "<command-name>/review</command-name>"),
        claude_line("b", "a", "user", "Review the last commit.", isMeta=True),
        answer("c", "b"),
    ]
    assert read(*lines)[0][-2:] == [("user", "Review the last commit."), ("assistant", "Done.")]


def test_the_programs_own_errors_are_no_answers() -> None:
    lines = [
        claude_line("a", None, "user", "Hello"),
        answer("b", "a", "API Error: 529", isApiErrorMessage=True),
        answer("c", "b"),
    ]
    assert read(*lines) == [[("user", "Hello"), ("assistant", "Done.")]]


def test_an_interrupted_tool_failed() -> None:
    use = [{"type": "tool_use", "id": "t1", "name": "Bash", "input": {}}]
    result = [{"type": "tool_result", "tool_use_id": "t1", "content": "partly"}]
    lines = [
        claude_line("a", None, "user", "Hello"),
        claude_line("b", "a", "assistant", use),
        claude_line("c", "b", "user", result, toolUseResult={"stdout": "partly", "interrupted": True}),
    ]
    (dialogue,) = lines_read(lines)[1]
    assert dialogue.turns[-1] == Spoken("tool", "partly", call_id="t1", failed=True)


def test_lines_that_name_each_other_in_a_circle_end() -> None:
    lines = [claude_line("a", "b", "user", "Hello"), answer("b", "a")]
    assert lines_read(lines)[2].mistakes == []


def test_a_line_that_is_there_twice_counts_once() -> None:
    lines = [claude_line("a", None, "user", "Hello"), answer("b", "a"), answer("b", "a")]
    assert read(*lines) == [[("user", "Hello"), ("assistant", "Done.")]]
    assert lines_read(lines)[2].passed == {"line that is there twice": 1}


def test_what_hangs_from_an_answers_line_follows_the_results_of_its_calls() -> None:
    lines = [*claude_session()[:-1], claude_line("j", "f", "user", "Stop")]
    (dialogue,) = lines_read(lines)[1]
    assert [turn.role for turn in dialogue.turns] == ["user", "assistant", "tool", "tool", "user"]


def test_a_call_that_a_later_line_of_its_answer_repeats_is_made_once() -> None:
    lines = claude_session()
    again = {**lines[5], "uuid": "x", "parentUuid": "f"}
    (dialogue,) = lines_read([*lines[:6], again, *lines[6:]])[1]
    assert [call.id for call in dialogue.turns[1].calls] == ["t1", "t2"]
