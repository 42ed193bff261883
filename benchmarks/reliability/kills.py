"""Commands killed at random instants, then given again: the project ends as if none had been killed.

Each scenario runs once, and once more, unkilled: what differs then (nothing but times should) would make the comparison
worthless, so it is a fault. Then it is killed once to three times before it may end.
"""

from __future__ import annotations

import json
import random
import shutil
import tempfile
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.reliability.projects import command, make_project, make_real_project, state
from benchmarks.reliability.tally import Tally
from tests.support.fake_project import write_phase
from tests.support.usage.captured import capture
from tests.support.usage.serving import serving
from topcoat.usage.importing import open_log

__all__ = ["try_kills"]

_CHAT = "/v1/chat/completions"


@dataclass(frozen=True)
class Scenario:
    """A command on a project, how often it is tried among a hundred, and how it is prepared.

    `once` commands do something else when they are given a second time: they are given again only if the project is as
    before, and otherwise it must be as after.
    """

    name: str
    arguments: tuple[str, ...]
    share: int
    prepared: str = "new"
    once: bool = False
    engine: str = "fake"


_SCENARIOS = (
    Scenario("run", ("run", "phase34a"), 30),
    Scenario("run of a real model", ("run", "phase34a"), 4, "real", engine="mlx"),
    Scenario("eval", ("eval",), 9),
    Scenario("rollback", ("rollback",), 8, "promoted", once=True),
    Scenario("gc", ("gc",), 9, "rolled back"),
    Scenario("rebuild", ("rebuild", "phase34a-1"), 8, "collected"),
    Scenario("data import", ("data", "import", "foreign.jsonl", "--to", "data/imported.jsonl"), 8, once=True),
    Scenario("events import", ("events", "import", "usage.jsonl"), 8),
    Scenario("extract", ("extract", "--phase", "phase35"), 8, "captured"),
    Scenario("serve", ("serve",), 8, "promoted"),
)
_PREPARED: dict[str, tuple[str, tuple[str, ...]]] = {
    "promoted": ("new", ("run", "phase34a")),
    "rolled back": ("promoted", ("rollback",)),
    "collected": ("rolled back", ("gc",)),
}


def try_kills(tally: Tally, seed: int) -> None:
    rng = random.Random(seed)
    order = [scenario for scenario in _SCENARIOS for _ in range(scenario.share)]
    rng.shuffle(order)
    with tempfile.TemporaryDirectory() as folder:
        place = _Place(Path(folder))
        for number in range(tally.planned):
            scenario = order[number % len(order)]
            try:
                if scenario.name == "serve":
                    _serve(place, scenario, tally, rng)
                else:
                    _killed(place, scenario, tally, rng, f"try {number} of seed {seed}")
            except _Failed as failed:
                tally.fault(f"{scenario.name}, try {number} of seed {seed}: {failed}")
            tally.note(scenario.name)


class _Failed(Exception):
    """A command ended as it shouldn't."""


class _Place:
    """One folder in which every project is tried, so that paths are the same, and the prepared projects beside it."""

    def __init__(self, folder: Path) -> None:
        self.project = folder / "project"
        self._folder = folder
        self._wholes: dict[str, tuple[dict[str, Any], dict[str, Any], float]] = {}

    def reset(self, prepared: str) -> None:
        """Put the prepared project in place."""
        saved = self._folder / prepared
        shutil.rmtree(self.project, ignore_errors=True)
        if not saved.exists():
            self._prepare(prepared)
            shutil.copytree(self.project, saved)
            return
        shutil.copytree(saved, self.project)

    def whole(self, scenario: Scenario) -> tuple[dict[str, Any], dict[str, Any], float]:
        """The project before and after the unkilled command, and its seconds."""
        if scenario.name not in self._wholes:
            self.reset(scenario.prepared)
            before = state(self.project)
            started = time.monotonic()
            _ended(self.project, scenario)
            seconds = time.monotonic() - started
            after = state(self.project)
            self.reset(scenario.prepared)
            _ended(self.project, scenario)
            if again := _difference(after, state(self.project)):
                raise _Failed(f"two unkilled runs differ: {again}")
            self._wholes[scenario.name] = before, after, seconds
        return self._wholes[scenario.name]

    def _prepare(self, prepared: str) -> None:
        if prepared in _PREPARED:
            base, arguments = _PREPARED[prepared]
            self.reset(base)
            _ended(self.project, Scenario(prepared, arguments, 0))
            return
        (make_real_project if prepared == "real" else make_project)(self.project)
        (self.project / "foreign.jsonl").write_text(_foreign(400))
        (self.project / "usage.jsonl").write_text(_usage(150))
        if prepared == "captured":
            write_phase(self.project, "phase35")
            capture(self.project, 25)


