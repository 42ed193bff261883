"""The training loop: set up, step, validate, save.

Knows nothing of dialogues, phases or the origin of rows: a job lists rows and batches.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers as optimizers
from mlx.utils import tree_flatten, tree_map

from topcoat.engine.job_digest import train_job_digest
from topcoat.engine.mlx.compute import Compute
from topcoat.engine.mlx.cpu.sharing import warn_if_busy
from topcoat.engine.mlx.model.folder import describe, load
from topcoat.engine.mlx.model.lora import (
    MAGNITUDES,
    Weights,
    adapter_config,
    adapter_weights,
    attach,
    magnitudes,
    set_adapter,
)
from topcoat.engine.mlx.model.shards import save_tensors
from topcoat.engine.mlx.numbers import scalar
from topcoat.engine.mlx.ranks.group import ALONE, Ranks
from topcoat.engine.mlx.train import checkpoint
from topcoat.engine.mlx.train.agreement import choose_forward
from topcoat.engine.mlx.train.checkpoint import Progress
from topcoat.engine.mlx.train.forward import Forward
from topcoat.engine.mlx.train.schedule import learning_rate
from topcoat.engine.protocol import Row, TrainJob
from topcoat.errors import InvalidInput, NumericalFault, Where
from topcoat.progress import Sink, task
from topcoat.spec.phase import TrainSpec
from topcoat.store.cache import ArrayCache
from topcoat.store.files import staged_folder, write_json, write_text
from topcoat.store.records import TrainReport, TrainStep, Validation

__all__ = ["train"]


def train(job: TrainJob, sink: Sink, compute: Compute, *, by: str, ranks: Ranks = ALONE) -> TrainReport:
    """Train LoRA adapters on `job.model` and leave the best ones in `job.folder / "adapter"`.

    Equal jobs give equal adapters, byte for byte, however often they are killed and resumed. Gradients accumulate as
    sums over tokens, so every trained token of an update has the same weight. Raises NumericalFault if the loss or the
    gradient isn't finite. `by` names the engine, because its version is part of the activations' key.

    Every one of `ranks` calls this with the same job. They share the rows of the trunk, of updates and of validation.
    The first one writes the files. Another number of ranks gives the same adapter to rounding.
    """
    spec = job.spec
    accumulate = spec.grad_accumulation_steps
    updates = len(job.batches) // accumulate
    if updates == 0:
        raise InvalidInput(f"{len(job.batches)} iterations make no update of {accumulate} accumulated batches")

    mx.reset_peak_memory()
    model = load(job.model, compute, lazy=True, held=spec.num_layers).model
    warn_if_busy(sink)
    _require_known_tokens(model, job)
    _seed(spec, 0)
    attach(model, spec)
    cache = ArrayCache(job.cache)
    # Chosen with new adapters, so that a resumed training makes the same choice.
    rows = [job.rows[index] for index in sorted({index for batch in job.batches for index in batch})]
    forward = choose_forward(
        model,
        job.model,
        compute,
        [*rows, *job.valid, *job.guard],
        cache,
        sink,
        dropout=spec.lora.dropout,
        recompute=spec.grad_checkpoint,
        by=by,
        ranks=ranks,
    )
    began = magnitudes(model)
    mx.eval(began)  # else they would hold the weights that they are computed from
    optimizer = _optimizer(spec, job.learning_rate)
    optimizer.init(model.trainable_parameters())
    checkpoints = job.folder / "checkpoints"
    shared = f", {ranks.size} ranks" if ranks.size > 1 else ""
    digest = train_job_digest(job, model=describe(job.model).digest, by=f"{by}{shared}")
    restored = checkpoint.restore(checkpoints, optimizer, sink, job=digest) if ranks.first else None
    progress, adapter = checkpoint.on_every_rank(restored, adapter_weights(model), optimizer, ranks)
    set_adapter(model, adapter)
    loss_and_grad = nn.value_and_grad(model, forward.loss)
    started = time.perf_counter()
    earlier = sum(step.seconds for step in progress.steps)

    with task(sink, "train", total=updates, unit="update", done=progress.update) as running:
        if progress.update == 0:
            _validate(model, forward, job, progress, ranks)
        while progress.update < updates and not _out_of_patience(spec, progress):
            step = _update(model, forward, job, optimizer, loss_and_grad, progress.update + 1, updates, ranks)
            progress.steps.append(step)
            progress.update = step.update
            if step.update == updates or _passes(step, accumulate, spec.steps_per_eval):
                _validate(model, forward, job, progress, ranks)
            if ranks.first and (step.update == updates or _passes(step, accumulate, spec.save_every)):
                checkpoint.save(checkpoints, progress, adapter_weights(model), optimizer, job=digest)
            running.advance(step.update, _figures(progress))
        running.result = _figures(progress)

    cache.trim()
    if ranks.first:
        _write(job, progress, progress.best or adapter_weights(model), began, len(model.layers))
    return TrainReport(
        steps=progress.steps,
        validations=progress.validations,
        best_update=progress.best_update if progress.best else progress.update,
        best_loss=progress.best_loss,
        stopped="iterations" if progress.update == updates else "patience",
        trained_tokens=sum(step.tokens for step in progress.steps),
        seconds=earlier + time.perf_counter() - started,
        peak_memory=mx.get_peak_memory(),
        trunk_seconds=forward.trunk_seconds,
    )


def _write(job: TrainJob, progress: Progress, best: Weights, began: Weights, layers: int) -> None:
    """Write the adapter, and what was measured. `began` are the magnitudes with which a DoRA begins."""
    with staged_folder(job.folder / "adapter") as staged:
        write_json(staged / "adapter_config.json", adapter_config(job.spec, layers))
        save_tensors(staged / "adapters.safetensors", best, {"format": "mlx"})
        if began:
            save_tensors(staged / MAGNITUDES, began, {"format": "mlx"})
    write_text(
        job.folder / "metrics.jsonl",
        "".join(f"{record.model_dump_json()}\n" for record in [*progress.steps, *progress.validations]),
    )


def _require_known_tokens(model: nn.Module, job: TrainJob) -> None:
    """Raise InvalidInput for a token that the model has no embedding of: MLX would read some other memory."""
    tables = [module for module in model.modules() if isinstance(module, nn.Embedding | nn.QuantizedEmbedding)]
    known = max((table.weight.shape[0] for table in tables), default=0)
    for row in (*job.rows, *job.valid, *job.guard):
        if known and len(row.tokens) and (largest := int(row.tokens.max())) >= known:
            raise InvalidInput(
                f"{row.source or 'a row'}: the tokenizer makes token {largest}, and the model has {known} embeddings",
                where=Where(job.model),
                hint="the tokenizer files of the model itself",
            )


def _seed(spec: TrainSpec, update: int) -> None:
    """Set MLX's random state (initial values, dropout) from seed and update, so that it needs no storing."""
    mx.random.seed(spec.seed << 32 | update)


