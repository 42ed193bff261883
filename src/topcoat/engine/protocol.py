"""The seam between topcoat and the engine that computes.

The engine is MLX (Metal, CUDA, CPU); `fake` stands for it in tests. Only paths, token ids, numpy arrays and records
cross the seam: nothing of MLX. `tests/engine/test_conformance.py` holds both engines to what is written here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from topcoat.progress import Sink
from topcoat.spec.phase import Bits, FuseSpec, TrainSpec
from topcoat.store.records import Completion, ExportReport, FuseReport, TrainReport

__all__ = [
    "Answering",
    "Batch",
    "CallMarkup",
    "Converted",
    "Engine",
    "ExportForm",
    "ExportJob",
    "FuseJob",
    "GenerateJob",
    "MemoryUse",
    "ModelInfo",
    "Numbers",
    "RebuildJob",
    "Row",
    "Sampling",
    "ServerProcess",
    "Tokenizer",
    "TrainJob",
    "Verified",
    "VerifyJob",
]

Message = Mapping[str, object]

Tools = Sequence[Mapping[str, object]] | None
"""The tools that a dialogue brings, in OpenAI's form: `{"type": "function", "function": {"name": ..., ...}}`."""

CallMarkup = Literal["json", "function"]
"""How a model writes a call: `<tool_call>{"name": ...}</tool_call>`, or `<tool_call><function=NAME>...</tool_call>`."""


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What can be known of a model folder without loading its weights.

    `size` are the bytes of its weights on disk. `mlp` are the names, within a layer, of the modules of a dense MLP;
    empty if its layers have another kind. `dated`: its chat template prints the day. `context` are the most tokens that
    its configuration says it was made for; None if it doesn't say.
    """

    architecture: str
    num_layers: int
    hidden_size: int
    bits: int | None
    digest: str
    size: int
    mlp: tuple[str, ...] = ()
    dated: bool = False
    context: int | None = None


@dataclass(frozen=True, slots=True)
class Converted:
    """A model's folder that was made of a file.

    `made` is False if it was there, made of the same file. `notes` say what was kept, and what the file didn't tell.
    """

    folder: Path
    made: bool
    notes: tuple[str, ...] = ()


class Tokenizer(Protocol):
    """A model's own tokenizer and chat template."""

    @property
    def call_markup(self) -> CallMarkup | None:
        """How the chat template writes calls; None if it writes none, or in another way."""
        ...

    @property
    def options(self) -> frozenset[str] | None:
        """The options that the chat template reads; None if that can't be told."""
        ...

    @property
    def serves_calls(self) -> bool:
        """Whether the engine's server takes the model's calls out of its text."""
        ...

    @property
    def stops(self) -> frozenset[int]:
        """The tokens at which generation stops."""
        ...

    def chat(
        self, messages: Sequence[Message], *, tools: Tools = None, add_generation_prompt: bool = False
    ) -> list[int]:
        """Token ids of the rendered dialogue.

        Raises InvalidInput if the chat template refuses it, or writes no calls and the dialogue has some.
        """
        ...

    def render(self, messages: Sequence[Message], *, tools: Tools = None, add_generation_prompt: bool = False) -> str:
        """The text that `chat` gives the tokens of. Raises what `chat` raises."""
        ...

    def encode(self, text: str) -> list[int]:
        """Token ids of `text`, with no special tokens added."""
        ...

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of `tokens`, special tokens included."""
        ...


@dataclass(frozen=True, slots=True)
class Row:
    """One dialogue, ready to train on.

    `tokens` is int32 of shape (length,); `trained` is bool of the same shape and marks the tokens whose prediction
    counts in the loss (never the first one); `weight` multiplies their loss. `source` is file:line, for messages.
    """

    tokens: NDArray[np.int32]
    trained: NDArray[np.bool_]
    weight: float = 1.0
    source: str = ""


Batch = tuple[int, ...]
"""Indices of the rows of one micro-batch."""


@dataclass(frozen=True, slots=True)
class TrainJob:
    """A training run, complete: two jobs that are equal give the same adapter, byte for byte.

    `batches[i]` are the rows of iteration i + 1, so the position in the data is the iteration. `learning_rate` is the
    attempt's, which may be below the spec's. Of the adapters at each validation, the one with the lowest sum of the
    losses on `valid` and on `guard` is kept. `folder` receives `adapter/`, checkpoints and `metrics.jsonl`; a job whose
    folder holds a checkpoint goes on from it. `cache` keeps what other jobs on the same rows need too, and may be lost
    at any time.
    """

    model: Path
    rows: Sequence[Row]
    batches: Sequence[Batch]
    valid: Sequence[Row]
    spec: TrainSpec
    learning_rate: float
    folder: Path
    cache: Path
    guard: Sequence[Row] = ()


@dataclass(frozen=True, slots=True)
class FuseJob:
    """Fuse `adapters[-1]` into `base`. Masters are the `root`'s weights plus every adapter of `adapters`, in order.

    `valid` are the rows on whose trained tokens the fused model is compared with base + adapter. The model is written
    to `output`, which must not exist. On the inputs that modules get from the rows of `calibration`, the roundings of
    their weights make up for each other; with None, every weight is rounded to nearest.
    """

    base: Path
    root: Path
    adapters: Sequence[Path]
    spec: FuseSpec
    valid: Sequence[Row]
    output: Path
    calibration: Sequence[Row] | None = None


@dataclass(frozen=True, slots=True)
class RebuildJob:
    """Fuse `adapters[-1]` into `base` as an earlier `FuseJob` did: `bits`, by module, are those that it chose.

    With the same root, adapters and calibration rows the same bytes come out, computed as then: `computed` is the
    report's.
    """

    base: Path
    root: Path
    adapters: Sequence[Path]
    bits: Mapping[str, Bits]
    output: Path
    calibration: Sequence[Row] | None = None
    computed: str = ""


ExportForm = Literal["hf", "gguf", "mlx-adapter", "peft"]
"""What an engine exports: a whole model as transformers or llama.cpp load it, or coats as mlx-lm or PEFT load them."""

Numbers = Literal["as-stored", "bf16", "f16", "f32"]
"""How an exported model's numbers are written. `as-stored` rounds as few as the form allows."""


