"""The tools that the model may call, read from typed stubs. The file is parsed, never imported or run."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from topcoat.errors import InvalidInput, Mistake, Where
from topcoat.spec.canonical import canonical_json, digest_of
from topcoat.spec.python_source import parse_module
from topcoat.spec.reading.loader import read_text
from topcoat.spec.types import UNKNOWN, Type, type_of

__all__ = ["Catalog", "Parameter", "ParameterKind", "ResultClass", "Tool", "load_catalog", "parse_catalog"]

ParameterKind = Literal["positional_only", "positional_or_keyword", "var_positional", "keyword_only", "var_keyword"]

_HINT = "a catalog holds stubs: `def read_file(path: str) -> FileResult: ...` and classes with typed fields"


@dataclass(frozen=True, slots=True)
class Parameter:
    """A tool's parameter."""

    name: str
    type: Type
    has_default: bool
    kind: ParameterKind


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that the model may call. `returns` is its result's type. An `is_async` tool's result is awaited."""

    name: str
    parameters: tuple[Parameter, ...]
    returns: Type
    doc: str
    line: int
    is_async: bool = False

    @property
    def positional(self) -> list[str]:
        """The positional parameters, in order."""
        return [p.name for p in self.parameters if p.kind in ("positional_only", "positional_or_keyword")]

    @property
    def required(self) -> list[Parameter]:
        """The parameters that every call must give."""
        return [p for p in self.parameters if not p.has_default and p.kind not in ("var_positional", "var_keyword")]

    def accepts(self, name: str) -> bool:
        """Whether the tool takes an argument called `name`."""
        return any(p.kind == "var_keyword" or (p.name == name and p.kind != "var_positional") for p in self.parameters)


@dataclass(frozen=True, slots=True)
class ResultClass:
    """The class of a result: field names and their types, inherited fields first.

    `methods` has each method's return type. A property counts as a field. `defaults` are the plain values that the stub
    gives to fields. An `is_dict` class is a TypedDict: its fields are keys.
    """

    name: str
    fields: Mapping[str, Type]
    line: int
    methods: Mapping[str, Type] = field(default_factory=dict)
    defaults: Mapping[str, object] = field(default_factory=dict)
    is_dict: bool = False


@dataclass(frozen=True, slots=True)
class Catalog:
    """Every tool and every result class of a stub file, by name, in the order of the file. `source` is its text."""

    path: Path
    tools: Mapping[str, Tool]
    results: Mapping[str, ResultClass] = field(default_factory=dict)
    source: str = ""

    @property
    def digest(self) -> str:
        """sha256 of the stubs' meaning. Moving lines or editing comments doesn't change it."""
        tools = [
            [
                t.name,
                [[p.name, p.type.text, p.has_default, p.kind] for p in t.parameters],
                t.returns.text,
                t.doc,
                t.is_async,
            ]
            for t in self.tools.values()
        ]
        results = [
            [r.name, _texts(r.fields), _texts(r.methods), list(r.defaults.items()), r.is_dict]
            for r in self.results.values()
        ]
        return digest_of([tools, results])


def load_catalog(path: Path) -> Catalog:
    """The catalog written in `path`. Raises `InvalidInput` with every mistake of the file."""
    return parse_catalog(read_text(path), path)


def parse_catalog(source: str, path: Path) -> Catalog:
    """The catalog in `source`. Messages name `path`. Raises `InvalidInput`."""
    try:
        return _Reader(path).read(_parse(source, path), source)
    except (RecursionError, MemoryError):
        raise InvalidInput.collect(str(path), [Mistake("nested too deeply to be read", Where(path), _HINT)]) from None


def _parse(source: str, path: Path) -> ast.Module:
    try:
        return parse_module(source)
    except SyntaxError as error:
        message = f"not valid Python: {error.msg}"
        raise InvalidInput.collect(str(path), [Mistake(message, Where(path, error.lineno), _HINT)]) from None
    except ValueError as error:  # a NUL byte, before Python 3.12
        raise InvalidInput.collect(str(path), [Mistake(f"not valid Python: {error}", Where(path), _HINT)]) from None


class _Reader:
    """Walks one module and collects tools, result classes and mistakes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.tools: dict[str, Tool] = {}
        self.results: dict[str, ResultClass] = {}
        self.mistakes: list[Mistake] = []

    def read(self, module: ast.Module, source: str) -> Catalog:
        for node in module.body:
            self._statement(node)
        if not self.tools and not self.mistakes:
            self.mistakes.append(Mistake("holds no tool", Where(self.path), _HINT))
        if self.mistakes:
            raise InvalidInput.collect(str(self.path), self.mistakes)
        return Catalog(self.path, self.tools, self.results, source)

    def _statement(self, node: ast.stmt) -> None:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            if self._is_new(node):
                self.tools[node.name] = tool = _tool(node)
                counts = Counter(parameter.name for parameter in tool.parameters)
                for name in sorted(name for name, count in counts.items() if count > 1):
                    self._mistake(f"`{node.name}` has two parameters called `{name}`", node.lineno)
        elif isinstance(node, ast.ClassDef):
            if self._is_new(node):
                self.results[node.name] = self._result(node)
        elif isinstance(node, ast.If):  # `if TYPE_CHECKING:` guards imports
            for inner in [*node.body, *node.orelse]:
                self._statement(inner)
        elif not isinstance(node, _ALLOWED) and not _is_constant(node):
            self._mistake("a catalog can't hold statements: nothing in it is run", node.lineno)

    def _is_new(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> bool:
        first = self.tools.get(node.name) or self.results.get(node.name)
        if first is not None:
            self._mistake(f"`{node.name}` is defined twice, first on line {first.line}", node.lineno)
        return first is None

    def _result(self, node: ast.ClassDef) -> ResultClass:
        fields: dict[str, Type] = {}
        methods: dict[str, Type] = {}
        defaults: dict[str, object] = {}
        is_dict = False
        for base in map(ast.unparse, node.bases):
            inherited = self.results.get(base)
            is_dict |= base.rpartition(".")[2] == "TypedDict"
            if inherited is not None:
                fields |= inherited.fields
                methods |= inherited.methods
                defaults |= inherited.defaults
                is_dict |= inherited.is_dict
        defaults |= _defaults(node)
        own: dict[str, int] = {}
        for name, kind, line, is_method in _members(node):
            if name in own and not is_method:
                self._mistake(f"`{node.name}.{name}` is defined twice, first on line {own[name]}", line)
            own.setdefault(name, line)
            (methods if is_method else fields)[name] = kind
        return ResultClass(node.name, fields, node.lineno, methods, defaults, is_dict)

    def _mistake(self, message: str, line: int) -> None:
        self.mistakes.append(Mistake(message, Where(self.path, line), _HINT))


_ALLOWED = (ast.Import, ast.ImportFrom, ast.Assign, ast.AnnAssign, ast.Pass)


def _is_constant(node: ast.stmt) -> bool:
    """Whether the statement is a docstring, `...`, or a type alias."""
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant)
    return type(node).__name__ == "TypeAlias"  # Python 3.12 and later


