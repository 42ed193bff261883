"""Whether a model, and what it can be made again from, are as they were recorded."""

from __future__ import annotations

from pathlib import Path

from topcoat.engine.protocol import Engine
from topcoat.errors import StorageFault, TopcoatError, Where
from topcoat.store.lineage import ModelRow
from topcoat.store.paths import AttemptPaths
from topcoat.store.seal import damages, read_seal

__all__ = ["harm_to_parts", "is_sealed", "is_whole", "parts_of", "require_whole"]


def is_whole(engine: Engine, model: ModelRow) -> bool:
    """Whether the model's files are those that were recorded. Reads all of them."""
    try:
        return engine.describe(model.path).digest == model.digest
    except TopcoatError:
        return False


def require_whole(engine: Engine, model: ModelRow) -> None:
    """Raise StorageFault unless the model's files are those that were recorded. Reads all of them."""
    if not is_whole(engine, model):
        raise StorageFault(
            f"the files of model {model.name} have changed since it was recorded",
            where=Where(model.path),
            hint=f"topcoat rebuild {model.name}"
            if model.parent
            else "put the original files back, or start another project: topcoat init NEW_FOLDER --base MODEL",
        )


def parts_of(model: ModelRow) -> list[Path]:
    """What a fused model can be made again from, beside its base and root. `calibration.json` may not exist."""
    if model.adapter is None:
        return []
    paths = AttemptPaths(model.adapter.parent)
    return [model.adapter, paths.fuse_report, paths.calibration]


def is_sealed(model: ModelRow) -> bool:
    """Whether a fused model's adapter has a seal. Earlier versions wrote none."""
    return model.adapter is not None and read_seal(model.adapter.parent) is not None


def harm_to_parts(model: ModelRow) -> str:
    """Why a fused model can't be made again from its adapter, in a few words. "" if nothing speaks against it."""
    if model.adapter is None:
        return "it has no adapter"
    for path in parts_of(model)[:2]:
        if not path.exists():
            return f"{path.name} is gone"
    folder = model.adapter.parent
    sealed = read_seal(folder)
    if sealed is None:
        return ""
    if sealed.elsewhere.get(model.name) != model.digest:
        return "its adapter is another model's"
    return "; ".join(harm for part in parts_of(model) for harm in damages(folder, sealed, part))
