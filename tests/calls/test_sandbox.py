from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pydantic_monty import MontySession

from topcoat.calls.answer import Run
from topcoat.calls.sandbox import Limits, Sandbox, sandbox_version
from topcoat.errors import TopcoatError
from topcoat.spec.tools.catalog import Catalog
from topcoat.spec.tools.stubs import parse_stubs
from topcoat.spec.tools.tool_list import parse_tool_list

CATALOG: Catalog = parse_stubs(
    """
import somewhere
from typing import Any

class Report:
    path: str
    count: int
    def text(self) -> str: ...

def lint(path: str, /, level: int = 3, *rest: str, fix: bool = False, **options: int) -> Report: ...
def take(value: Any) -> None: ...
async def fetch(url: str) -> Report: ...
""",
    Path("tools.pyi"),
)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(CATALOG, Limits(seconds=1.0, calls=20)) as box:
        yield box


def made(run: Run) -> list[str]:
    return [
        f"{call.tool}({', '.join([*map(repr, call.args), *(f'{k}={v!r}' for k, v in call.kwargs.items())])})"
        for call in run.calls
    ]


def test_a_program_calls_tools_with_real_values_and_gets_results(sandbox: Sandbox) -> None:
    run = sandbox.run(["r = lint('a' + 'b', 1 + 1, 'x', fix=not False, deep=7)\ntake([r.path, r.count, r.text()])"])
    assert run.problem == ""
    assert made(run) == [
        "lint('ab', 2, 'x', fix=True, deep=7)",
        "take(['src/example1.py', 1, 'first line 1\\nsecond line 1\\n'])",
    ]


def test_a_call_in_a_loop_counts_each_time_and_knows_its_place(sandbox: Sandbox) -> None:
    run = sandbox.run(["'é'; take(0)", "for x in 'ab':\n    take((x, lint(x).count))"])
    assert [(call.tool, call.place) for call in run.calls] == [
        ("take", (0, 1, 6)),
        *[("lint", (1, 2, 13)), ("take", (1, 2, 4))] * 2,
    ]


def test_programs_share_nothing(sandbox: Sandbox) -> None:
    run = sandbox.run(["x = 1", "take(x)", "take(2)"])
    assert run == Run((), "line 1: Name `x` used when not defined")


def test_the_same_program_gives_the_same_run(sandbox: Sandbox) -> None:
    program = (
        "import random, time\nfrom datetime import datetime\ntake([random.random(), str(datetime.now()), time.time()])"
    )
    assert sandbox.run([program]) == sandbox.run([program])


@pytest.mark.parametrize(
    "program",
    [
        "r = await fetch('u')\ntake(r.count)",
        "import asyncio\na, b = await asyncio.gather(fetch('u'), fetch('v'))\ntake(a.count + b.count)",
        "import asyncio\nasync def main():\n    take((await fetch('u')).count)\nasyncio.run(main())",
        "f = lint\ntake(f('a').path)",
        "take(isinstance(lint('a'), Report))",
        "print('x' * 100_000)",
        "import time\ntime.sleep(1000)",
        "print(list(map(str, filter(None, [1]))), getattr(lint('a'), 'path'), hasattr(3, 'x'))",
        "if __name__ == '__main__':\n    take(1)",
        "x = '\ud800'",
    ],
)
def test_what_runs_to_its_end(sandbox: Sandbox, program: str) -> None:
    assert sandbox.run([program]).problem == ""


TOO_LONG, TOO_LARGE = "stopped after 1 s", "stopped: it takes more than 64 MiB of memory"
DEEP = "RecursionError: maximum recursion depth exceeded"
STOPPED = {
    "endless loop": ("while True: pass", TOO_LONG),
    "loop that catches everything": (
        "while True:\n  try:\n    while True: pass\n  except BaseException: pass",
        TOO_LONG,
    ),
    "loop inside one operation": ("x = 7\nwhile True: x = x * x", TOO_LONG),
    "endless print": ("while True: print('x')", TOO_LONG),
    "endless calls": ("while True: take(1)", "stopped after 20 calls"),
    "caught calls": ("while True:\n  try: take(1)\n  except BaseException: pass", "stopped after 20 calls"),
    "endless awaits": ("while True: await fetch('u')", "stopped after 20 calls"),
    "endless methods": ("r = lint('a')\nwhile True: r.text()", "stopped after 1000 requests"),
    "text of 100 MB": ("x = 'x' * 100_000_000", TOO_LARGE),
    "growing text": ("x = 'x'\nwhile True: x += x", TOO_LARGE),
    "growing list": ("x = []\nwhile True: x.append(x[:])", TOO_LARGE),
    "huge integer": ("x = 10 ** 10 ** 10", TOO_LARGE),
    "long range": ("list(range(10**12))", TOO_LARGE),
    "wide format": ("f'{1:>1000000000000}'", TOO_LARGE),
    "one allocation too many": ("take([0] * 2_000_000)", TOO_LARGE),
    "large argument": ("take('x' * 2_000_000)", "stopped: take was given more than 1048576 characters"),
    "large items": ("take([[0] * 1000] * 2000)", "stopped: take was given more than 1048576 characters"),
    "recursion": ("def f():\n    return f()\nf()", f"line 2: {DEEP}"),
    "recursion of repr": ("class A:\n  def __repr__(self): return repr(self)\nprint(A())", f"line 2: {DEEP}"),
    "deep source": ("x = " + "(" * 5000 + ")" * 5000, "line 1: Source is too deeply nested"),
    "file": ("open('/etc/passwd').read()", "line 1: PermissionError: Permission denied: '/etc/passwd'"),
    "folder": ("import os\nos.listdir('/')", "line 2: PermissionError: Permission denied: '/'"),
    "written file": ("open('x', 'w')", "line 1: PermissionError: Permission denied: '/x'"),
    "environment": ("import os\nos.environ", "line 2: RuntimeError: 'os.environ' is not supported in this environment"),
    "import": ("import subprocess", "line 1: Cannot resolve imported module `subprocess`"),
    "import by function": ("__import__('os')", "line 1: NameError: name '__import__' is not defined"),
    "field that doesn't exist": ("lint('a').text2", "line 1: Object of type `Report` has no attribute `text2`"),
    "field behind Any": (
        "from typing import Any\nx: Any = lint('a')\nx.other",
        "line 3: AttributeError: 'Report' object has no attribute 'other'",
    ),
    "arguments behind a star": (
        "from typing import Any\nx: Any = {'value': 1, 'more': 2}\ntake(**x)",
        "line 3: TypeError: take: got an unexpected keyword argument 'more'",
    ),
    "not awaited": ("fetch('u')", "line 1: Object of type `CoroutineType[Any, Any, Report]` is not awaited"),
    "exit": ("raise KeyboardInterrupt", "line 1: KeyboardInterrupt"),
    "its own TimeoutError": ("raise TimeoutError('x')", "line 1: TimeoutError: x"),
}


