"""Mutated lines through the readers of examples, suites and usage: each line is read or refused, none is dropped."""

from __future__ import annotations

import json
import random
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path

from benchmarks.reliability.tally import Tally
from tests.support.data_sets import DATA_SETS
from tests.support.examples import CATALOG, SUITE, SYSTEM, clean_rows, spoiled
from topcoat.demo import TEMPLATE
from topcoat.engine.fake import FakeTokenizer
from topcoat.errors import TopcoatError
from topcoat.examples.checks.check import check_delimiters, check_examples, check_repeats
from topcoat.examples.importing import import_examples
from topcoat.examples.reading import read_examples
from topcoat.spec.agent import Agent
from topcoat.spec.reading.loader import read_jsonl
from topcoat.spec.suite import Case, load_suite
from topcoat.spec.tools.loading import load_catalog
from topcoat.usage.importing import import_events

__all__ = ["try_lines"]

_BATCH = 50
_CALL = {"id": "c1", "type": "function", "function": {"name": "read_file", "arguments": '{"path": "a.py"}'}}
_BLOCKS = [
    {"type": "text", "text": "I look."},
    {"type": "tool_use", "id": "t", "name": "read_file", "input": {"path": "a"}},
]
_PARTS = [{"type": "text", "content": "Show a.py"}]


def try_lines(tally: Tally, seed: int) -> None:
    """Batches of mutated lines through each reader in turn."""
    rng = random.Random(seed)
    kinds: list[tuple[str, list[bytes], Callable[[Path], int]]] = [
        ("examples", _examples(), _read_examples),
        ("suite", _cases(), _read_suite),
        ("foreign examples", _foreign(), _import_examples),
        *(("usage", [document], _import_usage) for document in _usage()),
    ]
    with tempfile.TemporaryDirectory() as folder:
        batch = 0
        while tally.tried < tally.planned:
            name, good, read = kinds[batch % len(kinds)]
            batch += 1
            size = min(_BATCH, tally.planned - tally.tried)
            path = Path(folder) / f"{batch}.jsonl"
            mutated = b"".join(spoiled(rng.choice(good), rng) + b"\n" for _ in range(size))
            if name == "usage" and rng.random() < 0.9:  # one wrong byte refuses the whole file
                mutated = mutated.decode("utf-8", "replace").encode()
            path.write_bytes(mutated)
            try:
                refused = read(path)
            except Exception:
                kept = Path(tempfile.gettempdir()) / f"topcoat-{name.replace(' ', '-')}-{seed}-{batch}.jsonl"
                kept.write_bytes(path.read_bytes())
                tally.fault(f"{name}: {kept}: {traceback.format_exc(limit=-3)}")
                refused = 0
            tally.note(f"{name}: refused with their lines", refused)
            tally.note(f"{name}: read", size - refused)
            path.unlink()


def _examples() -> list[bytes]:
    rows = [json.dumps(row).encode() for row in clean_rows(200)]
    return rows + (TEMPLATE / "data" / "phase34a.jsonl").read_bytes().splitlines()


def _cases() -> list[bytes]:
    return (TEMPLATE / "suites" / "routing.jsonl").read_bytes().splitlines()


def _foreign() -> list[bytes]:
    return [json.dumps(one.line).encode() for one in DATA_SETS]


def _usage() -> list[bytes]:
    chat = [{"role": "user", "content": "Show a.py"}, {"role": "assistant", "content": _BLOCKS}]
    chat += [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "x"}]}]
    agent = [{"kind": "request", "parts": [{"part_kind": "user-prompt", "content": "Show a.py"}]}]
    agent += [{"kind": "response", "parts": [{"part_kind": "tool-call", "tool_name": "f", "args": "{}"}]}]
    span = {"gen_ai.input.messages": [{"role": "user", "parts": _PARTS}], "gen_ai.conversation.id": "s"}
    spans = {"resourceSpans": [{"scopeSpans": [{"spans": [{"attributes": span, "startTimeUnixNano": "1"}]}]}]}
    answer = {"messages": chat[:1], "choices": [{"message": {"role": "assistant", "tool_calls": [_CALL]}}]}
    return [
        json.dumps(document).encode() for document in ({"messages": chat}, agent, spans, {"attributes": span}, answer)
    ]


def _written(path: Path) -> set[int]:
    return {number for number, line in enumerate(path.read_bytes().split(b"\n"), 1) if line.strip()}


def _accounted(path: Path, read: set[int], refused: set[int | None]) -> int:
    """The number of refused lines. Raises if a line is neither read nor refused."""
    dropped = _written(path) - read - refused
    if dropped and read:  # a file that is refused as a whole says so at one line
        raise AssertionError(f"lines {sorted(dropped)} are neither read nor refused")
    return min(_BATCH, len(_written(path)) - len(read))


def _read_examples(path: Path) -> int:
    try:
        examples, findings = read_examples(path)
    except TopcoatError as error:
        return _accounted(path, set(), {m.where.line for m in error.mistakes if m.where})
    check_examples(examples, SUITE, Agent(CATALOG, SYSTEM))
    check_repeats(examples)
    check_delimiters(examples, FakeTokenizer())
    for located in examples:
        FakeTokenizer().chat(located.example.dialogue())
    read = {located.where.line or 0 for located in examples}
    return _accounted(path, read, {int(finding.where.rpartition(":")[2]) for finding in findings})


def _read_suite(path: Path) -> int:
    lines, mistakes = read_jsonl(path, Case)
    try:
        load_suite(path, Agent(load_catalog(TEMPLATE / "tools.pyi")))
    except TopcoatError as error:
        _said(error)
    read = {line.where.line or 0 for line in lines}
    return _accounted(path, read, {mistake.where.line for mistake in mistakes if mistake.where})


def _import_examples(path: Path) -> int:
    """Each line alone: one that can't be converted refuses the whole file."""
    refused = 0
    for number, line in enumerate(path.read_bytes().split(b"\n")):
        if not line.strip():
            continue
        alone, target = path.with_name(f"alone-{number}.jsonl"), path.with_name("to.jsonl")
        alone.write_bytes(line + b"\n")
        try:
            import_examples(str(alone), target)
            target.unlink()
        except TopcoatError as error:
            _said(error)
            refused += 1
        alone.unlink()
    return min(_BATCH, refused)


def _import_usage(path: Path) -> int:
    with tempfile.TemporaryDirectory() as project:
        (Path(project) / "topcoat.toml").write_text("")
        try:
            _, mistakes = import_events(Path(project), path)
        except TopcoatError as error:
            _said(error)
            return min(_BATCH, len(_written(path)))
    return min(_BATCH, len({mistake.where.line for mistake in mistakes if mistake.where}))


def _said(error: TopcoatError) -> str:
    """What the error says. It must be text that can be printed, so that this doesn't raise."""
    return "".join(f"{mistake.where} {mistake.message} {mistake.hint}" for mistake in error.mistakes)
