"""SmolLM2-135M-Instruct and the Berkeley Function Calling Leaderboard as a project.

    python -m benchmarks.real make WORK             fetch both, split, and write WORK/project
    python -m benchmarks.real sample WORK           evaluate the base on a few cases of each category, by both checkers
    python -m benchmarks.real status WORK           what is done, and what it found

A stage that is done is not done again, unless what it needs has changed. Both wheels are fetched with pip.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from benchmarks.real.checking import SAMPLE
from benchmarks.real.project import PROJECT
from benchmarks.real.sources import SOURCES
from benchmarks.real.split import SPLIT
from benchmarks.real.stages import Options, Stage, Work

MAKE: tuple[Stage, ...] = (*SOURCES, SPLIT, *PROJECT)
"""What makes the project, in order."""

STAGES: tuple[Stage, ...] = (*MAKE, SAMPLE)
"""All stages. One that is added here can be named on the command line."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["make", "status", *(stage.name for stage in STAGES)])
    parser.add_argument("work", type=Path, metavar="WORK")
    parser.add_argument("--cases", type=int, default=60, help="the most cases of a category in the suite")
    parser.add_argument("--episodes", type=int, default=10, help="multi-turn dialogues in the suite")
    parser.add_argument("--sampled", type=int, default=5, help="cases of a category that `sample` evaluates")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    options = Options(arguments.cases, arguments.episodes, arguments.sampled, arguments.seed)
    work = Work(arguments.work.absolute(), options, STAGES)
    if arguments.what == "status":
        for stage in STAGES:
            print(f"{stage.name:<10}{json.dumps(work.found(stage.name)) if work.is_done(stage) else 'to do'}")
        return
    for stage in MAKE if arguments.what == "make" else [work.stage(arguments.what)]:
        work.reach(stage)


if __name__ == "__main__":
    main()
