"""What the embedded model does poorly, in five parts: two of validators, three of chains by what they begin with."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from itertools import cycle
from typing import TypeVar

from benchmarks.unseen.cases import Wordings
from benchmarks.unseen.cases import cases as unseen_cases
from tools.demo_model.chains import ask_chain
from tools.demo_model.dialogues import Example, ask, example
from tools.demo_model.language.names import Names
from tools.demo_model.language.words import SUITE
from tools.demo_model.suite import asking, wordings_by_tools
from tools.demo_model.targeted import CHAINS, DOMAIN, LSP
from topcoat.spec.suite import Case

__all__ = ["PARTS", "WHOLE", "embedded_examples", "suite_cases", "unseen_cases_of_parts"]

WHOLE = ("domain", "multi_tool")
"""The embedded suite's categories that are divided."""

FIRST_TOOLS: Mapping[str, tuple[str, ...]] = {
    "markup": ("validate_component", "check_render_tree", "validate_escape_context", "check_di_template_binding"),
    "services": (
        "validate_service_registration",
        "check_dependency_graph",
        "validate_injection_site",
        "validate_middleware_chain",
        "validate_route_pattern",
    ),
    "positions": ("goto_definition", "find_references", "workspace_symbols"),
    "changes": ("git_status",),
    "findings": ("ruff_check", "typecheck", "pytest_run", "cst_find_pattern"),
}
"""The first tools of a part's requests. The first two parts are single calls, the others chains."""
PARTS = tuple(FIRST_TOOLS)
_SINGLE = PARTS[:2]

Key = TypeVar("Key")


def _belongs(tools: tuple[str, ...], category: str) -> bool:
    """Whether a request for these tools is one of a part's, or of a whole category."""
    if category in WHOLE:
        return (tools[0] in DOMAIN) if category == "domain" else len(tools) > 1
    return (len(tools) == 1) == (category in _SINGLE) and tools[0] in FIRST_TOOLS[category]


def embedded_examples(category: str, names: Names, rng: random.Random) -> Iterator[Example]:
    """Endless examples of a part or a whole category, in the wordings of the embedded project's own phase.

    Every fifth beside chains is one call of the language server, as in that phase: both begin with a position, and from
    chains alone a model learns that nobody asks for a type.
    """
    single = [(tool, text) for tool, text in _pairs(DOMAIN) if _belongs((tool,), category)]
    if single:
        asks = (ask(tool, text, names, rng) for tool, text in cycle(single))
    else:
        several = [(tools, text) for tools, text in _pairs(CHAINS) if _belongs(tools, category)]
        chains = (ask_chain(tools, text, names, rng) for tools, text in cycle(several))
        calls = (ask(tool, text, names, rng) for tool, text in cycle(_pairs(LSP)))
        asks = (next(calls if turn == 4 else chains) for turn in cycle(range(5)))
    made = (example(asked, names) for asked in asks)
    return (row | {"category": category} if row["category"] in WHOLE else row for row in made)


def _pairs(requests: Mapping[Key, Sequence[str]]) -> list[tuple[Key, str]]:
    return [(key, text) for key, texts in requests.items() for text in texts]


def suite_cases(part: str, count: int) -> list[dict[str, object]]:
    """``count`` cases in the embedded suite's wordings, which take turns. The names' words stand in no training."""
    names = Names(SUITE, random.Random(f"five phases: {part}"))
    wordings = [
        (tools, text, f"{'-'.join(tools)}-{number}")
        for tools, texts in _wordings_of(part, wordings_by_tools()).items()
        for number, text in enumerate(texts, 1)
    ]
    made: dict[str, dict[str, object]] = {}
    for tools, text, family in cycle(wordings):
        if len(made) == count:
            break
        head = {"id": f"{part}-{len(made) + 1:02d}", "category": part}
        case = head | {"family": family} | asking(tools, text, names) | {"max_tokens": 128}
        made.setdefault(str(case["prompt"]), case)
    return list(made.values())


def unseen_cases_of_parts(wordings: Wordings, count: int, seed: int) -> list[Case]:
    """``count`` cases of each part whose names no file has."""
    made: list[Case] = []
    for part in PARTS:
        for number, case in enumerate(unseen_cases(_wordings_of(part, wordings), count, seed), 1):
            made.append(case.model_copy(update={"id": f"{part}-{number:04d}", "category": part}))
    return made


def _wordings_of(part: str, wordings: Wordings) -> Wordings:
    return {tools: texts for tools, texts in wordings.items() if texts and _belongs(tools, part)}
