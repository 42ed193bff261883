"""The template's files, read once, and a check of code against the catalog's types."""

import ast
import json
import re
from dataclasses import dataclass
from typing import Any

import pytest

from topcoat.demo import TEMPLATE

DATA = ("data/phase33b.jsonl", "data/phase34a.jsonl", "data/phase34a-valid.jsonl")
_NAME = re.compile(r"`[^`]*`|\"[^\"]*\"|[\w.]+(?:/[\w.]+)+(?::\d+)*|\b\w+_\w+\b|\b(?:[A-Z][a-z]+){2,}\b|\d+")


class Files:
    """The template's rows, and what is compared of a prompt."""

    data = DATA

    def rows(self, name: str) -> list[dict[str, Any]]:
        """A JSONL file of the template."""
        return [json.loads(line) for line in (TEMPLATE / name).read_text(encoding="utf-8").splitlines()]

    def prompts(self, name: str) -> list[str]:
        """The first user turn of every example."""
        return [row["messages"][1]["content"] for row in self.rows(name)]

    def codes(self, row: dict[str, Any]) -> list[str]:
        """The code of an example's calls."""
        pattern = r"<tool_call><function=execute_code>\n<parameter=code>\n(.*)\n</parameter>\n</function></tool_call>"
        answers = [message["content"] for message in row["messages"] if message["role"] == "assistant"]
        return [found[1] for found in (re.fullmatch(pattern, answer, re.DOTALL) for answer in answers) if found]

    def wording(self, prompt: str) -> str:
        """A prompt without its names, in lower case."""
        return " ".join(re.findall(r"[a-z'#]+", _NAME.sub("#", prompt).lower()))

    def names(self, prompt: str) -> set[str]:
        """The paths and symbols of a prompt."""
        return {name for name in _NAME.findall(prompt) if re.search(r"[/_]|[a-z][A-Z]", name)}


@pytest.fixture(scope="session")
def files() -> Files:
    return Files()


@pytest.fixture(scope="session")
def catalog() -> "Catalog":
    return read_catalog()


@dataclass(frozen=True)
class Catalog:
    """Functions by name, and the annotation of every class's field."""

    functions: dict[str, ast.FunctionDef]
    fields: dict[str, dict[str, ast.expr]]

    def check(self, code: str) -> list[str]:
        """The tools that ``code`` calls, in order; raises for a wrong argument or a field that isn't there."""
        return _check(code, self)


def read_catalog() -> Catalog:
    """The template's ``tools.pyi``."""
    tree = ast.parse((TEMPLATE / "tools.pyi").read_text(encoding="utf-8"))
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    fields = {
        node.name: {
            part.target.id: part.annotation
            for part in node.body
            if isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name)
        }
        for node in tree.body
        if isinstance(node, ast.ClassDef)
    }
    return Catalog(functions, fields)


def _check(code: str, catalog: Catalog) -> list[str]:
    variables: dict[str, ast.expr] = {}
    called: list[str] = []
    for statement in ast.parse(code).body:
        if isinstance(statement, ast.Assign):
            (target,) = statement.targets
            assert isinstance(target, ast.Name)
            assert isinstance(statement.value, ast.Call)
            variables[target.id] = _call(statement.value, variables, catalog, called)
        else:
            assert isinstance(statement, ast.Expr)
            assert isinstance(statement.value, ast.Call)
            assert isinstance(statement.value.func, ast.Name)
            assert statement.value.func.id == "print"
            for argument in statement.value.args:
                _type(argument, variables, catalog)
    return called


def _call(call: ast.Call, variables: dict[str, ast.expr], catalog: Catalog, called: list[str]) -> ast.expr:
    assert isinstance(call.func, ast.Name)
    stub = catalog.functions[call.func.id]
    called.append(call.func.id)
    parameters = stub.args.args
    assert not call.keywords
    assert len(parameters) - len(stub.args.defaults) <= len(call.args) <= len(parameters), ast.unparse(call)
    for parameter, argument in zip(parameters, call.args, strict=False):
        assert parameter.annotation is not None
        expected, given = ast.unparse(parameter.annotation), ast.unparse(_type(argument, variables, catalog))
        assert expected == given, f"{ast.unparse(call)}: {parameter.arg} is {expected}, not {given}"
    assert stub.returns is not None
    return stub.returns


def _type(value: ast.expr, variables: dict[str, ast.expr], catalog: Catalog) -> ast.expr:
    match value:
        case ast.Constant():
            return ast.Name(type(value.value).__name__)
        case ast.Name():
            return variables[value.id]
        case ast.Attribute():
            return catalog.fields[ast.unparse(_type(value.value, variables, catalog))][value.attr]
        case ast.Subscript():
            inner = _type(value.value, variables, catalog)
            assert isinstance(inner, ast.Subscript), f"{ast.unparse(value.value)} is no list"
            return inner.slice
        case _:
            raise AssertionError(f"unexpected {ast.unparse(value)}")
