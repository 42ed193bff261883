"""Checks a program against the catalog's stubs: calls that don't fit a signature, fields that a result doesn't have.

It follows types through assignments, attributes, subscripts and loops. It doesn't judge a name with several types or an
unknown one. So every reported problem is real, but some problems may not be reported.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from topcoat.spec.python_source import parse_module
from topcoat.spec.tools.catalog import Catalog, ResultClass, Tool
from topcoat.spec.tools.types import UNKNOWN, Type, plain

__all__ = ["Problem", "problems_in_program", "signature", "unknown_tool"]

_BUILTIN_NAMES = frozenset(dir(builtins))
_PLAIN: Mapping[str, type] = {
    t.__name__: t for t in (str, int, float, bool, list, dict, set, frozenset, tuple, bytes, complex)
}
_WIDER = {"int": ("float", "complex"), "bool": ("int", "float", "complex"), "float": ("complex",)}
_LISTS = ("list", "List", "set", "frozenset", "Sequence", "Iterable", "Iterator", "Collection", "tuple")
_DICTS = ("dict", "Dict", "Mapping")
_DISPLAYS: Mapping[type[ast.expr], Type] = {
    ast.JoinedStr: plain("str"),
    ast.List: plain("list"),
    ast.ListComp: plain("list"),
    ast.Dict: plain("dict"),
    ast.DictComp: plain("dict"),
}
_ROUNDS = 12
_MOST_NAMED = 8
"""The most tools of a dialogue that a hint names."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A mistake that makes the program fail: a code of the registry, what is wrong, and what to do."""

    code: str
    message: str
    hint: str


def problems_in_program(code: str, catalog: Catalog) -> list[Problem]:
    """The problems in the code of one execute_code call, each once, in the order of its lines.

    This is the one place that judges training code. A stricter checker would replace it here.
    """
    try:
        program = parse_module(code)
        return list(dict.fromkeys(_Reader(program, catalog).problems()))
    except SyntaxError as error:
        return [_unreadable(f"the code is not Python: {error.msg} in its line {error.lineno}")]
    except (ValueError, OverflowError, RecursionError, MemoryError) as error:
        return [_unreadable(f"the code can't be read: {error or type(error).__name__}")]


@dataclass(frozen=True, slots=True)
class _Binding:
    """A name is bound to `source`, or to each of its items if `looped`, or to something unknown if there is none.

    `reads` are the names that the source depends on.
    """

    name: str
    source: ast.expr | None = None
    looped: bool = False
    reads: frozenset[str] = frozenset()


