"""Reading layer by layer, beside reading with mlx-lm's caches."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.mlx.adapters import make_adapter
from tests.support.mlx.kinds import KINDS, PROMPTS
from tests.support.mlx.models import MakeModel
from tests.support.mlx.references import LIMITS, answers_of, spoiled
from tests.support.recorder import Recorder
from topcoat.engine.mlx.engine import MlxEngine
from topcoat.engine.mlx.verify import verify as module
from topcoat.engine.mlx.verify.by_layers import LayerReader
from topcoat.engine.protocol import FuseJob, Verified, VerifyJob
from topcoat.progress import Note, Silent
from topcoat.spec.phase import FuseSpec


@pytest.fixture
def job(engine: MlxEngine, make_model: MakeModel, tmp_path: Path) -> VerifyJob:
    """References of a base, and a model that is other in its last two of four layers."""
    base = make_model("qwen3", intermediate_size=128, **KINDS["qwen3"])
    adapter = make_adapter(base, tmp_path / "adapter", size=0.3)
    spec = FuseSpec(bits=8, min_survival=0.0, max_kl=100.0)
    engine.fuse(FuseJob(base, base, [adapter], spec, [], tmp_path / "changed"), Silent())
    references = spoiled(answers_of(engine, base))
    return VerifyJob(tmp_path / "changed", PROMPTS, LIMITS, references, base, tmp_path / "cache")


def notes(sink: Recorder) -> list[str]:
    return [event.text for event in sink.events if isinstance(event, Note)]


def assert_alike(found: list[Verified], expected: list[Verified]) -> None:
    for one, other in zip(found, expected, strict=True):
        assert one.completion == other.completion
        assert one.differs == other.differs
        assert one.logprob == pytest.approx(other.logprob, rel=1e-4)
        assert one.base_logprob == pytest.approx(other.base_logprob, rel=1e-4)
        assert one.kl == pytest.approx(other.kl, rel=1e-3, abs=1e-6)


def test_kept_states_change_nothing(engine: MlxEngine, job: VerifyJob, monkeypatch: pytest.MonkeyPatch) -> None:
    sink = Recorder()
    fresh = engine.verify(replace(job, cache=None), sink)
    first, again = engine.verify(job, sink), engine.verify(job, sink)
    assert notes(sink) == []
    assert first == again
    assert_alike(first, fresh)
    monkeypatch.setattr(module, "_problem", lambda reader, *_: "" if not isinstance(reader, LayerReader) else "no")
    assert_alike(engine.verify(job, sink), fresh)
    assert notes(sink) == ["references aren't read layer by layer: no"]


def test_what_is_kept_is_not_computed_again(engine: MlxEngine, job: VerifyJob, monkeypatch: pytest.MonkeyPatch) -> None:
    first = engine.verify(job, Silent())
    kept = {path: path.stat().st_mtime_ns for path in (job.cache or Path()).iterdir()}
    assert len(kept) > len(PROMPTS)

    def never(*_: object) -> None:
        raise AssertionError("the shared layers are computed again")

    monkeypatch.setattr(LayerReader, "_computed", never)
    final = LayerReader._final
    asked: list[object] = []

    def counted(self: LayerReader, prefix: object, *rest: object) -> object:
        asked.append(prefix)
        return final(self, prefix, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(LayerReader, "_final", counted)
    assert engine.verify(job, Silent()) == first
    assert len({id(prefix) for prefix in asked}) == 1  # the base's isn't asked
    assert {path for path in (job.cache or Path()).iterdir()} == {*kept}


def test_a_damaged_cache_is_said_and_computed_again(engine: MlxEngine, job: VerifyJob) -> None:
    first = engine.verify(job, Silent())
    for path in (job.cache or Path()).iterdir():
        path.write_bytes(path.read_bytes()[:-4] + b"\1\2\3\4")
    sink = Recorder()
    assert engine.verify(job, sink) == first
    assert any("damaged" in note for note in notes(sink))


def test_a_base_of_another_architecture_is_compared_too(
    engine: MlxEngine, make_model: MakeModel, job: VerifyJob
) -> None:
    """Nothing is shared, so nothing is kept."""
    base = make_model("qwen3", intermediate_size=192, **KINDS["qwen3"])
    verified = engine.verify(replace(job, base=base), Silent())
    assert [one.completion for one in verified] == [one.completion for one in engine.verify(job, Silent())]
    assert all(one.kl is not None for one in verified)


def test_a_model_may_be_its_own_base(engine: MlxEngine, job: VerifyJob) -> None:
    sink = Recorder()
    verified = engine.verify(replace(job, base=job.model), sink)
    assert notes(sink) == []
    assert all(one.kl == pytest.approx([0.0] * len(one.kl or ()), abs=1e-6) for one in verified)
