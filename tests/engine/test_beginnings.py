"""The store of beginnings, without a model: what writes is told what to write."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from topcoat.engine.beginnings import STEP, Beginnings, Kept, damaged_beginnings, folder_of

MODEL, ENGINE = "sha256:abc", "engine 1"
TOKENS = list(range(1000))


def store(folder: Path, said: list[str] | None = None, *, most: int = 10_000, engine: str = ENGINE) -> Beginnings:
    return Beginnings(Kept(folder, most, MODEL), engine, (said if said is not None else []).append)


def writing(size: int) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        path.write_bytes(b"x" * size)

    return write


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*/*.safetensors"))


def test_a_prompt_that_begins_so_finds_the_whole_beginning_also_in_a_later_process(tmp_path: Path) -> None:
    store(tmp_path).add(TOKENS, trimmable=False, write=writing(10))
    later = store(tmp_path)
    found = later.nearest([*TOKENS, 7, 8], held=0)
    assert found is not None
    assert found.usable == found.record.length == 1000
    assert later.whole(found)
    assert later.covers(TOKENS)
    assert later.nearest(TOKENS, held=0) is None, "a last token must be left to compute"
    assert later.nearest([*TOKENS, 7], held=1000 - STEP + 1) is None, "memory has nearly as many"


def test_a_prompt_that_shares_only_a_part_gets_it_from_caches_that_can_be_cut(tmp_path: Path) -> None:
    other = [*TOKENS[:700], *range(5000, 5400)]
    kept = store(tmp_path)
    kept.add(TOKENS, trimmable=False, write=writing(10))
    assert kept.nearest(other, held=0) is None
    assert not kept.covers(other)
    kept.add(TOKENS, trimmable=True, write=writing(10))
    found = kept.nearest(other, held=0)
    assert found is not None
    assert found.usable == 2 * STEP
    assert kept.covers([*TOKENS[:STEP], 1]), "a shorter one is cut from it"


def test_what_another_engine_or_model_computed_is_never_used(tmp_path: Path) -> None:
    store(tmp_path).add(TOKENS, trimmable=True, write=writing(10))
    assert store(tmp_path, engine="engine 2").nearest([*TOKENS, 1], held=0) is None
    other = Beginnings(Kept(tmp_path, 10_000, "sha256:other"), ENGINE, print)
    assert other.nearest([*TOKENS, 1], held=0) is None


def test_few_tokens_are_not_worth_a_file(tmp_path: Path) -> None:
    assert store(tmp_path).covers(TOKENS[: STEP - 1])
    assert not store(tmp_path).covers(TOKENS[:STEP])


def test_a_damaged_file_is_said_deleted_and_written_again(tmp_path: Path) -> None:
    said: list[str] = []
    kept = store(tmp_path, said)
    kept.add(TOKENS, trimmable=True, write=writing(10))
    (file,) = files(tmp_path)
    file.write_bytes(b"x" * 9 + b"y")
    assert damaged_beginnings(tmp_path) == [file]
    found = kept.nearest([*TOKENS, 1], held=0)
    assert found is not None
    assert not kept.whole(found)
    assert said == [
        f"{file.name} of the kept beginnings is damaged (other bytes than were written): it is computed again"
    ]
    assert files(tmp_path) == []
    assert not kept.covers(TOKENS)
    kept.add(TOKENS, trimmable=True, write=writing(10))
    assert damaged_beginnings(tmp_path) == []


@pytest.mark.parametrize("text", ["", "{", '{"version": 2}', '{"version": 1, "engine": 5}'])
def test_a_damaged_record_is_no_beginning(tmp_path: Path, text: str) -> None:
    store(tmp_path).add(TOKENS, trimmable=True, write=writing(10))
    (file,) = files(tmp_path)
    file.with_suffix(".json").write_text(text)
    assert store(tmp_path).nearest([*TOKENS, 1], held=0) is None
    assert damaged_beginnings(tmp_path) == [file]


def test_a_file_that_another_process_deleted_is_not_missed(tmp_path: Path) -> None:
    said: list[str] = []
    kept = store(tmp_path, said)
    kept.add(TOKENS, trimmable=True, write=writing(10))
    found = kept.nearest([*TOKENS, 1], held=0)
    assert found is not None
    for path in folder_of(tmp_path, MODEL).iterdir():
        path.unlink()
    assert not kept.whole(found)
    assert said == []
    assert not kept.covers(TOKENS)


def test_the_least_recently_used_make_room_but_not_for_themselves(tmp_path: Path) -> None:
    kept = store(tmp_path, most=250)
    prompts = [list(range(start, start + 300)) for start in (0, 1000, 2000)]
    for number, prompt in enumerate(prompts[:2]):
        kept.add(prompt, trimmable=True, write=writing(100))
        for file in files(tmp_path):
            os.utime(file.with_suffix(".json"), (number, number))
    found = kept.nearest([*prompts[0], 1], held=0)
    assert found is not None
    assert kept.whole(found), "which is a use"
    kept.add(prompts[2], trimmable=True, write=writing(100))
    assert [kept.covers(prompt) for prompt in prompts] == [True, False, True]
    assert len(files(tmp_path)) == 2


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    def fail(path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError("no space left on device")

    kept = store(tmp_path)
    with pytest.raises(OSError, match="no space"):
        kept.add(TOKENS, trimmable=True, write=fail)
    assert list(tmp_path.glob("*/*")) == []
    assert not kept.covers(TOKENS)


def test_what_a_killed_process_left_is_deleted_after_an_hour(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, MODEL)
    folder.mkdir()
    left = [folder / "a.7.part.safetensors", folder / "b.safetensors", folder / "c.7.part"]
    fresh = folder / "d.8.part.safetensors"
    for path in (*left, fresh):
        path.write_bytes(b"half")
    for path in left:
        os.utime(path, (time.time() - 7200,) * 2)
    store(tmp_path).add(TOKENS, trimmable=True, write=writing(10))
    assert [path.exists() for path in (*left, fresh)] == [False, False, False, True]


def test_only_the_owner_may_read_them_and_no_token_is_in_the_record(tmp_path: Path) -> None:
    folder = tmp_path / "beginnings"
    store(folder).add(TOKENS, trimmable=True, write=writing(10))
    (file,) = files(folder)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in (file, file.with_suffix(".json"))} == {0o600}
    assert "997, 998" not in file.with_suffix(".json").read_text()


def test_a_process_is_told_where_it_keeps_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert Kept.handed_over() is None
    kept = Kept(tmp_path / "with spaces", 5, MODEL)
    for name, value in kept.environment().items():
        monkeypatch.setenv(name, value)
    assert Kept.handed_over() == kept
