"""Results that tools could have given, made up from the catalog. Knows the stubs; doesn't know who asks, or why.

A value is made from the field's default in the stub where there is one, else from its type and name: `path: str` is
"src/example1.py", `exit_code: int` is 0. A list has two items, a bool is True, `X | None` is an X. The same catalog
always gives the same results.
"""

from __future__ import annotations

import ast
import datetime
from collections.abc import Callable, Mapping
from dataclasses import make_dataclass
from pathlib import PurePosixPath
from typing import Any, Final

from pydantic_monty import ClassInstance

from topcoat.spec.catalog import Catalog, ResultClass, Tool
from topcoat.spec.python_source import parse_expression

__all__ = ["Results"]

_DEEPEST: Final = 5
"""Results inside results: a class that holds itself ends here, with None or an empty list."""

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
    """The results of a catalog's tools, as the sandbox takes them. `classes` are the result classes by name."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self.classes = {result.name: self._class(result) for result in catalog.results.values() if not result.is_dict}

    def of(self, tool: Tool) -> object:
        """A result of `tool`: a value of the type that its stub returns."""
        return self._made(tool.returns, tool.name, 1, 0)

    def _made(self, annotation: str, name: str, n: int, depth: int) -> object:
        """A value of a type, which is given as source text. `n` tells the items of a list apart."""
        try:
            return self._value(parse_expression(annotation.strip()), name, n, depth)
        except SyntaxError:  # a field without a type
            return _text(name, n)

    def _value(self, kind: ast.expr, name: str, n: int, depth: int) -> object:
        if isinstance(kind, ast.Constant):
            value = kind.value
            return self._made(value, name, n, depth) if isinstance(value, str) else None
        if isinstance(kind, ast.BinOp):
            return self._either(_members(kind), name, n, depth)
        if isinstance(kind, ast.Subscript):
            inner = list(kind.slice.elts) if isinstance(kind.slice, ast.Tuple) else [kind.slice]
            return self._generic(_last(kind.value), inner, name, n, depth)
        return self._named(_last(kind), name, n, depth)

    def _generic(self, outer: str, inner: list[ast.expr], name: str, n: int, depth: int) -> object:
        if outer in ("Optional", "Union"):
            return self._either(inner, name, n, depth)
        if outer == "Literal":
            return inner[0].value if isinstance(inner[0], ast.Constant) else _text(name, n)
        if outer in _DICTS and len(inner) == 2:
            return {str(self._value(inner[0], "name", n, depth)): self._value(inner[1], name, n, depth)}
        if outer in _LISTS:
            return self._items(inner[0], name, depth)
        if outer in ("tuple", "Tuple"):
            if isinstance(inner[-1], ast.Constant):  # tuple[int, ...]
                return tuple(self._items(inner[0], name, depth))
            return tuple(self._value(kind, name, n, depth) for kind in inner)
        return self._value(inner[0], name, n, depth)  # Annotated, Final, Awaitable, ...

    def _items(self, kind: ast.expr, name: str, depth: int) -> list[object]:
        if depth >= _DEEPEST:
            return []
        return [self._value(kind, name.removesuffix("s"), n, depth) for n in range(1, _ITEMS + 1)]

    def _either(self, kinds: list[ast.expr], name: str, n: int, depth: int) -> object:
        """A value of the first type that isn't None."""
        full = [kind for kind in kinds if not (isinstance(kind, ast.Constant) and kind.value is None)]
        return self._value(full[0], name, n, depth) if full else None

    def _named(self, kind: str, name: str, n: int, depth: int) -> object:
        result = self._catalog.results.get(kind)
        if result is not None:
            return self._result(result, n, depth + 1) if depth < _DEEPEST else None
        if kind in _LISTS or kind in ("tuple", "Tuple"):
            return [_text(name.removesuffix("s"), i) for i in range(1, _ITEMS + 1)]
        if kind in _DICTS:
            return {"name": _text(name, n)}
        return _PLAIN.get(kind, _text)(name, n)

    def _result(self, result: ResultClass, n: int, depth: int) -> object:
        values = {
            name: result.defaults[name] if name in result.defaults else self._made(annotation, name, n, depth)
            for name, annotation in _readable(result).items()
        }
        if result.is_dict:
            return values
        made = self.classes[result.name](**values)
        return ClassInstance(made, eager_attrs=tuple(values), allowed_methods=tuple(result.methods))

    def _class(self, result: ResultClass) -> type[Any]:
        """A Python class with the same fields, whose methods give what their stubs say."""
        methods = {
            name: self._answering(name, returned)
            for name, returned in result.methods.items()
            if name not in result.fields
        }
        return make_dataclass(result.name, list(_readable(result)), namespace=methods)

    def _answering(self, name: str, returned: str) -> Callable[..., object]:
        return lambda this, *args, **kwargs: self._made(returned, name, 1, 0)


def _readable(result: ResultClass) -> dict[str, str]:
    """The fields without those that mean something to Python itself, like `__slots__`."""
    return {name: annotation for name, annotation in result.fields.items() if not name.startswith("__")}


def _text(name: str, n: int) -> str:
    return _TEXTS.get(name.rpartition("_")[2], f"{name.replace('_', ' ')} {{n}}").format(n=n)


def _members(kind: ast.expr) -> list[ast.expr]:
    """The types that `|` joins."""
    return [*_members(kind.left), *_members(kind.right)] if isinstance(kind, ast.BinOp) else [kind]


def _last(kind: ast.expr) -> str:
    """The name of a type without its module."""
    return kind.attr if isinstance(kind, ast.Attribute) else kind.id if isinstance(kind, ast.Name) else ""
