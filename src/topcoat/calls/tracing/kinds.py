"""Types, as far as a catalog's stubs and Python's own objects tell: of fields, of items, of what methods return."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from topcoat.spec.tools.catalog import ResultClass
from topcoat.spec.tools.types import UNKNOWN, Type, plain

__all__ = [
    "DICTS",
    "LISTS",
    "PLAIN",
    "by_position",
    "dict_of",
    "fits",
    "item_type",
    "list_of",
    "method_type",
    "type_of_value",
    "values_type",
]

PLAIN: Final[Mapping[str, type]] = {
    t.__name__: t for t in (str, int, float, bool, list, dict, set, frozenset, tuple, bytes, complex, type(None))
} | {"None": type(None)}
"""Python's own types by the names that a type has."""

LISTS: Final = frozenset(
    {"list", "List", "set", "Set", "frozenset", "Sequence", "Iterable", "Iterator", "Collection", "tuple", "Tuple"}
)
DICTS: Final = frozenset({"dict", "Dict", "Mapping", "MutableMapping"})
_INDEXED: Final = frozenset({"list", "List", "Sequence", "tuple", "Tuple"})
_OBJECTS: Final = frozenset({"PurePosixPath", "datetime", "date", "time", "timedelta"})
"""Objects of the standard library that are no text, though they name a path or a time."""
_WIDER: Final = {"int": ("float", "complex"), "bool": ("int", "float", "complex"), "float": ("complex",)}
_OPEN: Final = frozenset({"Iterable", "Sequence", "Collection"})
_DEEPEST: Final = 4
_MOST_LOOKED_AT: Final = 100
_STR: Final = plain("str")

_TEXT_METHODS: Final = {
    **dict.fromkeys(("count", "find", "rfind", "index", "rindex"), plain("int")),
    **dict.fromkeys((name for name in dir(str) if name.startswith(("is", "starts", "ends"))), plain("bool")),
    "encode": plain("bytes"),
    "maketrans": UNKNOWN,
}


def list_of(item: Type, sort: str = "list") -> Type:
    """The type of a list, a set or a tuple with any number of such items."""
    if item == UNKNOWN:
        return plain(sort)
    if sort == "tuple":
        return Type(f"tuple[{item.text}, ...]", "tuple", (item, plain("...")))
    return Type(f"{sort}[{item.text}]", sort, (item,))


def dict_of(key: Type, value: Type) -> Type:
    if UNKNOWN in (key, value):
        return plain("dict")
    return Type(f"dict[{key.text}, {value.text}]", "dict", (key, value))


def _alike(kind: Type) -> bool:
    return len(kind.inner) == 1 or [inner.name for inner in kind.inner[1:]] == ["..."]


def item_type(kind: Type) -> Type:
    """The type of each `x` in `for x in ...`."""
    kind = kind.without_none
    if (kind.name in LISTS and _alike(kind)) or (kind.name in DICTS and kind.inner):
        return kind.inner[0]
    return _STR if kind.name == "str" else UNKNOWN


def by_position(kind: Type, index: object) -> Type:
    """The type of `x[index]`; `index` is `NON_LITERAL` where it isn't known."""
    kind = kind.without_none
    if kind.name in ("tuple", "Tuple") and not _alike(kind):
        if isinstance(index, int) and -len(kind.inner) <= index < len(kind.inner):
            return kind.inner[index]
        return UNKNOWN
    if kind.name in _INDEXED and _alike(kind):
        return kind.inner[0]
    if kind.name in DICTS and len(kind.inner) == 2:
        return kind.inner[1]
    return _STR if kind.name == "str" else UNKNOWN


def values_type(kind: Type) -> Type:
    """The type of a dict's values."""
    return kind.inner[1] if kind.name in DICTS and len(kind.inner) == 2 else UNKNOWN


def method_type(kind: Type, name: str) -> Type:
    """The type of what a method of one of Python's own objects returns."""
    kind = kind.without_none
    if kind.name == "str":
        if name in ("split", "rsplit", "splitlines"):
            return list_of(_STR)
        return _TEXT_METHODS.get(name, _STR)
    if kind.name in DICTS:
        return _of_dict(kind, name)
    if kind.name in LISTS:
        if name in ("index", "count"):
            return plain("int")
        return {"pop": item_type(kind), "copy": kind}.get(name, UNKNOWN)
    return UNKNOWN


