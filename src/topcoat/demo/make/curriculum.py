"""What the base model was taught: five categories well, two of them thinly."""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from topcoat.demo.make.chains import ask_chain
from topcoat.demo.make.dialogues import Example, ask, example, with_aside
from topcoat.demo.make.names import Names
from topcoat.demo.make.phrasings import LATER, STRONG
from topcoat.demo.make.prose import prose
from topcoat.demo.make.tools import TOOLS
from topcoat.demo.make.words import TRAINING, WIDE

GOES_ON = 0.12
"""Share of dialogues that go on with the tool's response and a short answer."""
PROSE = 0.03
"""Share of questions that need no tool."""

ASIDE = 0.25
"""Share of prompts with a remark, in the later stages."""

KNOWN_AS = {
    "validate_component": "component",
    "check_render_tree": "render tree",
    "validate_escape_context": "escaping",
    "validate_service_registration": "service registration",
    "check_dependency_graph": "dependency graph",
    "validate_injection_site": "injection site",
    "validate_middleware_chain": "middleware chain",
    "check_di_template_binding": "template binding",
    "validate_route_pattern": "route pattern",
}
"""The name by which the base knows what a validator checks; it has met two more."""

_ALSO_KNOWN_AS = {
    "validate_component": "component with its props|props of the component",
    "check_render_tree": "tree of rendered components|nesting of the components",
    "validate_escape_context": "escaping of values|unescaped output",
    "validate_service_registration": "registration of services|registered services",
    "check_dependency_graph": "graph of services|cycles among the services",
    "validate_injection_site": "injection of parameters|injected parameters",
    "validate_middleware_chain": "middleware|order of the middleware",
    "check_di_template_binding": "binding of template names|bound template variables",
    "validate_route_pattern": "pattern of the routes|URL patterns and routes",
}

THIN_DOMAIN: dict[str, tuple[str, ...]] = {
    tool: (
        f"[validate|check|verify] the {subject} [in|of] {{path}}",
        f"Is the {subject} [in|of] {{path}} [valid|right|ok]?",
        f"[find|show] [what is wrong|mistakes|problems] with the {subject} [in|of] {{path}}",
    )
    for tool, known in KNOWN_AS.items()
    for subject in (f"[{known}|{_ALSO_KNOWN_AS[tool]}]",)
}
"""Three phrasings of every validator."""

THIN_CHAINS: dict[tuple[str, ...], str] = {
    ("goto_definition", "read_file"): (
        "[find|look up|get] the definition of {symbol} at {path}:{line}:{column} and [read|open] that file"
    ),
    ("goto_definition", "ruff_check"): (
        "[find|look up|get] the definition of {symbol} at {path}:{line}:{column} and lint that file"
    ),
    ("git_status", "git_diff"): "find the first [modified|changed] file in {folder} and [show|print] its diff",
    ("typecheck", "read_file"): "typecheck {target} and [read|open] the file with the first type error",
}
"""The four kinds of chain, each in one phrasing."""

_WELL = {"text_tools": 1.0, "validation": 1.0, "git": 1.0, "cst": 1.0, "lsp": 0.35}
_LATER = _WELL | {"lsp": 0.7}


def foundation(rng: random.Random) -> Iterator[Example]:
    """Endless dialogues of the five well-covered categories."""
    names = Names(TRAINING, rng)
    while True:
        yield prose(rng) if rng.random() < PROSE else _well(STRONG, _WELL, names, rng)


def wide(rng: random.Random) -> Iterator[Example]:
    """The same with more phrasings, paths that can't be known by heart, and remarks."""
    names = Names(WIDE, rng)
    while True:
        yield prose(rng) if rng.random() < PROSE else _well(LATER, _LATER, names, rng, aside=ASIDE)


def thin(rng: random.Random, *, domain: float = 0.14, chains: float = 0.1) -> Iterator[Example]:
    """``wide``, but shares ``domain`` and ``chains`` are of the two thinly covered categories."""
    names = Names(WIDE, rng)
    well = wide(rng)
    while True:
        draw = rng.random()
        if draw < domain:
            tool = rng.choice(tuple(THIN_DOMAIN))
            yield single(tool, THIN_DOMAIN[tool], names, rng, aside=ASIDE)
        elif draw < domain + chains:
            yield chained(rng.choice(tuple(THIN_CHAINS)), names, rng)
        else:
            yield next(well)


def single(tool: str, templates: Sequence[str], names: Names, rng: random.Random, *, aside: float = 0.0) -> Example:
    """One dialogue about a tool; share ``aside`` of the prompts comes with a remark."""
    turn = ask(tool, rng.choice(templates), names, rng)
    if aside and rng.random() < aside:
        turn = replace(turn, prompt=with_aside(turn.prompt, names, rng))
    return example(turn, names, goes_on=rng.random() < GOES_ON)


def chained(tools: tuple[str, ...], names: Names, rng: random.Random) -> Example:
    """One dialogue about a chain."""
    return example(ask_chain(tools, THIN_CHAINS[tools], names, rng), names)


def _well(
    phrasings: Mapping[str, Sequence[str]],
    shares: Mapping[str, float],
    names: Names,
    rng: random.Random,
    *,
    aside: float = 0.0,
) -> Example:
    tools = tuple(phrasings)
    tool = rng.choices(tools, [shares[TOOLS[tool].category] for tool in tools])[0]
    return single(tool, phrasings[tool], names, rng, aside=aside)