def _optimizer(spec: TrainSpec, rate: float) -> optimizers.Optimizer:
    if spec.optimizer == "adamw":
        return optimizers.AdamW(rate, weight_decay=spec.weight_decay)
    if spec.optimizer == "sgd":
        return optimizers.SGD(rate, weight_decay=spec.weight_decay)
    return optimizers.Adam(rate)


def _update(
    model: nn.Module,
    forward: Forward,
    job: TrainJob,
    optimizer: optimizers.Optimizer,
    loss_and_grad: Any,
    update: int,
    updates: int,
    ranks: Ranks,
) -> TrainStep:
    """One optimizer update from `grad_accumulation_steps` micro-batches, whose rows the ranks share."""
    started = time.perf_counter()
    accumulate = job.spec.grad_accumulation_steps
    _seed(job.spec, update)
    model.train()
    losses, weights, gradient = mx.array(0.0), mx.array(0.0), None
    tokens = 0
    batches = job.batches[(update - 1) * accumulate : update * accumulate]
    for rows in forward.groups([[job.rows[index] for index in batch] for batch in batches]):
        tokens += sum(int(row.trained[1:].sum()) for row in rows)
        own = [rows[index] for index in ranks.share([len(row.tokens) for row in rows])]
        if not own:
            continue
        (loss, weight), part = loss_and_grad(model, *forward.arrays(own))
        gradient = part if gradient is None else tree_map(mx.add, gradient, part)
        losses, weights = losses + loss, weights + weight
        mx.eval(losses, weights, gradient)
    if ranks.size > 1:
        own_gradient = gradient or tree_map(mx.zeros_like, model.trainable_parameters())
        summed = ranks.sum({"loss": losses, "weight": weights, "gradient": own_gradient})
        losses, weights, gradient = summed["loss"], summed["weight"], summed["gradient"]
    # Row-contiguous, as a checkpoint stores arrays, because the memory order decides how a product is rounded.
    gradient = tree_map(lambda g: mx.contiguous(g / weights), gradient)
    norm = mx.sqrt(sum(g.astype(mx.float32).square().sum() for _, g in sorted(tree_flatten(gradient))))
    mean, norm_value = scalar(losses / weights), scalar(norm)
    if not (math.isfinite(mean) and math.isfinite(norm_value)):
        raise NumericalFault(
            f"update {update}: loss {mean}, gradient norm {norm_value}",
            hint="lower learning_rate, or set max_grad_norm",
        )
    if job.spec.max_grad_norm is not None and norm_value > job.spec.max_grad_norm:
        gradient = tree_map(lambda g: g * (job.spec.max_grad_norm / norm_value), gradient)
    rate = learning_rate(job.spec, job.learning_rate, update, updates)
    optimizer.learning_rate = rate
    optimizer.update(model, gradient)
    mx.eval(model.trainable_parameters(), optimizer.state)
    mx.clear_cache()  # as mlx-lm's trainer does: rows of other lengths can't reuse these buffers
    return TrainStep(
        update=update,
        iteration=update * accumulate,
        loss=mean,
        grad_norm=norm_value,
        learning_rate=rate,
        tokens=tokens,
        seconds=time.perf_counter() - started,
    )


