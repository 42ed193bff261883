from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from topcoat.phases.plan import EXAMPLES, LEAST, Plan, Settings, make_plan, weak_categories
from topcoat.spec.agent import Agent
from topcoat.spec.expect import Expect
from topcoat.spec.phase import PhaseSpec, TrainSpec
from topcoat.spec.suite import Case, Suite
from topcoat.spec.tools.stubs import parse_stubs
from topcoat.store.records import CategoryScore, EvalResult, Score
from topcoat.suites.evidence.compare import interval_of

CATALOG = parse_stubs("def look(path: str) -> str: ...\ndef ask(text: str) -> str: ...\n", Path("tools.pyi"))
AGENT = Agent(CATALOG)
ROOT = Settings(hidden_size=2048, num_layers=48, layered=False, replayable=False)
BARE = PhaseSpec.model_validate({"data": {"train": ["a.jsonl"]}, "gate": {"target": {"a": 1.0}}})


def called(*tools: str) -> str:
    code = "\n".join(f'{tool}("x")' for tool in tools)
    return f"<tool_call><function=execute_code>\n<parameter=code>\n{code}\n</parameter>\n</function></tool_call>"


def evaluated(**solved: list[float]) -> tuple[EvalResult, Suite]:
    """Categories by the scores of their cases; each wants `look`, and where it failed `ask` was called."""
    scores = [
        Score(
            case_id=f"{name}-{i}",
            category=name,
            value=value,
            reason="because",
            scorer="tiered",
            answer=called("look" if value == 1 else "ask"),
        )
        for name, values in solved.items()
        for i, value in enumerate(values)
    ]
    categories = [
        CategoryScore(
            category=name,
            n=len(values),
            mean=sum(values) / len(values),
            solved=values.count(1.0),
            interval=interval_of([score for score in scores if score.category == name]),
        )
        for name, values in solved.items()
    ]
    expect = {"calls": [{"tool": "look"}]}
    cases = [
        Case.model_validate({"id": s.case_id, "category": s.category, "prompt": "p", "expect": expect}) for s in scores
    ]
    result = EvalResult(
        model="m", suite_digest="d", categories=categories, scores=scores, seconds=0.0, generated_tokens=0
    )
    return result, Suite(Path("suite.jsonl"), tuple(cases))


def plan(settings: Settings = ROOT, *, targets: dict[str, float | None] | None = None, **solved: list[float]) -> Plan:
    result, suite = evaluated(**solved)
    return make_plan(result, suite, AGENT, settings, name="next", targets=targets)


def rate(**changes: object) -> float:
    base = {"hidden_size": 2048, "num_layers": 48, "layered": False, "replayable": False}
    return Settings(**base | changes).learning_rate  # type: ignore[arg-type]  # any of the fields


def test_what_the_interval_puts_below_the_goal_is_weak() -> None:
    solved = {
        "good": [1.0] * 27,
        "chance": [1.0] * 23 + [0.1] * 2,  # 93%: could be 98%
        "poor": [1.0] * 24 + [0.1] * 12,  # 70%: at most 82%
        "worst": [1.0] * 15 + [0.0] * 18,
    }
    result, suite = evaluated(**solved)
    assert [c.category for c in weak_categories(result)] == ["worst", "poor"]
    proposed = make_plan(result, suite, AGENT, ROOT, name="next")
    assert proposed.spec is not None
    assert list(proposed.spec.data.quota) == list(proposed.spec.gate.target) == ["worst", "poor"]
    assert proposed.spec.gate.no_regression == ["good", "chance"]


def test_one_failed_case_is_never_enough_and_neither_is_one_family() -> None:
    assert weak_categories(evaluated(one=[0.0])[0]) == []
    result, _ = evaluated(many=[0.0] * 6)
    family = [score.model_copy(update={"family": "f"}) for score in result.scores]
    assert weak_categories(result.model_copy(update={"scores": family})) == []
    assert len(weak_categories(result)) == 1


def test_nothing_weak_is_a_plan_without_a_phase() -> None:
    found = plan(good=[1.0] * 40)
    assert found.spec is None
    assert found.nothing_weak == "no category of m is shown to be weak: every 95% interval reaches 90.0%"


def test_where_one_family_failed_the_plan_doesn_t_say_that_intervals_reach_the_goal() -> None:
    found = plan(good=[1.0] * 40, one=[0.0])
    assert found.spec is None
    assert [category.category for category in found.too_few] == ["one"]
    assert found.nothing_weak == (
        "no category of m is shown to be weak: one is at 0.0% of 1 case, but what failed is one family, and one is "
        "never enough"
    )


def test_the_goal_decides_what_is_weak() -> None:
    result, _ = evaluated(good=[1.0] * 80 + [0.0] * 20)
    assert weak_categories(result, 0.8) == []
    assert len(weak_categories(result, 0.95)) == 1


def test_a_target_by_name_replaces_what_is_weak() -> None:
    proposed = plan(targets={"good": 1.0}, good=[1.0] * 27, poor=[0.0] * 27)
    assert proposed.spec is not None
    assert proposed.spec.gate.target == {"good": 1.0}
    assert proposed.spec.data.quota == {"good": EXAMPLES}
    assert proposed.spec.gate.no_regression == ["poor"]


