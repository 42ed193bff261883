"""New names for cases: finds the names that no training data contains, and draws each at most once."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from topcoat.errors import InvalidInput, Mistake
from topcoat.examples.checks.similarity import words
from topcoat.spec.case_template import CaseTemplates
from topcoat.spec.slots import Value, fill, list_of, slots

__all__ = ["Draws", "HeldOutNames", "KnownTexts", "shuffled"]


class KnownTexts:
    """Texts in which names are looked up, ignoring upper and lower case."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._text = "\n".join(texts).lower()
        self._words = set(words(self._text))

    def has(self, name: str) -> bool:
        """Whether one of the texts contains `name`, not only as a part of a longer word."""
        if not self._words.issuperset(words(name)):
            return False
        before, after = (r"(?<!\w)" if name[:1].isalnum() else "", r"(?!\w)" if name[-1:].isalnum() else "")
        return re.search(before + re.escape(name.lower()) + after, self._text) is not None


@dataclass(frozen=True, slots=True)
class _Pattern:
    """One entry of a list: a text whose slots can be filled from other lists in `size` ways."""

    text: str
    slots: tuple[str, ...]
    size: int


class HeldOutNames:
    """The lists of a file of templates, without the values in `trained` texts (`dropped`, by list).

    Values derived from these never appear in `trained` either. A value found in `asked` isn't used on its own, but may
    be part of a longer name. The values of a list are numbered from 0 to its size. Raises `InvalidInput` if a list has
    no value left.
    """

    def __init__(self, templates: CaseTemplates, trained: KnownTexts, asked: KnownTexts) -> None:
        self._trained = trained
        self.asked = asked
        self._choices = templates.choices
        self.dropped: dict[str, list[str]] = {}
        self._patterns: dict[str, list[_Pattern]] = {}
        kept: dict[str, list[str]] = {}
        for name, texts in templates.names.items():
            plain = [text for text in texts if not any(slots(text))]
            dropped = [text for text in plain if trained.has(fill(text, {}))]
            kept[name] = [text for text in texts if text not in dropped]
            if dropped:
                self.dropped[name] = dropped
        mistakes = [
            Mistake(
                f"names.{name}: each of its values is in the training data",
                templates.source.where("names", name),
                "other values, or [choices] if they needn't be new",
            )
            for name, texts in kept.items()
            if not texts
        ]
        if mistakes:
            raise InvalidInput.collect(str(templates.source.path), mistakes)
        for name in kept:
            self._count(name, kept)

    def is_name(self, slot: str) -> bool:
        """Whether the slot draws from [names]."""
        return list_of(slot) in self._patterns

    def patterns(self, name: str) -> Sequence[_Pattern]:
        """The entries of a list of names."""
        return self._patterns[name]

    def size(self, name: str) -> int:
        """The number of values of a list, including those that turn out to be known or equal."""
        return sum(p.size for p in self._patterns[name]) if name in self._patterns else len(self._choices[name])

    def built(self, pattern: _Pattern, number: int) -> str | None:
        """The value of a pattern with this number. None if it is known, or if a name in it repeats."""
        values: dict[str, Value] = {}
        for slot in pattern.slots:
            number, rest = divmod(number, self.size(list_of(slot)))
            value = self.value(list_of(slot), rest)
            if value is None or value in _beside(slot, values):
                return None
            values[slot] = value
        text = fill(pattern.text, values)
        return None if self._trained.has(text) else text

    def value(self, name: str, number: int) -> Value | None:
        """The value of a list, of names or choices, with this number."""
        if name in self._choices:
            return self._choices[name][number]
        for pattern in self._patterns[name]:
            if number < pattern.size:
                return self.built(pattern, number)
            number -= pattern.size
        raise IndexError(number)

    def _count(self, name: str, kept: Mapping[str, list[str]]) -> int:
        """Count the values of a list and, first, of the lists that it uses. Return its number."""
        if name in self._choices or name in self._patterns:
            return self.size(name)
        patterns = []
        for text in kept[name]:
            inner = tuple(dict.fromkeys(slots(text)))
            size = 1
            for slot in inner:
                size *= self._count(list_of(slot), kept)
            patterns.append(_Pattern(text, inner, size))
        self._patterns[name] = patterns
        return self.size(name)


class Draws:
    """Draws values for the slots of one template from a seed. No name comes twice."""

    def __init__(self, names: HeldOutNames, seed: str) -> None:
        self._names = names
        self._random = Random(seed)  # only its random() is the same in all versions of Python
        self._left: dict[str, list[tuple[_Pattern, Iterator[int]]]] = {}
        self._drawn: set[str] = set()

    def fresh(self, asked: Sequence[str]) -> Iterator[dict[str, Value]]:
        """Sets of values for these slots, until the names run out or, without names, until choices repeat."""
        if not any(map(self._names.is_name, asked)):
            yield from self._combinations(asked)
            return
        while True:
            values: dict[str, Value] = {}
            for slot in asked:
                name = list_of(slot)
                value = self._name(name) if self._names.is_name(slot) else self._choice(slot, values)
                if value is None:
                    return
                values[slot] = value
            yield values

    @property
    def ran_out(self) -> list[str]:
        """The lists without an undrawn name."""
        return [name for name, left in self._left.items() if not left]

    def _combinations(self, asked: Sequence[str]) -> Iterator[dict[str, Value]]:
        size = 1
        for slot in asked:
            size *= self._names.size(list_of(slot))
        for number in shuffled(size, self._random):
            values: dict[str, Value] = {}
            for slot in asked:
                number, rest = divmod(number, self._names.size(list_of(slot)))
                value = self._names.value(list_of(slot), rest)
                if value is not None and value not in _beside(slot, values):
                    values[slot] = value
            if len(values) == len(asked):
                yield values

    def _choice(self, slot: str, values: Mapping[str, Value]) -> Value | None:
        """Any value of a list of choices, except those that other slots of the same list have."""
        name = list_of(slot)
        every = [self._names.value(name, number) for number in range(self._names.size(name))]
        free = [value for value in every if value not in _beside(slot, values)]
        return free[_below(len(free), self._random)] if free else None

    def _name(self, name: str) -> str | None:
        """A name that wasn't drawn before. All patterns are equally likely, however many names each can make."""
        if name not in self._left:
            self._left[name] = [(p, shuffled(p.size, self._random)) for p in self._names.patterns(name)]
        left = self._left[name]
        while left:
            entry = left[_below(len(left), self._random)]
            number = next(entry[1], None)
            if number is None:
                left.remove(entry)
                continue
            text = self._names.built(entry[0], number)
            if text is not None and text not in self._drawn and not self._names.asked.has(text):
                self._drawn.add(text)
                return text
        return None


def _beside(slot: str, values: Mapping[str, Value]) -> list[Value]:
    """The values of the slots that draw from the same list."""
    return [value for other, value in values.items() if list_of(other) == list_of(slot)]


def shuffled(size: int, random: Random) -> Iterator[int]:
    """The numbers below `size` in random order. The cost depends on how many are taken (Fisher and Yates)."""
    moved: dict[int, int] = {}
    for last in range(size - 1, -1, -1):
        taken = _below(last + 1, random)
        yield moved.get(taken, taken)
        moved[taken] = moved.pop(last, last)


def _below(size: int, random: Random) -> int:
    return min(int(random.random() * size), size - 1)
