"""Whole answers, each with the score that every scorer must give it: worked out by hand, from the scorers' rules."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from topcoat.calls.parsing import parse
from topcoat.calls.sandbox import Limits, Sandbox
from topcoat.scoring.scorers import NEED_RUN, SCORERS
from topcoat.spec.agent import Agent
from topcoat.spec.expect import Expect
from topcoat.spec.tools.catalog import Catalog
from topcoat.spec.tools.stubs import parse_stubs

CATALOG: Catalog = parse_stubs(
    '''
class FileResult:
    """The text of a file."""
    path: str
    content: str
    lines: int

class Location:
    file: str
    line: int

class DefinitionResult:
    locations: list[Location]

class WriteResult:
    bytes: int

class StatusResult:
    modified: list[str]
    clean: bool

def read_file(path: str) -> FileResult: ...
def write_file(path: str, content: str) -> WriteResult: ...
def goto_definition(symbol: str, path: str = ".") -> DefinitionResult: ...
def git_status(path: str = ".") -> StatusResult: ...
''',
    Path("tools.pyi"),
)
AGENT = Agent(CATALOG)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(CATALOG, Limits(seconds=1.0)) as box:
        yield box


def code(source: str) -> str:
    return f"<tool_call><function=execute_code>\n<parameter=code>\n{source}\n</parameter>\n</function></tool_call>"


def native(name: str, arguments: str = "{}") -> str:
    return f'<tool_call>{{"name": "{name}", "arguments": {arguments}}}</tool_call>'


EXPECTED: dict[str, list[dict[str, Any]]] = {
    "read": [{"tool": "read_file", "args": {"path": "a.py"}}],
    "status": [{"tool": "git_status"}],
    "chain": [{"tool": "goto_definition", "args": {"symbol": "Cart"}}, {"tool": "read_file", "uses": [0]}],
    "copy": [
        {"tool": "read_file", "args": {"path": "a"}},
        {"tool": "read_file", "args": {"path": "b"}},
        {"tool": "write_file", "match": {"path": "^out/.*[.]txt$"}, "uses": [0, 1]},
    ],
    "silence": [],
}
WORDS = {
    "exact": Expect(exact="Done."),
    "regex": Expect(regex="(?i)\\bdone\\b"),
    "json_schema": Expect(
        json_schema={"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}}
    ),
}
READ = '{"path": "a.py"}'
FIND = 'd = goto_definition("Cart")\n'
BOTH = 'a = read_file("a")\nb = read_file("b")\n'

# Name, what is expected, the answer, then the scores: tiered, calls, run; exact, regex, json_schema are 0 if left out.
ANSWERS: list[tuple[str, str, str, tuple[float, ...]]] = [
    # One call, through execute_code.
    ("right", "read", code('r = read_file("a.py")\nprint(r.content)'), (1, 1, 1)),
    ("right, by keyword", "read", code('print(read_file(path="a.py"))'), (1, 1, 1)),
    ("right, after prose", "read", "I'll read it.\n" + code('read_file("a.py")'), (1, 1, 1)),
    ("right, prose says done", "read", "Done? Not yet.\n" + code('read_file("a.py")'), (1, 1, 1, 0, 1)),
    ("right, after a thought", "read", "<think>read_file?</think>" + code('read_file("a.py")'), (1, 1, 1)),
    ("another call first", "read", code('git_status()\nread_file("a.py")'), (1, 1, 1)),
    ("wrong, then right", "read", code('read_file("b.py")\nread_file("a.py")'), (1, 1, 1)),
    ("path from a variable", "read", code('p = "a" + ".py"\nread_file(p)'), (1, 1, 1)),
    ("path computed", "read", code('read_file("A.PY".lower())'), (1, 1, 1)),
    ("path from a loop", "read", code('for p in ["a.py", "b.py"]:\n    read_file(p)'), (1, 1, 1)),
    ("path by format", "read", code('read_file("{}.py".format("a"))'), (1, 1, 1)),
    ("in a function", "read", code('def f(p):\n    return read_file(p)\nf("a.py")'), (1, 1, 1)),
    ("in a function never called", "read", code('def f():\n    return read_file("a.py")'), (0.1, 0, 0)),
    ("in a branch that is taken", "read", code('if git_status().clean:\n    read_file("a.py")'), (1, 1, 1)),
    ("in a branch not taken", "read", code('if git_status().modified == []:\n    read_file("a.py")'), (1, 1, 1)),
    ("caught error", "read", code('try:\n    1 / 0\nexcept ZeroDivisionError:\n    read_file("a.py")'), (1, 1, 1)),
    ("alias", "read", code('f = read_file\nf("a.py")'), (1, 1, 1)),
    ("two blocks", "read", code("git_status()") + code('read_file("a.py")'), (1, 1, 1)),
    ("variable of another block", "read", code('p = "a.py"') + code("read_file(p)"), (1, 0, 0)),
    ("no closing tags", "read", '<function=execute_code><parameter=code>read_file("a.py")', (1, 1, 1)),
    ("Code Mode in JSON", "read", native("execute_code", '{"code": "read_file(\'a.py\')"}'), (1, 1, 1)),
    # One call, wrong in some way.
    ("wrong path", "read", code('read_file("b.py")'), (1, 0, 0)),
    ("wrong tool", "read", code("git_status()"), (0.1, 0, 0)),
    ("wrong field", "read", code('print(read_file("a.py").text)'), (1, 0, 0)),
    ("wrong field, never read", "read", code('r = read_file("a.py")\nif r.lines < 0:\n    r.text'), (1, 0, 0)),
    ("wrong field of a list", "read", code('read_file("a.py")\ngit_status().modified[0].path'), (1, 0, 0)),
    ("result as a dict", "read", code('read_file("a.py")["content"]'), (1, 0, 0)),
    ("too many arguments", "read", code('read_file("a.py", 3)'), (1, 0, 0)),
    ("unknown parameter", "read", code('read_file(path="a.py", encoding="utf-8")'), (1, 0, 0)),
    ("argument of another type", "read", code('read_file("a.py")\nread_file(3)'), (1, 0, 0)),
    ("awaited", "read", code('await read_file("a.py")'), (1, 1, 0)),
    ("undefined name", "read", code('read_file("a.py")\nprint(result)'), (1, 0, 0)),
    ("raises afterwards", "read", code('read_file("a.py")\nraise ValueError("no")'), (1, 1, 0)),
    ("raises before", "read", code('[][0]\nread_file("a.py")'), (1, 1, 0)),
    ("own function of that name", "read", code('def read_file(p):\n    return p\nread_file("a.py")'), (0.1, 0, 0)),
    ("only in a text", "read", code("print('read_file(\"a.py\")')"), (0.1, 0, 0)),
    ("imported", "read", code('from tools import read_file\nread_file("a.py")'), (0.1, 0, 0)),
    ("syntax error", "read", code('read_file("a.py"'), (0.1, 0, 0)),
    ("cut off after the call", "read", '<function=execute_code><parameter=code>read_file("a.py")\nprint(', (1, 1, 0)),
    ("no code", "read", code(""), (0.1, 0, 0)),
    ("no parameter", "read", "<function=execute_code></function>", (0.1, 0, 0)),
    # Called directly, or not at all.
    ("native", "read", native("read_file", READ), (0.5, 0, 0)),
    ("native, bare JSON", "read", f'{{"name": "read_file", "arguments": {READ}}}', (0.5, 0, 0, 0, 0, 1)),
    ("function tag", "read", "<function=read_file><parameter=path>a.py</parameter></function>", (0.5, 0, 0)),
    ("native and code", "read", native("read_file", READ) + code('read_file("a.py")'), (1, 1, 1)),
    ("native, and code without it", "read", native("read_file", READ) + code("git_status()"), (0.5, 0, 0)),
    ("native, wrong tool", "read", native("git_status"), (0, 0, 0)),
    ("native, unknown tool", "read", native("cat", READ), (0, 0, 0)),
    ("prose", "read", "I would call read_file on a.py.", (0, 0, 0)),
    ("fenced code", "read", '```python\nread_file("a.py")\n```', (0, 0, 0)),
    ("quoted call", "read", f"`{native('read_file', READ)}` is how.", (0, 0, 0)),
    ("only thought", "read", "<think>" + code('read_file("a.py")'), (0, 0, 0)),
    ("empty", "read", "", (0, 0, 0)),
    ("broken XML", "read", '<tool_call><function=execute_code<parameter=code>read_file("a.py")</tool_call>', (0, 0, 0)),
    ("broken JSON", "read", '<tool_call>{"name": "read_file", "arguments": {"path": }</tool_call>', (0, 0, 0)),
    ("control characters", "read", "\x00\x1b[31m\ud800\ufffe", (0, 0, 0)),
    # What must be stopped.
    ("endless loop", "status", code("git_status()\nwhile True:\n    pass"), (1, 1, 0)),
    ("endless calls", "status", code("while True:\n    git_status()"), (1, 1, 0)),
    ("endless recursion", "status", code("git_status()\ndef f():\n    f()\nf()"), (1, 1, 0)),
    ("file read", "status", code("git_status()\nopen('/etc/passwd').read()"), (1, 1, 0)),
    ("file through pathlib", "status", code("from pathlib import Path\nPath('/').iterdir()\ngit_status()"), (1, 1, 0)),
    ("import", "status", code("import subprocess\ngit_status()"), (1, 1, 0)),
    ("harmless import", "status", code("import json\nprint(json.dumps(git_status().modified))"), (1, 1, 1)),
    ("text of 100 MB", "status", code("git_status()\nx = 'x' * 100_000_000"), (1, 1, 0)),
    ("list of 10**9", "status", code("git_status()\nx = [0] * 10**9"), (1, 1, 0)),
    ("answer of 1 MB", "status", code("git_status()") + "x" * 1_000_000, (1, 1, 1)),
    ("code of 1 MB", "status", code("git_status()\nx = '" + "x" * 1_000_000 + "'"), (1, 1, 0)),
    # Chains.
    ("chain", "chain", code(FIND + "print(read_file(d.locations[0].file).content)"), (1, 1, 1)),
    ("chain in a loop", "chain", code(FIND + "for x in d.locations:\n    read_file(x.file)"), (1, 1, 1)),
    ("chain in an f-string", "chain", code(FIND + "print(f'{read_file(d.locations[0].file).content}')"), (1, 1, 1)),
    ("ignored result", "chain", code(FIND + 'read_file("cart.py")'), (1, 0, 0)),
    ("wrong order", "chain", code('read_file("cart.py")\n' + FIND), (1, 0, 0)),
    ("wrong symbol", "chain", code('d = goto_definition("Card")\nread_file(d.locations[0].file)'), (1, 0, 0)),
    ("first half", "chain", code(FIND + "print(d)"), (0.6, 0, 0)),
    ("second half", "chain", code('read_file("cart.py")'), (0.6, 0, 0)),
    ("wrong field in between", "chain", code(FIND + "read_file(d.file)"), (1, 0, 0)),
    ("a list as a path", "chain", code(FIND + "read_file(d.locations)"), (1, 0, 0)),
    ("both native", "chain", native("goto_definition") + native("read_file"), (1, 0, 0)),
    ("one native", "chain", native("goto_definition"), (0.5, 0, 0)),
    ("one native, one in code", "chain", native("goto_definition") + code('read_file("x")'), (1, 0, 0)),
    ("neither", "chain", code("git_status()"), (0.1, 0, 0)),
    ("nothing", "chain", "Done.", (0, 0, 0, 1, 1)),
    ("copy", "copy", code(BOTH + 'write_file("out/c.txt", a.content + b.content)'), (1, 1, 1)),
    (
        "copy in a loop",
        "copy",
        code('t = ""\nfor p in ["a", "b"]:\n    t += read_file(p).content\nwrite_file("out/c.txt", t)'),
        (1, 1, 1),
    ),
    ("copy of one", "copy", code(BOTH + 'write_file("out/c.txt", a.content)'), (1, 0, 0)),
    ("copy to another place", "copy", code(BOTH + 'write_file("c.txt", a.content + b.content)'), (1, 0, 0)),
    ("copy without writing", "copy", code(BOTH + "print(a.content + b.content)"), (2 / 3 + 0.1, 0, 0)),
    # No call is right.
    ("silent", "silence", "Done.", (1, 1, 1, 1, 1)),
    ("silent, with space and a thought", "silence", "<think>hm</think>\n\n Done. \n", (1, 1, 1, 1, 1)),
    ("silent, other words", "silence", "That is done already.", (1, 1, 1, 0, 1)),
    ("done is only thought", "silence", "<think>Done.</think>No.", (1, 1, 1, 0, 0)),
    ("a document", "silence", '{"name": "x"}', (1, 1, 1, 0, 0, 1)),
    ("a fenced document", "silence", '```json\n{"name": "done"}\n```', (1, 1, 1, 0, 1, 1)),
    ("a document of another form", "silence", '{"name": 3}', (1, 1, 1, 0, 0, 0)),
    ("no document", "silence", "{'name': 'x'}", (1, 1, 1)),
    ("a document and prose", "silence", 'Here: {"name": "x"}', (1, 1, 1)),
    ("not silent", "silence", code("git_status()"), (0, 0, 0)),
    ("code without a tool", "silence", code("print(1)"), (0, 0, 0)),
    ("undone", "silence", "undone", (1, 1, 1)),
]


def score(text: str, scorer: str, expect: Expect, sandbox: Sandbox) -> tuple[float, str]:
    answer = parse(text, AGENT)
    if scorer in NEED_RUN:
        answer = replace(answer, run=sandbox.run(answer.programs))
    return SCORERS[scorer](expect, answer, AGENT)


@pytest.mark.parametrize(("expected", "text", "scores"), [row[1:] for row in ANSWERS], ids=[row[0] for row in ANSWERS])
def test_answer(expected: str, text: str, scores: tuple[float, ...], sandbox: Sandbox) -> None:
    calls = Expect.model_validate({"calls": EXPECTED[expected]})
    found = {name: score(text, name, WORDS.get(name, calls), sandbox) for name in SCORERS}
    wanted = [*scores, 0, 0, 0][:6]
    assert [value for value, _ in found.values()] == pytest.approx(wanted, abs=1e-12), found
    assert all(reason and len(reason) < 400 for _, reason in found.values())


def random_answers(count: int) -> Iterator[str]:
    """Random bytes as text: alone, inside a tool call, mixed with pieces of tool calls; one in 50 as code."""
    source = random.Random(1)
    pieces = [
        "<tool_call>",
        "<function=execute_code>",
        "<parameter=code>",
        "</parameter>",
        '{"name":',
        "[",
        "git_status()",
    ]
    for i in range(count):
        text = source.randbytes(source.randrange(80)).decode("utf-8", source.choice(["replace", "surrogateescape"]))
        if i % 50 == 0:
            yield code(text)
        elif i % 3 == 0:
            yield text.join(source.choices(pieces, k=4))
        else:
            yield text if i % 3 == 1 else f"<tool_call>{text}</tool_call>"


@pytest.mark.slow
def test_ten_thousand_random_answers_are_scored(sandbox: Sandbox) -> None:
    expects = {**WORDS, "silence": Expect(calls=[]), "copy": Expect.model_validate({"calls": EXPECTED["copy"]})}
    for text in random_answers(10_000):
        answer = parse(text, AGENT)
        answer = replace(answer, run=sandbox.run(answer.programs))
        for name, scorer in SCORERS.items():
            for expect in [expects[name]] if name in WORDS else [expects["silence"], expects["copy"]]:
                value, reason = scorer(expect, answer, AGENT)
                assert 0.0 <= value <= 1.0
                reason.encode()  # it is written to disk
