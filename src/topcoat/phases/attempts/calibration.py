"""The calibration rows of compensated rounding: drawn from the training rows, stored beside the adapter.

A model can only be rebuilt with the same rows, and the data of a phase may change later.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from topcoat.engine.protocol import Row
from topcoat.store.files import read_record
from topcoat.store.paths import AttemptPaths
from topcoat.store.records import Calibration
from topcoat.store.seal import ResultFolder

__all__ = ["calibration_rows", "choose_calibration"]

MOST_TOKENS = 8192
"""The approximate number of tokens. The rows are spread evenly over the training rows."""


def choose_calibration(folder: ResultFolder, rows: Sequence[Row]) -> list[Row]:
    """The attempt's calibration rows. If there are none in its `folder` yet, choose them from `rows` and store them."""
    every = max(1, sum(len(row.tokens) for row in rows) // MOST_TOKENS)
    chosen = [row.tokens.tolist() for row in rows[::every]]
    return _rows(folder.stored(AttemptPaths(folder.folder).calibration, Calibration, lambda: Calibration(rows=chosen)))


def calibration_rows(path: Path) -> list[Row]:
    """The attempt's stored calibration rows. Raises StorageFault if they are missing or damaged."""
    return _rows(read_record(path, Calibration))


def _rows(calibration: Calibration) -> list[Row]:
    return [Row(np.array(tokens, np.int32), np.zeros(len(tokens), np.bool_)) for tokens in calibration.rows]
