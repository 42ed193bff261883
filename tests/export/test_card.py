from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.fake_project import opened, run
from topcoat.export.card import model_card


@pytest.fixture
def promoted(fake_project: Path) -> Path:
    assert run(fake_project).promoted
    return fake_project


def card_of(project: Path, name: str = "production") -> str:
    with opened(project) as session:
        return model_card(session, name)


def front_of(card: str) -> dict[str, str]:
    """The metadata's lines before the scores, by key."""
    _, front, _ = card.split("---\n", 2)
    return dict(line.split(": ", 1) for line in front.splitlines() if ": " in line and not line.startswith(" "))


def metrics_of(card: str) -> dict[str, float]:
    lines = [json.loads(line.strip().removeprefix("- ")) for line in card.splitlines() if '"type": "accuracy"' in line]
    return {line["name"]: line["value"] for line in lines}


@pytest.mark.slow
def test_the_card_has_the_lineages_figures(promoted: Path) -> None:
    card = card_of(promoted)
    with opened(promoted) as session:
        scores = {row.model: row.result for row in session.lineage.evaluations() if not row.result.reserve}
        origin = session.lineage.origin(session.model("production"))
        assert origin is not None
        result: Any = session.lineage.result(origin[1].id)
    after, before = scores["phase34a-1"], scores["phase33b"]
    assert metrics_of(card) == {each.category: pytest.approx(each.mean, abs=1e-4) for each in after.categories}
    for category in after.categories:
        old = before.category(category.category)
        assert old is not None
        (row,) = [line for line in card.splitlines() if line.startswith(f"| {category.category} |")]
        for told in (f"| {category.n} |", f"{100 * old.mean:.1f}% (", f"{100 * category.mean:.1f}% ("):
            assert told in row
    (coat,) = [line for line in card.splitlines() if line.startswith("| phase34a-1 |")]
    assert "data/phase34a.jsonl (106)" in coat
    assert f"| {result.fuse.survival:.3f} |" in coat
    assert f"| {origin[1].learning_rate:g} |" in coat
    fallen = [each.category for each in after.categories if each.mean < (before.category(each.category) or each).mean]
    lost = card.partition("## What was lost")[2].partition("## Coats")[0]
    for name in fallen:
        assert f"- {name}: -" in lost
    if not fallen:
        assert "No category's mean fell." in lost


def test_a_root_without_scores_says_so(fake_project: Path) -> None:
    card = card_of(fake_project, "phase33b")
    assert "This model was not evaluated." in card
    assert "model-index" not in card
    assert "## Coats" not in card
    assert "`read_file`" in card


def test_the_bases_licence_is_its_own_cards_or_its_files(fake_project: Path) -> None:
    root = fake_project / "models" / "phase33b"
    assert "license" not in front_of(card_of(fake_project))
    assert "doesn't say under which licence" in card_of(fake_project)
    (root / "converted.json").write_text(json.dumps({"file": "x.gguf", "license": "mit"}))
    assert front_of(card_of(fake_project))["license"] == '"mit"'
    (root / "README.md").write_text("---\ntags: [a]\nlicense: 'apache-2.0' # as published\n---\n# It\nlicense: other\n")
    assert front_of(card_of(fake_project))["license"] == '"apache-2.0"'
    assert "The base's licence is apache-2.0." in card_of(fake_project)


def test_data_that_is_gone_is_said(fake_project: Path) -> None:
    assert run(fake_project).promoted
    (fake_project / "data" / "phase34a.jsonl").unlink()
    assert "data/phase34a.jsonl (gone)" in card_of(fake_project)
