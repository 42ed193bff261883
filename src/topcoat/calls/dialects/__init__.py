"""The ways in which model families write tool calls, each recognized by a mark that no other text has."""

from __future__ import annotations

from topcoat.calls.dialects.dialects import read_dialect

__all__ = ["read_dialect"]
