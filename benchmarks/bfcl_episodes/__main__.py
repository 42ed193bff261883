"""How well topcoat's scores of episodes agree with the leaderboard's checker of its multi-turn questions.

    pip download --no-deps bfcl-eval
    pip install --target site mpmath
    python -m benchmarks.bfcl_episodes bfcl_eval-*.whl --path site [--category multi_turn_base] [--changes 5]
        [--seed 0] [--most 200] [--json FILE]

The episodes are those that `topcoat suite import bfcl` writes of a multi-turn category, with the leaderboard's own
systems as the simulator. A scripted model makes the right calls, one a step unless they are too many; then calls of
which one is missing, changed or added. topcoat plays them and scores state and results after each turn. The
leaderboard's checker gets the same calls. Both must say the same. What the import leaves out is printed: questions
about the MathAPI where mpmath can't be imported.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from benchmarks.bfcl_episodes.changes import Turns, changes
from benchmarks.bfcl_episodes.checker import Checker
from benchmarks.bfcl_episodes.questions import Call, Question, questions, unpacked
from topcoat.progress import Silent, Sink
from topcoat.spec.agent import Agent
from topcoat.spec.suite import Case, load_suite
from topcoat.spec.tools.tool_list import own_catalog
from topcoat.store.records import Completion
from topcoat.suites.bfcl.importing import import_bfcl
from topcoat.suites.episodes.episode import Draw, Episode
from topcoat.suites.episodes.player import play
from topcoat.suites.source import Question as Asked
from topcoat.suites.source import Reply

AGENT = Agent(own_catalog([], Path("tools.json")), calls="native")
BATCH = 100
"""Episodes that are played together: each has a process."""
STEPS = 20
"""Answers with calls that the leaderboard allows in a turn. Its checker is given calls alone and doesn't count them."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What both sides say of one answer. `fault` is the leaderboard's, "" if the answer is right for it."""

    case: str
    kind: str
    right: bool
    reason: str
    fault: str


class Scripted:
    """A model that makes the calls of each turn, one a step unless they are too many, and says "Done." then."""

    def __init__(self, scripts: Mapping[str, Turns]) -> None:
        self.rest = {name: [*_answers(turns)] for name, turns in scripts.items()}

    def ask(self, questions: Sequence[Asked], sink: Sink) -> list[Reply]:
        texts = [self.rest[question.id].pop(0) for question in questions]
        return [Completion(text=text, tokens=1, finish="stop") for text in texts]


def _answers(turns: Turns) -> list[str]:
    answers = []
    for calls in turns:
        together = max(1, -(-len(calls) // STEPS))
        for start in range(0, len(calls), together):
            answers.append("".join(_written(call) for call in calls[start : start + together]))
        answers.append("Done.")
    return answers


def _written(call: Call) -> str:
    return f"<tool_call>{json.dumps({'name': call.tool, 'arguments': dict(call.arguments)})}</tool_call>"


def judged(root: Path, paths: Sequence[str], category: str, most: int | None, rounds: int, seed: int) -> list[Judged]:
    """What both sides say: of the right calls of each question, and of `rounds` times three changed ones."""
    for package in (package for path in paths for package in Path(path).iterdir()):
        (root / package.name).symlink_to(package)  # the file that the import writes looks there
    file = root / "suites" / "bfcl.jsonl"
    done = import_bfcl(root, file, [category])
    for left in done.left_out:
        print(f"left out: {left.id}: {left.reason}", file=sys.stderr)
    cases = {case.id: case for case in load_suite(file, AGENT).cases}
    found = [question for question in questions(root, category) if question.id in cases][:most]
    checker = Checker(root, paths, category)
    answers: list[tuple[Question, str, Turns]] = [(question, "right", question.turns) for question in found]
    for number in range(rounds):
        for place, question in enumerate(found):
            random = Random(f"{seed} {number} {question.id}")
            answers += [(question, kind, turns) for kind, turns in changes(question, _like(found, place), random)]
    results = []
    for start in range(0, len(answers), BATCH):
        batch = answers[start : start + BATCH]
        for (question, kind, turns), (right, reason) in zip(batch, _scores(batch, cases, file), strict=True):
            results.append(Judged(question.id, kind, right, reason, checker.fault(question, turns)))
    return results


def _like(found: Sequence[Question], place: int) -> list[Question]:
    """A few questions with the same systems."""
    wanted = set(found[place].entry["involved_classes"])
    return [one for one in found if set(one.entry["involved_classes"]) == wanted][:5]


def _scores(
    batch: Sequence[tuple[Question, str, Turns]], cases: Mapping[str, Case], suite: Path
) -> list[tuple[bool, str]]:
    draws = [(cases[question.id], Draw(name=f"{question.id} {n}")) for n, (question, _, _) in enumerate(batch)]
    source = Scripted({draw.name: turns for (_, draw), (_, _, turns) in zip(draws, batch, strict=True)})
    scores = []
    for end in play(draws, suite, source, AGENT, Silent()):
        assert isinstance(end, Episode)
        scores.append((end.score.value == 1.0, end.score.reason))
    return scores


def summary(results: Sequence[Judged]) -> dict[str, dict[str, int]]:
    """By kind: answers, those that each side solves, those on which both agree, and those that topcoat alone solves."""
    table: dict[str, Counter[str]] = {}
    for one in results:
        row = table.setdefault(one.kind, Counter())
        row.update(
            answers=1,
            solved=one.right,
            leaderboard=not one.fault,
            agree=one.right == (not one.fault),
            too_kind=one.right and bool(one.fault),
        )
    return {kind: dict(row) for kind, row in table.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheel", type=Path)
    parser.add_argument("--path", action="append", default=[], help="a folder that Python also looks into")
    parser.add_argument("--category", default="multi_turn_base")
    parser.add_argument("--changes", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--most", type=int)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        paths = [str(Path(path).absolute()) for path in given.path]
        results = judged(
            unpacked(given.wheel, Path(folder)), paths, given.category, given.most, given.changes, given.seed
        )
    table = summary(results)
    print(f"{'kind':10} {'answers':>8} {'solved':>8} {'by BFCL':>8} {'agree':>8} {'too kind':>8}")
    for kind, row in table.items():
        columns = ("answers", "solved", "leaderboard", "agree", "too_kind")
        print(f"{kind:10} {' '.join(f'{row[key]:8}' for key in columns)}")
    for one in results:
        if one.right != (not one.fault):
            print(f"{one.case} {one.kind}: topcoat {one.reason!r}, leaderboard {one.fault or 'right'!r}")
    agree = sum(row["agree"] for row in table.values()) / max(1, len(results))
    print(f"agreement {agree:.2%} of {len(results)} answers, {time.perf_counter() - started:.0f} s")
    if given.json:
        given.json.write_text(json.dumps(table, indent=1) + "\n")


if __name__ == "__main__":
    main()
