"""A deterministic engine for tests, without weights: it remembers dialogues and answers with the nearest one.

It follows the protocol to the letter, learns from examples and forgets at reckless learning rates, so a whole workflow
runs on it in seconds. A fake model is a folder with a `config.json` of model type "fake" and a `memory.json` of
[prompt, answer] pairs; `FakeEngine.create` makes one.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import shutil
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, Literal

import numpy as np

from topcoat.engine.fake_folder import Pair, export_folder, read_config, read_memory
from topcoat.engine.fake_verify import logprobs_of, token_kl
from topcoat.engine.job_digest import train_job_digest
from topcoat.engine.protocol import (
    Answering,
    CallMarkup,
    Converted,
    Ended,
    ExportJob,
    FuseJob,
    GenerateJob,
    Message,
    ModelInfo,
    RebuildJob,
    Row,
    Tools,
    TrainJob,
    Verified,
    VerifyJob,
    ignore,
)
from topcoat.engine.references import references_of
from topcoat.errors import EngineFault, FuseRefused, InvalidInput, NumericalFault, Where
from topcoat.progress import Note, Sink, task
from topcoat.spec.phase import Bits, FuseSpec, TrainSpec
from topcoat.store.files import staged_folder, write_json, write_text
from topcoat.store.records import Completion, ExportReport, FuseReport, ModuleFuse, TrainReport, TrainStep, Validation
from topcoat.store.seal import seal, unusable

__all__ = ["FakeEngine", "FakeTokenizer"]

RECKLESS = 2e-3
"""Above this learning rate the fake forgets part of what it knew."""
OVERFLOWING = 1e20
"""Above this one, its loss isn't finite."""
MODULE = "memory"
"""The only module of a fake model."""


class FakeTokenizer:
    """UTF-8 bytes as tokens, ChatML as template, which shows the option `opening` at the begin of each answer."""

    call_markup: CallMarkup | None = None
    serves_calls: bool = True
    options: frozenset[str] = frozenset({"opening"})
    stops: frozenset[int] = frozenset()

    def __init__(self, options: Mapping[str, object] | None = None) -> None:
        self._opening = f"<|im_start|>assistant\n{(options or {}).get('opening', '')}"

    def chat(
        self, messages: Sequence[Message], *, tools: Tools = None, add_generation_prompt: bool = False
    ) -> list[int]:
        return self.encode(self.render(messages, tools=tools, add_generation_prompt=add_generation_prompt))

    def render(self, messages: Sequence[Message], *, tools: Tools = None, add_generation_prompt: bool = False) -> str:
        shown = f"<|im_start|>tools\n{json.dumps(list(tools))}<|im_end|>\n" if tools else ""
        for message in messages:
            begin = self._opening if message["role"] == "assistant" else f"<|im_start|>{message['role']}\n"
            shown += f"{begin}{_written(message)}<|im_end|>\n"
        return shown + (self._opening if add_generation_prompt else "")

    def encode(self, text: str) -> list[int]:
        return list(text.encode("utf-8", "surrogatepass"))

    def decode(self, tokens: Sequence[int]) -> str:
        return bytes(tokens).decode("utf-8", "replace")


def _written(message: Message) -> str:
    """What a turn says, and its calls as Hermes models write them."""
    calls = message.get("tool_calls")
    written = [f"<tool_call>\n{_call_text(call)}\n</tool_call>" for call in calls] if isinstance(calls, list) else []
    return "\n".join(filter(None, [str(message.get("content") or ""), *written]))


def _call_text(call: Any) -> str:
    """A call as JSON. Arguments that are a JSON text become an object, as in mlx-lm's server."""
    function = call.get("function", call) if isinstance(call, dict) else call
    if isinstance(function, dict) and isinstance(text := function.get("arguments"), str):
        try:
            function = {**function, "arguments": json.loads(text) if text.strip() else {}}
        except ValueError as error:
            raise InvalidInput(f"the chat template refuses the dialogue: {error}") from error
    return json.dumps(function, ensure_ascii=False)


