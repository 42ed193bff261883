"""Says the same in other words, by rules that touch no name, no number and no quoted text.

A wording counts only if it has the same words that the tools' names and documentation have, as often: those decide the
tool. So a rule that would add or drop one of them makes nothing.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from topcoat.guard.shapes import names, numbers, subwords
from topcoat.guard.vocabulary import BETWEEN

__all__ = ["RULES", "SAME_WORDS", "Wordings", "held"]

_COMMANDS = """
add analyze apply ask book bring build buy calculate call cancel change check choose compare compute convert count
create delete describe detect determine display draw edit enumerate estimate evaluate examine execute explain
extract fetch figure filter find fix generate get give go grab hover identify inform inspect install launch lend
let lint list locate look make map measure move name open order outline pick plan play plot predict print provide
pull put query read recommend record remove rename replace report request reserve retrieve return review run save
scan schedule search see select send set share show simulate solve sort start store suggest sum summarize switch
take tell test trace track translate turn typecheck update use validate verify view write
"""
_VERBS = frozenset(_COMMANDS.split())
_QUESTIONS = """
what what's whats which who who's whose where where's when why how how's is are was were does do did has have can
could will would should any
"""
_ASKING = frozenset(_QUESTIONS.split())
_POLITE = re.compile(
    r"(?:please,? +)?(?:(?:could|can|would|will) you (?:please )?|i(?:'d| would) like you to |i (?:need|want) you to |"
    r"go ahead and |please,? )",
    re.IGNORECASE,
)
_ABILITY = re.compile(r"(?:can|could|would|will|may) ", re.IGNORECASE)
_PLEASE_LAST = re.compile(r",? +please(?=[.?!]*$)", re.IGNORECASE)
_END = re.compile(r"[.?!]+\s*$")
_SENTENCES = re.compile(r"[.?!:;]\s+\S|\n")
_MASK = re.compile("\ue000(\\d+)\ue001")
_QUOTED = re.compile(r"`[^`]+`|\"[^\"]+\"|(?<!\w)'[^'\n]+'(?!\w)|[“”][^“”]*[“”]")
_CODE = re.compile(r"[\w@$]*[\[({]\S*|\S*[\])}=@#$\\|<>]\S*")
"""What looks like code outside of quotes."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """A question without its names. `command` is what it tells to do, from the verb on; "" if it is no command.

    `question`: it is one question. `single`: it is one sentence.
    """

    text: str
    command: str
    question: bool
    single: bool


Rule = Callable[[_Asked], Iterable[str]]
"""Other wordings of a question. It may make some that don't count."""


class Wordings:
    """A text, and what it may be in other words. `vocabulary` are the words of the tools, in lower case."""

    def __init__(self, text: str, vocabulary: frozenset[str]) -> None:
        self._vocabulary = vocabulary
        self._masked, self._held = _masked(text)
        self._marks, self._deciding = sorted(_MASK.findall(self._masked)), _deciding(self._masked, vocabulary)
        self._asked = _asked(self._masked)

    def by(self, rule: str) -> list[str]:
        """The text in other words, in every way that the rule of this name knows; [] if it doesn't fit."""
        new = RULES[rule](self._asked)
        return [_MASK.sub(lambda match: self._held[int(match[1])], text) for text in new if self._counts(text)]

    def _counts(self, new: str) -> bool:
        return (
            new != self._masked
            and sorted(_MASK.findall(new)) == self._marks
            and _deciding(new, self._vocabulary) == self._deciding
        )


def held(text: str) -> list[str]:
    """The names, numbers, quoted texts and pieces of code in a text: what no wording may change."""
    return _masked(text)[1]


