from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.scripted import Scripted, calling
from topcoat.errors import InvalidInput
from topcoat.progress import Silent
from topcoat.spec.agent import Agent
from topcoat.spec.suite import Case, load_suite
from topcoat.spec.tools.stubs import parse_stubs
from topcoat.suites.episodes.simulator import Simulator, Simulators
from topcoat.suites.episodes.tools import Returned
from topcoat.suites.evaluate import evaluate

AGENT = Agent(parse_stubs("def pay(cents: int) -> str: ...\ndef look() -> str: ...", Path("t.pyi")), calls="native")
SOURCE = """\
import os, signal, socket, sys, time

class Purse:
    def __init__(self, cents=10):
        self.cents = cents
        self._hidden = 1
        self.log = []

    def pay(self, cents):
        if cents > self.cents:
            raise ValueError("too little")
        self.cents -= cents
        self.log.append((cents, {3, 1, 2}))
        return {"left": self.cents}

    def look(self):
        print("looking")
        return BODY

class Silent(Exception):
    def __str__(self):
        raise RuntimeError

def raise_(error):
    raise error
"""


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Any]:
    opened: list[Simulators] = []

    def start(body: str = "'ok'", source: str = SOURCE, **case: Any) -> Simulator:
        (tmp_path / "sim.py").write_text(source.replace("BODY", body))
        written = {"id": "a", "category": "c", "prompt": "?", "simulator": "sim.py:Purse", "expect": {"calls": []}}
        opened.append(Simulators(tmp_path / "suite.jsonl", seconds=1.0, memory=64 * 2**20))
        found = opened[-1].begin(Case.model_validate({**written, **case}), AGENT)
        assert found is not None
        return found

    yield start
    for simulators in opened:
        simulators.__exit__(None, None, None)


def test_each_episode_has_a_state_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "sim.py").write_text(SOURCE.replace("BODY", "self.cents"))
    case = Case.model_validate(
        {"id": "a", "category": "c", "prompt": "?", "simulator": "sim.py:Purse", "expect": {"calls": []}}
    )
    with Simulators(tmp_path / "suite.jsonl") as simulators:
        one, other = (
            simulators.begin(case, AGENT),
            simulators.begin(case.model_copy(update={"start": {"cents": 3}}), AGENT),
        )
        assert one
        assert other
        assert one.call("pay", {"cents": 4}) == Returned({"left": 6})
        assert other.call("look", {}) == Returned(3)
        assert one.call("look", {}) == Returned(6)
        assert one.state() == {"cents": 6, "log": [[4, [1, 2, 3]]]}
        one.end()
        assert other.state() == {"cents": 3, "log": []}
        assert one.call("look", {}).problem == "the simulator's process has ended"


def test_what_a_simulator_raises_is_a_failure_with_its_line(begin: Any) -> None:
    simulator = begin()
    failed = simulator.call("pay", {"cents": 11})
    assert (failed.problem, failed.where) == ("ValueError: too little", "sim.py:11")
    assert failed.text == '{"error": "ValueError: too little"}'
    assert simulator.call("pay", {"cents": 1}).value == {"left": 9}


@pytest.mark.parametrize(
    ("body", "problem", "alive"),
    [
        ("time.sleep(60)", "the time is up", True),
        ("all(True for _ in iter(int, 1))", "the time is up", True),
        ("'a' * 10**9", "MemoryError", True),
        ("os.kill(os.getpid(), signal.SIGKILL)", "the simulator's process has died", False),
        ("os._exit(3)", "the simulator's process has died", False),
        ("sys.exit(3)", "SystemExit: 3", True),
        ("socket.create_connection(('127.0.0.1', 9))", "NoNetwork: a simulator has no network", True),
        ("self.nothing", "AttributeError: 'Purse' object has no attribute 'nothing'", True),
        ("(lambda x: x.append(x) or x)([])", "ValueError: the value is nested too deeply, or holds itself", True),
        (
            "[1, 10**5000]",
            "the result holds an integer of too many digits",
            True,
        ),
        ("raise_(Silent())", "Silent", True),
        ("'b' * 2**24", "the result has more than 16777216 characters", True),
        (
            "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM]) or time.sleep(60)",
            "the time is up, and its process was ended",
            False,
        ),
    ],
)
def test_limits(begin: Any, body: str, problem: str, alive: bool) -> None:
    simulator = begin(body)
    assert simulator.call("look", {}).problem == problem
    assert (simulator.state() is not None) == alive


def test_what_a_simulator_forks_does_not_answer(begin: Any) -> None:
    simulator = begin("'parent' if os.fork() else 'child'")
    said = [simulator.call("look", {}).value for _ in range(3)]
    assert said == ["parent"] * 3
    time.sleep(0.3)  # a second answer would be read as that of the next call
    assert simulator.call("pay", {"cents": 4}).value == {"left": 6}
    assert simulator.state() == {"cents": 6, "log": [[4, [1, 2, 3]]]}


@pytest.mark.parametrize(
    ("source", "message", "line"),
    [
        (f"import nothing_like_this\n{SOURCE}", "ModuleNotFoundError: No module named 'nothing_like_this'", 1),
        (SOURCE.replace("cents=10", "cents"), "TypeError: Purse.__init__() missing 1 required", None),
        (SOURCE.replace("self.cents = cents", "self.cents = 1 / 0"), "ZeroDivisionError: division by zero", 5),
        (SOURCE.replace("def look", "def loook"), "AttributeError: Purse has no method look", None),
        (SOURCE.replace("class Purse", "class Other"), "AttributeError: module 'sim' has no attribute 'Purse'", None),
        (f"raise SystemExit\n{SOURCE}", "SystemExit", 1),
    ],
)
def test_a_simulator_that_does_not_work(begin: Any, source: str, message: str, line: int | None) -> None:
    with pytest.raises(InvalidInput) as caught:
        begin(source=source)
    assert message in str(caught.value)
    assert caught.value.where is not None
    assert (caught.value.where.path.name, caught.value.where.line) == ("sim.py", line)


def test_topcoat_never_imports_it(begin: Any) -> None:
    simulator = begin("os.getpid()")
    assert simulator.call("look", {}).value != os.getpid()


def test_the_state_is_compared_after_each_turn(tmp_path: Path) -> None:
    (tmp_path / "sim.py").write_text(SOURCE.replace("BODY", "self.cents"))
    turns = [
        {"user": "Pay 4.", "expect": {"state": {"cents": 6}}},
        {"user": "Pay 1.", "expect": {"state": {"cents": {"json_schema": {"maximum": 5}}}}},
    ]
    rows = [
        {"id": name, "category": "c", "turns": turns, "simulator": "sim.py:Purse", "start": {"cents": 10}}
        for name in ("right", "wrong")
    ]
    path = tmp_path / "suite.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    pay4, pay1, pay20 = (calling(("pay", {"cents": cents})) for cents in (4, 1, 20))
    source = Scripted({"right": [pay4, "ok", pay20, pay1, "ok"], "wrong": [pay4, "ok", "ok"]})
    right, wrong = evaluate(source, load_suite(path, AGENT), AGENT, Silent(), "m").scores
    assert (right.value, right.reason) == (1.0, "every turn as expected")
    assert right.transcript
    assert right.transcript.state == {"cents": 5, "log": [[4, [1, 2, 3]], [1, [1, 2, 3]]]}
    assert right.transcript.turns[1].steps[0].calls[0].problem == "sim.py:11: ValueError: too little"
    assert wrong.reason.startswith("turn 2: the state ends with cents=6, which doesn't fit its schema")
