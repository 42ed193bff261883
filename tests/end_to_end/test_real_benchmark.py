"""The benchmark on a real model: its stages, its split, its examples, its coats, its page."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from benchmarks.real.commands import run
from benchmarks.real.examples import WORDS, example_of, right_calls
from benchmarks.real.page import write_page
from benchmarks.real.project import pool, write_lines
from benchmarks.real.runs.again import from_the_root
from benchmarks.real.runs.coats import adapted, aims_of, counts_without_calls, drawn, lineage
from benchmarks.real.runs.naive import settings
from benchmarks.real.runs.questions import Question
from benchmarks.real.split import CATEGORIES, groups, sides
from benchmarks.real.stages import Figures, Impossible, Options, Stage, Work
from benchmarks.real.tables import backward
from topcoat.spec.phase import DataSpec, GateSpec, PhaseSpec, TrainSpec


class Counting:
    """Stages that count how often they run: b needs a, c needs b, and b depends on the seed."""

    def __init__(self) -> None:
        self.ran: list[str] = []
        self.value = 1
        self.stages = (
            Stage("a", self._run("a")),
            Stage("b", self._run("b"), needs=("a",), options=("seed",)),
            Stage("c", self._run("c"), needs=("b",)),
        )

    def _run(self, name: str) -> Any:
        def run(work: Work) -> Figures:
            self.ran.append(name)
            return {"value": self.value}

        return run

    def reached(self, folder: Path, **options: int) -> str:
        """The stages that ran to reach the last one."""
        self.ran.clear()
        work = Work(folder, Options(**options), self.stages)
        assert work.reach(self.stages[-1]) == {"value": self.value}
        return "".join(self.ran)


def test_a_stage_runs_again_only_if_something_before_it_is_another(tmp_path: Path) -> None:
    stages = Counting()
    assert stages.reached(tmp_path) == "abc"
    assert stages.reached(tmp_path) == ""
    assert stages.reached(tmp_path, cases=7) == ""
    assert stages.reached(tmp_path, seed=1) == "bc"
    (tmp_path / "stages" / "b.json").unlink()
    assert stages.reached(tmp_path, seed=1) == "b"
    stages.value = 2
    (tmp_path / "stages" / "a.json").unlink()
    assert stages.reached(tmp_path, seed=1) == "abc"


def test_a_stage_that_fails_is_not_done(tmp_path: Path) -> None:
    def fails(work: Work) -> Figures:
        raise RuntimeError("no")

    stage = Stage("a", fails)
    work = Work(tmp_path, Options(), [stage])
    with pytest.raises(RuntimeError):
        work.reach(stage)
    assert not work.is_done(stage)


def question(name: str, *tools: str) -> dict[str, Any]:
    return {"id": name, "category": "simple", "tools": [{"function": {"name": tool}} for tool in tools]}


def test_a_stage_that_is_impossible_is_left_out_with_what_needs_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def nothing_weak(work: Work) -> Figures:
        raise Impossible("nothing is weak")

    stages = [Stage("plan", nothing_weak), Stage("coat", lambda work: {}, needs=("plan",)), Stage("a", lambda work: {})]
    work = Work(tmp_path, Options(), stages)
    for stage in stages:
        work.reach_if_possible(stage)
    assert [work.is_done(stage) for stage in stages] == [False, False, True]
    said = capsys.readouterr().out.splitlines()
    assert [line for line in said if "left out" in line] == [
        "plan is left out: nothing is weak",
        "coat is left out: nothing is weak",
    ]


def test_no_tool_of_a_question_that_is_asked_is_trained_on() -> None:
    rows = [question(f"q{n}", f"t{n}", f"t{n // 3 * 3}") for n in range(120)]
    rows += [question(f"chain{n}", f"c{n}", f"c{n + 1}") for n in range(10)]
    rows += [question("none 1"), question("none 2")]
    assert [len(group) for group in groups(rows)] == [10, *[3] * 40, 1, 1]
    train, ask = sides(rows)
    assert sorted(row["id"] for row in [*train, *ask]) == sorted(row["id"] for row in rows)
    assert {row["id"] for row in train} >= {f"chain{n}" for n in range(10)}
    assert 40 < len(ask) < 100
    names = [{tool["function"]["name"] for row in side for tool in row["tools"]} for side in (train, ask)]
    assert not names[0] & names[1]
    assert sides(list(reversed(rows))) == (train, ask)


def test_right_calls_take_the_first_alternative_and_name_what_the_question_names() -> None:
    truth: list[dict[str, dict[str, list[Any]]]] = [
        {"plan": {"city": ["Rome", "rome"], "days": [3], "mode": ["", "fast"], "unit": ["km", ""], "at": ["", "9 am"]}},
        {"book": {"who": [{"name": ["Ann"], "age": ["", 30]}], "seats": [[{"row": [1, 2]}]]}},
    ]
    assert right_calls(truth, "Rome at 9 AM, in KM") == [
        {"plan": {"city": "Rome", "days": 3, "unit": "km", "at": "9 am"}},
        {"book": {"who": {"name": "Ann"}, "seats": [{"row": 1}]}},
    ]


def test_an_example_ends_with_its_calls_or_with_words() -> None:
    row = {**question("q", "plan"), "prompt": '"Plan Rome."'}
    called = example_of(row, [{"plan": {"city": "Rome"}}], "You call tools.")
    assert [turn["role"] for turn in called["messages"]] == ["system", "user", "assistant"]
    assert called["messages"][1]["content"] == "Plan Rome."
    assert called["messages"][-1]["tool_calls"][0]["function"] == {"name": "plan", "arguments": {"city": "Rome"}}
    said = example_of({**row, "system": "Be brief.", "prompt": 'Say "hi" and "ho"'}, [], "You call tools.")
    assert [turn["content"] for turn in said["messages"]] == ["Be brief.", 'Say "hi" and "ho"', WORDS]


WEAK = ["simple", "multiple", "parallel"]


def test_a_coat_aims_at_weak_categories_that_were_aimed_at_least_often() -> None:
    assert aims_of(WEAK, []) == ["simple", "multiple"]
    assert aims_of(WEAK, [["simple", "multiple"]]) == ["parallel", "simple"]
    assert aims_of(WEAK, [["simple", "multiple"], ["parallel", "simple"]]) == ["multiple", "parallel"]
    assert aims_of(["parallel"], [["parallel", "simple"]]) == ["parallel"]


def test_a_third_of_the_examples_makes_no_call_unless_the_coat_is_about_that() -> None:
    assert counts_without_calls(90, ["simple", "parallel"]) == {"irrelevance": 15, "live_irrelevance": 15}
    assert counts_without_calls(90, ["simple", "irrelevance"]) == {}


def pool_row(text: str) -> dict[str, Any]:
    return {"messages": [{"role": role, "content": text} for role in ("system", "user", "assistant")]}


def test_examples_are_new_as_long_as_there_are_new_ones_and_no_question_comes_twice(tmp_path: Path) -> None:
    work = Work(tmp_path, Options(), [])
    write_lines(pool(work, "simple"), [pool_row(text) for text in ("a", "b", "c")])
    write_lines(pool(work, "multiple"), [pool_row(text) for text in ("B", "d", "e")])
    write_lines(lineage(work) / "data" / "coat1.jsonl", [pool_row("a"), pool_row("d")])
    chosen = drawn(work, {"simple": 1, "multiple": 3}, 2)
    assert sorted(row["messages"][1]["content"] for row in chosen) == ["b", "d", "e"]
    assert drawn(work, {"simple": 1, "multiple": 3}, 2) == chosen


def planned() -> PhaseSpec:
    return PhaseSpec(
        data=DataSpec(train=["data/coat1.jsonl"], replay=0.5),
        train=TrainSpec(iters=720, grad_accumulation_steps=8, schedule="cosine", warmup=9),
        gate=GateSpec(target={"simple": 0.3}, no_regression=["multiple", "irrelevance", "live_irrelevance"]),
    )


def test_a_planned_phase_gets_the_updates_and_the_gate_of_the_benchmark() -> None:
    means = {"irrelevance": 1.0, "live_irrelevance": 0.7}
    spec = adapted(planned(), [{"category": "simple", "mean": 0.1, "target": 0.4}], means, {"simple": 12}, 30)
    assert (spec.train.updates, spec.train.warmup, spec.train.steps_per_eval) == (30, 3, 80)
    assert spec.gate.target == {"simple": 0.25, "irrelevance": 0.8}
    assert spec.gate.no_regression == ["multiple", "live_irrelevance"]
    assert (spec.gate.evidence, spec.gate.tolerance, spec.retry.max_attempts) == ("mean", 0.17, 1)


def test_mlx_lm_gets_the_training_of_the_phase_and_the_root_the_rows_of_all_coats(tmp_path: Path) -> None:
    config = settings(planned(), tmp_path, tmp_path, tmp_path, 30)
    assert (config["iters"], config["grad_accumulation_steps"], config["learning_rate"]) == (720, 8, 5e-5)
    assert config["lr_schedule"] == {"name": "cosine_decay", "warmup": 9, "arguments": [5e-5, 81]}
    spec = from_the_root(planned(), ["data/coat1.jsonl", "data/coat2.jsonl"], 1000.0, 3)
    assert (spec.train.updates, spec.train.seed, spec.data.replay) == (125, 3, 0.0)
    assert spec.gate.target == {"simple": 0.0}


def test_an_answer_is_right_if_it_has_the_word() -> None:
    asked = Question("How many?", ("8", "eight"))
    assert [asked.is_right(answer) for answer in ("Eight legs.", "It has 8!", "18 legs", "weight")] == [
        *(True, True, False, False)
    ]


def test_a_command_that_fails_says_what_it_printed(tmp_path: Path) -> None:
    work = Work(tmp_path, Options(), [])
    ran = run(work, "one", ["platform"], tmp_path)
    assert ran.printed
    assert ran.peak > 1e6
    with pytest.raises(RuntimeError, match="No module named no_such_module"):
        run(work, "two", ["no_such_module"], tmp_path)
    assert "no_such_module" in (tmp_path / "logs" / "two.log").read_text()


def scores(share: float) -> dict[str, dict[str, int]]:
    return {category: {"n": 10, "leaderboard": round(10 * share), "topcoat": 1} for category in CATEGORIES}


PLAN: Figures = {
    "aims": ["simple"],
    "examples": {"simple": 20, "irrelevance": 10},
    "budget": {"replayed": 0, "iterations": 240},
}
COAT: Figures = {
    **{"promoted": True, "model": "coat1-1", "reasons": [], "learning_rate": 4e-4},
    **{"scores": scores(0.3), "seconds": 120.0, "processor_seconds": 60.0, "peak": 10**9},
    "train": {
        **{"updates": 30, "seconds": 60.0, "trunk_seconds": 6.0, "trained_tokens": 5000},
        "losses": [2.0, 1.0],
    },
    "fuse": {"survival": 0.96, "median_survival": 0.99, "kl": 0.001, "bits": 4.5, "size": 10**8, "delta": 0.02},
}
GENERAL: Figures = {
    **{"texts": 2, "tokens": 300, "nats": 2.5, "kl_from_root": 0.0, "questions": 40, "right": 20, "python": "3.11"},
}


def _found(figures: Figures, work: Work) -> Figures:
    return figures


def page_of(folder: Path, done: Figures, lacking: Sequence[str] = ()) -> str:
    """The page of stages that found `done`, of which those in `lacking` weren't reached."""
    stages = [Stage(name, functools.partial(_found, figures)) for name, figures in done.items()]
    work = Work(folder, Options(), stages)
    for stage in stages:
        if stage.name not in lacking:
            work.reach(stage)
    return write_page(work, list(done), folder / "page.md")


