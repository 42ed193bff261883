"""Finds personal data: e-mail addresses, phone numbers, card and account numbers, IP addresses, national ids.

It is removed from everything that is captured with `results = "keep"` ([capture] in topcoat.toml). The names of persons
and postal addresses aren't found: no rule tells them from other words.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from importlib.util import find_spec

from topcoat.errors import Refused, Where
from topcoat.usage.privacy.addresses import email_addresses, ip_addresses
from topcoat.usage.privacy.named import kind_named, named_data
from topcoat.usage.privacy.numbers import account_numbers, card_numbers, national_ids
from topcoat.usage.privacy.phones import phone_numbers

__all__ = ["KINDS", "personal_data", "personal_value", "require_libraries"]

_FINDERS: dict[str, Callable[[str], Iterator[tuple[int, int]]]] = {
    "card number": card_numbers,
    "account number": account_numbers,
    "national id": national_ids,
    "phone number": phone_numbers,
    "IP address": ip_addresses,
}
KINDS = ("e-mail", *_FINDERS)
"""What stands in brackets in the place of personal data."""
_SOME_DIGITS = re.compile(r"\d[^\n]{0,60}?\d")
_LIBRARIES = ("phonenumbers", "stdnum")


def personal_data(text: str) -> Iterator[tuple[int, int, str]]:
    """The places of personal data in `text`, and their kinds. They may overlap."""
    if "@" in text:
        for start, end in email_addresses(text):
            yield start, end, "e-mail"
    if not _SOME_DIGITS.search(text) and ":" not in text:
        return
    for kind, find in _FINDERS.items():
        for start, end in find(text):
            yield start, end, kind
    yield from named_data(text)


def personal_value(value: str | int | float, name: str) -> str:
    """The kind of personal data that a value of JSON is by the `name` of its key; "" if it is none."""
    kind = kind_named(name)
    return kind if kind and sum(map(str.isdigit, str(value))) >= 4 else ""


def require_libraries(where: Where | None = None) -> None:
    """Raise `Refused` if a library that finds personal data isn't installed."""
    missing = [name for name in _LIBRARIES if find_spec(name) is None]
    if missing:
        message = f'results = "keep" needs what finds personal data, and {" and ".join(missing)} can\'t be imported'
        raise Refused(message, where=where, hint="pip install 'topcoat[results]'")
