from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from topcoat.errors import StorageFault
from topcoat.usage.events import Event
from topcoat.usage.importing import import_events, open_log
from topcoat.usage.log import EventLog
from topcoat.usage.privacy.digests import DialogueDigests
from topcoat.usage.turns import Spoken, boundaries

SAID = [Spoken("system", "be brief"), Spoken("user", "my password: swordfish7"), Spoken("assistant", "ok")]


def test_only_the_projects_key_gives_its_digests(tmp_path: Path) -> None:
    mine, other = DialogueDigests(tmp_path / "key"), DialogueDigests(tmp_path / "other")
    assert mine.boundaries(SAID) == DialogueDigests(tmp_path / "key").boundaries(SAID)
    assert not set(filter(None, mine.boundaries(SAID))) & {*boundaries(SAID), *other.boundaries(SAID)}


def test_a_digest_goes_on_from_another(tmp_path: Path) -> None:
    digests = DialogueDigests(tmp_path / "key")
    whole = digests.boundaries(SAID)
    assert [*whole[:2], *digests.boundaries(SAID[2:], whole[1])] == whole
    assert len(set(whole)) == 3


def test_a_digest_tells_no_secret(tmp_path: Path) -> None:
    digests = DialogueDigests(tmp_path / "key")
    other = [SAID[0], Spoken("user", "my password: goldfish88"), SAID[2]]
    assert digests.boundaries(other) == digests.boundaries(SAID)


def test_the_key_is_its_owners(tmp_path: Path) -> None:
    DialogueDigests(tmp_path / "new" / "key")
    (file,) = (tmp_path / "new").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    file.write_text("ab")
    with pytest.raises(StorageFault, match="damaged"):
        DialogueDigests(file)


def test_an_id_tells_no_secret_either(tmp_path: Path) -> None:
    with EventLog(tmp_path / "events.db") as log:
        raw = Event(session="s", kind="request", query="password=swordfish7")
        log.add([raw, raw])
        (stored,) = log.events()
    assert stored.id != raw.id
    assert stored.id == Event.model_validate(stored.model_dump(exclude={"id"})).id


def test_what_an_earlier_version_imported_is_not_imported_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "topcoat.toml").write_text("")
    source = tmp_path / "log.jsonl"
    said = [{"role": "user", "content": "go"}, {"role": "assistant", "content": "gone"}]
    source.write_text(json.dumps({"messages": said}))
    with monkeypatch.context() as earlier:
        earlier.setattr("topcoat.usage.importing.DialogueDigests.boundaries", lambda _, turns: boundaries(turns))
        assert import_events(tmp_path, source)[0].new == 1
    assert import_events(tmp_path, source)[0].new == 0
    with open_log(tmp_path) as log:
        assert len(list(log.events())) == 1
