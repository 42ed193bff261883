"""Finds personal data that only a name tells: `phone: 0612345678`, a key of JSON, the header of a table's column."""

from __future__ import annotations

import re
from collections.abc import Iterator

__all__ = ["kind_named", "named_data"]

_NUMBER = r"(?:[_ -]?(?:numbers?|nos?|nr|num))"
_NAMES: tuple[tuple[str, str], ...] = (
    (
        "phone number",
        rf"(?:tele)?phone(?:s|{_NUMBER})?|tel(?:\.|efon(?:nummer)?|[ée]fono|ephone)?|mobile(?:{_NUMBER}|[_ -]?phone)?"
        rf"|cell(?:[_ -]?phone)?|fax{_NUMBER}?|msisdn|whats[_ -]?app|handy(?:nummer)?|rufnummer|m[óo]vil"
        r"|t[ée]l(?:[ée]phone)?",
    ),
    (
        "card number",
        rf"(?:credit|debit|payment|bank)?[_ -]?card{_NUMBER}|cc{_NUMBER}|(?:credit|debit)[_ -]?card"
        r"|kreditkarte(?:nnummer)?|pan",
    ),
    (
        "account number",
        rf"(?:bank[_ -]?)?(?:account|acct){_NUMBER}|bank[_ -]?account|iban|routing{_NUMBER}|sort[_ -]?code"
        r"|kontonummer|konto[_ -]?nr|clabe",
    ),
    (
        "national id",
        rf"ssn|social[_ -]?security{_NUMBER}?|national[_ -]?(?:id|insurance){_NUMBER}?|nino|nhs{_NUMBER}"
        rf"|passport(?:{_NUMBER}|[_ -]?id)?|tax[_ -]?(?:payer)?[_ -]?(?:id|number)|id[_ -]card{_NUMBER}?"
        rf"|driver'?s?[_ -]?licen[cs]e{_NUMBER}?|steuer-?id(?:entifikationsnummer)?|pesel|bsn|cpf|dni|nie"
        rf"|codice[_ -]?fiscale|aadhaar|sin{_NUMBER}|personnummer|ausweisnummer|medicare{_NUMBER}",
    ),
)
_ALL = "|".join(f"(?P<k{index}>{names})" for index, (_, names) in enumerate(_NAMES))
_NAME = re.compile(rf"(?i)(?:[a-z]{{1,12}}[_ -])?(?:{_ALL})(?:[_ -]?\d)?")
_VALUE = r"(?P<value>[+(]{0,2}[A-Za-z]{0,3}\d(?:[ ().\-/]{0,2}[A-Za-z]{0,2}\d){3,30}[A-Za-z]?)(?!\w)"
_NAMED = re.compile(
    rf"""(?ix) (?:(?<![a-z0-9]) | (?-i:(?<=[a-z])(?=[A-Z]))) (?:{_ALL})
    ["'`*]{{0,3}} [ \t]{{0,3}} (?: (?:is|are|no\.?|number|nr\.?|ist|es|est) [ \t]{{1,2}} | [:=#>|]{{1,2}} ){{0,2}}
    [ \t]{{0,3}}
    ["'`*]{{0,3}} {_VALUE}"""
)
_DIGITS = re.compile(r"\d")
_FEWEST = {"phone number": 6, "card number": 12, "account number": 5, "national id": 6}
_CELL = re.compile(r'[ \t]*(?:"((?:[^"]|"")*)"|([^,;\t|\n]*))')
_LONGEST_HEADER = 2000


def kind_named(name: str) -> str:
    """The kind of personal data that a key or a column's header names, "" if it names none."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name.strip().strip("*`\"'"))
    match = _NAME.fullmatch(spaced) if len(spaced) <= 60 else None
    return next((kind for index, (kind, _) in enumerate(_NAMES) if match and match[f"k{index}"]), "")


def named_data(text: str) -> Iterator[tuple[int, int, str]]:
    """The places of the values that a name before them, or the header of their column, marks; and their kinds."""
    for match in _NAMED.finditer(text):
        kind = next(kind for index, (kind, _) in enumerate(_NAMES) if match[f"k{index}"])
        if _enough(match["value"], kind):
            yield *match.span("value"), kind
    yield from _in_columns(text)


def _enough(value: str, kind: str) -> bool:
    return len(_DIGITS.findall(value)) >= _FEWEST[kind]


def _in_columns(text: str) -> Iterator[tuple[int, int, str]]:
    """The cells of tables (CSV, TSV, Markdown) whose column has such a name."""
    columns: dict[int, str] = {}
    delimiter, width, place = "", 0, 0
    for line in text.splitlines(keepends=True):
        found = _delimiter(line)
        cells = _cells(line, delimiter or found) if found else []
        if columns and len(cells) == width:
            for index, kind in columns.items():
                start, end = cells[index]
                if _enough(line[start:end], kind):
                    yield place + start, place + end, kind
        elif found and len(line) <= _LONGEST_HEADER:
            delimiter = found
            cells = _cells(line, found)
            named = {index: kind_named(line[start:end]) for index, (start, end) in enumerate(cells)}
            columns, width = {index: kind for index, kind in named.items() if kind}, len(cells)
            delimiter = found if columns else ""
        elif line.strip():
            columns, delimiter = {}, ""
        place += len(line)


def _delimiter(line: str) -> str:
    """What most of a line's cells are split by, "" if nothing splits it."""
    count, best = max((line.count(mark), mark) for mark in "|\t;,")
    return best if count else ""


def _cells(line: str, delimiter: str) -> list[tuple[int, int]]:
    """The places of a line's cells, without spaces and quotes around them. A quoted cell may hold the delimiter."""
    cells: list[tuple[int, int]] = []
    start, quoted = 0, False
    for index, character in enumerate([*line.rstrip("\r\n"), delimiter]):
        if character == '"':
            quoted = not quoted
        elif character == delimiter and (not quoted or index >= len(line.rstrip("\r\n"))):
            cells.append(_trimmed(line, start, index))
            start = index + 1
    return cells


def _trimmed(line: str, start: int, end: int) -> tuple[int, int]:
    while start < end and line[start] in " \t\"'`*":
        start += 1
    while end > start and line[end - 1] in " \t\"'`*":
        end -= 1
    return start, end
