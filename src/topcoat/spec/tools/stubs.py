"""Reads a catalog from typed Python stubs. The file is parsed, never imported or run."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from topcoat.errors import InvalidInput, Mistake, Where
from topcoat.spec.canonical import canonical_json
from topcoat.spec.python_source import parse_module
from topcoat.spec.tools.catalog import NO_DEFAULT, Catalog, Parameter, ParameterKind, ResultClass, Tool
from topcoat.spec.tools.signatures import declaration
from topcoat.spec.tools.types import UNKNOWN, Type, type_of

__all__ = ["parse_stubs"]

_HINT = "a catalog holds stubs: `def read_file(path: str) -> FileResult: ...` and classes with typed fields"


def parse_stubs(source: str, path: Path) -> Catalog:
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
        tools = {name: replace(tool, declared=declaration(tool, self.results)) for name, tool in self.tools.items()}
        return Catalog(self.path, tools, self.results, source)

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
        value = _plain_value(item.value)
        if value is NO_DEFAULT:
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
        default = args.defaults[index - first_default] if index >= first_default else None
        yield Parameter(arg.arg, type_of(arg.annotation), default is not None, kind, _plain_value(default))
    if args.vararg:
        yield Parameter(args.vararg.arg, type_of(args.vararg.annotation), False, "var_positional")
    for arg, default in zip(args.kwonlyargs, args.kw_defaults, strict=True):
        yield Parameter(arg.arg, type_of(arg.annotation), default is not None, "keyword_only", _plain_value(default))
    if args.kwarg:
        yield Parameter(args.kwarg.arg, type_of(args.kwarg.annotation), False, "var_keyword")


def _plain_value(node: ast.expr | None) -> object:
    """The value of a literal. NO_DEFAULT for `...` and for expressions, because stubs aren't executed."""
    if node is None:
        return NO_DEFAULT
    try:
        value: object = ast.literal_eval(node)
        canonical_json(value)
    except (ValueError, TypeError):
        return NO_DEFAULT
    return value
