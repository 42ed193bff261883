"""Computes on plain values what a program would compute: operators, methods of texts, some pure functions.

Whatever could be large, slow or different from run to run isn't computed: the result is `NON_LITERAL`.
"""

from __future__ import annotations

import ast
import datetime
import json
import math
import operator
import posixpath
import re
import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any, Final

from topcoat.calls.answer import NON_LITERAL

__all__ = ["FUNCTIONS", "attribute", "called", "compared", "computed", "formatted", "signed"]

_LONGEST_TEXT: Final = 10_000
_MOST_ITEMS: Final = 1000
_LARGEST: Final = 10**18
_WIDTH: Final = re.compile(r"%[^a-zA-Z%]*\d{4}|:[^{}]*\d{4}|\{[^{}]*\{")
"""In a format, a width that could make a text too long, or one that is an argument."""

_OPERATORS: Final[Mapping[type[ast.operator], Callable[[Any, Any], object]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.BitOr: operator.or_,
    ast.BitAnd: operator.and_,
    ast.BitXor: operator.xor,
}
_COMPARISONS: Final[Mapping[type[ast.cmpop], Callable[[Any, Any], bool]]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Is: lambda a, b: a is b or (type(a) is type(b) and a == b),
    ast.IsNot: lambda a, b: not (a is b or (type(a) is type(b) and a == b)),
    ast.In: lambda a, b: a in b,
    ast.NotIn: lambda a, b: a not in b,
}
_SIGNS: Final[Mapping[type[ast.unaryop], Callable[[Any], object]]] = {
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Not: operator.not_,
    ast.Invert: operator.invert,
}
_DATES: Final = (datetime.datetime, datetime.date, datetime.time, datetime.timedelta)
_OBJECTS: Final = (str, bytes, int, float, list, tuple, dict, set, PurePosixPath, *_DATES)
_CHANGING: Final = frozenset({"now", "today", "utcnow", "format_map", "translate", "expandtabs"})
"""Methods whose result depends on the time, or is hard to limit."""


def _range(*numbers: int) -> object:
    made = range(*numbers)
    return made if len(made) <= _MOST_ITEMS else NON_LITERAL


FUNCTIONS: Final[Mapping[str, Callable[..., object]]] = {
    **{f.__name__: f for f in (str, int, float, bool, len, abs, round, min, max, sum, sorted, repr, ord, chr, divmod)},
    **{f.__name__: f for f in (list, tuple, set, frozenset, dict, any, all, bytes, hex, oct, bin, ascii)},
    "range": _range,
    "reversed": lambda items: list(items)[::-1],
    "enumerate": lambda items, start=0: list(enumerate(items, start)),
    "zip": lambda *items, strict=False: list(zip(*items, strict=False)),
    "format": lambda value, spec="": format(value, spec),
    "os.path.join": posixpath.join,
    "os.path.basename": posixpath.basename,
    "os.path.dirname": posixpath.dirname,
    "os.path.splitext": posixpath.splitext,
    "os.path.normpath": posixpath.normpath,
    "os.path.relpath": lambda path, start=".": posixpath.relpath(f"/{path}", f"/{start}"),
    "os.fspath": str,
    "pathlib.Path": PurePosixPath,
    "pathlib.PurePath": PurePosixPath,
    "pathlib.PosixPath": PurePosixPath,
    "pathlib.PurePosixPath": PurePosixPath,
    "datetime.datetime": datetime.datetime,
    "datetime.datetime.strptime": datetime.datetime.strptime,
    "datetime.datetime.fromisoformat": datetime.datetime.fromisoformat,
    "datetime.datetime.combine": datetime.datetime.combine,
    "datetime.date": datetime.date,
    "datetime.date.fromisoformat": datetime.date.fromisoformat,
    "datetime.time": datetime.time,
    "datetime.timedelta": datetime.timedelta,
    "json.dumps": json.dumps,
    "json.loads": json.loads,
    "math.floor": math.floor,
    "math.ceil": math.ceil,
    "textwrap.dedent": textwrap.dedent,
    "itertools.chain": lambda *items: [item for part in items for item in part],
    "itertools.chain.from_iterable": lambda items: [item for part in items for item in part],
    "operator.add": operator.add,
}
"""Pure functions by their dotted names. Lazy ones give lists."""


def _small(value: object) -> bool:
    """Whether a result is small enough to go on with."""
    if isinstance(value, str | bytes):
        return len(value) <= _LONGEST_TEXT
    if isinstance(value, list | tuple | dict | set | frozenset | range):
        return len(value) <= _MOST_ITEMS
    return not isinstance(value, int) or abs(value) < _LARGEST


def _tried(compute: Callable[[], object]) -> object:
    """The result, if there is one and it is small."""
    try:
        result = compute()
    except Exception:  # whatever the program's own values make these functions raise
        return NON_LITERAL
    return result if _small(result) else NON_LITERAL


def computed(sign: ast.operator, left: object, right: object) -> object:
    """`left sign right`."""
    function = _OPERATORS.get(type(sign))
    if function is None or left is NON_LITERAL or right is NON_LITERAL:
        return NON_LITERAL
    if isinstance(sign, ast.Mult) and not _product_is_small(left, right):
        return NON_LITERAL
    if isinstance(sign, ast.Mod) and isinstance(left, str | bytes) and _is_wide(left, right):
        return NON_LITERAL
    if isinstance(sign, ast.Div) and isinstance(left, str) and not isinstance(right, PurePosixPath):
        return NON_LITERAL
    return _tried(lambda: function(left, right))


def _is_wide(pattern: object, values: object) -> bool:
    """Whether a format may ask for a large width."""
    return bool(_WIDTH.search(str(pattern))) or ("*" in str(pattern) and bool(re.search(r"\d{4}", str(values))))


def _product_is_small(left: object, right: object) -> bool:
    sizes = [
        len(x) if isinstance(x, str | bytes | list | tuple) else abs(x)
        for x in (left, right)
        if isinstance(x, str | bytes | list | tuple | int | float)
    ]
    return len(sizes) < 2 or math.prod(sizes) < (_LONGEST_TEXT if any(map(_is_sequence, (left, right))) else _LARGEST)


def _is_sequence(value: object) -> bool:
    return isinstance(value, str | bytes | list | tuple)


def signed(sign: ast.unaryop, value: object) -> object:
    """`sign value`, as in `-1` and `not ready`."""
    function = _SIGNS[type(sign)]
    return NON_LITERAL if value is NON_LITERAL else _tried(lambda: function(value))


def compared(sign: ast.cmpop, left: object, right: object) -> object:
    """`left sign right`, as in `a < b`."""
    if left is NON_LITERAL or right is NON_LITERAL:
        return NON_LITERAL
    return _tried(lambda: _COMPARISONS[type(sign)](left, right))


def formatted(value: object, conversion: int, spec: object) -> object:
    """The text of `{value!conversion:spec}` in an f-string."""
    if value is NON_LITERAL or not isinstance(spec, str) or re.search(r"\d{4}", spec):
        return NON_LITERAL
    converted: Mapping[int, Callable[[object], str]] = {ord("r"): repr, ord("s"): str, ord("a"): ascii}
    return _tried(lambda: format(converted[conversion](value) if conversion in converted else value, spec))


def called(name: str, args: Sequence[object], kwargs: Mapping[str, object]) -> object:
    """The result of a pure function of `FUNCTIONS`."""
    function = FUNCTIONS.get(name)
    if function is None or NON_LITERAL in [*args, *kwargs.values()]:
        return NON_LITERAL
    if name == "format" and any(re.search(r"\d{4}", str(value)) for value in args[1:]):
        return NON_LITERAL
    return _tried(lambda: function(*args, **kwargs))


def attribute(owner: object, name: str, args: Sequence[object] | None, kwargs: Mapping[str, object]) -> object:
    """`owner.name`, called with `args` unless they are None. `NON_LITERAL` if it can't be told or isn't pure."""
    if type(owner) not in _OBJECTS or name.startswith("_") or name in _CHANGING:
        return NON_LITERAL
    if NON_LITERAL in [*(args or ()), *kwargs.values()]:
        return NON_LITERAL
    if isinstance(owner, str) and args is not None and not _text_stays_small(owner, name, args, kwargs):
        return NON_LITERAL

    def read() -> object:
        found: Any = getattr(owner, name)
        if args is None:
            return NON_LITERAL if callable(found) else found
        return found(*args, **kwargs)

    return _tried(read)


def _text_stays_small(owner: str, name: str, args: Sequence[object], kwargs: Mapping[str, object]) -> bool:
    if any(isinstance(arg, int) and abs(arg) > _LONGEST_TEXT for arg in args):
        return False
    if name == "format":
        return not _is_wide(owner, "")
    if name == "replace":
        return len(owner) * max((len(arg) for arg in args if isinstance(arg, str)), default=0) <= 100 * _LONGEST_TEXT
    if name == "join":
        return len(owner) * _MOST_ITEMS <= 100 * _LONGEST_TEXT
    return True
