from __future__ import annotations

import pytest

from topcoat.usage.tool_results import fields_read, summary_of


@pytest.mark.parametrize(
    ("content", "shape"),
    [
        (
            '{"count": 2, "symbols": [{"file": "a", "line": 1}, {}]}',
            "{count: int, symbols: [2 × {file: str, line: int}]}",
        ),
        ("first\nsecond", "text, 2 lines"),
        ("", "nothing"),
        ('{"src/private/x.py": 1, "b": 2}', "{2 × str: int}"),
        ([True, None], "[2 × bool]"),
        ('{"ok": true, "errors": ["E501"], "error": null}', "{ok: bool, errors: [1 × str], error: null}"),
    ],
)
def test_a_result_is_its_shape(content: object, shape: str) -> None:
    result, errors = summary_of(content)
    assert (result.success, result.shape, errors) == (True, shape, [])


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ('{"error": "no such file"}', "no such file"),
        ('{"error": {"message": "no"}}', "no"),
        ('{"error": [{"loc": ["path"], "msg": "missing"}]}', '[{"loc": ["path"], "msg": "missing"}]'),
        ('{"error": true, "message": "no"}', "no"),
        ('{"success": false, "message": "no match"}', "no match"),
        ('{"exit_code": 2, "stderr": "usage"}', "usage"),
        ("Traceback (most recent call last):\n  File x\nKeyError: 'a'", "KeyError: 'a'"),
        ("AttributeError: no attribute 'x'", "AttributeError: no attribute 'x'"),
        ("Error: file not found", "Error: file not found"),
        ("1 validation error\n\nFix the errors and try again.", "1 validation error\n\nFix the errors and try again."),
    ],
)
def test_a_failure_leaves_its_error(content: object, error: str) -> None:
    result, errors = summary_of(content)
    assert (result.success, errors) == (False, [error])


def test_fields_are_those_that_are_read_not_called() -> None:
    assert fields_read("x = f().a\nprint(x.b[0].c, x['d'].strip(), x.b)") == ["a", "b", "c", "d"]
    assert fields_read("not python (") == []
