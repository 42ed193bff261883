"""Episodes about orders and refunds: their tools, canned results, and suites of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.support.scripted import calling
from topcoat.spec.agent import Agent
from topcoat.spec.suite import Suite, load_suite
from topcoat.spec.tools.catalog import Catalog
from topcoat.spec.tools.stubs import parse_stubs

__all__ = ["CATALOG", "ORDER", "REFUND", "RESULTS", "suite_of"]

STUBS = """
class Order:
    number: int
    status: str
    lines: list[str]

def order(number: int) -> Order: ...
def refund(number: int, cents: int) -> str: ...
def clock() -> str: ...
"""
CATALOG: Catalog = parse_stubs(STUBS, Path("tools.pyi"))
RESULTS = [
    {"tool": "order", "args": {"number": 7}, "returns": {"number": 7, "status": "paid", "lines": ["tea"]}},
    {"tool": "refund", "args": {"cents": {"json_schema": {"minimum": 0}}}, "returns": "refunded"},
]
ORDER = calling(("order", {"number": 7}))
REFUND = calling(("refund", {"number": 7, "cents": 250}))


def suite_of(tmp_path: Path, agent: Agent, *cases: dict[str, Any]) -> Suite:
    path = tmp_path / "suite.jsonl"
    rows = [{"id": f"e{n}", "category": "shop", **case} for n, case in enumerate(cases, 1)]
    path.write_text("\n".join(map(json.dumps, rows)))
    return load_suite(path, agent)
