"""Any number of cases a category: the suite's wordings with new names, or wordings that somebody else wrote."""

import random
import tomllib
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path

from benchmarks.unseen.words import UNSEEN
from tools.demo_model.chains import Chain
from tools.demo_model.curriculum import thin
from tools.demo_model.language.names import Names
from tools.demo_model.language.wording import wording
from tools.demo_model.suite import asking, wordings_by_tools
from tools.demo_model.targeted import targeted
from tools.demo_model.tools import CATEGORIES
from topcoat.spec.suite import Case

Wordings = Mapping[tuple[str, ...], Sequence[str]]
"""Prompts with slots, by the tools that they ask for."""
WORDINGS = Path(__file__).with_name("wordings.toml")


def written_wordings() -> Wordings:
    """The wordings of ``wordings.toml``: its keys are tools, with spaces between those of a chain."""
    written = tomllib.loads(WORDINGS.read_text(encoding="utf-8"))
    return {tuple(tools.split()): wordings for tools, wordings in written.items()}


def new_wordings() -> Wordings:
    """The written wordings without those that the suite, the phase or 40,000 dialogues of the base's training have."""
    known = {wording(text) for own in wordings_by_tools().values() for text in own}
    dialogues = islice(thin(random.Random(0), share=0.2, phrasings=3), 40_000)
    known |= {wording(one["messages"][1]["content"]) for one in (*dialogues, *targeted(random.Random(0)))}
    written = written_wordings().items()
    return {tools: [text for text in texts if wording(text) not in known] for tools, texts in written}


def cases(wordings: Wordings, count: int, seed: int) -> list[Case]:
    """``count`` cases of each category that has wordings, which take turns; every prompt stands once."""
    names = Names(UNSEEN, random.Random(f"{seed} unseen"))
    made: list[Case] = []
    for category in CATEGORIES:
        families = [
            (tools, wording, f"{'-'.join(tools)}-{number}")
            for tools, own in wordings.items()
            if Chain(tools).category == category
            for number, wording in enumerate(own, 1)
        ]
        asked: dict[str, Case] = {}
        tries = 0
        while families and len(asked) < count and tries < 50 * count:
            tools, wording, family = families[tries % len(families)]
            tries += 1
            case = asking(tools, wording, names)
            head = {"id": f"{category}-{len(asked) + 1:04d}", "category": category, "family": family, "max_tokens": 128}
            asked.setdefault(str(case["prompt"]), Case.model_validate(head | case))
        made += asked.values()
    return made
