"""The examples of docs/suites.md: the episodes there have the scores and the reasons that stand beside them."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest

from tests.support.scripted import Scripted, calling
from topcoat.progress import Silent
from topcoat.spec.agent import Agent
from topcoat.spec.suite import load_suite
from topcoat.spec.tools.stubs import parse_stubs
from topcoat.suites.evaluate import evaluate

PAGE = (Path(__file__).parents[3] / "docs" / "suites.md").read_text().partition("## Episodes")[2]
STUBS = (
    "def order(number: int) -> dict: ...\ndef refund(number: int, cents: int) -> str: ...\ndef clock() -> str: ...\n"
)
AGENT = Agent(parse_stubs(STUBS, Path("tools.pyi")), calls="native")
HEADING = "| what the model answers, one after another | score | reason |\n| --- | --- | --- |\n"


def fences(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def rows() -> list[tuple[int, list[str], str, str]]:
    """The number of the example, the answers, the score and the reason of each row."""
    found = []
    for number, table in enumerate(PAGE.split(HEADING)[1:]):
        for line in table.partition("\n\n")[0].splitlines():
            answers, score, reason = (cell.strip() for cell in line.strip("| ").split(" | "))
            found.append((number, [answer.strip() for answer in answers.split(" → ")], score, reason))
    return found


def answer(written: str) -> str:
    if not written.startswith("`"):
        return written
    call = ast.parse(written.strip("`"), mode="eval").body
    assert isinstance(call, ast.Call)
    assert isinstance(call.func, ast.Name)
    return calling((call.func.id, {word.arg or "": ast.literal_eval(word.value) for word in call.keywords}))


def test_every_example_is_tested() -> None:
    assert len(fences("json")) == 2
    assert len(fences("python")) == 1
    assert {number for number, *_ in rows()} == {0, 1}


@pytest.mark.parametrize(("number", "answers", "score", "reason"), rows())
def test_a_row(tmp_path: Path, number: int, answers: list[str], score: str, reason: str) -> None:
    (tmp_path / "shop.py").write_text(fences("python")[0])
    case = json.loads(fences("json")[number])
    path = tmp_path / "suite.jsonl"
    path.write_text(json.dumps(case))
    source = Scripted({case["id"]: [*map(answer, answers)]})
    (found,) = evaluate(source, load_suite(path, AGENT), AGENT, Silent(), "m").scores
    assert (f"{found.value:g}", found.reason) == (score, reason)


def test_the_line_of_a_failure_is_told(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(fences("python")[0])
    case = json.loads(fences("json")[1])
    (tmp_path / "suite.jsonl").write_text(json.dumps(case))
    source = Scripted({case["id"]: [calling(("refund", {"number": 7, "cents": 900})), "Sorry."]})
    (found,) = evaluate(source, load_suite(tmp_path / "suite.jsonl", AGENT), AGENT, Silent(), "m").scores
    assert found.transcript is not None
    problem = found.transcript.turns[0].steps[0].calls[0].problem
    assert f"`{problem}`" in PAGE
