"""The demo project shipped with topcoat.

``TEMPLATE`` is the folder that ``topcoat demo`` copies to the user's disk: a project whose base model is strong in
five categories of tools and weak in two, because it saw little of those two.
"""

from pathlib import Path

TEMPLATE: Path = Path(__file__).parent / "project"
"""The project template: ``topcoat.toml`` and everything that it names."""

__all__ = ["TEMPLATE"]
