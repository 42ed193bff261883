from __future__ import annotations

import importlib.metadata
import importlib.util
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import topcoat


@pytest.mark.parametrize("name", topcoat.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert callable(getattr(topcoat, name))


def test_other_names_are_not() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = topcoat.nothing


def test_the_version_is_that_of_the_package_and_read_when_asked_for() -> None:
    assert topcoat.__version__ == importlib.metadata.version("topcoat")
    script = "import sys; before = set(sys.modules); import topcoat; print(set(sys.modules) - before)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "'topcoat'" in done.stdout
    assert "importlib.metadata" not in done.stdout


def test_inspect_finds_the_suite_by_name() -> None:
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["inspect_ai"] == {"topcoat": "topcoat.suites.inspect_task"}
    assert importlib.util.find_spec("topcoat.suites.inspect_task") is not None


def test_the_examples_of_the_page_run(fake_project: Path) -> None:
    page = (Path(__file__).parents[1] / "docs" / "api.md").read_text()
    script = "\n".join(line[4:] for line in page.splitlines() if line.startswith("    ") or not line)
    done = subprocess.run([sys.executable, "-c", script], cwd=fake_project, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[2] == "None"  # nothing is in production before the first session
    assert lines[-2:] == ["True phase34a-1", "True"]


@pytest.mark.parametrize("name", topcoat.__all__)
def test_every_public_name_is_on_the_page(name: str) -> None:
    page = (Path(__file__).parents[1] / "docs" / "api.md").read_text()
    assert f"`{name}" in page