class _Reader:
    """One walk over one program, after the types of its names are known."""

    def __init__(self, program: ast.Module, catalog: Catalog) -> None:
        self.catalog = catalog
        self.nodes = list(ast.walk(program))
        bindings = list(_bindings(self.nodes))
        self.bound = {binding.name for binding in bindings}
        self.types: dict[str, Type] = {}
        self._settle(bindings)

    def problems(self) -> Iterator[Problem]:
        guarded = {id(node) for outer in self.nodes if isinstance(outer, ast.Try) for node in ast.walk(outer)}
        judged = [node for node in self.nodes if isinstance(node, ast.Call | ast.Attribute | ast.Subscript)]
        for node in sorted(judged, key=lambda node: (node.lineno, node.col_offset)):
            if isinstance(node, ast.Call):
                yield from self._call(node)
            elif isinstance(node, ast.Attribute) and id(node) not in guarded:
                yield from self._attribute(node)
            elif isinstance(node, ast.Subscript) and id(node) not in guarded:
                yield from self._subscript(node)

    def _tool(self, function: ast.expr) -> Tool | None:
        if isinstance(function, ast.Name) and function.id not in self.bound:
            return self.catalog.tools.get(function.id)
        return None

    def _call(self, node: ast.Call) -> Iterator[Problem]:
        tool = self._tool(node.func)
        if tool is not None:
            yield from self._arguments(tool, node)
        elif isinstance(node.func, ast.Name):
            name = node.func.id
            if name not in self.bound and name not in _BUILTIN_NAMES and name not in self.catalog.results:
                yield unknown_tool(name, self.catalog)

    def _arguments(self, tool: Tool, node: ast.Call) -> Iterator[Problem]:
        positional = tool.positional
        open_ended = any(p.kind == "var_positional" for p in tool.parameters)
        starred = any(isinstance(arg, ast.Starred) for arg in node.args)
        named = {keyword.arg: keyword.value for keyword in node.keywords if keyword.arg is not None}
        if len(node.args) > len(positional) and not open_ended and not starred:
            most = f"{len(positional)} argument{'' if len(positional) == 1 else 's'}"
            yield _wrong(tool, f"{tool.name} takes at most {most} by position, is given {len(node.args)}")
        filled = [] if starred else positional[: len(node.args)]
        for name in named:
            if not tool.accepts(name):
                yield _no_parameter(tool, name)
            elif name in filled:
                yield _wrong(tool, f"{tool.name} is given {name} twice")
        spread = starred or len(named) < len(node.keywords)
        missing = [p.name for p in tool.required if p.name not in filled and p.name not in named]
        if missing and not spread:
            yield _missing(tool, missing)
        values = dict(zip(filled, node.args, strict=False)) | named
        for parameter in tool.parameters:
            if parameter.name in values and parameter.kind not in ("var_positional", "var_keyword"):
                found = self.infer(values[parameter.name])
                if not _fits(found, parameter.type, self.catalog.results):
                    yield _wrong_type(tool, parameter.name, parameter.type, found)

    def _attribute(self, node: ast.Attribute) -> Iterator[Problem]:
        if not isinstance(node.ctx, ast.Load):
            return
        held = self.infer(node.value)
        result = self._result(held)
        if result is not None:
            if node.attr not in result.fields and node.attr not in result.methods and not hasattr(object, node.attr):
                yield _no_field(held, node.attr, f"its fields: {', '.join(result.fields) or 'none'}")
        elif (plain := _PLAIN.get(held.name)) and not hasattr(plain, node.attr):
            yield _no_field(held, node.attr, "use the value itself")

    def _subscript(self, node: ast.Subscript) -> Iterator[Problem]:
        result = self._result(self.infer(node.value))
        if result is not None and "__getitem__" not in result.methods:
            key = node.slice.value if isinstance(node.slice, ast.Constant) else None
            known = isinstance(key, str) and key in result.fields
            hint = f"write .{key!s}" if known else f"its fields: {', '.join(result.fields) or 'none'}"
            yield Problem("unknown-field", f"{result.name} can't be indexed with [...]", hint)

    # Types

    def _result(self, kind: Type) -> ResultClass | None:
        return None if kind.inner else self.catalog.results.get(kind.name)

    def _settle(self, bindings: list[_Binding]) -> None:
        """Give every name the type that all its bindings have. Names with several or unknown types get none."""
        for _ in range(_ROUNDS):
            found: dict[str, set[Type]] = {}
            for binding in bindings:
                kind = self._bound_type(binding)
                if kind is not None:
                    found.setdefault(binding.name, set()).add(kind)
            settled = {name: next(iter(kinds)) if len(kinds) == 1 else UNKNOWN for name, kinds in found.items()}
            if settled == self.types:
                return
            self.types = settled
        self.types = {}

    def _bound_type(self, binding: _Binding) -> Type | None:
        """The type that a binding gives its name. None if it depends on a name whose type isn't known yet."""
        if binding.source is None:
            return UNKNOWN
        kind = self.infer(binding.source)
        if kind == UNKNOWN and not binding.reads & self.bound <= self.types.keys():
            return None
        return _element(kind) if binding.looped else kind

    def infer(self, node: ast.expr) -> Type:
        """The type of an expression, or `UNKNOWN`."""
        match node:
            case ast.Constant():
                return _type_of_value(node.value)
            case ast.Name():
                return self.types.get(node.id, UNKNOWN)
            case ast.Await() | ast.NamedExpr():
                return self.infer(node.value)
            case ast.Attribute():
                result = self._result(self.infer(node.value))
                return result.fields.get(node.attr, UNKNOWN).without_none if result else UNKNOWN
            case ast.Subscript():
                held = self.infer(node.value)
                return held if isinstance(node.slice, ast.Slice) else _item(held)
            case ast.Call():
                return self._returned(node)
            case ast.IfExp():
                one, other = self.infer(node.body), self.infer(node.orelse)
                return one if one == other else UNKNOWN
        return _DISPLAYS.get(type(node), UNKNOWN)

    def _returned(self, node: ast.Call) -> Type:
        tool = self._tool(node.func)
        if tool is not None:
            return tool.returns.without_none
        if isinstance(node.func, ast.Name) and node.func.id not in self.bound and node.args:
            if node.func.id in ("sorted", "list", "reversed"):
                element = _element(self.infer(node.args[0]))
                return Type(f"list[{element.text}]", "list", (element,)) if element.text else UNKNOWN
            if node.func.id in ("len", "str", "int", "float", "repr", "bool"):
                return plain({"len": "int", "repr": "str"}.get(node.func.id, node.func.id))
        return UNKNOWN


