"""Case templates: questions with slots, and the names that fill them. `topcoat suite expand` makes cases from them.

[names]                                # a new one in every case of a template, none from training data
noun = ["abacus", "sundial", ...]
file = ["{noun}.md", "docs/{noun}_{noun2}.md"]

[choices]                              # values may repeat
count = [3, 5, 10]

[[template]]
name = "recent-commits"
category = "git"
prompt = "Which {count} commits touched {file} last?"
scorer = "calls"
expect = { calls = [{ tool = "git_log", args = { path = "{file}", count = "{count}" } }] }
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, JsonValue, ValidationError, model_validator

from topcoat.errors import InvalidInput, Mistake, Where
from topcoat.spec.agent import Agent
from topcoat.spec.reading.loader import TomlSource, parse_toml
from topcoat.spec.reading.section import Name, Section, refuse
from topcoat.spec.rules.rule import is_rule
from topcoat.spec.slots import Value, fill, fill_pattern, fill_typed, list_of, slots
from topcoat.spec.suite import MOST_TOKENS, Case, case_mistakes, settled

__all__ = ["CaseTemplate", "CaseTemplates", "load_templates"]

ListName = Annotated[str, Field(pattern=r"^[A-Za-z_]+$")]
Choices = list[str] | list[int | float] | list[bool]

_KEPT = ("category", "tools", "scorer", "max_tokens")


class CaseTemplate(Section):
    """[[template]]: a case with slots. Its keys are a case's.

    The names of tools have no slots. In a pattern, a value is matched literally. If an argument, a value in its rule,
    or a value of a JSON schema, is only a slot, it keeps the type of its choice.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", examples=['"read-file"'])]
    """The template's name. It becomes the family of its cases."""
    category: Name = Field(examples=['"CATEGORY"'])
    """The category of its cases."""
    prompt: Name | None = None
    """The question, with slots."""
    messages: list[dict[str, JsonValue]] | None = None
    """The dialogue that the model answers, with slots, in place of `prompt`."""
    system: str | None = None
    """A system prompt in place of the project's, with slots."""
    tools: list[dict[str, JsonValue]] | None = None
    """Tools in OpenAI's form, in place of the catalog's, without slots."""
    expect: dict[str, JsonValue] = Field(examples=['{ calls = [{ tool = "NAME" }] }'])
    """What a right answer is, with slots."""
    scorer: Literal["tiered", "calls", "run", "exact", "regex", "json_schema"] = "tiered"
    """How answers get their score."""
    max_tokens: Annotated[int, Field(ge=1, le=MOST_TOKENS)] = 256
    """The most tokens of an answer."""

    @property
    def asked_slots(self) -> list[str]:
        """The slots of the question, each once, in order."""
        return list(dict.fromkeys(slots([self.prompt, self.system, *(self.messages or [])])))

    @property
    def wording(self) -> str:
        """The question with blank slots."""
        blank = dict.fromkeys(self.asked_slots, "_")
        return str(_texts([self.system, self.prompt, *(self.messages or [])], blank))

    def filled(self, values: Mapping[str, Value]) -> dict[str, Any]:
        """The template's keys, filled with these values. Raises `KeyError`."""
        written = {key: getattr(self, key) for key in _KEPT if key in self.model_fields_set}
        asked = {key: _texts(getattr(self, key), values) for key in ("prompt", "messages", "system")}
        expect = {key: _expected(key, value, values) for key, value in self.expect.items()}
        return written | {key: value for key, value in asked.items() if value is not None} | {"expect": expect}


class TemplateFile(Section):
    """A file of templates."""

    names: dict[ListName, Annotated[list[Name], Field(min_length=1)]] = Field(default_factory=dict)
    """Lists of values, by slot, or of patterns of other lists. A value stands in one case, and in no training data."""
    choices: dict[ListName, Annotated[Choices, Field(min_length=1)]] = Field(default_factory=dict)
    """Lists of values that may repeat, by slot."""
    template: list[CaseTemplate] = Field(min_length=1, examples=["..."])
    """The templates."""

    @model_validator(mode="after")
    def _each_list_once(self) -> TemplateFile:
        both = [name for name in self.names if name in self.choices]
        refuse((f"choices.{name}", f'"{name}" is already under [names]') for name in both)
        return self


