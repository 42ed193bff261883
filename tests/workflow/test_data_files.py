from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.data.material import call, dialogue
from topcoat.engine.fake import FakeEngine
from topcoat.errors import InvalidInput, Refused
from topcoat.progress import Silent
from topcoat.spec.example import load_examples
from topcoat.workflow import Workspace, init_project, read_workspace
from topcoat.workflow.data_files import begin_draft, finish_draft, import_examples, stats_of_files

SHAREGPT = {"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}], "lang": "en"}


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    FakeEngine.create(tmp_path / "model", [])
    init_project(tmp_path / "project", str(tmp_path / "model"))
    with read_workspace(tmp_path / "project", FakeEngine(), Silent()) as opened:
        yield opened


@pytest.mark.parametrize("as_list", [False, True])
def test_import(tmp_path: Path, as_list: bool) -> None:
    source, target = tmp_path / "source.json", tmp_path / "new" / "data.jsonl"
    rows = [SHAREGPT, {**SHAREGPT, "system": "s"}]
    source.write_text(json.dumps(rows, indent=1) if as_list else "\n".join(map(json.dumps, rows)))
    done = import_examples(source, target)
    assert (done.format, done.examples, done.path) == ("sharegpt", 2, str(target))
    read = load_examples(target)
    assert [[m.role for m in e.example.messages] for e in read] == [
        ["user", "assistant"],
        ["system", "user", "assistant"],
    ]
    assert (read[0].example.model_extra or {})["lang"] == "en"
    with pytest.raises(Refused, match="exists already"):
        import_examples(source, target)


def test_an_import_names_every_mistake_and_writes_nothing(tmp_path: Path) -> None:
    source, target = tmp_path / "source.json", tmp_path / "data.jsonl"
    broken = [SHAREGPT, {"conversations": []}, {"conversations": [{"from": "gpt", "value": "b"}]}]
    source.write_text(json.dumps(broken, indent=1))
    with pytest.raises(InvalidInput) as caught:
        import_examples(source, target)
    lines = source.read_text().splitlines()
    named = [(m.where.line, m.message) for m in caught.value.mistakes if m.where]
    assert [lines[line - 1] for line, _ in named if line] == [" {", " {"]
    assert "must be a list of turns" in named[0][1]
    assert "can't stand at the start" in named[1][1]
    assert not target.exists()


@pytest.mark.parametrize(
    ("text", "form", "message"),
    [
        ('{"prompt": "a"}', None, "no known format"),
        ('{"prompt": "a"}', "alpaca", 'no format "alpaca"'),
        ('[{"a": 1}, {', None, "broken at the item"),
        ("[1]", None, "1 mistake"),
        ("", None, "1 mistake"),
        ("[]", None, "keys of no known format|1 mistake"),
    ],
)
def test_what_can_t_be_imported_is_refused(tmp_path: Path, text: str, form: str | None, message: str) -> None:
    source = tmp_path / "source.json"
    source.write_text(text)
    with pytest.raises(InvalidInput, match=message):
        import_examples(source, tmp_path / "data.jsonl", form)


def test_stats_of_files_count_broken_lines(tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    path.write_text(json.dumps(dialogue("a", "b")) + "\n{}\n")
    found = stats_of_files([path, path])
    assert (found.examples, found.unreadable, found.duplicates) == (2, 1, 1)


def test_a_draft_becomes_a_line_when_it_is_right(workspace: Workspace) -> None:
    draft = begin_draft(workspace, "files")
    assert draft.target == workspace.project.root / "data" / "new.jsonl"
    text = draft.path.read_text()
    assert "read_file(path: str)" in text
    filled = text.replace("=== user\n", "=== user\nPrint notes.txt\n")
    draft.path.write_text(filled.replace("=code>\n", '=code>\nprint(read_file("notes.txt").size)'))
    (finding,) = finish_draft(workspace, draft)
    assert (finding.code, finding.where) == ("unknown-field", str(draft.path))
    assert not draft.target.exists()

    assert begin_draft(workspace, "files") == draft
    draft.path.write_text(draft.path.read_text().replace(".size", ".text"))
    assert finish_draft(workspace, draft) == []
    assert not draft.path.exists()
    (read,) = load_examples(draft.target)
    assert read.example.category == "files"
    assert call('print(read_file("notes.txt").text)') in (read.example.messages[-1].content or "")

    again = begin_draft(workspace, "files")
    again.path.write_text(filled.replace("=code>\n", '=code>\nprint(read_file("notes.txt").text)'))
    assert [f.code for f in finish_draft(workspace, again)] == ["duplicate"]
    assert len(load_examples(draft.target)) == 2


def test_an_unfinished_draft_is_refused_and_kept(workspace: Workspace, tmp_path: Path) -> None:
    draft = begin_draft(workspace, "files", tmp_path / "mine.jsonl")
    with pytest.raises(InvalidInput) as caught:
        finish_draft(workspace, draft)
    assert "the user turn is empty" in caught.value.mistakes[0].message
    assert draft.path == tmp_path / "mine.jsonl.draft"
    assert draft.path.exists()
    with pytest.raises(InvalidInput):
        begin_draft(workspace, "flies")
