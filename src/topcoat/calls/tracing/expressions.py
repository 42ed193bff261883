"""The values of expressions."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from topcoat.calls.answer import NON_LITERAL
from topcoat.calls.tracing import folding
from topcoat.calls.tracing.heap import Held, is_key
from topcoat.calls.tracing.kinds import PLAIN, fits
from topcoat.calls.tracing.parts import Parts
from topcoat.calls.tracing.values import Function, Scope, Value
from topcoat.spec.tools.types import UNKNOWN, Type, plain

__all__ = ["Expressions"]

_LITERALS: Final = (str, bytes, int, float, complex, bool, type(None))
_BUILTINS: Final = frozenset(dir(builtins)) | {"exit", "quit", "__file__", "__builtins__", "WindowsError"}
_MOST_TURNS: Final = 64
"""The most turns of a loop that are walked one by one."""
_MIRRORED: Final[dict[type[ast.cmpop], type[ast.cmpop]]] = {
    ast.Eq: ast.Eq,
    ast.In: ast.Eq,
    ast.Lt: ast.Gt,
    ast.Gt: ast.Lt,
    ast.LtE: ast.GtE,
    ast.GtE: ast.LtE,
}
"""What `a sign b` asks of b. A text contains itself."""
_NUMBERS: Final = frozenset({"int", "float", "bool"})


class Expressions(Parts):
    """What expressions do."""

    bound: frozenset[str] = frozenset()
    """The names that the program binds anywhere."""

    def value(self, node: ast.expr, scope: Scope) -> Value:
        self.spend()
        match node:
            case ast.Constant():
                return Value(literal=node.value if isinstance(node.value, _LITERALS) else NON_LITERAL)
            case ast.Name():
                return self.named(node, scope)
            case ast.Call():
                return self.call(node, scope)
            case ast.Await():
                value = self.value(node.value, scope)
                self.awaited |= self.heap.taint(value)
                return replace(value, awaits=False)
            case ast.Attribute():
                return self.attribute(node, self.value(node.value, scope), node.attr)
            case ast.Subscript():
                return self.subscript(node, scope)
        return self.compound(node, scope)

    def named(self, node: ast.Name, scope: Scope) -> Value:
        bound = scope.lookup(node.id)
        if bound is not None:
            return bound
        if node.id in self.catalog.tools:
            return Value(tools=(node.id,))
        if node.id == "__name__":
            return Value(literal="__main__")
        if node.id in _BUILTINS or node.id in self.catalog.results:
            return Value(name=node.id)
        if node.id not in self.bound:
            self.fault(node, f'uses "{node.id[:60]}", which is neither defined nor a tool')
        return Value()

    def children(self, node: ast.AST, scope: Scope) -> Value:
        """What is computed from the expressions directly inside `node`, in some way."""
        values = []
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr):
                values.append(self.value(child, scope))
            elif isinstance(child, ast.keyword):
                values.append(self.value(child.value, scope))
        return Value(self.heap.taints(values))

    def compound(self, node: ast.expr, scope: Scope) -> Value:
        """The value of a literal, an operator or a comprehension with parts."""
        match node:
            case ast.Tuple() | ast.List() | ast.Set():
                return self.display(node, scope)
            case ast.Dict():
                return self.mapping(node, scope)
            case ast.BinOp():
                return self.operators(node, scope)
            case ast.UnaryOp():
                return self.sign(node, scope)
            case ast.BoolOp():
                return self.either_or(node, node.values, scope)
            case ast.Compare():
                return self.comparison(node, scope)
            case ast.JoinedStr():
                return self.text(node, scope)
            case ast.ListComp() | ast.SetComp() | ast.GeneratorExp() | ast.DictComp():
                return self.comprehension(node, scope)
        return self.control(node, scope)

    def control(self, node: ast.expr, scope: Scope) -> Value:
        """The value of an expression that chooses, binds or makes a function; of any other, what its parts give."""
        match node:
            case ast.IfExp():
                true = self.heap.truth(self.value(node.test, scope))
                if true is not None:
                    return self.value(node.body if true else node.orelse, scope)
                sides = (node.body, node.orelse)
                return self.choose([lambda side=side: self.value(side, scope) for side in sides], scope)  # type: ignore[misc]
            case ast.NamedExpr():
                value = self.value(node.value, scope)
                scope.bind(node.target.id, value)
                return value
            case ast.Lambda():
                return Value(function=self.function(node, scope))
            case ast.Yield() | ast.YieldFrom():
                return self.give(node, scope)
        return self.children(node, scope)

    def give(self, node: ast.Yield | ast.YieldFrom, scope: Scope) -> Value:
        """Add to what a generator yields."""
        given = self.value(node.value, scope) if node.value is not None else Value(literal=None)
        items = self.heap.items(given) if isinstance(node, ast.YieldFrom) else [given]
        self.exact_yields &= items is not None and self.uncertain == self.certain
        self.yielded = [*(self.yielded or []), *([self.heap.element(given)] if items is None else items)]
        return Value()

    def function(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda, scope: Scope) -> Function:
        positional = [*node.args.posonlyargs, *node.args.args]
        defaults = dict(zip(reversed(positional), reversed(node.args.defaults), strict=False))
        named = zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)
        defaults |= {parameter: default for parameter, default in named if default is not None}
        return Function(node, scope, {p.arg: self.value(default, scope) for p, default in defaults.items()})

    def sign(self, node: ast.UnaryOp, scope: Scope) -> Value:
        operand = self.value(node.operand, scope)
        if isinstance(node.op, ast.Not):
            true = self.heap.truth(operand)
            return Value(operand.taint, kind=plain("bool")) if true is None else Value(operand.taint, not true)
        known = folding.signed(node.op, self.heap.plain(operand))
        return Value(operand.taint, known, kind=operand.kind if known is NON_LITERAL else UNKNOWN)

    def either_or(self, node: ast.BoolOp, values: Sequence[ast.expr], scope: Scope) -> Value:
        """`a or b or c`: the first that decides it. What is never evaluated calls nothing."""
        first = self.value(values[0], scope)
        if len(values) == 1:
            return first
        true = self.heap.truth(first)
        decides = isinstance(node.op, ast.Or)
        if true is not None:
            return first if true is decides else self.either_or(node, values[1:], scope)
        kept = replace(first, kind=self.heap.kind(first).without_none) if decides and first.ref is None else first
        return self.choose([lambda: kept, lambda: self.either_or(node, values[1:], scope)], scope)

    def comparison(self, node: ast.Compare, scope: Scope) -> Value:
        values = [self.value(part, scope) for part in (node.left, *node.comparators)]
        known: list[object] = []
        for sign, left, right in zip(node.ops, values, values[1:], strict=False):
            known.append(self.compared(sign, left, right))
        if False in known:
            return Value(literal=False)
        if all(one is True for one in known):
            return Value(literal=True)
        return Value(self.heap.taints(values), kind=plain("bool"))

    def compared(self, sign: ast.cmpop, left: Value, right: Value) -> object:
        self.ask(sign, left, right)
        if type(sign) in _MIRRORED:
            self.ask(_MIRRORED[type(sign)](), right, left)
        result = folding.compared(sign, self.heap.plain(left), self.heap.plain(right))
        if result is NON_LITERAL and isinstance(sign, ast.Is | ast.IsNot) and right.literal is None:
            kind = self.heap.kind(left)
            if left.ref is not None or (self.result_class(kind) is not None and kind.name != "|"):
                return isinstance(sign, ast.IsNot)
        return result

    def ask(self, sign: ast.cmpop, field: Value, other: Value) -> None:
        """Note the value of a result's field for which the comparison `field sign other` holds."""
        wanted = self.heap.plain(other)
        if field.origin is None or wanted is NON_LITERAL or field.origin in self.asked:
            return
        if isinstance(sign, ast.In) and isinstance(wanted, list | tuple | set | dict):
            wanted = next(iter(wanted), NON_LITERAL)
        elif isinstance(sign, ast.Gt | ast.Lt) and isinstance(wanted, int | float):
            wanted += 1 if isinstance(sign, ast.Gt) else -1
        elif not isinstance(sign, ast.Eq | ast.GtE | ast.LtE):
            return
        if isinstance(wanted, str | int | float | bool) and fits(plain(type(wanted).__name__), field.kind, {}):
            self.asked[field.origin] = wanted

    def display(self, node: ast.Tuple | ast.List | ast.Set, scope: Scope) -> Value:
        sort = {ast.Tuple: "tuple", ast.Set: "set"}.get(type(node), "list")
        values: list[Value] = []
        inexact = False
        for item in node.elts:
            value = self.value(item.value if isinstance(item, ast.Starred) else item, scope)
            items = self.heap.items(value) if isinstance(item, ast.Starred) else [value]
            inexact |= items is None
            values += [self.heap.element(value)] if items is None else items
        return self.heap.open(self.any_of(values), sort) if inexact else self.heap.listed(values, sort)

    def mapping(self, node: ast.Dict, scope: Scope) -> Value:
        pairs: dict[object, Value] = {}
        inexact: list[Value] = []
        for key, item in zip(node.keys, node.values, strict=True):
            name = self.heap.plain(self.value(key, scope)) if key is not None else None
            value = self.value(item, scope)
            held = self.heap.of(value)
            if key is None and held is not None and held.sort == "dict" and held.values is not None:
                pairs |= dict(zip(held.keys, held.values, strict=True))
            elif key is not None and is_key(name):
                pairs[name] = value
            else:
                inexact.append(self.heap.element(value) if key is None else value)
        if inexact:
            return self.heap.open(self.any_of([*pairs.values(), *inexact]), "dict")
        return self.heap.new(Held("dict", tuple(pairs.values()), tuple(pairs)))

    def text(self, node: ast.JoinedStr, scope: Scope) -> Value:
        parts = [self.part(part, scope) for part in node.values]
        literals = [part.literal for part in parts]
        whole = self.heap.flowed(parts)
        if NON_LITERAL in literals or sum(len(str(x)) for x in literals) > 10_000:
            return replace(whole, kind=plain("str"))
        return Value(whole.taint, "".join(map(str, literals)))

    def part(self, node: ast.expr, scope: Scope) -> Value:
        """The text of one part of an f-string."""
        if not isinstance(node, ast.FormattedValue):
            return self.value(node, scope)
        value = self.value(node.value, scope)
        spec = self.value(node.format_spec, scope) if node.format_spec is not None else Value(literal="")
        known = folding.formatted(self.heap.plain(value), node.conversion, spec.literal)
        taint = self.heap.taints([value, spec])
        return Value(taint, known, kind=UNKNOWN if known is not NON_LITERAL else plain("str"), shown=self.shown(value))

    def operators(self, node: ast.BinOp, scope: Scope) -> Value:
        """A chain like `a + b + c`, without recursion into its long side."""
        chain: list[ast.BinOp] = []
        left: ast.expr = node
        while isinstance(left, ast.BinOp):
            chain.append(left)
            left = left.left
        result = self.value(left, scope)
        for operation in reversed(chain):
            result = self.operator(operation, result, self.value(operation.right, scope))
        return result

    def operator(self, node: ast.BinOp | ast.AugAssign, left: Value, right: Value) -> Value:
        known = folding.computed(node.op, self.heap.plain(left), self.heap.plain(right))
        taint = self.heap.taints([left, right])
        if known is not NON_LITERAL:
            return self.heap.lift(known, taint)
        one, other = self.heap.kind(left), self.heap.kind(right)
        if isinstance(node.op, ast.Add) and left.ref is not None:
            a, b = self.heap.items(left), self.heap.items(right)
            if a is not None and b is not None:
                return self.heap.listed([*a, *b], (self.heap.of(left) or Held("list")).sort)
            return self.heap.open(self.any_of([self.heap.element(left), self.heap.element(right)]))
        shown = left.shown if left.shown != UNKNOWN else right.shown
        if isinstance(node.op, ast.Mod) and one.name == "str":
            shown = next((s for s in map(self.shown, self.heap.items(right) or [right]) if s != UNKNOWN), UNKNOWN)
        self.require_addable(node, one, other)
        return Value(taint, kind=_operator_type(node.op, one, other), shown=shown)

    def require_addable(self, node: ast.BinOp | ast.AugAssign, one: Type, other: Type) -> None:
        if not isinstance(node.op, ast.Add):
            return
        for text, added in ((one, other), (other, one)):
            known = added.name in PLAIN or added.name in self.catalog.results
            if text.name == "str" and known and added.name != "str":
                self.fault(node, f"adds str and {added.text}")
                return

    def comprehension(self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp, scope: Scope) -> Value:
        targets = {n.id for g in node.generators for n in ast.walk(g.target) if isinstance(n, ast.Name)}
        inner = Scope(scope)
        inner.outer = {n.target.id for n in ast.walk(node) if isinstance(n, ast.NamedExpr)} - targets
        for name in inner.outer:
            if scope.owner(name) is None:
                scope.bind(name, Value())
        found: list[tuple[Value, Value]] = []
        exact = self.generate(node, 0, inner, found)
        if isinstance(node, ast.DictComp):
            keys = [self.heap.plain(key) for key, _ in found]
            if exact and all(map(is_key, keys)):
                pairs = dict(zip(keys, (item for _, item in found), strict=True))
                return self.heap.new(Held("dict", tuple(pairs.values()), tuple(pairs)))
            key, rest = self.any_of([key for key, _ in found]), self.any_of([item for _, item in found])
            return self.heap.new(Held("dict", key=key, rest=rest) if found else Held("dict", ()))
        sort = "set" if isinstance(node, ast.SetComp) else "list"
        items = [item for item, _ in found]
        return self.heap.listed(items, sort) if exact else self.heap.open(self.any_of(items), sort)

    def generate(
        self,
        node: ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp,
        depth: int,
        scope: Scope,
        found: list[tuple[Value, Value]],
    ) -> bool:
        """Walk the loops of a comprehension; whether all items are known one by one."""
        if depth == len(node.generators):
            first = self.value(node.key if isinstance(node, ast.DictComp) else node.elt, scope)
            found.append((first, self.value(node.value, scope) if isinstance(node, ast.DictComp) else first))
            return True
        generator = node.generators[depth]
        source = self.value(generator.iter, scope)
        self.require_iterable(generator.iter, source)
        items = self.heap.items(source)
        if items is None or len(items) > _MOST_TURNS:
            self.turn(node, depth, scope, found, self.heap.element(source))
            return False
        before, exact = self.context, True
        for number, item in enumerate(items):
            self.context = (*before, node, depth, number)
            exact &= self.turn(node, depth, scope, found, item)
        self.context = before
        return exact

    def turn(
        self,
        node: ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp,
        depth: int,
        scope: Scope,
        found: list[tuple[Value, Value]],
        item: Value,
    ) -> bool:
        generator = node.generators[depth]
        self.assign(generator.target, item, scope)
        known = True
        for condition in generator.ifs:
            true = self.heap.truth(self.value(condition, scope))
            if true is False:
                return known
            known &= true is True
        self.uncertain += not known
        exact = self.generate(node, depth + 1, scope, found)
        self.uncertain -= not known
        return exact and known


def _operator_type(sign: ast.operator, one: Type, other: Type) -> Type:
    """The type of `one sign other`."""
    names = {one.name, other.name}
    if names <= _NUMBERS:
        whole = "float" not in names and not isinstance(sign, ast.Div)
        return plain("int" if whole else "float")
    if one.name == "str" and isinstance(sign, ast.Mod | ast.Add | ast.Mult):
        return plain("str")
    if "str" in names and isinstance(sign, ast.Add):
        return plain("str")
    return one if one == other and one.name in PLAIN else UNKNOWN
