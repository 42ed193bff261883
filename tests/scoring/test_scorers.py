from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest

from topcoat.calls.answer import Answer, Call, Run
from topcoat.calls.parsing import parse
from topcoat.scoring.scorers import NEED_RUN, SCORERS, calls, run, tiered
from topcoat.spec.agent import Agent
from topcoat.spec.expect import Expect
from topcoat.spec.suite import Case
from topcoat.spec.tools.catalog import Catalog
from topcoat.spec.tools.stubs import parse_stubs

CATALOG: Catalog = parse_stubs(
    """
def goto_definition(path: str, line: int, symbol: str = ""): ...
def read_file(path: str): ...
def write_file(path: str, content: object, *, force: bool = False) -> str: ...
def git_status() -> str: ...
""",
    Path("tools.pyi"),
)
AGENT = Agent(CATALOG)


def code(source: str) -> str:
    return f"<tool_call><function=execute_code><parameter=code>\n{source}\n</parameter></function></tool_call>"


def native(name: str) -> str:
    return f'<tool_call>{{"name": "{name}", "arguments": {{}}}}</tool_call>'


def expect(*calls: str | dict[str, Any]) -> Expect:
    return Expect.model_validate({"calls": [{"tool": c} if isinstance(c, str) else c for c in calls]})


DIRECT = "git_status called directly, not through execute_code"
SEVERAL = expect("goto_definition", "read_file", "read_file", "git_status")

TIERED = [
    (expect("git_status"), code("print(git_status())"), 1.0, "git_status through execute_code"),
    (expect("git_status"), code("read_file('a')\ngit_status()"), 1.0, "git_status through execute_code"),
    (expect("git_status"), native("git_status") + code("git_status()"), 1.0, "git_status through execute_code"),
    (expect({"tool": ["read_file", "git_status"]}), code("git_status()"), 1.0, "git_status through execute_code"),
    (expect("git_status"), native("git_status"), 0.5, DIRECT),
    (
        expect("git_status"),
        native("git_status") + code("x"),
        0.5,
        "git_status called directly, not through execute_code",
    ),
    (expect("git_status"), code("read_file('a')"), 0.1, "execute_code, but with read_file instead of git_status"),
    (expect("git_status"), code("print('git_status()')"), 0.1, "execute_code, but with no tool instead of git_status"),
    (
        expect("git_status"),
        code("git_status("),
        0.1,
        "execute_code, but with no tool instead of git_status (syntax error in line 1: '(' was never closed)",
    ),
    (expect("git_status"), native("read_file"), 0.0, "read_file called directly instead of git_status"),
    (expect({"tool": ["read_file", "git_status"]}), "git_status", 0.0, "no call, expected read_file or git_status"),
    (
        SEVERAL,
        code("a=goto_definition('a',1)\nread_file(a)\nread_file(a)\ngit_status()"),
        1.0,
        "4 of 4 expected tools called",
    ),
    (
        SEVERAL,
        code("git_status()\nread_file('a')\nread_file('b')"),
        0.85,
        "3 of 4 expected tools called, missing goto_definition",
    ),
    (
        SEVERAL,
        code("read_file('a')"),
        0.35,
        "1 of 4 expected tools called, missing goto_definition, read_file, git_status",
    ),
    (
        SEVERAL,
        native("git_status") + native("read_file"),
        0.5,
        "2 of 4 expected tools called, not through execute_code, missing goto_definition, read_file",
    ),
    (
        expect("read_file", "git_status"),
        code("pass"),
        0.1,
        "0 of 2 expected tools called, missing read_file, git_status",
    ),
    (expect("read_file", "git_status"), "No.", 0.0, None),
    (expect({"tool": ["read_file", "git_status"]}, "read_file"), code("read_file('a')\ngit_status()"), 1.0, None),
    (expect(), "Use git stash.", 1.0, "no tool was called, as expected"),
    (expect(), code("git_status()"), 0.0, "called git_status, but no call was expected"),
    (expect(), code("print(2)"), 0.0, "called a tool, but no call was expected"),
    (expect(), native("rm"), 0.0, "called a tool, but no call was expected"),
]