def _ended(project: Path, scenario: Scenario) -> str:
    """Run the command to its end. Raises if that isn't a good one."""
    process = command(project, *scenario.arguments, engine=scenario.engine)
    said, _ = process.communicate(timeout=600)
    if process.returncode not in (0, 3) or "Traceback" in said:
        raise _Failed(f"exit {process.returncode}: {said[-600:]}")
    return said


def _killed(place: _Place, scenario: Scenario, tally: Tally, rng: random.Random, name: str) -> None:
    before, after, seconds = place.whole(scenario)
    place.reset(scenario.prepared)
    for _ in range(1 if scenario.once else rng.randint(1, 3)):
        process = command(place.project, *scenario.arguments, engine=scenario.engine)
        time.sleep(rng.uniform(0.25, 1.05) * seconds)
        tally.outcomes["kills" if process.poll() is None else "ended before its kill"] += 1
        process.kill()
        process.communicate()
    now = state(place.project)
    if not scenario.once or not _difference(before, now):
        _ended(place.project, scenario)
        now = state(place.project)
    if difference := _difference(after, now):
        tally.fault(f"{scenario.name}, {name}: it ends otherwise than unkilled: {difference}")


def _difference(one: Any, other: Any, place: str = "") -> str:
    """The first places where two states differ, "" if nowhere."""
    if isinstance(one, dict) and isinstance(other, dict):
        keys = [*one, *(key for key in other if key not in one)]
        found = [_difference(one.get(key), other.get(key), f"{place}/{key}") for key in keys]
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        found = [_difference(a, b, f"{place}[{i}]") for i, (a, b) in enumerate(zip(one, other, strict=True))]
    else:
        found = [] if one == other else [f"{place}: {str(one)[:150]} | {str(other)[:150]}"]
    return "; ".join([difference for difference in found if difference][:3])


def _serve(place: _Place, scenario: Scenario, tally: Tally, rng: random.Random) -> None:
    """Ask a server one question after another and kill it. What was answered is stored, up to the last moment."""
    place.reset(scenario.prepared)
    finished: list[str] = []
    with serving(place.project, engine="fake") as running:
        until = time.monotonic() + rng.uniform(0.1, 3.0)
        while time.monotonic() < until:
            question = f"question {len(finished)}"
            _ask(running.url, question, stream=rng.random() < 0.5)
            finished.append(question)
        running.process.kill()
        running.process.wait()
    with open_log(place.project) as log:
        stored = {event.query for event in log.events()}
    lost = [question for question in finished if question not in stored]
    tally.outcomes["exchanges answered by servers before their kill"] += len(finished)
    tally.outcomes["of them lost"] += len(lost)
    if lost and lost != finished[-len(lost) :]:
        raise _Failed(f"exchanges are lost from the middle: {lost}")
    with serving(place.project, engine="fake") as running:
        _ask(running.url, "after the kill", stream=False)
        if running.end():
            raise _Failed("a server after a killed one ends badly")
    with open_log(place.project) as log:
        if "after the kill" not in {event.query for event in log.events()}:
            raise _Failed("nothing is stored after a kill")


def _ask(url: str, question: str, *, stream: bool) -> None:
    root = url.removesuffix("/v1")
    body = json.dumps({"messages": [{"role": "user", "content": question}], "stream": stream}).encode()
    request = urllib.request.Request(root + _CHAT, body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            answer.read()
    except (urllib.error.URLError, OSError) as error:
        raise _Failed(f"the server doesn't answer: {error}") from error


def _foreign(count: int) -> str:
    """Examples in ShareGPT's format."""
    said = [[{"from": "human", "value": f"Show {n}"}, {"from": "gpt", "value": f"It is {n}."}] for n in range(count)]
    return "".join(json.dumps({"conversations": turns}) + "\n" for turns in said)


def _usage(count: int) -> str:
    """A chat log."""
    said = [[{"role": "user", "content": f"q {n}"}, {"role": "assistant", "content": "a"}] for n in range(count)]
    return "".join(json.dumps({"messages": turns}) + "\n" for turns in said)
