from __future__ import annotations

from pathlib import Path

from tests.support.scripted import Scripted
from tests.support.shop_episodes import ORDER, suite_of
from topcoat.progress import Silent
from topcoat.spec.agent import Agent
from topcoat.spec.project import EvalSection
from topcoat.spec.tools.stubs import parse_stubs
from topcoat.store.records import PassShare
from topcoat.suites.evaluate import evaluate

AGENT = Agent(parse_stubs("def order(number: int) -> str: ...", Path("t.pyi")), calls="native")
SPEC = EvalSection(temperatures=[0.0, 0.5], samples=2)


def test_an_episode_counts_if_every_sample_solves_it(tmp_path: Path) -> None:
    case = {"prompt": "?", "max_steps": 3, "expect": {"calls": [{"tool": "order"}]}}
    suite = suite_of(tmp_path, AGENT, case, case, case)
    scripts: dict[str, list[str | None]] = {"e1": [ORDER, "a"], "e2": ["no"], "e3": [ORDER, "a"]}
    tries: dict[str, list[list[str | None]]] = {
        "e1": [[ORDER, "a"], [ORDER, "a"]],
        "e2": [[ORDER, "a"], ["no"]],
        "e3": [[ORDER, "a"], [ORDER, None]],
    }
    for name, both in tries.items():
        scripts |= {f"{name} (sample {n} at temperature 0.5)": script for n, script in enumerate(both, 1)}
    source = Scripted(scripts)
    result = evaluate(source, suite, AGENT, Silent(), "m", SPEC)
    assert result.passes == [
        PassShare(temperature=0.5, samples=2, episodes=2, solved=1, mean=0.75, errors=1, failed=["e2"])
    ]
    assert [score.value for score in result.scores] == [1.0, 0.0, 1.0]
    assert result.errors == []
    drawn = [question for question in source.asked[0] if question.temperature]
    again = [question for question in source.asked[1] if question.temperature]
    seeds = [question.seed for question in (*drawn, *again)]
    assert len(set(seeds)) == len(seeds)


def test_without_a_temperature_nothing_is_sampled(tmp_path: Path) -> None:
    suite = suite_of(tmp_path, AGENT, {"prompt": "?", "max_steps": 3, "expect": {"calls": [{"tool": "order"}]}})
    assert evaluate(Scripted({"e1": ["a"]}), suite, AGENT, Silent(), "m").passes == []
