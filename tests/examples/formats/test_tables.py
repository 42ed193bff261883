"""Tables that pyarrow and datasets wrote; what needs neither runs without them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.support.command import topcoat
from tests.support.hub_server import serving_datasets
from topcoat.errors import InvalidInput
from topcoat.examples.formats.tables import is_table, read_table

ASK = {"role": "user", "content": "Read a."}
READ = {"role": "assistant", "tool_calls": [{"function": {"name": "read", "arguments": {"path": "a"}}}]}
FIND = {"role": "assistant", "tool_calls": [{"function": {"name": "find", "arguments": {"text": "b"}}}]}
ROWS = [{"messages": [ASK, READ], "category": "files"}, {"messages": [ASK, FIND]}]


@pytest.fixture
def pyarrow() -> Any:
    return pytest.importorskip("pyarrow", reason='Parquet is read with pyarrow: pip install ".[datasets]"')


@pytest.fixture
def datasets() -> Any:
    return pytest.importorskip("datasets", reason='data sets are read with datasets: pip install ".[datasets]"')


def write_parquet(path: Path, table: Any) -> str:
    from pyarrow import parquet

    parquet.write_table(table, path)
    return str(path)


@pytest.mark.parametrize(
    ("source", "expected"), [("a.parquet", True), ("hf:a/b", True), (".", True), ("a.jsonl", False), ("a.json", False)]
)
def test_tables_are_told_by_their_names(source: str, expected: bool) -> None:
    assert is_table(source) is expected


def test_rows_come_back_without_the_keys_that_only_others_have(pyarrow: Any, tmp_path: Path) -> None:
    assert read_table(write_parquet(tmp_path / "a.parquet", pyarrow.Table.from_pylist(ROWS))) == ROWS


def test_values_that_json_has_stay_and_others_go(pyarrow: Any, tmp_path: Path) -> None:
    columns = {
        "text": pyarrow.array(["é", None]),
        "count": pyarrow.array([1, 2]),
        "share": pyarrow.array([0.5, float("nan")]),
        "right": pyarrow.array([True, False]),
        "bytes": pyarrow.array([b"\xff", b""]),
        "when": pyarrow.array([datetime(2026, 1, 1, tzinfo=UTC)] * 2),
        "map": pyarrow.array([[("k", 1)], []], pyarrow.map_(pyarrow.string(), pyarrow.int64())),
        "free": pyarrow.ExtensionArray.from_storage(pyarrow.json_(), pyarrow.array(['{"a": [1, "x"]}', "null"])),
        "numbers": pyarrow.array([[1, 2], []]),
    }
    assert read_table(write_parquet(tmp_path / "a.parquet", pyarrow.table(columns))) == [
        {
            "text": "é",
            "count": 1,
            "share": 0.5,
            "right": True,
            "map": {"k": 1},
            "free": {"a": [1, "x"]},
            "numbers": [1, 2],
        },
        {"count": 2, "right": False, "map": {}, "numbers": []},
    ]


def test_a_file_that_is_no_parquet_is_refused(pyarrow: Any, tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    path.write_text("{}")
    with pytest.raises(InvalidInput, match=r"can't read .*a\.parquet: "):
        read_table(str(path))
    with pytest.raises(InvalidInput, match="no such file"):
        read_table(str(tmp_path / "b.parquet"))


def test_a_saved_data_set_is_read(datasets: Any, tmp_path: Path) -> None:
    datasets.Dataset.from_list(ROWS).save_to_disk(tmp_path / "one")
    assert read_table(str(tmp_path / "one")) == ROWS


def test_of_several_splits_one_has_to_be_named(datasets: Any, tmp_path: Path) -> None:
    data = datasets.Dataset.from_list(ROWS)
    datasets.DatasetDict(train=data, test=data.select([1])).save_to_disk(tmp_path / "both")
    with pytest.raises(InvalidInput, match="several splits, name one: test, train") as caught:
        read_table(str(tmp_path / "both"))
    assert caught.value.hint == f"topcoat data import {tmp_path / 'both' / 'test'} --to data/FILE.jsonl"
    assert read_table(str(tmp_path / "both" / "test")) == ROWS[1:]


def test_another_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="is no dataset that save_to_disk wrote"):
        read_table(str(tmp_path))
    (tmp_path / "train.jsonl").touch()
    with pytest.raises(InvalidInput) as caught:
        read_table(str(tmp_path))
    assert caught.value.hint == f"topcoat data import {tmp_path / 'train.jsonl'} --to data/FILE.jsonl"


@pytest.mark.parametrize("library", ["pyarrow", "datasets"])
def test_a_missing_library_is_named_with_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, library: str
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    (tmp_path / "a.parquet").touch()
    with pytest.raises(InvalidInput, match=f"{library} has to be installed") as caught:
        read_table(str(tmp_path / "a.parquet") if library == "pyarrow" else "hf:a/b")
    assert (caught.value.hint or "").startswith(f"{sys.executable} -m pip install ")
    assert library in (caught.value.hint or "")


def test_a_library_that_could_run_a_data_set_s_code_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    old = ModuleType("datasets")
    old.__dict__["__version__"] = "3.6.0"
    monkeypatch.setitem(sys.modules, "datasets", old)
    with pytest.raises(InvalidInput, match=r"not 3\.6\.0"):
        read_table("hf:a/b")


@pytest.mark.parametrize("address", ["hf:", "hf:a", "hf:a/b:", "hf:a/b:/x", "hf:a/b:x/y/z", "hf:../../x", "hf:a/b c"])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(InvalidInput, match="is no dataset's address"):
        read_table(address)


def test_a_folder_of_the_same_name_does_not_stand_in_for_the_hub(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidInput, match="hides the one on the hub"):
        read_table("hf:a/b")


@pytest.fixture(scope="module")
def hub() -> Iterator[str]:
    lines = "".join(json.dumps({"messages": [ASK, {"role": "assistant", "content": str(n)}]}) + "\n" for n in range(3))
    files = {"train.jsonl": lines.encode(), "test.jsonl": lines.encode()}
    settings = b"---\nconfigs:\n- config_name: a\n  data_files: a.jsonl\n- config_name: b\n  data_files: b.jsonl\n---\n"
    repositories = {
        "me/chats": files,
        "me/several": {"README.md": settings, "a.jsonl": lines.encode(), "b.jsonl": lines.encode()},
        "me/code": {"code.py": b"open('ran', 'w')", **files},
    }
    with serving_datasets(repositories) as url:
        yield url


@pytest.mark.slow
@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("hf:me/chats:train", "3 examples, read as chat"),
        ("hf:me/chats:train[:1]", "1 example, read as chat"),
        ("hf:me/several:b/train", "3 examples, read as chat"),
        ("hf:me/chats", "several splits, name one: train, test"),
        ("hf:me/several", "several configurations, name one: a, b"),
        ("hf:me/chats:dev", 'Unknown split "dev"'),
        ("hf:me/code:train", "can't read hf:me/code:train: Dataset scripts are no longer supported"),
        ("hf:me/nothing", "can't read hf:me/nothing: Dataset 'me/nothing' doesn't exist on the Hub"),
    ],
)
def test_data_sets_come_from_the_hub(datasets: Any, hub: str, tmp_path: Path, address: str, expected: str) -> None:
    done = imported(address, tmp_path, hub)
    assert expected in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert done.returncode == (0 if "examples" in expected else 2)
    assert (tmp_path / "to.jsonl").exists() is (done.returncode == 0)
    assert not (tmp_path / "ran").exists()


def imported(address: str, folder: Path, hub: str) -> subprocess.CompletedProcess[str]:
    return topcoat(
        "data", "import", address, "--to", "to.jsonl", cwd=folder, HF_ENDPOINT=hub, HF_HOME=str(folder / "home")
    )
