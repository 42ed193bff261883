"""The projects of the campaign, and what is compared of them: everything that is stored but times."""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.support.fake_project import ask_for_tools_alone, write_phase
from topcoat.demo import TEMPLATE
from topcoat.engine.fake import FakeEngine
from topcoat.store.paths import ProjectPaths

__all__ = ["command", "make_project", "make_real_project", "state"]

_REAL_PHASE = """\
[data]
train = ["data/phase34a.jsonl"]
replay = 0.5

[train]
iters = 24
batch_size = 4
grad_accumulation_steps = 1
learning_rate = 1e-3
num_layers = 4
steps_per_eval = 8
save_every = 4

[gate]
no_regression = ["multi_tool"]
evidence = "mean"
tolerance = 1.0
"""
_MEASURED = ("seconds", "peak_memory", "created", "time", "applied")
"""The ends of the keys whose values a machine measures."""
_LEFT_OUT = {
    "seal.json",
    "lock",
    "review-lock",
    "reports",
    "cache",
    "progress.jsonl",
    "topcoat.db",
    "events.db",
    "checkpoints",
}
"""A seal has the digests of files with times. Reports and caches can be made again, checkpoints are needed until the
end. Databases are compared by their rows."""


def make_project(folder: Path) -> None:
    """The embedded project around a fake model that remembers the history. Its suite asks for tools alone."""
    shutil.copytree(TEMPLATE, folder, ignore=shutil.ignore_patterns("models", "__pycache__"))
    rows = [json.loads(line)["messages"] for line in (folder / "data" / "phase33b.jsonl").read_text().splitlines()]
    FakeEngine.create(folder / "models" / "phase33b", [(row[1]["content"], row[2]["content"]) for row in rows])
    ask_for_tools_alone(folder / "suites" / "routing.jsonl")
    write_phase(folder)
    _write_key(folder)


def make_real_project(folder: Path) -> None:
    """The embedded project with its model, a short phase and every ninth case."""
    shutil.copytree(TEMPLATE, folder)
    (folder / "phases" / "phase34a.toml").write_text(_REAL_PHASE)
    suite = folder / "suites" / "routing.jsonl"
    suite.write_text("\n".join(suite.read_text().splitlines()[::9]) + "\n")
    _write_key(folder)


def _write_key(project: Path) -> None:
    """Give the project a known key of dialogues: it would make a random one, and two unkilled runs would differ."""
    path = ProjectPaths(project).dialogue_key
    path.parent.mkdir()
    path.touch(mode=0o600)
    path.write_text("07" * 32, encoding="ascii")


def command(project: Path, *arguments: str, engine: str = "fake") -> subprocess.Popen[str]:
    """A command of topcoat on the project, started."""
    words = [sys.executable, "-m", "topcoat", "--engine", engine, "--project", str(project), *arguments]
    return subprocess.Popen(
        words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=project
    )


def state(project: Path) -> dict[str, Any]:
    """The digest of each file, and the rows of both databases without times."""
    files = {}
    for path in sorted(project.rglob("*")):
        place = path.relative_to(project)
        if (
            path.is_file()
            and not _LEFT_OUT & {*place.parts}
            and not place.name.startswith(("topcoat.db-", "events.db-"))
        ):
            files[str(place)] = _digest(path)
    rows = {name: _rows(project / ".topcoat" / name) for name in ("topcoat.db", "events.db")}
    return {"files": files, "rows": rows}


def _digest(path: Path) -> str:
    raw = path.read_bytes()
    if path.suffix in (".json", ".jsonl") and ".topcoat" in path.parts:
        raw = json.dumps([_timeless(json.loads(line)) for line in _documents(raw)]).encode()
    return hashlib.sha256(raw).hexdigest()


def _documents(raw: bytes) -> list[bytes]:
    try:
        json.loads(raw)
    except ValueError:
        return raw.splitlines()
    return [raw]


def _rows(path: Path) -> dict[str, list[Any]]:
    if not path.is_file():
        return {}
    with closing(sqlite3.connect(path)) as database:
        database.row_factory = sqlite3.Row
        (sound,) = database.execute("PRAGMA integrity_check").fetchone()
        found: dict[str, list[Any]] = {"integrity": [sound]}
        for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name").fetchall():
            found[name] = [_timeless(dict(row)) for row in database.execute(f"SELECT * FROM {name} ORDER BY rowid")]
    return found


def _timeless(value: Any) -> Any:
    """`value` without what was measured, also in texts that are JSON."""
    if isinstance(value, dict):
        return {key: _timeless(item) for key, item in value.items() if not key.endswith(_MEASURED)}
    if isinstance(value, list):
        return [_timeless(item) for item in value]
    if isinstance(value, str) and value[:1] in ("{", "["):
        try:
            return _timeless(json.loads(value))
        except ValueError:
            return value
    return value
