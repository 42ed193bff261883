"""Spans of commands and their tasks, as a collector gets them over HTTP."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.otlp_collector import Collector, collecting
from tests.support.recorder import Recorder
from topcoat.engine.fake import FakeEngine
from topcoat.phases.run import run_phase
from topcoat.progress import Note, task
from topcoat.project.session import open_session
from topcoat.telemetry.span_sink import traced

pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="the extra otel isn't installed")

SECRET = "3c0b1f7e"


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    with collecting() as made:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", made.url)
        yield made


def test_tasks_are_spans_inside_of_their_command(collector: Collector) -> None:
    recorder = Recorder()
    with traced(recorder, f"topcoat run {SECRET}") as sink:
        sink.emit(Note(SECRET, warning=True))
        with task(sink, f"score {SECRET}", total=7, unit="answers") as scoring:
            with task(sink, "answers") as answers:
                answers.advance(1, SECRET)
            scoring.result = SECRET
        with task(sink, "train", total=3, unit="update"):
            pass
    command, score, asked, train = collector.spans
    assert [span.name for span in collector.spans] == ["topcoat run", "score", "answers", "train"]
    assert (command.parent, score.parent, asked.parent, train.parent) == (b"", command.id, score.id, command.id)
    assert len({span.trace for span in collector.spans}) == 1
    assert command.attributes == {"topcoat.warnings": 1}
    assert score.attributes == {"topcoat.total": 7, "topcoat.unit": "answers"}
    assert command.start <= score.start <= asked.start <= asked.end <= score.end <= train.start <= command.end
    assert not any(span.failed for span in collector.spans)
    assert collector.services == {"topcoat"}
    assert SECRET.encode() not in b"".join(collector.bodies)
    assert len(recorder.events) == 8  # all of it was handed on


def test_what_fails_is_marked_with_the_kind_of_its_error(collector: Collector) -> None:
    with (
        pytest.raises(ValueError, match=SECRET),
        traced(Recorder(), "my script") as sink,
        task(sink, "train"),
        task(sink, "trunk"),
    ):
        raise ValueError(SECRET)
    command, *tasks = collector.spans
    assert [span.name for span in tasks] == ["train", "trunk"]
    assert (command.name, command.attributes["error.type"]) == ("topcoat", "ValueError")
    assert all(span.failed for span in collector.spans)
    assert SECRET.encode() not in b"".join(collector.bodies)


def test_a_phase_is_one_trace(fake_project: Path, collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "night")
    with open_session(fake_project, FakeEngine(), Recorder(), "topcoat run phase34a") as session:
        assert run_phase(session, fake_project / "phases" / "phase34a.toml").promoted
    command, *tasks = collector.spans
    assert command.name == "topcoat run"
    assert {span.name for span in tasks} >= {"score", "train", "fuse"}
    assert {span.trace for span in tasks} == {command.trace}
    assert collector.services == {"night"}
    assert str(fake_project).encode() not in b"".join(collector.bodies)


def test_nothing_is_made_without_a_collector(monkeypatch: pytest.MonkeyPatch, collector: Collector) -> None:
    recorder = Recorder()
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    with traced(recorder, "topcoat run") as sink:
        assert sink is recorder
    monkeypatch.delenv("OTEL_SDK_DISABLED")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "")
    with traced(recorder, "topcoat run") as sink:
        assert sink is recorder
    assert (collector.bodies, recorder.events) == ([], [])


def test_without_the_sdk_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch, collector: Collector) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    recorder = Recorder()
    with traced(recorder, "topcoat run") as sink:
        assert sink is recorder
    (note,) = recorder.events
    assert isinstance(note, Note)
    assert note.warning
    assert note.text.endswith("-m pip install 'topcoat[otel]'")


def test_a_collector_that_refuses_is_said_once(collector: Collector) -> None:
    collector.status = 400
    recorder = Recorder()
    with traced(recorder, "topcoat run") as sink, task(sink, "train"):
        pass
    said = [event for event in recorder.events if isinstance(event, Note)]
    assert len(said) == 1
    assert "spans aren't sent" in said[0].text


def test_a_collector_that_never_answers_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("topcoat.telemetry.tracing._END_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
        recorder = Recorder()
        with traced(recorder, "topcoat run") as sink, task(sink, "train"):
            pass
        said = [event.text for event in recorder.events if isinstance(event, Note)]
    assert said == ["the last spans weren't sent in 0.2 s"]


def test_another_protocol_is_said(monkeypatch: pytest.MonkeyPatch, collector: Collector) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    recorder = Recorder()
    with traced(recorder, "topcoat run"):
        pass
    assert recorder.events == [Note("spans are sent as http/protobuf, not as grpc", warning=True)]
    assert len(collector.spans) == 1
