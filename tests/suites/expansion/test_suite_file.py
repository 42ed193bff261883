"""`suite expand` in the embedded project around the fake engine: what it writes, and what it leaves alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.fake_project import opened, write_phase
from topcoat.demo import TEMPLATE
from topcoat.errors import InvalidInput, Refused
from topcoat.examples.checks.overlap import check_suite
from topcoat.examples.training_files import training_files
from topcoat.phases.preparation import prepare
from topcoat.project.session import lock_project
from topcoat.spec.agent import Agent
from topcoat.spec.example import load_examples
from topcoat.spec.suite import Case, load_suite
from topcoat.suites.expansion.suite_file import ExpandedSuite, expand_suite

TEMPLATES = Path("suites", "templates.toml")
SUITE = Path("suites", "routing.jsonl")


def expanded(project: Path, count: int, to: Path | None = None, **options: object) -> ExpandedSuite:
    with opened(project) as session:
        return expand_suite(session, project / TEMPLATES, count, to=to, **options)  # type: ignore[arg-type]


def cases(project: Path, path: Path = SUITE) -> tuple[Case, ...]:
    with opened(project) as session:
        return load_suite(project / path, Agent(session.catalog)).cases


def test_a_suite_of_its_own_that_check_and_eval_take(fake_project: Path) -> None:
    done = expanded(fake_project, 20, fake_project / "suites/big.jsonl")
    assert set(done.cases.values()) == {20}
    files = [fake_project / f"data/{name}.jsonl" for name in ("phase33b", "phase34a")]
    examples = sum(len(file.read_text().splitlines()) for file in files)
    assert (done.examples, done.reserve, done.left_out) == (examples, False, [])
    toml = fake_project / "topcoat.toml"
    toml.write_text(toml.read_text().replace(str(SUITE), "suites/big.jsonl"))
    with opened(fake_project) as session:
        assert len(session.suite.cases) == 140
        report = prepare(session, fake_project / "phases/phase34a.toml").report
        assert not any(finding.code.startswith("eval") for finding in report.findings)
        names = ("phase33b", "phase34a", "phase34a-valid")
        trained = [example for name in names for example in load_examples(fake_project / f"data/{name}.jsonl")]
        assert not check_suite(trained, session.suite, Agent(session.catalog))


def test_equal_inputs_make_equal_bytes_and_edited_files_stay(fake_project: Path) -> None:
    path = fake_project / "suites/big.jsonl"
    expanded(fake_project, 5, path)
    before = path.read_bytes()
    expanded(fake_project, 5, path)
    assert path.read_bytes() == before
    with pytest.raises(Refused, match="holds something else") as caught:
        expanded(fake_project, 6, path)
    assert caught.value.hint == "--overwrite"
    assert path.read_bytes() == before
    expanded(fake_project, 6, path, overwrite=True)
    assert path.read_bytes() != before


def test_the_suite_of_the_project_grows_with_its_first_cases_in_place(fake_project: Path) -> None:
    few = Path("suites/few.jsonl")
    expanded(fake_project, 1, fake_project / few)
    toml = fake_project / "topcoat.toml"
    toml.write_text(toml.read_text().replace(str(SUITE), str(few)))
    expanded(fake_project, 2, fake_project / few, overwrite=True)
    before = cases(fake_project, few)
    expanded(fake_project, 4, fake_project / few, overwrite=True)
    after = cases(fake_project, few)
    assert [case for case in after if case.id in {c.id for c in before}] == list(before)


def test_reserve_is_replaced_and_no_other_line_changes(fake_project: Path) -> None:
    suite = fake_project / SUITE
    whole = (TEMPLATE / SUITE).read_text()  # as the templates made it
    suite.write_text(whole)
    expanded(fake_project, 9)
    assert suite.read_text() == whole
    with pytest.raises(Refused, match="other reserve cases of these templates"):
        expanded(fake_project, 3)
    assert suite.read_text() == whole
    mine = '{"id": "mine",  "category": "git", "prompt": "x?", "expect": {"calls": []}, "family": "log-1"}\n'
    suite.write_text(mine + whole)
    done = expanded(fake_project, 3, overwrite=True)
    assert done.reserve
    lines = suite.read_text().splitlines(keepends=True)
    own = [line for line in whole.splitlines(keepends=True) if '"reserve"' not in line]
    assert lines[: 1 + len(own)] == [mine, *own]
    assert len(lines) == 1 + len(own) + 21
    assert all(case.reserve for case in cases(fake_project)[1 + len(own) :])


def test_reserve_of_a_category_that_is_never_asked_about(fake_project: Path) -> None:
    path = fake_project / TEMPLATES
    path.write_text(path.read_text().replace('category = "git"', 'category = "gti"', 1))
    with pytest.raises(InvalidInput) as caught:
        expanded(fake_project, 1, overwrite=True)
    (mistake,) = caught.value.mistakes
    assert 'category: "gti" has no case in' in mistake.message
    assert expanded(fake_project, 1, fake_project / "suites/x.jsonl").cases["gti"] == 1


def test_an_id_that_the_suite_has(fake_project: Path) -> None:
    suite = fake_project / SUITE
    own = [line for line in suite.read_text().splitlines(keepends=True) if '"reserve"' not in line]
    suite.write_text("".join(own).replace('"id": "git-01"', '"id": "read-1-01"'))
    with pytest.raises(InvalidInput) as caught:
        expanded(fake_project, 1, overwrite=True)
    assert [m.message for m in caught.value.mistakes] == ['name: the suite has a case "read-1-01" already']


def test_all_training_data_is_looked_at(fake_project: Path) -> None:
    write_phase(fake_project, "later", data__train=["data/new.jsonl", "data/unwritten.jsonl"])
    (fake_project / "data/new.jsonl").write_bytes((fake_project / "data/phase34a.jsonl").read_bytes())
    with opened(fake_project) as session:
        found = [path.name for path in training_files(session)]
    assert found == ["phase33b.jsonl", "new.jsonl", "phase34a.jsonl"]
    (fake_project / "phases/broken.toml").write_text("[data]\n")
    with opened(fake_project) as session, pytest.raises(InvalidInput, match="broken"):
        training_files(session)


def test_the_templates_in_the_documentation_make_cases(fake_project: Path) -> None:
    page = (Path(__file__).parents[3] / "docs" / "suites.md").read_text()
    path = fake_project / "documented.toml"
    path.write_text(page.partition("```toml\n")[2].partition("```")[0])
    with lock_project(fake_project, "test") as project:
        done = expand_suite(project, path, 3, to=fake_project / "documented.jsonl")
        made = load_suite(fake_project / "documented.jsonl", Agent(project.catalog)).cases
    assert done.cases == {"git": 3}
    assert all(case.expect.calls[0].args["count"] in (3, 5, 10) for case in made)
