"""Removes secrets and the names of home folders from events, before they are written."""

from __future__ import annotations

import json
import os

from pydantic import JsonValue

from topcoat.usage.characters import whole_characters
from topcoat.usage.events import Event
from topcoat.usage.privacy.names import names_a_secret, value_is_secret
from topcoat.usage.privacy.text import cleaned

__all__ = ["cleaned_arguments", "cleaned_event", "cleaned_value"]


def cleaned_event(event: Event) -> Event:
    """`event` with all of its texts cleaned.

    An id that its maker chose stays. An id that is a digest of the fields is made again, because a short secret could
    be guessed from it. Equal events still have equal ids.
    """
    home = os.path.expanduser("~")  # "~" itself for a user without a home, as in many containers
    fields = event.model_dump(mode="json", exclude={"id", "version", "time", "kind", "calls"})
    calls = [{**call.model_dump(), "arguments": cleaned_arguments(call.arguments, home)} for call in event.calls]
    clean = Event.model_validate(
        {
            **cleaned_value(fields, home),  # type: ignore[dict-item]  # a dict stays a dict
            "calls": [cleaned_value(call, home) for call in calls],
            "time": event.time,
            "kind": event.kind,
        }
    )
    same = clean.model_copy(update={"id": event.id})
    chosen = event.id != Event.model_validate(event.model_dump(exclude={"id"})).id
    return same if same == event or chosen else clean


def cleaned_value(value: JsonValue, home: str, name: str = "") -> JsonValue:
    """`value`, which JSON can hold, with all of its texts cleaned. `name` is its key, or the option before it."""
    match value:
        case str():
            clean = cleaned(value, home)
            secret = bool(name) and clean == value and value_is_secret(value, name, quoted=True)
            return "[secret]" if secret else clean
        case list():
            names = [_option(item) for item in [None, *value]]
            return [cleaned_value(item, home, name or before) for item, before in zip(value, names, strict=False)]
        case dict():
            return {cleaned(key, home): cleaned_value(item, home, _named(key)) for key, item in value.items()}
    return value


def cleaned_arguments(text: str, home: str) -> str:
    """A call's arguments, cleaned after parsing, because JSON's escapes can hide a secret in the text."""
    try:
        value = whole_characters(json.loads(text))
    except (ValueError, RecursionError):
        return text
    clean = cleaned_value(value, home)
    return text if clean == value else json.dumps(clean, ensure_ascii=False)


def _named(key: str) -> str:
    return key if names_a_secret(key) else ""


def _option(item: JsonValue) -> str:
    """An item of a list that names the next one: `--password` in a command's arguments."""
    return _named(item) if isinstance(item, str) and item.startswith("-") and "=" not in item else ""
