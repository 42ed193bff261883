"""What the terminal shows of evidence, at the width of a plain terminal."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable
from typing import TypeVar

import pytest
from rich.console import Console

from topcoat.cli.display import show_check, show_comparison, show_error, show_evaluation, show_status
from topcoat.errors import InvalidInput, Mistake
from topcoat.phases.history import ProjectStatus
from topcoat.store.records import (
    Budget,
    CategoryScore,
    CheckReport,
    EvalResult,
    Finding,
    FormatShare,
    Score,
)
from topcoat.suites.evidence.compare import compare
from topcoat.suites.evidence.matrix import Stage, score_matrix

T = TypeVar("T")


def evaluation(model: str, **solved: int) -> EvalResult:
    """27 cases a category, of which the first `solved` are right."""
    return EvalResult(
        model=model,
        suite_digest="s",
        categories=[
            CategoryScore(category=name, n=27, mean=n / 27, solved=n, interval=(0.25, 0.75))
            for name, n in solved.items()
        ],
        scores=[
            Score(case_id=f"{name}-{i}", category=name, value=float(i < n), reason="", scorer="tiered")
            for name, n in solved.items()
            for i in range(27)
        ],
        seconds=0.0,
        generated_tokens=0,
    )


BEFORE = evaluation("phase33b", domain=13, multi_tool=2, text_tools=27, git=27, lsp=20)
AFTER = evaluation("phase34a-1", domain=25, multi_tool=2, text_tools=17, git=21, lsp=19)


def shown(show: Callable[[Console, T], None], record: T, width: int = 80) -> list[str]:
    text = io.StringIO()
    show(Console(file=text, width=width), record)
    return text.getvalue().splitlines()


def test_different_hints_of_one_code_are_shown_each_once() -> None:
    budget = Budget.model_validate(dict.fromkeys(Budget.model_fields, 0))
    hints = ["one", "one", "two", "three", "four"]
    found = [
        Finding(code="not-chat", severity="error", where=f"x:{n}", message="m", hint=hint)
        for n, hint in enumerate(hints, 1)
    ]
    lines = shown(show_check, CheckReport(phase="p", findings=found, budget=budget))
    assert [line.split()[1] for line in lines if line.strip().startswith("hint:")] == ["one", "two", "three"]


def words(lines: list[str], first: str) -> list[list[str]]:
    """The line that begins with `first` and the one below it, in words."""
    index = next(i for i, line in enumerate(lines) if line.split()[:1] == [first])
    return [lines[index].split(), lines[index + 1].split()]


def test_a_comparison_shows_interval_call_p_and_what_could_have_shown() -> None:
    lines = shown(show_comparison, compare(BEFORE, AFTER))
    assert words(lines, "domain") == [
        ["domain", "27", "48.1%", "92.6%", "+44.4", "confirmed", "better", "falls", "≥", "38"],
        ["31–66%", "77–98%", "p", "0.00049,", "Holm", "0.002"],
    ]
    assert words(lines, "text_tools")[0][5:] == ["confirmed", "worse", "falls", "≥", "53"]
    assert words(lines, "git") == [
        ["git", "27", "100.0%", "77.8%", "-22.2", "suspected", "falls", "≥", "49"],
        ["88–100%", "59–89%", "p", "0.031,", "Holm", "0.062"],
    ]
    assert words(lines, "lsp")[0][4:6] == ["-3.7", "indistinguishable"]
    assert words(lines, "multi_tool")[0][4:] == ["0", "indistinguishable", "no", "fall"]


def test_an_evaluation_shows_its_intervals() -> None:
    assert words(shown(show_evaluation, BEFORE), "git")[0] == ["git", "100.0%", "25–75%", "27", "27"]


def test_an_evaluation_shows_how_the_format_is_kept() -> None:
    formats = [
        FormatShare(temperature=0.0, answers=40, right=40),
        FormatShare(temperature=0.7, answers=200, right=193, errors=1, wrong=[f"git-{i}" for i in range(6)]),
    ]
    lines = shown(show_evaluation, BEFORE.model_copy(update={"formats": formats}))
    assert lines[-2:] == [
        "format: 100.0% of 40 answers call tools through execute_code alone at temperature 0",
        "format: 96.5% of 200 answers call tools through execute_code alone at temperature 0.7, 1 without an answer; "
        "not those of git-0, git-1, git-2, git-3, git-4, ...",
    ]


def test_the_status_shows_the_matrix_and_its_figures() -> None:
    stages = [Stage("phase33b", None, [], BEFORE), Stage("phase34a-1", "phase34a", ["domain"], AFTER)]
    status = ProjectStatus(project="p", production="phase34a-1", models=[], phases=[], matrix=score_matrix(stages))
    lines = shown(show_status, status)
    assert words(lines, "after")[0] == ["after", "domain", "multi_tool", "text_tools", "git", "lsp"]
    assert words(lines, "phase34a-1")[0] == ["phase34a-1", "92.6%", "7.4%", "63.0%", "77.8%", "70.4%"]
    assert lines[-1] == "average 62.2%, backward transfer -15.7 points, forward transfer –, forgetting +15.7 points"
    alone = status.model_copy(update={"matrix": score_matrix(stages[:1])})
    assert "average" not in "".join(shown(show_status, alone))


@pytest.mark.parametrize("width", [10, 40, 60, 80, 120])
def test_a_narrow_terminal_loses_no_figure_and_breaks_no_word(width: int) -> None:
    found = compare(BEFORE, AFTER)
    wide, narrow = (shown(show_comparison, found, columns) for columns in (200, width))
    table = narrow[: narrow.index(next(line for line in narrow if line.startswith("95% intervals")))]
    assert "…" not in "".join(narrow)
    assert all(len(line) <= width or " " not in line.strip() for line in table)
    expected, words_there = (Counter(" ".join(lines).replace("─", "").split()) for lines in (wide, narrow))
    kept = Counter[str]({"category": 1})  # the first column needs no header where rows are blocks
    for word, count in words_there.items():
        kept[word.rstrip(",;")] += count
    assert not {word: n for word, n in expected.items() if kept[word.rstrip(",;")] < n}


def test_of_very_many_mistakes_the_first_are_shown() -> None:
    mistakes = [Mistake(f"mistake {number}.") for number in range(1, 1001)]
    lines = shown(show_error, InvalidInput.collect("f", mistakes))
    assert (lines[0], lines[1], lines[-2]) == ("error: f: 1000 mistakes", "mistake 1.", "mistake 100.")
    assert lines[-1] == "... and 900 more"
