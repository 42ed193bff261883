from __future__ import annotations

from typing import Any

import pytest

from topcoat.spec.project import SuccessPatterns, SuccessSection
from topcoat.usage.success.judge import judged

FAILURES: dict[str, object] = {
    "a shell without the command": "bash: line 1: jqx: command not found",
    "another shell without it": "zsh: command not found: jqx",
    "a shell of another system": "'jqx' is not recognized as an internal or external command,\noperable program",
    "an error number": "[Errno 21] Is a directory: '/srv'",
    "a missing file": "cat: plan.txt: No such file or directory",
    "a missing file, for Node": "Error: ENOENT: no such file or directory, open 'plan.txt'",
    "a right that lacks": "touch: cannot touch '/etc/x': Permission denied",
    "git": "fatal: not a git repository (or any of the parent directories): .git",
    "git, a conflict": "error: Your local changes to the following files would be overwritten by merge:\n\tx.py",
    "an agent's tag": "<tool_use_error>String to replace not found in file.</tool_use_error>",
    "a traceback": "Traceback (most recent call last):\n  File \"x.py\", line 1, in <module>\nKeyError: 'a'",
    "a traceback after output": "begin\nTraceback (most recent call last):\n  File \"x.py\", line 1\nKeyError: 'a'",
    "an exception alone": "json.decoder.JSONDecodeError: Expecting value: line 1 column 1 (char 0)",
    "a stopped program": "KeyboardInterrupt",
    "a compiler": "main.c: In function 'main':\nmain.c:3:1: error: expected ';' before 'return'\n    3 | return",
    "a linker": "cc -o a a.o\n/usr/bin/ld: a.o: undefined reference to `f'\ncollect2: error: ld returned 1 exit status",
    "a crate": "error[E0308]: mismatched types\n --> src/main.rs:2:5",
    "make": "cc -c main.c\nmake: *** [Makefile:2: main.o] Error 1",
    "npm": 'npm ERR! Missing script: "biuld"',
    "a newer npm": 'npm error Missing script: "biuld"',
    "an exit code above": "Exit code 1\nno config",
    "an exit code below": "one\ntwo\nthree\nfour\nfive\nsix\nexit status 2",
    "a process's exit code": "Chunk ID: 1\nWall time: 0.1 seconds\nProcess exited with code 127\nOutput:\nx",
    "an exit code among fields": "Command: x\nStdout: (empty)\nStderr: no\nExit Code: 3\nSignal: (none)",
    "a killed process": "Killed",
    "a crash": "Segmentation fault (core dumped)",
    "a timeout": "Command timed out after 2m 0.0s",
    "a user's refusal": "The user doesn't want to proceed with this tool use. The tool use was rejected.",
    "another refusal": "Permission to use Bash has been denied.",
    "an interruption": "[Request interrupted by user for tool use]",
    "a rate limit": "429 Too Many Requests",
    "a rate limit in words": "Rate limit exceeded, retry after 2 s",
    "an HTTP answer": "HTTP/1.1 503 Service Unavailable",
    "an HTTP client": "Request failed with status code 500",
    "an unknown tool": "Unknown tool 'raed'",
    "wrong arguments": "Invalid arguments: path is required",
    "a named error number": "EACCES: permission denied, open '/etc/x'",
    "a tool's own name": "psql: error: connection to server failed",
    "a package manager": "E: Unable to locate package foo",
    "a host that isn't there": "curl: (6) Could not resolve host: nowhere",
    "a conflict": "CONFLICT (content): Merge conflict in a.py\nAutomatic merge failed; fix conflicts.",
    "a push": "! [rejected] main -> main (fetch first)\nhint: pull first",
    "a thread": "thread 'main' panicked at src/main.rs:2:5:\nboom",
    "an agent's server": "MCP error -32602: Invalid arguments for tool x",
    "usage": "usage: tool [-h] FILE\ntool: error: the following arguments are required: FILE",
    "a code as structure": {"exit_code": 2, "stdout": "", "stderr": "bad"},
    "in another spelling": {"exitCode": 2},
    "in a third": {"returncode": -9},
    "inside of metadata": {"output": "x", "metadata": {"exit_code": 4, "duration_seconds": 0.1}},
    "an error flag": {"content": [{"type": "text", "text": "locked"}], "isError": True},
    "the same in another spelling": {"is_error": True, "text": "locked"},
    "an error": {"error": "not found"},
    "a printed error": "{'error': 'not found'}",
    "an error that is an object": {"jsonrpc": "2.0", "id": 1, "error": {"code": -32602, "message": "Invalid params"}},
    "a typed error": {"type": "error", "message": "overloaded"},
    "errors": {"data": None, "errors": [{"message": "no", "path": ["a"], "locations": [{"line": 1}]}]},
    "no success": {"success": False},
    "not ok": '{"ok": false, "message": "no"}',
    "a status": {"status": "failed"},
    "an HTTP code": {"status": 404, "body": ""},
    "in its own words": {"statusCode": 500, "message": "Internal"},
    "a code beside a message": {"code": 403, "message": "forbidden"},
    "a timeout flag": {"stdout": "", "timed_out": True},
    "an object's fields": "PatchResult(ok=False, error='hunk 1 failed')",
    "an error in an output": {"output": "Error: no such note"},
    "a list of text parts": [{"type": "text", "text": "Error: no such note"}],
}

