"""The coats of a model as one adapter on its root.

A coat adds scale * A B to a weight. The sum of several is one product again: their matrices side by side, of the rank
that is the sum of the ranks. So one adapter holds it exactly where the coats have one scale; another scale goes into B,
which rounds in float32. What this adapter computes isn't what the fused model computes: fusing quantized the sum.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
from mlx_lm.tuner.lora import LoRALinear, LoRASwitchLinear

from topcoat.engine.mlx.compute import Compute
from topcoat.engine.mlx.export.layouts import layout_of
from topcoat.engine.mlx.fuse.master import AdaptedModule, input_width, plain_weight, read_coat
from topcoat.engine.mlx.model.config import read_config
from topcoat.engine.mlx.model.folder import load
from topcoat.engine.mlx.model.lora import Weights, adapter_weights, read_adapter, wrap
from topcoat.engine.mlx.model.shards import save_tensors
from topcoat.engine.mlx.model.stored import StoredTensors
from topcoat.engine.mlx.numbers import scalar
from topcoat.engine.protocol import ExportJob
from topcoat.errors import InvalidInput, Where
from topcoat.progress import Note, Sink, task
from topcoat.quantity import counted
from topcoat.store.files import staged_folder, write_json
from topcoat.store.records import ExportReport, StackedCoats

__all__ = ["export_coats"]

Coat = tuple[dict[str, Any], Weights]
"""An adapter's configuration and matrices."""


def export_coats(job: ExportJob, sink: Sink) -> ExportReport:
    """Write the adapter `job.output`, and measure it beside the fused model.

    Raises InvalidInput if the model has no coats, if one adapter can't hold them, or if PEFT has no form of it.
    """
    if job.numbers != "as-stored":
        raise InvalidInput(f"an adapter is written as it is, not as {job.numbers}", hint="leave --numbers out")
    if job.root is None or not job.adapters:
        raise InvalidInput(
            f"{job.name} has no coats: it is a root", hint=f"topcoat export {job.name} --to hf exports all of it"
        )
    coats = [read_adapter(folder) for folder in job.adapters]
    _require_one_adapter(coats, job)
    root = load(job.root, Compute.AS_STORED, lazy=True).model
    config = _config(coats, len(root.layers))
    root.freeze()
    wrap(root, config)
    modules = {name: module for name, module in root.named_modules() if f"{name}.lora_a" in adapter_weights(root)}
    if job.form == "peft":
        _require_peft(modules, job.root)
    weights = _stacked(adapter_weights(root), modules, coats, config)
    size = sum(array.nbytes for array in weights.values())
    sink.emit(Note(f"writing {size / 1e6:.1f} MB of an adapter"))
    stacked = _beside_fused(job, modules, config, sink)
    with staged_folder(job.output) as staged:
        if job.form == "peft":
            kept = {name for _, own in coats for name in own}
            _write_peft(config, {name: value for name, value in weights.items() if name in kept}, staged)
        else:
            write_json(staged / "adapter_config.json", config)
            save_tensors(staged / "adapters.safetensors", weights, {"format": "mlx"})
    return ExportReport(kinds={"float32": len(weights)}, size=size, coats=stacked, notes=_notes(coats))


def _require_one_adapter(coats: Sequence[Coat], job: ExportJob) -> None:
    if len(coats) > 1 and any(config.get("fine_tune_type") == "dora" for config, _ in coats):
        raise InvalidInput(
            f"{job.name} has {len(coats)} coats, and one of them is a DoRA, which scales whole rows: no adapter holds "
            "their sum",
            hint=f"topcoat export {job.name} --to hf",
        )


def _require_peft(modules: Mapping[str, nn.Module], root: Path) -> None:
    """Raise InvalidInput unless PEFT finds these modules in transformers' model, as linear layers."""
    layout_of(read_config(root), root)
    other = next((name for name, module in modules.items() if isinstance(module, LoRASwitchLinear)), None)
    if other is not None:
        raise InvalidInput(
            f"{other} holds a mixture's experts, for which PEFT has no LoRA of this form",
            where=Where(root),
            hint="--to mlx-adapter, or --to hf for the whole model",
        )


def _config(coats: Sequence[Coat], layers: int) -> dict[str, Any]:
    """mlx-lm's `adapter_config.json` for all coats together, on a model of so many layers."""
    names = {name.rpartition(".")[0] for _, weights in coats for name in weights}
    depths = [config["num_layers"] for config, _ in coats]
    return {
        "fine_tune_type": coats[-1][0].get("fine_tune_type", "lora"),
        "num_layers": layers if -1 in depths else max(depths),
        "lora_parameters": {
            "rank": sum(_rank(config) for config, _ in coats),
            "scale": _scale(coats[-1][0]),
            "dropout": 0.0,
            "keys": sorted({name.split(".layers.", 1)[1].split(".", 1)[1] for name in names}),
        },
    }


