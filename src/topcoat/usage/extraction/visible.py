"""Which values of a call a dialogue shows. A value that it doesn't show would be learned as a guess.

A value is shown if the text holds it: as it is, as a part of a longer name, in other case or without accents, or as
words ("the class invoice printer" shows `InvoicePrinter`, "the module billing" shows `billing.py`, "half past seven"
shows `19:30`). So are the values that the tool's JSON Schema lists. Truth values and most numbers aren't looked at,
because they are settings.

A first answer may also use plain words that its question lacks, such as `metric`, and may say a thing in other words.
But a word that is one letter away from one in the question is a slip, and a name (with a slash, a dot, a digit or
capitals inside) has to be shown.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property

from topcoat.calls.answer import Call
from topcoat.calls.block import Broken, Code
from topcoat.calls.markup import blocks
from topcoat.calls.parsing import parse
from topcoat.examples.checks.templates import names_given
from topcoat.spec.agent import Agent

__all__ = ["Shown"]

_LONGEST_LINE = 300
"""A longer text, or one of several lines, is what a call writes, not what it names."""
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_WORDS = re.compile(r"[^\W\d_]+|\d+")
_NAME = re.compile(r"[/\\_.@:#]|\d|[a-z][A-Z]")
_PATTERN = re.compile(r"\\[a-zA-Z.]|[|^$()\[\]+?]|\.\*")
_FILE = re.compile(r"[^\s'\"`;|&<>()=,]*(?:/[^\s'\"`;|&<>()=,]+|\w\.(?:[a-z]{1,5}|[a-z]\d)\b)")
_EXTENSION = re.compile(
    r"\.(?:py|pyi|ipynb|js|jsx|mjs|cjs|ts|tsx|vue|svelte|css|scss|less|html?|xml|svg|json[lc5]?|ya?ml|toml|ini|cfg|conf|env"
    r"|md|rst|txt|log|csv|tsv|sql|db|sh|bash|zsh|ps1|bat|c|h|cc|cpp|hpp|cs|rs|go|java|kt|scala|swift|rb|php|pl|lua|r|jl|ex"
    r"|exs|erl|hs|ml|clj|dart|zig|nim|tf|proto|lock|patch|diff|docx?|xlsx?|pptx?|pdf|png|jpe?g|gif|webp|mp[34]|wav|zip|gz|tar)$",
    re.IGNORECASE,
)
_TIME = re.compile(r"[\d/:.\-+TZ]+")
"""A date or a time, in digits."""
_AFTERNOON = re.compile(r"\d ?p\.?m\b|\b(?:afternoon|evening|night|nachmittag|abend|soir|tarde|noche|noite|sera)\b")
_APART = re.compile(r"[\s\"'`,;()\[\]{}<>]+")
_ENDINGS = ("s", "es", "ed", "ing", "er", "'s")
_SHORTEST_SLIP, _LONGEST_SLIP = 5, 30

_USUAL = frozenset(
    [
        *(
            "utf",
            "ascii",
            "head",
            "main",
            "master",
            "origin",
            "http",
            "https",
            "www",
            "com",
            "org",
            "net",
            "dev",
            "null",
        ),
        *("tmp", "application", "json", "text", "html", "plain", "localhost", "stdin", "stdout"),
    ]
)
"""Words of names that nobody needs to say."""
_USUAL_VALUES = frozenset(
    [
        *("utf-8", "utf8", "utf-16", "iso-8859-1", "latin-1"),
        *("readme.md", "package.json", "pyproject.toml", "cargo.toml", "requirements.txt", "go.mod", "tsconfig.json"),
        *(".gitignore", "changelog.md", "setup.py", "setup.cfg", "composer.json", "pom.xml", "gemfile", "makefile"),
    ]
)
_NUMBERS = frozenset(
    [
        *(
            "one",
            "two",
            "three",
            "four",
            "five",
            "six",
            "seven",
            "eight",
            "nine",
            "ten",
            "eleven",
            "twelve",
            "thirteen",
        ),
        *(
            "fifteen",
            "twenty",
            "thirty",
            "forty",
            "fifty",
            "hundred",
            "thousand",
            "half",
            "quarter",
            "noon",
            "midnight",
        ),
        *("ein", "eine", "einen", "zwei", "drei", "vier", "funf", "sechs", "sieben", "acht", "neun", "zehn", "halb"),
        *("mittag", "deux", "trois", "quatre", "cinq", "sept", "huit", "neuf", "dix", "midi", "dos", "tres", "cuatro"),
        *("cinco", "seis", "siete", "ocho", "nueve", "diez", "mediodia", "dois", "quatro", "sete", "oito", "nove"),
        *("due", "tre", "quattro", "cinque", "sei", "sette", "otto", "dieci"),
    ]
)
_NUMBER = re.compile(r"\d{1,15}(?:,\d{3})*(?:\.\d{1,9})?")
_FACTORS = (1, -1, 60, 3600, 24, 7, 12, 100, 1000, 1e6, 1e9, 0.01, 0.001)
"""What a number may be multiplied by on its way into a call: units, percents."""
_SETTINGS = frozenset([0, 1, 2, 3, 5, 10, 20, 25, 50, 100, 200, 500, 1000, -1])
_LARGEST = 1e15
_MONTHS = (
    *("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"),
    *("jän", "fev", "mär", "avr", "mai", "jui", "lug", "ago", "set", "okt", "nov", "dez"),
)


def _given(answer: str, agent: Agent, *, first: bool) -> Iterator[tuple[str, frozenset[str]]]:
    """The texts that an answer gives to tools, each with the values that the tool's schema lists."""
    for block in blocks(answer, agent):
        if isinstance(block, Broken):
            continue
        if isinstance(block, Code):
            texts = (text for text in names_given(block) if not first or _names_a_file(text))
            yield from ((text, frozenset()) for text in texts)
    for call in parse(answer, agent).calls:
        tool = agent.catalog.tools.get(call.tool)
        listed = frozenset(_listed(tool.schema)) if tool and tool.schema else frozenset()
        for text in _texts([*call.args, *call.kwargs.values()]):
            if len(text) > _LONGEST_LINE or "\n" in text.strip():
                continue
            if " " not in text.strip():
                yield text.strip(), listed
            else:
                yield from ((found, listed) for found in _FILE.findall(text))


