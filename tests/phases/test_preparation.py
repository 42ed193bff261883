"""What `topcoat check` makes of a phase's files, the embedded project's among them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from tests.support.fake_project import write_phase
from topcoat.demo import TEMPLATE
from topcoat.engine.fake import FakeEngine, FakeTokenizer
from topcoat.engine.mlx.engine import MlxEngine
from topcoat.engine.protocol import ModelInfo
from topcoat.errors import InvalidInput, Where
from topcoat.phases.judging.evaluation import evaluate_model
from topcoat.phases.preparation import prepare
from topcoat.phases.run import run_phase
from topcoat.progress import Silent
from topcoat.project.session import open_session
from topcoat.store.lineage import WritableLineage
from topcoat.store.records import CheckReport


def checked(project: Path, *allow: str) -> CheckReport:
    with open_session(project, FakeEngine(), Silent(), "test") as session:
        return prepare(session, project / "phases" / "phase34a.toml", allow=frozenset(allow)).report


@pytest.mark.slow
def test_the_embedded_phase_has_no_errors(engine: MlxEngine, tmp_path: Path) -> None:
    shutil.copytree(TEMPLATE, tmp_path / "demo", ignore=shutil.ignore_patterns("__pycache__"))
    with open_session(tmp_path / "demo", engine, Silent(), "test") as session:
        assert prepare(session, tmp_path / "demo" / "phases" / "phase34a.toml").report.errors == []


def test_broken_lines_are_findings_and_can_be_left_out(fake_project: Path) -> None:
    data = fake_project / "data" / "phase34a.jsonl"
    lines = data.read_text().splitlines()
    swapped = json.loads(lines[6])
    swapped["messages"].reverse()
    data.write_text("\n".join([*lines[:4], lines[4][:-20], lines[5], json.dumps(swapped), *lines[7:]]) + "\n")
    report = checked(fake_project)
    assert {(f.code, f.where) for f in report.errors} == {
        ("not-chat", "data/phase34a.jsonl:5"),
        ("roles", "data/phase34a.jsonl:7"),
    }
    allowed = checked(fake_project, "not-chat", "roles")
    assert allowed.errors == []
    assert {f.code for f in allowed.findings if f.allowed} == {"not-chat", "roles"}
    assert allowed.budget.examples + allowed.budget.valid <= len(lines) + 20


def test_a_file_with_nothing_in_it_can_t_be_allowed(fake_project: Path) -> None:
    (fake_project / "data" / "phase34a.jsonl").write_text("{}\n")
    with pytest.raises(InvalidInput, match="1 mistake"):
        checked(fake_project, "not-chat")


def test_split_delimiters_imbalance_and_repeats_are_warnings(fake_project: Path) -> None:
    data = fake_project / "data" / "phase34a.jsonl"
    row = json.loads(data.read_text().splitlines()[0])
    rows = []
    for i in range(30):
        turns = [{**turn} for turn in row["messages"][:2]]
        turns[1]["content"] = f"Say what part_{i} is for"
        rows.append({"messages": [*turns, {"role": "assistant", "content": f"For arm_{i}."}], "category": "domain"})
    rows.append({**row, "category": "lsp"})
    write_phase(fake_project)
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    report = checked(fake_project)
    assert report.errors == []
    assert {"class-imbalance", "same-template", "split-delimiter"} <= {f.code for f in report.findings}
    assert report.budget.effective is not None
    assert 1.1 < report.budget.effective < 1.2


def test_a_gate_on_the_format_needs_temperatures_to_measure_at(fake_project: Path) -> None:
    write_phase(fake_project, gate__min_format=0.9)
    with pytest.raises(InvalidInput, match=r"min_format needs temperatures") as caught:
        checked(fake_project)
    assert caught.value.hint == "temperatures = [0.0, 0.7] under [eval]"
    with (fake_project / "topcoat.toml").open("a") as file:
        file.write("\n[eval]\ntemperatures = [0.7]\n")
    checked(fake_project)


def test_a_gate_on_guard_cases_needs_enough_of_them(fake_project: Path) -> None:
    write_phase(fake_project, gate__evidence="tested", guard__cases=10, guard__most=40)
    with pytest.raises(InvalidInput, match="40 guard cases of a category can't show that it kept") as caught:
        checked(fake_project)
    assert caught.value.hint == "`cases = 43` and `most = 43` under [guard], or a larger margin"
    write_phase(fake_project, gate__evidence="tested", guard__cases=43, guard__most=43)
    checked(fake_project)
    write_phase(fake_project, gate__evidence="tested", guard__cases=0)
    checked(fake_project)
    write_phase(
        fake_project, gate__evidence="tested", gate__alpha=0.2, gate__margin=0.005, guard__cases=50, guard__most=100
    )
    with pytest.raises(InvalidInput, match="100 guard cases") as caught:
        checked(fake_project)
    assert caught.value.hint == "`cases = 71` and `most = 71` under [guard], or a larger margin"
    write_phase(
        fake_project, gate__evidence="tested", gate__alpha=0.2, gate__margin=0.005, guard__cases=71, guard__most=71
    )
    checked(fake_project)
    write_phase(fake_project, gate__evidence="tested", gate__margin=0.1, guard__cases=10, guard__most=40)
    checked(fake_project)


def test_templates_beside_the_suite_are_read_before_anything_is_trained(fake_project: Path) -> None:
    """They are a part of what a phase was begun with, where it is judged on guard cases."""
    path = write_phase(fake_project, gate__evidence="tested")

    def digest() -> str:
        with open_session(fake_project, FakeEngine(), Silent(), "test") as session:
            return prepare(session, path).digest

    templates = fake_project / "suites" / "templates.toml"
    begun = digest()
    templates.write_text("\ufeff# a remark\n" + templates.read_text(), encoding="utf-8")
    assert digest() == begun
    templates.write_text(templates.read_text("utf-8-sig").replace("[choices]", '[choices]\nunused = ["a", "b"]', 1))
    assert digest() != begun
    templates.write_text("[names]\nfile = 3\n")
    with pytest.raises(InvalidInput, match=r"templates\.toml: 2 mistakes"):
        digest()
    write_phase(fake_project)  # by the mean
    digest()


def test_replay_keeps_its_share_of_the_loss_whatever_new_examples_weigh(fake_project: Path) -> None:
    data = fake_project / "data" / "phase34a.jsonl"
    lines = [json.loads(line) for line in data.read_text().splitlines()]
    data.write_text("".join(json.dumps({**line, "weight": 1.0 + i % 3}) + "\n" for i, line in enumerate(lines)))
    with open_session(fake_project, FakeEngine(), Silent(), "test") as session:
        prepared = prepare(session, fake_project / "phases" / "phase34a.toml")
    count = prepared.report.budget.examples
    new, pool = prepared.rows[:count], prepared.rows[count:]
    assert sum(row.weight for row in new) == pytest.approx(count)
    assert len({round(row.weight, 9) for row in new}) == 3
    assert {row.weight for row in pool} == {1.0}


def test_more_layers_than_the_model_has_are_found_before_the_base_is_evaluated(fake_project: Path) -> None:
    path = write_phase(fake_project, train__num_layers=9)
    with open_session(fake_project, FakeEngine(), Silent(), "test") as session:
        for ask in (prepare, run_phase):
            with pytest.raises(InvalidInput, match="num_layers = 9, but the model has 8 layers") as refused:
                ask(session, path)
            assert refused.value.where is not None
            assert refused.value.where.path == path
        assert session.lineage.evaluations() == []


class Dated(FakeEngine):
    """A model whose chat template prints the day. Keeps the days that it was given."""

    def __init__(self) -> None:
        self.days: set[date | None] = set()

    def describe(self, model: Path) -> ModelInfo:
        return replace(super().describe(model), dated=True)

    def tokenizer(
        self, model: Path, day: date | None = None, options: Mapping[str, object] | None = None
    ) -> FakeTokenizer:
        self.days.add(day)
        return super().tokenizer(model)


def test_everything_of_a_project_is_rendered_on_one_day(fake_project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    phase, engine, digests = fake_project / "phases" / "phase34a.toml", Dated(), []
    for day in (1, 2):  # the lineage begins on the first, and the run goes on on the second
        now = datetime(2026, 2, day, tzinfo=UTC)
        defaults = {**(WritableLineage.__init__.__kwdefaults__ or {}), "clock": lambda now=now: now}
        monkeypatch.setattr(WritableLineage.__init__, "__kwdefaults__", defaults)
        with open_session(fake_project, engine, Silent(), "test") as session:
            evaluate_model(session, session.model("production"))
            digests.append(prepare(session, phase).digest)
    with open_session(fake_project, engine, Silent(), "test") as session:
        assert session.day == date(2026, 2, 1)
        assert run_phase(session, phase).results
    assert engine.days == {date(2026, 2, 1)}
    assert digests[0] == digests[1]
    with open_session(fake_project, FakeEngine(), Silent(), "test") as session:
        assert prepare(session, phase).digest != digests[0]


def test_a_simulator_that_cannot_be_imported_stops_the_check(fake_project: Path) -> None:
    with open_session(fake_project, FakeEngine(), Silent(), "test") as session:
        methods = "".join(f"    def {name}(self, **args): ...\n" for name in session.catalog.tools)
        suite = session.suite.path
    simulator = suite.parent / "sim.py"
    simulator.write_text(f"import nothing_like_this\nclass Shop:\n{methods}")
    case = {"id": "e", "category": "domain", "prompt": "?", "simulator": "sim.py:Shop", "expect": {"state": {"a": 1}}}
    suite.write_text(f"{suite.read_text().rstrip()}\n{json.dumps(case)}\n")
    with pytest.raises(InvalidInput, match="nothing_like_this") as caught:
        checked(fake_project)
    assert caught.value.where == Where(simulator, 1)


def test_the_digest_says_whether_something_is_cut(fake_project: Path) -> None:
    """`over_long` alone changes no digest: a phase whose dialogues all fit stays what it was."""
    data = fake_project / "data" / "phase34a.jsonl"
    lines = data.read_text().splitlines()
    longest = json.loads(max(lines, key=len))
    longest["messages"] += [{"role": role, "content": role} for role in ("user", "assistant")] * 9
    data.write_text("\n".join([*lines, json.dumps(longest)]) + "\n")
    budget = checked(fake_project).budget
    digests = {}
    with open_session(fake_project, FakeEngine(), Silent(), "test") as session:
        for length in (budget.longest, budget.longest - 1):
            for over_long in ("cut", "leave-out"):
                path = write_phase(fake_project, train__max_seq_length=length, train__over_long=over_long)
                prepared = prepare(session, path)
                cut = {finding.where for finding in prepared.report.findings if finding.code == "cut-dialogue"}
                digests[length, over_long] = prepared.digest
                assert cut <= {f"data/phase34a.jsonl:{len(lines) + 1}"}
                assert bool(cut) == (length < budget.longest and over_long == "cut")
    assert digests[budget.longest, "cut"] == digests[budget.longest, "leave-out"]
    assert digests[budget.longest - 1, "cut"] != digests[budget.longest - 1, "leave-out"]


def test_a_project_without_thoughts_trains_other_rows_and_has_another_digest(fake_project: Path) -> None:
    settings, data = fake_project / "topcoat.toml", fake_project / "data" / "phase34a.jsonl"
    phase = write_phase(fake_project, train__max_seq_length=10**6)
    examples = [json.loads(line) for line in data.read_text().splitlines()]
    for example in examples:
        example["messages"][-1]["content"] = "<think>hm</think>" + (example["messages"][-1]["content"] or "")
    data.write_text("".join(json.dumps(example) + "\n" for example in examples))
    found = {}
    for thinking in ("keep", "strip"):
        settings.write_text(
            settings.read_text()
            .replace("[project]", f'[project]\nthinking = "{thinking}"')
            .replace('thinking = "strip"\nthinking = "keep"', 'thinking = "strip"')
        )
        with open_session(fake_project, FakeEngine(), Silent(), "test") as session:
            found[thinking] = prepare(session, phase)
    new = {name: [row for row in made.rows if "phase34a" in row.source] for name, made in found.items()}
    assert any("<think>" in FakeTokenizer().decode(row.tokens.tolist()) for row in new["keep"])
    assert not any("<think>" in FakeTokenizer().decode(row.tokens.tolist()) for row in new["strip"])
    assert found["keep"].digest != found["strip"].digest
