"""Rules: what an argument of an expected call may be, as a suite writes it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import JsonValue

from topcoat.spec.tools.json_schema import pattern_fault, schema_fault

__all__ = [
    "RULE_KEYS",
    "Fault",
    "Rule",
    "alternatives",
    "exactly",
    "is_rule",
    "possible_texts",
    "rule_faults",
    "rule_of",
    "wording",
]

RULE_KEYS: Final = ("any_of", "json_schema", "pattern", "absent", "object")

Fault = tuple[str, str, str]
"""A mistake in a rule: its key (dotted), a message, and a hint or ""."""

_MOST_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Rule:
    """What an argument may be. All that is set must hold."""

    any_of: tuple[JsonValue, ...] | None = None
    """One of these values."""
    json_schema: Mapping[str, Any] | None = None
    """A value that fits this schema."""
    pattern: str | None = None
    """A text that contains this pattern (ECMA 262)."""
    absent: bool = False
    """The argument may be left out. Without another key it can only be left out, or be the catalog's default."""
    object: Mapping[str, Rule] | None = None
    """An object whose values meet these rules, with no other names."""

    @property
    def asks(self) -> bool:
        """Whether the rule says anything of a value that is given."""
        return any(part is not None for part in (self.any_of, self.json_schema, self.pattern, self.object))


def exactly(value: JsonValue) -> JsonValue:
    """How a suite writes that exactly `value` is expected, also where it looks like a rule."""
    looks_like_one = isinstance(value, dict) and bool(value.keys() & set(RULE_KEYS) or _nearly_a_rule(value))
    return {"any_of": [value]} if looks_like_one else value


def _nearly_a_rule(value: Mapping[str, JsonValue]) -> list[str]:
    """The keys of rules that all keys of `value` are other spellings of; none if one of them isn't."""
    meant = [_MEANT.get(_folded(name), "") for name in value]
    return meant if all(meant) else []


def is_rule(value: object) -> bool:
    """Whether `value` is written as a rule: an object that has keys of rules only. Everything else is exact."""
    return isinstance(value, Mapping) and bool(value) and value.keys() <= set(RULE_KEYS)


def rule_of(value: JsonValue) -> Rule:
    """The rule that `value`, in which `rule_faults` finds nothing, is written as. An exact value is one of one."""
    if not is_rule(value):
        return Rule(any_of=(value,))
    written: Any = value
    inner = written.get("object")
    return Rule(
        tuple(written["any_of"]) if "any_of" in written else None,
        written.get("json_schema"),
        written.get("pattern"),
        "absent" in written,
        None if inner is None else {name: rule_of(part) for name, part in inner.items()},
    )


def possible_texts(rule: Rule) -> tuple[str, ...]:
    """The texts of which a right call has one. Empty if the argument may be left out, or be something else."""
    texts = tuple(value for value in rule.any_of or () if isinstance(value, str))
    return () if rule.absent or len(texts) < len(rule.any_of or ()) else texts


def rule_faults(value: JsonValue, key: str) -> Iterator[Fault]:
    """The mistakes in an expected argument that is written under `key`, as far as the argument alone shows them."""
    if not isinstance(value, dict):
        return
    if not value.keys() & set(RULE_KEYS):
        if meant := _nearly_a_rule(value):
            exact = json.dumps(exactly(value), ensure_ascii=False)
            hint = f"did you mean {', '.join(meant)}? If this very object is expected: {exact[:200]}"
            yield key, "is written nearly as a rule", hint
        return
    unknown = [name for name in value if name not in RULE_KEYS]
    if unknown:
        exact = json.dumps(exactly(value), ensure_ascii=False)
        hint = f"a rule has only {', '.join(RULE_KEYS)}; if this very object is expected: {exact[:200]}"
        yield from ((f"{key}.{name}", "no such key of a rule", hint) for name in unknown)
        return
    for name, part in value.items():
        yield from _part_faults(name, part, f"{key}.{name}")


def _folded(name: str) -> str:
    return name.replace("_", "").replace("-", "").casefold()


_MEANT: Final = {_folded(name): name for name in RULE_KEYS}


def _part_faults(name: str, part: JsonValue, key: str) -> Iterator[Fault]:
    """The mistakes in one key of a rule."""
    wanted, example = _FORMS[name]
    if not isinstance(part, wanted) or (part in ([], "") and name != "object"):
        yield key, f"must be {_NOUNS[name]}, is {_short(part)}", example
    elif name == "absent" and part is not True:
        yield key, "must be true: an argument that must be given needs no such key", example
    elif isinstance(part, str) and pattern_fault(part):
        yield key, pattern_fault(part), ""
    elif name == "json_schema" and isinstance(part, dict) and (fault := schema_fault(part)):
        yield key, fault, ""
    elif name == "object" and isinstance(part, dict):
        for inner, rule in part.items():
            yield from rule_faults(rule, f"{key}.{inner}")


_FORMS: Final[Mapping[str, tuple[type, str]]] = {
    "any_of": (list, '"any_of": ["A", "B"]'),
    "json_schema": (dict, '"json_schema": {"type": "integer", "minimum": 1}'),
    "pattern": (str, '"pattern": "^src/"'),
    "absent": (bool, '"absent": true'),
    "object": (dict, '"object": {"unit": "celsius"}'),
}
_NOUNS: Final[Mapping[str, str]] = {
    "any_of": "a list of at least one value",
    "json_schema": "a JSON schema",
    "pattern": "a pattern",
    "absent": "true",
    "object": "an object of expected values by name",
}


def wording(rule: Rule) -> str:
    """A rule in a few words, such as `"celsius" or "kelvin", or left out`."""
    parts = []
    if rule.any_of is not None:
        parts.append(alternatives(map(_short, rule.any_of)))
    if rule.pattern is not None:
        parts.append(f"like {rule.pattern}")
    if rule.json_schema is not None:
        parts.append(f"as {_short(rule.json_schema)} asks")
    if rule.object is not None:
        parts.append("{" + ", ".join(f"{name}: {wording(part)}" for name, part in rule.object.items()) + "}")
    given = " and ".join(parts)
    if not rule.absent:
        return given
    return f"{given}, or left out" if given else "left out, or its default"


def alternatives(texts: Iterable[str]) -> str:
    """Joined by "or"; of many, the first few and how many more there are."""
    shown = list(texts)
    more = len(shown) - _MOST_SHOWN
    return " or ".join([*shown[:_MOST_SHOWN], *([f"{more} more"] if more > 0 else [])])


def _short(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."
