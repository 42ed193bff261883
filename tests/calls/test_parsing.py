"""Hand-checked answers, each with the calls that a person reads in it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.agents import agent_of
from tests.support.growth import MOST_TIMES, Shape, shapes, times
from topcoat.calls import parsing as calls
from topcoat.calls.answer import NON_LITERAL, Answer, upstream
from topcoat.calls.parsing import LONGEST_ANSWER, parse

T = TypeVar("T")

TOOLS = {
    "read_file",
    "write_file",
    "goto_definition",
    "find_references",
    "ruff_check",
    "typecheck",
    "pytest_run",
    "git_status",
}


CUT = "<tool_call><function=execute_code>\n<parameter=code>\n"


def code(source: str) -> str:
    return f"{CUT}{source}\n</parameter>\n</function></tool_call>"


def shown(answer: Answer) -> list[str]:
    """Each call as `tool(args)<uses`, with a `!` in front if it was made directly."""
    lines = []
    for call in answer.calls:
        args = [repr(value) for value in call.args] + [f"{name}={value!r}" for name, value in call.kwargs.items()]
        uses = "<" + ",".join(map(str, sorted(call.uses))) if call.uses else ""
        lines.append(f"{'!' if call.route == 'native' else ''}{call.tool}({', '.join(args)}){uses}")
    return lines


C = "<computed>"

PROGRAMS = {
    "plain": ('read_file("a")', ["read_file('a')"]),
    "keyword": ('result = read_file(path="a")\nprint(result.content)', ["read_file(path='a')"]),
    "numbers": ('goto_definition("a.py", 15, -1, None)', ["goto_definition('a.py', 15, -1, None)"]),
    "containers": (
        'write_file("a", {"k": [1, (2.5, True)]})',
        ["write_file('a', {'k': [1, [2.5, True]]})"],
    ),
    "constant variable": ('path = "src/" + "a.py"\nread_file(f"{path}")', ["read_file('src/a.py')"]),
    "computed": ("import sys\nread_file(sys.argv[1])", [f"read_file({C})"]),
    "spread": ("read_file(*names, **more)", [f"read_file({C}, **={C})"]),
    "name in a text": ('print("read_file")\nprint("read_file(1)")', []),
    "name in a comment": ("# read_file('a')\npass", []),
    "name alone": ("print(read_file)", []),
    "attribute": ('import tools\ntools.read_file("a")', []),
    "own function": ('def read_file(p):\n    return open(p)\nread_file("a")', []),
    "imported": ('from x import read_file\nread_file("a")', []),
    "assigned": ('read_file = open\nread_file("a")', []),
    "parameter": ('def f(read_file):\n    read_file("a")\nf(print)', []),
    "defined later": ('read_file("a")\ndef read_file(p): ...', ["read_file('a')"]),
    "alias": ('x = read_file\nx("a")', ["read_file('a')"]),
    "alias of two": ('for f in [ruff_check, typecheck]:\n    f("src")', ["ruff_check('src')", "typecheck('src')"]),
    "alias in pairs": (
        'for f, p in [(ruff_check, "a"), (typecheck, "a")]:\n    f(p)',
        ["ruff_check('a')", "typecheck('a')"],
    ),
    "await": ('r = await read_file("a")', ["read_file('a')"]),
    "gather": (
        'import asyncio\na, b = await asyncio.gather(read_file("a"), read_file("b"))',
        ["read_file('a')", "read_file('b')"],
    ),
    "nested": (
        'ruff_check(goto_definition("A").locations[0].file)',
        ["goto_definition('A')", f"ruff_check({C})<0"],
    ),
    "variables": (
        'd = goto_definition("A")\nloc = d.locations[0]\npath = loc.file\nread_file(path)',
        ["goto_definition('A')", f"read_file({C})<0"],
    ),
    "direct uses only": (
        'd = goto_definition("A")\nf = read_file(d.file)\nwrite_file("b", f.content)',
        ["goto_definition('A')", f"read_file({C})<0", f"write_file('b', {C})<1"],
    ),
    "condition is no flow": (
        'r = goto_definition("A")\nif r.success:\n    read_file("a")\nelse:\n    git_status()',
        ["goto_definition('A')", "read_file('a')", "git_status()"],
    ),
    "choice is no flow": ('r = git_status()\nread_file("a" if r.ok else "b")', ["git_status()", f"read_file({C})"]),
    "chosen value is flow": (
        'r = git_status()\nread_file(r.path if r.ok else "b")',
        ["git_status()", f"read_file({C})<0"],
    ),
    "loop variable": (
        'for ref in find_references("A").references:\n    read_file(ref.file)',
        ["find_references('A')", f"read_file({C})<0"],
    ),
    "loop over known items": ('for p in ["a", "b"]:\n    read_file(p)', ["read_file('a')", "read_file('b')"]),
    "loop over unknown items": ("for p in input():\n    read_file(p)", [f"read_file({C})"]),
    "loop over constants in a result's loop": (
        'r = git_status()\nfor x in r.files:\n    read_file("a")',
        ["git_status()", "read_file('a')"],
    ),
    "carried around a loop": (
        'last = None\nwhile True:\n    a = read_file("a")\n    write_file("b", last)\n    last = a.text',
        ["read_file('a')", f"write_file('b', {C})<0"],
    ),
    "as often as it is known": (
        'n = 2\nwhile n:\n    read_file(f"{n}")\n    n -= 1\nread_file("end")',
        ["read_file('2')", "read_file('1')", "read_file('end')"],
    ),
    "until it breaks": (
        'for p in "abc":\n    if p == "b":\n        break\n    read_file(p)\nelse:\n    git_status()',
        ["read_file('a')"],
    ),
    "maybe until it breaks": (
        'for p in "ab":\n    if git_status().ok:\n        break\n    read_file(p)',
        ["git_status()", "read_file('a')", "git_status()", "read_file('b')"],
    ),
    "skipped": (
        'for p in "abc":\n    if p == "b":\n        continue\n    read_file(p)',
        ["read_file('a')", "read_file('c')"],
    ),
    "comprehension": (
        'r = find_references("A")\nx = [read_file(f.file) for f in r.references if f.ok]\nwrite_file("o", x)',
        ["find_references('A')", f"read_file({C})<0", f"write_file('o', {C})<1"],
    ),
    "comprehension variable is local": (
        'p = "a"\nx = [p for p in git_status().files]\nread_file(p)',
        ["git_status()", "read_file('a')"],
    ),
    "map": ("list(map(read_file, git_status().files))", ["git_status()", f"read_file({C})<0"]),
    "unpacking": (
        'a, b = git_status(), goto_definition("A")\nread_file(b.file)',
        ["git_status()", "goto_definition('A')", f"read_file({C})<1"],
    ),
    "starred unpacking": ("a, *b = git_status().files\nread_file(b[0])", ["git_status()", f"read_file({C})<0"]),
    "f-string": ('d = goto_definition("A")\nread_file(f"src/{d.file}")', ["goto_definition('A')", f"read_file({C})<0"]),
    "augmented": ('t = ""\nt += git_status().text\nwrite_file("a", t)', ["git_status()", f"write_file('a', {C})<0"]),
    "walrus": ('if (d := goto_definition("A")):\n    read_file(d.file)', ["goto_definition('A')", f"read_file({C})<0"]),
    "with": ("with git_status() as s:\n    read_file(s.path)", ["git_status()", f"read_file({C})<0"]),
    "append": (
        'out = []\nout.append(git_status())\nwrite_file("a", "".join(out))',
        ["git_status()", f"write_file('a', {C})<0"],
    ),
    "stored in an item": (
        'd = {}\nd["k"]["j"] = git_status()\nwrite_file("a", str(d))',
        ["git_status()", f"write_file('a', {C})<0"],
    ),
    "item of a list": (
        'x = [git_status(), goto_definition("A")]\nread_file(x[1].file)',
        ["git_status()", "goto_definition('A')", f"read_file({C})<1"],
    ),
    "overwritten": ('r = git_status()\nr = "a"\nread_file(r)', ["git_status()", "read_file('a')"]),
    "overwritten on one side": (
        'r = git_status()\nif x:\n    r = "a"\nread_file(r)',
        ["git_status()", f"read_file({C})<0"],
    ),
    "function": (
        'def f(name):\n    d = goto_definition(name)\n    return d.file\nread_file(f("A"))',
        ["goto_definition('A')", f"read_file({C})<0"],
    ),
    "function called before": (
        'def f(p):\n    return read_file(p)\ngit_status()\nf("a")',
        ["git_status()", "read_file('a')"],
    ),
    "function called twice": (
        'def f(p):\n    read_file(p)\nf("a")\nf("b")',
        ["read_file('a')", "read_file('b')"],
    ),
    "function never called": ('def main():\n    read_file("a")', []),
    "main": (
        "import asyncio\nasync def main():\n    r = await git_status()\n    read_file(r.path)\nasyncio.run(main())",
        ["git_status()", f"read_file({C})<0"],
    ),
    "default and keyword parameters": (
        'def f(a, b="b", *, c="c"):\n    read_file(a, b, c)\nf(a="x", c="z")',
        ["read_file('x', 'b', 'z')"],
    ),
    "recursion": ("def f(x):\n    return f(read_file(x))\nf(git_status())", ["git_status()", f"read_file({C})<0"]),
    "lambda": ('f = lambda p: read_file(p)\nf("a")', ["read_file('a')"]),
    "lambda passed on": ("sorted(git_status(), key=lambda p: read_file(p))", ["git_status()", f"read_file({C})<0"]),
    "method": (
        "class A:\n    def __init__(self, p):\n        read_file(p)\nA(git_status())",
        ["git_status()", f"read_file({C})<0"],
    ),
    "global": (
        'r = ""\ndef f():\n    global r\n    r = git_status()\nf()\nread_file(r)',
        ["git_status()", f"read_file({C})<0"],
    ),
    "after return": ('def f():\n    return 1\n    read_file("a")\nf()', []),
    "after both branches raised": ('if x:\n    raise A\nelse:\n    raise B\nread_file("a")', []),
    "dead branch": ('if False:\n    read_file("a")\nelse:\n    git_status()', ["git_status()"]),
    "try": (
        'try:\n    r = git_status()\nexcept E as e:\n    read_file("a")\n'
        "else:\n    typecheck(r)\nfinally:\n    pytest_run()",
        ["git_status()", f"typecheck({C})<0", "read_file('a')", "pytest_run()"],
    ),
    "match": (
        'match git_status():\n    case {"f": f}:\n        read_file(f)\n    case _:\n        typecheck("a")',
        ["git_status()", f"read_file({C})<0", "typecheck('a')"],
    ),
    "keyword order": (
        'write_file(content=read_file("a").text, path=goto_definition("A").file)',
        ["read_file('a')", "goto_definition('A')", f"write_file(content={C}, path={C})<0,1"],
    ),
    "loop that may not run": (
        'r = git_status()\nfor x in y:\n    r = "a"\nread_file(r)',
        ["git_status()", f"read_file({C})<0"],
    ),
    "after one branch raised": ('if x:\n    raise A\nread_file("a")', ["read_file('a')"]),
    "own result around a loop": ("x = input()\nwhile x:\n    x = read_file(x)", [f"read_file({C})"]),
    "decorator": ("@git_status()\ndef f(): ...", ["git_status()"]),
    "guard": ("match x:\n    case y if git_status():\n        pass", ["git_status()"]),
    "handler": ("try:\n    pass\nexcept git_status():\n    pass", ["git_status()"]),
    "loop's else": ("for x in y:\n    pass\nelse:\n    git_status()", ["git_status()"]),
    "comprehension's condition": ("[x for x in y if git_status()]", ["git_status()"]),
    "formatted": ('p = "a"\nread_file(f"{1}{p}", f"{p!r}", f"{p:>3}")', ["read_file('1a', \"'a'\", '  a')"]),
    "formatted huge number": (f"read_file(f'{{0x{'f' * 5000}}}')", [f"read_file({C})"]),
    "other operators": ("read_file(~1, not 1, 'a' * 2)", ["read_file(-2, False, 'aa')"]),
    "one or True": ("p = 1\nif x:\n    p = True\nread_file(p)", [f"read_file({C})"]),
    "changed list": ('p = ["a"]\np.append("b")\nread_file(p)', ["read_file(['a', 'b'])"]),
    "endless recursion": (
        "def f(x):\n    return f(x)\nread_file(f(git_status()))",
        ["git_status()", f"read_file({C})<0"],
    ),
    "returns of two functions": (
        'def f():\n    g()\n    return "a"\ndef g():\n    return git_status()\nread_file(f())',
        ["git_status()", "read_file('a')"],
    ),
    "walrus in a comprehension": (
        "[(y := git_status()) for x in z]\nread_file(y)",
        ["git_status()", f"read_file({C})<0"],
    ),
    "long sum": ("write_file('a', " + " + ".join(["'x'"] * 400) + ")", [f"write_file('a', '{'x' * 400}')"]),
}


@pytest.mark.parametrize(("source", "calls"), PROGRAMS.values(), ids=PROGRAMS)
def test_program(source: str, calls: list[str]) -> None:
    answer = parse("I'll look.\n\n" + code(source), agent_of(TOOLS))
    assert shown(answer) == calls
    assert (answer.wrapped, answer.blocks, answer.problems) == (True, 1, ())


NATIVE = '<tool_call>{"name": "read_file", "arguments": {"path": "x"}}</tool_call>'

TEXTS = {
    "no spaces": (
        "<tool_call><function=execute_code><parameter=code>git_status()</parameter></function></tool_call>",
        ["git_status()"],
    ),
    "native": (NATIVE, ["!read_file(path='x')"]),
    "native in prose": (f"Sure.\n{NATIVE}\nDone.", ["!read_file(path='x')"]),
    "arguments as a text": (
        r'<tool_call>{"name": "read_file", "arguments": "{\"path\": \"x\"}"}</tool_call>',
        ["!read_file(path='x')"],
    ),
    "no arguments": ('<tool_call>{"name": "git_status", "arguments": {}}</tool_call>', ["!git_status()"]),
    "Code Mode in JSON": (
        r'<tool_call>{"name": "execute_code", "arguments": {"code": "r = git_status()\nread_file(r.f)"}}</tool_call>',
        ["git_status()", f"read_file({C})<0"],
    ),
    "raw newline in JSON": (
        '<tool_call>{"name": "execute_code", "arguments": {"code": "git_status()\ntypecheck()"}}</tool_call>',
        ["git_status()", "typecheck()"],
    ),
    "parallel": (NATIVE + NATIVE, ["!read_file(path='x')"] * 2),
    "two in one tag": (
        NATIVE.replace("</tool_call>", "\n") + NATIVE.removeprefix("<tool_call>"),
        ["!read_file(path='x')"] * 2,
    ),
    "list": (
        '<tool_call>[{"name": "git_status", "arguments": {}}, {"name":"typecheck","arguments":{"p": 1}}]</tool_call>',
        ["!git_status()", "!typecheck(p=1)"],
    ),
    "bare JSON": ('\n{"name": "git_status", "arguments": {}}\n', ["!git_status()"]),
    "bare list": ('[{"name": "git_status", "arguments": {}}]', ["!git_status()"]),
    "JSON in prose": ('Like {"name": "git_status", "arguments": {}}', []),
    "JSON without closing tag": (NATIVE.removesuffix("</tool_call>"), ["!read_file(path='x')"]),
    "JSON with a word after it": ('{"name": "git_status", "arguments": {}} done', []),
    "three backticks inside a line": (f"```a``` is code.\n{NATIVE}", ["!read_file(path='x')"]),
    "direct function": (
        "<function=read_file>\n<parameter=path>\na b\n</parameter>\n<parameter=line>3</parameter></function>",
        ["!read_file(path='a b', line=3)"],
    ),
    "direct, parameters not closed": (
        "<tool_call><function=read_file>\n<parameter=path>a\n<parameter=line>3\n</function></tool_call>",
        ["!read_file(path='a', line=3)"],
    ),
    "direct, no parameters": ("<function=git_status></function>", ["!git_status()"]),
    "mixture": (
        code('read_file("a")') + NATIVE + "<function=git_status></function>" + code("r = typecheck()\nruff_check(r)"),
        ["read_file('a')", "!read_file(path='x')", "!git_status()", "typecheck()", f"ruff_check({C})<3"],
    ),
    "blocks are separate programs": (
        code("r = git_status()") + code("read_file(r)"),
        ["git_status()", f"read_file({C})"],
    ),
    "no outer tag": (
        "<function=execute_code>\n<parameter=code>\ngit_status()\n</parameter>\n</function>",
        ["git_status()"],
    ),
    "no closing tags": ("<tool_call><function=execute_code>\n<parameter=code>\ngit_status()", ["git_status()"]),
    "parameter not closed": (
        "<tool_call><function=execute_code><parameter=code>git_status()</function></tool_call>" + NATIVE,
        ["git_status()", "!read_file(path='x')"],
    ),
    "nothing closed, then another": (
        "<tool_call><function=execute_code><parameter=code>git_status()\n" + code("typecheck()"),
        ["git_status()", "typecheck()"],
    ),
    "prose": ("I would call read_file and then git_status().", []),
    "fenced": ("```python\nread_file('a')\n```\n", []),
    "tool call in a fence": (f"For example:\n\n```xml\n{NATIVE}\n```\nThat's it.", []),
    "after a fence": (f"~~~\n<tool_call>\n```\n~~~\n{NATIVE}", ["!read_file(path='x')"]),
    "inline code": (f"Write `{NATIVE}` or ``<function=git_status></function>``.", []),
    "mention of the tag": (f"I use <tool_call> now: {NATIVE}", ["!read_file(path='x')"]),
    "mention of a function tag": ("A <function=git_status> tag starts it.", []),
    "thought": (f"<think>{NATIVE}</think>Done.", []),
    "thought, then a call": (f"<think>{NATIVE}</think>{code('git_status()')}", ["git_status()"]),
    "thought opened by the template": (f"{NATIVE}\n</think>\n{code('git_status()')}", ["git_status()"]),
    "thought, then bare JSON": ('<think>x</think>\n{"name": "git_status", "arguments": {}}', ["!git_status()"]),
    "tags in the program": (
        code('write_file("a", "<think> ``` <tool_call>")'),
        ["write_file('a', '<think> ``` <tool_call>')"],
    ),
    "tags in the argument of a JSON answer": (
        '{"name": "write_file", "arguments": {"a": "<think> <tool_call>{...}</tool_call>"}}',
        ["!write_file(a='<think> <tool_call>{...}</tool_call>')"],
    ),
    "tags in the argument after a thought": (
        '<think>x</think>{"name": "write_file", "arguments": {"a": "<tool_call>{...}</tool_call>"}}',
        ["!write_file(a='<tool_call>{...}</tool_call>')"],
    ),
    "closing tags in an argument": (
        "<tool_call><function=write_file><parameter=a>A call is <tool_call>{...}</tool_call>.\n```\n</function>"
        "</parameter><parameter=b>1</parameter></function></tool_call>" + NATIVE,
        ["!write_file(a='A call is <tool_call>{...}</tool_call>.\\n```\\n</function>', b=1)", "!read_file(path='x')"],
    ),
    "closing tags in the program": (
        code('write_file("a", "<tool_call>{}</tool_call>")') + NATIVE,
        ["write_file('a', '<tool_call>{}</tool_call>')", "!read_file(path='x')"],
    ),
    "CRLF": (code("r = git_status()\nread_file(r.f)").replace("\n", "\r\n"), ["git_status()", f"read_file({C})<0"]),
}


def test_a_thought_that_never_ends_holds_no_calls_and_is_named() -> None:
    answer = parse(f"<think>{NATIVE}", agent_of(TOOLS))
    assert (answer.calls, answer.problems) == ((), ("the answer ends inside a thought",))


@pytest.mark.parametrize(("text", "calls"), TEXTS.values(), ids=TEXTS)
def test_text(text: str, calls: list[str]) -> None:
    answer = parse(text, agent_of(TOOLS))
    assert shown(answer) == calls
    assert answer.problems == ()
    assert (answer.blocks > 0) == bool(calls)


BROKEN = {
    "syntax error": (code('read_file("a")\nif x\n  git_status()'), [], "syntax error in line 2"),
    "return of the closed block": (code('read_file("a"'), [], "syntax error"),
    "no code": (code(""), [], "holds no code"),
    "wrong parameter": ("<function=execute_code><parameter=x>git_status()</parameter></function>", [], "holds no code"),
    "unknown tool": (NATIVE.replace("read_file", "rm"), [], "rm is not a tool"),
    "unknown tool with an unprintable name": (NATIVE.replace("read_file", r"a\ud800"), [], r"a\ud800 is not a tool"),
    "unknown tool with a long name": (NATIVE.replace("read_file", "x" * 999), [], f"{'x' * 60} is not a tool"),
    "not JSON": ("<tool_call>{name: read_file}</tool_call>" + NATIVE, ["!read_file(path='x')"], "not valid JSON"),
    "JSON of another shape": ('<tool_call>{"a": 1}</tool_call>', [], "no name and arguments"),
    "arguments not an object": (
        '<tool_call>{"name": "read_file", "arguments": [1]}</tool_call>',
        [],
        "not a JSON object",
    ),
    "neither": ("<tool_call>read_file('a')</tool_call>", [], "neither JSON nor a function"),
    "cut in the tag": ("Yes.\n<tool_call>\n<func", [], "ends inside a tool call"),
    "cut in JSON": ('<tool_call>{"name": "read_file", "argu', [], "ends inside a tool call"),
    "NUL": (code("git_status()\0"), [], "null bytes"),
    "huge number": (code("read_file(" + "9" * 5000 + ")"), [], "4300 digits"),
    "deep": (code("read_file(" + "-" * 50_000 + "1)"), [], "can't be read"),
    "deep enough to parse": (code("git_status()\nread_file(x" + ".y()" * 400 + ")"), ["git_status()"], "too deeply"),
}


@pytest.mark.parametrize(("text", "calls", "problem"), BROKEN.values(), ids=BROKEN)
def test_broken(text: str, calls: list[str], problem: str) -> None:
    answer = parse(text, agent_of(TOOLS))
    assert shown(answer) == calls
    assert problem in answer.problems[0]
    assert answer.blocks > len(calls) or "git_status()" in calls


@pytest.mark.parametrize(
    ("source", "calls"),
    [
        ('r = git_status()\nread_file("a")\nprint(r', ["git_status()", "read_file('a')"]),
        ("git_status()\nfor x in y:\n    typecheck()\n    if x:\n", ["git_status()", "typecheck()"]),
        ('git_status()\nwrite_file("a", """one\ntwo\nthree\nfour', ["git_status()"]),
        ("git_status()\nread_file(\n  'a',\n  [1,\n", ["git_status()"]),
        ("git_status()\ntypecheck()\n</para", ["git_status()", "typecheck()"]),
        ("git_status()\ntry:\n" + "    typecheck()\n" * 150, ["git_status()"]),
    ],
)
def test_a_program_that_was_cut_off_counts_up_to_its_last_complete_line(source: str, calls: list[str]) -> None:
    answer = parse(CUT + source, agent_of(TOOLS))
    assert shown(answer) == calls
    assert answer.problems[0].startswith("the answer ends inside the code: the last ")


