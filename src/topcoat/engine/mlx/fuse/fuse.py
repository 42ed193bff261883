"""Fuses an adapter into quantized weights so that its delta survives, and measures the survival."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_unflatten
from mlx_lm.models.switch_layers import QuantizedSwitchLinear, SwitchLinear
from mlx_lm.tuner.dora import DoRALinear
from mlx_lm.tuner.lora import LoRAEmbedding, LoRALinear, LoRASwitchLinear

from topcoat.engine.mlx.compute import Compute
from topcoat.engine.mlx.fuse.fused_folder import weight_sizes, write_fused
from topcoat.engine.mlx.fuse.master import AdaptedModule, Master, adapted_modules
from topcoat.engine.mlx.fuse.rounding import input_moments
from topcoat.engine.mlx.model.folder import load
from topcoat.engine.mlx.model.lora import Weights, load_adapter
from topcoat.engine.mlx.numbers import scalar
from topcoat.engine.mlx.train.loss import batch_arrays
from topcoat.engine.protocol import FuseJob, RebuildJob, Row
from topcoat.errors import FuseRefused
from topcoat.progress import Sink, Task, task
from topcoat.store.records import FuseReport, ModuleFuse

__all__ = ["fuse", "rebuild"]

KL_TOKENS = 1024
"""The fused model is compared on at most this many tokens, because the logits of each are kept."""


def fuse(job: FuseJob, sink: Sink, compute: Compute) -> FuseReport:
    """Write `job.output` from `job.base` and the adapters. One master is in memory at a time.

    Raises FuseRefused if no permitted number of bits keeps `min_survival` and `max_kl`. Nothing is written then.
    """
    model = load(job.base, compute).model
    modules = _adapted(model, job)
    with task(sink, "fuse", total=len(modules), unit="module") as progress:
        measured = _settle(model, modules, job, progress, compute)
        del model  # the folder is written from the root and the adapters
        reports, coat = _packed(modules)
        kl = "not measured" if measured.kl is None else f"{measured.kl:.5f} nats per token"
        progress.result = f"survival {min(r.survival for r in reports):.4f}, KL {kl}"
    copied, written = write_fused(modules, coat, job)
    size, bits_per_weight = weight_sizes(job.output)
    return FuseReport(
        modules=reports,
        rounding="nearest" if job.calibration is None else "compensated",
        kl=measured.kl,
        loss_adapter=measured.loss_adapter,
        loss_fused=measured.loss_fused,
        copied_tensors=copied,
        bytes_written=written,
        size=size,
        bits_per_weight=bits_per_weight,
        computed=compute,
    )


def rebuild(job: RebuildJob, sink: Sink, compute: Compute) -> None:
    """Write `job.output` with the bits that `fuse` chose. Only compensated rounding reads the base's weights."""
    model = load(job.base, compute, lazy=True).model
    modules = _adapted(model, job)
    del model
    with task(sink, "fuse", total=len(modules), unit="module") as progress:
        reports, coat = _packed(modules)
        progress.result = f"survival {min(r.survival for r in reports):.4f}"
    write_fused(modules, coat, job)


def _adapted(model: nn.Module, job: FuseJob | RebuildJob) -> list[AdaptedModule]:
    """The adapted modules of `model`, which is the base and gets the last adapter here."""
    load_adapter(model, job.adapters[-1])
    modules = adapted_modules(model, job)
    if job.calibration is not None:
        moments = input_moments(model, job.calibration)
        for module in modules:
            module.moments = moments.get(module.name)
    return modules


def _packed(modules: Iterable[AdaptedModule]) -> tuple[list[ModuleFuse], Weights]:
    """The report of every module, and its tensors as they are written. One master is in memory at a time."""
    reports: list[ModuleFuse] = []
    coat: Weights = {}
    for module in modules:
        master = module.master()
        reports.append(_report(master))
        packed = master.packed()
        mx.eval(packed)
        coat |= packed
    return reports, coat


@dataclass(frozen=True, slots=True)
class _Divergence:
    """The change by fusing on the validation rows, in nats per token; None without rows."""

    kl: float | None = None
    loss_adapter: float | None = None
    loss_fused: float | None = None


def _settle(
    model: nn.Module, modules: list[AdaptedModule], job: FuseJob, progress: Task, compute: Compute
) -> _Divergence:
    """Choose every module's bits. `model` is base + adapter, and becomes the fused model, module by module."""
    rows = _first_tokens(job.valid, KL_TOKENS)
    intended = [_log_probabilities(model, row) for row in rows]
    for done, module in enumerate(modules, 1):
        master = module.master()
        _settle_survival(master, job.spec.min_survival)
        if rows:
            _replace(model, master, compute)
        progress.advance(done)
    if not rows:
        return _Divergence()
    while True:
        fused = [_log_probabilities(model, row) for row in rows]
        kl = _mean_kl(intended, fused)
        if kl <= job.spec.max_kl:
            return _Divergence(kl, _mean_loss(intended, rows), _mean_loss(fused, rows))
        raised = [module for module in modules if module.raise_bits()]
        if not raised:
            raise FuseRefused(
                f"the fused model differs from base + adapter by {kl:.4f} nats per token, "
                f"max_kl = {job.spec.max_kl} is allowed",
                hint='bits = "auto" in [fuse]',
            )
        for module in raised:
            _replace(model, module.master(), compute)


