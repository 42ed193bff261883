"""Looks through the encodings that can hide a secret: JSON's and HTML's escapes, URLs, line wraps, base64.

Each layer is a text with the places that its characters come from. A secret that is found in a layer is removed from
the text itself. The work is linear in the text: there are few layers, and each is at most as long as the text.
"""

from __future__ import annotations

import base64
import binascii
import html
import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass

__all__ = ["Layer", "decoded_runs", "layers_of"]

_JSON_ESCAPE = re.compile(r"""\\(?:u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}|["'\\/bfnrt])""")
_URL_ESCAPE = re.compile(r"%[0-9A-Fa-f]{2}")
_HTML_ESCAPE = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|quot|apos|amp|lt|gt);")
_CONTROLS = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_WRAP = re.compile(
    r"""(?x) (?<=[\w+/=.~-])
    (?: ["'] [ \t]{0,99}+ [+.&\\]? [ \t]{0,99}+ \r?\n [ \t]{0,99}+ [+.&]? [ \t]{0,99}+ ["']  # texts in code
      | \\? \r?\n [ \t>|\#*/-]{0,99}+ )                                       # a line that was wrapped, perhaps quoted
    (?=[\w+/=.~-])"""
)
_NEAR = 300
"""How far from a change a layer is looked at: a secret that begins earlier is found in the text below as well."""
_UNLIKE_WORDS = re.compile(r"\d|[a-z][A-Z]|[A-Z]{4}")
_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u2060\ufeff]++")
"""Characters that nobody sees: soft hyphens, spaces of no width."""
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{12,}+={0,2}")


@dataclass(frozen=True, slots=True)
class Layer:
    """A text and its places in the text below: stretch i begins at `here[i]`, and comes from `below[i]`.

    `escapes` are the stretches that stand for a longer one below. `joins` are the places, in this layer, at which a
    wrapped line goes on.
    """

    text: str
    here: Sequence[int]
    below: Sequence[int]
    escapes: Set[int]
    joins: Sequence[int]

    def windows(self) -> Iterator[tuple[int, int]]:
        """The parts of this layer near a change. The text below shows the others. None overlap."""
        begin = end = 0
        for place in self.here[1:]:
            if place - _NEAR > end:
                if end:
                    yield begin, end
                begin = place - _NEAR
            end = place + _NEAR
        if end:
            yield max(begin, 0), min(end, len(self.text))

    def span(self, start: int, end: int) -> tuple[int, int]:
        """The place in the text below of the characters from `start` to `end`."""
        first, last = bisect_right(self.here, start) - 1, bisect_right(self.here, end - 1) - 1
        begin = self.below[first] + (0 if first in self.escapes else start - self.here[first])
        return begin, self.below[last + 1] if last in self.escapes else self.below[last] + end - self.here[last]


def layers_of(text: str) -> Iterator[list[Layer]]:
    """Each layer over `text`, as the layers from it up. The first is `text` itself, an empty list."""
    path: list[Layer] = []
    yield path
    yield from _unwrapped(text, path)
    for decode in (
        _without_escapes,
        _without_escapes,
        _without_percents,
        _without_percents,
        _without_entities,
        _without_invisible,
    ):
        layer = decode(path[-1].text if path else text)
        if layer is not None:
            path = [*path, layer]
            yield path
            yield from _unwrapped(layer.text, path)


def _unwrapped(text: str, path: list[Layer]) -> Iterator[list[Layer]]:
    if "\n" in text and (layer := _replaced(text, _WRAP, _joined)) is not None:
        yield [*path, layer]


def _joined(match: re.Match[str]) -> str | None:
    """Nothing, in the place of a line's end, if characters around it aren't those of words."""
    near = match.string[max(match.start() - 8, 0) : match.start()] + match.string[match.end() : match.end() + 8]
    return "" if _UNLIKE_WORDS.search(near) else None


def decoded_runs(text: str, start: int, end: int) -> Iterator[tuple[int, int, str]]:
    """The place of every base64 in a run of `text` that holds a text, and that text."""
    for match in _BASE64.finditer(text, start, end):
        run = match[0].rstrip("=").replace("-", "+").replace("_", "/")
        if _text_in(run[:12]) is not None and (inner := _text_in(run)) is not None:
            yield match.start(), match.end(), inner


def _text_in(run: str) -> str | None:
    """The text that a run of base64 holds, None if it holds none."""
    try:
        inner = base64.b64decode(run + "=" * (-len(run) % 4), validate=True).decode("utf-8", "strict")
    except (binascii.Error, ValueError):
        return None
    return inner if all(c.isprintable() or c in "\r\n\t" for c in inner) else None


def _without_escapes(text: str) -> Layer | None:
    return _replaced(text, _JSON_ESCAPE, _unescaped) if "\\" in text else None


def _without_percents(text: str) -> Layer | None:
    return _replaced(text, _URL_ESCAPE, lambda match: chr(int(match[0][1:], 16))) if "%" in text else None


def _without_entities(text: str) -> Layer | None:
    return _replaced(text, _HTML_ESCAPE, lambda match: html.unescape(match[0])) if "&" in text else None


def _without_invisible(text: str) -> Layer | None:
    return None if text.isascii() else _replaced(text, _INVISIBLE, lambda _: "")


def _unescaped(match: re.Match[str]) -> str:
    said = match[0][1:]
    return chr(int(said[1:], 16)) if said[0] in "ux" and len(said) > 1 else _CONTROLS.get(said, said)


def _replaced(text: str, pattern: re.Pattern[str], by: Callable[[re.Match[str]], str | None]) -> Layer | None:
    """The layer with `by` of every match, where that isn't None. None if it would be `text`."""
    pieces: list[str] = []
    here, below, joins, escapes = [0], [0], [], set()
    end = length = 0
    for match in pattern.finditer(text):
        if (piece := by(match)) is None:
            continue
        pieces += [text[end : match.start()], piece]
        length += match.start() - end
        if piece:
            escapes.add(len(here))
            here.append(length)
            below.append(match.start())
            length += len(piece)
        else:
            joins.append(length)
        end = match.end()
        here.append(length)
        below.append(end)
    return Layer("".join([*pieces, text[end:]]), here, below, escapes, joins) if end else None
