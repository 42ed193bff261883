from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from topcoat.errors import InvalidInput
from topcoat.spec.tools.catalog import Catalog, Parameter
from topcoat.spec.tools.loading import load_catalog
from topcoat.spec.tools.stubs import parse_stubs
from topcoat.spec.tools.types import UNKNOWN, plain

MistakesOf = Callable[..., list[tuple[int | None, str]]]

SOURCE = '''
"""The tools."""
from __future__ import annotations
from typing import TYPE_CHECKING, Optional
if TYPE_CHECKING:
    import os
Names = list[str]

class Base:
    ok: bool
    def text(self) -> str: ...

class Report(Base):
    """What was found."""
    count: int
    errors: "list[str]" = ...
    LEVEL = 3
    @property
    def worst(self) -> str: ...
    async def more(self) -> None: ...

def lint(path: str, /, level: "int" = 3, *rest: str, fix: bool, dry=False, **options: int) -> Report:
    """Check a file.

    Second paragraph \\d.
    """

async def find(name: str) -> Optional[Report]: ...
def either() -> Report | None: ...
def many() -> list[Report]: ...
'''


def parsed(source: str) -> Catalog:
    return parse_stubs(source, Path("tools.pyi"))


def test_tools_are_read_with_every_kind_of_parameter() -> None:
    catalog = parsed(SOURCE)
    assert list(catalog.tools) == ["lint", "find", "either", "many"]
    lint = catalog.tools["lint"]
    assert lint.parameters == (
        Parameter("path", plain("str"), False, "positional_only"),
        Parameter("level", plain("int"), True, "positional_or_keyword", 3),
        Parameter("rest", plain("str"), False, "var_positional"),
        Parameter("fix", plain("bool"), False, "keyword_only"),
        Parameter("dry", UNKNOWN, True, "keyword_only", False),
        Parameter("options", plain("int"), False, "var_keyword"),
    )
    assert (lint.returns, lint.line) == (plain("Report"), 22)
    assert lint.doc == "Check a file.\n\nSecond paragraph \\d."


def test_only_the_last_parameters_have_the_defaults() -> None:
    tool = parsed("def f(a, b, c=1, *, d=2, e): ...").tools["f"]
    assert [p.name for p in tool.parameters if p.has_default] == ["c", "d"]


def test_results_are_read_with_inherited_fields_and_properties() -> None:
    report = parsed(SOURCE).results["Report"]
    assert [(name, kind.text) for name, kind in report.fields.items()] == [
        ("ok", "bool"),
        ("count", "int"),
        ("errors", "list[str]"),
        ("LEVEL", ""),
        ("worst", "str"),
    ]
    assert tuple(report.methods) == ("text", "more")
    assert report.line == 13


def test_plain_defaults_are_read_and_nothing_else() -> None:
    source = """
from typing import TypedDict
class Base:
    ok: bool = False
    kind = "x"
class R(Base):
    ok: bool = True
    sizes: list[int] = [1, 2]
    names: set[str] = {"a"}
    made: int = len("a")
    later: int = ...
class D(TypedDict): ...
class E(D): ...
def f() -> R: ...
async def g() -> R: ...
"""
    catalog = parsed(source)
    assert catalog.results["R"].defaults == {"ok": True, "kind": "x", "sizes": [1, 2]}
    assert [result.is_dict for result in catalog.results.values()] == [False, False, True, True]
    assert [tool.is_async for tool in catalog.tools.values()] == [False, True]
    assert catalog.source == source


def test_a_parameter_has_one_name(mistakes_of: MistakesOf) -> None:
    assert mistakes_of(load_catalog, "\ndef f(a, b, *, a): ...") == [(2, "`f` has two parameters called `a`")]


def test_the_parameters_that_a_call_has_to_give_and_can_give_by_position() -> None:
    lint = parsed(SOURCE).tools["lint"]
    assert lint.positional == ["path", "level"]
    assert [parameter.name for parameter in lint.required] == ["path", "fix"]


def test_a_tool_accepts_its_parameters() -> None:
    catalog = parsed("def f(a, *rest): ...\ndef g(**options): ...")
    assert [catalog.tools["f"].accepts(name) for name in ("a", "rest", "b")] == [True, False, False]
    assert catalog.tools["g"].accepts("anything")


def test_the_file_is_never_run() -> None:
    parsed("def f(x=__import__('os')._exit(3)): ...\nCONSTANT = 1 / 0")


def test_the_digest_is_of_the_meaning() -> None:
    digest = parsed("def f(a: int) -> str: ...").digest
    assert parsed("# comment\n\ndef f( a:int )->str: ...").digest == digest
    for other in (
        "async def f(a: int) -> str: ...",
        "def f(a: str) -> str: ...",
        "def f(a: int = 1) -> str: ...",
        "def f(a: int) -> str: 'doc'",
    ):
        assert parsed(other).digest != digest


def test_every_mistake_is_reported_with_its_line(mistakes_of: MistakesOf) -> None:
    source = "def f(): ...\ndef f(): ...\nclass A:\n  x: int\n  x: str\nclass A: ...\nprint()\nclass f: ...\n"
    assert mistakes_of(load_catalog, source) == [
        (2, "`f` is defined twice, first on line 1"),
        (5, "`A.x` is defined twice, first on line 4"),
        (6, "`A` is defined twice, first on line 3"),
        (7, "a catalog can't hold statements: nothing in it is run"),
        (8, "`f` is defined twice, first on line 1"),
    ]


@pytest.mark.parametrize(
    ("source", "line", "message"),
    [
        ("", None, "holds no tool"),
        ("class A: ...", None, "holds no tool"),
        ("def f():\n", 1, "not valid Python"),
        ("\n\ndef f(: ...", 3, "not valid Python"),
        ("x = " + "-" * 100_000 + "1", None, "nested too deeply"),
        ("def f(x: a" + ".a" * 5000 + "): ...", None, "nested too deeply"),
        (b"def f(): ...\n\xff", 2, "not UTF-8"),
    ],
)
def test_each_kind_of_mistake(mistakes_of: MistakesOf, source: str | bytes, line: int | None, message: str) -> None:
    [(found, text)] = mistakes_of(load_catalog, source)
    assert message in text
    assert found == line


def test_nul_bytes_are_a_mistake(mistakes_of: MistakesOf) -> None:
    [(_, text)] = mistakes_of(load_catalog, b"def f(): ...\0")
    assert "null bytes" in text


TOKENS = "def class async f A x ( ) : ... , -> int = @ * / ** if pass [ ] 'a' é \\"
WORDS = [*TOKENS.split(), '"', "\n", "\n  ", "\0"]


@settings(max_examples=150)
@given(st.lists(st.sampled_from(WORDS), max_size=25).map(" ".join) | st.text(max_size=30))
def test_garbage_is_invalid_input_and_nothing_else(source: str) -> None:
    with contextlib.suppress(InvalidInput):
        assert parsed(source).tools
