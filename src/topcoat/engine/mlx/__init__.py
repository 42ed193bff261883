"""The MLX engine: the only code that knows MLX and mlx-lm.

Importing this package loads neither. `open_engine` loads a fast BLAS first, then imports the rest.
"""

from __future__ import annotations

import atexit
import importlib.metadata
import sys
import warnings
from typing import TYPE_CHECKING

from topcoat.engine.mlx.compute import chosen_compute, keep_float32
from topcoat.engine.mlx.cpu.blas import load_fast_blas
from topcoat.engine.mlx.cuda.kernels import first_use
from topcoat.errors import EngineFault
from topcoat.progress import Note, Sink

if TYPE_CHECKING:
    from topcoat.engine.mlx.engine import MlxEngine

__all__ = ["open_engine"]


def open_engine(sink: Sink | None = None, compute: str | None = None) -> MlxEngine:
    """The engine of this machine. It reports to `sink`, or as a Python warning, if CPU products will be slow or if
    their library could not be kept. `sink` also learns that a CUDA GPU's kernels are not compiled yet.

    `compute` is a value of `Compute`, or None for the environment's choice or the device's default.

    In a process that `mlx.launch` started, it joins the others' work.

    Raises EngineFault if MLX has no backend here (`mlx` from pip brings none on Linux without an extra), InvalidInput
    for an unknown `compute`.
    """
    keep_float32()
    blas = load_fast_blas()
    try:
        from topcoat.engine.mlx.cpu.quicken import on_cpu
        from topcoat.engine.mlx.engine import MlxEngine, on_cuda
        from topcoat.engine.mlx.ranks.group import connect
    except ImportError as error:
        raise EngineFault(f"MLX can't be loaded: {error}", hint='pip install "topcoat" --force-reinstall') from error
    chosen = chosen_compute(compute, on_cpu=on_cpu())
    engine = MlxEngine(chosen, connect(_parts(MlxEngine(chosen).name)), sink)
    if engine.ranks.size > 1 and engine.ranks.first:
        atexit.register(engine.dismiss)
        if sink is not None:
            hosts = ", ".join(f"{member.rank} on {member.host}" for member in engine.ranks.members)
            sink.emit(Note(f"{engine.ranks.size} ranks share the work: {hosts}"))
    if engine.on_cpu and not blas.fast:
        _say(
            f"no fast BLAS could be loaded ({blas.problem}); training on this CPU will be some 40 times slower. "
            "hint: apt-get install libopenblas0",
            sink,
        )
    elif engine.on_cpu and blas.note:
        _say(blas.note, sink)
    if sink is not None and on_cuda() and (said := first_use()):
        sink.emit(Note(said))
    return engine


def _parts(engine: str) -> dict[str, str]:
    """What must be the same on every rank."""
    python = ".".join(map(str, sys.version_info[:2]))
    return {"Python": python, "topcoat": importlib.metadata.version("topcoat"), "the engine": engine}


def _say(what: str, sink: Sink | None) -> None:
    if sink is None:
        warnings.warn(what, stacklevel=3)
    else:
        sink.emit(Note(what, warning=True))
