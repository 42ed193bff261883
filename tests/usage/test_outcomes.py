"""Outcomes, with a real git."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from topcoat.errors import InvalidInput, Refused
from topcoat.usage.events import Event
from topcoat.usage.importing import open_log
from topcoat.usage.outcomes import install_hooks, record_outcome


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "topcoat.toml").write_text("")
    with open_log(folder) as log:
        log.add([Event(session=name, kind="request", branch=branch) for name, branch in (("a", "fix"), ("b", "fix"))])
        log.add([Event(session="c", kind="request", branch="other")])
    return folder


@pytest.fixture
def repository(tmp_path: Path, project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with the hooks, on a branch "fix" with a commit of its own."""
    for name, value in {"NAME": "A", "EMAIL": "a@example.com"}.items():
        monkeypatch.setenv(f"GIT_AUTHOR_{name}", value)
        monkeypatch.setenv(f"GIT_COMMITTER_{name}", value)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    folder = tmp_path / "repository"
    subprocess.run(["git", "init", "-q", "-b", "main", str(folder)], check=True)
    commit(folder, "first")
    install_hooks(project, folder)
    git(folder, "switch", "-qc", "fix")
    commit(folder, "second")
    return folder


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True)
    assert done.stderr == "" or done.stderr.startswith(("Switched", "Auto-merging"))
    return done.stdout


def commit(folder: Path, text: str) -> None:
    (folder / "file").write_text(text)
    git(folder, "add", "file")
    git(folder, "commit", "-qm", text)


def outcomes(project: Path) -> list[tuple[str, str]]:
    with open_log(project) as log:
        return [(event.session, event.kind) for event in log.events() if event.kind != "request"]


COMMITTED = [("a", "commit"), ("b", "commit")]
MERGED = [("a", "merged"), ("b", "merged")]


def test_a_commit_is_reported_once_to_the_sessions_on_its_branch(project: Path, repository: Path) -> None:
    assert outcomes(project) == COMMITTED
    commit(repository, "third")
    assert outcomes(project) == COMMITTED
    with open_log(project) as log:
        log.add([Event(session="b", kind="request", query="more", branch="fix")])
    commit(repository, "fourth")
    assert outcomes(project) == [*COMMITTED, ("b", "commit")]
    with open_log(project) as log:
        assert list(log.events("b"))[-1].commit == git(repository, "rev-parse", "HEAD").strip()


@pytest.mark.parametrize("options", [[], ["--no-ff", "-m", "merge"]])
def test_a_merge_is_reported_to_the_sessions_on_the_merged_branch(
    project: Path, repository: Path, options: list[str]
) -> None:
    git(repository, "switch", "-q", "main")
    git(repository, "merge", "-q", *options, "fix")
    assert outcomes(project) == [*COMMITTED, *MERGED]


def test_a_merge_with_conflicts_is_reported_by_its_commit(project: Path, repository: Path) -> None:
    git(repository, "switch", "-q", "main")
    commit(repository, "otherwise")
    merge = subprocess.run(["git", "-C", str(repository), "merge", "-q", "fix"], capture_output=True, check=False)
    assert merge.returncode == 1
    commit(repository, "both")
    assert outcomes(project) == [*COMMITTED, *MERGED]


def test_another_hook_is_left_as_it_is(project: Path, repository: Path) -> None:
    hook = repository / ".git" / "hooks" / "post-merge"
    hook.write_text("#!/bin/sh\necho mine\n")
    with pytest.raises(Refused, match="post-merge hook already") as caught:
        install_hooks(project, repository)
    assert "events hook --run post-merge" in (caught.value.hint or "")
    assert hook.read_text() == "#!/bin/sh\necho mine\n"


def test_a_hook_that_fails_leaves_git_alone(project: Path, repository: Path) -> None:
    (project / "topcoat.toml").unlink()
    commit(repository, "third")
    assert git(repository, "log", "--oneline").count("\n") == 3


def test_a_session_or_a_branch_may_be_ended_by_hand(project: Path) -> None:
    assert record_outcome(project, "rejected", session="c") == ["c"]
    assert record_outcome(project, "closed", branch="fix") == ["a", "b"]
    assert record_outcome(project, "merged", branch="fix") == []
    assert outcomes(project) == [("c", "rejected"), ("a", "closed"), ("b", "closed")]


@pytest.mark.parametrize(
    "wrong",
    [{"outcome": "song", "session": "a"}, {"outcome": "merged"}, {"outcome": "merged", "session": "x"}],
)
def test_what_there_is_not_cannot_end(project: Path, wrong: dict[str, str]) -> None:
    with pytest.raises(InvalidInput):
        record_outcome(project, **wrong)


def test_a_folder_without_git_gets_no_hooks(project: Path) -> None:
    with pytest.raises(InvalidInput, match="git says"):
        install_hooks(project, project)
