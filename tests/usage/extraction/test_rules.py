from __future__ import annotations

import json
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.agents import agent_of
from tests.support.usage.conversation import Conversation, code_answer
from topcoat.usage.events import Event, ToolCall, ToolResult
from topcoat.usage.extraction.rules import Candidate, extract
from topcoat.usage.turns import Spoken, boundaries, events_of

TOOLS = ["read_file", "find", "define"]
READ = 'print(read_file("a.py"))'
FIND = 'print(find("a.py"))'
CHAIN = 'result = define("Apple")\nprint(read_file(result.path))'


def only(conversation: Conversation) -> Candidate:
    [candidate] = extract(conversation.events, agent_of(TOOLS)).candidates
    return candidate


def left_out(conversation: Conversation) -> dict[str, int]:
    found = extract(conversation.events, agent_of(TOOLS))
    assert found.candidates == []
    return dict(found.left_out)


def trained(candidate: Candidate) -> list[str]:
    return [m["content"] for m in candidate.messages if m["role"] == "assistant"]


def test_what_worked_at_once_is_a_clean_example_without_the_words_about_its_result() -> None:
    found = only(Conversation().user("show a.py").runs(READ).answer("It holds 3 lines."))
    assert (found.kind, found.weight, found.score, found.tools) == ("clean", 1.0, 0.5, ["read_file"])
    assert found.messages == [
        {"role": "user", "content": "show a.py"},
        {"role": "assistant", "content": code_answer(READ)},
    ]
    assert (found.session, found.events) == ("s", ["s-1", "s-2"])


def test_a_chain_knows_which_result_goes_where() -> None:
    found = only(Conversation().user("show the file that defines Apple").runs(CHAIN))
    assert (found.kind, found.weight) == ("chain", 1.3)
    assert (found.tools, found.uses) == (["define", "read_file"], [[], [0]])


def test_the_corrected_code_answers_the_query_first() -> None:
    found = only(Conversation().user("show a.py").runs("print(reed('a.py'))", works=False).runs(READ))
    assert (found.kind, found.weight) == ("corrected_retry", 1.5)
    assert trained(found) == [code_answer(READ)]


def test_what_the_user_corrected_is_replaced_by_what_worked() -> None:
    talk = Conversation().user("show a.py").runs(FIND).answer("None.").user("No, I meant the text").runs(READ)
    found = only(talk)
    assert (found.kind, found.weight) == ("user_correction", 2.0)
    assert [m["content"] for m in found.messages] == ["show a.py", code_answer(READ)]
    assert extract(talk.events, agent_of(TOOLS)).left_out == {"corrected": 1}


def test_a_correction_that_names_something_new_stays_in_the_question() -> None:
    found = only(Conversation().user("show the file").runs(FIND).user("no, a.py").runs(READ))
    assert found.messages[0]["content"] == "show the file\nno, a.py"


def test_a_correction_may_be_an_event_of_its_own() -> None:
    talk = Conversation().user("show a.py").runs(FIND).reports("user_correction").user("please, the text").runs(READ)
    assert only(talk).kind == "user_correction"


@pytest.mark.parametrize(
    ("end", "weight", "score"), [("merged", 1.2, 0.7), ("closed", 0.5, 0.25), ("rejected", 0.5, 0.25)]
)
def test_how_the_work_ended_weighs(end: str, weight: float, score: float) -> None:
    found = only(Conversation().user("show a.py").runs(READ).reports("closed").reports(end))
    assert (found.weight, found.score) == (weight, score)
    assert found.reason.endswith(end)


def test_a_content_user_makes_it_surer() -> None:
    assert only(Conversation().user("show a.py").runs(READ).user("Thanks!").answer("Welcome.")).score == 0.7