class FakeEngine:
    """Remembers dialogues, and answers with the answer to the nearest prompt.

    Learning rates up to `RECKLESS` teach; above it, a share of the old memory is lost.

    It is sure of its answers: they are the same at every temperature. Its loss always falls, so patience never ends it.
    """

    name = "fake 1"
    memory_limit: int | None = None

    @staticmethod
    def create(folder: Path, pairs: Iterable[Pair], *, bits: Bits = None) -> None:
        """Make a fake model that knows `pairs` of user prompt and answer, and says that it has so many bits."""
        config: dict[str, object] = {"model_type": "fake", "num_hidden_layers": 8, "hidden_size": 8}
        if bits is not None:
            config["quantization"] = {"bits": bits}
        with staged_folder(folder) as staged:
            write_json(staged / "config.json", config)
            write_json(staged / "memory.json", [list(pair) for pair in pairs])

    def locate(self, model: Path | str) -> Path:
        return Path(model)

    def convert(self, source: Path, target: Path, sink: Sink) -> Converted:
        raise InvalidInput(
            f"{source.name} is no fake model: those are folders",
            where=Where(source),
            hint=f"topcoat --engine mlx init --base {source}",
        )

    def describe(self, model: Path) -> ModelInfo:
        memory = json.dumps(read_memory(model)).encode()
        quantization = read_config(model).get("quantization")
        bits = quantization.get("bits") if isinstance(quantization, dict) else None
        digest = hashlib.sha256(memory if bits is None else memory + str(bits).encode()).hexdigest()
        return ModelInfo(architecture="fake", num_layers=8, hidden_size=8, bits=bits, digest=digest, size=len(memory))

    def tokenizer(
        self, model: Path, day: date | None = None, options: Mapping[str, object] | None = None
    ) -> FakeTokenizer:
        return FakeTokenizer(options)

    def require_trainable(self, model: Path, train: TrainSpec, fuse: FuseSpec) -> None:
        layers = self.describe(model).num_layers
        if train.num_layers > layers:
            raise InvalidInput(
                f"num_layers = {train.num_layers}, but the model has {layers} layers",
                hint="num_layers = -1 under [train] adapts all of them",
            )

    def generate(self, job: GenerateJob, sink: Sink, ended: Ended = ignore) -> list[Completion]:
        memory = _Memory(read_memory(job.model))
        empty = [index for index, prompt in enumerate(job.prompts) if not prompt]
        if empty:
            raise InvalidInput(f"prompt {empty[0]} has no tokens")
        answers = []
        with task(sink, "answers", total=len(job.prompts), unit="case") as progress:
            for prompt, limit in zip(job.prompts, job.max_tokens, strict=True):
                answers.append(_completion(memory.tokens(prompt), limit))
                ended(len(answers) - 1, answers[-1])
                progress.advance(len(answers))
        return answers

    def verify(self, job: VerifyJob, sink: Sink) -> list[Verified]:
        references = references_of(job, FakeTokenizer.stops)
        memory = _Memory(read_memory(job.model))
        base = _Memory(read_memory(job.base)) if job.base else None
        verified = []
        with task(sink, "answers", total=len(job.prompts), unit="case") as progress:
            for prompt, limit, reference in zip(job.prompts, job.max_tokens, references, strict=True):
                whole = memory.tokens(prompt)
                completion = _completion(whole, limit)
                before = base.tokens(prompt) if base else None
                verified.append(
                    Verified(
                        completion,
                        reference.first_difference(whole[:limit], stopped=len(whole) < limit),
                        math.fsum(logprobs_of(reference, whole)),
                        None if before is None else math.fsum(logprobs_of(reference, before)),
                        None if before is None else tuple(token_kl(reference, before, whole)),
                    )
                )
                progress.advance(len(verified))
        return verified

    @contextmanager
    def answering(self, model: Path) -> Iterator[Answering]:
        yield self

    def train(self, job: TrainJob, sink: Sink) -> TrainReport:
        started = time.perf_counter()
        known = read_memory(job.model)
        spec, accumulate = job.spec, job.spec.grad_accumulation_steps
        updates = len(job.batches) // accumulate
        if updates == 0:
            raise InvalidInput(f"{len(job.batches)} iterations make no update of {accumulate} accumulated batches")
        if job.learning_rate > OVERFLOWING:
            raise NumericalFault(f"update 1: loss inf at learning rate {job.learning_rate:g}")
        digest = train_job_digest(job, model=self.describe(job.model).digest, by=self.name)
        progress = _Progress.restored(job.folder / "checkpoints", digest, sink)
        if not progress.validations:
            progress.validate(job)
        with task(sink, "train", total=updates, unit="update", done=progress.update) as running:
            while (update := progress.update + 1) <= updates:
                rows = [row for batch in job.batches[(update - 1) * accumulate : update * accumulate] for row in batch]
                progress.step(job, rows)
                if update == updates or update * accumulate % spec.steps_per_eval < accumulate:
                    progress.validate(job)
                if update == updates or update * accumulate % spec.save_every < accumulate:
                    progress.save(job.folder / "checkpoints", digest)
                running.advance(update, f"loss {progress.steps[-1].loss:.3f}")
        seen = {row for batch in job.batches[: progress.update * accumulate] for row in batch}
        learned = [pair for index in sorted(seen) for pair in _pairs(job.rows[index])]
        with staged_folder(job.folder / "adapter") as staged:
            write_json(staged / "adapter.json", {"learned": learned, "forgotten": _forgotten(known, job.learning_rate)})
        figures = [*progress.steps, *progress.validations]
        write_text(job.folder / "metrics.jsonl", "".join(f"{figure.model_dump_json()}\n" for figure in figures))
        return TrainReport(
            steps=progress.steps,
            validations=progress.validations,
            best_update=progress.update,
            best_loss=progress.validations[-1].total,
            stopped="iterations",
            trained_tokens=sum(step.tokens for step in progress.steps),
            seconds=time.perf_counter() - started,
        )

    def adopt(self, model: Path, source: Path, target: Path) -> None:
        read_memory(model)
        if not (source / "adapter.json").is_file():
            raise InvalidInput(f"{source} is not a fake adapter", where=Where(source))
        with staged_folder(target) as staged:
            (staged / "adapter.json").write_bytes((source / "adapter.json").read_bytes())

    def fuse(self, job: FuseJob, sink: Sink) -> FuseReport:
        wanted = job.spec.modules_bits(MODULE)
        choices: list[Bits] = [4, 5, 6, 8, None] if wanted == "auto" else [None if wanted == "none" else wanted]
        if wanted == "auto" and self.describe(job.base).bits is None:
            choices = [None]
        bits = next((bits for bits in choices if _survival(bits) >= job.spec.min_survival), choices[-1])
        if _survival(bits) < job.spec.min_survival:
            raise FuseRefused(
                f"{MODULE}: {_survival(bits):.3f} of the delta survives at {bits} bits, "
                f"{job.spec.min_survival} is required",
                hint='bits = "auto" in [fuse]',
            )
        written = self._fuse(job, bits, sink)
        module = ModuleFuse(name=MODULE, bits=bits, delta_rms=0.0, weight_rms=0.0, survival=_survival(bits))
        return FuseReport(
            modules=[module],
            rounding="nearest" if job.calibration is None else "compensated",
            copied_tensors=0,
            bytes_written=written,
        )

    def rebuild(self, job: RebuildJob, sink: Sink) -> None:
        if MODULE not in job.bits:
            raise EngineFault(f"it isn't said how many bits {MODULE} was fused with")
        self._fuse(job, job.bits[MODULE], sink)

    def export(self, job: ExportJob, sink: Sink) -> ExportReport:
        return export_folder(job)

    def _fuse(self, job: FuseJob | RebuildJob, bits: Bits, sink: Sink) -> int:
        """Write what the base remembers and the last adapter adds; gives the bytes of it."""
        path = job.adapters[-1] / "adapter.json"
        try:
            adapter = json.loads(path.read_bytes())
            learned, forgotten = adapter["learned"], set(adapter["forgotten"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            said = error.strerror if isinstance(error, OSError) else error
            raise InvalidInput(f"{path.parent} is no adapter of the fake engine: {said}", where=Where(path)) from error
        with task(sink, "fuse", total=1, unit="module"):
            kept = [pair for pair in read_memory(job.base) if pair[0] not in forgotten]
            self.create(job.output, [(p, a) for p, a in [*kept, *learned]], bits=bits)
        return (job.output / "memory.json").stat().st_size


@dataclass(slots=True)
class _Progress:
    """How far a training came. The figures are functions of the update's number alone."""

    update: int = 0
    steps: list[TrainStep] = field(default_factory=list)
    validations: list[Validation] = field(default_factory=list)

    @classmethod
    def restored(cls, checkpoints: Path, job: str, sink: Sink) -> _Progress:
        """The newest checkpoint's of the training `job`, or a fresh one."""
        found = sorted(path for path in checkpoints.glob("[0-9]*") if path.name.isdigit())
        wrong = unusable(found[-1], {"job": job}) if found else ""
        if wrong:
            sink.emit(Note(f"the checkpoint {found[-1]} is not used: {wrong}; training begins again", warning=True))
            shutil.rmtree(checkpoints)
        if not found or wrong:
            return cls()
        state = json.loads((found[-1] / "state.json").read_bytes())
        return cls(
            int(found[-1].name),
            [TrainStep.model_validate(step) for step in state["steps"]],
            [Validation.model_validate(validation) for validation in state["validations"]],
        )

    def save(self, checkpoints: Path, job: str) -> None:
        target = checkpoints / f"{self.update:06}"
        with staged_folder(target) as staged:
            write_json(staged / "state.json", {"steps": _plain(self.steps), "validations": _plain(self.validations)})
            seal(staged, {"job": job}, [staged / "state.json"])
        for older in checkpoints.glob("[0-9]*"):
            if older != target:
                shutil.rmtree(older)

    def step(self, job: TrainJob, rows: Sequence[int]) -> None:
        self.update += 1
        loss = _loss(self.update)
        self.steps.append(
            TrainStep(
                update=self.update,
                iteration=self.update * job.spec.grad_accumulation_steps,
                loss=loss,
                grad_norm=loss,
                learning_rate=job.learning_rate,
                tokens=sum(int(job.rows[row].trained.sum()) for row in rows),
                seconds=0.0,
            )
        )

    def validate(self, job: TrainJob) -> None:
        self.validations.append(
            Validation(
                update=self.update,
                iteration=self.update * job.spec.grad_accumulation_steps,
                loss=_loss(self.update),
                tokens=sum(int(row.trained.sum()) for row in job.valid),
                guard=0.1 if job.guard else None,
            )
        )


def _loss(update: int) -> float:
    return math.exp(-update / 20)


def _plain(figures: Sequence[TrainStep | Validation]) -> list[object]:
    return [figure.model_dump(mode="json") for figure in figures]


def _survival(bits: Bits) -> float:
    """The share of a delta that so many bits keep."""
    return 1.0 if bits is None else 1.0 - 0.5**bits


class _Memory:
    """Finds the remembered prompt that shares the most words, rare words counting more."""

    def __init__(self, pairs: Sequence[Pair]) -> None:
        asked = [_words(prompt) for prompt, _ in pairs]
        self._answers = [answer for _, answer in pairs]
        self._lengths = np.sqrt([1.0 + len(words) for words in asked])
        places = defaultdict[str, list[int]](list)
        for place, words in enumerate(asked):
            for word in words:
                places[word].append(place)
        self._places = {word: np.array(found) for word, found in places.items()}
        """The prompts that hold a word."""

    def tokens(self, prompt: Sequence[int]) -> list[int]:
        """The whole answer to a prompt of tokens, as tokens."""
        return FakeTokenizer().encode(self.answer(_last_user(FakeTokenizer().decode(prompt))))

    def answer(self, prompt: str) -> str:
        """The nearest prompt's answer; the earliest of equals; nothing if no word is shared."""
        shared = np.zeros(len(self._answers))
        for word in sorted(_words(prompt)):  # a set has no order, and sums of floats have one
            places = self._places.get(word)
            if places is not None:
                shared[places] += 1.0 / len(places)
        if not shared.any():
            return ""
        return self._answers[int(np.argmax(shared / self._lengths))]


def _completion(whole: Sequence[int], limit: int) -> Completion:
    """The answer `whole`, cut at `limit` tokens."""
    ids = tuple(whole[:limit])
    finish: Literal["stop", "length"] = "stop" if len(whole) <= limit else "length"
    return Completion(text=FakeTokenizer().decode(ids), tokens=len(ids), finish=finish, ids=ids)


def _words(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"[a-z_]+", text.lower()))


def _last_user(rendered: str) -> str:
    return rendered.rsplit("<|im_start|>user\n", 1)[-1].split("<|im_end|>", 1)[0]


def _pairs(row: Row) -> list[Pair]:
    """The first trained turn of a row, with the prompt before it."""
    trained = row.trained.nonzero()[0]
    if not len(trained):
        return []
    begin = int(trained[0])
    text = FakeTokenizer().decode([int(t) for t in row.tokens])
    prompt = FakeTokenizer().decode([int(t) for t in row.tokens[:begin]])
    return [(_last_user(prompt), text[len(prompt) :].split("<|im_end|>", 1)[0])]


def _forgotten(known: Sequence[Pair], rate: float) -> list[str]:
    """Prompts that a too high rate erases: a fixed share of them by hash, growing with the rate."""
    share = min(1.0, max(0.0, (rate - RECKLESS) / RECKLESS / 4))
    return [p for p, _ in known if hashlib.sha256(p.encode()).digest()[0] < share * 256]