def test_what_was_called_instead_stands_beside_what_was_wanted() -> None:
    (need,) = plan(poor=[1.0] * 10 + [0.1] * 10).needs
    assert [(c.tools, c.cases, c.failed, c.examples) for c in need.chains] == [("look", 20, 10, 80)]
    assert [(c.wanted, c.called, len(c.cases)) for c in need.confusions] == [("look", "ask", 10)]


@pytest.mark.parametrize(
    ("order", "wanted", "seen"),
    [
        ("any", "ask and look, in any order", "because"),
        ("given", "look → ask", "ask → look"),
    ],
)
def test_calls_in_any_order_are_wanted_in_any_order(order: str, wanted: str, seen: str) -> None:
    result, suite = evaluated(poor=[1.0] * 10 + [0.1] * 10)
    result = result.model_copy(
        update={"scores": [score.model_copy(update={"answer": called("ask", "look")}) for score in result.scores]}
    )
    calls = [{"tool": "look"}, {"tool": "ask"}]
    expect = Expect.model_validate({"calls": calls, "order": order})
    cases = tuple(case.model_copy(update={"expect": expect, "scorer": "calls"}) for case in suite.cases)
    (need,) = make_plan(result, Suite(suite.path, cases), AGENT, ROOT, name="next").needs
    assert [(c.wanted, c.called) for c in need.confusions] == [(wanted, seen)]


def test_the_target_is_a_third_of_what_is_missing_and_no_more_than_the_goal() -> None:
    assert [need.target for need in plan(a=[1.0] * 70 + [0.0] * 30, b=[1.0] * 85 + [0.0] * 15).needs] == [0.8]
    result, suite = evaluated(a=[1.0] * 870 + [0.0] * 130)
    (need,) = make_plan(result, suite, AGENT, ROOT, name="next").needs
    assert need.target == 0.9


def test_others_may_lose_one_case_where_that_is_little() -> None:
    def tolerance(n: int) -> float:
        spec = plan(good=[1.0] * n, poor=[0.0] * 20).spec
        assert spec is not None
        return spec.gate.tolerance

    assert (tolerance(27), tolerance(25), tolerance(20), tolerance(19), tolerance(3)) == (0.04, 0.04, 0.05, 0.0, 0.0)


def test_the_rate_falls_with_the_width_and_on_a_coated_base() -> None:
    assert rate() == 1e-4
    assert rate(layered=True) == 5e-5
    assert rate(hidden_size=512) == 4e-4
    assert rate(hidden_size=192, layered=True) == 5e-4
    assert rate(hidden_size=8) == 1e-3
    assert rate(layered=True, earlier=BARE, rate=3e-4, first_coat=True) == pytest.approx(1.5e-4)
    assert rate(layered=True, earlier=BARE, rate=1.5e-4) == 1.5e-4


def test_passes_and_updates_are_those_of_the_phase() -> None:
    proposed = plan(poor=[0.0] * 20)
    spec = proposed.spec
    assert spec is not None
    assert (proposed.trained, spec.train.iters, proposed.updates, proposed.passes) == (72, 720, 90, 10.0)
    train = TrainSpec.model_validate(spec.train.model_dump())
    assert (train.schedule, train.warmup, train.patience, train.updates) == ("cosine", 9, 0, 90)
    assert train.iters // train.steps_per_eval == 4
    assert train.lora.keys is None
    earlier = BARE.model_copy(update={"train": BARE.train.model_copy(update={"iters": 360}), "retry": BARE.retry})
    settings = Settings(2048, 48, layered=True, replayable=True, earlier=earlier, rate=1e-4)
    proposed = plan(settings, poor=[0.0] * 20)
    assert proposed.spec is not None
    assert proposed.spec.train.iters == 360
    assert (proposed.passes, proposed.updates) == (3.75, 90)  # a quarter is replayed


@given(st.lists(st.integers(2, 40), min_size=1, max_size=15), st.integers(LEAST, 400))
def test_quotas_and_chains_add_up(failed: list[int], examples: int) -> None:
    result, suite = evaluated(**{f"c{i}": [0.0] * n for i, n in enumerate(failed)})
    proposed = make_plan(result, suite, AGENT, ROOT, name="next", examples=examples)
    assert sum(need.examples for need in proposed.needs) == (examples if proposed.needs else 0)
    assert all(need.examples >= LEAST for need in proposed.needs)
    assert all(sum(chain.examples for chain in need.chains) == need.examples for need in proposed.needs)


def test_a_plain_mlp_is_adapted_alone() -> None:
    keys = ("mlp.up_proj", "mlp.down_proj")
    proposed = plan(Settings(2048, 48, layered=False, replayable=False, mlp=keys), poor=[0.0] * 20)
    assert proposed.spec is not None
    assert (proposed.spec.train.lora.keys, proposed.spec.train.lora.rank) == (list(keys), 16)
