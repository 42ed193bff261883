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

from topcoat.engine.mlx.fuse.master import AdaptedModule
from topcoat.engine.mlx.model.folder import weight_files
from topcoat.engine.mlx.model.lora import Weights
from topcoat.engine.mlx.model.shards import Shard, save_tensors, write_without
from topcoat.engine.protocol import FuseJob, RebuildJob
from topcoat.store.files import staged_folder, write_json

__all__ = ["weight_sizes", "write_fused"]


def write_fused(modules: list[AdaptedModule], coat: Weights, job: FuseJob | RebuildJob) -> tuple[int, int]:
    """Write the model folder. `coat`, the modules' packed tensors, goes into a file of its own.

    Returns the number of tensors that are kept byte for byte, and the bytes of new disk space.
    """
    old_names = {f"{module.name}.{part}" for module in modules for part in ("weight", "scales", "biases")}
    copied = written = 0
    with staged_folder(job.output) as staged:
        shards = [Shard.open(path) for path in weight_files(job.base)]
        for shard in shards:
            kept = shard.tensors.keys() - old_names
            copied += len(kept)
            if kept:
                written += write_without(shard, staged / shard.path.name, frozenset(old_names))
        path = staged / f"model-coat-{job.output.name}.safetensors"
        save_tensors(path, coat, {"format": "mlx"})
        written += path.stat().st_size
        for other in sorted(job.base.iterdir()):
            if other.is_file() and other.suffix != ".safetensors" and other.name != "config.json":
                shutil.copyfile(other, staged / other.name)
        _write_config(job.base, staged, modules)
        _write_index(staged)
    return copied, written


def _write_config(base: Path, staged: Path, modules: list[AdaptedModule]) -> None:
    """Write the base's config, with an mlx-lm quantization entry for each module whose packing changed."""
    config = json.loads((base / "config.json").read_bytes())
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

    Scales and biases of quantized modules count as bits, not as weights.
    """
    quantization = json.loads((folder / "config.json").read_bytes()).get("quantization") or {}
    tensors = {name: tensor for path in weight_files(folder) for name, tensor in Shard.open(path).tensors.items()}
    stored = weights = 0
    for name, tensor in tensors.items():
        stored += tensor["data_offsets"][1] - tensor["data_offsets"][0]
        module, _, part = name.rpartition(".")
        if f"{module}.scales" not in tensors:
            weights += math.prod(tensor["shape"])
        elif part == "weight":  # words of 32 bits
            own = quantization.get(module)
            weights += math.prod(tensor["shape"]) * 32 // (own if isinstance(own, dict) else quantization)["bits"]
    return sum(path.stat().st_size for path in weight_files(folder)), 8 * stored / weights
