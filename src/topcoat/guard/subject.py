"""Finds what of a case can be renamed, and what can't because a right answer would no longer follow.

A word of a name is renamed only if it stands in names alone: not in the plain words of the dialogue, not in the tools'
names and documentation, not in the system prompt. An expected value has to hold it wholly. A number is renamed only if
the question shows every number that is expected, so that none is computed from it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from pydantic import JsonValue

from topcoat.guard.fresh import Fresh, NumberKind
from topcoat.guard.renaming import Renaming
from topcoat.guard.shapes import Name, dates, names, number_of, numbers, subwords
from topcoat.guard.vocabulary import USUAL_WORDS
from topcoat.spec.agent import Agent
from topcoat.spec.rules.rule import Rule
from topcoat.spec.suite import Case
from topcoat.spec.tools.catalog import Catalog

__all__ = ["Subject", "Unrenamable", "is_result", "subject_of", "vocabulary_of"]

_CODE = re.compile(r"(?<![\w./\-@])(?=[\w\-]{0,40}[A-Za-z])(?=[\w\-]{0,40}?\d{3})\w[\w\-]{2,40}(?![\w/\-])")
"""Three digits in a row: a chemical formula is no code."""
_DUNDER = re.compile(r"__\w+__")
_RESULT = "<tool_response>"
"""How a result begins that stands in a user turn."""
_SHORTEST = 3
_ACRONYM = 4
_BOUNDED = re.compile(
    r"lat|lon|hour|minute|second|month|day|week|age\b|percent|probab|humid|rating|score|star|angle|degree|temp|fraction|rate"
    r"|confidence|threshold|level|ph\b|bit|base|port|quarter|grade|page",
    re.IGNORECASE,
)
"""Parameters whose values often have an upper bound, of which their schema says nothing."""
_NAMING = re.compile(
    r"name|title|company|artist|author|actor|director|song|album|movie|book|game|event|user|customer|player|project|team"
    r"|school|database|table|file|path|folder|branch|repo|message|text|content|query|subject|email|url|symbol|command",
    re.IGNORECASE,
)
"""Parameters that take names. A quoted word for another one is rather one of a few kinds, such as "fiction"."""
_COUNTED = re.compile(r"-?\d[\d,]*(?:\.\d+)?(?: [a-z]+)?")
"""A text that is a number, perhaps with a unit. Other numbers in texts belong to names, such as "S&P 500"."""
_COUNTS = """
zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen
eighteen nineteen twenty
"""
_NUMBER_WORDS = _COUNTS.split()
_SMALL = (0, 1, 2)
"""Numbers that often count things that the question names."""
_FIXED = (24, 60, 360, 365)
"""Numbers that a day, an hour, a circle and a year have."""


class Unrenamable(Exception):
    """Nothing of the case can be renamed. The text says why."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What of a case can be renamed: words in lower case, numbers and codes as the question has them.

    `beside` are the other numbers of the question, `kinds` is what is known of numbers, by value.
    """

    words: tuple[str, ...]
    numbers: tuple[str, ...] = ()
    codes: tuple[str, ...] = ()
    beside: tuple[float, ...] = ()
    kinds: Mapping[float, NumberKind] = field(default_factory=dict)

    def renaming(self, fresh: Fresh) -> Renaming:
        """New names for all of them."""
        numbered = fresh.numbers(self.numbers, self.beside, self.kinds) if self.numbers else {}
        return Renaming(fresh.words(self.words), numbered, {code: fresh.code(code) for code in self.codes})


def subject_of(case: Case, agent: Agent, vocabulary: frozenset[str]) -> Subject:
    """What can be renamed in `case`, which is no episode. Raises Unrenamable if that is nothing.

    `vocabulary` are the words of its tools (`vocabulary_of`).
    """
    expected = _Expected(case)
    if case.scorer in ("regex", "json_schema"):
        raise Unrenamable(f"its scorer is {case.scorer}: what is expected can't be renamed with certainty")
    text = _Texts(case, agent, vocabulary)
    if case.expect.exact is not None and not expected.words <= _words_of_source("\n".join(text.shown)):
        raise Unrenamable("its expected text has words that the question doesn't show")
    if expected.checked and (hidden := expected.hidden(text.shown_words | vocabulary)):
        raise Unrenamable(f"the question doesn't show {hidden}, which may follow from its names")
    codes = tuple(code for code in dict.fromkeys(text.codes()) if expected.holds(code))
    in_codes = {match[0].lower() for code in codes for match in subwords(code)}
    words = tuple(word for word in text.words(expected, agent) if word not in in_codes)
    words = expected.safe(words)
    numbered = _numbers(case, text, expected)
    subject = Subject(words, numbered, codes, text.numbers_beside(numbered), expected.kinds)
    if not (words or numbered or codes):
        raise Unrenamable(_why_nothing(text, expected))
    return subject


def _why_nothing(text: _Texts, expected: _Expected) -> str:
    if not any(text.named) and not text.numbered:
        return "its question holds no name and no number"
    if expected.checked:
        return "no name of the question is certain to be what an expected argument has"
    return "its names are words that the tools or the question use otherwise"


class _Texts:
    """The texts of a case: what is said by the user, and what else is shown."""

    def __init__(self, case: Case, agent: Agent, vocabulary: frozenset[str]) -> None:
        self.said = "\n".join(_said(case))
        others = [m.content or "" for m in case.messages or () if m.role != "system"]
        self.shown_words = _words_of_source("\n".join([*others, case.prompt or "", case.system or ""]))
        self.single = case.messages is None or sum(m.role != "system" for m in case.messages) == 1
        self.shown = others if case.messages else [case.prompt or ""]
        system = [case.system if case.system is not None else agent.system_prompt]
        system += [m.content or "" for m in case.messages or () if m.role == "system"]
        self.named = [name for name in names(self.said) if not _is_syntax(name, self.said)]
        if agent.calls == "native":
            self.named = [name for name in self.named if not _is_plain(name)]
        self.numbered = list(dict.fromkeys(match[0] for match in numbers(self.said)))
        plain_texts = [*map(_without_names, self.shown), *system, *_DUNDER.findall(self.said)]
        plain = {match[0].lower() for text in plain_texts for match in subwords(text)}
        self.kept = plain | vocabulary

    def words(self, expected: _Expected, agent: Agent) -> list[str]:
        """The words of names, in order. Of a native question, those that an expected argument has."""
        later = [name for text in self.shown for name in names(text) if expected.holds(_bare(name))]
        reach = agent.calls == "native" and expected.checked
        found: dict[str, None] = {}
        for name in [*self.named, *later]:
            reached = expected.naming if name.kind == "quoted" else expected.words
            words = [match[0].lower() for match in subwords(name.text) if _may_change(match[0])]
            found |= dict.fromkeys(word for word in words if not reach or word in reached)
        return [word for word in found if not self._is_kept(word)]

    def codes(self) -> Iterator[str]:
        """Texts of letters and digits, such as B1234."""
        dated = [match.span() for match in dates(self.said)]
        for match in _CODE.finditer(self.said):
            if match[0].lower() not in self.kept and not any(s < match.end() and match.start() < e for s, e in dated):
                yield match[0]

    def numbers_beside(self, renamed: Iterable[str]) -> tuple[float, ...]:
        """The numbers of the question that stay."""
        return tuple(sorted({number_of(text) for text in self.numbered if text not in set(renamed)}))

    def _is_kept(self, word: str) -> bool:
        forms = (
            word,
            word + "s",
            word + "es",
            word.removesuffix("s"),
            word.removesuffix("es"),
            word.removesuffix("ing"),
        )
        return not word.isascii() or not USUAL_WORDS.isdisjoint(forms[:1]) or not self.kept.isdisjoint(forms)


def _said(case: Case) -> Iterator[str]:
    """What the user says, without results."""
    if case.messages is None:
        yield case.prompt or ""
    for message in case.messages or ():
        if message.role == "user" and message.content and not is_result(message.content):
            yield message.content


def is_result(text: str) -> bool:
    """Whether the text of a user turn is a tool's result."""
    return text.lstrip().startswith(_RESULT)


