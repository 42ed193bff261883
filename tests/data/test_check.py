from __future__ import annotations

from pathlib import Path

import pytest

from topcoat.data.check import (
    CODES,
    check_categories,
    check_examples,
    check_quota,
    check_rows,
    check_validation,
)
from topcoat.data.rows import OverLong
from topcoat.errors import Where
from topcoat.records import Finding
from topcoat.spec.catalog import parse_catalog
from topcoat.spec.example import Example, LocatedExample
from topcoat.spec.suite import Case, Suite

CATALOG = parse_catalog("def read_file(path: str) -> str: ...\n", Path("tools.pyi"))
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
    return check_examples(examples, SUITE, CATALOG, SYSTEM)


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


def test_a_copy_is_named_with_its_original() -> None:
    (finding,) = check(located(line=1, user="q"), located(line=9, user="q"))
    assert (finding.code, finding.where) == ("duplicate", "data.jsonl:9")
    assert "data.jsonl:1" in finding.message


def test_a_category_without_a_case_is_named() -> None:
    (finding,) = check_categories([located(category="fils")], SUITE.categories)
    assert finding.code == "unknown-category"


def test_quota_is_compared_both_ways() -> None:
    findings = check_quota([located(), located(line=2)], {"files": 2, "git": 3}, Where(Path("phase.toml")))
    assert [(f.code, f.message) for f in findings] == [("quota", "git: 0 examples, the quota is 3")]


def test_validation_that_repeats_a_trained_question_is_named() -> None:
    (finding,) = check_validation([located(line=4, user="Q one?")], [located(line=8, user="q  ONE"), located(line=9)])
    assert (finding.code, finding.where) == ("valid-overlap", "data.jsonl:8")


def test_over_long_and_partly_masked_rows_are_named() -> None:
    where = Where(Path("data.jsonl"), 5)
    findings = check_rows([OverLong(where, 900, 512)], [where])
    assert [f.code for f in findings] == ["over-long", "partly-masked"]
    assert findings[0].hint == "max_seq_length = 900"
