from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.agents import agent_of
from topcoat.spec.agent import Agent
from topcoat.spec.example import Example
from topcoat.spec.tools.tool_list import parse_tool_list
from topcoat.usage.events import Event
from topcoat.usage.extraction.rules import Candidate, Extracted
from topcoat.usage.extraction.selection import captured_case
from topcoat.usage.extraction.structured import structured
from topcoat.usage.extraction.trajectories import extract_whole
from topcoat.usage.turns import boundaries, events_of, spoken


def tool(name: str, *keys: str) -> dict[str, Any]:
    schema = {"type": "object", "properties": {key: {"type": "string"} for key in keys}}
    return {"type": "function", "function": {"name": name, "description": f"{name}.", "parameters": schema}}


TOOLS = [tool("find", "query"), tool("read", "path"), tool("edit", "path", "old", "new"), tool("test", "path")]
NATIVE = Agent(parse_tool_list(json.dumps(TOOLS), Path("tools.json")), calls="native")
CODE = agent_of(["find", "read", "edit", "test"], "code")


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def says(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": text}


def calls(*made: tuple[str, dict[str, str]], words: str | None = None) -> dict[str, Any]:
    written = [
        {"id": f"{name}-{i}", "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}
        for i, (name, arguments) in enumerate(made)
    ]
    return {"role": "assistant", "content": words, "tool_calls": written}


def returns(text: str, call: str = "") -> dict[str, Any]:
    return {"role": "tool", "content": text, **({"tool_call_id": call} if call else {})}


def captured(messages: list[dict[str, Any]], results: str = "keep", session: str = "s") -> list[Event]:
    turns = [spoken(message) for message in messages]
    return events_of(turns, boundaries(turns), session=session, results=results)


def found(*messages: dict[str, Any], agent: Agent = NATIVE) -> Extracted:
    return extract_whole(captured(list(messages)), agent)


def only(*messages: dict[str, Any], agent: Agent = NATIVE) -> Candidate:
    (candidate,) = found(*messages, agent=agent).candidates
    Example.model_validate({"messages": structured(candidate.messages, agent)})  # a dialogue that can be trained
    return candidate


def in_short(candidate: Candidate) -> list[tuple[str, bool]]:
    """Each turn's role, and whether it is trained."""
    return [(m["role"], m["role"] == "assistant" and m.get("weight") != 0) for m in candidate.messages]


SEARCHED = [
    user("Where is the parser, and what does it do?"),
    calls(("find", {"query": "parser"})),
    returns('{"path": "src/lexer.py"}'),
    calls(("read", {"path": "src/lexer.py"})),
    returns("def parse(): ..."),
    says("It is in src/lexer.py and does nothing yet."),
]


def test_a_whole_dialogue_is_learned_with_its_results_and_its_last_words() -> None:
    candidate = only(*SEARCHED)
    assert [m["content"] for m in candidate.messages if m["role"] == "tool"] == [
        '{"path": "src/lexer.py"}',
        "def parse(): ...",
    ]
    assert candidate.messages[-1] == {"role": "assistant", "content": "It is in src/lexer.py and does nothing yet."}
    assert all(trained for role, trained in in_short(candidate) if role == "assistant")
    assert (candidate.kind, candidate.tools, candidate.whole) == ("chain", ["find", "read"], True)


def test_with_shapes_alone_the_same_dialogue_teaches_nothing_of_what_only_results_show() -> None:
    result = extract_whole(captured(SEARCHED, "shape"), NATIVE)
    assert (result.candidates, result.left_out) == ([], {"unseen": 1})


EDITED = [
    user("Make the tests in tests/test_a.py pass."),
    calls(("test", {"path": "tests/test_a.py"})),
    returns("Error: AssertionError in src/a.py, line 3: f(1) is 2"),
    calls(("edit", {"path": "src/a.py", "old": "2", "new": "1"})),
    returns("ok"),
    calls(("test", {"path": "tests/test_a.py"})),
    returns("1 passed"),
    says("They pass now."),
]


def test_a_call_that_failed_is_shown_and_not_trained_and_may_be_made_again() -> None:
    candidate = only(*EDITED)
    assert candidate.kind == "recovered"
    trained = [trained for role, trained in in_short(candidate) if role == "assistant"]
    assert trained == [False, True, True, True]
    assert "AssertionError" in candidate.messages[2]["content"]
    assert candidate.tools == ["edit", "test"]
    assert candidate.reason.startswith("1 of 3 answers failed")


def test_a_corrected_round_is_shown_before_the_right_one_and_not_trained() -> None:
    candidate = only(
        user("Read the config."),
        calls(("read", {"path": "config.json"})),
        returns("{}"),
        says("It is empty."),
        user("No, I meant config.toml."),
        calls(("read", {"path": "config.toml"})),
        returns("a = 1"),
        says("It sets a to 1."),
    )
    assert candidate.kind == "user_correction"
    assert [trained for role, trained in in_short(candidate) if role == "assistant"] == [False, False, True, True]


def test_a_corrected_round_that_was_broken_off_leaves_its_question() -> None:
    candidate = only(
        user("Read the config."),
        calls(("read", {"path": "config.json"})),
        returns("{}"),
        user("No, I meant config.toml."),
        calls(("read", {"path": "config.toml"})),
        returns("a = 1"),
    )
    assert candidate.messages[0]["content"] == "Read the config.\nNo, I meant config.toml."
    assert in_short(candidate) == [("user", False), ("assistant", True)]


def test_a_call_that_the_user_refused_is_not_learned_later() -> None:
    result = found(
        user("Read config.json or config.toml."),
        calls(("read", {"path": "config.json"})),
        returns("{}"),
        says("Read."),
        user("No, that's wrong."),
        calls(("read", {"path": "config.json"})),
        returns("{}"),
        says("Read again."),
    )
    assert result.candidates == []
    assert result.left_out == {"corrected": 1, "known-wrong": 1}


def test_rounds_that_need_earlier_ones_join_them_and_others_stand_alone() -> None:
    result = found(
        *SEARCHED,
        user("Replace parse there by scan."),  # src/lexer.py stands in the round before
        calls(("edit", {"path": "src/lexer.py", "old": "parse", "new": "scan"})),
        returns("ok"),
        says("Done."),
        user("What is in docs/guide.md?"),
        calls(("read", {"path": "docs/guide.md"})),
        returns("# Guide"),
        says("A heading."),
    )
    assert [sum(m["role"] == "user" for m in c.messages) for c in result.candidates] == [2, 1]
    assert result.left_out == {}


def test_what_nothing_shows_is_not_learned() -> None:
    result = found(
        user("Read the notes."),
        calls(("find", {"query": "notes"})),
        returns("two files"),
        calls(("read", {"path": "var/private/diary77.md"})),
        returns("text"),
        says("Done."),
    )
    assert (result.candidates, result.left_out) == ([], {"unseen": 1})


@pytest.mark.parametrize(
    ("last", "code"),
    [
        ([calls(("read", {"path": "a.py"}))], "no-outcome"),
        ([calls(("read", {"path": "a.py"})), returns("Error: no such file")], "failed"),
        ([calls(("read", {"path": "a.py"})), returns("[Old tool result content cleared]"), says("Hm.")], "no-outcome"),
        ([calls(("read", {"path": "a.py"}), ("read", {"path": "b.py"})), returns("x", "read-0")], "no-outcome"),
        ([calls(("read", {"path": "a.py"})), returns("ann"), says("Write to [e-mail].")], "marked"),
        ([says("Which one?")], ""),
    ],
    ids=["no-result", "failed", "cleared", "one-of-two", "mark", "words-alone"],
)
def test_a_round_that_did_not_work_is_left_out_and_counted(last: list[dict[str, Any]], code: str) -> None:
    result = found(
        user("Read c.py."),
        calls(("read", {"path": "c.py"})),
        returns("c"),
        says("It says c."),
        user("Read a.py and b.py."),
        *last,
    )
    [candidate] = result.candidates
    assert candidate.messages[-1]["content"] == "It says c."
    assert result.left_out == ({code: 1} if code else {"no-call": 1})


def test_words_that_were_cut_are_not_trained() -> None:
    events = captured(SEARCHED)
    events[-1] = events[-1].model_copy(update={"finish": "length"})
    [candidate] = extract_whole(events, NATIVE).candidates
    assert candidate.messages[-1]["content"].startswith("<tool_call>")


def test_parallel_calls_have_their_results_in_their_order() -> None:
    candidate = only(
        user("Compare a.py and b.py."),
        calls(("read", {"path": "a.py"}), ("read", {"path": "b.py"})),
        returns("of b", "read-1"),
        returns("of a", "read-0"),
        says("They differ."),
    )
    turns = structured(candidate.messages, NATIVE)
    asked = [call["function"]["arguments"]["path"] for call in turns[1]["tool_calls"]]
    assert [(path, turn["content"]) for path, turn in zip(asked, turns[2:4], strict=True)] == [
        ("a.py", "of a"),
        ("b.py", "of b"),
    ]
    assert [turn["tool_call_id"] for turn in turns[2:4]] == [call["id"] for call in turns[1]["tool_calls"]]


def test_structured_turns_keep_their_weight() -> None:
    turns = structured(only(*EDITED).messages, NATIVE)
    assert [turn.get("weight") for turn in turns if turn["role"] == "assistant"] == [0, None, None, None]
    assert all(turn.get("tool_calls") for turn in turns[1:6:2])


def test_a_wrong_call_that_no_model_of_the_project_could_write_is_left_out_of_a_native_example() -> None:
    said = [
        user("Read a.py."),
        calls(("open_file", {"path": "a.py"})),
        returns("Error: unknown tool open_file"),
        calls(("read", {"path": "a.py"})),
        returns("a"),
        says("It says a."),
    ]
    assert in_short(only(*said)) == [("user", False), ("assistant", True), ("tool", False), ("assistant", True)]


def test_what_only_the_result_of_a_left_out_call_shows_is_not_learned() -> None:
    said = [
        user("Read the zebra file."),
        calls(("open_file", {"path": "zebra"})),
        returns("Error: unknown tool open_file; the zebra file is src/zebra.py"),
        calls(("read", {"path": "src/zebra.py"})),
        returns("stripes"),
        says("It has stripes."),
    ]
    assert (found(*said).candidates, found(*said).left_out) == ([], {"unseen": 1})


def test_a_failure_that_the_example_does_not_show_is_no_recovery() -> None:
    broken = {"id": "r", "type": "function", "function": {"name": "read", "arguments": '{"path": '}}
    candidate = only(
        user("Read a.py."),
        {"role": "assistant", "content": None, "tool_calls": [broken]},
        returns("Error: invalid arguments", "r"),
        calls(("read", {"path": "a.py"})),
        returns("a"),
        says("It says a."),
    )
    assert (candidate.kind, candidate.reason) == ("corrected_retry", "1 of 2 answers failed, and this worked")


@pytest.mark.parametrize("words", [" \n", "<think>It is in the lexer.</think>"])
def test_an_empty_last_answer_is_left_out(words: str) -> None:
    assert in_short(only(*SEARCHED[:-1], says(words))) == in_short(only(*SEARCHED))[:-2]


def test_last_words_in_two_turns_are_one_answer() -> None:
    candidate = only(*SEARCHED, says("Shall I write it?"))
    assert candidate.messages[-1]["content"] == "It is in src/lexer.py and does nothing yet.\n\nShall I write it?"
    assert len(candidate.events) == len(only(*SEARCHED).events) + 1


READ = [calls(("read", {"path": "src/a.py"})), returns("x = 1"), says("It sets x.")]


@pytest.mark.parametrize("reply", ["src/a.py", "The one in src/a.py, please; the others are old."])
def test_a_reply_to_the_agent_s_question_stands_behind_it(reply: str) -> None:
    candidate = only(user("Read the config for me."), says("Which file do you mean?"), user(reply), *READ)
    assert in_short(candidate)[:3] == [("user", False), ("assistant", False), ("user", False)]
    assert candidate.messages[2]["content"] == reply


@pytest.mark.parametrize("results", ["keep", "shape"])
def test_a_question_may_stand_before_other_words(results: str) -> None:
    asked = says("Which file do you mean? I see src/a.py and src/b.py.")
    result = extract_whole(captured([user("Read the config."), asked, user("src/a.py"), *READ], results), NATIVE)
    assert [len(candidate.messages) for candidate in result.candidates] == ([6] if results == "keep" else [])


def test_a_reply_after_a_failure_stands_behind_it() -> None:
    failed = [
        calls(("read", {"path": "a.py"})),
        returns("Error: no such file a.py"),
        says("It isn't there. Where is it?"),
    ]
    candidate = only(user("Read a.py."), *failed, user("src/a.py"), *READ)
    assert [m["role"] for m in candidate.messages[:5]] == ["user", "assistant", "tool", "assistant", "user"]


def test_a_yes_to_the_agent_s_offer_stands_behind_it() -> None:
    here = {
        "type": "function",
        "function": {"name": "status", "description": "State.", "parameters": {"type": "object"}},
    }
    agent = Agent(parse_tool_list(json.dumps([*TOOLS, here]), Path("tools.json")), calls="native")
    offered = [*READ[:2], says("It sets x. Shall I show the status?"), user("Yes."), calls(("status", {}))]
    candidate = only(user("Read src/a.py."), *offered, returns("clean"), says("All is clean."), agent=agent)
    assert (candidate.tools, candidate.messages[4]["content"]) == (["read", "status"], "Yes.")


def test_a_new_request_after_a_question_stands_alone() -> None:
    again = [calls(("read", {"path": "src/b.py"})), returns("y = 1"), says("It sets y.")]
    result = found(user("Read src/a.py."), *READ[:2], says("It sets x. What next?"), user("Read src/b.py."), *again)
    assert [candidate.messages[0]["content"] for candidate in result.candidates] == ["Read src/a.py.", "Read src/b.py."]


def test_with_shapes_alone_a_bare_reply_is_not_learned() -> None:
    said = [user("Read the config for me."), says("Which file do you mean?"), user("src/a.py"), *READ]
    result = extract_whole(captured(said, "shape"), NATIVE)
    assert (result.candidates, result.left_out) == ([], {"no-call": 1, "unseen": 1})


def test_programs_are_learned_as_text() -> None:
    def runs(code: str) -> dict[str, Any]:
        return says(
            f"<tool_call><function=execute_code>\n<parameter=code>\n{code}\n</parameter>\n</function></tool_call>"
        )

    candidate = only(
        user("Read the parser."),
        runs('print(find("parser"))'),
        user("<tool_response>\nsrc/lexer.py\n</tool_response>"),
        runs('print(read("src/lexer.py"))'),
        user("<tool_response>\ndef parse(): ...\n</tool_response>"),
        says("It has parse()."),
        agent=CODE,
    )
    assert [m["role"] for m in candidate.messages] == ["user", "assistant", "tool", "assistant", "tool", "assistant"]
    assert candidate.messages[2]["content"] == "src/lexer.py"
    case = captured_case(candidate, "code", CODE)
    assert case.messages is not None
    assert [m.role for m in case.messages] == ["user", "assistant", "tool"]
    assert [call.tool for call in case.expect.calls] == ["read"]


def test_a_case_asks_for_the_last_calls_after_the_results_before_them() -> None:
    case = captured_case(only(*EDITED), "fix", NATIVE)
    assert case.messages is not None
    assert [m.role for m in case.messages] == ["user", "assistant", "tool", "assistant", "tool"]
    assert all(m.weight is None for m in case.messages)
    [call] = case.expect.calls
    assert (call.tool, call.args) == ("test", {"path": "tests/test_a.py"})
    single = captured_case(only(*EDITED[:1], *EDITED[5:]), "fix", NATIVE)
    assert (single.prompt, single.messages) == (EDITED[0]["content"], None)


def test_a_dialogue_that_continues_in_a_new_one_is_read_as_first_answers() -> None:
    first = captured(
        [user("Read the config."), calls(("read", {"path": "config.json"})), returns("{}"), says("It is empty.")]
    )
    second = captured(
        [user("No, I meant config.toml."), calls(("read", {"path": "config.toml"})), returns("a"), says("It says a.")]
    )
    [candidate] = extract_whole([*first, *second], NATIVE).candidates
    assert (candidate.kind, candidate.whole) == ("user_correction", False)


def test_a_long_session_is_read_in_time() -> None:
    rounds = [
        message
        for i in range(60)
        for message in (
            user(f"Read src/file{i}.py."),
            calls(("read", {"path": f"src/file{i}.py"})),
            returns(f"line {i}\n" * 2000),
            says("Read."),
        )
    ]
    assert len(found(*rounds).candidates) == 60