def test_a_cut_off_program_without_a_complete_line_has_no_calls() -> None:
    answer = parse(CUT + "read_file('a'", agent_of(TOOLS))
    assert (answer.calls, answer.wrapped) == ((), True)
    assert "the answer ends inside the code" in answer.problems[0]


def test_upstream_follows_results_through_other_calls() -> None:
    answer = parse(
        code('d = goto_definition("A")\nf = read_file(d.file)\ngit_status()\nwrite_file("b", f.content)'),
        agent_of(TOOLS),
    )
    assert [sorted(reached) for reached in upstream(answer.calls)] == [[], [0], [], [0, 1]]


def test_a_computed_argument_equals_nothing() -> None:
    (call,) = parse(code("read_file(x)"), agent_of(TOOLS)).calls
    assert call.args == (NON_LITERAL,)
    assert repr(NON_LITERAL) == C


def test_doubling_values_are_given_up() -> None:
    source = (
        "x = ['a', 'b']\n" + "x = [x, x]\n" * 60 + "y = 'ab'\n" + "y = f'{y}{y}'\n" * 60 + "z = 'a'\n" + "z += z\n" * 60
    )
    source += "read_file(x, y, z)"
    assert shown(parse(code(source), agent_of(TOOLS))) == [f"read_file({C}, {C}, {C})"]