SUCCESSES: dict[str, object] = {
    "nothing": "",
    "hits of a search for errors": 'src/log.py:12:    print("error")\nsrc/log.py:20:    raise ValueError("fatal: no")',
    "names of tests": "test_open_error ... ok\ntest_no_such_file ... ok\n\nRan 2 tests in 0.001s\n\nOK",
    "names of files": "error.log\nerrors.py\nfatal.txt",
    "a log": "\n".join(["ERROR could not reach it", *["INFO retry"] * 8, "ERROR Permission denied"]),
    "a source file": 'NOT_FOUND = "command not found"\n\n\ndef fail():\n    raise OSError("Permission denied")\n',
    "a script": '#!/bin/sh\nset -e\ntest -f x || exit 1\necho ok\nexit 1\n"$@"',
    "warnings": "WARNING: duplicate label\nbuild succeeded, 2 warnings.",
    "a good exit code": "Exit code: 0\nWall time: 1 seconds\nOutput:\nError: this is what the file says",
    "a good exit code as structure": {"exit_code": 0, "stderr": "warning: error in the manual"},
    "no errors": {"errors": [], "warnings": []},
    "no error": {"error": None, "data": 1},
    "a count of errors": {"error_count": 3, "errors": 3, "failed": 0},
    "what a checker found": {"errors": [{"file": "a.py", "line": 3, "message": "no"}], "warnings": []},
    "a checker that isn't content": {"success": False, "violations": [{"rule": "E1", "line": 3}]},
    "a checker's summary": "a.py:3:1: error: no type\nFound 1 error in 1 file (checked 1 source file)",
    "a song": "Can't Stop the Music\nCannot Buy My Soul",
    "a manual": "usage: tool [-h]\n\noptions:\n  -h  help",
    "no errors, in words": "No errors found",
    "a page about errors": "Error handling\n==============\nEvery call may fail.",
    "an edit": "Fixed the error in line 3.",
    "tests that ran": "3 passed, 0 failed",
    "an HTTP code": {"status": 200, "body": "error"},
    "a mail about an error": {"from": "ops", "subject": "error: disk full", "body": "fatal error on host 3"},
    "not an error, of MCP": {"content": [{"type": "text", "text": "cannot be, says the note"}], "isError": False},
    "an object's fields": "PatchResult(ok=True, error=None, errors=[])",
    "what a validator found": "Report(valid=False, issues=['no label'])",
    "what a checker printed": "Lint(success=False, count=1, violations=[Violation(rule='E1', line=3)])",
    "a number that is no code": "404 items",
    "a list": [{"error_rate": 0.1}, {"error_rate": 0.2}],
}