def _is_syntax(name: Name, text: str) -> bool:
    """Whether what looks like a name is part of a document or a program in the question."""
    if name.kind not in ("quoted", "identifier"):
        return False
    return "{" in text or "```" in text or text[name.end : name.end + 2].lstrip().startswith((":", "="))


def _is_plain(name: Name) -> bool:
    """Whether a name may be no more than a quoted word, or two words with a slash between them."""
    return name.text.islower() and (name.kind == "quoted" or re.fullmatch(r"[a-z]+/[a-z]+", name.text) is not None)


def _may_change(word: str) -> bool:
    return len(word) >= _SHORTEST and not (word.isupper() and len(word) <= _ACRONYM)


def _bare(name: Name) -> str:
    return name.text.strip("\"'`")


def _without_names(text: str) -> str:
    parts, end = [], 0
    for name in names(text):
        parts.append(text[end : name.start])
        end = name.end
    return " ".join([*parts, text[end:]])


@lru_cache(maxsize=4096)
def _words_of_source(source: str) -> frozenset[str]:
    return frozenset(match[0].lower() for match in subwords(source))


def vocabulary_of(agent: Agent) -> frozenset[str]:
    """The words of the tools' names, parameters, documentation and results, in lower case."""
    brought = _words_of_source(str(agent.own)) if agent.own else frozenset()
    return brought | _vocabulary(agent.catalog)


