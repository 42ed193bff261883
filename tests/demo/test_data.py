"""The shipped examples are right: one system prompt, code that the catalog allows, the promised counts."""

import ast
from collections import Counter
from typing import Any

import pytest

from tools.demo_model.tools import TOOLS
from topcoat.demo import TEMPLATE

DATA = ("data/phase33b.jsonl", "data/phase34a.jsonl", "data/phase34a-valid.jsonl")


def test_the_catalog_has_the_tools_and_documents_them(catalog: Any) -> None:
    assert set(catalog.functions) == set(TOOLS)
    assert all(ast.get_docstring(stub) for stub in catalog.functions.values())


def test_quota(files: Any) -> None:
    counts = Counter(row["category"] for row in files.rows("data/phase34a.jsonl"))
    assert counts == {"domain": 56, "multi_tool": 40, "lsp": 10}


def test_the_history_covers_every_tool(catalog: Any, files: Any) -> None:
    history = files.rows("data/phase33b.jsonl")
    called = Counter(tool for row in history for code in files.codes(row) for tool in catalog.check(code))
    assert 900 < len(history) < 1000
    assert set(called) == set(TOOLS)


@pytest.mark.parametrize("name", DATA)
def test_code_agrees_with_the_catalog(name: str, catalog: Any, files: Any) -> None:
    for row in files.rows(name):
        found = [catalog.check(code) for code in files.codes(row)]
        if row["category"] == "prose":
            assert not found
        elif row["category"] == "multi_tool":
            assert len(found) == 1
            assert len(found[0]) >= 2
        else:
            assert [TOOLS[tool].category for tool in found[0]] == [row["category"]]


@pytest.mark.parametrize("name", DATA)
def test_names_in_code_stand_in_the_prompt(name: str, files: Any) -> None:
    for row in files.rows(name):
        prompt = row["messages"][1]["content"]
        for code in files.codes(row):
            for node in ast.walk(ast.parse(code)):
                if isinstance(node, ast.Constant) and node.value not in (".", 0, 10):
                    assert str(node.value) in prompt


@pytest.mark.parametrize("name", DATA)
def test_turns_and_system_prompt(name: str, files: Any) -> None:
    system = (TEMPLATE / "prompts" / "system.md").read_text(encoding="utf-8").strip()
    for row in files.rows(name):
        roles = [message["role"] for message in row["messages"]]
        assert roles in (["system", "user", "assistant"], ["system", "user", "assistant", "user", "assistant"])
        assert row["messages"][0]["content"] == system


def test_some_dialogues_go_on_after_the_response(files: Any) -> None:
    long = [row for name in DATA for row in files.rows(name) if len(row["messages"]) == 5]
    assert 0.05 < len(long) / 480 < 0.25
    assert all(row["messages"][3]["content"].startswith("<tool_response>\n") for row in long)


@pytest.mark.parametrize("name", DATA)
def test_every_prompt_stands_once(name: str, files: Any) -> None:
    prompts = files.prompts(name)
    assert len(set(prompts)) == len(prompts)
