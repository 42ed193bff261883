"""Removes secrets and the names of home folders from events, before they are written."""

from __future__ import annotations

import json
import os
import re

from pydantic import JsonValue

from topcoat.examples.checks.secrets import redacted
from topcoat.usage.characters import whole_characters
from topcoat.usage.events import Event

__all__ = ["cleaned", "cleaned_event"]

_NAMED = re.compile(
    r"""(?ix)
    (?: (?: secret | passw(?:or)?d | passphrase | token | (?:api|access|secret)[_-]?key ) ["']? \s*+ [:=] \s*+
      | \b authorization ["']? \s*+ [:=] \s*+ ["']? (?:bearer|basic|token) \s++
      | \b bearer \s++ )
    ["']? (?P<value>
        (?= [^\s"'`,;()\[\]{}]{0,99} \d ) (?= [^\s"'`,;()\[\]{}]{0,99} [a-z] ) [^\s"'`,;()\[\]{}]{8,}+ )
    """
)
"""A value that its name marks as a secret: eight or more letters and digits.

It may be the name of a call or a list (`token=read(…`), which `_without_value` leaves. A pattern that excludes these
tries every name inside of the value again: quadratic for `token=a1token=a1…(`.
"""
_NAMES = ("secret", "passw", "passphrase", "token", "key", "authorization", "bearer")
"""A quick test before the slow pattern: every text that matches the pattern contains one of these."""

_HOME = re.compile(
    r"""(?x)
    (?<![\w.~-]) (?: (?:/var|/export|/mnt/[a-z])? /(?:home|Users)/ [^/\\\s"'<>:;,()\[\]{}|]+ | /root (?![\w.-]) )
    | (?<!\w) [A-Za-z]: [\\/]+ Users [\\/]+ [^\\/\s"'<>:;,()\[\]{}|]+
    """
)
_PLACES = ("home/", "Users", "/root")


def cleaned(text: str, home: str = "") -> str:
    """`text` with every secret replaced by its kind in brackets, and every home folder by `~`.

    `home` is this machine's home folder, in case it is in an unusual place.
    """
    text, lower = redacted(text), text.lower()
    if any(name in lower for name in _NAMES):
        text = _NAMED.sub(_without_value, text)
    if len(home) > 1 and home in text:
        text = re.sub(re.escape(home) + r"(?![\w.-])", "~", text)
    return _HOME.sub("~", text) if any(place in text for place in _PLACES) else text


def cleaned_event(event: Event) -> Event:
    """`event` with all of its texts cleaned. It keeps its id, so it is still the same event."""
    home = os.path.expanduser("~")  # "~" itself for a user without a home, as in many containers
    fields = event.model_dump(mode="json", exclude={"id", "version", "time", "kind", "calls"})
    calls = [{**call.model_dump(), "arguments": _arguments(call.arguments, home)} for call in event.calls]
    return Event.model_validate(
        {
            **_cleaned_value(fields, home),  # type: ignore[dict-item]  # a dict stays a dict
            "calls": [_cleaned_value(call, home) for call in calls],
            "time": event.time,
            "kind": event.kind,
            "id": event.id,
        }
    )


def _cleaned_value(value: JsonValue, home: str) -> JsonValue:
    match value:
        case str():
            return cleaned(value, home)
        case list():
            return [_cleaned_value(item, home) for item in value]
        case dict():
            return {cleaned(key, home): _cleaned_value(item, home) for key, item in value.items()}
    return value


def _arguments(text: str, home: str) -> str:
    """A call's arguments, cleaned after parsing, because JSON's escapes can hide a secret in the text."""
    try:
        value = whole_characters(json.loads(text))
    except (ValueError, RecursionError):
        return text
    clean = _cleaned_value(value, home)
    return text if clean == value else json.dumps(clean, ensure_ascii=False)


def _without_value(match: re.Match[str]) -> str:
    if match.string[match.end() : match.end() + 1] in ("(", "["):
        return match[0]
    return match[0][: match.start("value") - match.start()] + "[secret]"
