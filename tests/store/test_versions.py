from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest

from topcoat.errors import Refused, StorageFault
from topcoat.store.files import read_record
from topcoat.store.records import Record
from topcoat.store.versions import newer_topcoat


class Inner(Record):
    version: Literal[1] = 1
    colour: Literal["red"] = "red"


class Outer(Record):
    version: Literal[1] = 1
    count: int
    inner: tuple[Inner, ...] = ()


@pytest.mark.parametrize(
    ("text", "evidence"),
    [
        ('{"count": 1, "shade": 2}', 'it has the key "shade"'),
        ('{"count": 1, "inner": [{}, {"shade": 2}]}', 'it has the key "inner.1.shade"'),
        ('{"version": 2, "count": 1}', "it has version 2"),
        ('{"version": 2, "amount": 1}', "it has version 2"),
        ('{"count": 1, "inner": [{"version": 3}]}', "it has inner.0.version 3"),
    ],
)
def test_what_another_version_wrote_is_no_damage(tmp_path: Path, text: str, evidence: str) -> None:
    path = tmp_path / "record.json"
    path.write_text(text)
    with pytest.raises(Refused) as caught:
        read_record(path, Outer)
    assert caught.value.message == (
        f"{path} was written by another version of topcoat: {evidence}, which this one doesn't know"
    )
    assert str(caught.value.where) == str(path)
    assert caught.value.hint == "pip install --upgrade topcoat"


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("{", "Invalid JSON"),
        ('{"version": 1}', "count: Field required"),
        ('{"version": "§", "count": 1}', "version: Input should be 1"),
        ('{"count": 1, "inner": [{"colour": "rfd"}]}', "inner.0.colour: Input should be 'red'"),
    ],
)
def test_anything_else_is_damage(tmp_path: Path, text: str, mistake: str) -> None:
    path = tmp_path / "record.json"
    path.write_text(text)
    with pytest.raises(StorageFault) as caught:
        read_record(path, Outer)
    assert caught.value.message.startswith(f"{path} is damaged: {mistake}")
    assert caught.value.hint == f"mv '{path}' '{path}.damaged'"


def test_a_newer_file_is_refused_with_what_shows_it() -> None:
    error = newer_topcoat(Path("a.db"), "its version is 7")
    assert str(error) == "a.db was written by a newer topcoat: its version is 7"
    assert error.hint == "pip install --upgrade topcoat"
