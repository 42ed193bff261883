"""What the protocol promises, asked of every engine: of MLX in both ways of computing, and of the fake."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import httpx2
import numpy as np
import pytest

from tests.support.mlx.models import MakeModel
from tests.support.mlx.training import KillAt, Killed
from tests.support.recorder import Recorder
from topcoat.engine.fake import FakeEngine
from topcoat.engine.protocol import (
    Engine,
    ExportJob,
    FuseJob,
    GenerateJob,
    RebuildJob,
    Row,
    Sampling,
    TrainJob,
    VerifyJob,
)
from topcoat.engine.registry import ENGINES, engine_named
from topcoat.errors import FuseRefused, InvalidInput, NumericalFault, Refused
from topcoat.progress import Note, Silent
from topcoat.spec.phase import FuseSpec, TrainSpec
from topcoat.store.records import Completion
from topcoat.store.seal import SEAL
from topcoat.usage.capture.served.model_server import model_server

SPEC = TrainSpec(
    iters=12, batch_size=2, grad_accumulation_steps=2, num_layers=2, steps_per_eval=4, save_every=4, patience=0
)
DIALOGUES = [
    [{"role": "user", "content": f"Show me file number {n}."}, {"role": "assistant", "content": f"read {n}"}]
    for n in range(8)
]


@dataclass
class Kind:
    """An engine, and a model that it loads."""

    name: str
    engine: Engine
    model: Path

    def rows(self) -> list[Row]:
        tokenizer = self.engine.tokenizer(self.model)
        rows = []
        for dialogue in DIALOGUES:
            begin = len(tokenizer.chat(dialogue[:1], add_generation_prompt=True))
            tokens = np.array(tokenizer.chat(dialogue), np.int32)
            rows.append(Row(tokens, np.arange(len(tokens)) >= begin))
        return rows

    def job(self, folder: Path, spec: TrainSpec = SPEC, rate: float = 1e-3) -> TrainJob:
        rows = self.rows()
        batches = [(n % 6, (n + 1) % 6) for n in range(spec.iters)]
        return TrainJob(self.model, rows, batches, rows[6:], spec, rate, folder, folder / "cache")

    def fusing(self, adapter: Path, output: Path, spec: FuseSpec | None = None) -> FuseJob:
        return FuseJob(self.model, self.model, [adapter], spec or FuseSpec(max_kl=10.0), self.rows()[6:], output)


@pytest.fixture(params=["mlx", "mlx as stored", "fake"])
def kind(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Kind]:
    if request.param == "fake":
        FakeEngine.create(tmp_path / "model", [("Show me a file.", "read it")])
        yield Kind("fake", FakeEngine(), tmp_path / "model")
        return
    make_model: MakeModel = request.getfixturevalue("make_model")
    engine = request.getfixturevalue("engine" if request.param == "mlx" else "stored_engine")
    yield Kind("mlx", engine, make_model(bits=None, dtype="bfloat16"))


def bytes_of(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_every_engine_is_registered_and_has_a_name_of_its_own(kind: Kind) -> None:
    assert kind.name in ENGINES
    assert kind.engine.name.startswith(kind.name)
    with pytest.raises(InvalidInput, match="no engine"):
        engine_named("torch")


def test_too_many_layers_are_known_before_training(kind: Kind) -> None:
    layers = kind.engine.describe(kind.model).num_layers
    for fitting in (-1, 1, layers):
        kind.engine.require_trainable(kind.model, SPEC.model_copy(update={"num_layers": fitting}), FuseSpec())
    with pytest.raises(InvalidInput, match=f"num_layers = {layers + 1}, but the model has {layers} layers") as refused:
        kind.engine.require_trainable(kind.model, SPEC.model_copy(update={"num_layers": layers + 1}), FuseSpec())
    assert refused.value.hint is not None
    assert "num_layers = -1" in refused.value.hint


def test_a_model_is_described_without_being_loaded(kind: Kind) -> None:
    info = kind.engine.describe(kind.model)
    assert info.num_layers == (8 if kind.name == "fake" else 4)
    assert info.size > 0
    assert info == kind.engine.describe(kind.model)
    with pytest.raises(InvalidInput):
        kind.engine.describe(kind.model / "nowhere")
    assert kind.engine.locate(kind.model) == kind.model


def test_a_file_that_is_no_model_is_refused_before_anything_is_written(kind: Kind, tmp_path: Path) -> None:
    (tmp_path / "notes.gguf").write_text("no model")
    with pytest.raises(InvalidInput, match=r"notes\.gguf") as refused:
        kind.engine.convert(tmp_path / "notes.gguf", tmp_path / "made", Silent())
    assert refused.value.hint
    assert not (tmp_path / "made").exists()


def test_a_tokenizer_gives_back_what_it_took(kind: Kind) -> None:
    tokenizer = kind.engine.tokenizer(kind.model)
    text = "read src/app.py, please"
    assert tokenizer.decode(tokenizer.encode(text)) == text
    assert tokenizer.call_markup in ("json", "function", None)
    prompt = tokenizer.chat(DIALOGUES[0][:1], add_generation_prompt=True)
    assert tokenizer.chat(DIALOGUES[0])[: len(prompt)] == prompt


def test_training_leaves_an_adapter_checkpoints_and_figures(kind: Kind, tmp_path: Path) -> None:
    report = kind.engine.train(kind.job(tmp_path / "run"), Silent())
    assert [step.update for step in report.steps] == [1, 2, 3, 4, 5, 6]
    assert [step.iteration for step in report.steps] == [2, 4, 6, 8, 10, 12]
    assert [validation.update for validation in report.validations] == [0, 2, 4, 6]
    assert report.trained_tokens == sum(step.tokens for step in report.steps) > 0
    assert any((tmp_path / "run" / "adapter").iterdir())
    assert any((tmp_path / "run" / "checkpoints").iterdir())
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert len(lines) == len(report.steps) + len(report.validations)


@pytest.mark.parametrize("update", [1, 3, 5])
def test_a_killed_training_goes_on_to_the_same_bytes(kind: Kind, tmp_path: Path, update: int) -> None:
    whole = kind.engine.train(kind.job(tmp_path / "whole"), Silent())
    killed = kind.job(tmp_path / "killed")
    with pytest.raises(Killed):
        kind.engine.train(killed, KillAt(update))
    resumed = kind.engine.train(killed, Silent())
    assert bytes_of(tmp_path / "killed" / "adapter") == bytes_of(tmp_path / "whole" / "adapter")
    assert [step.loss for step in resumed.steps] == [step.loss for step in whole.steps]
    assert resumed.validations == whole.validations


def test_a_training_goes_on_from_its_checkpoint_not_from_the_beginning(kind: Kind, tmp_path: Path) -> None:
    killed = kind.job(tmp_path)
    with pytest.raises(Killed):
        kind.engine.train(killed, KillAt(5))
    seen: list[int] = []

    class Updates:
        def emit(self, event: object) -> None:
            if getattr(event, "name", "") == "train" and hasattr(event, "done"):
                seen.append(event.done)

    kind.engine.train(killed, Updates())
    assert min(seen) == 4  # the checkpoint after 8 iterations


@pytest.mark.parametrize("harm", ["a flipped bit", "half a file", "a lost seal"])
def test_a_damaged_checkpoint_is_said_and_not_used(kind: Kind, tmp_path: Path, harm: str) -> None:
    kind.engine.train(kind.job(tmp_path / "whole"), Silent())
    killed = kind.job(tmp_path / "killed")
    with pytest.raises(Killed):
        kind.engine.train(killed, KillAt(3))
    files = [path for path in (tmp_path / "killed" / "checkpoints").rglob("*") if path.is_file()]
    largest = max((path for path in files if path.name != SEAL), key=lambda path: path.stat().st_size)
    content = bytearray(largest.read_bytes())
    if harm == "a lost seal":
        next(path for path in files if path.name == SEAL).unlink()
    elif harm == "half a file":
        largest.write_bytes(content[: len(content) // 2])
    else:
        content[-8] ^= 16
        largest.write_bytes(content)
    sink = Recorder()
    kind.engine.train(killed, sink)
    assert bytes_of(tmp_path / "killed" / "adapter") == bytes_of(tmp_path / "whole" / "adapter")
    assert "training begins again" in warnings_of(sink)


def test_a_checkpoint_of_another_training_is_said_and_not_used(kind: Kind, tmp_path: Path) -> None:
    kind.engine.train(kind.job(tmp_path / "whole"), Silent())
    with pytest.raises(Killed):
        kind.engine.train(replace(kind.job(tmp_path / "mixed"), learning_rate=1.1e-3), KillAt(3))
    sink = Recorder()
    kind.engine.train(kind.job(tmp_path / "mixed"), sink)
    assert bytes_of(tmp_path / "mixed" / "adapter") == bytes_of(tmp_path / "whole" / "adapter")
    assert "it was made from something else" in warnings_of(sink)


def warnings_of(sink: Recorder) -> str:
    return "\n".join(event.text for event in sink.events if isinstance(event, Note) and event.warning)


def test_numbers_that_overflow_are_a_numerical_fault(kind: Kind, tmp_path: Path) -> None:
    spec = SPEC.model_copy(update={"iters": 40})
    with pytest.raises(NumericalFault):
        kind.engine.train(kind.job(tmp_path, spec, 1e30), Silent())


def test_iterations_that_make_no_update_are_invalid(kind: Kind, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no update"):
        kind.engine.train(replace(kind.job(tmp_path), batches=[(0, 1)]), Silent())


@pytest.fixture
def adapter(kind: Kind, tmp_path: Path) -> Path:
    kind.engine.train(kind.job(tmp_path / "trained"), Silent())
    return tmp_path / "trained" / "adapter"


@pytest.mark.parametrize("calibrated", [False, True])
def test_a_fused_model_can_be_described_asked_and_made_again(
    kind: Kind, adapter: Path, tmp_path: Path, calibrated: bool
) -> None:
    rows = kind.rows()[:6] if calibrated else None
    job = replace(kind.fusing(adapter, tmp_path / "a" / "fused"), calibration=rows)
    report = kind.engine.fuse(job, Silent())
    assert report.rounding == ("compensated" if calibrated else "nearest")
    assert kind.engine.describe(job.output).digest != kind.engine.describe(kind.model).digest
    (completion,) = kind.engine.generate(GenerateJob(job.output, [[5, 6, 7]], [3]), Silent())
    assert completion.tokens <= 3
    bits = {module.name: module.bits for module in report.modules}
    again = RebuildJob(kind.model, kind.model, [adapter], bits, tmp_path / "b" / "fused", calibration=rows)
    kind.engine.rebuild(again, Silent())
    assert bytes_of(again.output) == bytes_of(job.output)


def test_the_bits_that_a_spec_asks_for_are_those_of_the_report(kind: Kind, adapter: Path, tmp_path: Path) -> None:
    spec = FuseSpec(bits=8, max_kl=10.0, min_survival=0.0)
    report = kind.engine.fuse(kind.fusing(adapter, tmp_path / "fused", spec), Silent())
    assert {module.bits for module in report.modules} == {8}
    assert kind.engine.describe(tmp_path / "fused").bits == 8


def test_a_fuse_that_loses_too_much_is_refused_and_nothing_is_written(
    kind: Kind, adapter: Path, tmp_path: Path
) -> None:
    spec = FuseSpec(bits=2, max_kl=10.0, min_survival=1.0)
    with pytest.raises(FuseRefused) as caught:
        kind.engine.fuse(kind.fusing(adapter, tmp_path / "fused", spec), Silent())
    assert caught.value.hint is not None
    assert not (tmp_path / "fused").exists()


def test_an_adapter_is_adopted_and_what_is_none_is_refused(kind: Kind, adapter: Path, tmp_path: Path) -> None:
    kind.engine.adopt(kind.model, adapter, tmp_path / "adopted")
    one = kind.engine.fuse(kind.fusing(adapter, tmp_path / "one" / "fused"), Silent())
    other = kind.engine.fuse(kind.fusing(tmp_path / "adopted", tmp_path / "other" / "fused"), Silent())
    assert one.modules == other.modules
    assert bytes_of(tmp_path / "one") == bytes_of(tmp_path / "other")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidInput):
        kind.engine.adopt(kind.model, tmp_path / "empty", tmp_path / "never")
    assert not (tmp_path / "never").exists()


def test_an_answer_depends_on_its_own_prompt_length_and_sampling(kind: Kind) -> None:
    tokenizer = kind.engine.tokenizer(kind.model)
    prompts = [tokenizer.chat(dialogue[:1], add_generation_prompt=True) for dialogue in DIALOGUES]
    limits = [1 + n % 4 for n in range(8)]
    sampling = [Sampling(0.7, n) if n % 2 else Sampling() for n in range(8)]
    together = kind.engine.generate(GenerateJob(kind.model, prompts, limits, sampling), Silent())
    assert len(together) == 8
    for n in (0, 3):
        alone = GenerateJob(kind.model, [prompts[n]], [limits[n]], [sampling[n]])
        assert kind.engine.generate(alone, Silent()) == [together[n]]
    greedy = kind.engine.generate(GenerateJob(kind.model, prompts[::2], limits[::2]), Silent())
    assert greedy == together[::2]
    assert all(answer.tokens <= limit for answer, limit in zip(together, limits, strict=True))
    with pytest.raises(InvalidInput, match="prompt 1"):
        kind.engine.generate(GenerateJob(kind.model, [[5], []], [1, 1]), Silent())


@pytest.fixture
def changed(kind: Kind, adapter: Path, tmp_path: Path) -> Path:
    """The model after a phase."""
    kind.engine.fuse(kind.fusing(adapter, tmp_path / "changed"), Silent())
    return tmp_path / "changed"


def test_a_reference_is_verified_or_the_answer_generated(kind: Kind, changed: Path) -> None:
    tokenizer = kind.engine.tokenizer(kind.model)
    prompts = [tokenizer.chat(dialogue[:1], add_generation_prompt=True) for dialogue in DIALOGUES]
    limits = [2 + n % 7 for n in range(8)]
    before = kind.engine.generate(GenerateJob(kind.model, prompts, limits), Silent())
    after = kind.engine.generate(GenerateJob(changed, prompts, limits), Silent())
    assert all(answer.ids is not None and len(answer.ids) == answer.tokens for answer in before)
    for model, answers in ((kind.model, before), (changed, after)):
        with kind.engine.answering(model) as held:
            verified = held.verify(VerifyJob(model, prompts, limits, before, base=kind.model), Silent())
        assert [one.completion for one in verified] == answers
        for one, reference, answer in zip(verified, before, answers, strict=True):
            assert (one.differs is None) == (answer == reference)
            if one.differs is not None:
                assert (answer.ids or ())[: one.differs] == (reference.ids or ())[: one.differs]
            assert one.logprob < 0.0
            assert one.base_logprob is not None
            assert one.kl is not None
            assert len(one.kl) in (reference.tokens, reference.tokens + 1)
            assert all(kl >= -1e-6 for kl in one.kl)
            if model == kind.model:
                assert one.base_logprob == pytest.approx(one.logprob)
                assert one.kl == pytest.approx([0.0] * len(one.kl), abs=1e-6)
    alone = kind.engine.verify(VerifyJob(changed, prompts, limits, before), Silent())
    assert [one.completion for one in alone] == after
    assert {(one.base_logprob, one.kl) for one in alone} == {(None, None)}


def test_a_reference_may_be_any_answer(kind: Kind) -> None:
    tokenizer = kind.engine.tokenizer(kind.model)
    prompt = tokenizer.chat(DIALOGUES[0][:1], add_generation_prompt=True)
    (answer,) = kind.engine.generate(GenerateJob(kind.model, [prompt], [6]), Silent())
    assert answer.ids is not None
    others = [(), answer.ids[:2], (*answer.ids[:3], answer.ids[3] + 1, *answer.ids[4:]), (*answer.ids, 9, 9)]
    references = [answer.model_copy(update={"ids": ids, "tokens": len(ids)}) for ids in others]
    verified = kind.engine.verify(VerifyJob(kind.model, [prompt] * 4, [6] * 4, references), Silent())
    assert [one.completion for one in verified] == [answer] * 4
    assert [one.differs for one in verified] == [0, 2, 3, None]  # what comes after the 6th token is never compared


def test_a_reference_without_token_ids_is_refused(kind: Kind) -> None:
    known = Completion(text="ab", tokens=2, finish="stop", ids=(97, 98))
    unknown = Completion(text="ab", tokens=2, finish="stop")
    with pytest.raises(InvalidInput, match="reference 1 has no token ids"):
        kind.engine.verify(VerifyJob(kind.model, [[5], [6]], [3, 3], [known, unknown]), Silent())
    with pytest.raises(InvalidInput, match="prompt 1 has no tokens"):
        kind.engine.verify(VerifyJob(kind.model, [[5], []], [3, 3], [known, known]), Silent())
    with pytest.raises(InvalidInput, match="2 prompts have 1 lengths and 2 references"):
        kind.engine.verify(VerifyJob(kind.model, [[5], [6]], [3], [known, known]), Silent())
    assert kind.engine.verify(VerifyJob(kind.model, [], [], []), Silent()) == []


async def _ask(name: str, model: Path) -> tuple[int, int, str]:
    async with model_server(ENGINES[name], model, (), {}) as server, httpx2.AsyncClient(timeout=60) as client:
        url = f"{server.url}/v1/chat/completions"
        request = {"messages": DIALOGUES[0][:1], "max_tokens": 4}
        stranger = await client.post(url, json=request)
        answer = await client.post(url, json=request, headers=server.headers)
        return stranger.status_code, answer.status_code, answer.json()["choices"][0]["message"]["content"]


def test_a_server_takes_the_requests_of_its_front_alone(kind: Kind) -> None:
    stranger, ours, text = asyncio.run(_ask(kind.name, kind.model))
    assert (stranger, ours) == (403, 200)
    assert isinstance(text, str)


def test_an_exported_model_answers_as_the_model(kind: Kind, tmp_path: Path) -> None:
    report = kind.engine.export(ExportJob(kind.model, "hf", tmp_path / "out", "one"), Silent())
    assert report.rounding == 0.0
    assert report.size > 0
    prompt = kind.engine.tokenizer(kind.model).chat(DIALOGUES[0][:1], add_generation_prompt=True)
    own, theirs = (
        kind.engine.generate(GenerateJob(folder, [prompt], [8]), Silent()) for folder in (kind.model, tmp_path / "out")
    )
    assert theirs == own


def test_an_export_leaves_what_is_there(kind: Kind, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(Refused, match="exists already"):
        kind.engine.export(ExportJob(kind.model, "hf", tmp_path / "out", "one"), Silent())
    with pytest.raises(InvalidInput):
        kind.engine.export(ExportJob(kind.model, "peft", tmp_path / "other", "one"), Silent())
    assert list((tmp_path / "out").iterdir()) == []
    assert not (tmp_path / "other").exists()
