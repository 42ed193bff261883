"""Twenty-five kinds of secrets and personal data, planted into what an agent reads and says. All are made up."""

from __future__ import annotations

import json
from collections.abc import Mapping

from tests.support.made_up_secrets import BY_FORM

__all__ = ["PERSONAL", "PLANTED", "as_results", "found_in"]

PERSONAL = {
    "e-mail address": "maria.lopez@acme-corp.test.com",
    "e-mail address of another alphabet": "jürgen@müller-gmbh.de",
    "phone number with its country": "+49 30 9018201",
    "phone number in the American form": "(415) 555-0132",
    "phone number that begins with 0": "020 7946 0018",
    "card number": "4111 1111 1111 1111",
    "card number without spaces": "5500005555555559",
    "account number": "DE89 3704 0044 0532 0130 00",
    "American social security number": "536-90-4399",
    "Spanish identity number": "12345678Z",
    "Brazilian taxpayer number": "529.982.247-25",
    "IP address": "81.2.69.142",
}
"""Each is known by its form alone."""

PLANTED: dict[str, str] = {
    **PERSONAL,
    **{kind: secret.split("\n")[1] if "\n" in secret else secret for kind, secret in BY_FORM if kind != "private key"},
    "home folder": "/home/marialopez/notes",
}
"""(kind: text). The kinds of secrets are those that a form tells; of GitHub's two tokens, the second stands."""


def _nested(text: str) -> str:
    return json.dumps({"body": json.dumps({"rows": [{"said": text}]})})


_WAYS: Mapping[str, str] = {
    "plain": "{}",
    "a sentence": "It says {} there, as I thought.",
    "log": "2026-01-02T10:11:12.123Z INFO [worker-3] user={} took 12ms",
    "CSV": "id,what,when\n1,{},2026-01-02\n2,nothing,2026-01-03\n",
    "Markdown": "| id | what |\n|---|---|\n| 1 | {} |\n| 2 | nothing |\n",
}
"""Texts that tools return, with a place for what is planted."""


def as_results(text: str) -> list[str]:
    """What tools return that have `text` in them: the ways above, and JSON's value, key and text within a text."""
    return [
        *(way.format(text) for way in _WAYS.values()),
        json.dumps({"count": 1, "rows": [{"what": text}]}),
        json.dumps({"rows": {text: 1}}, ensure_ascii=False),
        _nested(text),
    ]


def found_in(data: bytes) -> list[str]:
    """The kinds whose text stands in `data`, also as JSON escapes it."""
    return [
        kind
        for kind, text in PLANTED.items()
        if any(form.encode() in data for form in (_core(text), json.dumps(_core(text))[1:-1]))
    ]


def _core(text: str) -> str:
    """What must not remain of a text: of a home folder its owner, of a URL its password."""
    if text.startswith("/home/"):
        return "marialopez"
    if text.startswith("postgres://"):
        return text.split(":")[2].split("@")[0]
    return text.removeprefix("AccountKey=")
