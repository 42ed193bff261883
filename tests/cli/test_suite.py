"""`topcoat suite ...` as a user meets it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.command import fake, topcoat
from tests.support.leaderboard import CLOCK, KITE, question, truth, write_leaderboard


@pytest.mark.slow
def test_expand_says_what_it_made_and_what_not(fake_project: Path) -> None:
    templates = fake_project / "suites/templates.toml"
    text = templates.read_text()
    wording = 'prompt = "Who else uses {symbol} at {path}:{line}:{column}?"'
    assert wording in text
    text = text.replace(wording, 'prompt = "Which type does {symbol} at {path}:{line}:{column} have?"')
    templates.write_text(text.replace('"braid",', '"braid", "garden",'))
    done = fake(fake_project, "suite", "expand", templates, "--cases", "10", "--to", "big.jsonl")
    assert done.returncode == 0, done.stderr
    assert "big.jsonl: 70 cases of 47 templates, checked against 1055 examples\n  text_tools: 10\n" in done.stdout
    assert "left out of the names of verb, for training has them: garden, pluck\n" in done.stdout
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


@pytest.fixture
def leaderboard(tmp_path: Path) -> Path:
    """A leaderboard of two categories, with a question that can't be a case and a category that isn't read."""
    kite = [question("multiple_0", KITE), question("multiple_1", KITE, turns="Fly a blue one.")]
    return write_leaderboard(
        tmp_path / "leaderboard",
        multiple=kite,
        truth_multiple=[truth("multiple_0", ("toys.fly_kite", {"colour": ["red"], "tails": [None, ""]}))],
        irrelevance=[question("irrelevance_0", CLOCK)],
        simple_java=[{"id": "java_0"}],
    )


@pytest.mark.slow
def test_import_says_what_it_wrote_and_what_it_left_out(leaderboard: Path, tmp_path: Path) -> None:
    words = ("suite", "import", "bfcl", leaderboard, "--categories", "multiple, irrelevance")
    done = topcoat(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "suites/bfcl.jsonl: 2 cases with 2 sets of tools",
        "  multiple: 1",
        "  irrelevance: 1",
        "1 case with right answers that the schema of the case's own tool forbids",
        "left out 1 of multiple: it has no ground truth (multiple_1)",
        "not read simple_java (1 line): its arguments are texts in Java",
        'hint: catalog = "FILE.json" and suite = "suites/bfcl.jsonl" under [project]: its calls are native',
    ]
    again = topcoat(*words, "--to", "other.jsonl", "--json", cwd=tmp_path)
    assert json.loads(again.stdout)["cases"] == {"multiple": 1, "irrelevance": 1}
    assert (tmp_path / "other.jsonl").read_text() == (tmp_path / "suites/bfcl.jsonl").read_text()


@pytest.mark.slow
def test_import_refuses_with_a_hint(leaderboard: Path, tmp_path: Path) -> None:
    all_of_them = topcoat("suite", "import", "bfcl", leaderboard, cwd=tmp_path)
    assert all_of_them.returncode == 2
    assert f"no such file: {leaderboard}/BFCL_v4_simple_python.json" in all_of_them.stderr
    assert "hint: --categories multiple,irrelevance" in all_of_them.stderr
    assert not (tmp_path / "suites").exists()
