"""Where real data lies, if it is here: an agent's training data, and small inputs after what people report."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["DATA", "REPORTS", "ROOT"]

ROOT = Path(__file__).parents[2]
DATA = Path(os.environ.get("TOPCOAT_REAL_DATA", ROOT.parent / "shared" / "data" / "punie-phase33"))
REPORTS = DATA.parent / "reports"
