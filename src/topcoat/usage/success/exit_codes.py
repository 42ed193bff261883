"""What the exit code of a command means. Some commands say with 1 what they found, not that they failed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

__all__ = ["command_of", "is_failure", "written_code"]

_FINDERS = frozenset(
    [
        *("grep", "egrep", "fgrep", "zgrep", "rg", "ag", "ack", "diff", "cmp", "colordiff", "test", "[", "[["),
        *("pytest", "py.test", "unittest", "tox", "ruff", "flake8", "mypy", "pyright", "pylint", "black", "isort"),
        *("eslint", "prettier", "stylelint", "jest", "vitest", "mocha", "shellcheck", "yamllint", "rubocop", "rspec"),
        *("bandit", "codespell", "djlint", "sqlfluff", "pgrep", "which", "type", "npm-audit"),
    ]
)
"""Commands that end with 1 if nothing matched, files differ, a test failed or a check found something.

Their manuals reserve 2 and more for errors of their own.
"""
_GIT_FINDERS = frozenset(["grep", "diff"])
_BEFORE = frozenset(["sudo", "time", "env", "npx", "poetry", "uv", "uvx", "pipx", "pnpm", "bunx", "run", "exec"])
_PYTHON = re.compile(r"python[\d.]*")
_PARTS = re.compile(r"&&|\|\||[;|\n]")
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")
_COMMANDS = ("command", "cmd", "commands", "script", "shell_command")
_LONGEST_COMMAND = 2_000

_WRITTEN = re.compile(
    r"(?i)[\[(<*]{0,3}\s?(?:(?:the )?(?:process|command|program|script) )?"
    r"(?:exit(?:ed|s)?[ _]?(?:with )?(?:an? )?(?:non-?zero )?(?:exit )?(?:code|status)|exited with|return[ _]?code)"
    r"[>\])*]{0,3}\s?(?:[:=]|of)?\s?[*]{0,2}\s?(?P<code>-?\d{1,10})\b(?P<rest>[^\n]{0,40})"
)
"""A line that says how a process ended, and nothing else."""
_REST = re.compile(r"(?i)[\s.\])>*,;]*(?:(?:\(|after|in|\[)[^\n]*|</\w+>)?[\s.\])>*]*")
_HEAD, _TAIL = 6, 8
"""The numbers of lines, at a text's two ends, in which such a line may stand."""
_LONGEST_LINE = 120


def command_of(arguments: Mapping[str, object]) -> str:
    """The command that a call runs, "" if its arguments hold none. Of a list, the shell's script is the last item."""
    for key in _COMMANDS:
        given = arguments.get(key)
        if isinstance(given, str):
            return given[:_LONGEST_COMMAND]
        if isinstance(given, Sequence) and given and all(isinstance(item, str) for item in given):
            shell = str(given[0]).rpartition("/")[2] in ("bash", "sh", "zsh")
            return (str(given[-1]) if shell else " ".join(given))[:_LONGEST_COMMAND]
    return ""


def is_failure(code: int, command: str) -> bool | None:
    """Whether a process that ended with `code` failed; None if a word of it must tell."""
    if code == 0:
        return False
    return None if code == 1 and _finds(command) else True


def written_code(text: str) -> tuple[int, str] | None:
    """The exit code that a line of a text's beginning or end reports, if it reports nothing else; and that line."""
    head = text[: _HEAD * _LONGEST_LINE * 2].split("\n")[:_HEAD]
    tail = text[-_TAIL * _LONGEST_LINE * 2 :].rstrip().split("\n")[-_TAIL:]
    for line in [*head, *reversed(tail)]:
        found = _WRITTEN.fullmatch(line.strip()) if len(line) <= _LONGEST_LINE else None
        if found and _REST.fullmatch(found["rest"]):
            return int(found["code"]), line
    return None


def _finds(command: str) -> bool:
    """Whether the last command of a shell's line is one that ends with 1 for what it found."""
    parts = [part for part in _PARTS.split(_QUOTED.sub("_", command)) if part.strip()]
    words = parts[-1].split() if parts else []
    while words and (words[0] in _BEFORE or "=" in words[0] or words[0].startswith("-")):
        words.pop(0)
    if not words:
        return False
    name = words[0].rpartition("/")[2]
    if _PYTHON.fullmatch(name):
        name = words[2] if len(words) > 2 and words[1] == "-m" else name
    if name == "git":
        return any(word in _GIT_FINDERS for word in words[1:4])
    return name in _FINDERS
