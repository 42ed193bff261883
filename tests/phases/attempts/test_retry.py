from __future__ import annotations

from typing import Any

import pytest

from topcoat.phases.attempts.retry import Retry, Tried, next_attempt
from topcoat.spec.phase import PhaseSpec
from topcoat.store.records import (
    AttemptResult,
    EvalResult,
    GateCheck,
    TrainReport,
    Trial,
    Validation,
    Verdict,
)

LOSSES = {"falling": [3.0, 2.0, 1.0], "risen": [3.0, 1.0, 2.0]}


def spec(**train: Any) -> PhaseSpec:
    keys: dict[str, Any] = {"iters": 200, "learning_rate": 4e-4, "grad_accumulation_steps": 1} | train
    return PhaseSpec.model_validate(
        {"data": {"train": ["a.jsonl"], "replay": 0.5}, "train": keys, "gate": {"target": {"git": 0.8}}}
    )


def check(kind: str, *, passed: bool, fell: bool = False) -> GateCheck:
    after = 0.5 if fell else 1.0
    keys = {"category": "git", "kind": kind, "required": 0.9, "before": 1.0, "after": after, "n": 30}
    return GateCheck.model_validate(keys | {"passed": passed, "reason": f"{kind} of git"})


def trained(losses: str, rates: tuple[float, ...] = ()) -> TrainReport:
    validations = [Validation(update=i, iteration=i, loss=x, tokens=9) for i, x in enumerate(LOSSES[losses])]
    best = min(validations, key=lambda one: one.loss)
    trials = [Trial(learning_rate=rate, seed=0, chosen=index == 1) for index, rate in enumerate(rates)]
    return TrainReport(
        steps=[], validations=validations, best_update=best.update, best_loss=best.loss, stopped="iterations",
        trained_tokens=9, seconds=1.0, trials=trials,
    )  # fmt: skip


def tried(of: PhaseSpec, came: str, losses: str = "risen", rates: tuple[float, ...] = ()) -> Tried:
    verdict = {
        "fell": Verdict(passed=False, checks=[check("no_regression", passed=False, fell=True)]),
        "missed": Verdict(passed=False, checks=[check("target", passed=False)]),
        "overflowed": Verdict(passed=False, failure="the loss is inf"),
        "not fused": Verdict(passed=False, failure="no bits keep it"),
    }[came]
    before = EvalResult(model="m", suite_digest="d", categories=[], scores=[], seconds=0.0, generated_tokens=0)
    result = AttemptResult(
        phase="p", attempt=1, learning_rate=of.train.learning_rates[0], model="p-1", before=before,
        train=None if came == "overflowed" else trained(losses, rates), verdict=verdict,
    )  # fmt: skip
    return Tried(of, result)


def changed(*attempts: Tried) -> PhaseSpec:
    retry = next_attempt(attempts)
    assert retry.spec is not None
    return retry.spec


def test_after_a_fall_the_rate_is_lower_and_replay_takes_a_larger_share() -> None:
    retry = next_attempt([tried(spec(), "fell")])
    assert retry.spec is not None
    assert retry.spec.train.learning_rate == pytest.approx(2e-4)
    assert retry.spec.data.replay == pytest.approx(2 / 3)
    # As many passes over the new examples: half of 200 iterations, a third of 300.
    assert retry.spec.train.iters == 300
    assert retry.reason == (
        "learning rate 0.0004 -> 0.0002, replay 0.50 -> 0.67, iterations 200 -> 300: no_regression of git"
    )


def test_an_overflow_lowers_the_rate_and_nothing_else() -> None:
    assert changed(tried(spec(), "overflowed")) == spec(learning_rate=2e-4)


def test_a_missed_target_trains_longer_while_the_loss_falls_and_at_a_higher_rate_else() -> None:
    assert changed(tried(spec(), "missed", "falling")) == spec(iters=300)
    assert changed(tried(spec(), "missed", "risen")) == spec(learning_rate=8e-4)


def test_no_direction_is_tried_that_was_ruled_out() -> None:
    low, high = tried(spec(learning_rate=1e-4), "missed"), tried(spec(learning_rate=4e-4), "fell")
    assert changed(low, high).train.learning_rate == pytest.approx(2e-4)
    assert changed(high, low).train.learning_rate == pytest.approx(2e-4)


def test_trials_move_with_the_one_that_decided() -> None:
    several = spec(learning_rate=[1e-4, 4e-4])
    assert changed(tried(several, "overflowed")).train.learning_rates == pytest.approx([5e-5, 2e-4])
    too_low = changed(tried(several, "missed", rates=(1e-4, 4e-4))).train.learning_rates
    assert too_low == pytest.approx([2e-4, 8e-4])


def test_whole_updates_are_added() -> None:
    assert changed(tried(spec(iters=10, grad_accumulation_steps=4), "missed", "falling")).train.iters == 16


@pytest.mark.parametrize("came", ["fell", "overflowed", "missed"])
def test_a_factor_of_1_repeats_nothing(came: str) -> None:
    same = spec().model_copy(update={"retry": spec().retry.model_copy(update={"learning_rate_factor": 1.0})})
    assert next_attempt([tried(same, came)]).spec is None


def test_a_fuse_that_loses_too_much_is_not_mended_by_a_rate() -> None:
    assert next_attempt([tried(spec(), "not fused")]) == Retry(
        None, "no further attempt: another rate doesn't make fusing keep more; bits under [fuse] do"
    )