def _masked(text: str) -> tuple[str, list[str]]:
    """The text with a mark in the place of each name, number and quoted text; and what stood there."""
    spans = [match.span() for pattern in (_QUOTED, _CODE) for match in pattern.finditer(text)]
    spans += [(name.start, name.end) for name in names(text)]
    spans += [match.span() for match in numbers(text)]
    spans = [(start, _trimmed(text, start, stop)) for start, stop in spans]
    parts: list[str] = []
    held: list[str] = []
    end = 0
    for start, stop in _joined(spans):
        parts += [text[end:start], f"\ue000{len(held)}\ue001"]
        held.append(text[start:stop])
        end = stop
    return "".join([*parts, text[end:]]), held


def _trimmed(text: str, start: int, end: int) -> int:
    """The end of a name without the marks that end its sentence."""
    while end - start > 1 and text[end - 1] in ".,;:?!":
        end -= 1
    return end


def _joined(spans: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """The spans in order; those that touch are one."""
    begin, end = None, 0
    for start, stop in sorted(spans):
        if begin is None or start > end:
            if begin is not None:
                yield begin, end
            begin, end = start, stop
        end = max(end, stop)
    if begin is not None:
        yield begin, end


def _deciding(text: str, vocabulary: frozenset[str]) -> Counter[str]:
    """The words that may decide the tool, with their number."""
    found = (match[0].lower() for match in subwords(_MASK.sub(" ", text)))
    return Counter(word for word in found if word in vocabulary and word not in BETWEEN)


def _asked(text: str) -> _Asked:
    text = text.strip()
    single = _SENTENCES.search(text) is None
    bare = _PLEASE_LAST.sub("", text)
    polite = _POLITE.match(bare)
    core = bare[polite.end() :] if polite else bare
    first = re.match(r"[A-Za-z']+", core)
    word = first[0].lower() if first else ""
    begins = re.match(r"[A-Za-z']+", text)
    command = _END.sub("", core) if single and word in _VERBS else ""
    question = single and text.endswith("?") and begins is not None and begins[0].lower() in _ASKING and not command
    return _Asked(text, command, question, single)


def _small(text: str) -> str:
    return text[:1].lower() + text[1:] if not re.match(r"I\b|[A-Z]{2}", text) else text


def _large(text: str) -> str:
    return text[:1].upper() + text[1:]


def _bare_command(asked: _Asked) -> Iterator[str]:
    if asked.command:
        yield f"{_large(asked.command)}."


def _please(asked: _Asked) -> Iterator[str]:
    if asked.command:
        yield f"Please {_small(asked.command)}."


def _please_last(asked: _Asked) -> Iterator[str]:
    if asked.command:
        yield f"{_large(asked.command)}, please."


def _could_you(asked: _Asked) -> Iterator[str]:
    if asked.command:
        yield from (f"{opening} {_small(asked.command)}?" for opening in ("Could you", "Can you", "Would you please"))


def _wish(asked: _Asked) -> Iterator[str]:
    if asked.command:
        openings = ("I'd like you to", "I need you to", "I want you to", "I would like you to")
        yield from (f"{opening} {_small(asked.command)}." for opening in openings)


def _told(asked: _Asked) -> Iterator[str]:
    if asked.question and not _POLITE.match(asked.text) and not _ABILITY.match(asked.text):
        openings = ("Tell me:", "Quick question:", "I'm wondering:", "One question:")
        yield from (f"{opening} {_small(asked.text)}" for opening in openings)


def _greeting(asked: _Asked) -> Iterator[str]:
    if asked.command or asked.question:
        openings = ("Hi,", "Hello,", "Hey,", "Okay,", "Right,", "Hi there,")
        yield from (f"{opening} {_small(asked.text)}" for opening in openings)


def _thanks(asked: _Asked) -> Iterator[str]:
    if asked.command or asked.question:
        ended = asked.text if _END.search(asked.text) else f"{asked.text}."
        yield from (f"{ended} {closing}" for closing in ("Thanks!", "Thank you.", "Thanks a lot."))


def _small_letters(asked: _Asked) -> Iterator[str]:
    """As many people type: no capital, and no mark at the end."""
    if asked.command or asked.question:
        yield _END.sub("", _small(asked.text))


_LONG: Final[Mapping[str, str]] = {
    "what's": "what is",
    "where's": "where is",
    "who's": "who is",
    "how's": "how is",
    "i'd": "I would",
    "i'm": "I am",
    "it's": "it is",
    "doesn't": "does not",
    "don't": "do not",
    "isn't": "is not",
    "aren't": "are not",
    "can't": "cannot",
}
_SHORT: Final[Mapping[str, str]] = {long.lower(): short for short, long in _LONG.items()}
_LONG_FORM = re.compile(r"\b(" + "|".join(_LONG) + r")(?!\w)", re.IGNORECASE)
_SHORT_FORM = re.compile(r"\b(" + "|".join(_SHORT) + r")(?= \w)", re.IGNORECASE)


def _contractions(asked: _Asked) -> Iterator[str]:
    """One form becomes the other: "what's" and "what is"."""
    yield _LONG_FORM.sub(lambda match: _like(match[0], _LONG[match[0].lower()]), asked.text)
    yield _SHORT_FORM.sub(lambda match: _like(match[0], _SHORT[match[0].lower()]), asked.text)


def _like(old: str, new: str) -> str:
    return _large(new) if old[0].isupper() or new.startswith("i'") else new


_SYNONYMS: Final[Mapping[str, tuple[str, ...]]] = {
    "show me": ("let me see", "display"),
    "show": ("display",),
    "give me": ("get me", "hand me"),
    "tell me": ("let me know",),
    "find out": ("figure out",),
    "find me": ("get me",),
    "locate": ("find",),
    "look for": ("search for",),
    "calculate": ("compute", "work out"),
    "compute": ("calculate",),
    "determine": ("figure out",),
    "retrieve": ("fetch", "get"),
    "fetch": ("retrieve",),
    "obtain": ("get",),
    "provide": ("give",),
    "start": ("begin",),
    "help me find": ("help me locate",),
    "launch": ("start",),
    "open up": ("open",),
}
_SAID = re.compile(r"\b(" + "|".join(sorted(_SYNONYMS, key=len, reverse=True)) + r")\b", re.IGNORECASE)


def _synonyms(asked: _Asked) -> Iterator[str]:
    """Another verb at the beginning of a command."""
    match = _SAID.match(asked.command)
    if match is not None:
        start = asked.text.index(asked.command)
        for new in _SYNONYMS[match[0].lower()]:
            yield asked.text[:start] + _like(match[0], new) + asked.text[start + match.end() :]


_FIRST = re.compile("(In|Inside) (\ue000\\d+\ue001), ([a-z].*?)([.?!]*)")
_LAST = re.compile("(.*) in (\ue000\\d+\ue001)([.?!]*)", re.DOTALL)
_SEVERAL = re.compile(r"\b(?:and|then|to|in|that|which|where|whether|if|so)\b|,")
"""What a command of one clause doesn't have."""


def _clauses(asked: _Asked) -> Iterator[str]:
    """The place goes from the beginning to the end of a command, or back."""
    first, last = _FIRST.fullmatch(asked.text), _LAST.fullmatch(asked.text)
    if first and asked.single and first[3].split()[0] in _VERBS and not _SEVERAL.search(first[3]):
        yield f"{_large(first[3])} {first[1].lower()} {first[2]}{first[4]}"
    if last and asked.command and not _POLITE.match(asked.text) and not _SEVERAL.search(last[1]):
        yield f"In {last[2]}, {_small(last[1])}{last[3]}"


RULES: Final[Mapping[str, Rule]] = {
    "command": _bare_command,
    "please": _please,
    "please-last": _please_last,
    "could-you": _could_you,
    "wish": _wish,
    "told": _told,
    "greeting": _greeting,
    "thanks": _thanks,
    "small-letters": _small_letters,
    "contractions": _contractions,
    "synonyms": _synonyms,
    "clauses": _clauses,
}
"""The rules by name."""

SAME_WORDS: Final = frozenset({"small-letters"})
"""The rules that change no word, only how it is written."""
