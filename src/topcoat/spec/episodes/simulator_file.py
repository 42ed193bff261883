"""The file with a simulator, as far as reading it tells: its class, and the methods that answer calls.

It is the user's own code. topcoat reads it here, and never imports it: `suites.episodes.simulator_process` does, in a
process of its own.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from topcoat.errors import InvalidInput, Mistake, Where
from topcoat.spec.expect import did_you_mean
from topcoat.spec.python_source import parse_module
from topcoat.spec.reading.loader import read_text

__all__ = ["simulator_mistakes", "simulator_place"]

_EXAMPLE: Final = '"simulator": "sim.py:Shop"'
_Function = ast.FunctionDef | ast.AsyncFunctionDef


def simulator_place(written: str, suite: Path) -> tuple[Path, str]:
    """The file and the class that a case of `suite` names as FILE:CLASS. A relative file is beside the suite."""
    file, _, name = written.rpartition(":")
    return suite.parent / file, name


def simulator_mistakes(written: str, where: Where, tools: Iterable[str]) -> list[Mistake]:
    """What is wrong with the simulator of a case at `where`, as far as its file tells.

    It has to have a method for each of `tools`, its own or that of a class in the same file. Where it inherits from
    another file, or has `__getattr__`, only its process can tell.
    """
    path, name = simulator_place(written, where.path)
    if not name.isidentifier() or not path.name:
        return [Mistake(f'simulator: "{written}" is no FILE:CLASS', where, _EXAMPLE)]
    try:
        module = parse_module(read_text(path))
    except InvalidInput as error:
        return [Mistake(f"simulator: {error.message}", where, error.hint)]
    except SyntaxError as error:
        return [Mistake(f"simulator: {error.msg}", Where(path, error.lineno))]
    except (ValueError, RecursionError, MemoryError) as error:
        return [Mistake(f"simulator: can't be read: {error}", Where(path))]
    classes = {node.name: node for node in module.body if isinstance(node, ast.ClassDef)}
    if name not in classes:
        hint = did_you_mean(name, classes) or f"its classes: {', '.join(classes) or 'none'}"
        return [Mistake(f'simulator: {path.name} has no class "{name}"', where, hint)]
    methods = set(_methods(classes[name], classes, set()))
    missing = [] if "__getattr__" in methods else [tool for tool in tools if tool not in methods]
    return [
        Mistake(
            f'{name} has no method "{tool}", and {where} needs it', Where(path, classes[name].lineno), f"def {tool}"
        )
        for tool in missing
    ]


def _methods(node: ast.ClassDef, classes: dict[str, ast.ClassDef], seen: set[str]) -> Iterator[str]:
    """The names of the class's methods; `__getattr__` too if it inherits some that can't be seen."""
    seen.add(node.name)
    for item in node.body:
        if isinstance(item, _Function):
            yield item.name
        elif isinstance(item, ast.Assign):  # an alias of another method
            yield from (target.id for target in item.targets if isinstance(target, ast.Name))
    for base in node.bases:
        name = base.id if isinstance(base, ast.Name) else ""
        if name in classes and name not in seen:
            yield from _methods(classes[name], classes, seen)
        elif name not in seen and name != "object":
            yield "__getattr__"