def test_the_page_shows_what_is_done_and_names_what_is_not(tmp_path: Path) -> None:
    discarded = {**COAT, "promoted": False, "reasons": ["simple fell"], "scores": scores(0.1)}
    naive = {
        "scores": scores(0.6),
        "fuse": {"survival": 0.1, "bits": 4.5, "size": 1},
        "train": {"seconds": 1, "peak": 1},
    }
    again = {**COAT, "scores": scores(0.5), "train": {**COAT["train"], "seconds": 300.0}, "general": GENERAL}
    done: Figures = {
        **{"root": {"scores": scores(0.0)}, "general_root": GENERAL, "plan1": PLAN, "coat1": COAT},
        **{"plan2": {**PLAN, "aims": ["multiple"]}, "coat2": discarded, "naive1": naive, "again0": again},
    }
    begun = page_of(tmp_path / "begun", done, list(done))
    assert "**Not done yet**: root, general_root, plan1" in begun
    assert "##" not in begun
    half = page_of(tmp_path / "half", done, ["coat2", "naive1", "again0"])
    assert "**Not done yet**: coat2, naive1, again0." in half
    assert "| coat 1 | 3 of 10 |" in half
    assert "naive chain" not in half
    assert "After coat1, the last that was promoted, it is 30%" in half
    whole = page_of(tmp_path / "whole", done)
    assert "All stages are done." in whole
    assert "| coat 2 (discarded) | 1 of 10 |" in whole
    assert "| verdict | promoted | simple fell |" in whole
    assert "| naive chain, coat 1 | 6 of 10 |" in whole
    assert "| from the root, seed 0 | 30 | 5.0 | 5.0 | 50 |" in whole
    assert "Backward" not in whole
    picture = (tmp_path / "whole" / "page.svg").read_text()
    assert "topcoat: mean 30%, irrelevance 30%; mlx_lm: mean 60%, irrelevance 60%" in picture


def test_backward_transfer_is_what_earlier_aims_lost_since(tmp_path: Path) -> None:
    assert backward([(["simple"], scores(0.5))]) is None
    later = {**scores(0.5), "simple": {"n": 10, "leaderboard": 3, "topcoat": 3}}
    assert backward([(["simple", "multiple"], scores(0.5)), (["parallel"], later)]) == pytest.approx(-10.0)
