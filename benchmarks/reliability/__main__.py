"""The reliability campaign: kills at random instants, mutated lines, random answers, hostile programs and requests.

    python -m benchmarks.reliability [--part NAME]... [--count N] [--seed N] [--json]

Run from the project's folder. Each part has its own number of tries, which `--count` replaces; the seed decides
everything but the instants of a kill, which the machine's speed has a share in. Progress goes to stderr. Ctrl-C
ends a part, and what it has tried is printed. The exit code
is 1 if there was a fault. docs/reliability.md says what was seen.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
from typing import Any

from benchmarks.reliability.answers import try_answers
from benchmarks.reliability.kills import try_kills
from benchmarks.reliability.lines import try_lines
from benchmarks.reliability.programs import try_programs
from benchmarks.reliability.requests import try_requests
from benchmarks.reliability.tally import Part, Tally

PARTS: dict[str, tuple[Part, int]] = {
    "kills": (try_kills, 100),
    "lines": (try_lines, 20_000),
    "answers": (try_answers, 10_000),
    "programs": (try_programs, 9_000),
    "requests": (try_requests, 500),
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reliability", description=__doc__.split("\n")[0])
    parser.add_argument("--part", choices=PARTS, action="append", help="only this part; may be given several times")
    parser.add_argument("--count", type=int, help="so many tries of each part")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of the table")
    options = parser.parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores Ctrl-C otherwise
    found = []
    for name in options.part or PARTS:
        run, usual = PARTS[name]
        tally = Tally(name, options.count or usual)
        try:
            run(tally, options.seed)
        except KeyboardInterrupt:
            print(f"{name} was interrupted", file=sys.stderr)
        found.append(tally.figures())
    print(json.dumps(found, indent=2) if options.json else _table(found))
    return 1 if any(part["faults"] for part in found) else 0


def _table(found: list[dict[str, Any]]) -> str:
    lines = []
    for part in found:
        lines.append(
            f"{part['part']:<9} {part['tried']:>6} tried  {len(part['faults']):>3} faults  {part['seconds']:>7} s"
        )
        lines += [f"    {count:>6} {outcome}" for outcome, count in part["outcomes"].items()]
        lines += [f"    FAULT: {fault}" for fault in part["faults"]]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
