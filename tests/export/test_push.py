from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.fake_project import opened
from topcoat.errors import InvalidInput, StorageFault
from topcoat.export.push import CARD, parcel_of


@pytest.mark.parametrize("name", ["coat", "me/", "me/coat/more", "../coat", "me/co at"])
def test_a_name_that_is_no_repository_is_refused(fake_project: Path, name: str) -> None:
    with opened(fake_project) as session, pytest.raises(InvalidInput, match="names no repository"):
        parcel_of(session, "production", name)


def test_the_card_takes_the_place_of_the_folders_own(fake_project: Path) -> None:
    model = fake_project / "models" / "phase33b"
    (model / CARD).write_text("the base's")
    (model / ".cache").mkdir()
    (model / ".cache" / "token").write_text("secret")
    with opened(fake_project) as session:
        parcel = parcel_of(session, "production", "me/coat")
    assert parcel.files == ("config.json", "memory.json")
    assert parcel.card.startswith("---\n")
    sizes = [(model / name).stat().st_size for name in parcel.files]
    assert parcel.size == sum(sizes) + len(parcel.card.encode())


def test_a_model_that_has_changed_is_not_sent(fake_project: Path) -> None:
    with opened(fake_project) as session:
        (fake_project / "models" / "phase33b" / "memory.json").write_text("[]")
        with pytest.raises(StorageFault, match="have changed"):
            parcel_of(session, "production", "me/coat")


def test_a_folder_that_is_no_export_is_not_sent(fake_project: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    with opened(fake_project) as session, pytest.raises(InvalidInput, match="is no exported model"):
        parcel_of(session, str(tmp_path / "mine"), "me/coat")
