"""The data files and the suite of the demo project."""

import json
import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path

from topcoat.demo.make.chains import ask_chain
from topcoat.demo.make.curriculum import ASIDE, GOES_ON, KNOWN_AS, THIN_CHAINS, THIN_DOMAIN, chained, foundation, single
from topcoat.demo.make.dialogues import Example, ask, example
from topcoat.demo.make.names import Names
from topcoat.demo.make.phrasings import LATER
from topcoat.demo.make.prose import prose
from topcoat.demo.make.suite import suite
from topcoat.demo.make.targeted import targeted
from topcoat.demo.make.words import TRAINING, WIDE

SEED = 34


def history(rng: random.Random) -> list[Example]:
    """What the base model has learned, for replay: every tool and chain in the phrasings of its training."""
    names = Names(WIDE, rng)

    rows = _distinct(8, partial(prose, rng))
    for tool, templates in LATER.items():
        rows += _distinct(19, partial(single, tool, templates, names, rng, aside=ASIDE))
    for tool, templates in THIN_DOMAIN.items():
        rows += _distinct(5, partial(single, tool, templates, names, rng, aside=ASIDE))
    for tools in THIN_CHAINS:
        rows += _distinct(6, partial(chained, tools, names, rng))
    rng.shuffle(rows)
    return rows


def validation(rng: random.Random) -> list[Example]:
    """A few requests like the targeted ones, with other names: none of the eighty has to be held out."""
    return [row for row in targeted(rng) if len(row["messages"]) == 3][:16]


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
    _write(project / "data" / "phase34a-valid.jsonl", validation(random.Random(f"{SEED} validation")))


def _write(path: Path, rows: Iterable[Mapping[str, object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


_OF = ("render tree", "dependency graph")
_FIRST_DOMAIN = {
    tool: f"{tool.partition('_')[0]} the {subject} {'of' if subject in _OF else 'in'} {{path}}"
    for tool, subject in KNOWN_AS.items()
}
_FIRST_CHAINS = {
    ("goto_definition", "read_file"): (
        "[find|look up] the definition of {symbol} at {path}:{line}:{column} and read that file"
    ),
    ("git_status", "git_diff"): "find the first modified file in {folder} and show its diff",
}


def tokenizer_texts() -> Iterator[str]:
    """Texts for the tokenizer's merges: 6,000 dialogues, mostly of the foundation."""
    rng = random.Random(5)
    names = Names(TRAINING, rng)
    well = foundation(rng)
    for _ in range(6000):
        draw = rng.random()
        if draw < 0.12:
            tool = rng.choice(tuple(_FIRST_DOMAIN))
            turn = ask(tool, _FIRST_DOMAIN[tool], names, rng)
            dialogue = example(turn, names, goes_on=rng.random() < GOES_ON)
        elif draw < 0.2:
            tools = rng.choice(tuple(_FIRST_CHAINS))
            dialogue = example(ask_chain(tools, _FIRST_CHAINS[tools], names, rng), names)
        else:
            dialogue = next(well)
        for message in dialogue["messages"]:
            yield message["content"]
