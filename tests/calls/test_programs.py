from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.examples import CATALOG
from topcoat.calls.programs import problems_in_program, signature
from topcoat.spec.tools.stubs import parse_stubs


@pytest.mark.parametrize(
    "code",
    [
        'x = read_file("a")\nprint(x.text.splitlines(), x.first().line, x.places[0].file, x.places[1:][0].line)',
        'for p in find("a"):\n    print(p.file, p.line)',
        'print([p.file for p in read_file("a").places], sorted(find("x"), key=len)[0].line)',
        'found = define("a")\nif found:\n    print(found.text)',
        'read_file(*["a"])\nread_file(**{"path": "a"})\nfind("a", count=3)\nfind("a", ".", 4)',
        'x = read_file("a")\nx = "text"\nprint(x.anything)',  # may be either: not judged
        'def f(x):\n    return x.anything\nf(read_file("a"))',
        'try:\n    print(read_file("a").size)\nexcept AttributeError:\n    pass',
        "def read_file(a, b): ...\nread_file(1, 2)",
        "import json\njson.dumps(1)\nprint(len(str(3).strip()))",
        'x = y = read_file("a")\nwith open("f") as x:\n    x.read()',
        'a, b = read_file("a"), 3\na.nothing',
        "x = x.y\nx.z",
        'x = read_file("a")\nx = open("b")\nx.anything',
        "while (n := find('a')):\n    n[0].file",
    ],
)
def test_right_code_passes(code: str) -> None:
    assert problems_in_program(code, CATALOG) == []


@pytest.mark.parametrize(
    ("code", "expected", "message"),
    [
        ("print(read_fil('x'))", "unknown-tool", 'calls "read_fil", which is no tool'),
        ("print(", "broken-call", "not Python"),
        ("x = 'a\x00b'", "broken-call", "null bytes"),
        ("(" * 500, "broken-call", "too many nested parentheses"),
        ("read_file()", "wrong-arguments", "read_file is called without path"),
        ("read_file('a', 'b')", "wrong-arguments", "at most 1 argument by position, is given 2"),
        ("read_file(file='a', path='b')", "wrong-arguments", "no parameter file"),
        ("read_file('a', path='b')", "wrong-arguments", "is given path twice"),
        ("read_file(3)", "wrong-arguments", "is given int for path, which is str"),
        ("find('a', count='3')", "wrong-arguments", "is given str for count, which is int"),
        ("read_file(read_file('a'))", "wrong-arguments", "is given FileText for path"),
        ("x = read_file('a')\nprint(x.content)", "unknown-field", 'reads "content" of FileText'),
        ("for p in find('a'):\n    print(p.name)", "unknown-field", 'reads "name" of Place'),
        ("p = read_file('a').places\nprint(p[0].name)", "unknown-field", 'reads "name" of Place'),
        ("print([p.name for p in find('a')])", "unknown-field", 'reads "name" of Place'),
        ("print(define('a').size)", "unknown-field", 'reads "size" of FileText'),
        ("print(find('a').places)", "unknown-field", 'reads "places" of list[Place]'),
        ("print(read_file('a').text.content)", "unknown-field", 'reads "content" of str'),
        ("x = read_file('a')\nprint(x['text'])", "unknown-field", "can't be indexed"),
    ],
)
def test_each_fault_is_found_once(code: str, expected: str, message: str) -> None:
    (problem,) = problems_in_program(code, CATALOG)
    assert problem.code == expected
    assert message in problem.message


def test_an_optional_parameter_is_judged_like_a_union() -> None:
    catalog = parse_stubs("def f(a: Optional[int], b: Union[str, None]): ...", Path("tools.pyi"))
    assert problems_in_program("f(None, 'x')\nf(1, None)", catalog) == []
    messages = [problem.message for problem in problems_in_program("f('x', 1)", catalog)]
    assert messages == [
        "f is given str for a, which is Optional[int]",
        "f is given int for b, which is Union[str, None]",
    ]


def test_faults_come_in_the_order_of_lines_and_once() -> None:
    code = "wipe()\nx = read_file()\nwipe()\nprint(x.nothing, x.nothing)"
    codes = [problem.code for problem in problems_in_program(code, CATALOG)]
    assert codes == ["unknown-tool", "wrong-arguments", "unknown-field"]


def test_hints_can_be_pasted() -> None:
    (problem,) = problems_in_program("find()", CATALOG)
    assert problem.hint == "find(pattern: str, path: str = ..., count: int = ...)"
    assert signature(CATALOG.tools["read_file"]) == "read_file(path: str)"


@pytest.mark.parametrize(
    "code", ["-" * 50_000 + "1", "x = 1\n" * 20_000, "a" + ".b" * 5_000, "not " * 50_000 + "1", "[" * 50 + "]" * 50]
)
def test_monstrous_code_neither_crashes_nor_hangs(code: str) -> None:
    problems_in_program(code, CATALOG)