@pytest.mark.parametrize(
    ("talk", "code"),
    [
        (Conversation().user("show a.py").runs(READ, works=False), "failed"),
        (Conversation().user("show a.py").answer(code_answer(READ)), "no-outcome"),
        (Conversation().user("hello").answer("Hi."), "no-call"),
        (Conversation().user("add").runs("print(1 + 1)"), "no-call"),
        (Conversation().user("show a.py").runs(READ, works=False).runs(READ), "known-wrong"),
        (Conversation().user("show a.py").runs(FIND).user("no, that is wrong").answer("Sorry."), "no-call"),
        (Conversation().user("find it").runs('print(find("x"))').runs(READ), "unseen"),
        (Conversation().user("show a.py").runs(READ).reports("validation", code=READ, errors=["E"]), "known-wrong"),
    ],
)
def test_what_teaches_nothing_is_left_out_with_its_reason(talk: Conversation, code: str) -> None:
    assert code in left_out(talk)


def test_a_later_question_stands_alone_or_is_left_out() -> None:
    talk = Conversation().user("show a.py").runs(READ).user("now find Apple").runs('print(find("Apple"))')
    talk.user("and show it").runs('print(read_file("b.py"))')
    found = extract(talk.events, agent_of(TOOLS))
    assert [c.messages[0]["content"] for c in found.candidates] == ["show a.py", "now find Apple"]
    assert found.left_out == {"unseen": 1}


def test_steps_that_need_no_result_are_one_example_with_the_outcome_between() -> None:
    found = only(Conversation().user("find a.py and show a.py").runs(FIND, shape="[2 × str]").runs(READ))
    assert [m["role"] for m in found.messages] == ["user", "assistant", "tool", "assistant"]
    assert found.messages[2]["content"] == "ok: [2 × str]"
    assert (found.kind, found.tools) == ("chain", ["find", "read_file"])


def test_an_agent_reports_both_sides_of_a_retry() -> None:
    talk = Conversation().user("show a.py").answer("...").reports("retry", original=FIND, corrected=READ)
    assert trained(only(talk)) == [
        '<tool_call>\n{"name": "execute_code", "arguments": {"code": "print(read_file(\\"a.py\\"))"}}\n</tool_call>'
    ]


def test_the_code_that_a_user_wrote_answers_the_first_question_as_the_model_would_write_it() -> None:
    talk = Conversation().user("show a.py").runs(FIND).user("No, I meant the text of a.py").runs("print(1)")
    talk.reports("user_correction", original="print(1)", corrected=f"\n{READ}\n")
    found = only(talk)
    assert (found.kind, found.weight) == ("user_correction", 2.0)
    assert [m["content"] for m in found.messages] == ["show a.py", code_answer(READ)]


def test_after_code_that_a_user_wrote_the_next_question_is_a_new_one() -> None:
    talk = Conversation().user("show a.py").runs(FIND).reports("user_correction", corrected=READ)
    talk.user("define Apple").runs('print(define("Apple"))')
    found = extract(talk.events, agent_of(TOOLS)).candidates
    assert [(c.kind, c.messages[0]["content"]) for c in found] == [
        ("user_correction", "show a.py"),
        ("clean", "define Apple"),
    ]


def test_an_agent_may_begin_a_dialogue_for_each_question() -> None:
    talk = Conversation().user("find a.py").runs(FIND).anew().user("show a.py").runs('print(find("no"))')
    talk.reports("user_correction").anew().user("read a.py").runs(READ).answer("It reads.")
    talk.anew().user("define Apple").runs('print(define("Apple"))').reports("user_confirmation")
    found = extract(talk.events, agent_of(TOOLS)).candidates
    assert [(c.kind, c.messages[0]["content"], c.score) for c in found] == [
        ("clean", "find a.py", 0.5),
        ("user_correction", "show a.py", 0.6),
        ("clean", "define Apple", 0.7),
    ]
    told = Conversation().user("show a.py").runs(FIND).anew().user("No, I meant the text").runs(READ)
    assert [m["content"] for m in only(told).messages] == ["show a.py", code_answer(READ)]


def test_code_reported_after_a_question_that_was_said_again_answers_the_first() -> None:
    talk = Conversation().user("show a.py").runs(FIND).reports("user_correction").anew().user("read a.py").runs("1")
    found = only(talk.reports("user_correction", corrected=READ))
    assert [m["content"] for m in found.messages] == ["show a.py", code_answer(READ)]


