"""Calls of chosen modules, given to us for a while.

Python looks `__call__` up on the class. So the classes of the modules get one of ours, which tells the chosen modules
from the others of their class, and afterwards have exactly what they had before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import mlx.nn as nn

__all__ = ["Call", "intercepted"]


@dataclass(frozen=True, slots=True)
class Call:
    """A call of the module at place `index` of those intercepted. `function` is the `__call__` of its class."""

    index: int
    module: nn.Module
    function: Callable[..., Any]
    given: Sequence[Any]
    named: Mapping[str, Any]


@contextmanager
def intercepted(modules: Sequence[nn.Module], answer: Callable[[Call], Any]) -> Iterator[None]:
    """During the `with` block, a call of one of `modules` returns what `answer` makes of it.

    Other modules of the same classes work as usual. So do the chosen ones where `answer` calls `function`.
    """
    places = {id(module): index for index, module in enumerate(modules)}
    kinds = {type(module) for module in modules}
    own = {kind: vars(kind)["__call__"] for kind in kinds if "__call__" in vars(kind)}

    def replacing(kind: type[nn.Module], function: Callable[..., Any]) -> Callable[..., Any]:
        def replaced(module: nn.Module, *given: Any, **named: Any) -> Any:
            index = places.get(id(module))
            # A subclass may call the function of its base class, which is part of its own call.
            if index is None or type(module) is not kind:
                return function(module, *given, **named)
            return answer(Call(index, module, function, given, named))

        return replaced

    # All are read before one is set, because a class may inherit from another of them.
    functions = {kind: kind.__call__ for kind in kinds}
    for kind, function in functions.items():
        kind.__call__ = replacing(kind, function)
    try:
        yield
    finally:
        for kind in kinds:
            if kind in own:
                kind.__call__ = own[kind]
            else:
                del kind.__call__
