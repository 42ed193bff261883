from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import math
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from topcoat.errors import NumericalFault, Refused, StorageFault
from topcoat.store import files
from topcoat.store.files import (
    append_line,
    digest_bytes,
    is_stream,
    jsonl_text,
    read_record,
    require_new,
    staged_folder,
    write_bytes,
    write_json,
    write_text,
)
from topcoat.store.records import CategoryScore, Score, Validation

SCORE = CategoryScore(category="é", n=2, mean=0.5, solved=1)


def failing(code: int) -> Callable[..., None]:
    def fail(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    return fail


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_written_into_a_new_folder_and_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a/b/f.txt"
    write_text(path, "é\n")
    assert path.read_bytes() == "é\n".encode()
    write_text(path, "new")
    assert path.read_text() == "new"
    assert names(path.parent) == ["f.txt"]


def test_a_written_file_has_the_usual_permissions(tmp_path: Path) -> None:
    (tmp_path / "usual").touch()
    write_text(tmp_path / "f", "x")
    assert (tmp_path / "f").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_a_record_comes_back_equal(tmp_path: Path) -> None:
    write_json(tmp_path / "s.json", SCORE)
    assert '  "category": "é",\n' in (tmp_path / "s.json").read_text()
    assert read_record(tmp_path / "s.json", CategoryScore) == SCORE


def test_a_number_that_is_not_finite_is_refused_and_the_old_file_kept(tmp_path: Path) -> None:
    write_text(tmp_path / "f", "old")
    with pytest.raises(NumericalFault, match="Validation"):
        write_json(tmp_path / "f", Validation(update=1, iteration=4, loss=math.nan, tokens=3))
    assert (tmp_path / "f").read_text() == "old"


def test_a_broken_character_in_an_answer_does_not_lose_the_answer(tmp_path: Path) -> None:
    score = Score(case_id="a", category="b", value=1, reason="", scorer="calls", answer="x\ud800y")
    write_json(tmp_path / "f", score)
    assert read_record(tmp_path / "f", Score).answer == "x?y"


def test_a_link_is_followed_and_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    for name in ("there", "not-there"):
        target = tmp_path / "folder" / name
        link = tmp_path / name
        link.symlink_to(target)
        write_text(link, "new")
        assert link.is_symlink()
        assert target.read_text() == "new"


def test_a_pipe_is_written_to_and_stays_a_pipe(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = subprocess.Popen(["cat", str(pipe)], stdout=subprocess.PIPE, text=True)
    require_new(pipe, "hint")
    write_text(pipe, "é\n")
    assert reader.communicate(timeout=60)[0] == "é\n"
    assert is_stream(pipe)


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1"])
def test_what_goes_to_an_open_descriptor_is_added_to_it(tmp_path: Path, name: str) -> None:
    script = (
        "import sys; from pathlib import Path; from topcoat.store.files import require_new, write_text\n"
        f"require_new(Path({name!r}), ''); write_text(Path({name!r}), 'a'); write_text(Path({name!r}), 'b')"
    )
    with (tmp_path / "out").open("wb") as out:
        subprocess.run([sys.executable, "-c", script], stdout=out, check=True)
    assert (tmp_path / "out").read_text() == "ab"
    assert names(tmp_path) == ["out"]


def test_a_new_file_needs_a_place(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name, message in [("file", "exists"), ("link", "exists"), (".", "a folder"), ("file/a/b", "file is a file")]:
        with pytest.raises(Refused, match=message) as caught:
            require_new(tmp_path / name, "do this")
        assert caught.value.hint == "do this"
    require_new(tmp_path / "new" / "folder" / "file", "")
    assert names(tmp_path) == ["file", "link"]


def test_a_read_only_folder_is_found_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path)  # root may write anywhere
    with pytest.raises(Refused, match="is read-only"):
        require_new(tmp_path / "new" / "file", "")


def test_json_lines_hold_what_was_set() -> None:
    assert jsonl_text([SCORE, SCORE]) == '{"category": "é", "n": 2, "mean": 0.5, "solved": 1}\n' * 2


@pytest.mark.parametrize("content", ["", "{", '{"category": "a"}', '{"category": "a", "n": 1, "mean": 2, "solved": 1}'])
def test_a_damaged_record_is_a_storage_fault(tmp_path: Path, content: str) -> None:
    path = tmp_path / "s.json"
    path.write_text(content)
    with pytest.raises(StorageFault, match="is damaged") as caught:
        read_record(path, CategoryScore)
    assert caught.value.where is not None
    assert caught.value.hint == f"mv '{path}' '{path}.damaged'"


def test_a_missing_record_is_a_storage_fault(tmp_path: Path) -> None:
    with pytest.raises(StorageFault, match="No such file"):
        read_record(tmp_path / "none", CategoryScore)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("step", ["os.fsync", "os.replace", "os.open"])
def test_a_full_disk_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, code: int
) -> None:
    write_text(tmp_path / "f", "old")
    with monkeypatch.context() as patch:
        patch.setattr(step, failing(code))
        with pytest.raises(StorageFault, match="no space left to write") as caught:
            write_text(tmp_path / "f", "new")
    assert "topcoat gc" in str(caught.value.hint)
    assert (tmp_path / "f").read_text() == "old"
    assert names(tmp_path) == ["f"]


def test_another_failure_is_a_storage_fault_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageFault, match="can't write"):
        write_text(tmp_path / "file/below", "x")
    with monkeypatch.context() as patch:
        patch.setattr("fcntl.flock", failing(errno.ENOLCK))
        with pytest.raises(StorageFault, match="can't write"):
            write_text(tmp_path / "f", "x")
    assert names(tmp_path) == ["file"]