def _vocabulary(catalog: Catalog) -> frozenset[str]:
    described = " ".join(f"{tool.name} {tool.doc} {tool.declared}" for tool in catalog.tools.values())
    return _words_of_source(f"{catalog.source} {described}")


class _Expected:
    """The values that right answers give to tools."""

    def __init__(self, case: Case) -> None:
        self.rules = [(name, rule) for call in case.expected_calls for name, rule in call.rules.items()]
        self.exact = case.expect.exact
        self.checked = case.scorer != "tiered" and (bool(self.rules) or self.exact is not None)
        self.kinds: dict[float, NumberKind] = {}
        self._alternatives = [list(map(_texts, _values(rule))) for _, rule in self.rules]
        self._alternatives += [[[self.exact]]] if self.exact is not None else []
        self.texts = [text for values in self._alternatives for texts in values for text in texts]
        self.words = {match[0].lower() for text in self.texts for match in subwords(text)}
        self.naming = {m[0].lower() for name, rule in self.rules if _NAMING.search(name) for m in _subwords(rule)}
        self.naming -= {m[0].lower() for name, rule in self.rules if not _NAMING.search(name) for m in _subwords(rule)}
        for name, rule in self.rules:
            kind: NumberKind | None = "year" if "year" in name.lower() else "bounded" if _BOUNDED.search(name) else None
            if kind is not None:
                self.kinds |= {x: kind for value in _values(rule) for x in _numbers_in(value)}

    def holds(self, text: str) -> bool:
        """Whether an expected text holds this one."""
        return any(text in value for value in self.texts)

    def hidden(self, shown: frozenset[str]) -> str:
        """The first text that must be given and has words that are shown nowhere, in all of its alternatives; or ""."""
        for name, rule in self.rules:
            texts = [text for value in _values(rule) for text in _texts(value)]
            if not rule.absent and texts and not any(_is_shown(text, shown) for text in texts):
                return f"{name}={texts[0][:60]!r}"
        return ""

    def safe(self, words: Iterable[str]) -> tuple[str, ...]:
        """The words that can change so that every expected value follows, and no alternative stays behind."""
        left = list(words)
        while True:
            unsafe = {word for word in left if not self._follows(word, left)}
            if not unsafe:
                return tuple(left)
            left = [word for word in left if word not in unsafe]

    def _follows(self, word: str, renamed: list[str]) -> bool:
        for values in self._alternatives:
            given = [texts for texts in values if any(texts)]
            held = [any(_has(text, word) for text in texts) for texts in given]
            if any(held) and not all(held):  # an alternative in other words
                return False
            hidden = (text for texts in given for text in texts if not _has(text, word))
            if len(word) > _SHORTEST and any(word in _folded(text, renamed) for text in hidden):
                return False
        return True


def _is_shown(text: str, shown: frozenset[str]) -> bool:
    """Whether all words of a text are shown, perhaps with another ending."""
    found = [match[0].lower() for match in subwords(text) if len(match[0]) >= _SHORTEST]
    return all(not shown.isdisjoint((word, word.removesuffix("s"), f"{word}s")) for word in found)


