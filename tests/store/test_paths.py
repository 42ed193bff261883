from __future__ import annotations

from pathlib import Path

from topcoat.store.paths import ProjectPaths


def test_everything_lies_under_the_state_folder_and_nothing_is_created(tmp_path: Path) -> None:
    paths = ProjectPaths(tmp_path)
    state = tmp_path / ".topcoat"
    assert paths.state == state
    assert paths.database == state / "topcoat.db"
    assert paths.lock == state / "lock"
    assert paths.cache == state / "cache"
    assert paths.reports == state / "reports"
    assert paths.model("m1") == paths.models / "m1" == state / "models/m1"
    assert paths.attempt("phase34a", 2).folder == paths.runs / "phase34a/2" == state / "runs/phase34a/2"
    assert not state.exists()
