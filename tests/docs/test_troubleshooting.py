"""docs/troubleshooting.md shows what the commands print: each is run in a project that has the fault."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.command import fake, topcoat
from tests.support.documents import ROOT

pytestmark = pytest.mark.slow

PAGE = (ROOT / "docs" / "troubleshooting.md").read_text()
SHOWN = re.findall(r"```console\n\$ topcoat (.*?)\n(.*?)```", PAGE, re.DOTALL)


def mistyped_key(project: Path) -> None:
    path = project / "topcoat.toml"
    path.write_text(path.read_text() + "\n[eval]\ntemperature = [0.7]\n")


def unknown_tool(project: Path) -> None:
    path = project / "suites" / "routing.jsonl"
    path.write_text(re.sub(r'"tool": "\w+"', '"tool": "git_stats"', path.read_text(), count=1))


def other_prompt(project: Path) -> None:
    path = project / "data" / "phase34a.jsonl"
    path.write_text(path.read_text().replace('"content": "You are', '"content": "Hi. You are', 1))


FAULTS: dict[str, Callable[[Path], None]] = {
    "eval.temperature": mistyped_key,
    "git_stats": unknown_tool,
    "system-prompt": other_prompt,
}


@pytest.mark.parametrize(("command", "said"), SHOWN, ids=[command for command, _ in SHOWN])
def test_the_page_shows_what_a_command_prints(command: str, said: str, fake_project: Path) -> None:
    for mark, make in FAULTS.items():
        if mark in said:
            make(fake_project)
    if "no topcoat.toml" in said:
        folder = fake_project.parent / "elsewhere"
        folder.mkdir()
        done, shown = topcoat(*shlex.split(command), cwd=folder), ("/home/me", folder)
    else:
        done, shown = fake(fake_project, *shlex.split(command)), ("/home/me/agent", fake_project)
    printed = (done.stdout + done.stderr).replace(str(shown[1]), shown[0])
    assert done.returncode in (1, 2)
    missing = [line for line in said.splitlines() if not any(line in row for row in printed.splitlines())]
    assert missing == [], printed


def test_transcripts_are_found() -> None:
    assert len(SHOWN) > 7
