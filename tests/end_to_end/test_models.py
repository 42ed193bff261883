"""Architectures of mlx-lm, each as a tiny random model: the twelve used most do everything, all others can be made."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
from mlx_lm.utils import _get_classes

from benchmarks.models import Line, counts, page, row
from benchmarks.zoo.checks import CHECKS, Found, examine
from benchmarks.zoo.configurations import LAYERS, LEFT_OUT, USED_MOST, architectures, configuration
from benchmarks.zoo.folder import make_folder


@pytest.mark.slow
@pytest.mark.parametrize("architecture", USED_MOST)
def test_a_model_that_people_use_does_everything(tmp_path: Path, architecture: str) -> None:
    found = examine(architecture, make_folder(architecture, tmp_path / "model"), tmp_path)
    assert {name: one.said for name, one in found.items() if not one.good} == {}
    assert found.keys() == CHECKS.keys()


@pytest.mark.slow
def test_every_architecture_has_a_tiny_configuration_or_a_reason() -> None:
    """A new mlx-lm may bring an architecture. It then needs a line in benchmarks/zoo/configurations.py."""
    tried = [name for name in architectures() if name not in LEFT_OUT]
    assert len(tried) >= 90
    for name in tried:
        config = configuration(name)
        kind, arguments = _get_classes(config)
        assert len(kind(arguments.from_dict(copy.deepcopy(config))).layers) == LAYERS, name


GOOD = {name: Found(True, "trunk" if name == "trunk" else "x") for name in CHECKS}


def line(name: str, **changed: Found) -> Line:
    return Line(name, 1.0, {check: (one.good, one.said) for check, one in {**GOOD, **changed}.items()})


def test_the_page_shows_what_fails_and_why_a_model_is_trained_whole() -> None:
    lines = [
        line("one"),
        line("two", trunk=Found(True, "whole: its layers share a state"), fused=Found(False, "0.5 at 4")),
        Line("three", 1.0, {}, "it ended with SIGSEGV"),
    ]
    assert counts(lines) == "3 architectures were tried. 1 passes every check, and 1 has a trunk (33%)."
    text = page(lines)
    assert "| two | x | whole | x | **0.5 at 4** | x | x | x |" in text
    assert "- two: its layers share a state" in text
    assert "| three | **it ended with SIGSEGV** |" in text
    assert row(lines[0]) == ["one", "x", "trunk", "x", "x", "x", "x", "x"]
