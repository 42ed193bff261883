"""Reads a JSON document that others wrote, whole, before anything is made of it."""

from __future__ import annotations

import shlex
from pathlib import Path

from topcoat.errors import InvalidInput, Where
from topcoat.spec.reading.json_text import Unreadable, parse_json
from topcoat.spec.reading.loader import read_text

__all__ = ["read_document"]

_YAML = (".yaml", ".yml")
_TO_JSON = "import json,sys,yaml; print(json.dumps(yaml.safe_load(sys.stdin),default=str))"


def read_document(path: Path) -> object:
    """The JSON value in `path`. Raises `InvalidInput` if it isn't JSON, or if a key stands twice in one object."""
    text = read_text(path)
    if path.suffix.lower() in _YAML or text.startswith(("openapi:", "swagger:", "---")):
        to = path.with_suffix(".json")
        hint = f"python3 -c {shlex.quote(_TO_JSON)} < {shlex.quote(str(path))} > {shlex.quote(str(to))}"
        raise InvalidInput("YAML isn't read, only JSON is", where=Where(path), hint=hint)
    try:
        return parse_json(text)
    except Unreadable as problem:
        raise InvalidInput(problem.message, where=Where(path, problem.line), hint=problem.hint) from None
