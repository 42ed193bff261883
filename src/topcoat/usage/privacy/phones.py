"""Finds phone numbers. `phonenumbers` (the extra `results`) knows every country's; it is imported on first use.

A number is found where it is written with its country (`+49 30 901820`, `0049 30 901820`), or in groups as a country
writes it (`(415) 555-2671`, `020 7946 0018`). One without groups (`0612345678`) looks like any other number, so only a
name before it tells: `privacy.named` knows those.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

__all__ = ["phone_numbers"]

_INTERNATIONAL = re.compile(
    r"(?<![\w+.])(?:\+|00(?=[1-9]))(?:\(\d{1,4}\)|[1-9])(?:[ .\-/]{0,2}\(?\d{1,5}\)?){2,9}(?!\w|\.\d)"
)
_NORTH_AMERICAN = re.compile(
    r"(?<![\w.+-])(?:1[ .-])?(?:\([2-9]\d{2}\) ?|[2-9]\d{2}(?P<gap>[ .-]))"
    r"[2-9]\d{2}(?(gap)(?P=gap)|[ .-])\d{4}(?![\w-]|\.\d)"
)
_LEADING_ZERO = re.compile(r"(?<![\w.+/:-])(?:\(0\d{1,4}\)|0\d{1,4})(?:[ ./-]{1,2}\d{2,8}){1,4}(?![\w-]|[./:]\d)")
_DATE = re.compile(r"0\d([ ./-])(?:0[1-9]|[12]\d|3[01])\1(?:19|20)\d\d|0\d[./-]\d{4}")
_REGIONS = ("GB", "FR", "DE", "IT", "NL", "AU", "CH", "AT", "BE", "JP", "IN", "SE", "ZA", "TR", "CN", "KR")
"""Countries whose numbers begin with 0 inside the country."""
_FEWEST, _MOST = 9, 15
"""Digits of a number inside its country, and of any number."""
_MOST_ASKED = 2500
"""How often the library is asked for one text, at 0.1 ms. After that, every form of a number is taken for one."""
_GROUP = re.compile(r"\d+\)?")


def phone_numbers(text: str) -> Iterator[tuple[int, int]]:
    """The places of the phone numbers in `text`."""
    judge = _Judge()
    if "+" in text or "00" in text:
        yield from _found(_INTERNATIONAL, text, judge.international)
    yield from _found(_NORTH_AMERICAN, text, judge.north_american)
    yield from _found(_LEADING_ZERO, text, judge.leading_zero)


def _found(form: re.Pattern[str], text: str, end_of: Callable[[re.Match[str]], int]) -> Iterator[tuple[int, int]]:
    """The places of the numbers of a form. Other numbers may stand beside one, and look like its groups."""
    place = 0
    while match := form.search(text, place):
        if end := end_of(match):
            yield match.start(), match.start() + end
            place = match.start() + end
        else:
            first = _GROUP.search(text, match.start())
            place = first.end() if first else match.end()


@dataclass(slots=True)
class _Judge:
    """Says where the number ends that a match begins with; 0 if it begins with none. It judges one text."""

    asked: int = 0

    def international(self, match: re.Match[str]) -> int:
        """A possible number will do, except where a `+` or `00` may mean something else."""
        found = match[0]
        sure = found[0] == "0" or match.string[match.start() - 1 : match.start()] in ("", "\n")  # a diff's line
        number = found if found[0] == "+" else f"+{found[2:]}"
        offset = len(found) - len(number)
        for valid in (True,) if sure else (True, False):
            for end in _ends(number, 7):
                if self._is_number(number[:end], None, valid=valid):
                    return end + offset
        return 0

    def north_american(self, match: re.Match[str]) -> int:
        return len(match[0]) if self._is_number(match[0], "US") else 0

    def leading_zero(self, match: re.Match[str]) -> int:
        if _DATE.match(match[0]):
            return 0
        ends = _ends(match[0], _FEWEST)
        return next((end for end in ends for region in _REGIONS if self._is_number(match[0][:end], region)), 0)

    def _is_number(self, number: str, region: str | None, *, valid: bool = True) -> bool:
        self.asked += 1
        return self.asked > _MOST_ASKED or _is_number(number, region, valid=valid)


def _ends(found: str, fewest: int) -> list[int]:
    """Where a number may end: after one of its groups, the last first."""
    ends = [group.end() for group in _GROUP.finditer(found)]
    return [end for end in ends if fewest <= sum(map(str.isdigit, found[:end])) <= _MOST][::-1]


@lru_cache(maxsize=4096)
def _is_number(number: str, region: str | None, *, valid: bool) -> bool:
    """Whether a number is `valid`, given out by its country or `region`, or else whether it is possible."""
    from phonenumbers import NumberParseException, is_possible_number, is_valid_number, parse

    try:
        parsed = parse(number, region)
    except NumberParseException:
        return False
    found: bool = is_valid_number(parsed) if valid else is_possible_number(parsed)
    return found
