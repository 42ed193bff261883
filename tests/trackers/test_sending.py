"""Phases of the fake engine are sent to the trackers' own stores on this machine, and read back."""

from __future__ import annotations

import json
import sqlite3
import struct
from collections.abc import Callable, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.support.fake_project import opened, write_phase
from tests.support.recorder import Recorder
from topcoat.phases.run import PhaseOutcome, run_phase
from topcoat.progress import Note
from topcoat.trackers import sending

Curves = Mapping[str, Mapping[int, float]]
"""Values by update, by name."""


def send_to(project: Path, *tools: str) -> None:
    path = project / "topcoat.toml"
    text = path.read_text().partition("\n[report]")[0]
    path.write_text(f"{text}\n[report]\nto = {json.dumps(tools)}\n")


def run_and_note(project: Path) -> tuple[PhaseOutcome, list[Note]]:
    """How the phase went, and the notes about trackers."""
    sink = Recorder()
    with opened(project, sink=sink) as session:
        outcome = run_phase(session, project / "phases" / "phase34a.toml")
    tools = ("wandb", "mlflow", "tensorboard", "trackio")
    return outcome, [event for event in sink.events if isinstance(event, Note) and any(t in event.text for t in tools)]


def event_file(project: Path) -> Curves:
    """The scalars of an event file: records with a length, a checksum, an event of TensorBoard, and a checksum."""
    from tensorboardX.proto.event_pb2 import Event

    (path,) = (project / ".topcoat" / "trackers" / "tensorboard" / "phase34a-1").iterdir()
    data, place = path.read_bytes(), 0
    found: dict[str, dict[int, float]] = {}
    while place < len(data):
        (length,) = struct.unpack_from("<Q", data, place)
        event = Event.FromString(data[place + 12 : place + 12 + length])
        place += 16 + length
        for value in event.summary.value:
            if value.HasField("simple_value"):
                found.setdefault(value.tag, {})[event.step] = value.simple_value
    return found


def tensorboards_reader(project: Path) -> Curves:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    read = EventAccumulator(str(project / ".topcoat" / "trackers" / "tensorboard" / "phase34a-1"))
    read.Reload()
    assert set(read.Tags()["tensors"]) == {"verdict/text_summary", "settings/text_summary"}
    return {tag: {one.step: one.value for one in read.Scalars(tag)} for tag in read.Tags()["scalars"]}


def mlflows_client(project: Path) -> Curves:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{project / '.topcoat' / 'trackers' / 'mlflow' / 'mlflow.db'}")
    (experiment,) = client.search_experiments(filter_string="name != 'Default'")
    (run,) = client.search_runs([experiment.experiment_id])
    assert (run.info.run_name, run.info.status) == ("phase34a-1", "FINISHED")
    assert run.data.tags.items() >= {("topcoat.verdict", "passed"), ("topcoat.phase", "phase34a")}
    assert run.data.params["train.iters"] == "40"
    names = run.data.metrics
    return {name: {m.step: m.value for m in client.get_metric_history(run.info.run_id, name)} for name in names}


def wandbs_records(data: bytes) -> Iterator[bytes]:
    """The records of a log of LevelDB's form behind a header of 7 bytes: blocks of 32 KiB, each part with its place."""
    place, whole = 7, b""
    while place + 7 <= len(data):
        if place % 32768 > 32768 - 7:
            place += -place % 32768
        length, part = struct.unpack_from("<HB", data, place + 4)
        whole += data[place + 7 : place + 7 + length]
        place += 7 + length
        if part in (1, 4):  # the whole record, or its last part
            yield whole
            whole = b""


def wandbs_file(project: Path) -> Curves:
    """The file of a run in W&B's offline mode, which `wandb sync` reads."""
    from wandb.proto import wandb_internal_pb2

    (path,) = (project / ".topcoat" / "trackers" / "wandb").glob("wandb/offline-run-*/run-*.wandb")
    found: dict[str, dict[int, float]] = {}
    for data in wandbs_records(path.read_bytes()):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(data)
        if record.HasField("run"):
            assert (record.run.display_name, record.run.run_group, list(record.run.tags)) == (
                "phase34a-1",
                "phase34a",
                ["passed"],
            )
            assert not record.run.host
        values = {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in record.history.item}
        for name, value in values.items():
            if not name.startswith("_"):
                found.setdefault(name, {})[values["_step"]] = value
        for item in record.summary.update:
            name = item.key or "/".join(item.nested_key)
            found.setdefault(name, {40: json.loads(item.value_json)})
    return found


def trackios_database(project: Path) -> Curves:
    (path,) = (project / "trackio").glob("*.db")
    found: dict[str, dict[int, float]] = {}
    with sqlite3.connect(path) as database:
        for step, values in database.execute("select step, metrics from metrics where run_name = 'phase34a-1'"):
            for name, value in json.loads(values).items():
                found.setdefault(name, {})[step] = value
    database.close()
    return found