def test_a_program_with_exponential_paths_is_given_up() -> None:
    chain = "".join(f"def f{i}():\n    f{i + 1}()\n    f{i + 1}()\n" for i in range(40))
    answer = parse(code("git_status()\n" + chain + "def f40(): pass\nf0()"), agent_of(TOOLS))
    assert shown(answer) == ["git_status()"]
    assert answer.problems == ("the code is too long to be followed to its end",)


def test_calls_are_counted_up_to_a_limit() -> None:
    answer = parse(code("git_status()\n" * 300), agent_of(TOOLS))
    assert (len(answer.calls), answer.problems) == (256, ("only the first 256 calls were read",))
    assert parse(NATIVE * 300, agent_of(TOOLS)).problems == ("only the first 256 of 300 tool calls were read",)


ADVERSARIAL = [
    "<tool_call>",
    "<tool_call>{",
    '<tool_call>["',
    "<tool_call> \n",
    "<tool_call><function=execute_code>",
    "<tool_call><function=execute_code><parameter=code>",
    "<function=a><parameter=b>",
    "<function=",
    "<parameter=code>",
    "</parameter>",
    "<think>",
    "</think>",
    "`",
    "`` ` ",
    "```\n",
    "~~~~ \n",
    "   ",
    "\n   ",
    "{",
    '{"name":',
    "[[",
    '"\\',
    "<tool_call>\x00",
    "<function=a><parameter=b>x</tool_call>",
    "</tool_call>",
    '</think>["',
]


