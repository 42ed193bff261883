"""Plans the next phase from an evaluation: weak categories, their needs, the training. Pure: records in, plan out.

**Weak** is a category whose 95% interval (by family, as `topcoat eval` shows it) ends below the goal, and which lost
points in more than one family. So a category is weak only on evidence, and one case is never enough evidence. A
category with few cases must be far below the goal.

**The quota**: every weak category gets `LEAST` examples. The rest is shared in proportion to the points that each lost.
Within a category, the examples go to the tools and chains whose cases failed. If the examples don't suffice for all
weak categories, the weakest get them.

**The target** of each category is a third of what it lacks, but no more than the goal, because a coat is thin.

**No other category may fall** by more than one case, which can be chance. If one case is more than `MOST_TOLERATED` of
the category, it may not fall at all.

**The schedule**: updates of `ROWS` rows, at a rate that rises over a tenth of them and falls to zero over the rest. At
a constant rate, with four rows an update, the result depends on the last few rows, and early stopping chooses among
such results: the embedded model learned less and forgot more (docs/log.md).

**The adapted modules** are the MLP's alone, at rank `RANK`, if a layer has a plain MLP. Adapters in attention disturbed
the copying of long names, which are frequent in tool calls (docs/log.md). In other layers, mlx-lm's default is adapted.

**The learning rate** of a first coat is `RATE` on a model `WIDTH` wide, and falls with the width (Yang et al. 2022,
Tensor Programs V: Adam's rate is proportional to 1 / width). A base with a coat gets half of it. After a promoted
phase, a plan takes over its settings and its rate, because they worked.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from topcoat.calls.parsing import parse
from topcoat.quantity import counted
from topcoat.scoring.pairing import largest_pairing
from topcoat.spec.agent import Agent
from topcoat.spec.expect import Expect
from topcoat.spec.phase import DataSpec, GateSpec, LoraSpec, PhaseSpec, TrainSpec
from topcoat.spec.suite import Case, Suite
from topcoat.store.records import CategoryScore, EvalResult, Interval, Record, Score
from topcoat.suites.evidence.words import percent

__all__ = ["EXAMPLES", "GOAL", "Chain", "Confusion", "Need", "Plan", "Settings", "make_plan", "weak_categories"]

GOAL = 0.9
EXAMPLES = 80
LEAST = 10
"""The fewest examples with which a category gets a place in a phase."""
STEP = 1 / 3
RATE, WIDTH = 1e-4, 2048
HIGHEST_RATE = 1e-3
LAYERED = 0.5
TEXT_SCORERS = ("exact", "regex", "json_schema")
REPLAY = 0.5
HELD_OUT = 0.1
"""The default share of the validation set (`[data] valid`)."""
MOST_TOLERATED = 0.05
PASSES = 10
"""How often each new example is used."""
RANK = 16
ROWS = 8
"""Rows an update, in micro-batches of one row to save memory."""


class Confusion(Record):
    """Cases that expected one tool, or a chain of tools, and got another."""

    wanted: str
    called: str
    cases: list[str]


class Chain(Record):
    """The tools that some of a category's cases expect. `failed` of these `cases` failed; `examples` are needed."""

    tools: str
    cases: int
    failed: int
    examples: int


class Need(Record):
    """A weak category's need: `examples` in all, to reach `target`. Chains with the most failures come first."""

    category: str
    n: int
    failed: int
    mean: float
    interval: Interval | None
    target: float
    examples: int
    chains: list[Chain]
    confusions: list[Confusion]


class Plan(Record):
    """The next phase. `spec` is None if no category is weak.

    `passes` is how often each of the `trained` examples is used; the others are for validation. `updates` is the number
    of the optimizer's steps. `layered`: the base has a coat already, so the rate is lower. `too_few` are the categories
    whose intervals end below the goal, but that lost points in one family only: that isn't enough evidence.
    """

    version: Literal[1] = 1
    name: str
    model: str
    goal: float
    layered: bool
    needs: list[Need]
    spec: PhaseSpec | None = None
    trained: int = 0
    passes: float = 0.0
    updates: int = 0
    too_few: list[CategoryScore] = Field(default_factory=list)

    @property
    def nothing_weak(self) -> str:
        """Why no phase is planned, where no category is weak."""
        reach = f"no category of {self.model} is shown to be weak: "
        if not self.too_few:
            return f"{reach}every 95% interval reaches {percent(self.goal)}"
        few = [
            f"{c.category} is at {percent(c.mean)} of {counted(c.n, 'case')}, but what failed is one family, and one "
            "is never enough"
            for c in self.too_few
        ]
        return reach + "; ".join(few)

    @property
    def ways_on(self) -> str:
        """What to ask for if no category is weak."""
        higher = "topcoat plan --goal 0.95, or " if self.goal < 0.95 else ""
        return f"{higher}topcoat plan --target CATEGORY"


