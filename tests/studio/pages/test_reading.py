"""The pages that only read, on a project with a history: what they say of it."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.support.fake_project import opened, run, write_phase
from tests.support.grown_project import begin_project
from tests.support.studio import visitor
from tests.support.usage.captured import capture
from topcoat.phases.history import project_status
from topcoat.project.project import open_project
from topcoat.studio.site import Site
from topcoat.suites.evidence.words import percent


def words(page: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", page))


def rows(page: str) -> list[str]:
    return [words(row).strip() for row in re.findall(r"<tr.*?</tr>", page, re.DOTALL)]


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project after a phase that was promoted and one that was discarded. Tests only read it."""
    folder = tmp_path_factory.mktemp("grown") / "project"
    begin_project(folder)
    write_phase(folder, "second", retry__max_attempts=1, **{"gate.target__domain": 1.0})
    run(folder, name="second")
    write_phase(folder, "third", retry__max_attempts=1, train__iters=8)
    return folder


@pytest.mark.slow
def test_the_pages_agree_with_status(grown: Path) -> None:
    with open_project(grown) as project:
        status = project_status(project)
    production = next(model for model in status.models if model.production)
    with visitor(grown) as come:
        overview = words(come.page("/"))
        lineage, scores = come.page("/lineage"), come.page("/scores")
        phases = rows(come.page("/phases"))
    assert f"In production: {production.name}" in overview
    assert "Run third" in overview
    for category in production.categories:
        assert re.search(rf"{category.category} {category.n} {percent(category.mean)}", overview)
    assert re.findall(r'<a href="/models/([^"]+)">', lineage) == [model.name for model in status.models][::-1]
    assert status.matrix is not None
    cells = [f"{row.phase or row.model} {' '.join(map(percent, row.scores))}" for row in status.matrix.rows]
    assert [re.sub(r" +", " ", row) for row in rows(scores)[1:]] == cells[::-1]
    assert [re.split(r" +", row)[:2] for row in phases[1:]] == [
        ["third", "new"],
        ["second", "discarded"],
        ["phase34a", "promoted"],
    ]


@pytest.mark.slow
def test_the_history_is_that_of_the_lineage(grown: Path) -> None:
    with Site.around(grown).project() as (project, history):
        status = project_status(project)
        lineage = project.lineage
        assert history.production == lineage.production()
        assert history.previous == lineage.previous_production()
        assert history.matrix(history.production or "") == status.matrix
        for model in lineage.models():
            origin, found = lineage.origin(model), history.origin(model)
            assert (found.row if found else None) == (origin[0] if origin else None)
            assert history.ancestry(model.name) == lineage.ancestry(model.name)


@pytest.mark.slow
def test_means_that_are_kept_in_memory_follow_the_file(grown: Path, tmp_path: Path) -> None:
    folder = tmp_path / "project"
    shutil.copytree(grown, folder)
    site = Site.around(folder)
    with site.project() as (_, history):
        assert set(history.means) == {"phase33b", "phase34a-1", "second-1"}
    run(folder, name="third")
    with site.project() as (_, history):
        assert set(history.means) == {"phase33b", "phase34a-1", "second-1", "third-1"}
    shutil.rmtree(folder / ".topcoat")
    with opened(folder):
        pass
    with site.project() as (_, history):
        assert set(history.means) == set()


@pytest.mark.slow
def test_a_discarded_phase_says_why_and_shows_its_answers(grown: Path) -> None:
    with visitor(grown) as come:
        page = words(come.page("/phases/second"))
        compared = come.page("/compare?before=phase34a-1&after=second-1")
    assert "DISCARDED" in page
    assert "domain" in page
    assert "Changed answers" in page
    assert "✗ ≥ 100.0%" in compared  # a base and its attempt are compared as the gate did


@pytest.mark.slow
def test_a_comparison_shows_the_cases_that_are_asked_for(grown: Path) -> None:
    with visitor(grown) as come:
        whole = come.page("/compare?before=phase33b&after=phase34a-1")
        better = come.page("/compare?before=phase33b&after=phase34a-1&kind=better&category=domain")
        assert come.get("/compare?before=none&after=phase34a-1").status_code == 404
    assert 'class="worse"' in whole or 'class="better"' in whole
    assert set(re.findall(r'<article class="(\w+)"', better)) == {"better"}
    assert set(re.findall(r'<h3>\S+ <span class="soft">(\w+)</span>', better)) == {"domain"}


def test_sessions_are_found_and_told_turn_by_turn(fake_project: Path) -> None:
    with visitor(fake_project) as come:
        assert "No usage was captured yet" in come.page("/sessions")
        capture(fake_project, 60)
        assert "1–50 of 60 sessions" in words(come.page("/sessions"))
        found = rows(come.page("/sessions?text=views/page7.py"))[1:]
        assert [row.startswith("session 7 ") for row in found] == [True]
        page = words(come.page("/session?id=session+7"))
        assert "views/page7.py" in page
        assert "merged" in page
        assert come.get("/session?id=none").status_code == 404


def test_findings_lead_to_their_lines(fake_project: Path) -> None:
    file = fake_project / "data" / "phase34a.jsonl"
    lines = file.read_text().splitlines()
    lines[2] = lines[2].replace("result = ", "result = no_such_tool() or ")
    file.write_text("\n".join([*lines, "no example"]) + "\n")
    with visitor(fake_project) as come:
        page = ""
        for _ in range(100):
            page = come.page("/data/file?name=data/phase34a.jsonl")
            if "data-reload" not in page:
                break
        assert "data/phase34a.jsonl:3" in page
        assert f"data/phase34a.jsonl:{len(lines) + 1}" in page
        assert "unknown-tool" in page
        assert "no_such_tool" in come.page("/data/example?name=data/phase34a.jsonl&line=3")
        for name in ("topcoat.toml", "../project/topcoat.toml", "/etc/passwd", ""):
            assert come.get(f"/data/file?name={name}").status_code == 404
