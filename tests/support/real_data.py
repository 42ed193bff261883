"""Where a real agent's data lies, if it is here."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["DATA", "ROOT"]

ROOT = Path(__file__).parents[2]
DATA = Path(os.environ.get("TOPCOAT_REAL_DATA", ROOT.parent / "shared" / "data" / "punie-phase33"))