def _validate(model: nn.Module, forward: Forward, job: TrainJob, progress: Progress, ranks: Ranks) -> None:
    """Record the losses on validation and guard rows, and keep the best adapter so far. Draws nothing random."""
    size = job.spec.batch_size
    batches = _in_batches(job.valid, size)
    if job.spec.val_batches >= 0:
        batches = batches[: job.spec.val_batches]
    if not batches:
        return
    loss, tokens = _mean_loss(model, forward, batches, ranks)
    iteration = progress.update * job.spec.grad_accumulation_steps
    guard = _mean_loss(model, forward, _in_batches(job.guard, size), ranks)[0] if job.guard else None
    found = Validation(update=progress.update, iteration=iteration, loss=loss, tokens=tokens, guard=guard)
    progress.validations.append(found)
    if progress.best_loss is None or found.total < progress.best_loss:
        progress.best, progress.best_update = _copy(adapter_weights(model)), progress.update
        progress.best_loss = found.total
        progress.stale_validations = 0
    else:
        progress.stale_validations += 1


def _in_batches(rows: Sequence[Row], size: int) -> list[Sequence[Row]]:
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def _mean_loss(model: nn.Module, forward: Forward, batches: Sequence[Sequence[Row]], ranks: Ranks) -> tuple[float, int]:
    """The mean loss of a token, and the tokens. The ranks share the batches."""
    model.eval()
    found: dict[int, list[float]] = {}
    for index in ranks.share([sum(len(row.tokens) for row in rows) for rows in batches]):
        loss, weight = forward.loss(model, *forward.arrays(batches[index]))
        found[index] = [scalar(loss), scalar(weight)]
    every = ranks.numbers(found, len(batches), 2)
    tokens = sum(int(row.trained[1:].sum()) for rows in batches for row in rows)
    return sum(loss for loss, _ in every) / sum(weight for _, weight in every), tokens


def _copy(weights: Weights) -> Weights:
    """A snapshot of `weights`. MLX's arrays are immutable, so a new dict is enough."""
    return dict(weights)


def _out_of_patience(spec: TrainSpec, progress: Progress) -> bool:
    return spec.patience > 0 and progress.stale_validations >= spec.patience


def _passes(step: TrainStep, accumulate: int, every: int) -> bool:
    """Whether this update is the first to reach a multiple of `every` iterations."""
    return step.iteration // every > (step.iteration - accumulate) // every


def _figures(progress: Progress) -> str:
    parts = []
    if progress.steps:
        parts.append(f"loss {progress.steps[-1].loss:.3f}")
    if progress.validations:
        last = progress.validations[-1]
        parts.append(f"valid {last.loss:.3f}" + ("" if last.guard is None else f", guard {last.guard:.3f}"))
    return ", ".join(parts)