def _of_dict(kind: Type, name: str) -> Type:
    key, value = item_type(kind), values_type(kind)
    if name in ("keys", "values"):
        return list_of(key if name == "keys" else value)
    if name == "items" and UNKNOWN not in (key, value):
        pair = Type(f"tuple[{key.text}, {value.text}]", "tuple", (key, value))
        return list_of(pair)
    return {"get": value, "pop": value, "setdefault": value, "copy": kind}.get(name, UNKNOWN)


def type_of_value(value: object, results: Mapping[str, ResultClass], depth: int = 0) -> Type:
    """The type of a value that a program has. `UNKNOWN` of what is neither plain nor of a class of the catalog."""
    name = "None" if value is None else type(value).__name__
    if isinstance(value, list | tuple | set | dict) and depth < _DEEPEST:
        kinds = {type_of_value(item, results, depth + 1) for item in list(value)[:_MOST_LOOKED_AT]}
        item = kinds.pop() if len(kinds) == 1 else UNKNOWN
        if not isinstance(value, dict):
            return list_of(item, name)
        kinds = {type_of_value(one, results, depth + 1) for one in list(value.values())[:_MOST_LOOKED_AT]}
        return dict_of(item, kinds.pop() if len(kinds) == 1 else UNKNOWN)
    return plain(name) if name in PLAIN or name in results else UNKNOWN


def fits(found: Type, wanted: Type, results: Mapping[str, ResultClass]) -> bool:
    """Whether a value of type `found` may be given where `wanted` is declared. In doubt, it may."""
    if UNKNOWN in (found, wanted) or found == wanted:
        return True
    if found.name == "|":
        return any(fits(member, wanted, results) for member in found.inner if member.name != "None")
    if wanted.name == "|":
        return any(fits(found, member, results) for member in wanted.inner)
    if wanted.name in ("Annotated", "Final", "Required", "NotRequired") and wanted.inner:
        return fits(found, wanted.inner[0], results)
    if found.name == "Literal":
        kinds = [plain("None" if value is None else type(value).__name__) for value in found.literals]
        if wanted.name == "Literal":
            return not (found.literals and wanted.literals) or any(value in wanted.literals for value in found.literals)
        return not kinds or any(fits(kind, wanted, results) for kind in kinds)
    if wanted.name == "Literal":
        return not wanted.literals or any(found.name == type(value).__name__ for value in wanted.literals)
    return _fits_named(found, wanted, results)


def _fits_named(found: Type, wanted: Type, results: Mapping[str, ResultClass]) -> bool:
    own, asked = results.get(found.name), results.get(wanted.name)
    known = own is not None or any(found.name in names for names in (PLAIN, LISTS, DICTS, _OBJECTS))
    if not known:
        return True
    if asked is not None:
        return _is_like(found, own, asked)
    if wanted.name in DICTS:
        values = fits(values_type(found), values_type(wanted), results)
        keys = fits(item_type(found), item_type(wanted), results)
        return (found.name in DICTS and keys and values) or (own is not None and own.is_dict)
    if wanted.name in LISTS:
        return _fits_list(found, wanted, own, results)
    if wanted.name in PLAIN:
        return found.name == wanted.name or wanted.name in _WIDER.get(found.name, ())
    return True


def _is_like(found: Type, own: ResultClass | None, asked: ResultClass) -> bool:
    """Whether a class may be, or inherit from, the one that is asked for."""
    if own is None:
        return asked.is_dict and found.name in DICTS
    return own is asked or (bool(asked.fields) and set(asked.fields) <= set(own.fields))


def _fits_list(found: Type, wanted: Type, own: ResultClass | None, results: Mapping[str, ResultClass]) -> bool:
    if found.name in DICTS:
        return wanted.name in _OPEN
    if found.name == "str":
        return wanted.name in _OPEN and fits(_STR, item_type(wanted), results)
    if own is not None:
        return "__iter__" in own.methods
    if found.name not in LISTS:
        return False
    if _alike(wanted) and found.inner:
        inner = found.inner[:1] if _alike(found) else found.inner
        return all(fits(item, wanted.inner[0], results) for item in inner)
    return True
