from __future__ import annotations

from pathlib import Path

from topcoat.spec.reading.documents import read_documents


def test_documents_may_take_a_line_or_many(tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    file.write_text('{"a": 1}\n\n{\n  "b": [\n    2\n  ]\n}\n[3]\n')
    documents, mistakes = read_documents(file)
    assert [(value, where.line) for value, where in documents] == [({"a": 1}, 1), ({"b": [2]}, 3), ([3], 8)]
    assert mistakes == []


def test_what_is_no_document_is_named_and_the_rest_is_read(tmp_path: Path) -> None:
    file = tmp_path / "x.jsonl"
    file.write_text('{"a": 1}\ngarbage\n{"cut": \n{"b": 2}\n' + "[" * 100_000 + "\n{}\n")
    documents, mistakes = read_documents(file)
    assert [(value, where.line) for value, where in documents] == [({"a": 1}, 1), ({"b": 2}, 4), ({}, 6)]
    assert [str(mistake.where) for mistake in mistakes] == [f"{file}:{line}" for line in (2, 3, 5)]


def test_an_empty_file_holds_nothing(tmp_path: Path) -> None:
    (tmp_path / "x").write_text(" \n")
    assert read_documents(tmp_path / "x") == ([], [])
