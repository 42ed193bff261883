from __future__ import annotations

from tests.support.agents import agent_of
from topcoat.usage.dialogue import dialogues
from topcoat.usage.events import Event, ToolCall
from topcoat.usage.extraction.rounds import Step, passing, threads
from topcoat.usage.extraction.rules import extract
from topcoat.usage.turns import Spoken, boundaries, events_of

A, B, C = (ToolCall(id=path, name="read", arguments=f'{{"path": "{path}"}}') for path in ("a", "b", "c"))


def events(*turns: Spoken) -> list[Event]:
    return events_of(turns, boundaries(turns), session="s")


def back(call: ToolCall, content: object = "x") -> Spoken:
    return Spoken("tool", content, call_id=call.id)


def step(*turns: Spoken) -> Step:
    said = [Spoken("user", "go"), *turns]
    [talk] = dialogues(events(*said))
    return Step(talk[1], tuple(turn.event for turn in talk[2:]))


def learned(*turns: Spoken) -> tuple[list[str], dict[str, int]]:
    found = extract(events(*turns), agent_of(["read"], "native"))
    trained = [m["content"] for c in found.candidates for m in c.messages if m["role"] == "assistant"]
    return trained, dict(found.left_out)


def written(*calls: ToolCall) -> str:
    return "\n".join(f'<tool_call>\n{{"name": "read", "arguments": {call.arguments}}}\n</tool_call>' for call in calls)


def test_a_step_is_split_into_the_calls_that_worked_and_those_that_failed_in_any_order_of_results() -> None:
    mixed = step(Spoken("assistant", "Both.", (A, B)), back(B, "Error: no b"), back(A))
    assert mixed.worked is False
    kept, lost = mixed.of_calls(worked=True, markup="json"), mixed.of_calls(worked=False, markup="json")
    assert kept is not None
    assert lost is not None
    assert (kept.turn.text, lost.turn.text) == (f"Both.\n{written(A)}", f"Both.\n{written(B)}")
    assert kept.worked


def test_a_step_with_a_missing_result_or_with_calls_in_its_text_is_not_split() -> None:
    assert step(Spoken("assistant", None, (A, B)), back(B)).of_calls(worked=True, markup="json") is None
    text = step(Spoken("assistant", written(A, B)), Spoken("tool", "x"), Spoken("tool", "Error: no"))
    assert text.of_calls(worked=True, markup="json") is None


def test_the_call_that_makes_up_for_a_failed_one_joins_those_that_worked_beside_it() -> None:
    talk = (Spoken("user", "read a and b"), Spoken("assistant", "I do.", (A, C)), back(A), back(C, "Error: no c"))
    trained, _ = learned(*talk, Spoken("assistant", "Again.", (B,)), back(B))
    assert trained == [f"I do.\n{written(A)}\n{written(B)}"]
    [found] = extract(events(*talk, Spoken("assistant", None, (B,)), back(B)), agent_of(["read"], "native")).candidates
    assert len(found.events) == 4  # two answers, and the results of the calls that worked


def test_what_failed_last_teaches_nothing() -> None:
    assert learned(Spoken("user", "read a, b"), Spoken("assistant", None, (A, B)), back(A), back(B, "Error: no")) == (
        [],
        {"failed": 1},
    )


def test_a_failure_that_passes_by_itself_does_not_make_its_call_wrong() -> None:
    def again(error: str) -> list[str]:
        turns = (Spoken("user", "read a"), Spoken("assistant", None, (A,)), back(A, error))
        return learned(*turns, Spoken("assistant", None, (A,)), back(A))[0]

    assert again("Error: request timed out") == [written(A)]
    assert again("429 Too Many Requests") == [written(A)]
    assert again("Error: no such file") == []
    [event] = [event for event in events(Spoken("user", "go"), Spoken("assistant", None, (A,)), back(A)) if event.tool]
    assert not passing(event)


def test_what_may_be_meant_as_blame_teaches_nothing_and_neither_does_what_leans_on_it() -> None:
    turns = [Spoken("user", "read a"), Spoken("assistant", None, (A,)), back(A), Spoken("assistant", "Done.")]
    turns += [Spoken("user", "Great, a file. And b?"), Spoken("assistant", None, (B,)), back(B)]
    assert learned(*turns) == ([], {"unsure": 1, "unseen": 1})


def test_a_round_that_ended_with_a_question_says_so() -> None:
    said = [Spoken("user", "read a"), Spoken("assistant", None, (A,)), back(A), Spoken("assistant", "And b, too?")]
    [[asked, answered]] = threads(events(*said, Spoken("user", "no, c"), Spoken("assistant", "Fine.")), "json")
    assert (asked.asked, asked.corrected, asked.doubtful, answered.asked) == (True, False, True, False)


def test_half_an_answer_teaches_nothing() -> None:
    lint = ToolCall(id="l", name="lint", arguments='{"path": "a"}')
    turns = [
        Spoken("user", "lint and read a"),
        Spoken("assistant", None, (lint,)),
        back(lint, "lint: command not found"),
    ]
    turns += [Spoken("assistant", None, (A,)), back(A)]
    assert learned(*turns) == ([], {"half": 1})
    turns[2] = back(lint, "Unknown tool 'lint'")
    assert learned(*turns)[0] == [written(A)]
