"""Finds the names in a text by their shapes, and the words and numbers in them. Knows no case and no tool.

A name is a path, an address, an identifier, or a few words in quotes. Its words begin at underscores, other marks, and
capitals: `test_fooBar.py` has `test`, `foo`, `Bar` and `py`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Literal

from topcoat.guard.vocabulary import KEPT_TOKENS

__all__ = ["Kind", "Name", "dates", "in_style_of", "names", "number_of", "numbers", "subwords", "with_words"]

Kind = Literal["quoted", "address", "path", "code", "identifier"]

_LONGEST_QUOTE = 4
"""The most words of a quoted text that count as a name: a longer one says something."""
_NAMES = re.compile(
    r"""
    (?P<quoted>`[^`\n]{1,120}` | "[^"\n]{1,120}" | (?<!\w)'[^'\n]{1,120}'(?!\w))
    | (?P<address>\bhttps?://[^\s"'`<>()\[\]]{1,300}[\w/] | \b[\w.+-]{1,60}@\w[\w-]{0,60}(?:\.\w[\w-]{0,60}){1,4})
    | (?P<path>(?<![\w@/])(?:~|\.{1,2}|\w[\w.\-]{0,100})?(?:/[\w.\-*]{1,100}){1,20}/?
        | (?<![\w@/])\w[\w\-]{0,100}/(?!\w)
        | (?<![\w@/.])\w[\w\-]{0,100}(?:\.\w[\w\-]{0,100}){0,5}\.[a-z][a-z0-9]{0,4}(?![\w.]\w))
    | (?P<word>(?<![\w@/.])[^\W\d]\w{2,100}(?:\.[^\W\d]\w{0,100}){0,5})
    """,
    re.VERBOSE,
)
"""Bounded, so that the time is linear in the text."""
_IDENTIFIER = re.compile(r"[A-Za-z_]\w*(?:_[A-Za-z]|[a-z][A-Z])\w*(?:\.\w+)*")
_PLAIN_PAIR = re.compile(r"[a-z]{1,12}/[a-z]{1,12}|[A-Z]{1,4}/[A-Z]{1,4}|\d+/\d+(?:/\d+)?", re.IGNORECASE)
_SUBWORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[^\W\d_]+")
_NUMBER = re.compile(
    r"(?<![\w.\-/,^])(?<!\d:)-?\d{1,15}(?:,\d{3})*(?:\.\d{1,12})?(?![\w/\-]|[.,:]\d|\s*[x×*^]\s*-?\d)|(?<=[\w)]:)\d{1,7}(?=\b)"
)
_MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sept?|oct|nov|dec)[a-z]*\.?"
_YEAR = r"(?:\s*,?\s*\d{4})?"
_DATE = re.compile(
    rf"""
    \b\d{{1,4}}[-/.]\d{{1,2}}[-/.]\d{{1,4}}\b                  # 2026-11-05, 5/11/2026
    | \b\d{{4}}-\d{{2}}-\d{{2}}T[\d:.+\-]+Z?                    # 2026-11-05T17:30:00Z
    | \b\d{{1,2}}:\d{{2}}(?::\d{{2}})?\b | \b\d{{1,2}}\s*[ap]\.?m\b  # 17:30, 5 pm
    | \b{_MONTH}\s+\d{{1,2}}(?:st|nd|rd|th)?{_YEAR}\b            # November 5th, 2026
    | \b\d{{1,2}}(?:st|nd|rd|th)?\s+(?:of\s+)?{_MONTH}{_YEAR}\b
    """,
    re.IGNORECASE | re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Name:
    """A name in a text, from `start` to `end`. Quotes belong to it."""

    kind: Kind
    text: str
    start: int
    end: int


def names(text: str) -> Iterator[Name]:
    """The names of a text, in order. They don't overlap."""
    for match in _NAMES.finditer(text):
        kind = _kind(match)
        if kind is not None:
            text = match[0].rstrip(".") or match[0]  # a full stop belongs to the sentence
            yield Name(kind, text, match.start(), match.start() + len(text))


def _kind(match: re.Match[str]) -> Kind | None:
    """What kind of name was found; None if it is none."""
    text = match[0]
    if match["quoted"]:
        inner = text[1:-1]
        if text[0] == "`":
            return "code"
        return "quoted" if 0 < len(inner.split()) <= _LONGEST_QUOTE or any(map(_is_path, inner.split())) else None
    if match["address"]:
        return "address"
    if match["path"]:
        return "path" if _is_path(text) else None
    return "identifier" if _IDENTIFIER.fullmatch(text) and text.lower() not in KEPT_TOKENS else None


def _is_path(text: str) -> bool:
    """Whether a text with a slash or an ending is a path, and not two words such as "and/or", or a unit."""
    if text.lower() in ("e.g", "i.e", "etc", "a.m", "p.m", "vs") or re.fullmatch(r"(?:\w\.)+\w?", text):
        return False
    if _PLAIN_PAIR.fullmatch(text):
        first, _, second = text.partition("/")
        return first.islower() and second.islower() and min(len(first), len(second)) > 2 and text not in _PAIRS
    return "/" in text or re.fullmatch(r"[\w\-.]*[A-Za-z_][\w\-]*\.[a-z][a-z0-9]{0,4}", text) is not None


_PAIRS: Final = frozenset(
    [
        "and/or",
        "his/her",
        "her/him",
        "she/her",
        "him/her",
        "read/write",
        "input/output",
        "yes/no",
        "true/false",
        "add/remove",
        "start/stop",
    ]
)


def subwords(text: str) -> Iterator[re.Match[str]]:
    """The words in names and in other text: runs of letters, divided at capitals."""
    return _SUBWORD.finditer(text)


def with_words(text: str, new: Callable[[str], str | None]) -> str:
    """`text` with other words: `new` gets each word in lower case. None keeps it. Capitals stay where they were."""

    def changed(match: re.Match[str]) -> str:
        word = new(match[0].lower())
        return match[0] if word is None else in_style_of(match[0], word)

    return _SUBWORD.sub(changed, text)


def in_style_of(old: str, new: str) -> str:
    """`new`, in lower case, with the capitals of `old`."""
    if len(old) > 1 and old.isupper():
        return new.upper()
    return new.capitalize() if old[:1].isupper() else new


def numbers(text: str) -> Iterator[re.Match[str]]:
    """The numbers that stand alone, or as a place behind a path: `src/a.py:12:5` has two. Dates and times have none."""
    dated = [match.span() for match in dates(text)]
    for match in _NUMBER.finditer(text):
        if not any(start < match.end() and match.start() < end for start, end in dated):
            yield match


def dates(text: str) -> Iterator[re.Match[str]]:
    """The dates and times of day."""
    return (match for match in _DATE.finditer(text) if not _is_place(text, match))


def _is_place(text: str, match: re.Match[str]) -> bool:
    """Whether what looks like a time is the line and column behind a path."""
    return (
        ":" in match[0] and match.start() > 1 and text[match.start() - 1] == ":" and text[match.start() - 2].isalnum()
    )


def number_of(text: str) -> float:
    """The value of a number as a text has it."""
    return float(text.replace(",", ""))