READERS: Mapping[str, tuple[str, str, Callable[[Path], Curves]]] = {
    "event file": ("tensorboard", "tensorboardX", event_file),
    "tensorboard": ("tensorboard", "tensorboard", tensorboards_reader),
    "mlflow": ("mlflow", "mlflow", mlflows_client),
    "wandb": ("wandb", "wandb", wandbs_file),
    "trackio": ("trackio", "trackio", trackios_database),
}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of the trackers' own code
@pytest.mark.parametrize("reader", READERS)
def test_what_a_tracker_has_is_what_the_phase_showed(
    fake_project: Path, monkeypatch: pytest.MonkeyPatch, reader: str
) -> None:
    tool, package, read = READERS[reader]
    pytest.importorskip(package, reason=f"{package} isn't installed")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("TRACKIO_DIR", str(fake_project / "trackio"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    send_to(fake_project, tool)
    outcome, notes = run_and_note(fake_project)
    assert [note.warning for note in notes] == [False], notes
    result, found = outcome.last, read(fake_project)
    assert result.train is not None
    assert result.after is not None
    losses = {step.update: step.loss for step in result.train.steps}
    assert found["train/loss"] == pytest.approx(losses, rel=1e-6)
    assert found["valid/loss"] == pytest.approx({v.update: v.loss for v in result.train.validations}, rel=1e-6)
    for category in result.after.categories:
        assert found[f"after/{category.category}"] == pytest.approx({40: category.mean})
    assert found["passed"] == {40: 1.0}


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Puts a package `wandb` with some code before any other one."""
    monkeypatch.syspath_prepend(str(tmp_path / "packages"))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "packages"), prepend=":")
    (tmp_path / "packages" / "wandb").mkdir(parents=True)

    def put(code: str) -> None:
        (tmp_path / "packages" / "wandb" / "__init__.py").write_text(code)

    return put


WORKS = """
class Settings:
    def __init__(self, **options): pass
class init:
    url = "http://tracker.example/run"
    def __init__(self, **options): self.summary = {}
    def __enter__(self): return self
    def __exit__(self, *error): print("noise")
    def log(self, values, step): pass
"""


@pytest.mark.slow
def test_what_was_not_sent_is_sent_by_the_next_run_and_nothing_twice(
    fake_project: Path, client: Callable[[str], None]
) -> None:
    send_to(fake_project, "wandb")
    client("raise ConnectionError('no route to host\\nmore')")
    outcome, notes = run_and_note(fake_project)
    assert outcome.promoted
    assert notes == [Note("phase34a-1 isn't sent to wandb: ConnectionError: no route to host", warning=True)]
    client(WORKS)
    again, notes = run_and_note(fake_project)
    assert again.already
    assert notes == [Note("wandb: phase34a-1 is in http://tracker.example/run")]
    client("raise AssertionError")
    assert run_and_note(fake_project)[1] == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import time; time.sleep(600)", "no answer in 1 s"),
        ("import os; os._exit(7)", "its client ended with exit code 7"),
    ],
    ids=["hangs", "dies"],
)
def test_a_client_that_hangs_or_dies_ends_nothing(
    fake_project: Path, client: Callable[[str], None], monkeypatch: pytest.MonkeyPatch, code: str, said: str
) -> None:
    monkeypatch.setattr(sending, "LONGEST_SECONDS", 1.0 if "sleep" in code else 60.0)
    send_to(fake_project, "wandb")
    client(code)
    outcome, notes = run_and_note(fake_project)
    assert outcome.promoted
    assert notes == [Note(f"phase34a-1 isn't sent to wandb: {said}", warning=True)]


@pytest.mark.slow
def test_a_tracker_that_is_not_installed_is_said_before_the_phase_begins(
    fake_project: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sending._MODULES, "mlflow", "no_such_package")
    monkeypatch.setitem(sending._MODULES, "wandb", "only_a_folder")
    (tmp_path / "only_a_folder").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    assert find_spec("only_a_folder") is not None
    send_to(fake_project, "mlflow", "wandb")
    write_phase(fake_project, gate__target__domain=1.0, gate__no_regression=["lsp"])  # three attempts
    sink = Recorder()
    with opened(fake_project, sink=sink) as session:
        run_phase(session, fake_project / "phases" / "phase34a.toml")
    said = [event for event in sink.events if isinstance(event, Note) and "pip install" in event.text]
    assert said == sink.events[:2]
    assert [note.text.rpartition(" ")[2] for note in said] == ["'topcoat[mlflow]'", "'topcoat[wandb]'"]
    assert all(note.warning for note in said)
