from __future__ import annotations

import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.gguf_files import dequantized, entry, stored, write_gguf
from topcoat.engine.mlx.gguf.file import read_gguf
from topcoat.errors import InvalidInput, StorageFault

METADATA = {
    "general.architecture": "llama",
    "whole": 7,
    "real": 0.5,
    "yes": True,
    "texts": ["a", "", "\u00e9"],
    "numbers": [1, -2, 3],
    "reals": [0.25, -1.0],
}


def text(data: bytes) -> bytes:
    return struct.pack("<Q", len(data)) + data


def header(tensors: int = 0, entries: int = 0, version: int = 3) -> bytes:
    return struct.pack("<4sIQQ", b"GGUF", version, tensors, entries)


def tensor(name: bytes, shape: tuple[int, ...], kind: int = 0, offset: int = 0) -> bytes:
    return text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, offset)


@pytest.mark.parametrize("version", [2, 3])
def test_a_file_is_read_as_it_was_written(tmp_path: Path, version: int) -> None:
    written = {"one.weight": stored("F32", (3, 4)), "two.weight": stored("Q8_0", (2, 64)), "three": stored("F16", (5,))}
    file = read_gguf(write_gguf(tmp_path / "a.gguf", METADATA, written, version=version))
    assert {key: value for key, value in file.metadata.items() if not isinstance(value, np.ndarray)} == {
        key: value for key, value in METADATA.items() if key not in ("numbers", "reals")
    }
    for key in ("numbers", "reals"):
        np.testing.assert_array_equal(np.asarray(file.metadata[key]), METADATA[key])
    assert list(file.tensors) == list(written)
    for name, (kind, shape, data) in written.items():
        found = file.tensors[name]
        assert (found.kind.name, found.shape, found.size) == (kind, shape, len(data))
        assert file.rows(found).tobytes() == data
        assert len(file.rows(found)) == shape[0]
    np.testing.assert_array_equal(file.rows(file.tensors["one.weight"]).view("<f4"), dequantized(written["one.weight"]))


HOSTILE = {
    "empty": (b"", "doesn't begin with GGUF"),
    "another format": (b"PK\x03\x04" + bytes(100), "doesn't begin with GGUF"),
    "magic alone": (b"GGUF", "cut off"),
    "version 1": (header(version=1), "version is 1"),
    "big-endian": (b"GGUF" + struct.pack(">IQQ", 3, 0, 0), "big-endian"),
    "countless tensors": (header(tensors=2**63), "it says that it has 9223372036854775808 tensors"),
    "countless entries": (header(entries=2**64 - 1), "metadata entries"),
    "entries that aren't there": (header(entries=3), "cut off"),
    "a text longer than the file": (header(entries=1) + struct.pack("<Q", 2**62) + b"abc", "cut off"),
    "a text that isn't text": (header(entries=1) + text(b"\xff\xfe") + entry(1), "isn't UTF-8"),
    "a type that there isn't": (header(entries=1) + text(b"k") + struct.pack("<I", 99), "value of type 99"),
    "a list of lists": (header(entries=1) + text(b"k") + struct.pack("<IIQ", 9, 9, 2), "list of lists"),
    "a countless list": (header(entries=1) + text(b"k") + struct.pack("<IIQ", 9, 4, 2**60), "numbers in a list"),
    "a long list of texts": (header(entries=1) + text(b"k") + struct.pack("<IIQ", 9, 8, 2**40), "texts in a list"),
    "a list longer than the file": (header(entries=1) + text(b"k") + struct.pack("<IIQ", 9, 12, 2**24), "cut off"),
    "a key twice": (header(entries=2) + 2 * (text(b"k") + entry(1)), "k twice"),
    "a tensor twice": (header(tensors=2) + 2 * tensor(b"t", (1,)) + bytes(64), "same name"),
    "no dimensions": (header(tensors=1) + tensor(b"t", ()), "0 dimensions"),
    "many dimensions": (header(tensors=1) + text(b"t") + struct.pack("<I", 2**32 - 1), "4294967295 dimensions"),
    "an empty tensor": (header(tensors=1) + tensor(b"t", (0, 4)), "the shape"),
    "half a block": (header(tensors=1) + tensor(b"t", (33, 2), kind=8), "Q8_0 can't have"),
    "a kind that there isn't": (header(tensors=1) + tensor(b"t", (32,), kind=77), "doesn't know (77)"),
    "a tensor larger than the file": (header(tensors=1) + tensor(b"t", (2**63, 2**63)), "t ends at byte"),
    "a tensor behind the file": (header(tensors=1) + tensor(b"t", (8,), offset=2**63), "t ends at byte"),
    "overlapping tensors": (
        header(tensors=2) + tensor(b"a", (8,)) + tensor(b"b", (8,), offset=4) + bytes(200), "a and b overlap"),
    "an absurd alignment": (
        header(entries=1) + text(b"general.alignment") + entry(2**31), "general.alignment is 2147483648"),
}  # fmt: skip


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_file_is_an_error_in_words_and_takes_no_memory(tmp_path: Path, case: str) -> None:
    data, said = HOSTILE[case]
    (tmp_path / "bad.gguf").write_bytes(data)
    tracemalloc.start()
    try:
        with pytest.raises(InvalidInput) as refused:
            read_gguf(tmp_path / "bad.gguf")
        assert tracemalloc.get_traced_memory()[1] < 4_000_000
    finally:
        tracemalloc.stop()
    assert said in refused.value.message
    assert "bad.gguf" in refused.value.message
    assert refused.value.hint


def test_a_file_of_nothing_but_texts_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("topcoat.engine.mlx.gguf.file.TEXTS_LIMIT", 100)
    many = text(b"k") + struct.pack("<IIQ", 9, 8, 60) + bytes(8 * 60)
    (tmp_path / "a.gguf").write_bytes(header(entries=2) + many + many.replace(b"k", b"l"))
    with pytest.raises(InvalidInput, match="more texts than any model"):
        read_gguf(tmp_path / "a.gguf")


def test_what_cannot_be_opened_is_a_fault(tmp_path: Path) -> None:
    with pytest.raises(StorageFault, match="can't read"):
        read_gguf(tmp_path)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=st.floats(0, 1), changes=st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), max_size=4))
def test_a_damaged_file_is_read_or_refused(tmp_path: Path, cut: float, changes: list[tuple[float, int]]) -> None:
    written = {"one.weight": stored("F32", (3, 4)), "two.weight": stored("Q8_0", (2, 64))}
    whole = write_gguf(tmp_path / "whole.gguf", METADATA, written).read_bytes()
    damaged = bytearray(whole[: int(cut * len(whole))])
    for place, byte in changes if damaged else ():
        damaged[int(place * len(damaged))] = byte
    (tmp_path / "damaged.gguf").write_bytes(damaged)
    try:
        file = read_gguf(tmp_path / "damaged.gguf")
    except InvalidInput:
        return
    assert sum(file.rows(found).size for found in file.tensors.values()) <= len(damaged)
