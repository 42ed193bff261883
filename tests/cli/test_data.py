"""`topcoat data ...` as a user meets it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.command import topcoat
from tests.support.data_sets import DATA_SETS
from tests.support.examples import dialogue
from topcoat.engine.fake import FakeEngine
from topcoat.project.starting import init_project


@pytest.fixture
def project(tmp_path: Path) -> Path:
    FakeEngine.create(tmp_path / "model", [])
    init_project(tmp_path / "project", str(tmp_path / "model"), calls="code")
    return tmp_path / "project"


def editor(folder: Path, old: str, new: str) -> str:
    """An editor that replaces one text by another."""
    script = folder / "editor.py"
    script.write_text(
        "import pathlib, sys\npath = pathlib.Path(sys.argv[1])\n"
        f"path.write_text(path.read_text().replace({old!r}, {new!r}))\n"
    )
    return f"'{sys.executable}' '{script}'"


@pytest.mark.slow
def test_import_and_stats(tmp_path: Path) -> None:
    source = tmp_path / "chat.jsonl"
    source.write_text(json.dumps(dialogue("a", "b")) + "\n")
    done = topcoat("data", "import", source, "--to", "data.jsonl", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "data.jsonl: 1 example, read as chat\n")
    again = topcoat("data", "import", source, "--to", "data.jsonl", cwd=tmp_path)
    assert again.returncode == 2
    assert "hint: topcoat data import" in again.stderr
    assert "1 template; worth 1.0 examples" in topcoat("data", "stats", "data.jsonl", cwd=tmp_path).stdout
    figures = json.loads(topcoat("data", "stats", "data.jsonl", "--json", cwd=tmp_path).stdout)
    assert figures["categories"] == {"files": 1}
    imported = topcoat("data", "import", source, "--to", "b.jsonl", "--format", "chat", "--json", cwd=tmp_path)
    assert json.loads(imported.stdout)["examples"] == 1


@pytest.mark.slow
def test_an_import_says_what_it_did_and_follows_the_project(tmp_path: Path) -> None:
    hermes, openai = (next(one.line for one in DATA_SETS if one.form == form) for form in ("hermes", "openai"))
    (tmp_path / "a.jsonl").write_text(json.dumps(hermes) + '\n{"conversations": []}\n')
    (tmp_path / "b.jsonl").write_text(json.dumps(openai) + "\n")
    refused = topcoat("data", "import", "a.jsonl", "--to", "data.jsonl", cwd=tmp_path)
    assert "hint: topcoat data import a.jsonl --to data.jsonl --leave-out" in refused.stderr
    done = topcoat("data", "import", "a.jsonl", "--to", "data.jsonl", "--leave-out", cwd=tmp_path)
    assert done.stdout.startswith(
        "data.jsonl: 1 example, read as hermes\n  1 system prompt: its tools are under `tools`"
    )
    assert done.stderr == "1 line left out\n  a.jsonl:2: conversations: must be a list of turns\n"
    topcoat("data", "import", "b.jsonl", "--to", "native.jsonl", cwd=tmp_path)
    (tmp_path / "topcoat.toml").write_text(
        '[project]\nname = "x"\nbase = "m"\ncatalog = "tools.pyi"\nsuite = "s"\nsystem_prompt = ""\n'
    )
    topcoat("data", "import", "b.jsonl", "--to", "code.jsonl", cwd=tmp_path)
    written = [(tmp_path / name).read_text() for name in ("native.jsonl", "code.jsonl")]
    assert ['"tool_calls"' in text for text in written] == [True, False]
    assert ["<tool_call>" in text for text in written] == [False, True]


@pytest.mark.slow
def test_an_import_can_come_from_a_pipe_and_go_into_one(tmp_path: Path) -> None:
    (tmp_path / "chat.jsonl").write_text("\n" + json.dumps(dialogue("a", "b")) + "\n")
    os.mkfifo(tmp_path / "pipe")
    with subprocess.Popen(["sh", "-c", "cat chat.jsonl > pipe"], cwd=tmp_path):
        done = topcoat("data", "import", "pipe", "--to", "/dev/stdout", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "/dev/stdout: 1 example, read as chat\n")
    assert json.loads(done.stdout) == dialogue("a", "b")
    assert Path("/dev/stdout").is_symlink()
    (tmp_path / "chat.jsonl").write_text("\n\n{}\n")
    with subprocess.Popen(["sh", "-c", "cat chat.jsonl > pipe"], cwd=tmp_path):
        done = topcoat("data", "import", "pipe", "--format", "chat", "--to", "data.jsonl", cwd=tmp_path)
    assert "at pipe:3\n" in done.stderr


@pytest.mark.slow
def test_new_is_checked_on_save(project: Path, tmp_path: Path) -> None:
    arguments = ("data", "new", "--category", "files")
    filled = "=code>\nprint(read_file('a.txt').text)"
    broken = topcoat(*arguments, cwd=project, VISUAL=editor(tmp_path, "=code>\n", "=code>\nprint(reed('a'))"))
    assert broken.returncode == 2
    assert "the user turn is empty" in broken.stderr
    asked = topcoat(*arguments, cwd=project, VISUAL=editor(tmp_path, "=== user\n", "=== user\nPrint a.txt\n"))
    assert asked.returncode == 2
    assert "unknown-tool" in asked.stderr
    assert "hint: topcoat data new --category files" in asked.stderr
    right = topcoat(*arguments, cwd=project, VISUAL=editor(tmp_path, "=code>\nprint(reed('a'))", filled))
    assert right.returncode == 0, right.stderr
    assert json.loads((project / "data" / "new.jsonl").read_text())["category"] == "files"


@pytest.mark.parametrize(("command", "message"), [("", "no editor"), ("/no/such", "can't be started"), ("false", "1;")])
def test_an_editor_that_fails(project: Path, command: str, message: str) -> None:
    done = topcoat("data", "new", "--category", "files", cwd=project, VISUAL=command, EDITOR="")
    assert done.returncode == 2
    assert message in done.stderr
    assert "hint: EDITOR=nano topcoat data new" in done.stderr or "the draft is kept" in done.stderr
