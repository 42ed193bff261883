from __future__ import annotations

import json
from pathlib import Path

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


@pytest.mark.parametrize(
    "text",
    [
        "[Errno 13] Permission denied: '/srv/notes'",
        "zsh: command not found: jqq",
        "sh: 1: jqq: not found",
        "cat: notes.txt: No such file or directory",
        "fatal: pathspec 'notes' did not match any files",
        "3 tests ran\nProcess exited with code 1",
        "exit status: 127",
        "Command timed out after 120s",
        "Command failed with exit code 4",
        "The user doesn't want to proceed with this tool use.",
        "Edit rejected by the user",
        "[Request interrupted by user]",
        "Failed to open notes.txt",
        "Couldn't reach the host",
        "Unknown tool 'wirte'",
        "<tool_use_error>String to replace not found in file.</tool_use_error>",
        "notes.txt does not exist.",
        "Segmentation fault (core dumped)",
        "No module named 'notes'",
        "npm ERR! code ENOENT",
    ],
)
def test_a_failure_in_the_words_of_shells_git_and_agents_is_one(text: str) -> None:
    result, errors = summary_of(text)
    assert (result.success, errors) == (False, [text])


@pytest.mark.parametrize(
    "text",
    [
        "ok",
        "",
        "3 passed, 0 failed",
        "exit code 0",
        "Process exited with code 0",
        "found 2 files",
        "The file has been updated.",
        "processed 10 requests, none rejected",
        "can be opened",
        "Failed: 0, passed: 3",
        "src is a directory",
        "def fail():\n    pass",
        "\n".join(["cannot", "be", "a", "report:", "too", "long"]),
        "Cannot " + "x" * 2000,
        '{"text": "command not found"}',
    ],
)
def test_what_is_no_report_of_a_failure_is_none(text: str) -> None:
    assert summary_of(text)[0].success


REPORT = Path(__file__).parents[3] / "shared" / "data" / "reports" / "failed-results" / "failed.jsonl"


@pytest.mark.skipif(not REPORT.exists(), reason=f"{REPORT.name} isn't on this machine")
def test_the_reported_failures_are_failures() -> None:
    logs = [json.loads(line) for line in REPORT.read_text().splitlines()]
    results = [turn["content"] for log in logs for turn in log["messages"] if turn["role"] == "tool"]
    assert results
    assert [text for text in results if summary_of(text)[0].success] == []


def test_fields_are_those_that_are_read_not_called() -> None:
    assert fields_read("x = f().a\nprint(x.b[0].c, x['d'].strip(), x.b)") == ["a", "b", "c", "d"]
    assert fields_read("not python (") == []


@pytest.mark.parametrize(
    ("content", "success"),
    [
        *((None, None), ("null", None), ("[Old tool result content cleared]", None), ("(output omitted)", None)),
        *(({"status": "pending"}, None), ('{"status": "running", "id": 3}', None), ({"status": "done"}, True)),
        *(("", True), ("[]", True), ("12 files removed", True), ({"status": "pending", "error": "no"}, False)),
    ],
)
def test_a_result_that_tells_nothing_is_no_success(content: object, success: bool | None) -> None:
    assert summary_of(content)[0].success is success
