from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.agents import agent_of
from topcoat.spec.agent import Agent
from topcoat.spec.tools.tool_list import own_catalog
from topcoat.usage.extraction.visible import Shown

AGENT = agent_of(["f"], "native")
CODE = agent_of(["f"])


def call(*values: object) -> str:
    arguments = {f"a{place}": value for place, value in enumerate(values)}
    return f"<tool_call>{json.dumps({'name': 'f', 'arguments': arguments})}</tool_call>"


def program(code: str) -> str:
    return f"<tool_call><function=execute_code>\n<parameter=code>\n{code}\n</parameter>\n</function></tool_call>"


SHOWN = [
    ("show src/app.py", "src/app.py"),
    ("show src/app.py", "app.py"),
    ("show settings.yaml", "./settings.yaml"),
    ("show the module billing", "billing.py"),
    ("show the readme", "README.md"),
    ("the class invoice printer", "InvoicePrinter"),
    ("the class invoice printer", "invoice_printer"),
    ("the tests of users", "test_user"),
    ("fly to Zürich", "Zurich"),
    ("at half past seven", "19:30"),
    ("at 4:30 in the afternoon", "16:30"),
    ("on the 3rd of May 2027", "2027-05-03"),
    ("on May 3, 2027", "05/03/2027"),
    ("weather in Oslo", "metric"),
    ("weather in München", "Munich"),
    ("all Python files", "**/*.py"),
    ("does src mention frob?", "grep -rn frob src"),
    ("which packages do we use?", "package.json"),
    ("lint x", "utf-8"),
    ("show 文件", "文件.py"),
]
HIDDEN = [
    ("what changed in src/criket.py?", "src/criz.py"),
    ("lint core/queue.py", "core/queu.py"),
    ("what does the parser do?", "lib/internal/parser_v2.rs"),
    ("callers of Heap.pop", "Heap.popp"),
    ("the class Stack", "Stack.push"),
    ("search for Kestrel", "Kestral"),
    ("search for Kestrel", "Kesterl"),
    ("show page 2", "page3.html"),
    ("remind me tomorrow", "2027-05-03"),
    ("weather on March 9", "2027-03-09"),
    ("diff of a.txt", "git diff src/criz.py"),
    ("lint it", "b.py"),
    ("mail Anna", "anna@example.org"),
]


@pytest.mark.parametrize(("question", "value"), SHOWN)
def test_what_a_question_says_in_other_words_is_shown(question: str, value: str) -> None:
    assert Shown(question, AGENT).shows_all(call(value), first=True)
    assert Shown(question, AGENT).shows_all(call([{"deep": value}]), first=True)


@pytest.mark.parametrize(("question", "value"), HIDDEN)
def test_a_name_that_nothing_shows_is_not(question: str, value: str) -> None:
    assert not Shown(question, AGENT).shows_all(call("fine", value), first=True)
    assert Shown(question, agent_with_prompt(f"We have {value}.")).shows_all(call("fine", value), first=True)


def agent_with_prompt(text: str) -> Agent:
    return Agent(AGENT.catalog, text, "native")


def test_after_a_result_a_plain_word_may_come_from_it() -> None:
    shown = Shown("open the first poem", AGENT)
    assert not shown.shows_all(call("winter"), first=False)
    assert shown.shows_all(call("winter"), first=True)
    shown.add("winter is here")
    assert shown.shows_all(call("winter"), first=False)


def test_values_that_the_schema_lists_are_shown() -> None:
    schema = {"type": "object", "properties": {"a0": {"enum": ["K2-x", "K3-x"]}, "a1": {"default": "lib/x.c"}}}
    tools = [{"type": "function", "function": {"name": "f", "description": "", "parameters": schema}}]
    agent = Agent(own_catalog(tools, Path("tools.json")), "", "native")
    assert Shown("go", agent).shows_all(call("K3-x", "lib/x.c"), first=True)
    assert not Shown("go", agent).shows_all(call("K4-x", "lib/x.c"), first=True)


def test_settings_and_written_texts_are_not_looked_at() -> None:
    assert Shown("go", AGENT).shows_all(call(50, True, None, "a/b.c\nd/e.f\n", "a/b.c " * 60), first=True)


@pytest.mark.parametrize(
    ("code", "shown"),
    [
        ('print(f("a.py"))', True),
        ('r = f("a.py")\nprint(r["severity"], "n/a", f"{r}/x", "issues:")', True),
        ('for path in ["a.py", "b.py"]:\n    print(f(path))', False),
        ('print(f("b.py"))', False),
        ('print(f("Aple"))', True),
    ],
)
def test_of_a_program_the_values_of_calls_and_the_files_count(code: str, shown: bool) -> None:
    assert Shown("look at a.py", CODE).shows_all(program(code), first=True) is shown


@pytest.mark.parametrize(
    ("question", "numbers", "shown"),
    [
        ("set it to 21 degrees", [21], True),
        ("set it to 21 degrees", [12], False),
        ("set it to 21 degrees", [21, 40], True),
        ("set it to twenty-one degrees, room 7", [21], True),
        ("wait 2 hours", [7200], True),
        ("at 5% for 1,200 euros", [0.05, 1200], True),
        ("the first 21 lines", [50], True),
        ("set it", [12], True),
        ("set it to 21 degrees", [True], True),
    ],
)
def test_a_number_instead_of_one_in_the_question_is_a_slip(question: str, numbers: list[float], shown: bool) -> None:
    assert Shown(question, AGENT).shows_all(call(*numbers), first=True) is shown
