"""Tells the failure of a program from a part of Python that the sandbox lacks."""

from __future__ import annotations

import builtins
import re
import sys
from typing import Final

from pydantic_monty import MontyError

from topcoat.spec.python_source import parse_module

__all__ = ["is_ended", "what_it_lacks"]

_MODULE: Final = re.compile(r"Cannot resolve imported module `([\w.]+)`|No module named '([\w.]+)'")
_MEMBER: Final = re.compile(r"Module `(\w+)` has no member|module '(\w+)' has no attribute")
_NAME: Final = re.compile(r"name '(\w+)' is not defined|Name `(\w+)` used when not defined")
_ATTRIBUTE: Final = re.compile(r"'(\w+)' object has no attribute '(\w+)'")
_DENIED: Final = frozenset(
    {"ctypes", "ftplib", "http", "multiprocessing", "shutil", "signal", "smtplib", "socket", "ssl", "subprocess"}
    | {"tempfile", "threading", "urllib"}
)
"""Modules that reach the system. The sandbox doesn't lack them, it forbids them."""
_SITE: Final = frozenset({"exit", "quit"})


def is_ended(error: MontyError) -> bool:
    """Whether a program ended because it wanted to: with `raise SystemExit`."""
    return str(error).startswith("SystemExit")


def what_it_lacks(problem: str, program: str) -> str:
    """What of Python a program uses that the sandbox doesn't have, if that is its `problem`; "" if it isn't.

    Python itself has it, so the program may work: a module of the standard library, a builtin, a method, a statement.
    """
    if "NotImplementedError" in problem or "'list' object is not an iterator" in problem:
        return problem
    if "SyntaxError" in problem:
        return problem if _is_python(program) else ""
    if (module := _MODULE.search(problem) or _MEMBER.search(problem)) is not None:
        name = next(filter(None, module.groups())).partition(".")[0]
        return problem if name in sys.stdlib_module_names - _DENIED else ""
    if (name_found := _NAME.search(problem)) is not None:
        name = next(filter(None, name_found.groups()))
        return problem if hasattr(builtins, name) or name in _SITE else ""
    attribute = _ATTRIBUTE.search(problem)
    if attribute is not None:
        owner = getattr(builtins, attribute[1], None)
        return problem if isinstance(owner, type) and hasattr(owner, attribute[2]) else ""
    return ""


def _is_python(program: str) -> bool:
    try:
        parse_module(program)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True
