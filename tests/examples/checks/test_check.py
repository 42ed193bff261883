from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support import examples
from tests.support.examples import dialogue
from topcoat.calls.answer import Run
from topcoat.calls.sandbox import Answering, Sandbox
from topcoat.engine.fake import FakeTokenizer
from topcoat.engine.protocol import Row
from topcoat.errors import Where
from topcoat.examples.checks.check import (
    CODES,
    check_balance,
    check_categories,
    check_context,
    check_delimiters,
    check_examples,
    check_held_out,
    check_quota,
    check_repeats,
    check_replay,
    check_rows,
    check_validation,
)
from topcoat.examples.checks.execution import check_runs, runnable_programs
from topcoat.examples.reading import read_examples
from topcoat.examples.rows import Cut, Encoded, OverLong, Unrenderable
from topcoat.spec.agent import Agent
from topcoat.spec.example import Example, LocatedExample
from topcoat.spec.suite import Case, Suite
from topcoat.spec.tools.stubs import parse_stubs
from topcoat.store.records import Finding

CATALOG = parse_stubs("def read_file(path: str) -> str: ...\n", Path("tools.pyi"))
SUITE = Suite(
    Path("suite.jsonl"),
    (
        Case.model_validate(
            {
                "id": "files-1",
                "category": "files",
                "prompt": "Show me the README.",
                "expect": {"calls": [{"tool": "read_file"}]},
            }
        ),
    ),
)
SYSTEM = "You call tools."
PHASE = Where(Path("phase.toml"))


def call(code: str) -> str:
    return f"<tool_call><function=execute_code>\n<parameter=code>\n{code}\n</parameter>\n</function></tool_call>"


def located(answer: str = call('print(read_file("x"))'), *, line: int = 1, **changes: str) -> LocatedExample:
    messages = [
        {"role": "system", "content": changes.get("system", SYSTEM)},
        {"role": "user", "content": changes.get("user", f"question {line}")},
        {"role": "assistant", "content": answer},
    ]
    example = Example.model_validate({"messages": messages, "category": changes.get("category", "files")})
    return LocatedExample(example, Where(Path("data.jsonl"), line))


def check(*examples: LocatedExample) -> list[Finding]:
    return check_examples(examples, SUITE, Agent(CATALOG, SYSTEM))


def test_clean_examples_have_no_findings() -> None:
    prose = located("It is a text file.", line=3)
    defined = located(call("def f(x):\n    return len(x)\nfor g in [f]:\n    g(read_file('a'))"), line=2)
    assert check(located(), defined, prose) == []
    assert check_categories([located()], SUITE.categories) == []


@pytest.mark.parametrize(
    ("planted", "code", "severity"),
    [
        (located(system="You are helpful."), "system-prompt", "error"),
        (located(user="show me  the readme"), "eval-overlap", "error"),
        (located(call("print(read_fil('x'))")), "unknown-tool", "error"),
        (located('<tool_call>{"name": "delete", "arguments": {}}</tool_call>'), "unknown-tool", "error"),
        (located("<tool_call><function=wipe></function></tool_call>"), "unknown-tool", "error"),
        (located(call("print(read_file('x'")), "broken-call", "error"),
        (located("<tool_call><function=execute_code>\n<parameter=code>\nread_file('x')"), "broken-call", "error"),
        (located('<tool_call>{"name": </tool_call>'), "broken-call", "error"),
    ],
)
def test_each_planted_fault_is_found_once(planted: LocatedExample, code: str, severity: str) -> None:
    findings = check(planted)
    assert [(f.code, f.severity, f.where) for f in findings] == [(code, severity, "data.jsonl:1")]
    assert code in CODES


@pytest.mark.parametrize(("brings", "severity"), [(True, "warning"), (False, "error")])
def test_a_native_dialogue_that_brings_tools_may_have_a_prompt_of_its_own(brings: bool, severity: str) -> None:
    tool = {"type": "function", "function": {"name": "look"}}
    turns = [{"role": "user", "content": "Say hello."}, {"role": "assistant", "content": "Hello."}]
    example = Example.model_validate({"messages": turns, **({"tools": [tool]} if brings else {})})
    agent = Agent(CATALOG, SYSTEM, "native")
    findings = check_examples([LocatedExample(example, PHASE)], SUITE, agent)
    assert [(f.code, f.severity) for f in findings] == [("system-prompt", severity)]