SYNTAX = ["(", ")", "[", "]", "}", ":", ", ", ".", "=", "*", "'", "\n", "    ", "</function>", "</tool_call>", "\ud800"]
WORDS = ["x", "1", "if ", "for x in ", "def f(", "lambda ", "return ", "await ", "class x:", "x = ", "x(", "f()"]
BEGINS = ["", CUT, '<tool_call>{"name": "read_file", "arguments": {"path": "']
ENDS = ["", "\n</parameter></function></tool_call>", '"}}</tool_call>']


@pytest.mark.parametrize("unit", ADVERSARIAL)
def test_repetition_takes_linear_time(unit: str) -> None:
    for begin in BEGINS:
        assert times(lambda text: parse(text, agent_of(TOOLS)), Shape(unit, begin), LONGEST_ANSWER) <= MOST_TIMES


@given(shapes([*ADVERSARIAL, *TOOLS, *SYNTAX, *WORDS], BEGINS, ENDS))
@settings(max_examples=100)
def test_an_answer_of_any_shape_takes_linear_time(shape: Shape) -> None:
    assert times(lambda text: parse(text, agent_of(TOOLS)), shape, LONGEST_ANSWER) <= MOST_TIMES


def test_a_hundred_megabytes_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    read = []

    def reading(function: Callable[..., T]) -> Callable[..., T]:
        def noted(text: str, *more: object) -> T:
            read.append(len(text))
            return function(text, *more)

        return noted

    for name in ("blocks", "spoken"):
        monkeypatch.setattr(calls, name, reading(getattr(calls, name)))
    answer = parse(code("git_status()") + "x" * 100_000_000, agent_of(TOOLS))
    assert read == [LONGEST_ANSWER] * 2
    assert shown(answer) == ["git_status()"]
    assert answer.problems == (
        f"only the first 200000 of {100_000_000 + len(code('git_status()'))} characters were read",
    )


PIECES = st.sampled_from([*ADVERSARIAL, *TOOLS, *SYNTAX, *WORDS])


@settings(max_examples=300)
@given(st.one_of(st.text(max_size=200), st.lists(PIECES, max_size=40).map("".join)))
def test_no_text_makes_it_raise(text: str) -> None:
    for whole in (text, code(text), CUT + text, f"<tool_call>{text}</tool_call>"):
        answer = parse(whole, agent_of(TOOLS))
        assert all(call.tool in TOOLS for call in answer.calls)
        "".join(answer.problems).encode()  # a reason is written to disk
        assert all(use < index for index, call in enumerate(answer.calls) for use in call.uses)
