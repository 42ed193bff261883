"""Right answers made from the leaderboard's ground truth, and answers that differ from them in one thing."""

from __future__ import annotations

import copy
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

__all__ = ["KINDS", "Made", "Question", "answers"]

Calls = list[tuple[str, dict[str, Any]]]
Path = tuple[str | int, ...]
Change = Callable[[Random, Any], Any]
"""A value with one change; itself if the change doesn't apply."""

WORDS = "None of these tools can do that."


@dataclass(frozen=True, slots=True)
class Question:
    """A question of the leaderboard: its functions and its ground truth, as its files have them."""

    id: str
    functions: Sequence[Mapping[str, Any]]
    truth: Sequence[Mapping[str, Mapping[str, Sequence[Any]]]]

    def parameters(self, name: str) -> Mapping[str, Any]:
        """The schema of a function's parameters, in the leaderboard's types."""
        return next((f["parameters"] for f in self.functions if f["name"] == name), {"properties": {}, "required": []})


@dataclass(frozen=True, slots=True)
class Made:
    """An answer: what was changed in it, its calls, and its words, if it makes no call."""

    kind: str
    calls: Calls
    words: str = WORDS

    @property
    def text(self) -> str:
        """The answer as a model of the Hermes family writes it."""
        blocks = [json.dumps({"name": name, "arguments": arguments}) for name, arguments in self.calls]
        return "\n".join(f"<tool_call>\n{block}\n</tool_call>" for block in blocks) or self.words

    @property
    def decoded(self) -> list[dict[str, dict[str, Any]]]:
        """The calls as the leaderboard decodes them."""
        return [{name: json.loads(json.dumps(arguments))} for name, arguments in self.calls]


def answers(question: Question, rng: Random, so_far: Counter[str]) -> Iterator[Made]:
    """Endless answers to `question`: a right one, then changed ones, of the kinds that are rarest `so_far`.

    Without ground truth, the first one is words.
    """
    right = _right(question, rng)
    yield Made("right" if right else "words", right)
    while True:
        for kind in sorted(KINDS, key=lambda name: (so_far[name], rng.random())):
            calls = KINDS[kind](question, copy.deepcopy(right), rng)
            if calls is not None and json.dumps(calls) != json.dumps(right):
                so_far[kind] += 1
                yield Made(kind, calls)
                break
        else:
            yield Made("right" if right else "words", right)
        right = _right(question, rng)


def _right(question: Question, rng: Random) -> Calls:
    """An answer that is right, with alternatives at random."""
    calls = []
    for call in question.truth:
        for name, alternatives in call.items():
            required = question.parameters(name).get("required", ())
            calls.append((name, _chosen(alternatives, rng, required)))
    return calls


def _chosen(alternatives: Mapping[str, Sequence[Any]], rng: Random, required: Sequence[str] = ()) -> dict[str, Any]:
    """One of the alternatives of each name. "" leaves it out, where that is allowed."""
    made = {}
    for name, values in alternatives.items():
        value = rng.choice([v for v in values if v != "" or name not in required] or list(values) or [""])
        if value != "":
            made[name] = _plain(value, rng)
    return made


def _plain(value: Any, rng: Random) -> Any:
    """The alternative of an object or of a list of objects, whose values are alternatives again, as a plain value."""
    if isinstance(value, dict) and all(isinstance(part, list) for part in value.values()):
        return _chosen(value, rng)
    if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
        return [_plain(item, rng) for item in value]
    return value


# What is done to the calls.


def _wrong_name(question: Question, calls: Calls, rng: Random) -> Calls | None:
    if not calls:
        return None
    index = rng.randrange(len(calls))
    name, arguments = calls[index]
    others = [f["name"] for f in question.functions if f["name"] != name]
    calls[index] = (rng.choice([*others, f"{name}_all", name.swapcase()]), arguments)
    return calls


def _underscores(question: Question, calls: Calls, rng: Random) -> Calls | None:
    return [(name.replace(".", "_"), arguments) for name, arguments in calls]


def _shuffled(question: Question, calls: Calls, rng: Random) -> Calls | None:
    rng.shuffle(calls)
    return calls


def _fewer(question: Question, calls: Calls, rng: Random) -> Calls | None:
    if len(calls) < 2:
        return None
    del calls[rng.randrange(len(calls))]
    return calls


