"""Reads Python source into a syntax tree: the one place that calls `ast.parse`."""

from __future__ import annotations

import ast
import threading
import warnings

# Before Python 3.13, all threads share one counter of the tree's depth. If a garbage collection lets another thread
# parse in between, a correct source ends in `SystemError: AST constructor recursion depth mismatch`.
_ONE_AT_A_TIME = threading.RLock()


def parse_module(source: str) -> ast.Module:
    """The syntax tree of a module, from any thread, without Python's warnings about the source.

    Raises what `ast.parse` does: `SyntaxError`, `ValueError` (a NUL byte, a lone surrogate), `RecursionError` and
    `MemoryError` (nested too deeply).
    """
    with _ONE_AT_A_TIME, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # such as for an invalid escape in a text
        return ast.parse(source)


def parse_expression(source: str) -> ast.expr:
    """The syntax tree of one expression, such as a type. Raises what `parse_module` does."""
    with _ONE_AT_A_TIME, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(source, mode="eval").body