@dataclass(frozen=True, slots=True)
class Settings:
    """What a plan needs to know about the base.

    `hidden_size` is its width, `num_layers` its depth. `layered` says whether it has a coat already. `earlier` is the
    phase that made it, `rate` the promoted learning rate, and `first_coat` says whether that phase had a bare base.
    `replayable`: there is earlier data. `mlp` names the modules of a layer's dense MLP; empty if it has another kind.
    """

    hidden_size: int
    num_layers: int
    layered: bool
    replayable: bool
    mlp: tuple[str, ...] = ()
    earlier: PhaseSpec | None = None
    rate: float | None = None
    first_coat: bool = False

    @property
    def learning_rate(self) -> float:
        """The learning rate. A computed one has one significant digit."""
        if self.rate is not None:
            return self.rate * (LAYERED if self.first_coat else 1.0)
        rate = min(HIGHEST_RATE, RATE * WIDTH / self.hidden_size) * (LAYERED if self.layered else 1.0)
        return float(f"{rate:.0e}")


def weak_categories(result: EvalResult, goal: float = GOAL) -> list[CategoryScore]:
    """The categories whose intervals end below the goal, the weakest first (see the module)."""
    below, families = _below(result, goal), _failing_families(result)
    return [c for c in below if families[c.category] > 1]


def _below(result: EvalResult, goal: float) -> list[CategoryScore]:
    """The categories whose intervals end below the goal, the weakest first."""
    return sorted((c for c in result.categories if c.interval and c.interval[1] < goal), key=lambda c: c.mean)


def _failing_families(result: EvalResult) -> Counter[str]:
    """The number of families of each category that lost points."""
    failing = {(s.category, s.family or s.case_id) for s in result.scores if s.value < 1.0}
    return Counter(category for category, _ in failing)


