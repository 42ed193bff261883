"""Tells files of another version of topcoat from damaged ones, and refuses them with a helpful hint.

Every version reads what earlier versions wrote. So unknown contents come from a later version.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from topcoat.errors import Refused, StorageFault, Where

__all__ = ["newer_topcoat", "parse_record"]

R = TypeVar("R", bound=BaseModel)

_UPGRADE = "pip install --upgrade topcoat"


def newer_topcoat(path: Path, evidence: str) -> Refused:
    """The error for a file that only a newer topcoat can use. `evidence` says how one can tell."""
    return Refused(f"{path} was written by a newer topcoat: {evidence}", where=Where(path), hint=_UPGRADE)


def parse_record(
    path: Path, model: type[R], text: str | bytes, damaged: Callable[[str], StorageFault], *, subject: str = "it"
) -> R:
    """The record in `text`, which was read from `path`.

    Raises `Refused` if another version of topcoat wrote the record, and `damaged(first mistake)` for other mistakes.
    Messages call the record `subject`.
    """
    try:
        return model.model_validate_json(text)
    except ValidationError as error:
        evidence = _another_version(error)
        if evidence is None:
            raise damaged(_first_mistake(error)) from None
        raise Refused(
            f"{path} was written by another version of topcoat: {subject} has {evidence}, which this one doesn't know",
            where=Where(path),
            hint=_UPGRADE,
        ) from None


def _another_version(error: ValidationError) -> str | None:
    """The unknown version in the record, or its first unknown key. None if there is neither."""
    mistakes = error.errors(include_url=False)
    for mistake in mistakes:
        key, value = mistake["loc"][-1:], mistake["input"]
        if mistake["type"] == "literal_error" and key == ("version",) and isinstance(value, int):
            return f"{_dotted(mistake['loc'])} {value}"
    keys = [_dotted(mistake["loc"]) for mistake in mistakes if mistake["type"] == "extra_forbidden"]
    return f'the key "{keys[0]}"' if keys else None


def _first_mistake(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    place = _dotted(first["loc"])
    return f"{place}: {first['msg']}" if place else first["msg"]


def _dotted(place: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in place)
