"""A model's answers, stored as they come: an interrupted evaluation goes on, and a changed suite asks its new cases.

The file is JSON lines in the project's cache: deleting it costs time and nothing else.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from topcoat.engine.protocol import Sampling
from topcoat.errors import StorageFault, Where
from topcoat.progress import Note, Sink
from topcoat.quantity import counted
from topcoat.store.files import append_line, canonical_json
from topcoat.store.records import Completion, Record

__all__ = ["StoredAnswers"]


class _Line(Record):
    """One answer. `asked` is the digest of its prompt, its most tokens and its sampling."""

    asked: str
    answer: Completion


class StoredAnswers:
    """The answers of one model, computed by one engine, by what was asked. Each is on its line before the next comes.

    A process that is killed loses none; a power failure may lose the last seconds' lines. A line that is cut or damaged
    is left out, counted in a note, and asked again.
    """

    def __init__(self, path: Path, sink: Sink) -> None:
        """Read the file at `path`, if there is one. Raises `StorageFault` if it can't be read."""
        self._path = path
        self._answers: dict[str, Completion] = {}
        damaged = 0
        for line in _lines(path):
            try:
                known = _Line.model_validate_json(line)
            except ValidationError:
                damaged += 1
            else:
                self._answers[known.asked] = known.answer
        if damaged:
            sink.emit(Note(f"{path}: {counted(damaged, 'line')} can't be read; what they answered is asked again"))

    def get(self, prompt: Sequence[int], max_tokens: int, sampling: Sampling) -> Completion | None:
        """The stored answer to a prompt (token ids), None if there is none."""
        return self._answers.get(_asked(prompt, max_tokens, sampling))

    def add(self, prompt: Sequence[int], max_tokens: int, sampling: Sampling, answer: Completion) -> None:
        """Store an answer. Raises `StorageFault` if the file can't be written."""
        line = _Line(asked=_asked(prompt, max_tokens, sampling), answer=answer)
        append_line(self._path, canonical_json(line.model_dump(mode="json")))
        self._answers[line.asked] = answer


def _asked(prompt: Sequence[int], max_tokens: int, sampling: Sampling) -> str:
    limits = json.dumps([max_tokens, sampling.temperature, sampling.seed if sampling.temperature else 0])
    return hashlib.sha256(limits.encode() + np.asarray(prompt, np.int64).tobytes()).hexdigest()


def _lines(path: Path) -> list[bytes]:
    try:
        return path.read_bytes().splitlines()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StorageFault(f"can't read {path}: {error.strerror}", where=Where(path)) from error
