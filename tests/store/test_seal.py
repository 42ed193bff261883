from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.recorder import Recorder
from topcoat.progress import Note
from topcoat.store.records import Trial
from topcoat.store.seal import SEAL, ResultFolder, damages, read_seal, seal

ORIGIN = {"inputs": "a", "base": "root"}
ADAPTER = b"the adapter's bytes"


def test_a_result_is_computed_once(tmp_path: Path) -> None:
    computed = [result(open_folder(tmp_path / "1")[0]) for _ in range(3)]
    assert computed == [True, False, False]


def test_a_folder_of_another_origin_is_set_aside_and_its_origin_is_named(tmp_path: Path) -> None:
    result(open_folder(tmp_path / "1")[0])
    folder, sink = open_folder(tmp_path / "1", {**ORIGIN, "base": "another"})
    assert "made from something else (base); it is 1.aside now" in warnings(sink)
    assert (tmp_path / "1.aside" / "adapter" / "weights").read_bytes() == ADAPTER
    assert result(folder)


def test_an_earlier_folder_that_was_set_aside_is_not_replaced(tmp_path: Path) -> None:
    for base in ("one", "two", "three"):
        result(open_folder(tmp_path / "1", {**ORIGIN, "base": base})[0])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1", "1.aside", "1.aside-2"]


def test_a_folder_without_a_seal_is_taken_only_if_it_is_younger_than_its_attempt(tmp_path: Path) -> None:
    begun = datetime.now(UTC) - timedelta(hours=1)
    for name, hours in (("younger", 0), ("older", 2)):
        result(open_folder(tmp_path / name)[0])
        (tmp_path / name / SEAL).unlink()
        written = datetime.now(UTC) - timedelta(hours=hours)
        for path in (tmp_path / name).rglob("*"):
            os.utime(path, (written.timestamp(), written.timestamp()))
    younger, sink = open_folder(tmp_path / "younger", since=begun)
    assert "without a seal" in warnings(sink)
    assert not result(younger)
    older, sink = open_folder(tmp_path / "older", since=begun)
    assert "nothing says what its results were made from" in warnings(sink)
    assert result(older)


@pytest.mark.parametrize("name", ["train.json", "adapter/weights"])
@pytest.mark.parametrize("harm", ["flip", "cut", "delete"])
def test_a_damaged_result_is_made_again_and_said(tmp_path: Path, name: str, harm: str) -> None:
    result(open_folder(tmp_path / "1")[0])
    path = tmp_path / "1" / name
    damage(path, harm)
    folder, sink = open_folder(tmp_path / "1")
    assert result(folder)
    assert (tmp_path / "1" / "adapter" / "weights").read_bytes() == ADAPTER
    if path.name != "train.json" or harm != "delete":  # without its record a result was never finished
        assert name in warnings(sink)
    assert not result(open_folder(tmp_path / "1")[0])


def test_a_result_whose_seal_was_not_written_is_made_again(tmp_path: Path) -> None:
    folder, _ = open_folder(tmp_path / "1")
    (tmp_path / "1" / "train.json").write_text(Trial(learning_rate=1.0, seed=2).model_dump_json())
    assert result(folder)


def test_what_lies_elsewhere_belongs_to_the_result(tmp_path: Path) -> None:
    there = {"model": "digest"}

    def fused(folder: ResultFolder) -> bool:
        return result(folder, elsewhere="model", digest=lambda: there["model"])

    assert fused(open_folder(tmp_path / "1")[0])
    assert not fused(open_folder(tmp_path / "1")[0])
    there["model"] = "changed"
    folder, sink = open_folder(tmp_path / "1")
    assert fused(folder)
    assert "model is gone or damaged" in warnings(sink)


@given(st.binary(min_size=1, max_size=64), st.data())
def test_any_changed_byte_is_noticed(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("sealed")
    (folder / "file").write_bytes(content)
    seal(folder, ORIGIN, [folder / "file"])
    sealed = read_seal(folder)
    assert sealed is not None
    assert damages(folder, sealed) == []
    place = data.draw(st.integers(0, len(content) - 1))
    changed = bytearray(content)
    changed[place] ^= data.draw(st.integers(1, 255))
    (folder / "file").write_bytes(changed)
    assert damages(folder, sealed) == ["file is damaged"]


def test_a_damaged_seal_seals_nothing(tmp_path: Path) -> None:
    result(open_folder(tmp_path / "1")[0])
    damage(tmp_path / "1" / SEAL, "cut")
    assert read_seal(tmp_path / "1") is None
    assert result(open_folder(tmp_path / "1")[0])


def open_folder(path: Path, made_from=ORIGIN, since=None):  # type: ignore[no-untyped-def]
    sink = Recorder()
    return ResultFolder(path, made_from, sink, since=since), sink


def result(folder: ResultFolder, elsewhere: str = "", digest=None) -> bool:  # type: ignore[no-untyped-def]
    """Ask for a result; whether it was computed."""
    computed = []
    here = folder.folder

    def compute() -> Trial:
        computed.append(True)
        (here / "adapter").mkdir(exist_ok=True)
        (here / "adapter" / "weights").write_bytes(ADAPTER)
        return Trial(learning_rate=1.0, seed=2)

    outside = {elsewhere: digest} if elsewhere else None
    found = folder.stored(here / "train.json", Trial, compute, beside=here / "adapter", elsewhere=outside)
    assert found == Trial(learning_rate=1.0, seed=2)
    return bool(computed)


def damage(path: Path, harm: str) -> None:
    if harm == "delete":
        path.unlink()
    elif harm == "cut":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    else:
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)


def warnings(sink: Recorder) -> str:
    return "\n".join(event.text for event in sink.events if isinstance(event, Note) and event.warning)
