"""What a rank above the first does: it takes part in the jobs that the first one tells, until that one ends.

Importing this module doesn't load MLX, so that `open_engine` can load a fast BLAS before it.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from topcoat.engine.mlx import open_engine
from topcoat.errors import EngineFault, NumericalFault, TopcoatError
from topcoat.progress import Silent

if TYPE_CHECKING:
    from topcoat.engine.mlx.engine import MlxEngine

__all__ = ["main", "work"]


def work(engine: MlxEngine) -> None:
    """Do what the first rank tells. Returns when it ends.

    Raises what ends this rank, and by that the run: the first rank then learns that this one is gone.
    """
    from topcoat.engine.mlx.ranks.messages import train_job

    ranks = engine.ranks
    while True:
        message = _next(engine)
        if message is None or message["do"] == "end":
            return
        problem = problem_of(engine, message)
        if any(ranks.gathered(problem)):
            continue
        if message["do"] == "train":
            job = train_job(message["job"])
            try:
                engine.train_together(job, Silent())
            except NumericalFault:
                continue  # sums are the same everywhere, so every rank has it
        elif message["do"] == "hold":
            _answer(engine, Path(message["model"]))


def _next(engine: MlxEngine) -> Any:
    """What the first rank tells next; None if it has gone without a word."""
    try:
        return engine.ranks.told(None)
    except EngineFault:
        return None


def problem_of(engine: MlxEngine, message: Any) -> str:
    """Why this rank can't take part: its copy of the model is missing, or another one. "" if it can."""
    try:
        digest = engine.describe(Path(message["model"])).digest
    except TopcoatError as error:
        return error.message
    return "" if digest == message["digest"] else f"{message['model']} holds another model there"


def _answer(engine: MlxEngine, model: Path) -> None:
    """Answer with the model until the first rank releases it."""
    from topcoat.engine.mlx.ranks.answering import answer_as_told

    with engine.holding(model) as held:
        while (message := engine.ranks.told(None))["do"] != "release":
            answer_as_told(held, engine.ranks, message)


def main() -> None:
    """`topcoat` as a rank above the first: the command is the first one's."""
    try:
        work(open_engine(Silent()))
    except TopcoatError as error:
        print(f"topcoat, another rank: {error.message}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
