"""`topcoat serve` as its users meet it: a process, mlx_lm.server behind it, and OpenAI's own client before it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from openai import OpenAI

from tests.support.usage.candidates import small_project
from tests.support.usage.serving import is_alive, serving
from topcoat.demo import TEMPLATE
from topcoat.engine.registry import ENGINES
from topcoat.errors import InvalidInput
from topcoat.progress import Silent
from topcoat.project.project import open_project
from topcoat.spec.project import SuccessSection
from topcoat.usage.capture.candidate.arms import Session
from topcoat.usage.capture.candidate.trying import Tried
from topcoat.usage.capture.exchange import Exchange
from topcoat.usage.capture.recorder import Recorder
from topcoat.usage.capture.serving import Serving, _recording, exchange_events, serve
from topcoat.usage.dialogue import dialogues
from topcoat.usage.events import Event
from topcoat.usage.importing import open_log
from topcoat.usage.privacy.digests import DialogueDigests
from topcoat.usage.privacy.event import cleaned_event
from topcoat.usage.sessions import Sessions
from topcoat.usage.turns import boundaries, events_of, spoken


@pytest.fixture
def project(tmp_path: Path) -> Path:
    shutil.copytree(TEMPLATE, tmp_path / "project")
    return tmp_path / "project"


@pytest.mark.slow
def test_the_dialogue_is_what_openais_client_saw(project: Path) -> None:
    with serving(project) as running, OpenAI(base_url=running.url, api_key="-", max_retries=0) as client:
        messages: list[Any] = [{"role": "user", "content": "Could you run ruff on src/app.py?"}]
        first = client.chat.completions.create(model="any", messages=messages, max_tokens=99)
        said = first.choices[0].message.content or ""
        messages += [{"role": "assistant", "content": said}, {"role": "tool", "tool_call_id": "1", "content": "[]"}]
        messages += [{"role": "user", "content": "Now run pytest on tests/app."}]
        stream = client.chat.completions.create(model="any", messages=messages, max_tokens=99, stream=True)
        streamed = "".join(chunk.choices[0].delta.content or "" for chunk in stream)
        assert running.end() == 0
    assert "2 exchanges recorded" in running.printed[-1]
    with open_log(project) as log:
        (dialogue,) = dialogues(log.events())
        assert len(log.sessions()) == 1
    assert "ruff_check" in said
    assert [(turn.role, turn.text) for turn in dialogue] == [
        ("user", "Could you run ruff on src/app.py?"),
        ("assistant", said),
        ("tool", "ok: []"),
        ("user", "Now run pytest on tests/app."),
        ("assistant", streamed),
    ]
    assert dialogue[2].event.tool == "execute_code"


@pytest.mark.slow
def test_the_model_server_takes_no_one_else_and_ends_with_the_front(project: Path) -> None:
    with serving(project) as running:
        child = running.child()
        listed = Path(f"/proc/{child}/cmdline")
        if listed.exists():
            arguments = listed.read_text().split("\0")
            url = f"http://127.0.0.1:{arguments[arguments.index('--port') + 1]}/v1"
            with OpenAI(base_url=url, api_key="-", max_retries=0) as stranger, pytest.raises(Exception, match="403"):
                stranger.models.list()
        running.process.kill()
        running.process.wait()
        for _ in range(100):
            if not is_alive(child):
                break
            threading.Event().wait(0.1)
        assert not is_alive(child)


@pytest.mark.slow
def test_a_model_server_that_dies_ends_the_front_with_its_reason(project: Path) -> None:
    with serving(project) as running:
        os.kill(running.child(), signal.SIGKILL)
        assert running.process.wait(30) == 1
    assert "the model server was killed by signal 9" in "".join(running.printed)


@pytest.mark.slow
def test_a_model_that_cannot_be_served_is_said_at_once(project: Path) -> None:
    with serving(project) as running:
        assert running.end() == 0
    done = serve_command(project, "--", "--no-such-option")
    assert done.returncode == 2
    assert "error: the model server refuses its options: unrecognized arguments: --no-such-option" in done.stderr
    assert "hint: python -m mlx_lm server -h lists them" in done.stderr
    assert "Fatal" not in done.stderr
    done = serve_command(project, "--", "--draft-model", str(project / "nowhere"))
    assert done.returncode == 1
    assert "error: the model server can't answer with phase33b (" in done.stderr
    assert "nowhere" in done.stderr


@pytest.mark.parametrize("argument", ["--port=9", "--po", "--host", "--model", "--mod=x"])
def test_options_that_are_topcoat_s_are_not_handed_on(argument: str) -> None:
    with pytest.raises(InvalidInput, match=r"topcoat itself says") as refused:
        ENGINES["mlx"].server(Path("model"), 1, ["--max-tokens", "9", argument], {})
    assert refused.value.hint
    ENGINES["mlx"].server(Path("model"), 1, ["--prompt-cache-size", "9", "--max-tokens=9", "--log-level", "INFO"], {})


def test_options_that_nothing_reads_are_refused() -> None:
    with pytest.raises(InvalidInput, match=r"the fake engine takes no options: --max-tokens 9"):
        ENGINES["fake"].server(Path("model"), 1, ["--max-tokens", "9"], {})
    elsewhere = Serving(upstream="http://127.0.0.1:9/v1", arguments=["--max-tokens", "9"])
    with pytest.raises(InvalidInput, match=r"runs already, so nothing can be said to it: --max-tokens 9"):
        serve(None, elsewhere, Silent())  # type: ignore[arg-type]  # it gets no further
    elsewhere = Serving(upstream="http://127.0.0.1:9/v1", swap="wait")
    with pytest.raises(InvalidInput, match=r"topcoat swaps the models that it serves itself"):
        serve(None, elsewhere, Silent())  # type: ignore[arg-type]  # it gets no further


@pytest.mark.slow
def test_a_damaged_model_is_not_served(project: Path) -> None:
    with serving(project) as running:
        assert running.end() == 0
    weights = project / "models" / "phase33b" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    done = serve_command(project)
    assert (done.returncode, "the files of model phase33b have changed" in done.stderr) == (1, True)


def serve_command(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "topcoat", "--project", str(project), "serve", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_others_are_let_in_with_a_token_only(project: Path) -> None:
    with pytest.raises(InvalidInput, match="could use the model"):
        serve(None, Serving(host="0.0.0.0"), Silent())  # type: ignore[arg-type]  # it gets no further


def test_a_dialogue_that_an_earlier_version_began_goes_on_in_its_session(tmp_path: Path) -> None:
    asked = [{"role": "user", "content": "go"}, {"role": "assistant", "content": "gone"}]
    turns = [spoken(message) for message in asked]
    earlier = events_of(turns, boundaries(turns), session="old")
    sessions = Sessions((event.after, "old") for event in earlier)
    digests = DialogueDigests(tmp_path / "key")
    events = list(earlier)
    for text in ("more", "even more"):
        asked.append({"role": "user", "content": text})
        answers = [{"index": i, "message": {"content": f"{text} {i}"}} for i in range(2)]
        exchange = Exchange(
            datetime(2026, 1, 1, tzinfo=UTC),
            json.dumps({"messages": asked}).encode(),
            json.dumps({"choices": answers}).encode(),
            streamed=False,
        )
        made = exchange_events(exchange, sessions, digests, repository=tmp_path)
        for event in made:
            sessions.learn(event.after, event.session)
        events += made
        asked.append({"role": "assistant", "content": f"{text} 0"})
    assert {event.session for event in events} == {"old"}
    said = sorted([turn.text for turn in talk] for talk in dialogues(events))
    assert said == [
        ["go", "gone", "more", "more 0", "even more", "even more 0"],
        ["go", "gone", "more", "more 0", "even more", "even more 1"],
        ["go", "gone", "more", "more 1"],
    ]


def test_the_tools_of_a_dialogue_are_kept_once_and_without_secrets(tmp_path: Path) -> None:
    token = f"ghp_{'a1B2' * 9}"
    tools = [{"type": "function", "function": {"name": "look", "description": f"Uses {token}."}}]
    sessions, digests = Sessions(()), DialogueDigests(tmp_path / "key")
    asked: list[dict[str, Any]] = []
    made: list[Event] = []
    for text in ("first", "second"):
        asked.append({"role": "user", "content": text})
        exchange = Exchange(
            datetime(2026, 1, 1, tzinfo=UTC),
            json.dumps({"messages": asked, "tools": tools}).encode(),
            json.dumps({"choices": [{"index": 0, "message": {"content": text}}]}).encode(),
            streamed=False,
        )
        made += exchange_events(exchange, sessions, digests, repository=tmp_path)
        for event in made:
            sessions.learn(event.after, event.session)
        asked.append({"role": "assistant", "content": text})
    assert [event.tools for event in made] == [tools, None]
    kept = cleaned_event(made[0]).tools
    assert kept is not None
    assert kept[0]["function"] == {"name": "look", "description": "Uses [GitHub token]."}


@pytest.mark.parametrize(("marks", "worked"), [({}, True), ({"failure": ["^FEHLER"]}, False)])
def test_a_captured_result_is_judged_by_the_projects_marks(
    tmp_path: Path, marks: dict[str, list[str]], worked: bool
) -> None:
    asked = [
        {"role": "user", "content": "scan it"},
        {"role": "assistant", "tool_calls": [{"id": "1", "function": {"name": "scan", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "1", "content": "FEHLER 7"},
    ]
    body = json.dumps({"messages": asked}).encode()
    answer = json.dumps({"choices": [{"index": 0, "message": {"content": "Seven."}}]}).encode()
    exchange = Exchange(datetime(2026, 1, 1, tzinfo=UTC), body, answer, streamed=False)
    digests = DialogueDigests(tmp_path / "key")
    made = exchange_events(
        exchange, Sessions(()), digests, repository=tmp_path, success=SuccessSection.model_validate(marks)
    )
    assert [event.result.success for event in made if event.result] == [worked]


def test_sessions_whose_names_look_like_secrets_stay_apart(tmp_path: Path) -> None:
    digests = DialogueDigests(tmp_path / "key")
    names = [f"ghp_{part * 9}" for part in ("a1B2", "c3D4", "a1B2")]
    made = []
    for name in names:
        exchange = Exchange(
            datetime(2026, 1, 1, tzinfo=UTC),
            json.dumps({"messages": [{"role": "user", "content": "go"}]}).encode(),
            json.dumps({"choices": [{"index": 0, "message": {"content": "gone"}}]}).encode(),
            streamed=False,
            session=name,
        )
        made += exchange_events(exchange, Sessions(()), digests, repository=tmp_path)
    stored = [cleaned_event(event).session for event in made]
    assert stored[0] == stored[2] != stored[1]
    assert not {name[4:] for name in names} & {session[4:] for session in stored}


def test_a_session_of_a_trial_knows_its_first_event_in_the_log(tmp_path: Path) -> None:
    """Also where the stored event differs, because it had a secret."""

    class One(Tried):
        def recorded(self, exchange: Exchange) -> Session:
            return session

    session = Session("candidate", compared=True, named=True, name="s")
    asked = [{"role": "user", "content": f"go with ghp_{'a1B2' * 9}"}]
    with open_project(small_project(tmp_path / "project")) as project:
        recorder = Recorder(project.paths.events, capture=project.settings.spec.capture)
        record = _recording(project, Serving(), recorder, DialogueDigests(tmp_path / "key"), One())
        for number in range(2):
            exchange = Exchange(
                datetime(2026, 1, 1, 0, number, tzinfo=UTC),
                json.dumps({"messages": asked}).encode(),
                json.dumps({"choices": [{"index": 0, "message": {"content": "gone"}}]}).encode(),
                streamed=False,
                session="s",
            )
            record(exchange).result()
        recorder.close()
        with open_log(project.paths.root) as log:
            first, *_ = log.events("s")
    assert "ghp_a1B2" not in (first.query or "")
    assert (session.recorded, session.first) == ("s", first.time)
