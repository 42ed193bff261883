"""What the base model was taught: five categories well, two of them thinly."""

import random
from collections.abc import Iterator

from topcoat.demo.make.chains import ask_chain
from topcoat.demo.make.dialogues import Example, ask, example
from topcoat.demo.make.names import Names
from topcoat.demo.make.phrasings import STRONG
from topcoat.demo.make.prose import prose
from topcoat.demo.make.tools import TOOLS
from topcoat.demo.make.words import TRAINING, WIDE, Words

GOES_ON = 0.12
"""Share of dialogues that go on with the tool's response and a short answer."""
PROSE = 0.03
"""Share of questions that need no tool."""

THIN_DOMAIN: dict[str, str] = {
    "validate_component": "validate the component in {path}",
    "check_render_tree": "check the render tree of {path}",
    "validate_escape_context": "validate the escaping in {path}",
    "validate_service_registration": "validate the service registration in {path}",
    "check_dependency_graph": "check the dependency graph of {path}",
    "validate_injection_site": "validate the injection site in {path}",
    "validate_middleware_chain": "validate the middleware chain in {path}",
    "check_di_template_binding": "check the template binding in {path}",
    "validate_route_pattern": "validate the route pattern in {path}",
}
"""The one phrasing of each validator."""

THIN_CHAINS: dict[tuple[str, ...], str] = {
    (
        "goto_definition",
        "read_file",
    ): "[find|look up] the definition of {symbol} at {path}:{line}:{column} and read that file",
    ("git_status", "git_diff"): "find the first modified file in {folder} and show its diff",
}
"""The two kinds of chain, each in one phrasing."""

_WELL = {"text_tools": 1.0, "validation": 1.0, "git": 1.0, "cst": 1.0, "lsp": 0.35}


def foundation(rng: random.Random, words: Words = TRAINING) -> Iterator[Example]:
    """Endless dialogues of the five well-covered categories."""
    names = Names(words, rng)
    tools = tuple(STRONG)
    shares = [_WELL[TOOLS[tool].category] for tool in tools]
    while True:
        if rng.random() < PROSE:
            yield prose(rng)
            continue
        tool = rng.choices(tools, shares)[0]
        turn = ask(tool, rng.choice(STRONG[tool]), names, rng)
        yield example(turn, names, goes_on=rng.random() < GOES_ON)


def thin(rng: random.Random, words: Words = WIDE, *, domain: float = 0.08, chains: float = 0.04) -> Iterator[Example]:
    """Endless dialogues in which shares ``domain`` and ``chains`` are of the thinly covered categories."""
    names = Names(words, rng)
    well = foundation(rng, words)
    while True:
        draw = rng.random()
        if draw < domain:
            tool = rng.choice(tuple(THIN_DOMAIN))
            turn = ask(tool, THIN_DOMAIN[tool], names, rng)
            yield example(turn, names, goes_on=rng.random() < GOES_ON)
        elif draw < domain + chains:
            kind = rng.choice(tuple(THIN_CHAINS))
            yield example(ask_chain(kind, THIN_CHAINS[kind], names, rng), names)
        else:
            yield next(well)