def _number(text: str) -> float:
    return float(text.replace(",", ""))


def _numbers(calls: Sequence[Call]) -> Iterator[float]:
    """The numbers that calls give to tools, outside of lists and objects."""
    for call in calls:
        for value in (*call.args, *call.kwargs.values()):
            if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _LARGEST:
                yield float(value)


def _names_a_file(text: str) -> bool:
    """Whether a text of a program, which needn't be given to a tool, is a file's name."""
    return len(text) > 3 and "{" not in text and bool(_FILE.fullmatch(text))


def _texts(values: object) -> Iterator[str]:
    if isinstance(values, str):
        yield values
    elif isinstance(values, Mapping):
        for value in values.values():
            yield from _texts(value)
    elif isinstance(values, list | tuple):
        for value in values:
            yield from _texts(value)


def _listed(schema: object) -> Iterator[str]:
    """The values that a JSON Schema writes out."""
    if isinstance(schema, Mapping):
        for key, value in schema.items():
            if key in ("enum", "const", "default"):
                yield from _texts([value])
            else:
                yield from _listed(value)
    elif isinstance(schema, list):
        for item in schema:
            yield from _listed(item)


def _folded(text: str) -> str:
    """`text` in lower case, without accents."""
    if text.isascii():
        return text.lower()
    apart = unicodedata.normalize("NFKD", text)
    return "".join(c for c in apart if not unicodedata.combining(c)).casefold()


def _words(text: str) -> Iterator[str]:
    return (word.lstrip("0") or "0" for word in _WORDS.findall(_folded(_CAMEL.sub(" ", text))))