def _members(node: ast.ClassDef) -> Iterator[tuple[str, Type, int, bool]]:
    """Each member of the class: name, type, line, and whether it is a method."""
    for item in node.body:
        if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
            yield item.target.id, type_of(item.annotation), item.lineno, False
        elif isinstance(item, ast.Assign):
            for target in item.targets:
                if isinstance(target, ast.Name):
                    yield target.id, UNKNOWN, item.lineno, False
        elif isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef):
            decorators = {ast.unparse(d).rpartition(".")[2] for d in item.decorator_list}
            is_property = bool(decorators & {"property", "cached_property"})
            yield item.name, type_of(item.returns), item.lineno, not is_property


def _defaults(node: ast.ClassDef) -> dict[str, object]:
    """The values of the class's fields that are plain literals, without `...`."""
    values: dict[str, object] = {}
    for item in node.body:
        if not isinstance(item, ast.Assign | ast.AnnAssign) or item.value is None:
            continue
        try:
            value = ast.literal_eval(item.value)
            canonical_json(value)
        except (ValueError, TypeError):  # `...`, or an expression: stubs aren't executed
            continue
        targets = item.targets if isinstance(item, ast.Assign) else [item.target]
        values |= {target.id: value for target in targets if isinstance(target, ast.Name)}
    return values


def _tool(node: ast.FunctionDef | ast.AsyncFunctionDef) -> Tool:
    return Tool(
        name=node.name,
        parameters=tuple(_parameters(node.args)),
        returns=type_of(node.returns),
        doc=ast.get_docstring(node) or "",
        line=node.lineno,
        is_async=isinstance(node, ast.AsyncFunctionDef),
    )


def _parameters(args: ast.arguments) -> Iterator[Parameter]:
    positional = [*args.posonlyargs, *args.args]
    first_default = len(positional) - len(args.defaults)
    for index, arg in enumerate(positional):
        kind: ParameterKind = "positional_only" if index < len(args.posonlyargs) else "positional_or_keyword"
        yield Parameter(arg.arg, type_of(arg.annotation), index >= first_default, kind)
    if args.vararg:
        yield Parameter(args.vararg.arg, type_of(args.vararg.annotation), False, "var_positional")
    for arg, default in zip(args.kwonlyargs, args.kw_defaults, strict=True):
        yield Parameter(arg.arg, type_of(arg.annotation), default is not None, "keyword_only")
    if args.kwarg:
        yield Parameter(args.kwarg.arg, type_of(args.kwarg.annotation), False, "var_keyword")


def _texts(types: Mapping[str, Type]) -> list[tuple[str, str]]:
    return [(name, kind.text) for name, kind in types.items()]
