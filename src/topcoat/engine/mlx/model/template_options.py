"""The options that a chat template reads."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import jinja2
from jinja2.ext import Extension
from jinja2.meta import find_undeclared_variables
from jinja2.nodes import Assign, AssignBlock, For, Name, Node
from jinja2.parser import Parser

from topcoat.spec.project import is_reserved

__all__ = ["options_read"]


def options_read(template: str | dict[str, str] | Callable[..., Any] | None) -> frozenset[str] | None:
    """The options that a chat template, or the named templates of a model, or a renderer in Python reads.

    None if that can't be told: a renderer takes any keyword, a template isn't valid.
    """
    if callable(template):
        parameters = inspect.signature(template).parameters.values()
        if any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters):
            return None
        return _free(parameter.name for parameter in parameters)
    sources = [*template.values()] if isinstance(template, dict) else [template or ""]
    environment = jinja2.Environment(extensions=["jinja2.ext.loopcontrols", _Generation])
    try:
        return _free(name for source in sources for name in _asked_for(environment.parse(source)))
    except jinja2.TemplateError:
        return None


def _free(names: Iterable[str]) -> frozenset[str]:
    return frozenset(name for name in names if not is_reserved(name))


def _asked_for(template: Any) -> Iterator[str]:
    """The names that may come from outside and are read before they are set.

    Jinja alone also finds names that are set in one branch and read in a loop inside of it.
    """
    outside = find_undeclared_variables(template)
    seen: set[str] = set()
    for name in _names(template):
        if name.name not in seen and name.ctx == "load" and name.name in outside:
            yield name.name
        seen.add(name.name)


def _names(node: Node) -> Iterator[Name]:
    """The names below a node, in the order in which they are computed: a value before what it is given to."""
    if isinstance(node, Name):
        yield node
    children = [*node.iter_child_nodes()]
    if isinstance(node, For):
        children.sort(key=lambda child: (child is not node.iter, child is not node.target))
    elif isinstance(node, Assign | AssignBlock):
        children.sort(key=lambda child: child is node.target)
    for child in children:
        yield from _names(child)


class _Generation(Extension):
    """`{% generation %}`, with which transformers marks what an assistant says. It is no part of Jinja."""

    tags = {"generation"}  # noqa: RUF012  # Jinja reads it from the class

    def parse(self, parser: Parser) -> list[Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)