def _has(text: str, word: str) -> bool:
    return any(match[0].lower() == word for match in subwords(text))


def _folded(text: str, renamed: list[str]) -> str:
    """The letters of a text, without the words that are renamed."""
    return "".join(match[0].lower() if match[0].lower() not in renamed else " " for match in subwords(text))


def _values(rule: Rule) -> list[JsonValue]:
    """The values, and the patterns, of a rule."""
    found: list[JsonValue] = list(rule.any_of or ())
    found += [rule.pattern] if rule.pattern is not None else []
    for inner in (rule.object or {}).values():
        found += _values(inner)
    return found


def _subwords(rule: Rule) -> Iterator[re.Match[str]]:
    return (match for value in _values(rule) for text in _texts(value) for match in subwords(text))


def _texts(value: JsonValue) -> list[str]:
    if isinstance(value, str):
        return [value]
    items = value if isinstance(value, list) else value.values() if isinstance(value, dict) else ()
    return [text for item in items for text in _texts(item)]


def _numbers_in(value: JsonValue) -> Iterator[float]:
    if isinstance(value, int | float) and not isinstance(value, bool):
        yield float(value)
    items = value if isinstance(value, list) else value.values() if isinstance(value, dict) else ()
    for item in items:
        yield from _numbers_in(item)


def _numbers(case: Case, text: _Texts, expected: _Expected) -> tuple[str, ...]:
    """The numbers of the question that can change: none if one that is expected isn't shown, or follows from others."""
    if not text.single or expected.exact is not None:
        return ()
    shown = {number_of(number): number for number in reversed(text.numbered)}
    several_forms = len(shown) < len(text.numbered)
    if several_forms or not _all_shown(expected, shown, text.said) or _computed(list(shown)):
        return ()
    wanted = {x for _, rule in expected.rules for value in _values(rule) for x in _numbers_in(value)}
    in_texts = [(number_of(match[0]), _COUNTED.fullmatch(one)) for one in expected.texts for match in numbers(one)]
    wanted |= {value for value, counted in in_texts if counted}
    wanted -= {value for value, counted in in_texts if not counted}
    placed = {match[0] for name in text.named if name.kind == "path" for match in _places(text.said, name)}
    said = {match[0].lower() for match in subwords(text.said)}
    return tuple(
        number
        for value, number in sorted(shown.items())
        if value not in (*_SMALL, *_FIXED) and _stands_alone(number, text.said)
        if value in wanted or (number in placed and not expected.checked)
        if not (value.is_integer() and 0 <= value < len(_NUMBER_WORDS) and _NUMBER_WORDS[int(value)] in said)
    )


def _stands_alone(number: str, said: str) -> bool:
    """Whether all places where the question has these digits are numbers of their own."""
    digits = re.findall(rf"(?<![\d.]){re.escape(number.lstrip('-'))}(?![\d])(?!\.\d)", said)
    return len(digits) == sum(match[0] == number for match in numbers(said))


def _places(said: str, name: Name) -> Iterator[re.Match[str]]:
    """The line and the column behind a path."""
    found = re.match(r":(\d{1,7})(?::(\d{1,7}))?", said[name.end :])
    return re.finditer(r"\d+", found[0] if found else "")


def _all_shown(expected: _Expected, shown: Mapping[float, str], said: str) -> bool:
    """Whether the question shows every number that must be given, and each text with digits as it is."""
    for _, rule in expected.rules:
        if rule.absent:
            continue
        for value in _values(rule):
            if any(number not in shown and number not in _SMALL for number in _numbers_in(value)):
                return False
            if any(re.search(r"\d", text) and text.lower() not in said.lower() for text in _texts(value)):
                return False
    return True


def _computed(values: list[float]) -> bool:
    """Whether one of the numbers is the sum, the product, the difference or the quotient of two others."""
    large = sorted({abs(value) for value in values if abs(value) not in _SMALL})
    return any(
        total in large
        for index, one in enumerate(large)
        for other in large[index + 1 :]
        for total in (one + other, one * other)
    )
