"""Generated programs through the sandbox: each ends in a result, and the next program runs as if it hadn't been."""

from __future__ import annotations

import multiprocessing
import random
import re
import traceback
from collections import Counter
from dataclasses import replace
from multiprocessing.queues import Queue

from benchmarks.reliability.tally import Tally
from topcoat.calls.parsing import parse
from topcoat.calls.sandbox import Limits, Sandbox
from topcoat.demo import TEMPLATE
from topcoat.scoring.scorers import run as run_scorer
from topcoat.spec.agent import Agent
from topcoat.spec.expect import Expect
from topcoat.spec.tools.loading import load_catalog

__all__ = ["try_programs"]

_BATCH = 100
_LIMITS = Limits(seconds=0.3, memory=16 * 2**20, calls=20)
_SECONDS = 600.0
_EXPECTED = Expect.model_validate(
    {
        "calls": [
            {"tool": "read_file", "args": {"path": {"a": [1]}}},
            {"tool": ["read_file", "write_file"], "match": {"path": "^a+$"}},
        ]
    }
)
_VALUES = (
    "A()", "A", "B", "read_file", "read_file('a')", "git_status()", "{A(): 1}", "{A: 1}", "{git_status()}",
    "[A()] * 3", "lambda: A()", "(x for x in [1])", "[x for x in range(10**7)]", "'x' * 10**8", "[0] * 10**7",
    "10 ** 10 ** 6", "1 << 10**7", "float('nan')", "float('inf')", "{float('nan'): A()}", "b'x' * 10**6",
    "range(10**12)", "object()", "type('C', (), {})", "type(A())", "type", "Exception(A())", "BadStr()",
    "NotImplemented", "...", "None", "True", "'\ud800'", "'\x00'", "'é' * 1000", "(" * 90 + "1" + ")" * 90,
    "[" * 90 + "]" * 90, "print", "open", "__builtins__", "getattr", "globals()", "x", "z",
    "frozenset([A()])", "(A(),)", "{1: {2: {3: A()}}}", "read_file('a').__class__", "read_file('a').content",
    "f'{A()!r}'", "'%s' % A()", "str(BadStr())", "repr(BadStr())", "complex(1, 2)", "slice(1)", "iter([1])",
    "enumerate([1])", "zip([1], [2])", "map(read_file, ['a'])", "sorted([A(), A()])", "super()", "-o(A())",
    "max(range(10**6))", "sum([[1]] * 1000, [])", "''.join(['a'] * 10**6)", "Meta", "WithMeta", "WithMeta()",
)  # fmt: skip
_ANY = (
    "from typing import Any\nimport asyncio, json, re\ndef o(v: Any) -> Any:\n    return v\n"
    "x: Any = 1\nasync def h(): await h()\n"
)
_MADE = re.compile(r"\b(?:B|BadStr|Meta|WithMeta|z|g)\b")
_CLASSES = (
    "class A:\n    __hash__ = None\n    def __eq__(self, other): return True\n",
    "class A:\n    def __hash__(self): return o(self).x\n",
    "class A:\n    def __repr__(self): return repr(self)\n    def __str__(self): return 1\n",
    "class A:\n    def __getattr__(self, name): return A()\n    def __call__(self, *a, **k): return self\n",
    "class A:\n    __slots__ = ('x',)\n    def __len__(self): return -1\n    def __iter__(self): return self\n",
    "class A:\n    x = []\n    def __init__(self): self.x.append(self)\n    def __del__(self): A()\n",
)
_UNREAD = (
    "class BadStr(Exception):\n    def __str__(self): raise BadStr()\n    def __repr__(self): return None\n",
    "class Meta(type):\n    def __call__(cls): return cls\n    def __eq__(cls, other): raise ValueError(cls)\n"
    "class WithMeta(metaclass=Meta):\n    pass\n",
    "def g():\n    yield 1\n    yield from g()\n",
)
"""Monty reads neither inheritance nor generators: such a program is refused as a whole."""
_HEADS = (
    "from dataclasses import dataclass\n@dataclass\nclass B:\n    x: int = 1\n",
    "import math, sys\n",
    "def y(*a, **k):\n    return y(*a, a, **k)\n",
    "z: Any = []\nz.append(z)\nz.append({1: z})\n",
)
_STATEMENTS = (
    "x = {0}\n", "x = [{0}, {1}]\n", "x = {{'a': {0}}}\n", "read_file({0})\n", "read_file(path={0})\n",
    "read_file(*{0})\n", "read_file(**{0})\n", "write_file({0}, {1})\n", "print({0})\n",
    "print({0}, sep={1}, file={0})\n", "raise {0}\n", "raise {0} from {1}\n", "assert {0}, {1}\n",
    "del {0}\n", "x = {0} + {1}\n", "x = {0} == {1}\n", "x = {0} in {1}\n", "x = {0}[{1}]\n", "{0}.y = {1}\n",
    "x = {0}.y\n", "x = {0}({1})\n", "hash({0})\n", "x = {{ {0}: {1} }}\n", "len({0})\n", "list({0})\n",
    "dict({0})\n", "str({0})\n", "for x in {0}:\n    read_file({1})\n", "while {0}:\n    x = {1}\n",
    "while True:\n    read_file({0})\n",
    "try:\n    x = {0}({1})\nexcept BaseException as e:\n    read_file(e)\n",
    "try:\n    raise {0}\nexcept Exception as e:\n    raise e from e\nfinally:\n    x = {1}\n",
    "with {0} as x:\n    {1}\n",
    "match {0}:\n    case {{'a': x}}:\n        pass\n    case _:\n        read_file({1})\n", "import {2}\n",
    "from {2} import *\n", "def f(a={0}):\n    return f(a)\nf({1})\n", "await {0}\n", "asyncio.run({0})\n",
    "asyncio.run(h())\n", "next({0})\n", "isinstance({0}, {1})\n", "setattr({0}, 'y', {1})\n", "exec({0})\n",
    "eval('1')\n", "x = sorted([{0}, {1}], key={1})\n", "json.dumps({0})\n",
    "re.match('(a|a)*b', 'a' * 40)\n", "return {0}\n", "yield {0}\n", "x: {0} = {1}\n", "x = y = {0}\n",
    "global x\n", "nonlocal x\n", "x = x, x\n" * 30, "x = [x] * 100\n" * 5, "print(g())\nlist(g())\n",
    "x({0}, x)\n", "sys.exit({0})\n", "x = (lambda f: f(f))(lambda f: f(f))\n", "x = lambda: {0}\nx()()()\n",
    "import time\ntime.sleep(99)\n",
)  # fmt: skip
_RAISED = re.compile(r"(?:line \d+: )?\w*(?:Error|Exception|Exit|Interrupt|BadStr)\b")
_MODULES = ("os", "sys", "ctypes", "subprocess", "pathlib", "builtins", "threading", "random", "collections", "this")


