"""The data files and the suite of the demo project."""

import json
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from pathlib import Path

from topcoat.demo.make.chains import ask_chain
from topcoat.demo.make.curriculum import GOES_ON, THIN_CHAINS, THIN_DOMAIN, thin
from topcoat.demo.make.dialogues import Example, ask, example
from topcoat.demo.make.names import Names
from topcoat.demo.make.phrasings import STRONG
from topcoat.demo.make.prose import prose
from topcoat.demo.make.suite import suite
from topcoat.demo.make.targeted import targeted
from topcoat.demo.make.words import TRAINING, WIDE

SEED = 34


def history(rng: random.Random) -> list[Example]:
    """What the base model has learned, for replay: every tool and chain in the phrasings of its training."""
    names = Names(WIDE, rng)

    rows = _distinct(16, partial(prose, rng))
    for tool, templates in STRONG.items():
        rows += _distinct(19, partial(_single, tool, templates, names, rng))
    for tool, template in THIN_DOMAIN.items():
        rows += _distinct(5, partial(_single, tool, (template,), names, rng))
    for tools, template in THIN_CHAINS.items():
        rows += _distinct(8, partial(_chain, tools, template, names, rng))
    rng.shuffle(rows)
    return rows


def _single(tool: str, templates: Sequence[str], names: Names, rng: random.Random) -> Example:
    turn = ask(tool, rng.choice(templates), names, rng)
    return example(turn, names, goes_on=rng.random() < GOES_ON)


def _chain(tools: tuple[str, ...], template: str, names: Names, rng: random.Random) -> Example:
    return example(ask_chain(tools, template, names, rng), names)


def _distinct(count: int, make: Callable[[], Example]) -> list[Example]:
    """``count`` examples with different prompts."""
    rows: dict[str, Example] = {}
    while len(rows) < count:
        made = make()
        rows.setdefault(made["messages"][1]["content"], made)
    return list(rows.values())


def write_world(project: Path) -> None:
    """Write the suite and the data files into a project folder."""
    _write(project / "suites" / "routing.jsonl", suite(random.Random(f"{SEED} suite")))
    _write(project / "data" / "phase33b.jsonl", history(random.Random(f"{SEED} history")))
    _write(project / "data" / "phase34a.jsonl", targeted(random.Random(f"{SEED} targeted")))


def _write(path: Path, rows: Iterable[Mapping[str, object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def tokenizer_texts() -> Iterator[str]:
    """Texts for the tokenizer's merges: 6,000 dialogues, the thin categories a little thicker."""
    for dialogue in islice(thin(random.Random(5), TRAINING, domain=0.12, chains=0.08), 6000):
        for message in dialogue["messages"]:
            yield message["content"]
