"""Writes a fused model's folder: the adapted modules in one new file, everything else with unchanged bytes.

mlx-lm loads every `model*.safetensors` of a folder, so the adapted modules can have a file of their own. Files without
adapted modules are hard-linked. A file with some is written once without them. From the second phase on the same
modules, a phase costs the disk of those modules alone.
"""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from statistics import mode

from mlx_lm.utils import load_model

from topcoat.engine.mlx.fuse.master import AdaptedModule
from topcoat.engine.mlx.model.config import Config
from topcoat.engine.mlx.model.folder import weight_files
from topcoat.engine.mlx.model.lora import Weights
from topcoat.engine.mlx.model.shards import Shard, save_tensors, write_without
from topcoat.engine.mlx.model.stored import PARTS, converted
from topcoat.engine.protocol import FuseJob, RebuildJob
from topcoat.store.files import staged_folder, write_json

__all__ = ["weight_sizes", "write_fused"]

PART = 1 << 30
"""A file of a converted model ends with the tensor that reaches so many bytes: they are in memory at a time."""
_WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".gguf", ".onnx", ".h5", ".msgpack")
"""Files of weights by suffix. None is copied: the first are written anew, and the others would be the base's."""


def write_fused(modules: list[AdaptedModule], coat: Weights, job: FuseJob | RebuildJob) -> tuple[int, int]:
    """Write the model folder. `coat`, the modules' packed tensors, goes into a file of its own.

    Returns the number of tensors that are kept byte for byte, and the bytes of new disk space.
    """
    old_names = frozenset(f"{module.name}.{part}" for module in modules for part in PARTS)
    shards = [Shard.open(path) for path in weight_files(job.base)]
    names = {name for shard in shards for name in shard.tensors}
    with staged_folder(job.output) as staged:
        config = json.loads((job.base / "config.json").read_bytes())
        if all(f"{module.name}.weight" in names for module in modules):
            copied, written = _write_kept(shards, staged, old_names)
        else:
            copied, written = 0, _write_converted(job.base, staged, old_names, config)
        path = staged / f"model-coat-{job.output.name}.safetensors"
        save_tensors(path, coat, {"format": "mlx"})
        written += path.stat().st_size
        for other in sorted(job.base.iterdir()):
            if other.is_file() and other.suffix not in _WEIGHTS and other.name != "config.json":
                shutil.copyfile(other, staged / other.name)
        _write_config(config, staged, modules)
        _write_index(staged)
    return copied, written


def _write_kept(shards: list[Shard], staged: Path, dropped: frozenset[str]) -> tuple[int, int]:
    """Write the base's files without the `dropped` tensors; gives the number of the others, and the new bytes."""
    copied = written = 0
    for shard in shards:
        kept = shard.tensors.keys() - dropped
        copied += len(kept)
        if kept:
            written += write_without(shard, staged / shard.path.name, dropped)
    return copied, written


def _write_converted(base: Path, staged: Path, dropped: frozenset[str], config: Config) -> int:
    """Write the base in mlx-lm's layout without the `dropped` tensors; gives the bytes.

    A folder in two layouts at once could not be loaded. `config` gets the quantization that mlx-lm made of the base's.
    """
    tensors, loaded = converted(base)
    (config.get("text_config") or {}).pop("quantization_config", None)
    for key in ("quantization", "quantization_config"):
        config.pop(key, None)
        if "quantization" in loaded:
            config[key] = loaded["quantization"]
    names = [name for name in tensors if name not in dropped]
    tensors = {name: tensors[name] for name in names}
    written = number = 0
    while tensors:
        number += 1
        part: Weights = {}
        while tensors and (not part or sum(array.nbytes for array in part.values()) < PART):
            name = next(iter(tensors))
            part[name] = tensors.pop(name)  # given away, because an array keeps its data once it is read
        path = staged / f"model-{number:05}.safetensors"
        save_tensors(path, part, {"format": "mlx"})
        written += path.stat().st_size
    return written


def _write_config(config: Config, staged: Path, modules: list[AdaptedModule]) -> None:
    """Write the base's config, with an mlx-lm quantization entry for each module whose packing changed."""
    for key in ("quantization", "quantization_config"):
        if key == "quantization_config" and key not in config:
            continue
        section = dict(config.get(key) or {})
        for module in modules:
            if module.bits is None and module.base_bits is not None:
                section[module.name] = False
            elif module.bits is not None:
                section.setdefault("group_size", module.group_size)
                section.setdefault("bits", module.bits)
                own = {"group_size": module.group_size, "bits": module.bits}
                section[module.name] = own if section.get("mode", "affine") == "affine" else {**own, "mode": "affine"}
        if section:
            config[key] = section
    write_json(staged / "config.json", config)


def _write_index(staged: Path) -> None:
    """Rewrite the index of tensors to files, if the model has one."""
    path = staged / "model.safetensors.index.json"
    if not path.exists():
        return
    index = json.loads(path.read_bytes())
    shards = [Shard.open(file) for file in weight_files(staged)]
    index["weight_map"] = {name: shard.path.name for shard in shards for name in shard.tensors}
    total = sum(t["data_offsets"][1] - t["data_offsets"][0] for shard in shards for t in shard.tensors.values())
    index.setdefault("metadata", {})["total_size"] = total
    write_json(path, index)


def weight_sizes(folder: Path) -> tuple[int, float]:
    """Bytes of a model's weight files, and bits per weight: the bits of its tensors over the number of weights.

    Scales and biases of quantized modules count as bits, not as weights. A module's bits are those that mlx-lm loads it
    with: it finds them in the tensors where the config doesn't say them, or says others.
    """
    model, _ = load_model(folder, lazy=True)
    bits = {name: module.bits for name, module in model.named_modules() if hasattr(module, "bits")}
    usual = mode(bits.values()) if bits else 32
    tensors = {name: tensor for path in weight_files(folder) for name, tensor in Shard.open(path).tensors.items()}
    stored = weights = 0
    for name, tensor in tensors.items():
        stored += tensor["data_offsets"][1] - tensor["data_offsets"][0]
        module, _, part = name.rpartition(".")
        if f"{module}.scales" not in tensors:
            weights += math.prod(tensor["shape"])
        elif part == "weight":  # words of 32 bits
            weights += math.prod(tensor["shape"]) * 32 // bits.get(module, usual)  # a module that mlx-lm renames
    return sum(path.stat().st_size for path in weight_files(folder)), 8 * stored / weights
