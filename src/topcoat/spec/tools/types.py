"""The types in a catalog's stubs, parsed once."""

from __future__ import annotations

import ast
from dataclasses import dataclass

from topcoat.spec.python_source import parse_expression

__all__ = ["UNKNOWN", "Type", "plain", "type_of"]


@dataclass(frozen=True, slots=True)
class Type:
    """A type. `text` is its source, "" if there is none.

    `name` is the name without its module: "list" of `list[int]`, "|" of a union (also one written `Optional` or
    `Union`), "..." of an ellipsis, "" if it is unknown. `inner` are the types in the brackets, or those that a union
    joins. `literals` are the values of a `Literal`, none if one of them is a name.
    """

    text: str
    name: str
    inner: tuple[Type, ...] = ()
    literals: tuple[object, ...] = ()

    @property
    def literal(self) -> object:
        """The first value of a `Literal`."""
        return self.literals[0] if self.literals else None

    @property
    def without_none(self) -> Type:
        """`X` of `X | None`; `UNKNOWN` of any other union."""
        if self.name != "|":
            return self
        kept = [member for member in self.inner if member.name != "None"]
        return kept[0] if len(kept) == 1 else UNKNOWN


UNKNOWN = Type("", "")


def plain(name: str) -> Type:
    """The type that consists of a name, such as `int`."""
    return Type(name, name)


def type_of(node: ast.expr | None) -> Type:
    """The type of an annotation, without quotes around it. `UNKNOWN` if there is none."""
    match node:
        case None:
            return UNKNOWN
        case ast.Constant(value=str(text)):
            return _quoted(text)
        case ast.Constant(value=None):
            return plain("None")
        case ast.Constant() if node.value is ...:
            return plain("...")
        case ast.BinOp(op=ast.BitOr()):
            return _union(node, [type_of(node.left), type_of(node.right)])
        case ast.Subscript():
            return _generic(node)
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return Type(ast.unparse(node), name)
    return Type(ast.unparse(node), "")


def _quoted(text: str) -> Type:
    try:
        quoted = type_of(parse_expression(text.strip()))
    except (SyntaxError, ValueError):
        return Type(text, "")
    return Type(text, quoted.name, quoted.inner, quoted.literals)


def _generic(node: ast.Subscript) -> Type:
    name = type_of(node.value).name
    parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    if name == "Literal":
        return Type(ast.unparse(node), name, literals=_literals(parts))
    inner = [type_of(part) for part in parts]
    if name in ("Optional", "Union"):
        return _union(node, [*inner, plain("None")] if name == "Optional" else inner)
    return Type(ast.unparse(node), name, tuple(inner))


def _literals(parts: list[ast.expr]) -> tuple[object, ...]:
    """The values in the brackets of a `Literal`; none if one of them is a name, as a member of an enumeration is."""
    try:
        return tuple(ast.literal_eval(part) for part in parts)
    except (ValueError, TypeError):
        return ()


def _union(node: ast.expr, members: list[Type]) -> Type:
    flat = [part for member in members for part in (member.inner if member.name == "|" else (member,))]
    return Type(ast.unparse(node), "|", tuple(flat))