def try_programs(tally: Tally, seed: int) -> None:
    """Batches, each in a process of its own: a sandbox that brings its process down ends one batch only."""
    context = multiprocessing.get_context("spawn")
    for begin in range(0, tally.planned, _BATCH):
        count = min(_BATCH, tally.planned - begin)
        results: Queue[tuple[Counter[str], list[str]]] = context.Queue()
        process = context.Process(target=_batch, args=(seed, begin, count, results))
        process.start()
        try:
            outcomes, faults = results.get(timeout=_SECONDS) if _ended_well(process, results) else (Counter(), [])
        except Exception:
            outcomes, faults = Counter[str](), []
        process.join(10)
        if not outcomes:
            tally.fault(
                f"programs {begin} to {begin + count - 1} of seed {seed}: the process ended with {process.exitcode}"
            )
            outcomes["lost with their process"] = count
        for outcome, number in outcomes.items():
            tally.note(outcome, number)
        for fault in faults:
            tally.fault(fault)


def _ended_well(process: multiprocessing.process.BaseProcess, results: Queue[tuple[Counter[str], list[str]]]) -> bool:
    """Wait for a result or for the process's end."""
    waited = 0.0
    while results.empty() and process.is_alive() and waited < _SECONDS:
        process.join(0.2)
        waited += 0.2
    if process.is_alive() and results.empty():
        process.kill()
    return not results.empty()


def _batch(seed: int, begin: int, count: int, results: Queue[tuple[Counter[str], list[str]]]) -> None:
    catalog = load_catalog(TEMPLATE / "tools.pyi")
    outcomes: Counter[str] = Counter()
    faults: list[str] = []
    with Sandbox(catalog, _LIMITS) as sandbox:
        for number in range(begin, begin + count):
            text = program(random.Random(f"{seed} {number}"))
            try:
                run = sandbox.run([text])
                run.problem.encode("utf-8", "replace")
                answer = parse(
                    f"<tool_call><function=execute_code><parameter=code>\n{text}\n</parameter>", Agent(catalog)
                )
                reason = run_scorer(_EXPECTED, replace(answer, run=run), Agent(catalog))[1]
                reason.encode("utf-8", "replace")
                outcomes[_kind(run.problem)] += 1
                if number % 10 == 0 and len(sandbox.run(["git_status()"]).calls) != 1:
                    faults.append(f"program {number} of seed {seed} spoils the next one: {text!r}")
            except BaseException:
                outcomes["raised"] += 1
                faults.append(f"program {number} of seed {seed}: {text!r}: {traceback.format_exc(limit=-3)}")
    results.put((outcomes, faults))


def program(rng: random.Random) -> str:
    """A program of some definitions and some statements, each with odd values.

    Most values have the type `Any`, because the sandbox refuses what can't work by its types.
    """
    definitions = [_ANY, rng.choice(_CLASSES), *rng.sample(_HEADS, rng.randint(0, 3))]
    if rng.random() < 0.05:
        definitions.append(rng.choice(_UNREAD))
    known = {*re.findall(r"\w+", "".join(definitions))}
    values = [value for value in _VALUES if known >= {*_MADE.findall(value)}]
    parts = []
    for _ in range(rng.randint(1, 5)):
        odd = [rng.choice(values) for _ in range(2)]
        odd = [f"o({value})" if rng.random() < 0.85 else value for value in odd]
        statement = rng.choice(_STATEMENTS)
        while not known >= {*_MADE.findall(statement)}:
            statement = rng.choice(_STATEMENTS)
        written = statement.format(*odd, rng.choice(_MODULES))
        if rng.random() < 0.15:
            written = "def k():\n" + "".join(f"    {line}\n" for line in written.splitlines()) + "k()\n"
        parts.append(written)
    return "".join([*definitions, *parts])


def _kind(problem: str) -> str:
    """What came of a program, in few words."""
    if not problem:
        return "finished"
    for kind in ("stopped", "the sandbox failed", "the code brought the sandbox down"):
        if problem.startswith(kind):
            return kind
    return "raised an error of its own" if _RAISED.match(problem) else "refused before it ran"
