"""Removes secrets and the names of home folders from events, before they are written anywhere."""

from __future__ import annotations

import json
import re
from pathlib import Path

from pydantic import JsonValue

from topcoat.examples.checks.secrets import redacted
from topcoat.usage.events import Event

__all__ = ["cleaned", "cleaned_event"]

_NAMED = re.compile(
    r"""(?ix)
    (?: (?: secret | passw(?:or)?d | passphrase | token | (?:api|access|secret)[_-]?key ) ["']? \s* [:=] \s*
      | \b authorization ["']? \s* [:=] \s* ["']? (?:bearer|basic|token) \s+
      | \b bearer \s+ )
    ["']? (?P<value>
        (?= [^\s"'`,;()\[\]{}]{0,99} \d ) (?= [^\s"'`,;()\[\]{}]{0,99} [a-z] ) [^\s"'`,;()\[\]{}]{8,}+ ) (?! [(\[] )
    """
)
"""What a name gives away where the value has no form of its own: letters and digits, eight or more, no expression."""
_NAMES = ("secret", "passw", "passphrase", "token", "key", "authorization", "bearer")
"""A quick test: the form has nothing fixed to look for, and one of these is in every text that it finds."""

_HOME = re.compile(
    r"""(?x)
    (?<![\w.~-]) (?: (?:/var|/export|/mnt/[a-z])? /(?:home|Users)/ [^/\\\s"'<>:;,()\[\]{}|]+ | /root (?![\w.-]) )
    | (?<!\w) [A-Za-z]: [\\/]+ Users [\\/]+ [^\\/\s"'<>:;,()\[\]{}|]+
    """
)
_PLACES = ("home/", "Users", "/root")


def cleaned(text: str, home: str = "") -> str:
    """`text` with every secret replaced by its kind in brackets, and every home folder by `~`.

    `home` is this machine's own, in case it lies elsewhere than home folders do.
    """
    text, lower = redacted(text), text.lower()
    if any(name in lower for name in _NAMES):
        text = _NAMED.sub(_without_value, text)
    if len(home) > 1 and home in text:
        text = re.sub(re.escape(home) + r"(?![\w.-])", "~", text)
    return _HOME.sub("~", text) if any(place in text for place in _PLACES) else text


def cleaned_event(event: Event) -> Event:
    """`event` with every text in it cleaned, wherever it stands. Its id stays: the same event is still the same."""
    home = str(Path.home())
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
    """A call's arguments: escapes in JSON can hide a secret from a look at its text."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    clean = _cleaned_value(value, home)
    return text if clean == value else json.dumps(clean, ensure_ascii=False)


def _without_value(match: re.Match[str]) -> str:
    return match[0][: match.start("value") - match.start()] + "[secret]"