def _settle_survival(master: Master, minimum: float) -> None:
    """Raise the module's bits until its delta survives."""
    module = master.module
    while not (survival := master.survival()) >= minimum:  # true for NaN, too
        if not module.raise_bits():
            raise FuseRefused(
                f"{module.name}: {survival:.3f} of the delta survives at {module.bits} bits, {minimum} is required",
                hint='bits = "auto" in [fuse], or a higher learning rate',
            )


def _first_tokens(rows: Iterable[Row], limit: int) -> list[Row]:
    """The first rows, at least one, whose trained tokens together stay within `limit`."""
    chosen: list[Row] = []
    total = 0
    for row in rows:
        total += int(row.trained.sum())
        if chosen and total > limit:
            break
        chosen.append(row)
    return chosen


def _log_probabilities(model: nn.Module, row: Row) -> mx.array:
    """Log-probabilities over the vocabulary at the row's trained positions, float32 (positions, vocabulary)."""
    tokens, _ = batch_arrays([row])
    positions = mx.array(row.trained[1:].nonzero()[0])
    logits = model(tokens[:, :-1])[0][positions].astype(mx.float32)
    result = logits - mx.logsumexp(logits, axis=-1, keepdims=True)
    mx.eval(result)
    return result


def _mean_kl(intended: list[mx.array], fused: list[mx.array]) -> float:
    """Mean over tokens of KL(intended || fused) = sum p (log p - log q), in nats; NaN if a number is none.

    A token with the probability 0 adds nothing, whatever the other model gives it.
    """
    total, tokens = 0.0, 0
    for p, q in zip(intended, fused, strict=True):
        total += scalar(mx.where(mx.isneginf(p), 0.0, mx.exp(p) * (p - q)).sum())
        tokens += p.shape[0]
    mean = total / tokens
    return 0.0 if mean < 0 else mean


def _mean_loss(log_probabilities: list[mx.array], rows: list[Row]) -> float:
    """Mean over the rows' trained tokens, in nats."""
    total, tokens = 0.0, 0
    for log_p, row in zip(log_probabilities, rows, strict=True):
        targets = mx.array(row.tokens[1:][row.trained[1:]])[:, None]
        total -= scalar(mx.take_along_axis(log_p, targets, axis=-1).sum())
        tokens += log_p.shape[0]
    return total / tokens


def _replace(model: nn.Module, master: Master, compute: Compute) -> None:
    """Replace the adapter by the fused weight: packed or dequantized, as `load` does for all others."""
    module = master.module
    current = model
    for part in module.name.split("."):
        current = current[int(part)] if isinstance(current, list) else current[part]
    inner = current
    if isinstance(current, LoRAEmbedding):
        inner = current.embedding
    elif isinstance(current, LoRALinear | LoRASwitchLinear | DoRALinear):
        inner = current.linear
    fused = _plain_module(inner)
    if compute is Compute.DEQUANTIZED:
        fused.weight = master.fused_weight()
    else:
        fused.weight = master.weight.astype(module.dtype)
        if module.bits is not None:
            fused = fused.to_quantized(group_size=module.group_size, bits=module.bits)
            for name, value in master.packed().items():
                fused[name.rpartition(".")[2]] = value
    mx.eval(fused.parameters())
    model.update_modules(tree_unflatten([(module.name, fused)]))


def _plain_module(inner: nn.Module) -> nn.Module:
    """An unquantized module of the same kind, with the same bias. The caller sets its weight."""
    if isinstance(inner, nn.Embedding | nn.QuantizedEmbedding):
        return nn.Embedding(1, 1)
    bias = "bias" in inner
    experts = isinstance(inner, SwitchLinear | QuantizedSwitchLinear)
    plain = SwitchLinear(1, 1, 1, bias=bias) if experts else nn.Linear(1, 1, bias=bias)
    if bias:
        plain.bias = inner.bias
    return plain


def _report(master: Master) -> ModuleFuse:
    return ModuleFuse(
        name=master.module.name,
        bits=master.module.bits,
        delta_rms=scalar(master.delta.square().mean().sqrt()),
        weight_rms=scalar((master.weight - master.delta).square().mean().sqrt()),
        survival=master.survival(),
        step=master.step(),
        codes_changed=master.codes_changed(),
    )
