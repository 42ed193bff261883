"""Reads example files for a check: the examples, and a finding for every other line."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import ValidationError

from topcoat.errors import InvalidInput, Mistake, Where
from topcoat.examples.checks.codes import finding
from topcoat.spec.example import Example, LocatedExample
from topcoat.spec.message import Message, order_problems
from topcoat.spec.reading.loader import read_jsonl
from topcoat.store.records import Finding

__all__ = ["read_examples"]


def read_examples(path: Path, root: Path | None = None) -> tuple[list[LocatedExample], list[Finding]]:
    """The examples of a JSONL file, in order, and a finding for each other line: `not-chat` or `roles`.

    With `root`, a folder around the file, places are relative to it. Raises `InvalidInput` if the file can't be read at
    all, or if none of its lines is an example.
    """
    lines, mistakes = read_jsonl(path, Example)
    if mistakes and not lines:
        raise InvalidInput.collect(str(path), mistakes)
    disordered = _disordered_lines(path, mistakes)
    shown = path.relative_to(root) if root is not None and path.is_relative_to(root) else path
    findings = [_finding(mistake, shown, disordered) for mistake in mistakes]
    return [LocatedExample(line.value, Where(shown, line.where.line)) for line in lines], findings


def _finding(mistake: Mistake, path: Path, disordered: set[int]) -> Finding:
    where = Where(path, mistake.where.line if mistake.where else None)
    code = "roles" if where.line in disordered else "not-chat"
    if code == "roles":
        hint = "put the turns in the order of a chat, or remove the line"
    elif mistake.message.startswith(("messages[", "tools", "weight", "category")):
        hint = "correct the value, or remove the line"
    else:
        hint = 'write {"messages": [...]}, one a line'
    return finding(code, "error", where, mistake.message, mistake.hint or hint)


def _disordered_lines(path: Path, mistakes: list[Mistake]) -> set[int]:
    """The lines whose turns are valid, but in the wrong order."""
    if not mistakes:
        return set()
    raw = path.read_bytes().split(b"\n")
    numbers = {mistake.where.line for mistake in mistakes if mistake.where and mistake.where.line}
    return {number for number in numbers if _is_disordered(raw[number - 1])}


def _is_disordered(line: bytes) -> bool:
    try:
        messages = [Message.model_validate(message) for message in json.loads(line)["messages"]]
    except (ValueError, TypeError, KeyError, RecursionError, ValidationError):
        return False
    return bool(order_problems(messages, last=("assistant",)))
