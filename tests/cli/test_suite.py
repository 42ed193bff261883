"""`topcoat suite ...` as a user meets it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.command import fake


@pytest.mark.slow
def test_expand_says_what_it_made_and_what_not(fake_project: Path) -> None:
    templates = fake_project / "suites/templates.toml"
    text = templates.read_text()
    wording = 'prompt = "Who else uses {symbol} at {path}:{line}:{column}?"'
    assert wording in text
    text = text.replace(wording, 'prompt = "Which places use {symbol} at {path}:{line}:{column}?"')
    templates.write_text(text.replace('"braid",', '"braid", "bundle",'))
    done = fake(fake_project, "suite", "expand", templates, "--cases", "10", "--to", "big.jsonl")
    assert done.returncode == 0, done.stderr
    assert "big.jsonl: 70 cases of 47 templates, checked against 1029 examples\n  text_tools: 10\n" in done.stdout
    assert "left out of the names of verb, for training has them: bundle\n" in done.stdout
    assert "left out 50 of references: eval-near, a user turn is nearly" in done.stdout
    again = fake(fake_project, "suite", "expand", templates, "--cases", "10", "--to", "big.jsonl", "--json")
    assert json.loads(again.stdout)["cases"]["lsp"] == 10
    assert len((fake_project / "big.jsonl").read_text().splitlines()) == 70
    piped = fake(fake_project, "suite", "expand", templates, "--cases", "10", "--to", "/dev/stdout")
    assert piped.stdout == (fake_project / "big.jsonl").read_text()


@pytest.mark.slow
def test_expand_refuses_with_a_hint(fake_project: Path) -> None:
    nowhere = fake(fake_project, "suite", "expand", "suites/templates.toml")
    assert nowhere.returncode == 2
    assert "hint: topcoat suite expand 'suites/templates.toml' --to suites/expanded.jsonl" in nowhere.stderr
    small = '[names]\nword = ["xebec"]\n[[template]]\nname = "t"\ncategory = "git"\nprompt = "{word}?"\n'
    (fake_project / "small.toml").write_text(small + "expect = { calls = [] }\n")
    many = fake(fake_project, "suite", "expand", "small.toml", "--cases", "2", "--to", "big.jsonl")
    assert many.returncode == 2
    assert "ran out" in many.stderr
    assert 'hint: more values, another template of "git", or --cases 1' in many.stderr
    assert not (fake_project / "big.jsonl").exists()
    other = fake(fake_project, "suite", "expand", "suites/templates.toml", "--cases", "1", "--reserve")
    assert other.returncode == 2
    assert "hint: --overwrite" in other.stderr
