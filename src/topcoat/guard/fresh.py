"""Draws new words, numbers and codes, from a seed: of the same shape as the old ones, and in no known text."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import pairwise
from random import Random
from typing import Literal

from topcoat.guard.shapes import number_of, subwords
from topcoat.guard.vocabulary import NEW_WORDS

__all__ = ["Fresh", "NumberKind", "known_words", "redrawn"]

NumberKind = Literal["year", "bounded"]
"""What is known of a number: that it is a year, or that a larger one may make no sense."""

_ONSETS, _VOWELS, _CODAS = (
    part.split()
    for part in (
        "b bl br c cl d dr f fl g gl gr h j k l m n p pl pr qu r s sk sl sn sp st t tr v w z",
        "a e i o u ai ea oa ou",
        "b ck d ft g l lm lt m mp n nd nk nt p r rk rn rt s sk st t x",
    )
)
"""What syllables are made of."""
_INVENTED = 0.25
"""The share of words that are made up although there are unknown ones left: models meet words that they can't know."""
_TRIED = 400
_REDRAWN = 16
"""How often a number, and a set of numbers, is drawn at most."""
_MODERN, _LAST_YEAR = 1962, 2029
"""Earlier years get later: before some of them, what a question asks about didn't exist."""


def known_words(texts: Iterable[str]) -> frozenset[str]:
    """The words of all texts in lower case, those inside of identifiers too."""
    return frozenset(match[0].lower() for text in texts for match in subwords(text))


class Fresh:
    """New values that hold no word of `known`. The same seed gives the same ones in every version of Python."""

    def __init__(self, known: Collection[str], seed: str) -> None:
        self._known = known
        self._random = Random(seed)  # only its random() is the same in all versions of Python

    def words(self, old: Iterable[str]) -> dict[str, str]:
        """A new word, in lower case, for each old one. No two are equal."""
        made: dict[str, str] = {}
        for word in old:
            made[word] = self._word({*made.values(), *made})
        return made

    def numbers(self, old: Sequence[str], beside: Sequence[float], kinds: Mapping[float, NumberKind]) -> dict[str, str]:
        """A new number of the same form for the texts of `old`. {} if there are none, which is rare.

        All keep the order in which they and the numbers `beside` them are, so that a range stays a range. By the kind
        of its value, one stays a year, or doesn't grow.
        """
        for _ in range(_REDRAWN):
            made = self._in_order([(text, redrawn(text, self._random, kinds.get(number_of(text)))) for text in old])
            pairs = [*((number_of(text), number_of(new)) for text, new in made.items()), *((x, x) for x in beside)]
            pairs.sort()
            if any(text != new for text, new in made.items()) and all(
                (a[0] == b[0]) == (a[1] == b[1]) and a[1] <= b[1] for a, b in pairwise(pairs)
            ):
                return made
        return {}

    def code(self, old: str) -> str:
        """A code of the same shape: other digits and, where it has only a few of them, other letters."""
        few = sum(map(str.isdigit, old)) < 3
        for _ in range(_TRIED):
            new = re.sub(r"\d+", lambda match: _redrawn_digits(match[0], self._random), old)
            if few:
                new = re.sub(r"[A-Za-z]", self._letter, new)
            if new != old and new.lower() not in self._known:
                return new
        return old

    def _in_order(self, drawn: Sequence[tuple[str, str]]) -> dict[str, str]:
        """Old and new numbers, of which those of one form are in the same order. Years are a form of their own."""
        made: dict[str, str] = {}
        for form in dict.fromkeys(_form(text) for text, _ in drawn):
            own = [(old, new) for old, new in drawn if _form(old) == form]
            news = sorted((new for _, new in own), key=number_of)
            made |= dict(zip(sorted((old for old, _ in own), key=number_of), news, strict=True))
        return made

    def below(self, size: int) -> int:
        """A whole number from 0 to `size` - 1."""
        return min(int(self._random.random() * size), size - 1)

    def _letter(self, match: re.Match[str]) -> str:
        letter = "abcdefghjkmnpqrstuvwxyz"[self.below(23)]
        return letter.upper() if match[0].isupper() else letter

    def _word(self, taken: Collection[str]) -> str:
        listed = self._random.random() >= _INVENTED
        for tried in range(_TRIED):
            word = NEW_WORDS[self.below(len(NEW_WORDS))] if listed and tried < _TRIED // 2 else self._made_up()
            if word not in self._known and word not in taken:
                return word
        raise RuntimeError("every made-up word is known")  # there are millions

    def _made_up(self) -> str:
        syllables = 2 + (self._random.random() < 0.2)
        parts = [(_ONSETS, _VOWELS)] * syllables
        word = "".join(part[self.below(len(part))] for pair in parts for part in pair)
        return word + _CODAS[self.below(len(_CODAS))]


def redrawn(text: str, random: Random, kind: NumberKind | None = None) -> str:
    """Another number in the form of `text`, of about the same size: as many digits, decimals and final zeros.

    It is the same one if no other is found.
    """
    value = abs(number_of(text))
    if _is_year(text) or (kind == "year" and re.fullmatch(r"1\d{3}", text)):
        low, high = (value - 12, min(_LAST_YEAR, value + 3)) if value >= _MODERN else (value + 1, value + 40)
        low, high = (value - 12, value) if kind == "bounded" else (low, high)
        return str(int(low + random.random() * (high - low + 1)))
    for _ in range(_REDRAWN):
        written = _other_digits(text, random)
        if written != text and value / 2 <= abs(number_of(written)) <= (value if kind else 2 * value):
            return written
    return text


def _other_digits(text: str, random: Random) -> str:
    digits = re.sub(r"\D", "", text)
    significant = digits.strip("0") or digits
    start = digits.index(significant)
    whole = digits[:start] + _redrawn_digits(significant, random) + digits[start + len(significant) :]
    made = iter(whole)
    return "".join(next(made) if character.isdigit() else character for character in text)


def _redrawn_digits(digits: str, random: Random) -> str:
    """As many other digits. The first and the last one aren't 0, and a single one is none of 0, 1 and 2."""
    if len(digits) == 1:
        return str(3 + int(random.random() * 7))
    inner = "".join(str(int(random.random() * 10)) for _ in digits[1:-1])
    return f"{1 + int(random.random() * 9)}{inner}{1 + int(random.random() * 9)}"


def _form(text: str) -> str:
    return "year" if _is_year(text) else re.sub(r"\d", "9", text)


def _is_year(text: str) -> bool:
    return re.fullmatch(r"19\d\d|20[0-2]\d", text) is not None
