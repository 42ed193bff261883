"""Removes secrets, the names of home folders, and where that is asked for personal data from a text."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator

from topcoat.secrets.finding import candidate_runs, find_secrets
from topcoat.secrets.forms import FORMS, INNER_FORMS, LONG_FORMS
from topcoat.usage.privacy.layers import Layer, decoded_runs, layers_of
from topcoat.usage.privacy.names import issuer_secrets, named_secrets
from topcoat.usage.privacy.personal import KINDS, personal_data
from topcoat.usage.privacy.shapes import begun_secrets, is_random, shaped_secrets

__all__ = ["MARKS", "cleaned"]

_HOME = re.compile(
    r"""(?x)
    (?<![\w.~-]) (?: (?:/var|/export|/mnt/[a-z])? /(?:home|Users)/ [^/\\\s"'<>:;,()\[\]{}|]+ | /root (?![\w.-]) )
    | (?<!\w) [A-Za-z]: [\\/]+ Users [\\/]+ [^\\/\s"'<>:;,()\[\]{}|]+
    """
)
_PLACES = ("home/", "Users", "/root")
_PAIR = re.compile(r"[\w.@+-]{2,64}:[^\s:]{4,128}")
"""A name and its password, as `Authorization: Basic` and files of credentials write them in base64."""
_WORD = re.compile("[A-Z]?[a-z]*|[A-Z]*")
_UNKNOWN = "secret"
_REMOVED = {_UNKNOWN, *KINDS, *(form[0] for forms in (FORMS, INNER_FORMS, LONG_FORMS) for form in forms)}
MARKS = re.compile(rf"\[(?:{'|'.join(map(re.escape, sorted(_REMOVED)))})\]")
"""What `cleaned` writes in the place of what it removes."""
_DEPTH = 2
"""How often base64 may stand in base64."""

Span = tuple[int, int, str]


def cleaned(text: str, home: str = "", *, personal: bool = False) -> str:
    """`text` with every secret replaced by its kind in brackets, and every home folder by `~`.

    `home` is this machine's home folder, in case it is in an unusual place. `personal` data is replaced too, if asked.
    """
    end, parts = 0, []
    for start, stop, kind in _merged(_secrets(text, _DEPTH, personal)):
        parts += [text[end:start], f"[{kind}]"]
        end = stop
    text = "".join([*parts, text[end:]])
    if len(home) > 1 and home in text:
        text = re.sub(re.escape(home) + r"(?![\w.-])", "~", text)
    return _HOME.sub("~", text) if any(place in text for place in _PLACES) else text


def _merged(spans: Iterable[Span]) -> list[Span]:
    """The places without overlaps, in order. Where several overlap, the kind is that of a known form."""
    merged: list[Span] = []
    for start, end, kind in sorted(set(spans)):
        if merged and start < merged[-1][1]:
            first, last, known = merged[-1]
            merged[-1] = (first, max(last, end), known if known != _UNKNOWN else kind)
        else:
            merged.append((start, end, kind))
    return merged


def _secrets(text: str, depth: int, personal: bool) -> Iterator[Span]:
    """The places of the secrets in `text` or in a layer over it, and their kinds."""
    for path in layers_of(text):
        if not path:
            yield from _plain_secrets(text, depth, personal)
            continue
        top = path[-1]
        for begin, stop in top.windows():
            for start, end, kind in _plain_secrets(top.text[begin:stop], depth, personal and not top.joins):
                start, end = begin + start, begin + end
                if not top.joins or _goes_on(top, start, end, kind):
                    yield *_below(path, start, end), kind


def _plain_secrets(text: str, depth: int, personal: bool) -> Iterator[Span]:
    if personal:
        yield from personal_data(text)
    for secret in find_secrets(text):
        yield secret.start, secret.end, secret.kind
    for start, end in named_secrets(text):
        yield start, end, _UNKNOWN
    for run in candidate_runs(text):
        for find in (shaped_secrets, begun_secrets, issuer_secrets):
            for start, end in find(text, *run):
                yield start, end, _UNKNOWN
        for start, end, inner in decoded_runs(text, *run) if depth else ():
            if _PAIR.fullmatch(inner) or any(True for _ in _secrets(inner, depth - 1, personal)):
                yield start, end, _UNKNOWN


def _goes_on(layer: Layer, start: int, end: int, kind: str) -> bool:
    """Whether a secret of unwrapped lines is in two lines, and what the next line has of it isn't a word.

    A known form may go on with any characters, if the next line has no others.
    """
    parts = [layer.text[place:end] for place in layer.joins[bisect_right(layer.joins, start) :] if place < end]
    alone = layer.text[end : end + 1] in ("", "\n", "\r", '"', "'", "`", "\\", ")", ";", ",")
    return any(is_random(part, 4) or (alone and (kind != _UNKNOWN or not _WORD.fullmatch(part))) for part in parts)


def _below(path: list[Layer], start: int, end: int) -> tuple[int, int]:
    for layer in reversed(path):
        start, end = layer.span(start, end)
    return start, end
