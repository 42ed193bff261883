"""The data files and the suite of the demo project."""

import json
import random
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path

from tools.demo_model.curriculum import ASIDE, THIN_CHAINS, THIN_DOMAIN, chained, single
from tools.demo_model.dialogues import Example
from tools.demo_model.language.names import Names
from tools.demo_model.language.prose import prose
from tools.demo_model.language.variety import VARIED
from tools.demo_model.language.words import TRAINING
from tools.demo_model.suite import Case, suite
from tools.demo_model.targeted import targeted
from topcoat.spec.agent import Agent
from topcoat.spec.case_template import load_templates
from topcoat.spec.example import LocatedExample, load_examples
from topcoat.spec.suite import Case as SuiteCase
from topcoat.spec.suite import Suite
from topcoat.spec.tools.loading import load_catalog
from topcoat.suites.expansion.expand import expand

SEED = 34
SUITE_FILE = "suites/routing.jsonl"
RESERVE = 9
"""Reserve cases of a category."""


def history(rng: random.Random) -> list[Example]:
    """What the base model has learned, for replay: every tool and chain in the phrasings of its training."""
    names = Names(TRAINING, rng)

    rows = _distinct(16, partial(prose, rng))
    for tool, templates in VARIED.items():
        rows += _distinct(45, partial(single, tool, templates, names, rng, aside=ASIDE))
    for tool, templates in THIN_DOMAIN.items():
        rows += _distinct(12, partial(single, tool, templates, names, rng, aside=ASIDE))
    for tools in THIN_CHAINS:
        rows += _distinct(15, partial(chained, tools, names, rng))
    rng.shuffle(rows)
    return rows


def validation(rng: random.Random) -> list[Example]:
    """A few requests like the targeted ones, with other names: none of them has to be held out."""
    return [row for row in targeted(rng) if len(row["messages"]) == 3][:16]


def _distinct(count: int, make: Callable[[], Example]) -> list[Example]:
    """``count`` examples with different prompts."""
    rows: dict[str, Example] = {}
    while len(rows) < count:
        made = make()
        rows.setdefault(made["messages"][1]["content"], made)
    return list(rows.values())


def write_world(project: Path) -> None:
    """Write the suite and the data files into a project folder that has its catalog and its templates."""
    asked = suite(random.Random(f"{SEED} suite"))
    data = {
        "phase33b": history(random.Random(f"{SEED} history")),
        "phase34a": targeted(random.Random(f"{SEED} targeted")),
        "phase34a-valid": validation(random.Random(f"{SEED} validation")),
    }
    for name, rows in data.items():
        _write(project / "data" / f"{name}.jsonl", rows)
    examples = [example for name in data for example in load_examples(project / "data" / f"{name}.jsonl")]
    _write(project / SUITE_FILE, [*asked, *_reserve(project, asked, examples)])


def _reserve(project: Path, asked: list[Case], examples: list[LocatedExample]) -> list[Case]:
    """What `topcoat suite expand suites/templates.toml --cases 9 --reserve` adds to the suite."""
    catalog = load_catalog(project / "tools.pyi")
    templates = load_templates(project / "suites" / "templates.toml", Agent(catalog))
    known = Suite(project / SUITE_FILE, tuple(SuiteCase.model_validate(case) for case in asked))
    made = expand(templates, RESERVE, 0, examples=examples, suite=known, agent=Agent(catalog))
    return [case.model_dump(mode="json", exclude_unset=True) | {"reserve": True} for case in made.cases]


def _write(path: Path, rows: Iterable[Mapping[str, object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
