"""What topcoat has to do with a model of any architecture, and what it is compared with: stock mlx-lm, or itself alone.

Each check takes a `Tried` and gives a `Found`. What a check raises is its finding too, so one fault hides no other.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.zoo.configurations import KEYS, LAYERS, VOCABULARY
from topcoat.engine.protocol import FuseJob, GenerateJob, Row, TrainJob
from topcoat.progress import Advanced, Event, Note, Silent
from topcoat.spec.phase import FuseSpec, LoraSpec, TrainSpec

if TYPE_CHECKING:
    from topcoat.engine.mlx.engine import MlxEngine

__all__ = ["CHECKS", "Found", "Tried", "examine"]

ADAPTED = 2
LOSSES_APART = 1e-5
"""The largest accepted difference of a loss from mlx-lm's, relative to it: rounding is some 1e-7 a product."""
LOGITS_APART = 1e-4
SURVIVAL = 0.95
Answers = list[list[int]]


@dataclass(frozen=True, slots=True)
class Found:
    """A check's finding in a few words, and whether it is what it has to be."""

    good: bool
    said: str


@dataclass(slots=True)
class Tried:
    """A model that is examined, and what earlier checks left: its trained adapter and its fused folder."""

    engine: MlxEngine
    architecture: str
    model: Path
    scratch: Path
    notes: list[str] = field(default_factory=list)
    adapter: Path | None = None
    fused: Path | None = None

    def emit(self, event: Event) -> None:
        """Keep what the engine says, so that a finding can give its reason."""
        if isinstance(event, Note):
            self.notes.append(event.text)


class _Killed(BaseException):
    """Stands for the end of the process."""


class _KillAt:
    def __init__(self, update: int) -> None:
        self.update = update

    def emit(self, event: Event) -> None:
        if isinstance(event, Advanced) and event.done == self.update:
            raise _Killed


def loads(tried: Tried) -> Found:
    """Topcoat describes the folder and would train on it."""
    shape = tried.engine.describe(tried.model)
    tried.engine.require_trainable(tried.model, _spec(tried), FuseSpec())
    said = f"{shape.num_layers} layers, {shape.hidden_size} wide"
    return Found((shape.num_layers, shape.hidden_size) == (LAYERS, 64), said)


def losses(tried: Tried) -> Found:
    """The losses of three updates are mlx-lm's, from the same adapters."""
    job = _job(tried, "losses", _spec(tried, iters=3, grad_accumulation_steps=1, optimizer="sgd"), rate=0.02)
    report = tried.engine.train(job, tried)
    theirs = _losses_of_mlx_lm(job)
    apart = max(abs(step.loss - loss) / abs(loss) for step, loss in zip(report.steps, theirs, strict=True))
    moved = abs(theirs[-1] - theirs[0]) > 1e-4
    return Found(apart <= LOSSES_APART and moved, _small(apart) if moved else "nothing was learned")


def trunk(tried: Tried) -> Found:
    """Whether the layers below the adapters are computed once, or why not. Both are right."""
    said = next((note for note in tried.notes if "trunk" in note), "the engine doesn't say")
    return Found(True, "trunk" if said.startswith("trunk of") else f"whole: {said}")


def resumes(tried: Tried) -> Found:
    """A training that is killed and started again ends with the same adapter, byte for byte."""
    whole = _job(tried, "whole", _spec(tried), rate=1e-3)
    tried.engine.train(whole, Silent())
    killed = _job(tried, "killed", _spec(tried), rate=1e-3)
    try:
        tried.engine.train(killed, _KillAt(2))
    except _Killed:
        tried.engine.train(killed, Silent())
    first, second = ((job.folder / "adapter" / "adapters.safetensors").read_bytes() for job in (whole, killed))
    tried.adapter = whole.folder / "adapter"
    return Found(first == second, "same bytes" if first == second else "other bytes")


def fuses(tried: Tried) -> Found:
    """The adapter survives its fuse into the base's own quantization."""
    assert tried.adapter is not None, "there is no adapter"
    fused = tried.scratch / "fused"
    report = tried.engine.fuse(
        FuseJob(tried.model, tried.model, [tried.adapter], FuseSpec(max_kl=1.0), rows(2), fused), Silent()
    )
    tried.fused = fused
    survival = min(module.survival for module in report.modules)
    bits = sorted({str(module.bits or "plain") for module in report.modules})
    return Found(survival >= SURVIVAL, f"{survival:.3f} at {', '.join(bits)}")