def test_what_an_agent_reports_may_be_kept_before_what_it_is_about() -> None:
    talk = Conversation().user("show a.py").runs(FIND).reports("user_correction", corrected=READ)
    assert only(talk).kind == "user_correction"
    talk.events.insert(0, talk.events.pop())
    assert only(talk).kind == "user_correction"


@pytest.mark.parametrize(
    "written",
    [
        '<tool_call>\n{"name": "execute_code", "arguments": {"code": "print(1)"}}\n</tool_call>',
        f"I see.\n{code_answer('print(1)')}",
        code_answer("print(1)") * 2,
        "None.",
    ],
)
def test_reported_code_is_written_in_the_markup_where_no_answer_shows_how(written: str) -> None:
    talk = Conversation().user("show a.py").answer(written).reports("user_correction", corrected=f"{READ}\n{FIND}")
    answer = f'<tool_call>\n{{"name": "execute_code", "arguments": {{"code": {json.dumps(READ + chr(10) + FIND)}}}}}'
    assert trained(only(talk)) == [f"{answer}\n</tool_call>"]


def test_calls_that_came_as_structure_are_written_as_the_model_writes_them() -> None:
    call = ToolCall(name="read_file", arguments='{"path": "a.py"}')
    events = [
        Event(session="s", kind="request", query="show a.py", calls=[call], after="1"),
        Event(session="s", kind="tool_call", tool="read_file", result=ToolResult(success=True), before="1", after="2"),
    ]
    [found] = extract(events, agent_of(TOOLS), "function").candidates
    assert "<function=read_file>\n<parameter=path>\na.py" in trained(found)[0]


CODES = st.sampled_from([READ, FIND, CHAIN, 'print(read_file("b.py"))', "broken(", "1 / 0"])
STEP = st.tuples(CODES, st.booleans())
QUERY = st.sampled_from(["show a.py", "find Apple in b.py", "No, I meant a.py", "wrong, Apple", "thanks"])
EXCHANGE = st.tuples(QUERY, st.lists(STEP, max_size=4), st.sampled_from(["", "user_correction", "merged"]))
REPORT = st.tuples(st.sampled_from(["retry", "validation"]), CODES, CODES, st.booleans())


@given(st.lists(st.one_of(EXCHANGE, REPORT), max_size=6))
def test_no_wrong_turn_is_ever_trained_on(session: list[tuple[object, ...]]) -> None:
    talk, wrong = Conversation(), set()
    answers: list[str] = []
    for item in session:
        if len(item) == 4:
            kind, one, other, success = item
            if kind == "retry":
                talk.reports("retry", original=one, corrected=other)
                wrong.add(str(one))
            else:
                talk.reports("validation", code=one, result=ToolResult(success=bool(success)))
                wrong |= set() if success else {str(one)}
            continue
        query, steps, event = item
        if str(query).lower().startswith(("no,", "wrong")):
            wrong.update(answers)
        talk.user(str(query))
        answers = []
        for code, works in steps:  # type: ignore[attr-defined]  # the list of an exchange
            talk.runs(code, works=works)
            answers.append(code)
            wrong |= set() if works else {code}
        if not answers:
            talk.answer("Well.")
        if event:
            talk.reports(str(event))
            wrong |= set(answers) if event == "user_correction" else set()
    for candidate in extract(talk.events, agent_of(TOOLS)).candidates if talk.events else []:
        for text in trained(candidate):
            assert not any(code in text or json.dumps(code)[1:-1] in text for code in wrong)


def test_a_call_whose_outcome_is_unknown_is_not_learned() -> None:
    said = [
        Spoken("user", "run ruff on src/app.py"),
        Spoken("assistant", None, (ToolCall(id="1", name="f", arguments='{"path": "src/app.py"}'),)),
        Spoken("tool", None, call_id="1"),
    ]
    found = extract(events_of(said, boundaries(said), session="s"), agent_of(["f"]))
    assert (found.candidates, found.left_out) == ([], Counter({"no-outcome": 1}))
    known = [*said[:2], Spoken("tool", None, call_id="1", failed=False)]
    assert len(extract(events_of(known, boundaries(known), session="s"), agent_of(["f"])).candidates) == 1
