from __future__ import annotations

import math

import pytest

from tests.support.examples import call, dialogue, located
from topcoat.examples.checks.templates import code_template, effective_number, questions, template, text_template
from topcoat.spec.example import Example


def of(user: str, answer: str) -> str:
    return template(located(dialogue(user, answer), 1).example)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Find the get_portal function", "find the  UserService function!"),
        ("Open src/app.py", "Open tests/test_x.py"),
        ("Show the first 10 lines", "Show the first 250 lines"),
        ("Add 'import os' to a.py", 'Add "from re import sub" to lib/b.py:3'),
    ],
)
def test_names_numbers_and_paths_are_blank(one: str, other: str) -> None:
    assert text_template(one) == text_template(other)


def test_plain_words_are_not() -> None:
    assert text_template("Show modified files") != text_template("Show staged files")
    assert text_template("don't open it") == "don t open it"


def test_what_a_call_is_given_is_a_name() -> None:
    one = of("Where is execute used?", call('print(find("execute"))'))
    assert one == of("Where is main used?", call("print(find('main'))"))
    assert one != of("Where is main defined?", call("print(find('main'))"))
    native = '<tool_call>{"name": "find", "arguments": {"pattern": "%s", "in": ["%s"]}}</tool_call>'
    assert of("Find dog in cat", native % ("dog", "cat")) == of("Find cow in pig", native % ("cow", "pig"))


def test_code_keeps_functions_fields_and_keywords() -> None:
    one = code_template('x = read_file("a")  # why\nprint(f"{x.text}: {len(x.text)}", 3)')
    assert one == code_template("result=read_file('b b')\nprint(f'{result.text} {len(result.text)}', 40)")
    assert one != code_template('x = read_file("a")\nprint(f"{x.path}: {len(x.text)}", 3)')
    assert code_template("if a:\n    b()") != code_template("while a:\n    b()")


def test_code_that_does_not_parse_has_a_template() -> None:
    assert code_template('print("a" + (') == "print ( _ + ("


def test_prose_after_a_call_and_tool_results_do_not_count() -> None:
    rows = [dialogue("Open a.py", call('read_file("a.py")')) for _ in range(2)]
    for row, text in zip(rows, ("short", "very long"), strict=True):
        row["messages"] += [
            {"role": "user", "content": f"<tool_response>{text}</tool_response>"},
            {"role": "assistant", "content": f"It says {text}."},
        ]
    one, other = (Example.model_validate(row) for row in rows)
    assert template(one) == template(other)
    assert list(questions(one)) == ["Open a.py"]
    assert of("What is a list?", "A sequence.") != of("What is a list?", "A mutable sequence.")


def test_effective_number() -> None:
    assert effective_number([]) == 0
    assert effective_number("aaaa") == pytest.approx(1)
    assert effective_number("abcd") == pytest.approx(4)
    assert effective_number("aab") == pytest.approx(math.exp(2 / 3 * math.log(3 / 2) + 1 / 3 * math.log(3)))
