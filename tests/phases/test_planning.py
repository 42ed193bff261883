"""Plans of whole projects: the fake one, and what the embedded model needs."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.support.fake_project import opened, run, write_phase
from topcoat.demo import TEMPLATE
from topcoat.engine.mlx.engine import MlxEngine
from topcoat.errors import InvalidInput, Refused
from topcoat.phases.plan import Plan
from topcoat.phases.planning import plan_phase, require_phase_file, write_plan
from topcoat.phases.preparation import prepare
from topcoat.progress import Silent
from topcoat.project.session import open_session
from topcoat.spec.phase import load_phase


def planned(project: Path, **changes: object) -> Plan:
    with opened(project) as session:
        return plan_phase(session, **changes)  # type: ignore[arg-type]  # any of its arguments


@pytest.mark.slow
def test_the_embedded_project_needs_domain_and_multi_tool_and_nothing_else(engine: MlxEngine, tmp_path: Path) -> None:
    project = tmp_path / "demo"
    shutil.copytree(TEMPLATE, project, ignore=shutil.ignore_patterns("__pycache__"))
    examples = len((project / "data" / "phase34a.jsonl").read_text().splitlines())
    shutil.copy(project / "data" / "phase34a.jsonl", project / "data" / "plan.jsonl")
    with open_session(project, engine, Silent(), "test") as session:
        plan = plan_phase(session, name="plan", examples=examples)
        path = project / "phases" / "plan.toml"
        write_plan(plan, path)
        prepared = prepare(session, path)
    assert [need.category for need in plan.needs] == ["multi_tool", "domain"]
    assert prepared.spec == plan.spec == load_phase(path)
    assert sum(prepared.spec.data.quota.values()) == examples
    assert prepared.spec.gate.no_regression == ["text_tools", "validation", "lsp", "git", "cst"]
    assert prepared.report.errors == []
    assert prepared.report.budget.updates == plan.updates
    assert prepared.report.budget.passes == pytest.approx(plan.passes, rel=0.1)
    wanted = {chain.tools for need in plan.needs for chain in need.chains}
    assert {"goto_definition → typecheck", "validate_escape_context"} <= wanted


def test_a_plan_asks_the_model_once(fake_project: Path) -> None:
    first = planned(fake_project)
    assert first.needs
    assert planned(fake_project) == first


def test_the_settings_of_a_promoted_phase_are_taken_over(fake_project: Path) -> None:
    assert run(fake_project).promoted
    plan = planned(fake_project, name="phase35", targets={"domain": None})
    assert plan.layered
    assert plan.spec is not None
    assert (plan.spec.train.iters, plan.spec.train.batch_size, plan.spec.train.learning_rate) == (40, 4, 1e-3)
    assert plan.spec.data.train == ["data/phase35.jsonl"]
    assert plan.spec.data.replay == 0.5


def test_a_first_coat_on_a_bare_model_is_not_repeated_at_its_rate(fake_project: Path) -> None:
    project = fake_project / "topcoat.toml"
    project.write_text("".join(line for line in project.read_text().splitlines(True) if "history" not in line))
    bare = planned(fake_project, targets={"domain": None})
    assert not bare.layered
    write_phase(fake_project, data__replay=0.0)
    assert run(fake_project).promoted
    plan = planned(fake_project, targets={"domain": None})
    assert plan.spec is not None
    assert plan.spec.train.learning_rate == pytest.approx(5e-4)


def test_nothing_is_overwritten(fake_project: Path) -> None:
    path = fake_project / "phases" / "phase34a.toml"
    before = path.read_text()
    with pytest.raises(Refused, match="exists already"):
        write_plan(planned(fake_project), path)
    assert path.read_text() == before


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("next", "ends in .toml"),
        ("phases", "ends in .toml"),
        ("a b.toml", "phase's name"),
        ("topcoat.toml/x.toml", "is a f"),
    ],
)
def test_a_phase_file_is_refused_by_its_name(fake_project: Path, name: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        require_phase_file(fake_project / name)


def test_a_plan_of_nothing_is_not_written(fake_project: Path) -> None:
    plan = planned(fake_project).model_copy(update={"spec": None, "needs": []})
    with pytest.raises(InvalidInput, match="no category"):
        write_plan(plan, fake_project / "phases" / "next.toml")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"goal": 1.5}, "a goal is a score"),
        ({"goal": float("nan")}, "a goal is a score"),
        ({"targets": {"domain": -1.0}}, "a goal is a score"),
        ({"targets": {"domian": 0.8}}, "mistake"),
        ({"examples": 3}, "needs 10 examples"),
    ],
)
def test_wrong_questions_are_refused(fake_project: Path, changes: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        planned(fake_project, **changes)
