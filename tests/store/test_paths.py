from __future__ import annotations

from pathlib import Path

from topcoat.store.paths import ProjectPaths


def test_everything_of_topcoat_lies_under_the_state_folder_and_nothing_is_created(tmp_path: Path) -> None:
    paths = ProjectPaths(tmp_path)
    state = tmp_path / ".topcoat"
    assert paths.state == state
    assert paths.database == state / "topcoat.db"
    assert paths.lock == state / "lock"
    assert paths.cache == state / "cache"
    assert paths.reports == state / "reports"
    assert paths.model("m1") == paths.models / "m1" == state / "models/m1"
    assert paths.attempt("phase34a", 2).folder == paths.runs / "phase34a/2" == state / "runs/phase34a/2"
    assert paths.report("phase34a") == state / "reports/phase34a.html"
    assert paths.reviews == state / "reviews.json"
    assert paths.extracted == state / "extracted.json"
    assert paths.trunk_cache == state / "cache/trunk"
    assert paths.measured("k") == state / "cache/measured/k.json"
    assert paths.review_lock != paths.lock
    assert not state.exists()


def test_an_attempt_and_its_trials_have_the_same_layout(tmp_path: Path) -> None:
    attempt = ProjectPaths(tmp_path).attempt("p", 1)
    trial = attempt.trial(1e-3, 4)
    assert trial.folder == attempt.folder / "trials/0.001-4"
    names = {"phase.json", "train.json", "fuse.json", "calibration.json", "result.json", "adapter", "checkpoints"}
    for here in (attempt, trial):
        found = {here.spec, here.train_report, here.fuse_report, here.calibration, here.result}
        found |= {here.adapter, here.checkpoints}
        assert found == {here.folder / name for name in names}


def test_what_a_user_reads_lies_beside_the_state(tmp_path: Path) -> None:
    paths = ProjectPaths(tmp_path)
    assert paths.phase("next") == tmp_path / "phases/next.toml"
    assert paths.data("next") == tmp_path / "data/next.jsonl"
    assert paths.new_data == tmp_path / "data/new.jsonl"
    assert paths.captured_suite == tmp_path / "suites/captured.jsonl"