class Shown:
    """What a dialogue shows up to a point. `add` takes the point further."""

    def __init__(self, text: str, agent: Agent) -> None:
        self._agent = agent
        self._text = ""
        self._words: set[str] = set()
        self._whole: set[str] = set()
        self._asked = {_number(found) for found in _NUMBER.findall(text)}
        self.add(f"{agent.system_prompt}\n{text}")

    def add(self, text: str) -> None:
        """Show `text` too."""
        folded = _folded(text)
        self._text += f"\n{folded}"
        self._words |= {*_words(text), *_WORDS.findall(folded)}
        self._whole |= {*_APART.split(folded)}
        for known in ("_near", "_beginnings"):
            self.__dict__.pop(known, None)

    def shows_all(self, answer: str, *, first: bool) -> bool:
        """Whether every value that `answer` gives to a tool is shown.

        `first`: the answer follows the question, so that its plain words can't come from a result that isn't shown.
        """
        if first and self._miscopied(answer):
            return False
        return all(
            value in listed or self._has(value, plain=first) or self._has(_folded(value).strip("./ "), plain=first)
            for value, listed in _given(answer, self._agent, first=first)
        )

    def _miscopied(self, answer: str) -> bool:
        """Whether a call gives a number that the question lacks, instead of one that it has."""
        calls = parse(answer, self._agent).calls
        written = json.dumps([[call.args, dict(call.kwargs)] for call in calls], default=str)
        given = {_number(found) for found in _NUMBER.findall(written)}
        if given >= self._asked or not _NUMBERS.isdisjoint(self._words):
            return False
        made = {number * factor for number in self._asked for factor in _FACTORS}
        return any(number not in made and number not in _SETTINGS for number in _numbers(calls))

    def _has(self, value: str, *, plain: bool) -> bool:
        """Whether the text shows `value`; with `plain`, also a plain word that can't be a slip."""
        folded = _folded(value)
        if folded in self._whole or folded in _USUAL_VALUES or folded in self._text:
            return True
        if plain and (not _NAME.search(value) or _PATTERN.search(value)):
            return not any(self._slipped(word) for word in _words(value))
        words = list(_words(_EXTENSION.sub("", value)))
        if _TIME.fullmatch(value):
            return bool(words) and all(self._word(word) or self._time(int(word)) for word in words if word.isdecimal())
        return bool(words or plain) and all(self._word(word) for word in words)

    def _word(self, word: str) -> bool:
        if (
            word in self._words
            or word in _USUAL
            or (word.isdecimal() and (word == "0" or not _NUMBERS.isdisjoint(self._words)))
        ):
            return True
        return (not word.isascii() and word in self._text) or self._other_form(word)

    def _other_form(self, word: str) -> bool:
        """Whether the text has the word with another ending."""
        cut = (word.removesuffix(ending) for ending in _ENDINGS if word.endswith(ending))
        return any(word + ending in self._words for ending in _ENDINGS) or any(
            len(stem) > 2 and stem in self._words for stem in cut
        )

    def _slipped(self, word: str) -> bool:
        """Whether the word is one letter away from a word of the text."""
        if not _SHORTEST_SLIP <= len(word) <= _LONGEST_SLIP or word in self._words or self._other_form(word):
            return False
        return (
            word in self._near
            or not self._near.isdisjoint(_shorter(word))
            or not self._words.isdisjoint(_shorter(word))
        )

    @cached_property
    def _near(self) -> set[str]:
        """The words of the text without one of their letters."""
        long = (word for word in self._words if _SHORTEST_SLIP <= len(word) <= _LONGEST_SLIP)
        return {short for word in long for short in _shorter(word)}

    def _time(self, number: int) -> bool:
        """Whether the text says a month by its name, or an hour after noon."""
        names = {_folded(name) for name in _MONTHS[number - 1 :: 12]} if 1 <= number <= 12 else set()
        if not names.isdisjoint(self._beginnings):
            return True
        return 12 < number < 24 and str(number - 12) in self._words and bool(_AFTERNOON.search(self._text))

    @cached_property
    def _beginnings(self) -> set[str]:
        return {word[:3] for word in self._words if word.isalpha()}


def _shorter(word: str) -> Iterator[str]:
    return (word[:place] + word[place + 1 :] for place in range(len(word)))
