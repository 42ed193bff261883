"""Answers to the prompts of `kinds`, and the same ones spoiled, as references."""

from __future__ import annotations

import random
from pathlib import Path

from tests.support.mlx.kinds import PROMPTS
from topcoat.engine.mlx.engine import MlxEngine
from topcoat.engine.protocol import GenerateJob
from topcoat.progress import Silent
from topcoat.store.records import Completion

__all__ = ["LIMITS", "answers_of", "spoiled"]

LIMITS = [3 + i % 9 for i in range(len(PROMPTS))]


def answers_of(engine: MlxEngine, folder: Path) -> list[Completion]:
    return engine.generate(GenerateJob(folder, PROMPTS, LIMITS), Silent())


def spoiled(answers: list[Completion], seed: int = 0) -> list[Completion]:
    """Every other answer with another token at a random place, or cut at it."""
    chance = random.Random(seed)
    changed = []
    for index, answer in enumerate(answers):
        ids = [*(answer.ids or ())]
        if index % 2 and ids:
            place = chance.randrange(len(ids))
            ids = ids[:place] if index % 4 == 1 else [*ids[:place], (ids[place] + 1) % 2000 + 5, *ids[place + 1 :]]
        changed.append(answer.model_copy(update={"ids": tuple(ids)}))
    return changed