def test_the_content_is_on_the_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []
    fsync, replace = os.fsync, os.replace

    def spied_fsync(descriptor: int) -> None:
        steps.append("folder" if os.fstat(descriptor).st_ino == tmp_path.stat().st_ino else "file")
        fsync(descriptor)

    def spied_replace(source: Path, target: Path) -> None:
        assert source.read_bytes() == b"new"
        assert source.parent == target.parent
        steps.append("rename")
        replace(source, target)

    monkeypatch.setattr("os.fsync", spied_fsync)
    monkeypatch.setattr("os.replace", spied_replace)
    write_bytes(tmp_path / "f", b"new")
    assert steps == ["file", "rename", "folder"]


def killed_while(folder: Path, script: str) -> None:
    """Run `script` in another process, which must kill itself on the way."""
    preamble = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom topcoat.store import files\n"
        "folder = Path(sys.argv[1])\ndie = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", preamble + script, str(folder)], check=False)
    assert done.returncode == -signal.SIGKILL


def test_a_run_killed_while_writing_leaves_the_old_file_and_the_next_write_cleans_up(tmp_path: Path) -> None:
    write_text(tmp_path / "f", "old")
    killed_while(tmp_path, "os.replace = die\nfiles.write_text(folder / 'f', 'new')")
    assert (tmp_path / "f").read_text() == "old"
    assert len(names(tmp_path)) == 2
    write_text(tmp_path / "f", "newer")
    assert (tmp_path / "f").read_text() == "newer"
    assert names(tmp_path) == ["f"]


def test_a_staged_folder_appears_complete(tmp_path: Path) -> None:
    target = tmp_path / "models/m1"
    with staged_folder(target) as staging:
        assert staging.parent == target.parent
        (staging / "sub").mkdir()
        (staging / "sub/weights").write_bytes(b"w")
        assert not target.exists()
    assert (target / "sub/weights").read_bytes() == b"w"
    assert names(target.parent) == ["m1"]


def test_a_staged_folder_is_flushed_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[int] = []
    at_rename: list[int] = []
    fsync, rename = os.fsync, os.rename

    def spied_fsync(descriptor: int) -> None:
        flushed.append(os.fstat(descriptor).st_ino)
        fsync(descriptor)

    def spied_rename(source: Path, target: Path) -> None:
        at_rename.extend(flushed)
        rename(source, target)

    monkeypatch.setattr("os.fsync", spied_fsync)
    monkeypatch.setattr("os.rename", spied_rename)
    with staged_folder(tmp_path / "m") as staging:
        (staging / "sub").mkdir()
        (staging / "sub/weights").touch()
    expected = [tmp_path / "m", tmp_path / "m/sub", tmp_path / "m/sub/weights"]
    assert {path.stat().st_ino for path in expected} <= set(at_rename)
    assert flushed[-1] == tmp_path.stat().st_ino


