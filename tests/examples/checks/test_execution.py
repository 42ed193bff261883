from __future__ import annotations

import pytest

from tests.support.examples import CATALOG, call, clean_examples, dialogue, located
from topcoat.calls.sandbox import Sandbox
from topcoat.examples.checks import execution as module
from topcoat.examples.checks.execution import check_runs, runnable_programs
from topcoat.spec.agent import Agent
from topcoat.store.records import Finding

FAILING = 'count = len(find("a"))\nprint(10 / (count - 2))'


def ran(*codes: str) -> list[Finding]:
    examples = [located(dialogue(f"q {line}", call(code)), line) for line, code in enumerate(codes, 1)]
    with Sandbox(CATALOG) as sandbox:
        return check_runs(runnable_programs(examples, Agent(CATALOG)), sandbox)


def test_code_that_reads_well_and_fails_is_named_once_at_its_first_place() -> None:
    (found,) = ran('print(read_file("a").text)', FAILING, FAILING)
    assert (found.code, found.severity, found.where) == ("sandbox", "warning", "data.jsonl:2")
    assert "line 2: ZeroDivisionError" in found.message
    assert "2 examples" in found.message


def test_types_are_followed_where_reading_gives_up() -> None:
    (found,) = ran('def f(x):\n    return x[0]\nprint(f(find("a")).size)')
    assert "size" in found.message


def test_what_reading_reports_is_not_run() -> None:
    assert ran("print(read_file('a').size)", "wipe()", "print(") == []


def test_clean_examples_run() -> None:
    with Sandbox(CATALOG) as sandbox:
        assert check_runs(runnable_programs(clean_examples(40), Agent(CATALOG)), sandbox) == []


def test_only_so_many_are_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_RUN", 1)
    assert ran("print(1)", FAILING) == []
