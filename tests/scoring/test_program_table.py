"""`calls` and `run` on programs whose worth a person has decided, in `programs/`.

Each table holds questions about the tools of one catalog, and right and wrong answers to them.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from topcoat.calls.parsing import parse
from topcoat.calls.sandbox import Sandbox
from topcoat.demo import TEMPLATE
from topcoat.scoring.scorers import SCORERS
from topcoat.spec.agent import Agent
from topcoat.spec.expect import Expect
from topcoat.spec.tools.stubs import parse_stubs
from topcoat.suites.evaluate import executed

PROGRAMS = Path(__file__).parent / "programs"
CATALOGS = ("workshop", "shop", "calendar")


@dataclass(frozen=True)
class Answered:
    """A program, and what it is worth according to the table. `about` says where it stands there."""

    about: str
    expect: Expect
    program: str
    right: bool

    @property
    def text(self) -> str:
        return (
            f"<tool_call><function=execute_code><parameter=code>\n{self.program}\n</parameter></function></tool_call>"
        )


def agent_of(catalog: str) -> Agent:
    path = TEMPLATE / "tools.pyi" if catalog == "workshop" else PROGRAMS / f"{catalog}.pyi"
    return Agent(parse_stubs(path.read_text(encoding="utf-8"), path))


def table(catalog: str) -> Iterator[Answered]:
    document = tomllib.loads((PROGRAMS / f"{catalog}.toml").read_text(encoding="utf-8"))
    for question in document["question"]:
        expect = Expect.model_validate(json.loads(question["expect"]))
        for kind in ("right", "wrong"):
            for one in question[kind]:
                about = f"{catalog}: {question['ask']} ({kind}: {one['why']})"
                yield Answered(about, expect, one["program"], kind == "right")


def test_the_table_is_large_enough() -> None:
    rows = [row for catalog in CATALOGS for row in table(catalog)]
    assert sum(row.right for row in rows) >= 100
    assert sum(not row.right for row in rows) >= 60
    assert len({row.about for row in rows}) == len(rows)


@pytest.mark.parametrize(("scorer", "most_refused", "most_accepted"), [("calls", 2, 2), ("run", 2, 2)])
def test_programs_are_scored_as_a_person_does(scorer: str, most_refused: int, most_accepted: int) -> None:
    refused, accepted = [], []
    for catalog in CATALOGS:
        agent = agent_of(catalog)
        with Sandbox(agent.catalog) as sandbox:
            for row in table(catalog):
                answer = parse(row.text, agent)
                answer = executed(answer, row.expect, agent, sandbox)
                value, reason = SCORERS[scorer](row.expect, answer, agent)
                if row.right and value < 1.0:
                    refused.append(f"{row.about} -> {reason}")
                elif not row.right and value == 1.0:
                    accepted.append(row.about)
    print(
        f"{scorer}: {len(refused)} right ones refused, {len(accepted)} wrong ones accepted",
        *refused,
        *accepted,
        sep="\n",
    )
    assert len(refused) <= most_refused
    assert len(accepted) <= most_accepted


def native_worth(catalog: str, expected: dict[str, object], *calls: tuple[str, dict[str, object]]) -> float:
    agent = replace(agent_of(catalog), calls="native")
    documents = (json.dumps({"name": name, "arguments": arguments}) for name, arguments in calls)
    text = "".join(f"<tool_call>{document}</tool_call>" for document in documents)
    return SCORERS["calls"](Expect.model_validate({"calls": [expected]}), parse(text, agent), agent)[0]


SEARCH = {"query": "bread", "category": "books", "limit": 20}
NATIVE: list[tuple[str, dict[str, object], tuple[str, dict[str, object]], float]] = [
    ("workshop", {"tool": "read_file", "args": {"path": "a.py"}}, ("read_file", {"path": "./a.py"}), 1.0),
    ("workshop", {"tool": "read_file", "args": {"path": "a/b.py"}}, ("read_file", {"path": "a//c/../b.py"}), 1.0),
    ("workshop", {"tool": "read_file", "args": {"path": "a.py"}}, ("read_file", {"path": "b.py"}), 0.0),
    ("workshop", {"tool": "read_file", "args": {"path": "a.py"}}, ("read_file", {"path": "../a.py"}), 0.0),
    ("workshop", {"tool": "read_file", "args": {"path": "a.py"}}, ("read_file", {"path": "/a.py"}), 0.0),
    ("workshop", {"tool": "read_file", "args": {"path": "a.py"}}, ("read_file", {"path": "A.py"}), 0.0),
    ("workshop", {"tool": "read_file", "args": {"path": "a.py"}}, ("read_file", {"path": ["a.py"]}), 0.0),
    ("workshop", {"tool": "git_status", "args": {"path": "."}, "only": True}, ("git_status", {}), 1.0),
    (
        "workshop",
        {"tool": "git_log", "args": {"path": "a"}, "only": True},
        ("git_log", {"path": "a", "count": 10}),
        1.0,
    ),
    ("workshop", {"tool": "git_log", "args": {"path": "a"}, "only": True}, ("git_log", {"path": "a", "count": 9}), 0.0),
    ("workshop", {"tool": "git_log", "args": {"path": "a", "count": 5}}, ("git_log", {"path": "a"}), 0.0),
    ("workshop", {"tool": "workspace_symbols", "args": {"query": "a"}}, ("workspace_symbols", {"query": "./a"}), 0.0),
    ("shop", {"tool": "search_products", "args": SEARCH}, ("search_products", {**SEARCH}), 1.0),
    (
        "shop",
        {"tool": "search_products", "args": SEARCH},
        ("search_products", {"query": "bread", "category": "books"}),
        1.0,
    ),
    ("shop", {"tool": "search_products", "args": SEARCH}, ("search_products", {**SEARCH, "category": "book"}), 0.0),
    ("shop", {"tool": "search_products", "args": SEARCH}, ("search_products", {**SEARCH, "sort": "price"}), 0.0),
    ("shop", {"tool": "get_order", "args": {"order_id": 4}}, ("get_order", {"order_id": "4"}), 0.0),
]


@pytest.mark.parametrize(("catalog", "expected", "call", "worth"), NATIVE)
def test_native_calls_are_scored_by_the_same_rules(
    catalog: str, expected: dict[str, object], call: tuple[str, dict[str, object]], worth: float
) -> None:
    assert native_worth(catalog, expected, call) == worth
