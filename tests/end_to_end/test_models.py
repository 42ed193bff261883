"""Architectures of mlx-lm, each as a tiny random model: the twelve used most do everything, all others can be made."""

from __future__ import annotations

import copy
import importlib.metadata
import re
import sys
from pathlib import Path

import pytest
from mlx_lm.utils import _get_classes

from benchmarks.models import PAGE, Line, Workers, counts, main, page, row
from benchmarks.zoo.checks import CHECKS, Found, examine
from benchmarks.zoo.configurations import LAYERS, LEFT_OUT, REASONS, USED_MOST, architectures, configuration
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
        line("four", batches=Found(True, "5 of 5, one after another: in a batch, logits differ: by 0.1")),
        line("phi3small", trunk=Found(True, "whole: split and whole differ")),
        Line("three", 1.0, {}, "it ended with SIGSEGV"),
    ]
    assert counts(lines) == "5 architectures were tried. 3 pass every check, and 2 have a trunk (40%)."
    text = page(lines)
    assert "| two | x | whole | x | **0.5 at 4** | x | x | x |" in text
    assert "- two: its layers share a state" in text
    assert f"- phi3small: split and whole differ. {REASONS['phi3small']}" in text
    assert "| four | x | trunk | x | x | x | 5 of 5, one after another | x |" in text
    assert "- four: in a batch, logits differ: by 0.1" in text
    assert "one after another\n" not in page(lines[:2])
    assert "| three | **it ended with SIGSEGV** |" in text
    assert row(lines[0]) == ["one", "x", "trunk", "x", "x", "x", "x", "x"]


def test_findings_of_an_earlier_run_are_kept_and_not_examined_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    examined: list[str] = []

    def examine_one(_: Workers, name: str) -> Line:
        examined.append(name)
        if name == "three":
            raise KeyboardInterrupt
        return line(name, fused=Found(False, "0.5 at 4")) if name == "two" else line(name)

    monkeypatch.setattr(Workers, "examined", examine_one)
    path = tmp_path / "findings.json"
    for names, code in (("one", 0), ("one,two", 1), ("two,one", 1)):
        monkeypatch.setattr(sys, "argv", ["models.py", "--only", names, "--findings", str(path)])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == code
    assert examined == ["one", "two"]
    assert capsys.readouterr().out.count("FAIL two") == 2
    monkeypatch.setattr(sys, "argv", ["models.py", "--only", "three", "--findings", str(path)])
    with pytest.raises(KeyboardInterrupt):
        main()
    path.write_text(path.read_text().replace('"mlx_lm": "', '"mlx_lm": "0.'))
    with pytest.raises(SystemExit, match="is of mlx-lm 0"):
        main()


def test_the_page_in_docs_is_what_the_script_writes_for_the_same_lines() -> None:
    """Its table is read back. What only a run can tell, the cells, isn't compared."""
    text = PAGE.read_text()
    names = re.findall(r"^\| (?!---)(\S+) \|", text.partition("| architecture |")[2], re.M)
    assert names == [name for name in architectures() if name not in LEFT_OUT]
    assert f"{len(names)} architectures were tried." in text
    assert f"made this page with mlx-lm {importlib.metadata.version('mlx-lm')}," in text
    made = page([line(name) for name in names])
    frame = [part for part in made.splitlines() if not part.startswith("| ") or "architecture" in part]
    assert [part for part in frame if part not in text.splitlines() and "architectures were tried" not in part] == []
