from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.examples import call, dialogue
from topcoat.engine.fake import FakeEngine
from topcoat.errors import InvalidInput
from topcoat.examples.files import begin_draft, finish_draft, stats_of_files
from topcoat.project.session import LockedProject, lock_project
from topcoat.project.starting import init_project
from topcoat.spec.example import load_examples


@pytest.fixture
def project(tmp_path: Path) -> Iterator[LockedProject]:
    FakeEngine.create(tmp_path / "model", [])
    init_project(tmp_path / "project", str(tmp_path / "model"), calls="code")
    with lock_project(tmp_path / "project", "test") as opened:
        yield opened


def test_stats_of_files_count_broken_lines(tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    path.write_text(json.dumps(dialogue("a", "b")) + "\n{}\n")
    found = stats_of_files([path, path])
    assert (found.examples, found.unreadable, found.duplicates) == (2, 1, 1)


def test_a_draft_becomes_a_line_when_it_is_right(project: LockedProject) -> None:
    draft = begin_draft(project, "files")
    assert draft.target == project.paths.root / "data" / "new.jsonl"
    text = draft.path.read_text()
    assert "read_file(path: str)" in text
    filled = text.replace("=== user\n", "=== user\nPrint notes.txt\n")
    draft.path.write_text(filled.replace("=code>\n", '=code>\nprint(read_file("notes.txt").size)'))
    (finding,) = finish_draft(project, draft)
    assert (finding.code, finding.where) == ("unknown-field", str(draft.path))
    assert not draft.target.exists()

    assert begin_draft(project, "files") == draft
    draft.path.write_text(draft.path.read_text().replace(".size", ".text"))
    assert finish_draft(project, draft) == []
    assert not draft.path.exists()
    (read,) = load_examples(draft.target)
    assert read.example.category == "files"
    assert call('print(read_file("notes.txt").text)') in (read.example.messages[-1].content or "")

    again = begin_draft(project, "files")
    again.path.write_text(filled.replace("=code>\n", '=code>\nprint(read_file("notes.txt").text)'))
    assert [f.code for f in finish_draft(project, again)] == ["duplicate"]
    assert len(load_examples(draft.target)) == 2


def test_an_unfinished_draft_is_refused_and_kept(project: LockedProject, tmp_path: Path) -> None:
    draft = begin_draft(project, "files", tmp_path / "mine.jsonl")
    with pytest.raises(InvalidInput) as caught:
        finish_draft(project, draft)
    assert "the user turn is empty" in caught.value.mistakes[0].message
    assert draft.path == tmp_path / "mine.jsonl.draft"
    assert draft.path.exists()
    with pytest.raises(InvalidInput):
        begin_draft(project, "flies")


@pytest.mark.parametrize("target", ["/dev/stdout", "/dev/null", "."])
def test_an_example_is_added_to_files_only(project: LockedProject, target: str) -> None:
    with pytest.raises(InvalidInput, match="is no file of examples"):
        begin_draft(project, "files", Path(target))