def answers_as_mlx_lm(tried: Tried) -> Found:
    """Stock mlx-lm loads the fused folder and gives the answers that topcoat gives."""
    assert tried.fused is not None, "there is no fused model"
    ours, theirs = _together(tried, tried.fused), _of_mlx_lm(tried.fused)
    return _same(ours, theirs)


def answers_in_batches(tried: Tried) -> Found:
    """Answers that are drawn together are those that each prompt gets alone."""
    together = _together(tried, tried.model)
    alone = [_answers(tried, tried.model, [prompt])[0] for prompt in prompts()]
    found = _same(together, alone)
    apart = "answers are drawn one after another: "
    why = next((note.removeprefix(apart) for note in tried.notes if note.startswith(apart)), "")
    return Found(found.good, f"{found.said}, one after another: {why}" if why else found.said)


def adopts(tried: Tried) -> Found:
    """An adapter that stock mlx-lm wrote is adopted, computes the same, and fuses."""
    import mlx.core as mx
    from mlx_lm.tuner.utils import load_adapters
    from mlx_lm.utils import load_model

    from topcoat.engine.mlx.compute import Compute
    from topcoat.engine.mlx.model.folder import load
    from topcoat.engine.mlx.model.lora import load_adapter
    from topcoat.engine.mlx.numbers import difference

    source, target = _foreign(tried, tried.scratch / "foreign"), tried.scratch / "adopted"
    tried.engine.adopt(tried.model, source, target)
    tokens = mx.array(rows(1)[0].tokens)[None]
    theirs = load_adapters(load_model(tried.model)[0], str(source))
    theirs.eval()
    expected = theirs(tokens).astype(mx.float32)
    ours = load(tried.model, Compute.DEQUANTIZED).model
    load_adapter(ours, target)
    apart = difference(ours(tokens).astype(mx.float32), expected)
    job = FuseJob(tried.model, tried.model, [target], FuseSpec(max_kl=1.0), rows(2), tried.scratch / "adopted-fused")
    report = tried.engine.fuse(job, Silent())
    survival = min(module.survival for module in report.modules)
    return Found(apart <= LOGITS_APART and survival >= SURVIVAL, f"{_small(apart)}, {survival:.3f}")


def _small(number: float) -> str:
    return f"{number:.0e}" if number else "0"


CHECKS: dict[str, Callable[[Tried], Found]] = {
    "loads": loads,
    "losses": losses,
    "trunk": trunk,
    "resumed": resumes,
    "fused": fuses,
    "stock answers": answers_as_mlx_lm,
    "batches": answers_in_batches,
    "adopted": adopts,
}
"""The checks in their order, each under the head of its column."""


def examine(architecture: str, model: Path, scratch: Path, chosen: Sequence[str] | None = None) -> dict[str, Found]:
    """Every check's finding on the model in the folder `model`, or of the `chosen` ones. `scratch` may be filled."""
    from topcoat.engine.mlx import open_engine

    tried = Tried(open_engine(Silent(), "dequantized"), architecture, model, scratch)
    return {name: _tried(CHECKS[name], tried) for name in CHECKS if name in (chosen or CHECKS)}


def _tried(check: Callable[[Tried], Found], tried: Tried) -> Found:
    try:
        return check(tried)
    except Exception as error:  # whatever it is, it belongs into the table
        lines = str(error).splitlines() or [type(error).__name__]
        return Found(False, f"fails: {lines[0][:160]}")


def rows(count: int, seed: int = 0) -> list[Row]:
    """Rows of random tokens that begin with the same twelve. They are longer than any window of the configurations."""
    rng = np.random.default_rng(seed)
    shared = np.arange(7, 19)
    made = []
    for _ in range(count):
        tokens = np.concatenate([shared, rng.integers(20, VOCABULARY - 8, int(rng.integers(12, 40)))])
        trained = np.zeros(len(tokens), np.bool_)
        trained[-int(rng.integers(6, 11)) :] = True
        made.append(Row(tokens.astype(np.int32), trained))
    return made


def prompts() -> list[list[int]]:
    """Prompts of several lengths, two of which are equal in length. All begin alike."""
    rng = np.random.default_rng(3)
    return [[*range(7, 19), *map(int, rng.integers(20, VOCABULARY - 8, length))] for length in (2, 9, 26, 9, 17)]


