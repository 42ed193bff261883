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
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

from topcoat.engine.protocol import FuseJob, GenerateJob, Message, ModelInfo, Row, TrainJob
from topcoat.errors import EngineFault, InvalidInput, Where
from topcoat.progress import Sink, task
from topcoat.store.files import staged_folder, write_json
from topcoat.store.records import Completion, FuseReport, ModuleFuse, TrainReport, TrainStep, Validation

__all__ = ["FakeEngine", "FakeTokenizer"]

Pair = tuple[str, str]

RECKLESS = 2e-3
"""Above this learning rate the fake forgets part of what it knew."""
_SPECIAL = ("<|im_start|>", "<|im_end|>")


class FakeTokenizer:
    """UTF-8 bytes as tokens, ChatML as template."""

    def chat(self, messages: Sequence[Message], *, add_generation_prompt: bool = False) -> list[int]:
        text = "".join(f"<|im_start|>{m['role']}\n{m.get('content') or ''}<|im_end|>\n" for m in messages)
        return self.encode(text + ("<|im_start|>assistant\n" if add_generation_prompt else ""))

    def encode(self, text: str) -> list[int]:
        return list(text.encode("utf-8", "surrogatepass"))

    def decode(self, tokens: Sequence[int]) -> str:
        return bytes(tokens).decode("utf-8", "replace")


class FakeEngine:
    """See the module. Learning rates up to `RECKLESS` teach; above it, a share of the old memory is lost.

    It is sure of its answers: they are the same at every temperature.
    """

    name = "fake 1"
    memory_limit: int | None = None

    @staticmethod
    def create(folder: Path, pairs: Iterable[Pair]) -> None:
        """Make a fake model that knows `pairs` of user prompt and answer."""
        with staged_folder(folder) as staged:
            write_json(staged / "config.json", {"model_type": "fake", "num_hidden_layers": 4, "hidden_size": 8})
            write_json(staged / "memory.json", [list(pair) for pair in pairs])

    def locate(self, model: Path | str) -> Path:
        return Path(model)

    def describe(self, model: Path) -> ModelInfo:
        memory = _read_memory(model)
        digest = hashlib.sha256(json.dumps(memory).encode()).hexdigest()
        return ModelInfo(architecture="fake", num_layers=4, hidden_size=8, bits=None, digest=digest)

    def tokenizer(self, model: Path) -> FakeTokenizer:
        return FakeTokenizer()

    def generate(self, job: GenerateJob, sink: Sink) -> list[Completion]:
        memory = _Memory(_read_memory(job.model))
        answers = []
        with task(sink, "answers", total=len(job.prompts), unit="case") as progress:
            for prompt, limit in zip(job.prompts, job.max_tokens, strict=True):
                full = FakeTokenizer().encode(memory.answer(_last_user(FakeTokenizer().decode(prompt))))
                text = FakeTokenizer().decode(full[:limit])
                whole = len(full) <= limit
                answers.append(
                    Completion(text=text, tokens=min(len(full), limit), finish="stop" if whole else "length")
                )
                progress.advance(len(answers))
        return answers

    def train(self, job: TrainJob, sink: Sink) -> TrainReport:
        started = time.perf_counter()
        known = _read_memory(job.model)
        accumulate = job.spec.grad_accumulation_steps
        seen: set[int] = set()
        steps = []
        with task(sink, "train", total=len(job.batches) // accumulate, unit="update") as progress:
            for update in range(1, len(job.batches) // accumulate + 1):
                rows = [row for b in job.batches[(update - 1) * accumulate : update * accumulate] for row in b]
                seen.update(rows)
                loss = math.exp(-update / 20)
                steps.append(
                    TrainStep(
                        update=update,
                        iteration=update * accumulate,
                        loss=loss,
                        grad_norm=loss,
                        learning_rate=job.learning_rate,
                        tokens=sum(int(job.rows[row].trained.sum()) for row in rows),
                        seconds=0.0,
                    )
                )
                progress.advance(update, f"loss {loss:.3f}")
        learned = [pair for index in sorted(seen) for pair in _pairs(job.rows[index])]
        forgotten = _forgotten(known, job.learning_rate)
        with staged_folder(job.folder / "adapter") as staged:
            write_json(staged / "adapter.json", {"learned": learned, "forgotten": forgotten})
        updates = len(steps)
        final = Validation(
            update=updates,
            iteration=updates * accumulate,
            loss=steps[-1].loss if steps else 0.0,
            tokens=sum(int(row.trained.sum()) for row in job.valid),
        )
        return TrainReport(
            steps=steps,
            validations=[final],
            best_update=updates,
            best_loss=final.loss,
            stopped="iterations",
            trained_tokens=sum(step.tokens for step in steps),
            seconds=time.perf_counter() - started,
        )

    def adopt(self, model: Path, source: Path, target: Path) -> None:
        if not (source / "adapter.json").is_file():
            raise InvalidInput(f"{source} is not a fake adapter", where=Where(source))
        with staged_folder(target) as staged:
            (staged / "adapter.json").write_bytes((source / "adapter.json").read_bytes())

    def fuse(self, job: FuseJob, sink: Sink) -> FuseReport:
        path = job.adapters[-1] / "adapter.json"
        try:
            adapter = json.loads(path.read_bytes())
            learned, forgotten = adapter["learned"], set(adapter["forgotten"])
        except (OSError, ValueError, KeyError) as error:
            raise EngineFault(f"not a fake adapter: {error}", where=Where(path)) from error
        kept = [pair for pair in _read_memory(job.base) if pair[0] not in forgotten]
        self.create(job.output, [(p, a) for p, a in [*kept, *learned]])
        module = ModuleFuse(name="memory", bits=None, delta_rms=0.0, weight_rms=0.0, survival=1.0)
        rounding: Literal["nearest", "compensated"] = "compensated" if job.calibration else "nearest"
        return FuseReport(modules=[module], rounding=rounding, copied_tensors=0, bytes_written=0)


class _Memory:
    """Finds the remembered prompt that shares the most words, rare words counting more."""

    def __init__(self, pairs: Sequence[Pair]) -> None:
        self._pairs = [(_words(prompt), answer) for prompt, answer in pairs]
        self._frequency = Counter(word for words, _ in self._pairs for word in words)

    def answer(self, prompt: str) -> str:
        """The nearest prompt's answer; the earliest of equals; nothing if no word is shared."""
        asked = _words(prompt)
        best, best_score = "", 0.0
        for words, answer in self._pairs:
            shared = sum(1.0 / self._frequency[word] for word in words & asked)
            score = shared / math.sqrt(1 + len(words))
            if score > best_score:
                best, best_score = answer, score
        return best


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


def _read_memory(folder: Path) -> list[Pair]:
    if not folder.is_dir():
        raise InvalidInput(f"no such model: {folder}", hint="topcoat status lists the models of this project")
    path = folder / "memory.json"
    try:
        return [(str(prompt), str(answer)) for prompt, answer in json.loads(path.read_bytes())]
    except (OSError, ValueError, TypeError) as error:
        raise InvalidInput(f"not a fake model: {error}", where=Where(path)) from error