@dataclass(frozen=True, slots=True)
class CaseTemplates:
    """A file of templates that fits its agent. Every slot has a list, and no list contains itself."""

    source: TomlSource
    names: Mapping[str, list[str]]
    choices: Mapping[str, Choices]
    templates: tuple[CaseTemplate, ...]
    agent: Agent

    def where(self, template: CaseTemplate) -> Where:
        """The line with a template's name."""
        return self.source.where("template", self.templates.index(template), "name")

    def case(self, template: CaseTemplate, values: Mapping[str, Value], **keys: object) -> Case:
        """The case with these values and further `keys`.

        Raises `InvalidInput` if they make no valid case, or one that no answer of the agent can be right for.
        """
        data = {**keys, **template.filled(values)}
        index = self.templates.index(template)
        try:
            case = Case.model_validate(data)
        except ValidationError as error:
            mistakes = self.source.mistakes(error, data, Case, "template", index)
            raise InvalidInput.collect(str(self.source.path), mistakes) from None
        mistakes = case_mistakes(case, self.source.where("template", index, "expect"), self.agent)
        if mistakes:
            raise InvalidInput.collect(str(self.source.path), mistakes)
        return settled(case, self.agent)


def load_templates(path: Path, agent: Agent) -> CaseTemplates:
    """The templates written in `path`, whose expected calls must be to tools of `agent`.

    Raises `InvalidInput` with every mistake of the file. A template's expectation is checked with the first value of
    each list.
    """
    source = parse_toml(path)
    file, mistakes = source.read(TemplateFile)
    lists = _lists(source.data)
    good = list(enumerate(file.template)) if file else _good_templates(source.data)
    made_of = {name: {list_of(slot) for slot in slots(values)} for name, values in lists.items()}
    for name in lists:
        mistakes += _list_mistakes(source, name, lists, made_of)
    mistakes += _repeated(source, "name", [(index, template.name) for index, template in good])
    mistakes += _repeated(source, "prompt", [(index, template.wording) for index, template in good])
    for index, template in good:
        mistakes += _slot_mistakes(source, index, template, lists)
        mistakes += _case_mistakes(source, index, template, lists, agent)
    if mistakes or file is None:
        mistakes.sort(key=lambda mistake: (mistake.where.line or 0) if mistake.where else 0)
        raise InvalidInput.collect(str(path), mistakes)
    return CaseTemplates(source, file.names, file.choices, tuple(file.template), agent)


Lists = Mapping[str, list[Any]]
"""The lists of a file by name, choices included. Values that aren't lists are left out."""


def _lists(data: Mapping[str, Any]) -> Lists:
    tables = [data.get(key) for key in ("choices", "names")]
    return {
        name: values
        for table in tables
        if isinstance(table, dict)
        for name, values in table.items()
        if isinstance(values, list)
    }


def _good_templates(data: Mapping[str, Any]) -> list[tuple[int, CaseTemplate]]:
    """The valid templates of an invalid file."""
    rows = data.get("template")
    good = []
    for index, row in enumerate(rows if isinstance(rows, list) else ()):
        with suppress(ValidationError):
            good.append((index, CaseTemplate.model_validate(row)))
    return good


def _repeated(source: TomlSource, key: Literal["name", "prompt"], good: list[tuple[int, str]]) -> list[Mistake]:
    """A mistake for each template that repeats another's name or wording: their cases would be alike."""
    first: dict[str, int] = {}
    mistakes = []
    for index, text in good:
        before = first.setdefault(text, index)
        if before != index:
            line = source.where("template", before, key).line
            message = f'"{text}" is already the name' if key == "name" else "asks in the same words as the template"
            mistakes.append(Mistake(f"{key}: {message} of line {line}", source.where("template", index, key)))
    return mistakes


def _list_mistakes(source: TomlSource, name: str, lists: Lists, made_of: Mapping[str, set[str]]) -> Iterator[Mistake]:
    """The mistakes of a list: slots without a list, slots that lead back to it, and slots in choices."""
    circles = {inner for inner in made_of[name] if name in _reached(inner, made_of)}
    table = "names" if ("names", name) in source.lines else "choices"
    for index, pattern in enumerate(lists[name]):
        where = source.where(table, name, index)
        for slot in dict.fromkeys(slots(pattern)):
            if table == "choices":
                hint = f"put it under [names]; {{{{{slot}}}}} is just this text"
                yield Mistake(f"choices.{name}[{index}]: a choice can't hold slots, as {{{slot}}}", where, hint)
            elif list_of(slot) not in lists:
                yield _no_list(f"names.{name}[{index}]", slot, where, lists)
            elif list_of(slot) in circles:
                yield Mistake(f"names.{name}[{index}]: made of itself, by {{{slot}}}", where)


def _reached(name: str, made_of: Mapping[str, set[str]]) -> set[str]:
    """The lists that a list is made of, over any number of others, including itself."""
    found, left = {name}, [name]
    while left:
        inner = made_of.get(left.pop(), set()) - found
        found |= inner
        left += inner
    return found