def _twice(question: Question, calls: Calls, rng: Random) -> Calls | None:
    return [*calls, rng.choice(calls)] if calls else None


def _another_call(question: Question, calls: Calls, rng: Random) -> Calls | None:
    if not question.functions:
        return None
    function = rng.choice(question.functions)
    arguments = {name: _sample(schema) for name, schema in function["parameters"]["properties"].items()}
    calls.insert(rng.randrange(len(calls) + 1), (function["name"], arguments))
    return calls


def _invented_call(question: Question, calls: Calls, rng: Random) -> Calls | None:
    calls.insert(rng.randrange(len(calls) + 1), ("ask_somebody_else", {"question": "?"}))
    return calls


def _no_call(question: Question, calls: Calls, rng: Random) -> Calls | None:
    return []


def _exchanged(question: Question, calls: Calls, rng: Random) -> Calls | None:
    """Two calls exchange one argument."""
    if len(calls) < 2:
        return None
    one, other = rng.sample([arguments for _, arguments in calls], 2)
    shared = sorted(one.keys() & other.keys())
    if shared:
        name = rng.choice(shared)
        one[name], other[name] = other[name], one[name]
    return calls


# What is done to the arguments of one call.


def _missing(question: Question, calls: Calls, rng: Random) -> Calls | None:
    arguments = _some_arguments(calls, rng)
    if arguments:
        del arguments[rng.choice(list(arguments))]
    return calls


def _unknown_argument(question: Question, calls: Calls, rng: Random) -> Calls | None:
    if calls:
        rng.choice(calls)[1]["verbose"] = True
    return calls


def _unexpected_argument(question: Question, calls: Calls, rng: Random) -> Calls | None:
    """An argument that the function has and this answer doesn't give: its default, or any value of its type."""
    if calls:
        name, arguments = rng.choice(calls)
        properties = question.parameters(name)["properties"]
        if others := [other for other in properties if other not in arguments]:
            chosen = rng.choice(others)
            arguments[chosen] = properties[chosen].get("default", _sample(properties[chosen]))
    return calls


def _nothing_for_optional(nothing: Any) -> Callable[[Question, Calls, Random], Calls | None]:
    def change(question: Question, calls: Calls, rng: Random) -> Calls | None:
        found = [
            (index, parameter)
            for index, (call, (name, _)) in enumerate(zip(question.truth, calls, strict=True))
            for parameter, values in call[name].items()
            if "" in values and parameter not in question.parameters(name).get("required", ())
        ]
        if found:
            index, parameter = rng.choice(found)
            calls[index][1][parameter] = copy.deepcopy(nothing)
        return calls

    return change


def _some_arguments(calls: Calls, rng: Random) -> dict[str, Any]:
    return rng.choice([arguments for _, arguments in calls if arguments] or [{}])


def _sample(schema: Mapping[str, Any]) -> Any:
    """A value of a type."""
    samples = {"integer": 3, "float": 2.5, "boolean": True, "array": [], "tuple": [], "dict": {}}
    return copy.deepcopy(samples.get(schema.get("type", ""), "x"))


# What is done to one value, wherever it stands.


def _at_a_place(change: Change, *, nested: bool) -> Callable[[Question, Calls, Random], Calls | None]:
    """`change` applied to an argument, or (`nested`) to a value inside of one."""

    def changed(question: Question, calls: Calls, rng: Random) -> Calls | None:
        places = [
            (arguments, path) for _, arguments in calls for path in _paths(arguments) if (len(path) > 1) == nested
        ]
        rng.shuffle(places)
        for arguments, path in places:
            holder: Any = arguments
            for part in path[:-1]:
                holder = holder[part]
            before = holder[path[-1]]
            after = change(rng, copy.deepcopy(before))
            if json.dumps(after) != json.dumps(before):
                holder[path[-1]] = after
                return calls
        return None

    return changed


def _paths(value: Any, path: Path = ()) -> Iterator[Path]:
    if path:
        yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in items:
        yield from _paths(part, (*path, key))


def _case(rng: Random, value: Any) -> Any:
    return rng.choice([str.upper, str.lower, str.title])(value) if isinstance(value, str) else value


def _punctuated(rng: Random, value: Any) -> Any:
    return _inserted(rng, value, " ,./-_*^")


def _unpunctuated(rng: Random, value: Any) -> Any:
    return "".join(c for c in value if c not in " ,./-_*^") if isinstance(value, str) else value