def test_a_staged_folder_vanishes_if_the_block_raises(tmp_path: Path) -> None:
    def build(error: BaseException) -> None:
        with staged_folder(tmp_path / "m") as staging:
            (staging / "f").touch()
            raise error

    for error in (ValueError("mine"), KeyboardInterrupt()):
        with pytest.raises(type(error)):
            build(error)
        assert names(tmp_path) == []


@pytest.mark.parametrize("step", ["os.fsync", "os.rename"])
def test_a_full_disk_leaves_no_staged_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(step, failing(errno.ENOSPC))
        with pytest.raises(StorageFault, match="no space left"), staged_folder(tmp_path / "m") as staging:
            (staging / "f").touch()
    assert names(tmp_path) == []


def test_inside_the_block_only_a_full_disk_is_translated(tmp_path: Path) -> None:
    with pytest.raises(StorageFault, match="no space left"), staged_folder(tmp_path / "m"):
        failing(errno.EDQUOT)()
    with pytest.raises(FileNotFoundError), staged_folder(tmp_path / "m"):
        failing(errno.ENOENT)()
    assert names(tmp_path) == []


def test_an_existing_folder_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    with pytest.raises(Refused, match="exists already"), staged_folder(tmp_path / "m"):
        pytest.fail("the block must not run")


def test_what_a_killed_run_staged_is_cleaned_but_not_what_another_builds(tmp_path: Path) -> None:
    killed_while(tmp_path, "with files.staged_folder(folder / 'm') as s:\n (s / 'f').touch()\n die()")
    (tmp_path / ".m.abc.staging").mkdir()  # not one of ours
    (tmp_path / ".mm.0123456789ab.staging").mkdir()  # another's leftover
    [leftover] = [name for name in names(tmp_path) if name.startswith(".m.") and "abc" not in name]
    with staged_folder(tmp_path / "m") as first:
        assert not (tmp_path / leftover).exists()
        with staged_folder(tmp_path / "m") as second:
            assert first.is_dir()
            assert first != second
            (second / "f").touch()
        os.rename(tmp_path / "m", tmp_path / "other")
    assert names(tmp_path) == [".m.abc.staging", ".mm.0123456789ab.staging", "m", "other"]


def test_a_name_swept_before_it_was_locked_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flock = fcntl.flock
    swept: list[Path] = []

    def sweep_first(descriptor: int, flags: int) -> None:
        if not swept:
            swept.extend(tmp_path.iterdir())
            swept[0].unlink()
        flock(descriptor, flags)

    monkeypatch.setattr("fcntl.flock", sweep_first)
    write_text(tmp_path / "f", "x")
    assert len(swept) == 1
    assert (tmp_path / "f").read_text() == "x"


def test_digests_are_sha256() -> None:
    assert digest_bytes(b"abc") == hashlib.sha256(b"abc").hexdigest()


def test_json_is_written_for_people_and_read_by_programs(tmp_path: Path) -> None:
    write_json(tmp_path / "f", {"b": [1], "a": None})
    text = (tmp_path / "f").read_text()
    assert list(json.loads(text)) == ["b", "a"]
    assert text.endswith("}\n")
    assert files.canonical_json({"b": 1, "a": 2}) == '{"a":2,"b":1}'


def test_a_line_is_added_after_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "new" / "lines.jsonl"
    append_line(path, "é")
    append_line(path, "b")
    assert path.read_text("utf-8") == "é\nb\n"
    path.write_text("whole\nto")  # a killed process's
    append_line(path, "next")
    assert path.read_text() == "whole\nto\nnext\n"


def test_lines_of_several_threads_are_whole(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda n: append_line(path, f"{n}" * 2_000), range(40)))
    assert sorted(path.read_text().splitlines()) == sorted(f"{n}" * 2_000 for n in range(40))


def test_a_line_that_cant_be_added_says_why(tmp_path: Path) -> None:
    with pytest.raises(StorageFault, match="can't write"):
        append_line(tmp_path, "x")
