"""Plans from the last evaluation of production, and writes the file of the next phase."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path

from topcoat.errors import InvalidInput, Where
from topcoat.examples.training_files import earlier_data
from topcoat.phases.judging.evaluation import evaluate_model
from topcoat.phases.plan import EXAMPLES, GOAL, LEAST, Plan, Settings, make_plan
from topcoat.project.session import ScoreReader
from topcoat.quantity import counted
from topcoat.spec.phase import phase_name
from topcoat.spec.phase_text import phase_text
from topcoat.store.files import is_stream, require_new, write_text
from topcoat.store.lineage import ModelRow
from topcoat.suites.evidence.words import percent

__all__ = ["plan_phase", "plan_text", "require_phase_file", "write_plan"]


def plan_phase(
    reader: ScoreReader,
    *,
    name: str = "next",
    goal: float = GOAL,
    examples: int = EXAMPLES,
    targets: Mapping[str, float | None] | None = None,
) -> Plan:
    """The next phase on production, from its scores on the current suite. Evaluates production if necessary.

    `targets` replaces the weak categories. It maps categories to the scores to reach; None takes the plan's target.
    Raises InvalidInput for a category without cases, a `goal` or score outside 0..1, or fewer than `LEAST` examples.
    """
    if not all(0 < share <= 1 for share in [goal, *(t for t in (targets or {}).values() if t is not None)]):
        raise InvalidInput("a goal is a score above 0 and up to 1", hint="topcoat plan --goal 0.9")
    if examples < LEAST * max(1, len(targets or {})):
        raise InvalidInput(f"a category needs {LEAST} examples at least", hint=f"topcoat plan --examples {EXAMPLES}")
    reader.suite.require(targets or (), Where(reader.suite.path))
    base = reader.model("production")
    result = evaluate_model(reader, base)
    settings = _settings(reader, base)
    return make_plan(
        result, reader.suite, reader.agent, settings, name=name, goal=goal, examples=examples, targets=targets
    )


def require_phase_file(path: Path) -> None:
    """Raise `InvalidInput` unless a planned phase can be written to `path`. Call it before making a plan."""
    if not is_stream(path) and path.suffix != ".toml":
        hint = f"topcoat plan --write {shlex.quote(str(path / 'next.toml' if path.is_dir() else f'{path}.toml'))}"
        raise InvalidInput("a phase's file ends in .toml", where=Where(path), hint=hint)
    try:
        phase_name(path)
    except InvalidInput as error:
        hint = f"topcoat plan --write {shlex.quote(str(path.with_name('next.toml')))}"
        raise InvalidInput(error.message, where=Where(path), hint=hint) from None
    require_new(path, f"topcoat plan --write {shlex.quote(str(path.with_stem(f'{path.stem}-2')))}")


def write_plan(plan: Plan, path: Path) -> None:
    """Write the planned phase to `path`. Raises Refused if the file exists, InvalidInput if the plan has no phase."""
    require_phase_file(path)
    write_text(path, plan_text(plan))


def plan_text(plan: Plan) -> str:
    """The phase file of a plan, with remarks on its figures. Raises InvalidInput if the plan has no phase."""
    spec = plan.spec
    if spec is None:
        raise InvalidInput(plan.nothing_weak, hint=plan.ways_on)
    held = sum(need.examples for need in plan.needs) - plan.trained
    remarks = {
        "data.valid": f"about {held} examples are held out, {plan.trained} are trained on",
        "data.replay": "share of every epoch that is drawn from earlier data",
        "train.iters": f"{plan.passes:.2f} passes over {counted(plan.trained, 'example')}, "
        f"in {counted(plan.updates, 'update')}",
        "train.learning_rate": "lower, because the base has a coat already" if plan.layered else "a first coat",
        "gate.tolerance": "one case of the smallest category" if spec.gate.tolerance else "not one case",
    }
    remarks |= {f"gate.target.{need.category}": f"is {percent(need.mean)} now, n={need.n}" for need in plan.needs}
    return phase_text(spec, remarks)


def _settings(reader: ScoreReader, base: ModelRow) -> Settings:
    lineage = reader.lineage
    coated = bool(reader.settings.history)
    run = lineage.origin(base)
    result = lineage.result(run[1].id) if run else None
    shape = reader.engine.describe(base.path)
    return Settings(
        hidden_size=shape.hidden_size,
        num_layers=shape.num_layers,
        layered=coated or base.parent is not None,
        replayable=bool(earlier_data(reader)),
        mlp=shape.mlp,
        earlier=run[0].spec if run else None,
        rate=(result.learning_rate or None) if result else None,
        first_coat=base.parent == base.root and not coated,
    )
