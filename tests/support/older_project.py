"""A project that version 0.1 wrote with its fake engine: phase1 is promoted, phase2 was killed between training and
fusing, and two events were captured. To be copied, never opened where it lies: opening brings it up to date.
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["PROJECT"]

PROJECT = Path(__file__).parents[1] / "store" / "fixtures" / "project-0.1"
