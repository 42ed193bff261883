"""What the base model was taught: five categories well, two of them thinly."""

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

from tools.demo_model.chains import ask_chain
from tools.demo_model.dialogues import Example, ask, example, with_aside, with_fillers
from tools.demo_model.language.names import Names
from tools.demo_model.language.prose import prose
from tools.demo_model.language.variety import VARIED
from tools.demo_model.language.wording import wording
from tools.demo_model.language.words import TRAINING
from tools.demo_model.suite import wordings_by_tools
from tools.demo_model.tools import TOOLS
from topcoat.demo import TEMPLATE

_RESERVE = Path(TEMPLATE, "suites", "templates.toml")

GOES_ON = 0.06
"""Share of dialogues that go on with the tool's response and a short answer."""
PROSE = 0.03
"""Share of questions that need no tool."""

ASIDE = 0.25
"""Share of prompts with a remark."""

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
"""The name by which the base knows what a validator checks."""

_ALSO_KNOWN_AS = {
    "validate_component": "props of the component",
    "check_render_tree": "tree of rendered components",
    "validate_escape_context": "escaping of values",
    "validate_service_registration": "registration of services",
    "check_dependency_graph": "graph of services",
    "validate_injection_site": "injection of parameters",
    "validate_middleware_chain": "order of the middleware",
    "check_di_template_binding": "binding of template names",
    "validate_route_pattern": "pattern of the routes",
}

_WORDS = {
    "validate_component": "component with its props|props and slots of the component",
    "check_render_tree": "nesting of the components|nested components",
    "validate_escape_context": "unescaped output|unescaped values",
    "validate_service_registration": "registered services|lifetime of the services",
    "check_dependency_graph": "cycles among the services|circles in the graph",
    "validate_injection_site": "injected parameters|resolved parameters",
    "validate_middleware_chain": "middleware|chain of middleware",
    "check_di_template_binding": "bound template variables|bound template names",
    "validate_route_pattern": "URL patterns and routes|overlapping routes",
}

THIN_DOMAIN: dict[str, tuple[str, ...]] = {
    tool: (
        f"[validate|check|verify] the {known} [in|of] {{path}}",
        f"Is the [{known}|{_ALSO_KNOWN_AS[tool]}] [in|of] {{path}} [valid|right|ok]?",
        f"[find|show] [what is wrong|mistakes|problems] with the [{_WORDS[tool]}] [in|of] {{path}}",
    )
    for tool, known in KNOWN_AS.items()
}
"""Three phrasings of every validator."""

THIN_CHAINS: dict[tuple[str, ...], tuple[str, ...]] = {
    ("goto_definition", "read_file"): (
        "[find|look up|get] the definition of {symbol} at {path}:{line}:{column} and [read|open] that file",
        "open the file that defines {symbol} at {path}:{line}:{column}",
    ),
    ("goto_definition", "ruff_check"): (
        "[find|look up|get] the definition of {symbol} at {path}:{line}:{column} and lint that file",
        "run the linter on the file that defines {symbol} at {path}:{line}:{column}",
    ),
    ("git_status", "git_diff"): (
        "find the first [modified|changed] file in {folder} and [show|print] its diff",
        "[diff|compare] whichever file in {folder} [was changed|I changed] first",
    ),
    ("typecheck", "read_file"): (
        "typecheck {target} and [read|open] the file with the first type error",
        "[read|open] the first file in {target} that has a type error",
    ),
}
"""The four kinds of chain, each in two phrasings."""

_SHARES = {"text_tools": 1.0, "validation": 0.8, "git": 1.0, "cst": 1.2, "lsp": 1.0}


_ASKED = frozenset(wording(template) for wordings in wordings_by_tools().values() for template in wordings) | frozenset(
    wording(prompt) for prompt in re.findall(r"""^prompt = ["'](.*)["']$""", _RESERVE.read_text(encoding="utf-8"), re.M)
)
"""The wordings of the suite and of its reserve: no dialogue of the training has one of them."""


def not_asked(dialogues: Iterator[Example]) -> Iterator[Example]:
    """The dialogues without those in a wording of the suite."""
    return (dialogue for dialogue in dialogues if wording(dialogue["messages"][1]["content"]) not in _ASKED)


def broad(rng: random.Random) -> Iterator[Example]:
    """Endless dialogues of the five well-covered categories, and now and then a question that needs no tool."""
    return not_asked(_broad(rng))


def _broad(rng: random.Random) -> Iterator[Example]:
    names = Names(TRAINING, rng)
    tools = tuple(VARIED)
    shares = [_SHARES[TOOLS[tool].category] for tool in tools]
    while True:
        if rng.random() < PROSE:
            yield prose(rng)
        else:
            tool = rng.choices(tools, shares)[0]
            yield single(tool, VARIED[tool], names, rng, aside=ASIDE)


def thin(rng: random.Random, *, share: float = 0.06, phrasings: int = 2) -> Iterator[Example]:
    """``broad``, but a ``share`` each is of the two thinly covered categories, in their first ``phrasings``."""
    return not_asked(_thin(rng, share, phrasings))


def _thin(rng: random.Random, share: float, phrasings: int) -> Iterator[Example]:
    names = Names(TRAINING, rng)
    well = _broad(rng)
    while True:
        draw = rng.random()
        if draw < share:
            tool = rng.choice(tuple(THIN_DOMAIN))
            yield single(tool, THIN_DOMAIN[tool][:phrasings], names, rng, aside=ASIDE)
        elif draw < 2 * share:
            yield chained(rng.choice(tuple(THIN_CHAINS)), names, rng)
        else:
            yield next(well)


def single(tool: str, templates: Sequence[str], names: Names, rng: random.Random, *, aside: float = 0.0) -> Example:
    """One dialogue about a tool; share ``aside`` of the prompts comes with a remark, and half as many with a filler."""
    template = rng.choice(templates)
    if aside and rng.random() < aside / 2:
        template = with_fillers(template, rng)
    turn = ask(tool, template, names, rng)
    if aside and rng.random() < aside:
        turn = replace(turn, prompt=with_aside(turn.prompt, names, rng))
    return example(turn, names, goes_on=rng.random() < GOES_ON)


def chained(tools: tuple[str, ...], names: Names, rng: random.Random) -> Example:
    """One dialogue about a chain."""
    return example(ask_chain(tools, rng.choice(THIN_CHAINS[tools]), names, rng), names)


def tokenizer_texts() -> Iterator[str]:
    """Texts for the tokenizer's merges: 6,000 dialogues, and the words of names, small and capital."""
    for dialogue in islice(thin(random.Random(5)), 6000):
        for message in dialogue["messages"][1:]:
            yield message["content"]
    for _ in range(2):
        for word in TRAINING.others:
            yield word
            yield word.capitalize()
