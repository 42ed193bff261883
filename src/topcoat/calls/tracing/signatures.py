"""What is wrong with the arguments of a call in a program: against the tool's signature, its types and its schema."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from topcoat.calls.arguments import argument_problems
from topcoat.calls.tracing.kinds import DICTS, LISTS, fits, type_of_value
from topcoat.calls.tracing.values import Value
from topcoat.spec.tools.catalog import ResultClass, Tool
from topcoat.spec.tools.types import UNKNOWN, Type

__all__ = ["Given", "call_faults", "given_faults"]

_PATHS: Final = frozenset({"path", "file", "filename", "filepath", "dir", "directory", "folder"})
_IDENTIFYING: Final = _PATHS | {"id", "email", "url", "sku", "key", "uuid", "slug"}
"""The last words of names that say which one: a path, an id. Not how something is called."""


@dataclass(frozen=True, slots=True)
class Given:
    """An argument: what is known of it, its type, and the value itself if that is known."""

    value: Value
    kind: Type
    plain: object


def call_faults(
    tool: Tool, args: Sequence[Given], kwargs: Mapping[str, Given], spread: bool, results: Mapping[str, ResultClass]
) -> Iterator[str]:
    """Why a call of `tool` would fail. `spread`: there are further arguments that aren't known one by one."""
    names = tool.positional
    open_ended = any(p.kind == "var_positional" for p in tool.parameters)
    if len(args) > len(names) and not open_ended:
        most = f"{len(names)} argument{'' if len(names) == 1 else 's'}"
        yield f"{tool.name} takes at most {most} by position, is given {len(args)}"
    by_position = dict(zip(names, args, strict=False))
    for name in kwargs:
        if not tool.accepts(name):
            yield f"{tool.name} has no parameter {name[:60]}"
        elif name in by_position:
            yield f"{tool.name} is given {name} twice"
    given = {**by_position, **kwargs}
    missing = [p.name for p in tool.required if p.name not in given]
    if missing and not spread:
        yield f"{tool.name} is called without {', '.join(missing)}"
    yield from _wrong_values(tool, given, results)
    for parameter in tool.parameters:
        rest = args[len(names) :] if parameter.kind == "var_positional" else ()
        wrong = next((one for one in rest if not fits(one.kind, parameter.type, results)), None)
        if wrong is not None:
            yield f"{tool.name} is given {wrong.kind.text} for {parameter.name}, which are {parameter.type.text}"


def given_faults(tool: Tool, given: Mapping[str, object], results: Mapping[str, ResultClass]) -> Iterator[str]:
    """Why a call with these values, by name, would fail: one has a type that the tool doesn't take."""
    return _wrong_values(tool, {n: Given(Value(), type_of_value(v, results), v) for n, v in given.items()}, results)


def _wrong_values(tool: Tool, given: Mapping[str, Given], results: Mapping[str, ResultClass]) -> Iterator[str]:
    known = {name: one.plain for name, one in given.items() if tool.accepts(name) and _is_document(one.plain)}
    for problem in argument_problems(tool, known):
        if not problem.message.startswith(f"{tool.name} is called without "):
            yield problem.message
    for parameter in tool.parameters:
        one = given.get(parameter.name)
        if one is None or parameter.name in known or parameter.kind in ("var_positional", "var_keyword"):
            continue
        if one.value.awaits:
            yield f"{tool.name} is given a result for {parameter.name} that is not awaited"
        elif not fits(one.kind, parameter.type, results):
            yield f"{tool.name} is given {one.kind.text} for {parameter.name}, which is {parameter.type.text}"
        else:
            yield from _another_field(tool, parameter.name, one.value, results)


def _is_document(value: object) -> bool:
    """Whether a value is known, and is one that JSON has."""
    if isinstance(value, list | tuple):
        return all(map(_is_document, value))
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_document(item) for key, item in value.items())
    return value is None or isinstance(value, str | int | float)


def _another_field(tool: Tool, name: str, value: Value, results: Mapping[str, ResultClass]) -> Iterator[str]:
    """An argument that says which one, and isn't what says so: another field, or the text of a whole object."""
    if _last_word(name) not in _IDENTIFYING:
        return
    if value.shown != UNKNOWN and (value.shown.name in {*LISTS, *DICTS} or value.shown.name in results):
        yield f"{tool.name} is given the text of a whole {value.shown.text} for {name}"
    if value.origin is None:
        return
    result, field = results.get(value.origin[0]), value.origin[1]
    wanted = _field_of(result, name) if result else ""
    if wanted and field != wanted and not _says_which(field, name):
        yield f"{tool.name} is given {value.origin[0]}.{field} for {name}, not {value.origin[0]}.{wanted}"


def _field_of(result: ResultClass, name: str) -> str:
    """The field that an argument called `name` is in a result: of the same name or, of paths, another path."""
    if name in result.fields:
        return name
    paths = [field for field in result.fields if _last_word(field) in _PATHS]
    return paths[0] if paths and _last_word(name) in _PATHS else ""


def _says_which(field: str, name: str) -> bool:
    """Whether a field is one that an argument called `name` may be too: another path, or `parent_id` for `id`."""
    both_paths = _last_word(name) in _PATHS and _last_word(field) in _PATHS
    return both_paths or field.endswith(f"_{name}")


def _last_word(name: str) -> str:
    return name.lower().rpartition("_")[2]
