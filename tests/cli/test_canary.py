"""A phase with a canary on the command line: what the commands say, and their exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.command import fake
from tests.support.fake_project import opened, run, write_phase
from tests.support.studio import visitor
from topcoat.phases.canaries import end_canary


@pytest.mark.slow
def test_every_command_says_that_a_model_awaits_its_canary(fake_project: Path) -> None:
    write_phase(fake_project, gate__canary__sessions=50)
    checked = fake(fake_project, "check", "phase34a", "--no-measure")
    assert "a model that passes the gate of phase34a awaits its canary" in checked.stderr
    done = fake(fake_project, "run", "phase34a")
    assert done.returncode == 0
    assert "AWAITING its canary: phase34a-1 after 1 attempt" in done.stdout
    assert "production is untouched: phase33b" in done.stdout
    again = json.loads(fake(fake_project, "run", "phase34a", "--json").stdout)
    assert (again["promoted"], again["awaiting"], again["already"]) == (False, True, True)
    status = fake(fake_project, "status").stdout
    assert "phase34a: awaiting its canary: topcoat serve gives phase34a-1 10% of the new sessions, at most 50" in status
    assert "phase34a awaits its canary" in fake(fake_project, "log").stdout
    discarded = fake(fake_project, "discard", "phase34a-1")
    assert discarded.stdout == "phase34a-1 is discarded; production is phase33b, as before\n"
    assert fake(fake_project, "discard", "phase34a-1").returncode == 2
    assert fake(fake_project, "run", "phase34a").returncode == 3


@pytest.mark.slow
def test_a_run_after_the_canary_says_what_that_decided(fake_project: Path) -> None:
    write_phase(fake_project, gate__canary__sessions=50)
    run(fake_project)
    with opened(fake_project) as session:
        ((phase, _),) = session.lineage.awaiting()
        end_canary(session, phase.id, "discard", "its canary was worse: 9 of 50")
    done = fake(fake_project, "run", "phase34a")
    assert done.returncode == 3
    assert "DISCARDED phase34a after 1 attempt" in done.stdout
    assert "its canary was worse: 9 of 50" in done.stdout


@pytest.mark.slow
def test_the_studio_says_it_too(fake_project: Path) -> None:
    write_phase(fake_project, gate__canary__sessions=50)
    run(fake_project)
    with visitor(fake_project) as come:
        assert "Try phase34a-1 in use" in come.page("/")
        assert ">awaiting</span>" in come.page("/lineage")
        assert ">awaiting</span>" in come.page("/models/phase34a-1")
        assert ">awaiting</span>" in come.page("/phases?state=awaiting")
        page = come.page("/phases/phase34a")
        assert "AWAITING" in page
        assert "topcoat serve gives phase34a-1" in page
        with opened(fake_project) as session:
            ((phase, _),) = session.lineage.awaiting()
            end_canary(session, phase.id, "discard", "its canary was worse: 9 of 50")
        assert "its canary was worse: 9 of 50" in come.page("/models/phase34a-1/promote")
        assert ">discarded</span>" in come.page("/models/phase34a-1")