def _spec(tried: Tried, **changes: Any) -> TrainSpec:
    usual: dict[str, Any] = {
        "iters": 8,
        "batch_size": 2,
        "grad_accumulation_steps": 2,
        "num_layers": ADAPTED,
        "steps_per_eval": 4,
        "save_every": 2,
        "patience": 0,
        "lora": LoraSpec(keys=KEYS.get(tried.architecture)).model_dump(),
    }
    return TrainSpec.model_validate({**usual, **changes})


def _job(tried: Tried, name: str, spec: TrainSpec, rate: float) -> TrainJob:
    data = rows(10)
    rng = np.random.default_rng(1)
    batches = [tuple(int(i) for i in rng.choice(8, spec.batch_size, replace=False)) for _ in range(spec.iters)]
    return TrainJob(tried.model, data, batches, data[8:], spec, rate, tried.scratch / name, tried.scratch / "cache")


def _losses_of_mlx_lm(job: TrainJob) -> list[float]:
    """The losses of mlx-lm's own function on the job's batches. Descent is plain, because Adam makes whole steps of
    gradients that are nothing but rounding.
    """
    import mlx.core as mx
    import mlx.nn as nn
    import mlx.optimizers as optimizers
    from mlx_lm.tuner.trainer import default_loss
    from mlx_lm.utils import load_model

    from topcoat.engine.mlx.model.lora import attach
    from topcoat.engine.mlx.train.loss import batch_arrays

    model = _trainable(load_model(job.model)[0])
    mx.random.seed(job.spec.seed << 32)
    attach(model, job.spec)
    model.train()
    optimizer = optimizers.SGD(job.learning_rate)
    step = nn.value_and_grad(model, default_loss)
    found = []
    for batch in job.batches:
        chosen = [job.rows[index] for index in batch]
        tokens, _ = batch_arrays(chosen)
        lengths = mx.array([[int(row.trained.argmax()), len(row.tokens) - 1] for row in chosen])
        (loss, _), gradient = step(model, tokens, lengths)
        optimizer.update(model, gradient)
        mx.eval(loss, model.trainable_parameters())
        found.append(float(loss.item()))
    return found


def _trainable(model: Any) -> Any:
    """The stock model. recurrent_gemma's lacks what every module has, so that stock mlx-lm itself can't train it."""
    import mlx.nn as nn

    if not hasattr(model, "_no_grad"):
        nn.Module.__init__(model)
    return model


def _foreign(tried: Tried, folder: Path) -> Path:
    """An adapter as `mlx_lm.lora` saves it, with random numbers in place of learned ones."""
    import mlx.core as mx
    from mlx.utils import tree_flatten
    from mlx_lm.tuner.utils import linear_to_lora_layers
    from mlx_lm.utils import load_model

    parameters: dict[str, Any] = {"rank": 4, "scale": 2.0, "dropout": 0.0}
    if keys := KEYS.get(tried.architecture):
        parameters["keys"] = keys
    loaded = _trainable(load_model(tried.model)[0])
    loaded.freeze()
    mx.random.seed(5)
    linear_to_lora_layers(loaded, ADAPTED, parameters)
    learned = {
        name: value if "lora_a" in name else 0.05 * mx.random.normal(value.shape)
        for name, value in tree_flatten(loaded.trainable_parameters())
    }
    folder.mkdir()
    mx.save_safetensors(str(folder / "adapters.safetensors"), learned)
    config = {"fine_tune_type": "lora", "num_layers": ADAPTED, "lora_parameters": parameters, "model": str(tried.model)}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return folder


def _together(tried: Tried, model: Path) -> Answers:
    return _answers(tried, model, prompts())


def _answers(tried: Tried, model: Path, asked: Sequence[Sequence[int]]) -> Answers:
    done = tried.engine.generate(GenerateJob(model, asked, [8] * len(asked)), tried)
    return [list(completion.ids or ()) for completion in done]


def _of_mlx_lm(model: Path) -> Answers:
    """Stock mlx-lm's greedy answers, without the token that ends one."""
    import mlx.core as mx
    from mlx_lm import load, stream_generate

    loaded, tokenizer = load(str(model))
    answers = []
    for prompt in prompts():
        drawn = [part.token for part in stream_generate(loaded, tokenizer, mx.array(prompt), max_tokens=8)]
        answers.append([token for token in drawn if token not in tokenizer.eos_token_ids])
    return answers


def _same(ours: Answers, theirs: Answers) -> Found:
    equal = sum(one == other for one, other in zip(ours, theirs, strict=True))
    return Found(equal == len(theirs), f"{equal} of {len(theirs)}")