def make_plan(
    result: EvalResult,
    suite: Suite,
    agent: Agent,
    settings: Settings,
    *,
    name: str,
    goal: float = GOAL,
    examples: int = EXAMPLES,
    targets: Mapping[str, float | None] | None = None,
) -> Plan:
    """The phase `name`, for the weak categories of `result`, or for the categories and scores in `targets`.

    `result` is an evaluation on `suite` that includes every category of `targets`.
    """
    chosen = [c for c in result.categories if c.category in targets] if targets else weak_categories(result, goal)
    chosen = chosen[: max(1, examples // LEAST)]
    wanted = targets or {}
    quota = _shared(examples, [1 - c.mean for c in chosen], LEAST)
    needs = [
        _need(c, wanted.get(c.category), count, goal, result.scores, suite, agent)
        for c, count in zip(chosen, quota, strict=True)
    ]
    plan = Plan(name=name, model=result.model, goal=goal, layered=settings.layered, needs=needs)
    if not needs:
        return plan.model_copy(update={"too_few": _below(result, goal)})
    replay = REPLAY if settings.earlier is None else settings.earlier.data.replay
    guarded = [c for c in result.categories if c not in chosen]
    trained = examples - round(examples * HELD_OUT)
    share = replay if settings.replayable else 0.0
    train = settings.earlier.train if settings.earlier else _first_training(trained, share, settings)
    train = train.model_copy(update={"learning_rate": settings.learning_rate})
    spec = PhaseSpec(
        data=DataSpec(train=[f"data/{name}.jsonl"], replay=replay, quota={n.category: n.examples for n in needs}),
        train=train,
        gate=GateSpec(
            target={n.category: n.target for n in needs},
            no_regression=[c.category for c in guarded],
            tolerance=_one_case(guarded),
        ),
    )
    if settings.earlier:
        spec = spec.model_copy(update={"fuse": settings.earlier.fuse, "retry": settings.earlier.retry})
    return plan.model_copy(
        update={
            "spec": spec,
            "trained": trained,
            "passes": train.iters * train.batch_size * (1 - share) / trained,
            "updates": train.updates,
        }
    )


def _first_training(trained: int, replay: float, settings: Settings) -> TrainSpec:
    """The training of a first coat, as the module says. Its iterations use `trained` examples `PASSES` times.

    It adapts at most half of the model's layers. The others are the trunk, which is computed once.
    """
    plain = TrainSpec()
    updates = math.ceil(PASSES * trained / (1 - replay) / ROWS)
    iters = updates * ROWS
    return plain.model_copy(
        update={
            "iters": iters,
            "grad_accumulation_steps": ROWS,
            "num_layers": min(plain.num_layers, max(1, settings.num_layers // 2)),
            "warmup": updates // 10,
            "schedule": "cosine",
            "steps_per_eval": max(1, updates // 4) * ROWS,
            "patience": 0,
            "lora": LoraSpec(rank=RANK, keys=list(settings.mlp)) if settings.mlp else plain.lora,
        }
    )


def _one_case(guarded: Sequence[CategoryScore]) -> float:
    """One case of the smallest category, rounded up to whole percent. 0 if that is more than `MOST_TOLERATED`."""
    one = math.ceil(100 / min(c.n for c in guarded)) / 100 if guarded else 0.0
    return one if one <= MOST_TOLERATED else 0.0


def _need(
    category: CategoryScore,
    target: float | None,
    examples: int,
    goal: float,
    scores: Sequence[Score],
    suite: Suite,
    agent: Agent,
) -> Need:
    cases = {case.id: case for case in suite.cases}
    own = [(cases[score.case_id], score) for score in scores if score.category == category.category]
    failures = [(case, score) for case, score in own if score.value < 1.0]
    asked = Counter(_wanted(case) for case, _ in own)
    failed = Counter(_wanted(case) for case, _ in failures) or asked
    ranked = [tools for tools, _ in failed.most_common()]
    confused: dict[tuple[str, str], list[str]] = defaultdict(list)
    for case, score in failures:
        confused[_wanted(case), _called(case, score, agent)].append(case.id)
    return Need(
        category=category.category,
        n=category.n,
        failed=len(failures),
        mean=category.mean,
        interval=category.interval,
        target=_next_step(category.mean, goal) if target is None else target,
        examples=examples,
        chains=[
            Chain(tools=tools, cases=asked[tools], failed=failed[tools] if failures else 0, examples=count)
            for tools, count in zip(ranked, _shared(examples, [failed[tools] for tools in ranked], 1), strict=True)
        ],
        confusions=[
            Confusion(wanted=tools, called=called, cases=ids)
            for (tools, called), ids in sorted(confused.items(), key=lambda item: -len(item[1]))
        ],
    )


def _next_step(mean: float, goal: float) -> float:
    """`STEP` of the way from `mean` to 1, in whole percent, and at most the goal unless `mean` is beyond it."""
    step = math.floor(100 * (mean + STEP * (1 - mean)) + 1e-9) / 100
    return max(min(step, goal), math.floor(100 * mean + 1e-9) / 100)


def _shared(total: int, weights: Sequence[float], least: int) -> list[int]:
    """`total` in whole parts: `least` for each as far as possible, the rest by `weights` (largest remainders)."""
    if not weights:
        return []
    floor = min(least, total // len(weights))
    rest = total - floor * len(weights)
    whole = math.fsum(weights)
    exact = [rest * (weight / whole if whole > 0 else 1 / len(weights)) for weight in weights]
    parts = [math.floor(share) for share in exact]
    for index in sorted(range(len(parts)), key=lambda i: parts[i] - exact[i])[: rest - sum(parts)]:
        parts[index] += 1
    return [floor + part for part in parts]


def _wanted(case: Case) -> str:
    """A case's expectation, in a few words."""
    if case.scorer in TEXT_SCORERS:
        return "text"
    wanted = [" or ".join(call.names) for call in case.expected_calls]
    if case.expect.order == "any" and len(wanted) > 1:
        return f"{' and '.join(sorted(wanted))}, in any order"
    return " → ".join(wanted) or "no call"


def _called(case: Case, score: Score, agent: Agent) -> str:
    """What the model called instead. If it called the right tools, the reason of the score; also of an episode."""
    if case.is_episode:
        return score.reason
    answer = parse(score.answer, agent.bringing(case.tools))
    made = [call.tool for call in answer.calls]
    if _are_the_tools(case.expect, made) or case.scorer in TEXT_SCORERS:
        return score.reason
    if answer.problems and not made:
        return answer.problems[0]
    return " → ".join(made) or "no call"


def _are_the_tools(expect: Expect, made: Sequence[str]) -> bool:
    """Whether exactly the expected tools were called, whatever their arguments."""
    wanted = [call.names for call in expect.calls]
    if len(wanted) != len(made):
        return False
    if expect.order == "given":
        return all(tool in names for tool, names in zip(made, wanted, strict=True))
    paired = largest_pairing(len(wanted), range(len(made)), lambda want, index: made[index] in wanted[want])
    return len(paired) == len(wanted)