@pytest.mark.parametrize(("expected", "text", "value", "reason"), TIERED)
def test_tiered(expected: Expect, text: str, value: float, reason: str | None) -> None:
    scored, why = tiered(expected, parse(text, AGENT), AGENT)
    assert scored == pytest.approx(value, abs=1e-12)
    assert 0.0 <= scored <= 1.0
    assert why == reason or reason is None


CHAIN = expect(
    {"tool": "goto_definition", "args": {"path": "a.py", "line": 3}},
    {"tool": "read_file", "uses": [0]},
    {"tool": "write_file", "uses": [0, 1], "args": {"path": "out"}},
)
FIND = "d = goto_definition('a.py', line=3)\n"

DATA = expect({"tool": "write_file", "args": {"content": {"a": [1, 2.0], "b": None}}})
FORCE = expect({"tool": "write_file", "args": {"force": True}})
TEXT = expect({"tool": "write_file", "args": {"content": "x"}})

CALLS = [
    (CHAIN, FIND + "f = read_file(d.file)\nwrite_file('out', f'{f.text}')", ""),
    (CHAIN, FIND + "git_status()\nf = read_file(d.file)\ngit_status()\nwrite_file(content=f, path='out')", ""),
    (CHAIN, "write_file('out', read_file(goto_definition('a.py', 3).file))", ""),
    (CHAIN, FIND + "read_file('b')\nf = read_file(d.file)\nwrite_file('out', f)", ""),
    (CHAIN, "goto_definition('a.py', 3)\n" + FIND + "write_file('out', read_file(d))", ""),
    (CHAIN, FIND + "f = read_file('b')\nwrite_file('out', f)", "read_file doesn't use the result of goto_definition"),
    (CHAIN, FIND + "f = read_file(d)\nwrite_file('out', d)", "write_file doesn't use the result of read_file"),
    (CHAIN, FIND + "f = read_file(d)\nwrite_file('in', f)", "write_file is called with path='in', not 'out'"),
    (
        CHAIN,
        FIND + "f = read_file(d)\nwrite_file('in', f)\nread_file('b')",
        "write_file is called with path='in', not 'out'",
    ),
    (CHAIN, FIND + "f = read_file(d)\nwrite_file(d, f)", "write_file is called with path=<computed>, not 'out'"),
    (CHAIN, FIND + "f = read_file(d)\nwrite_file(content=f)", "write_file is called without path='out'"),
    (CHAIN, "goto_definition('a.py', 3.5)", "goto_definition is called with line=3.5, not 3"),
    (CHAIN, FIND + "read_file(d)", "write_file is not called after read_file"),
    (CHAIN, "write_file('out', 1)\nread_file('a')\n" + FIND, "read_file is not called after goto_definition"),
    (CHAIN, "git_status()", "goto_definition is not called"),
    (CHAIN, "git_status(", "goto_definition is not called (syntax error in line 1: '(' was never closed)"),
    (DATA, "write_file('x', {'b': None, 'a': (1, 2)})", ""),
    (FORCE, "write_file('x', 'y', force=1)", "write_file is called with force=1, not True"),
    (FORCE, "write_file('x', 'y', True)", "write_file is called without force=True"),
    (TEXT, f"write_file('x', 0x{'f' * 5000})", "write_file is called with content=<int>, not 'x'"),
    (expect({"tool": ["git_status", "read_file"]}), "read_file('a')", ""),
]


@pytest.mark.parametrize(("expected", "source", "missing"), CALLS)
def test_calls(expected: Expect, source: str, missing: str) -> None:
    value, reason = calls(expected, parse(code(source), AGENT), AGENT)
    assert (value, reason) == ((0.0, missing) if missing else (1.0, "every expected call, in order"))


def test_calls_must_go_through_execute_code() -> None:
    answer = parse(native("git_status"), AGENT)
    assert calls(expect("git_status"), answer, AGENT) == (
        0.0,
        "git_status is called directly, not through execute_code",
    )