def _marked(rng: Random, value: Any) -> Any:
    return _inserted(rng, value, "!?:;()#'\"\té\n")


def _inserted(rng: Random, value: Any, characters: str) -> Any:
    if not isinstance(value, str):
        return value
    place = rng.randrange(len(value) + 1)
    return value[:place] + rng.choice(characters) + value[place:]


def _requoted(rng: Random, value: Any) -> Any:
    return value.replace("'", "\0").replace('"', "'").replace("\0", '"') if isinstance(value, str) else value


def _other_words(rng: Random, value: Any) -> Any:
    return rng.choice([f"{value} now", f"the {value}", value[:-1], value[1:]]) if isinstance(value, str) else value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _other_number(rng: Random, value: Any) -> Any:
    return rng.choice([value + 1, -value, value * 10]) if _is_number(value) else value


def _as_float(rng: Random, value: Any) -> Any:
    return float(value) if _is_number(value) else value


def _as_integer(rng: Random, value: Any) -> Any:
    return int(value) if _is_number(value) else value


def _as_text(rng: Random, value: Any) -> Any:
    return value if isinstance(value, str) else json.dumps(value)


def _from_text(rng: Random, value: Any) -> Any:
    try:
        return json.loads(value) if isinstance(value, str) else value
    except ValueError:
        return value


def _flipped(rng: Random, value: Any) -> Any:
    return not value if isinstance(value, bool) else value


def _as_bit(rng: Random, value: Any) -> Any:
    return int(value) if isinstance(value, bool) else bool(value) if value in (0, 1) else value


def _null(rng: Random, value: Any) -> Any:
    return None


def _wrapped(rng: Random, value: Any) -> Any:
    return [value]


def _unwrapped(rng: Random, value: Any) -> Any:
    return value[0] if isinstance(value, list) and value else value


def _reversed(rng: Random, value: Any) -> Any:
    return value[::-1] if isinstance(value, list) else value


def _shorter(rng: Random, value: Any) -> Any:
    return value[:-1] if isinstance(value, list) else value


def _longer(rng: Random, value: Any) -> Any:
    return [*value, value[-1]] if isinstance(value, list) and value else value


def _name_more(rng: Random, value: Any) -> Any:
    return {**value, "extra": 1} if isinstance(value, dict) else value


def _name_less(rng: Random, value: Any) -> Any:
    if isinstance(value, dict) and value:
        del value[rng.choice(list(value))]
    return value


def _emptied(rng: Random, value: Any) -> Any:
    return type(value)() if isinstance(value, str | list | dict) else value


_CHANGES: Mapping[str, Change] = {
    "case": _case,
    "punctuation more": _punctuated,
    "punctuation less": _unpunctuated,
    "other character more": _marked,
    "other quotes": _requoted,
    "other words": _other_words,
    "other number": _other_number,
    "integer as float": _as_float,
    "float as integer": _as_integer,
    "value as text": _as_text,
    "text as value": _from_text,
    "boolean flipped": _flipped,
    "boolean as number": _as_bit,
    "null": _null,
    "emptied": _emptied,
    "wrapped in a list": _wrapped,
    "list as its first item": _unwrapped,
    "list reversed": _reversed,
    "list shorter": _shorter,
    "list longer": _longer,
    "object with a name more": _name_more,
    "object with a name less": _name_less,
}

KINDS: Mapping[str, Callable[[Question, Calls, Random], Calls | None]] = {
    "wrong name": _wrong_name,
    "underscores in names": _underscores,
    "order of calls": _shuffled,
    "a call less": _fewer,
    "a call twice": _twice,
    "a call more": _another_call,
    "a call of an unknown tool more": _invented_call,
    "no call": _no_call,
    "arguments exchanged": _exchanged,
    "argument missing": _missing,
    "unknown argument": _unknown_argument,
    "unexpected argument": _unexpected_argument,
    "optional argument null": _nothing_for_optional(None),
    "optional argument empty text": _nothing_for_optional(""),
    "optional argument empty list": _nothing_for_optional([]),
    **{f"argument: {name}": _at_a_place(change, nested=False) for name, change in _CHANGES.items()},
    **{f"inside: {name}": _at_a_place(change, nested=True) for name, change in _CHANGES.items()},
}
"""What is changed in a right answer. None: the change doesn't apply."""
