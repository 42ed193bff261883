"""Commands while another process holds the project: writers are refused, readers and reviewers aren't."""

from __future__ import annotations

import hashlib
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.command import fake
from tests.support.fake_project import run, write_phase
from tests.support.lock_holder import held_elsewhere
from tests.support.usage.captured import capture
from topcoat.cli.commands import data
from topcoat.cli.opening import common
from topcoat.errors import Refused
from topcoat.phases.run import write_report
from topcoat.project.project import open_project
from topcoat.spec.example import load_examples
from topcoat.store.lock import project_lock
from topcoat.store.paths import ProjectPaths


def content(project: Path) -> dict[Path, str]:
    """Every file of the project by its bytes, but for those of SQLite and the lock."""
    files = [path for path in project.rglob("*") if path.is_file() and not path.name.startswith(("topcoat.db", "lock"))]
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        ("data", "new", "--category", "git"),
        ("extract", "--phase", "next"),
        ("suite", "expand", "suites/templates.toml", "--cases", "2", "--reserve", "--overwrite"),
        ("suite", "expand", "suites/templates.toml", "--cases", "2", "--to", "big.jsonl"),
        ("plan", "--write", "phases/more.toml"),
    ],
    ids=" ".join,
)
def test_a_command_that_writes_is_refused_and_writes_nothing(
    fake_project: Path, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDITOR", "true")
    write_phase(fake_project, "next", data__train=["data/next.jsonl"])
    capture(fake_project, 12)
    before = content(fake_project)
    with held_elsewhere(ProjectPaths(fake_project).lock):
        done = fake(fake_project, *words)
    assert done.returncode == 2, done.stderr
    assert "another topcoat is running here: pid" in done.stderr
    assert "hint: wait until it ends" in done.stderr
    assert content(fake_project) == before


@pytest.mark.slow
@pytest.mark.parametrize(
    "words", [("eval",), ("eval", "phase33b"), ("plan",), ("compare", "phase33b", "phase34a-1")], ids=" ".join
)
def test_stored_scores_are_read_while_another_holds_the_project(fake_project: Path, words: tuple[str, ...]) -> None:
    assert run(fake_project).promoted
    free = fake(fake_project, *words, "--json")
    with held_elsewhere(ProjectPaths(fake_project).lock):
        done = fake(fake_project, *words, "--json")
        assert (done.returncode, done.stdout) == (free.returncode, free.stdout)
        suite = fake_project / "suites" / "routing.jsonl"
        suite.write_text("\n".join(suite.read_text().splitlines()[1:]) + "\n")
        refused = fake(fake_project, *words)
    assert refused.returncode == 2
    assert "are not stored yet, and another topcoat is running here: pid" in refused.stderr.replace("\n", " ")


def test_a_run_that_begins_while_the_editor_is_open_leaves_the_draft(
    fake_project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(common, "start", fake_project)
    paths = ProjectPaths(fake_project)
    code = 'print(git_status("demo"))'

    with ExitStack() as another:

        def edit(path: Path, again: str) -> None:
            text = path.read_text().replace("=== user\n", "=== user\nOn which branch is demo?\n", 1)
            path.write_text(text.replace("=code>\n", f"=code>\n{code}", 1))
            another.enter_context(project_lock(paths.lock, "topcoat run phase34a"))

        monkeypatch.setattr(data, "edit", edit)
        with pytest.raises(Refused, match=r"another topcoat is running here.*the draft is kept"):
            data.new("git", None)
    draft = paths.new_data.with_name("new.jsonl.draft")
    assert code in draft.read_text()
    assert not paths.new_data.exists()

    monkeypatch.setattr(data, "edit", lambda path, again: None)
    data.new("git", None)
    assert len(load_examples(paths.new_data)) == 1
    assert not draft.exists()


def test_a_report_can_be_made_again_at_any_time(fake_project: Path) -> None:
    page = run(fake_project).report
    first = page.read_bytes()
    page.unlink()
    with held_elsewhere(ProjectPaths(fake_project).lock), open_project(fake_project) as project:
        assert write_report(project, "phase34a") == page
    assert page.read_bytes() == first