def _slot_mistakes(source: TomlSource, index: int, template: CaseTemplate, lists: Lists) -> Iterator[Mistake]:
    asked = dict.fromkeys(template.asked_slots)
    expected = list(dict.fromkeys(slots(template.expect)))
    for slot in dict.fromkeys([*asked, *expected]):
        if list_of(slot) not in lists:
            key = "prompt" if slot in asked else "expect"
            yield _no_list(key, slot, source.where("template", index, key), lists)
        elif slot not in asked:
            where = source.where("template", index, "expect")
            yield Mistake(f"expect: {{{slot}}} stands nowhere in the question, so nobody could know it", where)


def _no_list(key: str, slot: str, where: Where, lists: Lists) -> Mistake:
    close = difflib.get_close_matches(list_of(slot), list(lists), n=1)
    hint = f"did you mean {{{close[0]}}}?" if close else f'{list_of(slot)} = ["..."] under [names] or [choices]'
    return Mistake(f"{key}: nothing fills {{{slot}}}", where, f"{hint}; {{{{{slot}}}}} is just this text")


def _case_mistakes(source: TomlSource, index: int, template: CaseTemplate, lists: Lists, agent: Agent) -> list[Mistake]:
    """The mistakes of the case that a template makes from the first values."""
    used = dict.fromkeys([*template.asked_slots, *slots(template.expect)])
    data = {"id": template.name, **template.filled({slot: _first(list_of(slot), lists) for slot in used})}
    try:
        case = Case.model_validate(data)
    except ValidationError as error:
        return source.mistakes(error, data, Case, "template", index)
    return case_mistakes(case, source.where("template", index, "expect"), agent)


def _first(name: str, lists: Lists, above: frozenset[str] = frozenset()) -> Value:
    """The first value of a list. If the list is missing, broken or contains itself, its name."""
    values = lists.get(name)
    if not values or name in above or not isinstance(values[0], Value):
        return name
    inner = {slot: _first(list_of(slot), lists, above | {name}) for slot in slots(values[0])}
    return fill(values[0], inner) if inner and isinstance(values[0], str) else values[0]


def _texts(value: JsonValue, values: Mapping[str, Value]) -> JsonValue:
    """`value` with every text in it filled, keys included."""
    return _mapped(value, lambda text: fill(text, values))


def _expected(key: str, value: JsonValue, values: Mapping[str, Value]) -> JsonValue:
    """One key of `expect`, filled. Each text is filled as its place demands."""
    if key == "regex":
        return _mapped(value, lambda text: fill_pattern(text, values))
    if key == "json_schema":
        return _schema(value, values)
    if key == "calls" and isinstance(value, list):
        return [_call(call, values) for call in value]
    return _texts(value, values)


def _call(call: JsonValue, values: Mapping[str, Value]) -> JsonValue:
    if not isinstance(call, dict):
        return call
    filled = dict(call)
    if isinstance(call.get("args"), dict):
        filled["args"] = _arguments(call["args"], values)
    if "match" in call:
        filled["match"] = _mapped(call["match"], lambda text: fill_pattern(text, values))
    return filled


def _arguments(arguments: JsonValue, values: Mapping[str, Value]) -> JsonValue:
    """Expected values and rules by name, filled."""
    if not isinstance(arguments, dict):
        return _typed(arguments, values)
    return {str(fill_typed(name, values)): _argument(value, values) for name, value in arguments.items()}


def _argument(value: JsonValue, values: Mapping[str, Value]) -> JsonValue:
    if not isinstance(value, dict) or not is_rule(value):
        return _typed(value, values)
    return {key: _part(key, part, values) for key, part in value.items()}


def _part(key: str, part: JsonValue, values: Mapping[str, Value]) -> JsonValue:
    """One key of a rule, filled as it demands."""
    if key == "pattern":
        return _mapped(part, lambda text: fill_pattern(text, values))
    if key == "json_schema":
        return _schema(part, values)
    return _arguments(part, values) if key == "object" else _typed(part, values)


def _typed(value: JsonValue, values: Mapping[str, Value]) -> JsonValue:
    return _mapped(value, lambda text: fill_typed(text, values))


def _schema(value: JsonValue, values: Mapping[str, Value]) -> JsonValue:
    if isinstance(value, list):
        return [_schema(item, values) for item in value]
    if not isinstance(value, dict):
        return fill_typed(value, values) if isinstance(value, str) else value
    return {fill(key, values): _keyword(key, item, values) for key, item in value.items()}


def _keyword(key: str, value: JsonValue, values: Mapping[str, Value]) -> JsonValue:
    if key == "pattern" and isinstance(value, str):
        return fill_pattern(value, values)
    if key == "patternProperties" and isinstance(value, dict):
        return {fill_pattern(pattern, values): _schema(item, values) for pattern, item in value.items()}
    return _schema(value, values)


def _mapped(value: JsonValue, change: Callable[[str], JsonValue]) -> JsonValue:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list):
        return [_mapped(item, change) for item in value]
    if isinstance(value, dict):
        return {str(change(key)): _mapped(item, change) for key, item in value.items()}
    return value
