"""Where the leaderboard's files are found, and what is said where they aren't."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.leaderboard import KITE, question, wheel_of, write_leaderboard
from topcoat.errors import InvalidInput
from topcoat.suites.bfcl.files import open_files


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The data of a small leaderboard, where an unpacked wheel has it."""
    return write_leaderboard(tmp_path / "unpacked/bfcl_eval/data", irrelevance=[question("irrelevance_0", KITE)])


def message_of(source: Path | None) -> tuple[str, str | None]:
    with pytest.raises(InvalidInput) as caught:
        open_files(source)
    return caught.value.message, caught.value.hint


def same(path: Path) -> Path:
    return path


def package(path: Path) -> Path:
    return path.parent


def unpacked(path: Path) -> Path:
    return path.parent.parent


def wheel(path: Path) -> Path:
    return wheel_of(path, path.parents[2] / "bfcl_eval-1-py3-none-any.whl")


@pytest.mark.parametrize("source", [same, package, unpacked, wheel])
def test_the_files_are_found_in_every_form_of_the_package(data: Path, source: Callable[[Path], Path]) -> None:
    files = open_files(source(data))
    assert files.stems == ("irrelevance",)
    where, line = files.lines("irrelevance")[0]
    assert (where.path.name, where.line) == ("BFCL_v4_irrelevance.json", 1)
    assert b"irrelevance_0" in line


def test_without_a_source_it_is_the_installed_package_which_is_not_imported(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (data.parent / "__init__.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(str(data.parents[1]))
    assert open_files(None).path == data.parent / "data"
    assert "bfcl_eval" not in sys.modules


def test_without_the_package_its_installation_is_the_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [])
    message, hint = message_of(None)
    assert message == "the package bfcl-eval, which holds the leaderboard's files, isn't installed here"
    assert hint is not None
    assert hint.startswith("pip install --no-deps bfcl-eval; or: pip download --no-deps bfcl-eval")


def test_a_folder_without_the_files_or_with_others(tmp_path: Path) -> None:
    message, hint = message_of(tmp_path)
    assert message == f"{tmp_path} holds no file like BFCL_v4_simple_python.json, nor does its data or bfcl_eval/data"
    assert hint is not None
    assert hint.startswith("pip install --no-deps bfcl-eval")
    (tmp_path / "BFCL_v3_simple.json").write_text("{}")
    message, hint = message_of(tmp_path)
    assert message == f"{tmp_path} holds files of BFCL_v3; only those of BFCL_v4 can be read"
    assert hint == "pip install --no-deps bfcl-eval --upgrade"
    assert message_of(tmp_path / "nowhere")[0] == f"no such file or folder: {tmp_path / 'nowhere'}"


def test_a_wheel_that_is_none_or_is_damaged(data: Path, tmp_path: Path) -> None:
    whole = wheel(data)
    raw = whole.read_bytes()
    cut = tmp_path / "cut.whl"
    cut.write_bytes(raw[: len(raw) // 2])
    assert message_of(cut)[0] == f"{cut} is neither a folder nor a whole wheel"
    flipped = tmp_path / "flipped.whl"
    start = raw.index(b"BFCL_v4_irrelevance.json") + len(b"BFCL_v4_irrelevance.json")
    flipped.write_bytes(raw[:start] + bytes(byte ^ 0xFF for byte in raw[start : start + 40]) + raw[start + 40 :])
    files = open_files(flipped)
    with pytest.raises(
        InvalidInput, match=r"flipped.whl/bfcl_eval/data/BFCL_v4_irrelevance.json is damaged: "
    ) as caught:
        files.lines("irrelevance")
    assert caught.value.hint == "pip download --no-deps bfcl-eval, then name the .whl file"


def test_a_wheel_whose_files_are_too_large_is_refused(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("topcoat.suites.bfcl.files._LARGEST", 10)
    bomb = wheel(data)
    large = "bfcl_eval/data/BFCL_v4_irrelevance.json is too large"
    assert message_of(bomb)[0] == f"{bomb} is no wheel of bfcl-eval: {large}"


def test_a_missing_file_is_named(data: Path) -> None:
    with pytest.raises(InvalidInput) as caught:
        open_files(data).lines("simple_python", answers=True)
    assert caught.value.message == f"no such file: {data / 'possible_answer/BFCL_v4_simple_python.json'}"