UNKNOWN: dict[str, object] = {
    "nothing came": None,
    "null": "null",
    "cleared": "[Old tool result content cleared]",
    "left out": "(output omitted)",
    "queued": {"status": "queued", "job": 9},
    "in another spelling": {"state": "in-progress"},
    "in the background": "Command is running in background with ID: a1",
    "a traceback among other words": "a\nTraceback (most recent call last):\n  File x\nKeyError: 1\nwent on\nand on",
}


@pytest.mark.parametrize("kind", FAILURES)
def test_each_kind_of_failure_is_one_and_says_why(kind: str) -> None:
    verdict = judged(FAILURES[kind])
    assert verdict.success is False
    assert verdict.error


@pytest.mark.parametrize("kind", SUCCESSES)
def test_each_kind_of_success_is_one(kind: str) -> None:
    verdict = judged(SUCCESSES[kind])
    assert (verdict.success, verdict.error) == (True, "")


@pytest.mark.parametrize("kind", UNKNOWN)
def test_where_nothing_tells_it_is_unknown(kind: str) -> None:
    assert judged(UNKNOWN[kind]).success is None


@pytest.mark.parametrize(
    ("command", "code", "worked"),
    [
        ("grep -rn x src", 1, True),
        ("cd src && rg 'a|b' .", 1, True),
        (["bash", "-lc", "diff a b"], 1, True),
        (["diff", "a", "b"], 1, True),
        ("git diff --exit-code", 1, True),
        ("CI=1 python3 -m pytest -q", 1, True),
        ("uv run ruff check .", 1, True),
        ("grep -rn x src", 2, False),
        ("make", 1, False),
        ("git push", 1, False),
        ("grep x a | sort --bad", 1, False),
        ("", 1, False),
    ],
)
def test_commands_that_find_things_say_so_with_one(command: object, code: int, worked: bool) -> None:
    arguments = {"command": command}
    for content in ({"exit_code": code, "stdout": "x"}, f"x\nExit code: {code}", f"x\nProcess exited with code {code}"):
        assert judged(content, arguments=arguments).success is worked


def test_a_finder_that_says_why_it_failed_did() -> None:
    said = {"exit_code": 1, "stderr": "No module named pytest"}
    assert judged(said, arguments={"command": "python -m pytest"}).success is False


@pytest.mark.parametrize(
    ("content", "failed", "worked"),
    [
        ("anything", True, False),
        ("Error: in the text that was read", False, True),
        ({"exit_code": 3}, False, False),
        (None, False, True),
    ],
)
def test_what_the_client_says_counts_except_against_structure(content: object, failed: bool, worked: bool) -> None:
    assert judged(content, failed_said=failed).success is worked


@pytest.mark.parametrize(
    ("tool", "content", "worked"),
    [
        ("any", "FEHLER: nichts da", False),
        ("any", "alles gut, Error: x", True),
        ("scan", "FEHLER: nichts da", True),
        ("scan", "kaputt", False),
        ("scan", "alles gut", True),
        ("any", {"lage": "kaputt"}, True),
        ("scan", {"lage": "kaputt"}, False),
    ],
)
def test_the_projects_patterns_come_first_and_a_tools_own_before_them(tool: str, content: Any, worked: bool) -> None:
    own = SuccessPatterns(failure=["kaputt"], success=["FEHLER"])
    project = SuccessSection(failure=["^FEHLER"], success=["gut"], tools={"scan": own})
    assert judged(content, tool=tool, project=project).success is worked


def test_the_projects_patterns_count_more_than_the_client() -> None:
    project = SuccessSection(failure=["^FEHLER"], success=["gut"])
    assert judged("FEHLER", failed_said=False, project=project).success is False
    assert judged("gut", failed_said=True, project=project).success is True