@dataclass(frozen=True, slots=True)
class ExportJob:
    """Write `model` as `form` to the folder `output`, which must not exist. `name` is what it is called there.

    An adapter holds the sum of the coats in `adapters`, in order, on `root`; a whole model needs neither.
    """

    model: Path
    form: ExportForm
    output: Path
    name: str
    numbers: Numbers = "as-stored"
    root: Path | None = None
    adapters: Sequence[Path] = ()


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are drawn: the most probable at `temperature` 0, else from the distribution, as `seed` decides."""

    temperature: float = 0.0
    seed: int = 0


@dataclass(frozen=True, slots=True)
class GenerateJob:
    """Answers to `prompts` (token ids), each at most `max_tokens[i]` tokens long and drawn as `sampling[i]` says.

    With None as `sampling`, all are greedy. An answer depends on its own prompt, length and sampling alone.
    `dialogues` names the dialogue of each prompt, for an `Answering` that is asked about it again.
    """

    model: Path
    prompts: Sequence[Sequence[int]]
    max_tokens: Sequence[int]
    sampling: Sequence[Sampling] | None = None
    dialogues: Sequence[str] | None = None


@dataclass(frozen=True, slots=True)
class VerifyJob:
    """The greedy answers to `prompts`, each at most `max_tokens[i]` tokens long, where the likely ones are known.

    `references[i]`, with its token ids, is what `model` probably answers: its base's answer, for instance. Where `base`
    is a model, the two models' probabilities of the references are compared; both must have one tokenizer. `cache`
    keeps what another model with this base needs too, and may be lost at any time; with None, nothing is kept.
    """

    model: Path
    prompts: Sequence[Sequence[int]]
    max_tokens: Sequence[int]
    references: Sequence[Completion]
    base: Path | None = None
    cache: Path | None = None


@dataclass(frozen=True, slots=True)
class Verified:
    """A model's greedy answer, beside the reference.

    `differs` is the first position whose token is another (0 is the answer's first token, the number of its tokens is
    its end), None if the answer is the reference. `logprob` is the log-probability in nats of the reference: the sum
    over its tokens and, if it stopped, its end (that any stop token follows). `base_logprob` is the base's, and `kl`
    the divergence KL(base || model) in nats at each of these positions, with the reference's tokens before it; None if
    the job names no base.
    """

    completion: Completion
    differs: int | None
    logprob: float
    base_logprob: float | None = None
    kl: tuple[float, ...] | None = None


@dataclass(frozen=True, slots=True)
class ServerProcess:
    """A process that serves one model by OpenAI's chat completions on a loopback port, until its standard input ends.

    It runs `command` with `environment` beside the caller's own, and takes only requests with `headers`. `GET /memory`
    gives a `MemoryUse` as JSON, or null where it isn't known.
    """

    command: Sequence[str]
    environment: Mapping[str, str]
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class MemoryUse:
    """Bytes where models are computed: the machine's memory, or a card's.

    `taken` is the most that this process has taken until now, `free` what another process can take.
    """

    taken: int
    free: int


Ended = Callable[[int, Completion], None]
"""Is told of an answer when it ends: its prompt's place in the job, and the completion."""


