"""Small pieces of JSON that several formats share: objects, parts, texts, times."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

__all__ = ["Json", "as_json", "list_of", "moment_of", "object_of", "parts_of", "text_in"]

Json = Mapping[str, Any]

_NANOSECONDS, _MICROSECONDS, _MILLISECONDS = 1e17, 1e14, 1e11
"""A time since 1970 above one of these isn't in a larger unit: as seconds, 1e11 is in the year 5138."""


def object_of(value: object, what: str) -> Json:
    """Raises `ValueError` if `value` isn't an object."""
    if not isinstance(value, dict):
        raise ValueError(f"{what} must be an object")
    return value


def list_of(value: object, what: str) -> Sequence[Any]:
    """Raises `ValueError` if `value` isn't a list."""
    if not isinstance(value, list):
        raise ValueError(f"{what} must be a list")
    return value


def parts_of(message: Json) -> Sequence[Json]:
    """The parts of a message. Raises `ValueError`."""
    return [object_of(part, "a part") for part in list_of(message.get("parts"), "parts:")]


def as_json(value: object) -> Any:
    """A value that may be written as JSON text. Raises `ValueError` if the text isn't JSON."""
    return json.loads(value) if isinstance(value, str) and value.strip() else value


def text_in(content: object) -> str:
    """The text of a content: a text, or a list of texts and of objects with a text or a content."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "".join(text_in(item) for item in content)
    if isinstance(content, dict):
        said = content.get("text", content.get("content"))
        return text_in(said) if isinstance(said, str | list) else f"[{content.get('type') or 'part'}]"
    return "" if content is None else json.dumps(content, ensure_ascii=False)


def moment_of(value: object) -> datetime | None:
    """A time in ISO 8601, or in seconds since 1970 or thousandths, millionths or billionths of them. Else None."""
    try:
        if isinstance(value, int | float) or (isinstance(value, str) and value.isdigit()):
            since = float(value)
            unit = (
                1e9 if since > _NANOSECONDS else 1e6 if since > _MICROSECONDS else 1e3 if since > _MILLISECONDS else 1
            )
            return datetime.fromtimestamp(since / unit, UTC)
        moment = datetime.fromisoformat(str(value))
    except (ValueError, OverflowError, OSError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
