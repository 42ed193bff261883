"""Finds numbers of cards, accounts and persons by their form and their check digits.

`stdnum` (the extra `results`) knows the forms and computes the digits; it is imported on first use. A number is found
anywhere if its form and its check digits make an accident unlikely. Others need a name: `privacy.named` knows those.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cache
from importlib import import_module

__all__ = ["account_numbers", "card_numbers", "national_ids"]

_DIGIT_GROUPS = re.compile(r"(?<![\w.+-])\d+(?:[ -]\d+)*(?![\w-]|\.\d)")
_DIGITS = re.compile(r"\d+")
_NETWORK = re.compile(
    r"""(?x) 4\d{15}(?:\d{3})?            # Visa
    | (?:5[1-5]\d{2} | 222[1-9] | 22[3-9]\d | 2[3-6]\d{2} | 27[01]\d | 2720) \d{12}   # Mastercard
    | 3[47]\d{13}                         # American Express
    | 3(?:0[0-5]|[689]\d)\d{11}           # Diners Club
    | (?:6011 | 65\d{2} | 64[4-9]\d) \d{12}          # Discover
    | 35(?:2[89]|[3-8]\d)\d{12}           # JCB
    | 62\d{14,17}                         # UnionPay
    | (?:5018|5020|5038|6304|6759|676[1-3])\d{8,15}  # Maestro"""
)
_SHORTEST_CARD, _LONGEST_CARD = 12, 19
_IBAN = re.compile(r"(?i)(?<![\w-])[a-z]{2}\d{2}(?:[ -]?[a-z0-9]{4}){2,7}(?:[ -]?[a-z0-9]{1,3})?(?![\w-])")

_IDS: tuple[tuple[re.Pattern[str], tuple[str, ...]], ...] = tuple(
    (re.compile(form), modules)
    for form, modules in (
        (r"\d{3}-\d{2}-\d{4}", ("us.ssn", "us.itin")),
        (r"\d{8}-?[A-Z]|[XYZ]-?\d{7}-?[A-Z]", ("es.dni", "es.nie")),
        (r"[A-Z]{6}\d{2}[A-EHLMPRST]\d{2}[A-Z]\d{3}[A-Z]", ("it.codicefiscale",)),
        (r"\d{3}\.\d{3}\.\d{3}-\d{2}", ("br.cpf",)),
        (r"756\.\d{4}\.\d{4}\.\d{2}", ("ch.ssn",)),
        (r"\d{6}[+-]\d{4}|(?:19|20)\d{6}-\d{4}", ("se.personnummer",)),
        (r"\d{6}[-+A-FU-Y]\d{3}[0-9A-Y]", ("fi.hetu",)),
        (r"[12] ?\d{2} ?\d{2} ?(?:\d{2}|2[AB]) ?\d{3} ?\d{3} ?\d{2}", ("fr.nir",)),
        (r"[2-9]\d{3} \d{4} \d{4}", ("in_.aadhaar",)),
        (r"[1-9]\d{5}(?:19|20)\d{9}[\dX]", ("cn.ric",)),
        (r"\d{2}\.\d{2}\.\d{2}-\d{3}\.\d{2}", ("be.nn",)),
        (r"\d{6}-[1-8]\d{6}", ("kr.rrn",)),
        (r"[A-Z]{4}\d{6}[HM][A-Z]{5}[A-Z0-9]\d", ("mx.curp",)),
        (r"\d{3}-\d{3}-\d{3}", ("ca.sin",)),
    )
)
"""The forms of the numbers that states give to persons, and the modules that know their check digits."""
_ID = re.compile(rf"(?<![\w.+-])(?=[0-9A-Z])(?:{'|'.join(form.pattern for form, _ in _IDS)})(?![\w-]|\.\d)")
_NINO = re.compile(
    r"(?<![\w-])(?!BG|GB|KN|NK|NT|TN|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?\d{2} ?\d{2} ?\d{2} ?[A-D](?![\w-])"
)
"""The United Kingdom's national insurance numbers, which have no check digit: their letters are rare."""


def card_numbers(text: str) -> Iterator[tuple[int, int]]:
    """The places of the numbers of payment cards: a network's first digits and length, and a right check digit."""
    for match in _DIGIT_GROUPS.finditer(text):
        groups = list(_DIGITS.finditer(text, *match.span()))
        for first in range(len(groups)):  # other numbers may stand beside it, such as the code on its back
            digits = ""
            for group in groups[first : first + 6]:
                digits += group[0]
                if len(digits) > _LONGEST_CARD:
                    break
                if len(digits) >= _SHORTEST_CARD and _NETWORK.fullmatch(digits) and _checker("luhn")(digits):
                    yield groups[first].start(), group.end()


def account_numbers(text: str) -> Iterator[tuple[int, int]]:
    """The places of the international bank account numbers (IBAN)."""
    place = 0
    while match := _IBAN.search(text, place):
        words = re.split("[ -]", match[0])
        place = match.start() + len(words[0])
        for count in range(len(words), 0, -1):  # a word behind it may look like its last group
            compact = "".join(words[:count]).upper()
            if _leaves_one(compact) and _checker("iban")(compact):
                place = match.start() + len(" ".join(words[:count]))
                yield match.start(), place
                break


def _leaves_one(iban: str) -> bool:
    """Whether the check digits are right (ISO 7064, mod 97-10), which costs less than to ask stdnum."""
    return 15 <= len(iban) <= 34 and int("".join(str(int(c, 36)) for c in iban[4:] + iban[:4])) % 97 == 1


def national_ids(text: str) -> Iterator[tuple[int, int]]:
    """The places of the numbers that states give to persons, where form and check digits are sure."""
    for match in _ID.finditer(text):
        if any(_checker(module)(match[0]) for form, modules in _IDS if form.fullmatch(match[0]) for module in modules):
            yield match.span()
    for match in _NINO.finditer(text):
        yield match.span()


@cache
def _checker(module: str) -> Callable[[str], bool]:
    """The function of stdnum's `module` that says whether a number is valid."""
    check: Callable[[str], bool] = import_module(f"stdnum.{module}").is_valid
    return check