def ignore(index: int, completion: Completion) -> None:
    """An `Ended` that does nothing."""


class Answering(Protocol):
    """A model that is held for several jobs. What a job's prompts repeat of earlier ones needn't be read again."""

    def generate(self, job: GenerateJob, sink: Sink, ended: Ended = ignore) -> list[Completion]:
        """One completion a prompt, in order: what `Engine.generate` gives."""
        ...

    def verify(self, job: VerifyJob, sink: Sink) -> list[Verified]:
        """What `Engine.verify` gives."""
        ...


class Engine(Protocol):
    """Loads, trains, fuses and generates.

    Every method raises `InvalidInput` for what the user has to change, `EngineFault` if the engine can't do it and
    `StorageFault` if a file can't be read or written; `train` and `fuse` raise `NumericalFault` too, and `fuse`
    `FuseRefused`. Nothing else leaves an engine.
    """

    @property
    def name(self) -> str:
        """The engine's name and version: part of every digest of what it computes."""
        ...

    @property
    def memory_limit(self) -> int | None:
        """Bytes of memory that a job can take; None if the engine takes none worth counting."""
        ...

    def locate(self, model: Path | str) -> Path:
        """The folder of a model that is a folder, or is fetched from a hub by its id."""
        ...

    def convert(self, source: Path, target: Path, sink: Sink) -> Converted:
        """Make the folder `target` of a model that is one file (GGUF), without changing a number of it.

        Raises `InvalidInput`, before anything is written, for a file that the engine can't read whole and exactly.
        """
        ...

    def describe(self, model: Path) -> ModelInfo:
        """The model's shape and digest. Raises `InvalidInput` if the folder isn't a model this engine loads."""
        ...

    def tokenizer(self, model: Path, day: date | None = None, options: Mapping[str, object] | None = None) -> Tokenizer:
        """The model's tokenizer. Its chat template takes `day` for today (None is the day on the clock), and `options`.

        Options that it doesn't read change nothing: see `Tokenizer.options`.
        """
        ...

    def require_trainable(self, model: Path, train: TrainSpec, fuse: FuseSpec) -> None:
        """Raise what training on `model` as `train` says, or fusing as `fuse` says, would raise, if the folder tells.

        It computes nothing, so it can be asked before anything is spent.
        """
        ...

    def generate(self, job: GenerateJob, sink: Sink, ended: Ended = ignore) -> list[Completion]:
        """One completion a prompt, in order. `ended` is told of each when it ends, in any order."""
        ...

    def verify(self, job: VerifyJob, sink: Sink) -> list[Verified]:
        """One a prompt, in order. The completions are those that `generate` gives.

        A reference that the model answers too is only read, which costs less than generating it. Of another one, what
        comes after the first difference is generated. A reference is read up to its `max_tokens` or its first stop
        token.

        Raises `InvalidInput` for a reference without token ids.
        """
        ...

    def answering(self, model: Path) -> AbstractContextManager[Answering]:
        """The model, held in memory until the block ends."""
        ...

    def train(self, job: TrainJob, sink: Sink) -> TrainReport:
        """Train an adapter into `job.folder / "adapter"`, in mlx-lm's format. Resumes; atomic at every instant.

        A checkpoint that is damaged, or of another job, is not used: a warning says so, and training goes on from an
        older one or begins again.
        Raises `NumericalFault` when the loss or the gradient is no longer finite.
        """
        ...

    def adopt(self, model: Path, source: Path, target: Path) -> None:
        """Write an adapter that was trained elsewhere to `target`, in mlx-lm's format; it has to fit `model`.

        Raises `InvalidInput` if it doesn't, or isn't one, and what fusing it would raise, if the folders tell.
        """
        ...

    def fuse(self, job: FuseJob, sink: Sink) -> FuseReport:
        """Write the fused model. Tensors of modules that the last adapter doesn't touch stay byte for byte.

        Raises `FuseRefused` if no permitted number of bits keeps what was learned; then nothing is written.
        """
        ...

    def rebuild(self, job: RebuildJob, sink: Sink) -> None:
        """Write a model that was fused before."""
        ...

    def export(self, job: ExportJob, sink: Sink) -> ExportReport:
        """Write a model, or its coats, for another runtime. The folder is whole or isn't there.

        Raises `InvalidInput`, before anything is written, for a model that the form has no place for.
        """
        ...