def test_a_copy_is_named_with_its_original() -> None:
    (finding,) = check(located(line=1, user="q"), located(line=9, user="q"))
    assert (finding.code, finding.where) == ("duplicate", "data.jsonl:9")
    assert "data.jsonl:1" in finding.message


def test_a_category_without_a_case_is_named() -> None:
    (finding,) = check_categories([located(category="fils")], SUITE.categories)
    assert finding.code == "unknown-category"


def test_nothing_to_validate_on_is_named() -> None:
    assert [f.code for f in check_held_out(0, PHASE)] == ["no-validation"]
    assert check_held_out(1, PHASE) == []


def test_replay_of_nothing_is_named() -> None:
    assert [f.code for f in check_replay(0.25, 0, PHASE)] == ["no-replay"]
    assert check_replay(0.25, 1, PHASE) == check_replay(0.0, 0, PHASE) == []


def test_quota_is_compared_both_ways() -> None:
    findings = check_quota([located(), located(line=2)], {"files": 2, "git": 3}, PHASE)
    assert [(f.code, f.message) for f in findings] == [("quota", "git: 0 examples, the quota is 3")]


def test_validation_that_repeats_a_trained_question_is_named() -> None:
    (finding,) = check_validation([located(line=4, user="Q one?")], [located(line=8, user="q  ONE"), located(line=9)])
    assert (finding.code, finding.where) == ("valid-overlap", "data.jsonl:8")


def test_rows_that_are_left_out_and_rows_of_their_own_are_named() -> None:
    where = Where(Path("data.jsonl"), 5)
    refused = [Unrenderable(where, "template-refusal", "no system"), Unrenderable(where, "unplaced-turn", "shifted")]
    findings = check_rows(Encoded([], [], [OverLong(where, 900, 512)], refused, [where]))
    assert [f.code for f in findings] == ["over-long", "template-refusal", "unplaced-turn", "several-rows"]
    assert [f.severity for f in findings] == ["warning", "error", "error", "warning"]
    assert findings[0].hint == "max_seq_length = 900"


def test_an_example_with_rows_that_the_model_was_not_made_for_is_named_once() -> None:
    short, long = located(line=1), located(line=2)
    rows = [Row(np.zeros(count, np.int32), np.ones(count, bool)) for count in (100, 101, 300)]
    encoded = Encoded(rows, [short, long, long], [], [], [])
    assert check_context(encoded, None) == check_context(encoded, 300) == []
    (finding,) = check_context(encoded, 100)
    assert (finding.code, finding.severity, finding.where) == ("beyond-context", "warning", str(long.where))
    assert finding.message == "300 tokens, the model was made for 100"


def test_dialogues_that_are_cut_are_named_with_what_is_lost() -> None:
    where = Where(Path("data.jsonl"), 5)
    cuts = [Cut(where, 900, 512, [500, 410], 6, 1, 9), Cut(where, 900, 512, [400], 0, 0, 1)]
    findings = check_rows(Encoded([], [], [], [], [], cut=cuts))
    assert {(f.code, f.severity, f.where) for f in findings} == {("cut-dialogue", "warning", "data.jsonl:5")}
    assert findings[0].message == (
        "900 tokens, max_seq_length is 512: cut at turns into 2 rows of 500, 410 tokens, of which one leaves out "
        "6 turns; 1 of 9 trained turns no longer trained"
    )
    assert findings[1].message.endswith("cut at turns into 1 row of 400 tokens; 0 of 1 trained turn no longer trained")


def test_what_the_chat_template_doesn_t_show_is_named() -> None:
    where = Where(Path("data.jsonl"), 5)
    encoded = Encoded([], [], [], [], [], [where], [where, where], [(where, "thinking")])
    findings = check_rows(encoded)
    assert [f.code for f in findings] == ["unshown-tools", "left-out-words", "endless-answer"]
    assert {(f.where, f.severity) for f in findings} == {("data.jsonl:5", "warning")}


