"""The tables of docs/suites.md: every answer in them has the score and the reason that stand beside it."""

from __future__ import annotations

import ast
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from topcoat.calls.parsing import parse
from topcoat.calls.sandbox import Sandbox
from topcoat.errors import Where
from topcoat.scoring.scorers import NEED_RUN, SCORERS
from topcoat.spec.agent import Agent, Route
from topcoat.spec.expect import Expect, catalog_mistakes
from topcoat.spec.rules.rule import RULE_KEYS
from topcoat.spec.suite import Case
from topcoat.spec.tools.tool_list import parse_tool_list

PAGE = (Path(__file__).parents[2] / "docs" / "suites.md").read_text()


def rows(heading: str) -> list[list[str]]:
    """The cells of the table under these headings."""
    table = PAGE.partition(f"\n{heading}\n")[2].partition("\n\n")[0]
    return [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in table.splitlines()[1:]]


def plain(cell: str) -> str:
    return cell.removeprefix("`").removesuffix("`")


NATIVE = rows("| scorer | expect | native answer | score | reason |")
PROGRAMS = rows("| scorer | expect | program | score | reason |")
RULES = rows("| rule | right | wrong | reason |")


@pytest.fixture(scope="module")
def tools() -> str:
    listed = PAGE.partition("    [{")[2].partition("\n\n")[0]
    return "[{" + listed


def agent_with(tools: str, calls: Route) -> Agent:
    return Agent(parse_tool_list(tools, Path("tools.json")), calls=calls)


def native(cell: str) -> str:
    """The answer in a cell: words, or calls as one of the dialects writes them."""
    if not cell.startswith("`"):
        return cell
    return "\n".join(_tool_call(call) for call in re.findall(r"\w+\(.*?\)(?= |$)", plain(cell)))


def _tool_call(source: str) -> str:
    call = ast.parse(source, mode="eval").body
    assert isinstance(call, ast.Call)
    assert isinstance(call.func, ast.Name)
    arguments = {keyword.arg: ast.literal_eval(keyword.value) for keyword in call.keywords}
    return f"<tool_call>{json.dumps({'name': call.func.id, 'arguments': arguments})}</tool_call>"


def scored(scorer: str, expect: Expect, text: str, agent: Agent) -> tuple[float, str]:
    answer = parse(text, agent)
    if scorer in NEED_RUN:
        with Sandbox(agent.catalog) as sandbox:
            answer = replace(answer, run=sandbox.run(answer.programs))
    return SCORERS[scorer](expect, answer, agent)


@pytest.mark.parametrize(("scorer", "expect", "answer", "score", "reason"), NATIVE)
def test_native_answers(tools: str, scorer: str, expect: str, answer: str, score: str, reason: str) -> None:
    agent = agent_with(tools, "native")
    expected = Expect.model_validate(json.loads(plain(expect)))
    assert catalog_mistakes(expected, Where(Path("s.jsonl")), agent.catalog) == []
    assert scored(plain(scorer), expected, native(answer), agent) == (float(score), reason)


@pytest.mark.parametrize(("scorer", "expect", "program", "score", "reason"), PROGRAMS)
def test_programs(tools: str, scorer: str, expect: str, program: str, score: str, reason: str) -> None:
    agent = agent_with(tools, "code")
    expected = Expect.model_validate(json.loads(plain(expect)))
    document = {"name": "execute_code", "arguments": {"code": plain(program)}}
    value, why = scored(plain(scorer), expected, f"<tool_call>{json.dumps(document)}</tool_call>", agent)
    assert value == pytest.approx(float(score))
    assert why == reason


@pytest.mark.parametrize(("rule", "right", "wrong", "reason"), RULES)
@pytest.mark.parametrize("route", ["native", "code"])
def test_rules(tools: str, route: Route, rule: str, right: str, wrong: str, reason: str) -> None:
    agent = agent_with(tools, route)
    expected = Expect.model_validate({"calls": [{"tool": "forecast", "args": json.loads(plain(rule))}]})
    assert catalog_mistakes(expected, Where(Path("s.jsonl")), agent.catalog) == []
    assert call_with(right, expected, agent)[0] == 1.0
    assert call_with(wrong, expected, agent) == (0.0, f"forecast is called {reason}")


def call_with(argument: str, expected: Expect, agent: Agent) -> tuple[float, str]:
    """The score of a call with the argument in a cell. The required city is Oslo unless it is given."""
    given = "" if argument == "nothing" else plain(argument)
    source = f"forecast({given})" if given.startswith("city=") else f"forecast(city='Oslo', {given})"
    document = json.dumps({"name": "execute_code", "arguments": {"code": source}})
    text = _tool_call(source) if agent.calls == "native" else f"<tool_call>{document}</tool_call>"
    return scored("calls", expected, text, agent)


def test_every_scorer_and_every_key_of_a_rule_has_a_row() -> None:
    overview = [plain(row[0]) for row in rows("| scorer | reads | a score of 1 | other scores |")]
    literal: Any = Case.model_fields["scorer"].annotation
    assert set(overview) == {*SCORERS, "episode"} == set(literal.__args__)
    assert {plain(row[0]) for row in [*NATIVE, *PROGRAMS]} == set(SCORERS)
    assert all(any(f'"{key}"' in row[0] for row in RULES) for key in RULE_KEYS)
