"""Removes secrets and the names of home folders from events, before they are written; and personal data, or results.

A project that keeps results stores no personal data in them, nor in any other text: an answer repeats what it read.
"""

from __future__ import annotations

import json
import os

from pydantic import JsonValue

from topcoat.spec.project import SHAPES, CaptureSection
from topcoat.usage.characters import whole_characters
from topcoat.usage.events import Event, ToolResult
from topcoat.usage.privacy.named import kind_named
from topcoat.usage.privacy.names import names_a_secret, value_is_secret
from topcoat.usage.privacy.personal import personal_value
from topcoat.usage.privacy.text import cleaned

__all__ = ["cleaned_arguments", "cleaned_event", "cleaned_value"]

_SMALL = 10**7
"""Smaller numbers are nobody's."""


def cleaned_event(event: Event, capture: CaptureSection = SHAPES) -> Event:
    """`event` with all of its texts cleaned, and with what `capture` says of its result.

    An id that its maker chose stays. An id that is a digest of the fields is made again, because a short secret could
    be guessed from it. Equal events still have equal ids.
    """
    home = os.path.expanduser("~")  # "~" itself for a user without a home, as in many containers
    personal = capture.results == "keep"
    fields = event.model_dump(mode="json", exclude={"id", "version", "time", "kind", "calls", "results", "result"})
    calls = [
        {**call.model_dump(), "arguments": cleaned_arguments(call.arguments, home, personal)} for call in event.calls
    ]
    clean = Event.model_validate(
        {
            **cleaned_value(fields, home, personal=personal),  # type: ignore[dict-item]  # a dict stays a dict
            "calls": [cleaned_value(call, home, personal=personal) for call in calls],
            "result": event.result and _cleaned_result(event.result, home, capture),
            "results": capture.results,
            "time": event.time,
            "kind": event.kind,
        }
    )
    same = clean.model_copy(update={"id": event.id})
    chosen = event.id != Event.model_validate(event.model_dump(exclude={"id"})).id
    return same if same == event or chosen else clean


def _cleaned_result(result: ToolResult, home: str, capture: CaptureSection) -> ToolResult:
    """What is stored of a result. It is cut after it is cleaned: half of a secret would no longer look like one."""
    personal = capture.results == "keep"
    content = _cut(cleaned_arguments(result.content, home, personal), capture.most) if personal else ""
    return ToolResult(success=result.success, shape=cleaned(result.shape, home, personal=personal), content=content)


def _cut(text: str, most: int) -> str:
    """`text`. Of one that is longer than `most` characters, the beginning and the end, and how much is left out."""
    if len(text) <= most:
        return text
    said = f"\n[... {len(text) - most:,} characters left out ...]\n"
    begin = most - most // 3
    return f"{text[:begin]}{said}{text[len(text) - most // 3 :]}"


def cleaned_value(value: JsonValue, home: str, name: str = "", *, personal: bool = False) -> JsonValue:
    """`value`, which JSON can hold, with all of its texts cleaned. `name` is its key, or the option before it.

    With `personal`, a text that is JSON itself is cleaned as such, and so are numbers.
    """
    match value:
        case str():
            return _cleaned_text(value, home, name, personal)
        case list():
            names = [_option(item) for item in [None, *value]]
            return [
                cleaned_value(item, home, name or before, personal=personal)
                for item, before in zip(value, names, strict=False)
            ]
        case dict():
            return {
                cleaned(key, home, personal=personal): cleaned_value(
                    item, home, _named(key, personal), personal=personal
                )
                for key, item in value.items()
            }
        case int() | float() if personal and not isinstance(value, bool):
            kind = personal_value(value, name)
            written = cleaned(str(value), personal=True) if abs(value) >= _SMALL else str(value)
            return f"[{kind}]" if kind else written if written != str(value) else value
    return value


def _cleaned_text(text: str, home: str, name: str, personal: bool) -> str:
    if personal and text.lstrip()[:1] in ("{", "[") and (inner := cleaned_arguments(text, home, personal)) != text:
        return inner
    clean = cleaned(text, home, personal=personal)
    if not name or clean != text:
        return clean
    kind = personal_value(text, name) if personal else ""
    return f"[{kind}]" if kind else "[secret]" if value_is_secret(text, name, quoted=True) else clean


def cleaned_arguments(text: str, home: str, personal: bool = False) -> str:
    """A call's arguments or a result, cleaned after parsing, because JSON's escapes can hide a secret in the text.

    What isn't JSON is cleaned as a text with `personal` data removed; arguments that aren't are cleaned by the caller.
    """
    try:
        value = whole_characters(json.loads(text))
    except (ValueError, RecursionError):
        return cleaned(text, home, personal=True) if personal else text
    if personal and not isinstance(value, dict | list):
        return cleaned(text, home, personal=True)
    clean = cleaned_value(value, home, personal=personal)
    return text if clean == value else json.dumps(clean, ensure_ascii=False)


def _named(key: str, personal: bool = False) -> str:
    return key if names_a_secret(key) or (personal and kind_named(key)) else ""


def _option(item: JsonValue) -> str:
    """An item of a list that names the next one: `--password` in a command's arguments."""
    return _named(item) if isinstance(item, str) and item.startswith("-") and "=" not in item else ""