def _bindings(nodes: list[ast.AST]) -> Iterator[_Binding]:
    """Every binding of a name, anywhere in the program; `nodes` holds a node before those inside it."""
    judged: set[int] = set()
    for node in nodes:
        looped = isinstance(node, ast.For | ast.AsyncFor | ast.comprehension)
        targets, source = _targets(node)
        for target in targets:
            if isinstance(target, ast.Name) and source is not None:
                judged.add(id(target))
                reads = frozenset(n.id for n in ast.walk(source) if isinstance(n, ast.Name))
                yield _Binding(target.id, source, looped, reads)
        if id(node) not in judged and (name := _bound_name(node)):
            yield _Binding(name)


def _targets(node: ast.AST) -> tuple[list[ast.expr], ast.expr | None]:
    """What a statement, an expression or a loop assigns to, and what it assigns."""
    match node:
        case ast.Assign():
            return node.targets, node.value
        case ast.AnnAssign() | ast.NamedExpr():
            return [node.target], node.value
        case ast.For() | ast.AsyncFor() | ast.comprehension():
            return [node.target], node.iter
    return [], None


def _bound_name(node: ast.AST) -> str | None:
    match node:
        case ast.Name(id=name, ctx=ast.Store() | ast.Del()) | ast.arg(arg=name) | ast.MatchMapping(rest=name):
            return name
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            return name
        case ast.ExceptHandler(name=name) | ast.MatchAs(name=name) | ast.MatchStar(name=name):
            return name
        case ast.alias():
            return (node.asname or node.name).split(".")[0]
    return None


def _type_of_value(value: object) -> Type:
    return plain("None" if value is None else type(value).__name__)


def _item(kind: Type) -> Type:
    """The type of `x[i]`."""
    if kind.name in ("list", "List", "Sequence") and len(kind.inner) == 1:
        return kind.inner[0].without_none
    if kind.name in _DICTS and len(kind.inner) == 2:
        return kind.inner[1].without_none
    return kind if kind.name == "str" else UNKNOWN


def _element(kind: Type) -> Type:
    """The type of each `x` in `for x in ...`."""
    alike = len(kind.inner) == 1 or [inner.name for inner in kind.inner[1:]] == ["..."]
    if (kind.name in _LISTS and alike) or (kind.name in _DICTS and kind.inner):
        return kind.inner[0].without_none
    return kind if kind.name == "str" else UNKNOWN


def _fits(found: Type, wanted: Type, results: Mapping[str, ResultClass]) -> bool:
    """Whether a value of type `found` fits `wanted`. Only plain types and results are judged; others fit."""
    names = [member.name for member in (wanted.inner if wanted.name == "|" else (wanted,))]
    if not all(name in _PLAIN or name == "None" for name in names):
        return True
    if found.name not in _PLAIN and found.name != "None" and found.name not in results:
        return True
    return found.name in names or any(wider in names for wider in _WIDER.get(found.name, ()))


def unknown_tool(name: str, catalog: Catalog, *, own: bool = False) -> Problem:
    """The problem of a call that names no tool of the catalog. `own`: the dialogue brings the tools."""
    brought = ", ".join(list(catalog.tools)[:_MOST_NAMED]) + (", ..." if len(catalog.tools) > _MOST_NAMED else "")
    hint = f"the dialogue brings {brought or 'no tool'}" if own else f"the tools are in {catalog.path.name}"
    return Problem("unknown-tool", f'calls "{name[:60]}", which is no tool', hint)


def _unreadable(message: str) -> Problem:
    return Problem("broken-call", message, "correct the code")


def _wrong(tool: Tool, message: str) -> Problem:
    return Problem("wrong-arguments", message, signature(tool))


def signature(tool: Tool) -> str:
    """A tool's signature, as in `read_file(path: str)`."""
    return f"{tool.name}({', '.join(_parameters(tool))})"


def _parameters(tool: Tool) -> Iterator[str]:
    for p in tool.parameters:
        stars = {"var_positional": "*", "var_keyword": "**"}.get(p.kind, "")
        yield f"{stars}{p.name}" + (f": {p.type.text}" if p.type.text else "") + (" = ..." if p.has_default else "")


def _no_parameter(tool: Tool, name: str) -> Problem:
    return _wrong(tool, f"{tool.name} has no parameter {name[:60]}")


def _missing(tool: Tool, names: list[str]) -> Problem:
    return _wrong(tool, f"{tool.name} is called without {', '.join(names)}")


def _wrong_type(tool: Tool, name: str, wanted: Type, found: Type) -> Problem:
    return _wrong(tool, f"{tool.name} is given {found.text} for {name}, which is {wanted.text}")


def _no_field(held: Type, name: str, hint: str) -> Problem:
    return Problem("unknown-field", f'reads "{name[:60]}" of {held.text}, which has no such field', hint)
