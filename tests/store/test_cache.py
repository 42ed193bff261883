from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from topcoat.errors import StorageFault
from topcoat.store.cache import ArrayCache


@given(arrays.arrays(st.sampled_from([np.float32, np.float16, np.uint16]), arrays.array_shapes(max_dims=3)))
def test_arrays_come_back_bit_by_bit(tmp_path_factory: pytest.TempPathFactory, array: np.ndarray) -> None:
    cache = ArrayCache(tmp_path_factory.mktemp("cache"))
    cache.put("key", array)
    found = cache.get("key")
    assert found is not None
    assert found.dtype == array.dtype
    assert found.shape == array.shape
    assert found.tobytes() == array.tobytes()


def test_what_is_absent_is_none(tmp_path: Path) -> None:
    assert ArrayCache(tmp_path / "nowhere").get("key") is None


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "garbage"])
def test_a_damaged_file_is_never_used(tmp_path: Path, damage: str) -> None:
    ArrayCache(tmp_path).put("key", np.arange(100, dtype=np.float32))
    path = tmp_path / "key.safetensors"
    whole = path.read_bytes()
    flipped = whole[:-5] + bytes([whole[-5] ^ 1]) + whole[-4:]
    path.write_bytes({"flip": flipped, "cut": whole[:-8], "empty": b"", "garbage": b"\xff" * 400}[damage])
    assert ArrayCache(tmp_path).get("key") is None
    assert not path.exists()


def test_files_that_were_swapped_are_noticed(tmp_path: Path) -> None:
    written = ArrayCache(tmp_path)
    written.put("one", np.arange(6, dtype=np.float32))
    written.put("two", np.arange(6, 12, dtype=np.float32))
    one, two = tmp_path / "one.safetensors", tmp_path / "two.safetensors"
    first, second = one.read_bytes(), two.read_bytes()
    one.write_bytes(second)
    two.write_bytes(first)
    cache = ArrayCache(tmp_path)
    assert (cache.get("one"), cache.get("two"), cache.refused) == (None, None, 2)


@pytest.mark.parametrize("other", [b'"U16"', b"[3,2]"], ids=["type", "shape"])
def test_another_type_or_shape_of_the_same_bytes_is_noticed(tmp_path: Path, other: bytes) -> None:
    ArrayCache(tmp_path).put("key", np.arange(6, dtype=np.float16).reshape(2, 3))
    path = tmp_path / "key.safetensors"
    content = path.read_bytes()
    changed = content.replace(b'"F16"' if other == b'"U16"' else b"[2,3]", other)
    assert changed != content
    path.write_bytes(changed)
    assert ArrayCache(tmp_path).get("key") is None


def test_the_least_recently_used_go_first(tmp_path: Path) -> None:
    array = np.zeros(1000, np.float32)
    for number, key in enumerate("abcd"):
        ArrayCache(tmp_path).put(key, array)
        os.utime(tmp_path / f"{key}.safetensors", (number, number))
    size = (tmp_path / "a.safetensors").stat().st_size
    assert ArrayCache(tmp_path).get("a") is not None  # now the most recent
    assert ArrayCache(tmp_path, bound=2 * size).trim() == 2 * size
    assert sorted(path.stem for path in tmp_path.iterdir()) == ["a", "d"]


def test_what_this_run_uses_stays_whatever_the_bound(tmp_path: Path) -> None:
    cache = ArrayCache(tmp_path, bound=0)
    cache.put("used", np.zeros(10, np.float32))
    cache.put("unused", np.zeros(10, np.float32))
    cache.get("used")
    cache.trim()
    assert [path.stem for path in tmp_path.iterdir()] == ["used"]


def test_a_folder_that_can_t_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageFault, match="could not write the cache"):
        ArrayCache(tmp_path / "file").put("key", np.zeros(1, np.float32))


def test_a_folder_that_is_deleted_while_it_is_written_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = ArrayCache(tmp_path / "cache")
    replace = Path.replace
    lost: list[Path] = []

    def deleted_once(part: Path, target: Path) -> Path:
        if not lost:
            lost.append(part)
            shutil.rmtree(part.parent)
        return replace(part, target)

    monkeypatch.setattr(Path, "replace", deleted_once)
    cache.put("key", np.arange(3, dtype=np.float32))
    found = cache.get("key")
    assert found is not None
    assert found.tolist() == [0, 1, 2]