def test_calls_can_expect_silence() -> None:
    assert calls(expect(), parse("Hello.", AGENT), AGENT)[0] == 1.0
    assert calls(expect(), parse(code("git_status()"), AGENT), AGENT)[0] == 0.0


def test_a_hopeless_search_ends() -> None:
    expected = expect(*["git_status"] * 20, "read_file")
    value, reason = calls(expected, parse(code("git_status()\n" * 200), AGENT), AGENT)
    assert (value, reason) == (0.0, "read_file is not called after git_status")


MATCH = expect({"tool": "write_file", "match": {"path": "^out/", "content": "(?i)copy"}})


@pytest.mark.parametrize(
    ("source", "missing"),
    [
        ("write_file('out/a', 'A COPY')", ""),
        ("write_file('in/a', 'a copy')", "write_file is called with path='in/a', not like ^out/"),
        ("write_file('out/a', ['copy'])", "write_file is called with content=['copy'], not like (?i)copy"),
        ("write_file('out/a', read_file('b'))", "write_file is called with content=<computed>, not like (?i)copy"),
        ("write_file('out/a')", "write_file is called without content like (?i)copy"),
    ],
)
def test_arguments_can_be_matched_by_a_pattern(source: str, missing: str) -> None:
    value, reason = calls(MATCH, parse(code(source), AGENT), AGENT)
    assert (value, reason) == ((0.0, missing) if missing else (1.0, "every expected call, in order"))


def ran(source: str, *made: Call, problem: str = "") -> Answer:
    """The answer with this code, as if it had run and made these calls."""
    return replace(parse(code(source), AGENT), run=Run(made, problem))


def read(path: str, line: int, column: int) -> Call:
    return Call("read_file", (path,), place=(0, line, column))


def test_run_counts_what_was_really_called() -> None:
    twice = expect({"tool": "read_file", "args": {"path": "a"}}, {"tool": "read_file", "args": {"path": "b"}})
    loop = ran("for p in 'ab':\n    read_file(p)", read("a", 2, 4), read("b", 2, 4))
    assert run(twice, loop, AGENT) == (1.0, "every expected call, in order")
    assert run(twice, ran("x", read("b", 1, 0), read("a", 1, 9)), AGENT) == (
        0.0,
        "read_file is not called after read_file",
    )
    assert run(twice, ran("x", read("a", 1, 0), problem="line 2: no"), AGENT) == (
        0.0,
        "the code doesn't run: line 2: no",
    )


def test_run_reads_off_the_text_which_result_a_call_uses() -> None:
    chain = expect("read_file", {"tool": "write_file", "uses": [0]})
    write = Call("write_file", ("out", "x"), place=(0, 2, 0))
    used, ignored = "a = read_file('a')\nwrite_file('out', a)", "a = read_file('a')\nwrite_file('out', 'a')"
    assert run(chain, ran(used, read("a", 1, 4), write), AGENT)[0] == 1.0
    assert run(chain, ran(ignored, read("a", 1, 4), write), AGENT) == (
        0.0,
        "write_file doesn't use the result of read_file",
    )
    in_f_string = ran("write_file('out', f'{read_file(\"a\")}')", read("a", 1, 21), replace(write, place=(0, 1, 0)))
    assert run(chain, in_f_string, AGENT)[0] == 1.0


def test_run_needs_code_that_was_run() -> None:
    answer = replace(parse(native("git_status"), AGENT), run=Run())
    assert run(expect("git_status"), answer, AGENT) == (0.0, DIRECT.replace(" called", " is called"))
    assert run(expect(), parse("Hello.", AGENT), AGENT)[0] == 1.0
    with pytest.raises(ValueError, match="needs an answer that was run"):
        run(expect("git_status"), parse(code("git_status()"), AGENT), AGENT)


def test_every_scorer_that_a_suite_may_name_is_registered() -> None:
    assert {*SCORERS, "episode"} == set(get_args(Case.model_fields["scorer"].annotation))
    assert set(SCORERS) > NEED_RUN
