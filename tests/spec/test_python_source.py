from __future__ import annotations

import ast
import gc
import sys
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import topcoat.demo
from topcoat.spec.python_source import parse_expression, parse_module

CATALOG = (Path(topcoat.demo.__file__).parent / "project" / "tools.pyi").read_text(encoding="utf-8")


@pytest.fixture
def hurried_threads() -> Iterator[None]:
    """Threads that take turns within a garbage collection, which may begin inside `ast.parse`."""

    def let_others_run(phase: str, info: dict[str, int]) -> None:
        for _ in range(200):
            pass

    interval = sys.getswitchinterval()
    gc.callbacks.append(let_others_run)
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)
    gc.callbacks.remove(let_others_run)


def test_many_threads_parse_at_once(hurried_threads: None) -> None:
    def dump(_: int) -> str:
        return ast.dump(parse_module(CATALOG))

    with ThreadPoolExecutor(8) as pool:
        dumps = set(pool.map(dump, range(200)))
    assert dumps == {ast.dump(ast.parse(CATALOG))}


def test_an_expression_is_read_without_its_wrapping() -> None:
    found = parse_expression("list[str] | None")
    assert isinstance(found, ast.BinOp)
    assert ast.unparse(found) == "list[str] | None"


def test_warnings_about_the_source_are_not_shown() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        parse_module("'\\d'")
        parse_expression("'\\d'")


@pytest.mark.parametrize("parse", [parse_module, parse_expression])
@pytest.mark.parametrize(("source", "error"), [("def", SyntaxError), ("\0", (ValueError, SyntaxError))])
def test_faults_are_those_of_the_parser(parse: Callable[[str], ast.AST], source: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        parse(source)
