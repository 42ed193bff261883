"""Finds passwords, keys and tokens by the forms that their issuers document. Says which kind and where, never what.

It finds only unmistakable forms: a fixed prefix and a fixed length. It measures no entropy, so it doesn't take a hash
or an id for a key, and it can't find a password without such a form.

`topcoat.usage.privacy` also finds secrets by their names and shapes, where a false alarm costs less than a leak.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from topcoat.secrets.forms import FORMS, INNER_FORMS, LONG_FORMS
from topcoat.secrets.literals import any_of

__all__ = ["Secret", "candidate_runs", "find_secrets", "redacted"]

_FORMS, _INNER_FORMS, _LONG_FORMS = (
    tuple((mark, kind, re.compile(form)) for kind, marks, form in forms for mark in marks)
    for forms in (FORMS, INNER_FORMS, LONG_FORMS)
)
_MARKS = any_of(mark for mark, _, _ in (*_FORMS, *_INNER_FORMS))
_RUN = re.compile(r"[\w.~+/=:%$?&-]{11,}+", re.ASCII)
_UNLIKE_WORDS = re.compile(r"\d|[a-z][A-Z]|[A-Z]{4}")
_PLACEHOLDERS = re.compile(
    r"example|password|secret|changeme|your[-_]|placeholder|dummy|x{8}|:(?:pass|pwd?|test|guest|postgres|root)@",
    re.IGNORECASE,
)
_FEWEST_CHARACTERS = 8
"""A secret with fewer different characters than this (ghp_xxxx…) is a placeholder."""


@dataclass(frozen=True, slots=True)
class Secret:
    """A probable secret: its kind and its position in the text."""

    kind: str
    start: int
    end: int


def find_secrets(text: str) -> list[Secret]:
    """The texts in `text` with the form of a secret, in order, without obvious placeholders."""
    found: list[Secret] = []
    for secret in sorted(_found(text), key=lambda secret: (secret.start, -secret.end)):
        if not found or secret.end > found[-1].end:
            found.append(secret)
    return found


def redacted(text: str) -> str:
    """`text` with every secret replaced by its kind in brackets."""
    end, parts = 0, []
    for secret in find_secrets(text):
        parts += [text[end : secret.start], f"[{secret.kind}]"] if secret.start >= end else []
        end = secret.end
    return "".join([*parts, text[end:]])


def candidate_runs(text: str) -> Iterator[tuple[int, int]]:
    """The places of the runs of characters without spaces that may hold a key: those that don't look like words."""
    for match in _RUN.finditer(text):
        if _UNLIKE_WORDS.search(text, *match.span()):
            yield match.span()


def _found(text: str) -> Iterator[Secret]:
    for start, end in candidate_runs(text):
        if _MARKS.search(text, start, end):
            yield from _in_run(text, start, end)
    for mark, kind, form in _LONG_FORMS:
        if mark in text:
            yield from _kept(form.finditer(text), mark, kind)


def _in_run(text: str, start: int, end: int) -> Iterator[Secret]:
    run = text[start:end]
    for mark, kind, form in _FORMS:
        if mark in run:
            yield from _kept(_at_marks(text, mark, form, start, end), mark, kind)
    for mark, kind, form in _INNER_FORMS:
        if mark in run:
            yield from _kept(form.finditer(text, start, end), mark, kind)


def _at_marks(text: str, mark: str, form: re.Pattern[str], start: int, end: int) -> Iterator[re.Match[str]]:
    """The matches of a form that begins with `mark`: faster than a search, which tries each character."""
    place = text.find(mark, start, end)
    while place >= 0:
        match = form.match(text, place, end)
        if match:
            yield match
        place = text.find(mark, match.end() if match else place + 1, end)


def _kept(matches: Iterator[re.Match[str]], mark: str, kind: str) -> Iterator[Secret]:
    for match in matches:
        if kind == "private key" or not _is_placeholder(match[0], mark):
            yield Secret(kind, match.start(), match.end())


def _is_placeholder(found: str, mark: str) -> bool:
    """Whether a secret's characters say that it is none. Its issuer's own mark may be such a word (`sb_secret_`)."""
    return bool(_PLACEHOLDERS.search(found.replace(mark, "", 1))) or len(set(found)) < _FEWEST_CHARACTERS
