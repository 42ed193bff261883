"""What tests of guard cases draw from: a small project that calls from code, and one that calls natively."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from topcoat.errors import Where
from topcoat.guard.pool import GuardPool
from topcoat.spec.agent import Agent
from topcoat.spec.case_template import CaseTemplates, load_templates
from topcoat.spec.example import LocatedExample
from topcoat.spec.suite import Case, Suite, case_mistakes, settled
from topcoat.spec.tools.stubs import parse_stubs
from topcoat.spec.tools.tool_list import own_catalog

__all__ = ["CODE", "CODE_CASES", "NATIVE", "NATIVE_CASES", "case_of", "pool_of", "suite_of", "templates_in"]

CODE = Agent(
    parse_stubs(
        '''
class Text:
    path: str
    content: str

def read_file(path: str) -> Text:
    """Read a file."""

def find_references(path: str, line: int, column: int, symbol: str) -> list[Text]:
    """Find every use of a symbol."""

def git_log(path: str = ".", count: int = 10) -> Text:
    """List commits."""
''',
        Path("tools.pyi"),
    ),
    "You call tools from code.",
)


def _tool(name: str, required: list[str], **properties: Any) -> dict[str, Any]:
    parameters = {"type": "object", "properties": properties, "required": required}
    return {"type": "function", "function": {"name": name, "description": name, "parameters": parameters}}


_TOOLS = [
    _tool(
        "forecast",
        ["city_name", "days"],
        city_name={"type": "string"},
        days={"type": "integer", "minimum": 1, "maximum": 14},
        unit={"type": "string", "enum": ["celsius", "kelvin"]},
    ),
    _tool("open_ticket", ["title", "user_email"], title={"type": "string"}, user_email={"type": "string"}),
    _tool("lend", ["book_id", "weeks"], book_id={"type": "string"}, weeks={"type": "integer"}),
]
NATIVE = Agent(own_catalog(_TOOLS, Path("tools.json")), "You call tools.", "native")

CODE_CASES: tuple[dict[str, Any], ...] = (
    {
        "id": "read",
        "prompt": "Show me src/billing/test_invoice.py, please.",
        "expect": {"calls": [{"tool": "read_file", "args": {"path": "src/billing/test_invoice.py"}}]},
        "scorer": "calls",
    },
    {
        "id": "uses",
        "prompt": "Who uses InvoicePrinter at src/billing/invoice.py:41:9? Read the first of those files.",
        "expect": {
            "calls": [
                {
                    "tool": "find_references",
                    "args": {"path": "src/billing/invoice.py", "line": 41, "column": 9, "symbol": "InvoicePrinter"},
                },
                {"tool": "read_file", "uses": [0]},
            ]
        },
        "scorer": "calls",
        "family": "references-read",
    },
    {
        "id": "log",
        "prompt": "Which 12 commits touched docs/ledger.md last?",
        "expect": {"calls": [{"tool": "git_log", "args": {"path": "docs/ledger.md", "count": 12}}]},
        "scorer": "run",
    },
    {"id": "tool", "prompt": "Open lib/harvest.py.", "expect": {"calls": [{"tool": "read_file"}]}, "scorer": "tiered"},
)
NATIVE_CASES: tuple[dict[str, Any], ...] = (
    {
        "id": "ticket",
        "prompt": 'Open a ticket called "Broken Turnstile" for ada.lovelace@engines.org.',
        "expect": {
            "calls": [
                {"tool": "open_ticket", "args": {"title": "Broken Turnstile", "user_email": "ada.lovelace@engines.org"}}
            ]
        },
    },
    {
        "id": "lend",
        "prompt": "Lend me the book QX-48213 for 6 weeks.",
        "expect": {"calls": [{"tool": "lend", "args": {"book_id": "QX-48213", "weeks": 6}}]},
    },
)


def case_of(data: dict[str, Any], agent: Agent) -> Case:
    """The case written as `data`, which has no mistake."""
    case = Case.model_validate({"category": "work", **data})
    assert not case_mistakes(case, Where(Path("suite.jsonl"), 1), agent)
    return settled(case, agent)


def suite_of(rows: tuple[dict[str, Any], ...], agent: Agent) -> Suite:
    """A suite of these cases."""
    return Suite(Path("suite.jsonl"), tuple(case_of(row, agent) for row in rows), tuple(range(1, len(rows) + 1)))


def pool_of(
    rows: tuple[dict[str, Any], ...],
    agent: Agent,
    templates: CaseTemplates | None = None,
    examples: tuple[LocatedExample, ...] = (),
) -> GuardPool:
    """The pool of a project with these cases."""
    return GuardPool.of(suite_of(rows, agent), templates, examples, agent)


def templates_in(folder: Path, agent: Agent) -> CaseTemplates:
    """A template of the category `work`, written to `folder`."""
    path = folder / "templates.toml"
    path.write_text(
        """
[names]
noun = ["abacus", "sundial", "harmonica", "windmill", "lighthouse"]
file = ["{noun}.md", "docs/{noun}_{noun2}.md"]

[choices]
count = [3, 5]

[[template]]
name = "recent-commits"
category = "work"
prompt = "Name the {count} newest commits of {file}."
scorer = "calls"
expect = { calls = [{ tool = "git_log", args = { path = "{file}", count = "{count}" } }] }
"""
    )
    return load_templates(path, agent)
