"""What a Project may do, what needs the lock, and that the type checker knows."""

from __future__ import annotations

import json
import shutil
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.support.lock_holder import held_elsewhere
from topcoat.engine.fake import FakeEngine
from topcoat.errors import Refused
from topcoat.examples.files import begin_draft
from topcoat.phases.judging.evaluation import evaluate_model
from topcoat.phases.rebuilding import collect_garbage
from topcoat.phases.run import run_phase
from topcoat.progress import Silent
from topcoat.project.production import promote
from topcoat.project.project import Project, open_project
from topcoat.project.session import LockedProject, Session, lock_project, open_session
from topcoat.store.paths import ProjectPaths
from topcoat.suites.expansion.suite_file import expand_suite
from topcoat.usage.extraction.extract import extract_examples


def _refused_by_the_type_checker(project: Project, locked: LockedProject) -> None:
    """Never called. A call that the type checker let pass would leave its comment unused, which is an error too."""
    promote(project, "m")  # type: ignore[arg-type]
    run_phase(project, Path("phases/p.toml"))  # type: ignore[arg-type]
    evaluate_model(project, project.model("m"))  # type: ignore[arg-type]
    collect_garbage(project)  # type: ignore[arg-type]
    extract_examples(project, "p", {})  # type: ignore[arg-type]
    expand_suite(project, Path("templates.toml"), 1)  # type: ignore[arg-type]
    begin_draft(project, "files")  # type: ignore[arg-type]
    run_phase(locked, Path("phases/p.toml"))  # type: ignore[arg-type]
    project.lineage.promote("m", "by a reader")  # type: ignore[attr-defined]
    _ = project.engine  # type: ignore[attr-defined]


def test_a_held_project_can_be_read_and_not_written(fake_project: Path) -> None:
    with held_elsewhere(ProjectPaths(fake_project).lock):
        with open_project(fake_project / "suites") as project:
            assert project.settings.name == "demo"
            assert project.lineage.production() is None
        with pytest.raises(Refused, match="`topcoat run phase34a`"), lock_project(fake_project, "test"):
            pass
        with pytest.raises(Refused, match="pid"), open_session(fake_project, FakeEngine(), Silent(), "test"):
            pass


def test_a_session_adopts_the_base_and_a_locked_project_does_not(fake_project: Path) -> None:
    with lock_project(fake_project, "test") as locked:
        assert locked.lineage.production() is None
    with open_session(fake_project, FakeEngine(), Silent(), "test") as session:
        assert session.lineage.production() == session.model("production").name == "phase33b"
        assert session.model("production").path == fake_project / "models" / "phase33b"
    with open_project(fake_project) as project:
        assert project.lineage.production() == "phase33b"


def test_another_base_than_the_lineage_grew_from_is_refused(fake_project: Path) -> None:
    models = fake_project / "models"
    with open_session(fake_project, FakeEngine(), Silent(), "test"):
        pass
    settings = fake_project / "topcoat.toml"
    before = settings.read_text()
    shutil.copytree(models / "phase33b", models / "moved")
    settings.write_text(before.replace("models/phase33b", "models/moved"))
    with open_session(fake_project, FakeEngine(), Silent(), "test") as session:
        assert session.lineage.production() == "phase33b"
    edited = models / "moved" / "config.json"
    edited.write_text(json.dumps({**json.loads(edited.read_text()), "quantization": {"bits": 3, "group_size": 64}}))
    with pytest.raises(Refused, match="grew from phase33b") as error, _opened(fake_project):
        pass
    assert error.value.where is not None
    assert error.value.where.path == settings
    settings.write_text(before.replace("models/phase33b", "owner/other"))
    with pytest.raises(Refused, match="base is owner/other now"), _opened(fake_project):
        pass


def _opened(root: Path) -> AbstractContextManager[Session]:
    return open_session(root, FakeEngine(), Silent(), "test")


def test_what_is_written_is_what_stands_there_under_the_lock(fake_project: Path) -> None:
    """A suite that was changed before the lock was had is the changed one."""
    with lock_project(fake_project, "test") as before:
        path = before.suite.path
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:3]))
    with lock_project(fake_project, "test") as after:
        assert len(after.suite.cases) == 3
