"""How well topcoat's scores of the Berkeley Function Calling Leaderboard agree with its own checker.

    pip download --no-deps bfcl-eval
    python -m benchmarks.bfcl_agreement bfcl_eval-*.whl [--answers 8000] [--seed 0] [--json FILE]

The suite is the one that `topcoat suite import bfcl` writes. Right and wrong answers are made from the ground truth
(`answers.py`). topcoat reads them as the text of a model and scores them with `calls`; the leaderboard's checker gets
their calls. Both must say the same: right, or wrong. Every disagreement is printed with its explanation.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from itertools import cycle, islice, permutations
from pathlib import Path
from random import Random
from typing import Any

from benchmarks.bfcl_agreement.answers import Made, Question, answers
from benchmarks.bfcl_agreement.checker import Checker
from topcoat.spec.agent import Agent
from topcoat.spec.suite import Case, load_suite
from topcoat.spec.tools.tool_list import own_catalog
from topcoat.suites.bfcl.categories import CATEGORIES
from topcoat.suites.bfcl.files import Files, open_files
from topcoat.suites.bfcl.importing import import_bfcl
from topcoat.suites.evaluate import score_text

MOST_ORDERS = 1000
"""The most orders of an answer's calls that are tried to explain a disagreement."""
MODE = Agent(own_catalog([], Path("tools.json")), calls="native")


@dataclass(frozen=True, slots=True)
class Judged:
    """What both sides say of one answer. `fault` is the leaderboard's, "" if the answer is right for it.

    `explanation` says why they disagree, "" if they don't, or if nothing is known.
    """

    case: str
    category: str
    kind: str
    text: str
    right: bool
    reason: str
    fault: str
    explanation: str = ""

    @property
    def agree(self) -> bool:
        return self.right == (not self.fault)


def judged(source: Path, count: int, seed: int) -> Iterator[Judged]:
    """`count` answers, spread evenly over the cases of the suite."""
    checker, files = Checker(source), open_files(source)
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "bfcl.jsonl"
        import_bfcl(source, path)
        suite = load_suite(path, MODE)
    questions, so_far = _questions(files), Counter[str]()
    rng = Random(seed)
    made = {case.id: answers(questions[case.id], Random(f"{seed} {case.id}"), so_far) for case in suite.cases}
    cases = list(suite.cases)
    rng.shuffle(cases)
    for _, case in zip(range(count), cycle(cases), strict=False):
        yield _judge(case, next(made[case.id]), questions[case.id], checker)


def _questions(files: Files) -> dict[str, Question]:
    questions = {}
    for category in CATEGORIES.values():
        calls = category.expected == "calls"
        truths = {row["id"]: row["ground_truth"] for row in _rows(files, category.stem, answers=True)} if calls else {}
        for row in _rows(files, category.stem):
            questions[row["id"]] = Question(row["id"], row["function"], truths.get(row["id"], []))
    return questions


def _rows(files: Files, stem: str, *, answers: bool = False) -> Iterator[Any]:
    for _, line in files.lines(stem, answers=answers):
        if line.strip():
            yield json.loads(line)


def _judge(case: Case, made: Made, question: Question, checker: Checker) -> Judged:
    score = score_text(case, made.text, MODE)
    stem = CATEGORIES[case.category].stem
    fault = checker.fault(question.functions, made.decoded, question.truth, stem)
    found = Judged(case.id, case.category, made.kind, made.text, score.value == 1.0, score.reason, fault)
    return found if found.agree else replace(found, explanation=_explanation(found, made, question, checker))


def _explanation(found: Judged, made: Made, question: Question, checker: Checker) -> str:
    stem = CATEGORIES[found.category].stem
    known = {function["name"] for function in question.functions}
    if not question.truth and not known & {name for name, _ in made.calls}:
        return "the leaderboard counts calls of tools that don't exist"
    orders = islice(permutations(made.decoded), MOST_ORDERS)
    if found.right and not all(checker.fault(question.functions, calls, question.truth, stem) for calls in orders):
        return "the leaderboard pairs each expected call with the first one that fits, and finds no call for the last"
    return ""


def report(found: list[Judged]) -> None:
    """Agreement in all, by category and by kind of change, and the disagreements."""
    for title, key in (("category", "category"), ("change", "kind")):
        groups = defaultdict(list)
        for one in found:
            groups[getattr(one, key)].append(one)
        print(f"\n{title:<36}{'answers':>9}{'right':>9}{'agree':>9}")
        for name, group in sorted(groups.items()):
            right = sum(not one.fault for one in group)
            print(f"{name:<36}{len(group):>9}{right:>9}{sum(one.agree for one in group):>9}")
    different = [one for one in found if not one.agree]
    for one in different:
        ours, theirs = (f"right, {one.reason}" if one.right else one.reason), one.fault or "right"
        print(f"\n{one.case} ({one.kind})\n  topcoat: {ours}\n  leaderboard: {theirs}\n  {' '.join(one.text.split())}")
        print(f"  because {one.explanation or 'of something unknown'}")
    share = 1 - len(different) / len(found)
    asked = [one for one in found if CATEGORIES[one.category].expected == "calls"]
    agreed = sum(one.agree for one in asked)
    print()
    for reason, times in Counter(one.explanation or "unknown" for one in different).most_common():
        print(f"{times} differ: {reason}")
    print(f"{len(found)} answers, {sum(not one.fault for one in found)} of them right for the leaderboard")
    print(f"agreement: {share:.4%} ({len(different)} differ); where calls are expected: {agreed / len(asked):.4%}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="the wheel, or the package's folder")
    parser.add_argument("--answers", type=int, default=8000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="write every answer here")
    options = parser.parse_args()
    found = list(judged(options.source.absolute(), options.answers, options.seed))
    if options.json:
        options.json.write_text(json.dumps([{**asdict(one), "agree": one.agree} for one in found], indent=1))
    report(found)


if __name__ == "__main__":
    main()