@pytest.mark.slow
@pytest.mark.parametrize(("program", "problem"), STOPPED.values(), ids=STOPPED)
def test_what_is_stopped(sandbox: Sandbox, program: str, problem: str) -> None:
    assert sandbox.run([program]).problem == problem
    assert made(sandbox.run(["take(1)"])) == ["take(1)"]


def test_the_calls_before_the_end_are_kept(sandbox: Sandbox) -> None:
    run = sandbox.run(["take(1)", "take(2)\n1 / 0", "take(3)"])
    assert (made(run), run.problem) == (["take(1)", "take(2)"], "line 2: ZeroDivisionError: division by zero")


def test_the_programs_of_an_answer_share_its_time() -> None:
    count = 1_000  # none of them takes half a second, together they take many
    with Sandbox(CATALOG, Limits(seconds=0.5, calls=count)) as sandbox:
        run = sandbox.run([f"take({i})\nfor i in range(10**5): pass" for i in range(count)])
    assert run.problem == "stopped after 0.5 s"
    assert made(run) == [f"take({i})" for i in range(len(run.calls))]
    assert len(run.calls) < count


def test_a_long_problem_is_one_short_line(sandbox: Sandbox) -> None:
    [problem] = sandbox.run(["raise ValueError('a\\n' * 1000)"]).problem.split("\n")
    assert len(problem) == 200


def test_what_monty_cannot_hand_over_is_a_problem_of_the_program(sandbox: Sandbox) -> None:
    run = sandbox.run(["take(1)\nclass A: pass\ntake({A(): 1})", "take(2)"])
    assert run.problem.startswith("the sandbox failed: TypeError: unhashable")
    assert made(run) == ["take(1)"]
    assert made(sandbox.run(["take(3)"])) == ["take(3)"]


class PanicException(BaseException):
    """As Rust's panics reach Python: no `Exception`."""

    __module__ = "pyo3_runtime"


@pytest.mark.parametrize("error", [TypeError("a\nb"), RuntimeError("a b"), MemoryError("a b"), PanicException("a b")])
def test_any_exception_of_the_library_is_a_problem_of_the_program(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(MontySession, "feed_start", broken)
    assert sandbox.run(["take(1)"]) == Run((), f"the sandbox failed: {type(error).__name__}: a b")


def test_an_interrupt_ends_the_execution(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(MontySession, "feed_start", interrupted)
    with pytest.raises(KeyboardInterrupt):
        sandbox.run(["take(1)"])


def test_threads_share_a_sandbox(sandbox: Sandbox) -> None:
    barrier = threading.Barrier(4)

    def work(i: int) -> list[str]:
        barrier.wait()
        return made(sandbox.run([f"take({i})"]))

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(work, range(4))) == [[f"take({i})"] for i in range(4)]


def test_a_sandbox_that_does_not_work_is_a_fault_with_a_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MONTY_BIN", "/nowhere/monty")
    with pytest.raises(TopcoatError, match="the sandbox doesn't work: ") as caught, Sandbox(CATALOG):
        pass
    assert "/nowhere/monty" in caught.value.message
    assert caught.value.hint == "pip install --force-reinstall pydantic-monty-runtime"


def test_the_version_names_the_interpreter() -> None:
    assert sandbox_version().startswith("pydantic-monty 1.")


TOOLS = parse_tool_list(
    """[{"name": "set_light", "inputSchema": {
        "type": "object",
        "properties": {
            "room": {"enum": ["attic", "cellar"]}, "hue": {"type": "integer", "default": 3}, "on": {"type": "boolean"}
        },
        "required": ["on", "room"]
    }}]""",
    Path("tools.json"),
)


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        ("set_light('attic', True)", ""),
        ("set_light(room='cellar', on=False, hue=4)", ""),
        ("print(set_light('attic', on=True) + '!')", ""),
        ("set_light('attic')", "No argument provided for required parameter `on`"),
        ("set_light('garden', True)", 'set_light is given \'garden\' for room, which must be one of "attic", "cellar"'),
        ("set_light('attic', True, hue='red')", "set_light is given 'red' for hue, which must be integer"),
        ("dim('attic')", "Name `dim` used when not defined"),
    ],
)
def test_the_tools_of_a_list_are_checked_by_their_schemas_and_run(code: str, problem: str) -> None:
    with Sandbox(TOOLS) as sandbox:
        run = sandbox.run([code])
    assert problem in run.problem
    assert bool(run.problem) is bool(problem)
    assert [call.tool for call in run.calls] == ([] if problem else ["set_light"])
