"""Makes up results of tools from the catalog. Knows the stubs; doesn't know who asks, or why.

A value is the field's default in the stub, if there is one. Otherwise its type and name decide: `path: str` is
"src/example1.py", `exit_code: int` is 0. A list has two items, a bool is True, `X | None` is an X. The same catalog
always gives the same results.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping, Sequence
from dataclasses import make_dataclass
from pathlib import PurePosixPath
from typing import Any, Final, Literal

from pydantic import JsonValue
from pydantic_monty import ClassInstance

from topcoat.spec.tools.catalog import Catalog, ResultClass, Tool
from topcoat.spec.tools.types import UNKNOWN, Type

__all__ = ["Asked", "Outcome", "Results"]

Outcome = Literal["usual", "asked", "failed", "empty"]
"""What the tools report: what they usually do, what the program asks for, a failure, or nothing."""

Asked = Mapping[tuple[str, str], object]
"""Values that a program asks for, by result class and field."""

_DEEPEST: Final = 5
"""The most results inside results. A class that contains itself ends here, with None or an empty list."""

_ITEMS: Final = 2
_LISTS: Final = ("list", "List", "Sequence", "Iterable", "Iterator", "Collection", "set", "Set", "frozenset")
_DICTS: Final = ("dict", "Dict", "Mapping", "MutableMapping")
_PLAIN: Final[Mapping[str, Callable[[str, int], object]]] = {
    "int": lambda name, n: 0 if name in ("exit_code", "return_code", "returncode") else n,
    "float": lambda name, n: n + 0.5,
    "bool": lambda name, n: True,
    "bytes": lambda name, n: f"{name} {n}".encode(),
    "None": lambda name, n: None,
    "datetime": lambda name, n: datetime.datetime(2026, 1, n, 12),
    "date": lambda name, n: datetime.date(2026, 1, n),
    "timedelta": lambda name, n: datetime.timedelta(minutes=n),
    "Path": lambda name, n: PurePosixPath(f"src/example{n}.py"),
}
_TEXTS: Final[Mapping[str, str]] = {
    "path": "src/example{n}.py",
    "file": "src/example{n}.py",
    "filename": "example{n}.py",
    "content": "first line {n}\nsecond line {n}\n",
    "text": "first line {n}\nsecond line {n}\n",
    "output": "first line {n}\nsecond line {n}\n",
    "id": "c0ffee{n}",
    "url": "https://example.com/{n}",
}


class Results:
    """The results of a catalog's tools, in the sandbox's form. `classes` are the result classes by name."""

    def __init__(self, catalog: Catalog, outcome: Outcome = "usual", asked: Asked | None = None) -> None:
        self._catalog, self._outcome, self._asked = catalog, outcome, asked or {}
        self.classes = {result.name: self._class(result) for result in catalog.results.values() if not result.is_dict}

    def of(self, tool: Tool) -> object:
        """A result of `tool`: a value of the type that its stub returns."""
        return self._value(tool.returns, tool.name, 1, 0)

    def document(self, tool: Tool) -> JsonValue:
        """A result of `tool` as a JSON value: objects as their fields, times and paths as texts."""
        return _document(self.of(tool))

    def shaped(self, tool: Tool, value: object) -> object:
        """A result of `tool` that is given as a JSON value, in the sandbox's form: objects of the stub's classes."""
        return self._shaped(tool.returns, value)

    def _shaped(self, kind: Type, value: object) -> object:
        if kind.name == "|":
            names = _LISTS if isinstance(value, list) else (*self.classes, *_DICTS)
            return self._shaped(next((part for part in kind.inner if part.name in names), UNKNOWN), value)
        if isinstance(value, list) and kind.inner:
            return [self._shaped(kind.inner[0], item) for item in value]
        if isinstance(value, dict) and kind.name in _DICTS and len(kind.inner) == 2:
            return {name: self._shaped(kind.inner[1], item) for name, item in value.items()}
        result = self._catalog.results.get(kind.name)
        if result is None or result.is_dict or not isinstance(value, dict):
            return value
        fields = _readable(result)
        given = {name: self._shaped(part, value.get(name, result.defaults.get(name))) for name, part in fields.items()}
        made = self.classes[result.name](**given)
        return ClassInstance(made, eager_attrs=tuple(given), allowed_methods=tuple(result.methods))

    def _value(self, kind: Type, name: str, n: int, depth: int) -> object:
        """A value of a type. `n` distinguishes the items of a list."""
        if kind.name == "|":
            full = [member for member in kind.inner if member.name != "None"]
            if self._outcome == "empty" and len(full) < len(kind.inner):
                return None
            return self._value(full[0], name, n, depth) if full else None
        if kind.name == "Literal":
            turn = {"failed": 1, "empty": 2}.get(self._outcome, 0)
            return kind.literals[turn % len(kind.literals)] if kind.literals else None
        if kind.inner:
            return self._generic(kind.name, kind.inner, name, n, depth)
        return self._named(kind.name, name, n, depth)

    def _generic(self, outer: str, inner: Sequence[Type], name: str, n: int, depth: int) -> object:
        if outer in _DICTS and len(inner) == 2:
            return {str(self._value(inner[0], "name", n, depth)): self._value(inner[1], name, n, depth)}
        if outer in _LISTS:
            return self._items(inner[0], name, depth)
        if outer in ("tuple", "Tuple"):
            if inner[-1].name == "...":
                return tuple(self._items(inner[0], name, depth))
            return tuple(self._value(kind, name, n, depth) for kind in inner)
        return self._value(inner[0], name, n, depth)  # Annotated, Final, Awaitable, ...

    def _items(self, kind: Type, name: str, depth: int) -> list[object]:
        if depth >= _DEEPEST or self._outcome == "empty":
            return []
        return [self._value(kind, name.removesuffix("s"), n, depth) for n in range(1, _ITEMS + 1)]

    def _named(self, kind: str, name: str, n: int, depth: int) -> object:
        result = self._catalog.results.get(kind)
        if result is not None:
            return self._result(result, n, depth + 1) if depth < _DEEPEST else None
        if kind in _LISTS or kind in ("tuple", "Tuple"):
            return [_text(name.removesuffix("s"), i) for i in range(1, _ITEMS + 1)]
        if kind in _DICTS:
            return {"name": _text(name, n)}
        value = _PLAIN.get(kind, _text)(name, n)
        if self._outcome == "failed" and kind in ("bool", "int"):
            return False if kind == "bool" else value or 1
        return 0 if self._outcome == "empty" and kind in ("int", "float") else value

    def _result(self, result: ResultClass, n: int, depth: int) -> object:
        values = {
            name: result.defaults[name] if name in result.defaults else self._value(kind, name, n, depth)
            for name, kind in _readable(result).items()
        }
        if self._outcome == "asked":
            values |= {name: value for (owner, name), value in self._asked.items() if owner == result.name}
        if result.is_dict:
            return values
        made = self.classes[result.name](**values)
        return ClassInstance(made, eager_attrs=tuple(values), allowed_methods=tuple(result.methods))

    def _class(self, result: ResultClass) -> type[Any]:
        """A Python class with the same fields. Its methods return what their stubs say."""
        methods = {
            name: self._answering(name, returned)
            for name, returned in result.methods.items()
            if name not in result.fields
        }
        return make_dataclass(result.name, list(_readable(result)), namespace=methods)

    def _answering(self, name: str, returned: Type) -> Callable[..., object]:
        return lambda this, *args, **kwargs: self._value(returned, name, 1, 0)


def _readable(result: ResultClass) -> dict[str, Type]:
    """The fields, without those that have a meaning for Python itself, like `__slots__`."""
    return {name: kind for name, kind in result.fields.items() if not name.startswith("__")}


def _document(value: object) -> JsonValue:
    """A made-up value as JSON."""
    if isinstance(value, ClassInstance):
        return {name: _document(item) for name, item in vars(value.value).items()}
    if isinstance(value, dict):
        return {str(name): _document(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_document(item) for item in value]
    if isinstance(value, bytes):
        return value.decode()
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def _text(name: str, n: int) -> str:
    return _TEXTS.get(name.rpartition("_")[2], f"{name.replace('_', ' ')} {{n}}").format(n=n)
