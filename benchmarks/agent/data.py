"""The agent's own data, read from a folder beside the project, and what becomes of it. None of it stands here."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.agent.tools import CATEGORIES, TOOLS, category_of
from topcoat.calls.parsing import parse
from topcoat.examples.checks.overlap import same_words
from topcoat.spec.agent import Agent

__all__ = ["FILES", "Row", "data_folder", "lines", "new_questions", "prompt_cases", "trainable"]

Row = dict[str, Any]

FILES = ("train.jsonl", "valid.jsonl", "prompts27.jsonl")

MOST_TOKENS = 512
"""The most tokens of an answer to one of the 27 prompts. Two of them allow more, which no program needs."""

_FILE = {"file": "path"}
_SYMBOL = {"symbol": "name"}
_EXPECTED: Mapping[str, Sequence[Row]] = {
    "text-01": [{"tool": "read_file", "args": {"path": "path"}}],
    "text-02": [{"tool": "write_file", "args": {"path": "path", "content": "quoted"}}],
    "text-03": [{"tool": "run_command", "match": {"command": r"^ls\b"}}],
    "valid-01": [{"tool": "typecheck", "args": {"path": "path"}}],
    "valid-02": [{"tool": "ruff_check", "args": {"path": "path"}}],
    "valid-03": [{"tool": "pytest_run", "args": {"path": "path"}}],
    "lsp-01": [{"tool": "goto_definition", "args": _SYMBOL}],
    "lsp-02": [{"tool": "find_references", "args": _SYMBOL}],
    "lsp-03": [{"tool": "hover", "args": _SYMBOL}],
    "lsp-04": [{"tool": "document_symbols", "args": _FILE}],
    "lsp-05": [{"tool": "workspace_symbols", "args": {"query": "name"}}],
    "git-01": [{"tool": "git_status"}],
    "git-02": [{"tool": "git_diff", "args": {"staged": False}}],
    "git-03": [{"tool": "git_log", "args": {"count": "number"}}],
    "cst-01": [{"tool": "cst_find_pattern", "args": {**_FILE, "pattern": "class"}}],
    "cst-02": [{"tool": "cst_rename", "args": {**_FILE, "old_name": "name", "new_name": "second name"}}],
    "cst-03": [{"tool": "cst_add_import", "args": {**_FILE, "import_stmt": "quoted"}}],
    "dom-01": [{"tool": "validate_component", "args": _FILE}],
    "dom-02": [{"tool": "validate_service_registration", "args": _FILE}],
    "dom-03": [{"tool": "validate_middleware_chain", "args": _FILE}],
    "dom-04": [{"tool": "check_dependency_graph", "args": _FILE}],
    "dom-05": [{"tool": "validate_escape_context", "args": _FILE}],
    "dom-06": [{"tool": "validate_route_pattern", "args": _FILE}],
    "dom-07": [{"tool": "check_render_tree", "args": _FILE}],
    "dom-08": [{"tool": "validate_injection_site", "args": _FILE}],
    "dom-09": [{"tool": "check_di_template_binding", "args": _FILE}],
    "multi-01": [
        {"tool": "goto_definition", "args": _SYMBOL},
        {"tool": "read_file", "uses": [0]},
        {"tool": "validate_component", "uses": [0]},
        {"tool": "pytest_run"},
    ],
}
"""What a right answer to each of the 27 prompts calls, by id. An argument says what in the prompt determines it."""

_PATH = re.compile(r"\w+/(?:[\w/]*\w(?:\.\w+)?)?")
_NAME = re.compile(r"\b(?:[A-Z]\w*[a-z][A-Z]\w*|[a-z]+(?:_[a-z]+)+)\b")
_QUOTED = re.compile(r"'([^']+)'")


def data_folder() -> Path:
    """Where the data lies: TOPCOAT_REAL_DATA, or beside the project."""
    beside = Path(__file__).parents[3] / "shared" / "data" / "punie-phase33"
    return Path(os.environ.get("TOPCOAT_REAL_DATA", beside))


def lines(folder: Path, name: str) -> list[Row]:
    """The lines of one of `FILES`. Raises FileNotFoundError that says how to name the folder."""
    path = folder / name
    if not path.is_file():
        raise FileNotFoundError(f"no such file: {path}: set TOPCOAT_REAL_DATA to the folder of {', '.join(FILES)}")
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def trainable(row: Row, system: str, agent: Agent) -> Row:
    """A line of the data with the evaluation's system prompt, and with the category of what it calls first."""
    turns = row["messages"][1:] if row["messages"][0]["role"] == "system" else row["messages"]
    called = [parse(turn["content"], agent).calls for turn in turns if turn["role"] == "assistant"]
    first = next((calls for calls in called if calls), ())
    tools = tuple(call.tool for call in first if call.tool in TOOLS)
    return {"messages": [{"role": "system", "content": system}, *turns], "category": category_of(tools)}


def new_questions(rows: Iterable[Row], trained: Iterable[Row]) -> list[Row]:
    """The rows whose first question no trained row asks."""
    known = {_question(row) for row in trained}
    return [row for row in rows if _question(row) not in known]


def _question(row: Row) -> str:
    return same_words(next(turn["content"] for turn in row["messages"] if turn["role"] == "user"))


def prompt_cases(rows: Sequence[Row], listed: Sequence[str]) -> tuple[list[Row], list[Row]]:
    """The 27 prompts as cases twice: executed with arguments, and as the agent's own evaluation judged them.

    That looks for names in the answer, any of several for most prompts. `tiered` counts calls instead of names.
    Names that are no tool of `listed` are left out. An answer has at most `MOST_TOKENS`.
    """
    executed, tiered = [], []
    for row in sorted(rows, key=lambda row: CATEGORIES.index(row["category"])):
        case = {key: row[key] for key in ("id", "category", "prompt")}
        case["max_tokens"] = min(row["max_tokens"], MOST_TOKENS)
        named = [name for name in row["expected_keywords"] if name in listed]
        calls = [{"tool": name} for name in named] if row["multi"] else [{"tool": named}]
        expect = {"calls": [_filled(call, row["prompt"]) for call in _EXPECTED[row["id"]]]}
        executed.append({**case, "expect": expect, "scorer": "run", "headline": True})
        tiered.append({**case, "expect": {"calls": calls}, "scorer": "tiered"})
    return executed, tiered


def _filled(call: Row, prompt: str) -> Row:
    """An expected call with what the prompt says in place of what kind of thing it is."""
    paths, quoted = _PATH.findall(prompt), _QUOTED.findall(prompt)
    names = _NAME.findall(_PATH.sub("", prompt))
    numbers = [int(number) for number in re.findall(r"\b\d+\b", prompt)]
    found: Mapping[str, Sequence[object]] = {
        **{"path": paths, "quoted": quoted, "name": names, "second name": names[1:], "number": numbers},
        "class": ["ClassDef"],
    }
    given = {name: found[kind][0] if isinstance(kind, str) else kind for name, kind in call.get("args", {}).items()}
    return {**call, "args": given} if given else call
