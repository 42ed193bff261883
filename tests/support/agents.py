"""Agents for tests that need tools by name and nothing else of them."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path

from topcoat.spec.agent import Agent, Route
from topcoat.spec.tools.stubs import parse_stubs

__all__ = ["agent_of"]


def agent_of(names: Iterable[str], calls: Route = "code") -> Agent:
    """An agent with tools of these names, which take any arguments."""
    return _agent(tuple(sorted(names)), calls)


@cache
def _agent(names: tuple[str, ...], calls: Route) -> Agent:
    stubs = "".join(f"def {name}(*args, **kwargs): ...\n" for name in names or ("_nothing",))
    return Agent(parse_stubs(stubs, Path("tools.pyi")), calls=calls)
