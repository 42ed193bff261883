"""The leaderboard's own checker of multi-turn answers, unmodified, out of the unpacked wheel."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from itertools import count
from pathlib import Path

from benchmarks.bfcl_episodes.questions import Call, Question

__all__ = ["Checker"]


class Checker:
    """Says what the leaderboard thinks of calls. `paths` are where Python finds what its systems import."""

    def __init__(self, root: Path, paths: Sequence[str], category: str) -> None:
        self._category = category
        sys.path[:0] = [str(root), *paths]
        name = "bfcl_eval.eval_checker.multi_turn_eval.multi_turn_checker"
        self._check = import_module(name).multi_turn_checker
        self._numbers = count()

    def fault(self, question: Question, turns: Sequence[Sequence[Call]]) -> str:
        """What is wrong with the calls of each turn, one a step; "" if they are right."""
        answers = [[[call.source] for call in calls] for calls in turns]
        truth = [[call.source for call in calls] for calls in question.turns]
        # The checker keeps the systems of a model's name for ever.
        model = f"made_up_{next(self._numbers)}"
        found = self._check(answers, truth, question.entry, self._category, model)
        return "" if found["valid"] else str(found["error_type"])
