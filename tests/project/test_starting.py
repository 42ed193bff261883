from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from topcoat.engine.fake import FakeEngine
from topcoat.project.starting import init_project
from topcoat.spec.project import load_settings


@pytest.mark.parametrize(
    ("model", "written"),
    [
        ("work/agent/models/base", "models/base"),
        ("work/agent/base", "./base"),
        ("work/models/base", "../models/base"),
        ("models/base", "~/models/base"),
        ("../elsewhere/base", None),
    ],
)
def test_the_base_is_written_so_that_the_project_can_be_moved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str, written: str | None
) -> None:
    home = tmp_path / "home"
    monkeypatch.setenv("HOME", str(home))
    folder = (home / model).resolve()
    FakeEngine.create(folder, [("q", "a")])
    (home / "work").mkdir(parents=True, exist_ok=True)
    monkeypatch.chdir(home / "work")
    init_project(Path("agent"), str(folder))
    settings = load_settings(home / "work" / "agent")
    assert settings.spec.project.base == (written or str(folder))
    assert Path(settings.base).resolve() == folder


def test_behind_a_link_the_path_is_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    FakeEngine.create(tmp_path / "base", [("q", "a")])
    (tmp_path / "far" / "away").mkdir(parents=True)
    (tmp_path / "agent").symlink_to(tmp_path / "far" / "away")
    init_project(tmp_path / "agent", str(tmp_path / "base"))
    assert Path(load_settings(tmp_path / "agent").base).is_dir()


def test_git_leaves_out_what_is_large_or_private(tmp_path: Path) -> None:
    FakeEngine.create(tmp_path / "models" / "base", [("q", "a")])
    assert init_project(tmp_path, str(tmp_path / "models" / "base"))[tmp_path / ".gitignore"] == "wrote"
    for name in (".topcoat/events.db", "data/new.jsonl.draft", "adapter.safetensors"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    listed = subprocess.run(
        ["git", "ls-files", "--others", "--exclude-standard"], cwd=tmp_path, check=True, capture_output=True, text=True
    ).stdout.split()
    assert sorted(listed) == [
        ".gitignore", "data/phase1.jsonl", "phases/phase1.toml", "prompts/system.md", "suites/routing.jsonl",
        "tools.pyi", "topcoat.toml",
    ]  # fmt: skip


@pytest.mark.parametrize("mine", ["*.pyc\n/models", "*.pyc\r\nmodels/\r\n", "\udcff\nmodels"])
def test_a_gitignore_keeps_its_lines(tmp_path: Path, mine: str) -> None:
    FakeEngine.create(tmp_path / "models" / "base", [("q", "a")])
    path = tmp_path / ".gitignore"
    before = mine.encode(errors="surrogateescape")
    path.write_bytes(before)
    done = init_project(tmp_path, str(tmp_path / "models" / "base"))
    assert done[path] == "added .topcoat/, *.safetensors, *.draft to"
    assert path.read_bytes().startswith(before)
    assert b"\n.topcoat/\n" in path.read_bytes()
    assert b"\nmodels/\n" not in path.read_bytes().removeprefix(before)


def test_a_gitignore_with_every_line_is_left_alone(tmp_path: Path) -> None:
    FakeEngine.create(tmp_path / "models" / "base", [("q", "a")])
    path = tmp_path / ".gitignore"
    path.write_text(".topcoat\nmodels\n*.safetensors\n*.draft\n")
    assert path not in init_project(tmp_path, str(tmp_path / "models" / "base"))
    assert path.read_text() == ".topcoat\nmodels\n*.safetensors\n*.draft\n"