def _rank(config: Mapping[str, Any]) -> int:
    return int(config["lora_parameters"]["rank"])


def _scale(config: Mapping[str, Any]) -> float:
    return float(config["lora_parameters"]["scale"])


def _stacked(
    expected: Weights, modules: Mapping[str, nn.Module], coats: Sequence[Coat], config: Mapping[str, Any]
) -> Weights:
    """The matrices of all coats side by side, by module. A coat that a module lacks is zeros."""
    if len(coats) == 1:
        return {name: coats[0][1].get(name, mx.zeros_like(value)) for name, value in expected.items()}
    weights: Weights = {}
    for name, module in modules.items():
        # (in, rank) and (rank, out); of experts, (experts, rank, in) and (experts, out, rank).
        axes = (-2, -1) if isinstance(module, LoRASwitchLinear) else (-1, -2)
        for part, axis in zip(("lora_a", "lora_b"), axes, strict=True):
            whole = f"{name}.{part}"
            shape = list(expected[whole].shape)
            blocks = []
            for own, matrices in coats:
                shape[axis] = _rank(own)
                block = matrices.get(whole, mx.zeros(shape)).astype(mx.float32)
                same = part == "lora_a" or _scale(own) == _scale(config)
                blocks.append(block if same else block * (_scale(own) / _scale(config)))
            weights[whole] = mx.concatenate(blocks, axis=axis)
    return weights


def _beside_fused(
    job: ExportJob, modules: Mapping[str, nn.Module], config: Mapping[str, Any], sink: Sink
) -> StackedCoats:
    """What the fused model has of root + coats, over the modules that a coat changes."""
    assert job.root is not None
    root, fused = StoredTensors(job.root), StoredTensors(job.model)
    coats = [read_coat(folder) for folder in job.adapters]
    survival, apart, worst, measured = float("inf"), 0.0, "", 0
    with task(sink, "compare with the fused model", total=len(modules), unit="module") as progress:
        for done, (name, module) in enumerate(modules.items(), 1):
            kind = type(module) if isinstance(module, LoRASwitchLinear) else LoRALinear
            width = input_width(module)
            adapted = AdaptedModule(name, kind, width, mx.float32, None, None, [None], root, coats)
            before = plain_weight(name, root.read(name), width)
            meant = adapted.master().weight - before
            size = scalar(mx.square(meant).sum())
            progress.advance(done)
            if size == 0.0:
                continue
            measured += 1
            change = plain_weight(name, fused.read(name), width) - before
            kept = scalar((change * meant).sum()) / size
            if kept < survival:
                survival, worst = kept, name
            apart = max(apart, (scalar(mx.square(change - meant).sum()) / size) ** 0.5)
        progress.result = f"survival {survival:.4f}" if measured else "the coats change nothing"
    return StackedCoats(
        coats=len(coats),
        rank=config["lora_parameters"]["rank"],
        modules=measured,
        survival=survival if measured else 1.0,
        module=worst,
        apart=apart,
    )


def _notes(coats: Sequence[Coat]) -> list[str]:
    scales = sorted({_scale(config) for config, _ in coats})
    if len(scales) == 1:
        return []
    listed = ", ".join(f"{scale:g}" for scale in scales)
    return [f"{counted(len(coats), 'coat')} with the scales {listed}: the matrices B take them up, rounded in float32"]


def _write_peft(config: Mapping[str, Any], weights: Weights, folder: Path) -> None:
    """PEFT's form: A (rank, in), B (out, rank), and their product times lora_alpha / r."""
    rank = _rank(config)
    tensors: Weights = {}
    for name, value in weights.items():
        module, _, part = name.rpartition(".")
        theirs = {"lora_a": "lora_A.weight", "lora_b": "lora_B.weight", "m": "lora_magnitude_vector"}[part]
        tensors[f"base_model.model.{module}.{theirs}"] = mx.contiguous(value.T) if value.ndim == 2 else value
    write_json(
        folder / "adapter_config.json",
        {
            "peft_type": "LORA",
            "task_type": "CAUSAL_LM",
            "base_model_name_or_path": None,
            "r": rank,
            "lora_alpha": _scale(config) * rank,
            "lora_dropout": 0.0,
            "bias": "none",
            "use_dora": config["fine_tune_type"] == "dora",
            "target_modules": sorted({name.rpartition(".")[0] for name in weights}),
            "inference_mode": True,
        },
    )
    save_tensors(folder / "adapter_model.safetensors", tensors, {"format": "pt"})
