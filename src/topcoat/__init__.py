"""Improve a local tool-calling model in thin, measured coats.

    from topcoat import open_engine, open_workspace, run_phase
    from topcoat.progress import Silent

    with open_workspace(Path("."), open_engine(Silent()), Silent(), "my script") as workspace:
        outcome = run_phase(workspace, Path("phases/phase34a.toml"))

Names without a leading underscore in `__all__` here and in the modules are the public interface; the rest may change.
"""

from topcoat.engine.mlx import open_engine
from topcoat.errors import TopcoatError
from topcoat.workflow import open_workspace, prepare, run_phase

__all__ = ["TopcoatError", "open_engine", "open_workspace", "prepare", "run_phase"]
