"""docs/data.md says what its own commands and code print on a real agent's data."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import topcoat
from tests.support.real_data import DATA, ROOT
from topcoat.examples.checks.check import CODES

PAGE = ROOT / "docs" / "data.md"
_PYTHON = re.compile(r"```python\n(.*?)```\n\n```text\n(.*?)```", re.DOTALL)
_CONSOLE = re.compile(r"```console\n\$ topcoat (.*?)\n(.*?)```", re.DOTALL)

needs_data = pytest.mark.skipif(not DATA.is_dir(), reason=f"the data set is not here: {DATA} (set TOPCOAT_REAL_DATA)")


def code_outputs(page: str) -> list[tuple[str, str]]:
    """What the page says that each block of Python prints, and what it prints; the blocks share their names."""
    names: dict[str, Any] = {}
    outputs = []
    for code, said in _PYTHON.findall(page):
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(code.replace('Path("punie-phase33")', f"Path({str(DATA)!r})"), names)
        outputs.append((said, printed.getvalue()))
    return outputs


def command_outputs(page: str) -> list[tuple[str, str]]:
    return [(said, topcoat(*command.split(), cwd=DATA.parent).stdout) for command, said in _CONSOLE.findall(page)]


@needs_data
def test_the_figures_of_the_page_are_what_its_code_prints() -> None:
    outputs = code_outputs(PAGE.read_text())
    assert len(outputs) == 3
    for said, printed in outputs:
        assert said == printed


@needs_data
def test_the_commands_of_the_page_print_what_it_says() -> None:
    assert (DATA.parent / "punie-phase33").is_dir()
    outputs = command_outputs(PAGE.read_text())
    assert len(outputs) == 1
    for said, printed in outputs:
        assert said == printed


def test_every_code_is_explained() -> None:
    explained = re.findall(r"^\| `([a-z-]+)` \| (?:error|warning) \|", Path(PAGE).read_text(), re.MULTILINE)
    assert sorted(explained) == sorted(CODES)
