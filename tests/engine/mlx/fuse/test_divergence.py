"""What a fuse measures must be a number: NaN passes neither `max_kl` nor `min_survival`."""

from __future__ import annotations

import math
from pathlib import Path

import mlx.core as mx
import pytest

from tests.support.mlx.adapters import make_adapter
from tests.support.mlx.models import MakeModel
from tests.support.mlx.rows import rows
from topcoat.engine.mlx.engine import MlxEngine
from topcoat.engine.mlx.fuse.fuse import _mean_kl
from topcoat.engine.mlx.fuse.master import Master
from topcoat.engine.protocol import FuseJob
from topcoat.errors import FuseRefused
from topcoat.progress import Silent
from topcoat.spec.phase import FuseSpec


def test_a_divergence_that_is_no_number_is_not_none() -> None:
    """A fused model that computes NaN must not look like one that changed nothing."""
    p = mx.log(mx.array([[0.5, 0.5]]))
    assert _mean_kl([p], [p]) == 0.0
    assert math.isnan(_mean_kl([p], [mx.array([[math.nan, -1.0]])]))
    assert _mean_kl([p], [mx.array([[-math.inf, 0.0]])]) == math.inf


def test_a_token_that_is_never_given_adds_nothing_to_the_divergence() -> None:
    p, q = mx.log(mx.array([[0.5, 0.5, 0.0]])), mx.log(mx.array([[0.25, 0.75, 0.0]]))
    assert _mean_kl([p], [q]) == pytest.approx(0.5 * math.log(2.0) + 0.5 * math.log(0.5 / 0.75))


@pytest.mark.parametrize(
    ("survival", "said"), [(1.0, "by nan nats per token"), (math.nan, "nan of the delta survives")]
)
def test_a_fuse_whose_model_computes_nan_is_refused(
    engine: MlxEngine,
    make_model: MakeModel,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    survival: float,
    said: str,
) -> None:
    monkeypatch.setattr(Master, "fused_weight", lambda master: master.weight * math.nan)
    monkeypatch.setattr(Master, "survival", lambda _: survival)
    folder = make_model()
    adapter = make_adapter(folder, tmp_path / "adapter", size=0.1)
    job = FuseJob(folder, folder, [adapter], FuseSpec(), rows(2), tmp_path / "fused")
    with pytest.raises(FuseRefused, match=said):
        engine.fuse(job, Silent())
    assert not (tmp_path / "fused").exists()