def test_tools_that_no_case_is_asked_with_are_named() -> None:
    tools = [{"type": "function", "function": {"name": "f"}}]
    example = located().example.model_copy(update={"tools": tools})
    (finding,) = check(LocatedExample(example, Where(Path("data.jsonl"), 3)))
    assert (finding.code, finding.severity, finding.where) == ("unasked-tools", "warning", "data.jsonl:3")


def test_an_assistant_turn_without_words_and_calls_is_named() -> None:
    turns = [("user", "a"), ("assistant", " "), ("user", "b"), ("assistant", "Nothing.")]
    messages = [{"role": role, "content": text} for role, text in [("system", SYSTEM), *turns]]
    example = Example.model_validate({"messages": messages, "category": "files"})
    (finding,) = check(LocatedExample(example, Where(Path("data.jsonl"), 3)))
    assert (finding.code, finding.where) == ("empty-turn", "data.jsonl:3")


# Every finding, planted once in a file and around it.

KEY = "hf_" + "aB3dE5gH7jK9mN2pQ4sT6vW8xY" + "cD4fG6hJ"
REWORDED = "Explain how the wheel of the old mill by the river turns when the water is as low as it was last summer"
PLANTED: dict[str, list[dict[str, Any] | str]] = {
    "not-chat": ['{"text": "no chat"}'],
    "roles": ['{"messages": [{"role": "assistant", "content": "b"}, {"role": "user", "content": "a"}]}'],
    "broken-call": [dialogue("Which trees grow here?", "<tool_call><function=execute_code><parameter=code>\nx = 1")],
    "unknown-tool": [dialogue("Who planted the cedar?", examples.call("print(plant_of('cedar'))"))],
    "wrong-arguments": [dialogue("How old is the cedar?", examples.call("print(find(name='cedar'))"))],
    "unknown-field": [dialogue("What is in it, roughly?", examples.call("x = read_file('b')\nprint(x.summary)"))],
    "duplicate": [dialogue("Does it rain?", "Not today.")] * 2,
    "near-duplicate": [dialogue(REWORDED, "It floats."), dialogue(f"{REWORDED} now", "It floats.")],
    "same-template": [dialogue(f"Say what part_{i} of kit_{i} does", f"It moves arm_{i}.") for i in range(5)],
    "eval-overlap": [dialogue("show me the README of this project", "Of course.")],
    "eval-near": [dialogue("Where in lib/wheel is SteamBoiler defined?", "In another place.")],
    "eval-answer": [dialogue("Look up the wheel.", examples.call("print(define('FlywheelTurbine'))"))],
    "sandbox": [dialogue("Divide them.", examples.call("print(1 / (len(find('a')) - 2))"))],
    "secret": [dialogue("Log me in.", f"The key {KEY} was given.")],
    "system-prompt": [dialogue("Who is there?", "Nobody.", system="You are helpful.")],
    "unknown-category": [dialogue("Whose is it?", "Yours.", category="flies")],
}


class Remembering(Sandbox):
    """Runs a program once in all tests of this module."""

    def __init__(self) -> None:
        super().__init__(examples.CATALOG)
        self.ran: dict[str, Run] = {}

    def run(self, programs: Sequence[str], answering: Answering | None = None) -> Run:
        (code,) = programs
        if code not in self.ran:
            self.ran[code] = super().run(programs)
        return self.ran[code]


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Remembering() as opened:
        yield opened


def all_findings(path: Path, valid: list[LocatedExample], sandbox: Sandbox | None = None) -> list[Finding]:
    """Everything that can be found without a tokenizer; what needs to be run, only with a `sandbox`."""
    read, findings = read_examples(path, path.parent)
    findings += check_examples([*read, *valid], examples.SUITE, Agent(examples.CATALOG, examples.SYSTEM))
    if sandbox is not None:
        findings += check_runs(runnable_programs([*read, *valid], Agent(examples.CATALOG)), sandbox)
    findings += check_repeats(read)
    findings += check_validation(read, valid)
    findings += check_categories(read, examples.SUITE.categories)
    findings += check_balance(read, {}, PHASE)
    return findings + check_quota(read, {"search": 100}, PHASE)


