"""`topcoat serve` as a process, while clients ask and production changes: nothing fails, and nothing is mixed up."""

from __future__ import annotations

import json
import shutil
import threading
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.fake_project import opened
from tests.support.usage.serving import Running, is_alive, serving
from tests.support.usage.swaps import Asked, add_fake, add_model, ask_many, promote, rollback, stuck_model
from topcoat.demo import TEMPLATE
from topcoat.engine.fake import FakeEngine
from topcoat.engine.mlx import open_engine
from topcoat.progress import Silent
from topcoat.usage.importing import open_log

pytestmark = pytest.mark.slow
AT_A_TIME = 20


@pytest.fixture
def fake_models(tmp_path: Path) -> Path:
    """A project with two fake models in its lineage: `phase33b`, which is production, and `other`."""
    project = tmp_path / "project"
    shutil.copytree(TEMPLATE, project, ignore=shutil.ignore_patterns("models"))
    FakeEngine.create(project / "models" / "phase33b", [("anything", "execute_code " * 12)])
    add_fake(project, "other", "there at " * 12)
    return project


@pytest.fixture
def embedded_models(tmp_path: Path) -> Path:
    """The embedded project with `other` in its lineage, which knows two words alone."""
    project = tmp_path / "project"
    shutil.copytree(TEMPLATE, project)
    add_model(project, "other", open_engine(Silent()), stuck_model)
    return project


@pytest.mark.parametrize("swap", ["beside", "wait"])
def test_no_request_fails_while_fake_models_are_exchanged(fake_models: Path, swap: str) -> None:
    exchanged_while_asked(fake_models, swap, "fake", lambda n: f"anything, {n}")


@pytest.mark.parametrize("swap", ["beside", "wait"])
def test_no_request_fails_while_the_embedded_models_are_exchanged(embedded_models: Path, swap: str) -> None:
    exchanged_while_asked(embedded_models, swap, "mlx", lambda n: f"Could you run ruff on src/part{n}.py?")


def exchanged_while_asked(project: Path, swap: str, engine: str, question: Callable[[int], str]) -> None:
    with serving(project, "--swap", swap, engine=engine) as running:
        swaps = threading.Thread(target=exchange, args=(project, running.url), daemon=True)
        swaps.start()
        asked: list[Asked] = []
        while swaps.is_alive():
            questions = [question(len(asked) + n) for n in range(2 * AT_A_TIME)]
            answered, failed = ask_many(running.url, questions, at_a_time=AT_A_TIME)
            assert failed == []
            asked += answered
        deadline = time.monotonic() + 30
        while len(running.children()) > 1:  # the old model's server ends after its last answer
            assert time.monotonic() < deadline
            time.sleep(0.05)
        child = running.child()
        assert running.end() == 0
        assert not is_alive(child)
    assert {answer.model for answer in asked} == {"phase33b", "other"}
    assert [answer for answer in asked if answer.giver != answer.model] == []
    with open_log(project) as log:
        recorded = [(event.query, event.answer, event.model) for event in log.events()]
    assert sorted(recorded) == sorted((answer.question, answer.text, answer.model) for answer in asked)
    assert sum("serving other" in line or "serving phase33b" in line for line in running.printed) == 4


def exchange(project: Path, url: str) -> None:
    """Promote and roll back, each when the model before it answers."""
    for name in ("other", "phase33b", "other"):
        if name == "other":
            promote(project, name)
        else:
            rollback(project)
        deadline = time.monotonic() + 60
        while served(url) != name:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        time.sleep(0.3)


def served(url: str) -> str:
    with urllib.request.urlopen(url.removesuffix("/v1") + "/health", timeout=60) as answer:
        return str(json.load(answer)["model"])


def test_killed_during_a_swap_events_and_production_agree(fake_models: Path) -> None:
    moments = (
        ("beside", "loading it beside"),  # the next model's server starts
        ("beside", "serving other\n"),  # the old one ends its answers
        ("wait", "requests wait"),  # for the old one's answers, and for the next one
    )
    asked: list[Asked] = []
    names = ["phase33b", "other"]
    for swap, said in moments:
        with serving(fake_models, "--swap", swap, engine="fake") as running:
            assert served(running.url) == names[0]
            killing = threading.Thread(target=kill_when_said, args=(fake_models, running, names[1], said), daemon=True)
            killing.start()
            while killing.is_alive():
                questions = [f"anything, {len(asked) + n} {said}" for n in range(AT_A_TIME)]
                asked += ask_many(running.url, questions, at_a_time=AT_A_TIME)[0]
        with opened(fake_models) as session:
            assert session.lineage.problems() == []
            assert session.lineage.production() == names[1]
            session.lineage.promote(names[0], "for the test")
    with open_log(fake_models) as log:
        recorded = {event.query: event.model for event in log.events()}
    assert {answer.question: answer.model for answer in asked}.items() <= recorded.items()


def kill_when_said(project: Path, running: Running, name: str, said: str) -> None:
    """Change production, and kill the server when it says something. Its model servers must end with it."""
    time.sleep(1)  # some answers of the model before it
    promote(project, name)
    deadline = time.monotonic() + 60
    while said not in "".join(running.printed):
        assert time.monotonic() < deadline
        time.sleep(0.005)
    children = running.children()
    running.process.kill()
    while any(map(is_alive, children)):
        assert time.monotonic() < deadline
        time.sleep(0.1)