@pytest.mark.slow
def test_nothing_is_found_in_200_clean_examples(tmp_path: Path, sandbox: Sandbox) -> None:
    path = tmp_path / "clean.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in examples.clean_rows(200)))
    apart = [examples.located(row, 1, "valid.jsonl") for row in examples.clean_rows(20, seed=5)]
    assert all_findings(path, apart, sandbox) == []
    assert check_delimiters(read_examples(path)[0], OneToken()) == []


@pytest.mark.parametrize("code", PLANTED)
def test_one_planted_instance_is_found_among_200_clean_examples(code: str, tmp_path: Path, sandbox: Sandbox) -> None:
    path = tmp_path / "data.jsonl"
    lines = [json.dumps(row) for row in examples.clean_rows(200)]
    lines[100:100] = [row if isinstance(row, str) else json.dumps(row) for row in PLANTED[code]]
    path.write_text("\n".join(lines))
    findings = [f for f in all_findings(path, [], sandbox) if f.code not in ("quota", "class-imbalance")]
    assert {f.code for f in findings} == {code}
    assert len({f.where for f in findings}) == 1
    place = 101 if code == "same-template" else 100 + len(PLANTED[code])
    assert findings[0].where == f"data.jsonl:{place}"
    assert all(f.hint and f.message and KEY not in f.message for f in findings)


def test_every_code_is_planted_somewhere() -> None:
    elsewhere = {
        "beyond-context",
        "eval-wording",
        "class-imbalance",
        "cut-dialogue",
        "no-replay",
        "no-validation",
        "empty-turn",
        "endless-answer",
        "left-out-words",
        "over-long",
        "quota",
        "several-rows",
        "split-delimiter",
        "stop-inside",
        "template-refusal",
        "thought-only",
        "unasked-tools",
        "unplaced-turn",
        "unrendered-turn",
        "unread-call",
        "unshown-tools",
        "valid-near",
        "valid-overlap",
        "wrapped-result",
    }
    assert PLANTED.keys() | elsewhere == CODES.keys()


def test_balance() -> None:
    many = [located(line=line) for line in range(1, 32)]
    (finding,) = check_balance([*many, *[located(line=i, category="git") for i in (40, 41, 42)]], {}, PHASE)
    assert (finding.code, finding.message) == ("class-imbalance", "git: 3 examples beside 31 of files")
    assert check_balance([*many, located(line=40, category="git")], {"git": 1}, PHASE) == []
    assert check_balance([*many, *[located(line=i, category="git") for i in range(40, 44)]], {}, PHASE) == []
    assert check_balance([], {}, PHASE) == []


def test_delimiters_that_are_several_tokens_are_named_at_their_first_use() -> None:
    findings = check_delimiters([located("Nothing.", line=1), located(line=2), located(line=3)], FakeTokenizer())
    assert [(f.code, f.where, f.message[:22]) for f in findings] == [
        ("split-delimiter", "data.jsonl:2", "<tool_call> is 11 toke"),
        ("split-delimiter", "data.jsonl:2", "</tool_call> is 12 tok"),
    ]
    assert check_delimiters([located()], OneToken()) == []


class OneToken(FakeTokenizer):
    """A tokenizer to which everything is one token."""

    def encode(self, text: str) -> list[int]:
        return [0]


@pytest.mark.parametrize("seed", range(4))
def test_spoiled_lines_are_reported_or_valid(seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    good = [json.dumps(row).encode() for row in examples.clean_rows(50)]
    path = tmp_path / "data.jsonl"
    path.write_bytes(good[0] + b"\n" + b"\n".join(examples.spoiled(rng.choice(good), rng) for _ in range(300)))
    read, findings = read_examples(path, tmp_path)
    named = {str(e.where) for e in read} | {f.where for f in findings}
    assert named == {f"data.jsonl:{n}" for n, line in enumerate(path.read_bytes().split(b"\n"), 1) if line.strip()}
    findings = all_findings(path, read[:20])
    assert all(f.code in CODES and f.message.isprintable() for f in findings)
    json.dumps([f.model_dump() for f in findings], ensure_ascii=False).encode()
