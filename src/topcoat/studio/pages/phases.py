"""The phases: the list of them, and each with its attempts, its verdict and what the report says."""

from __future__ import annotations

from pathlib import Path

from topcoat.errors import InvalidInput, Mistake
from topcoat.phases.canaries import canary_words
from topcoat.report.attempt import attempts_table
from topcoat.report.page import PhaseReport, phase_body
from topcoat.spec.phase import diff, load_phase
from topcoat.spec.reading.loader import read_text
from topcoat.store.paths import ProjectPaths
from topcoat.studio.asked import Asked, NotThere, Page, Paging, link
from topcoat.studio.history import Run
from topcoat.studio.site import Site

__all__ = ["phase_file", "phase_page", "phases"]

_SIZE = 50
_STATES = ("promoted", "discarded", "awaiting", "unfinished", "new")


def phases(site: Site, asked: Asked) -> Page:
    """The phases that were run, the latest first, and those that have only a file; by state if one is asked for."""
    state = asked.query.get("state", "")
    with site.project() as (project, history):
        runs = [*history.latest_runs.items()][::-1]
        files = {path.stem for path in project.paths.phases.glob("*.toml")}
    every: list[tuple[str, Run | None]] = [
        *((name, None) for name in sorted(files - {name for name, _ in runs})),
        *runs,
    ]
    found = [(name, run) for name, run in every if state in ("", run.state if run else "new")]
    paging = Paging(asked.number("page"), _SIZE, len(found))
    values = {
        "title": "Phases",
        "place": "phases",
        "phases": found[paging.first : paging.last],
        "paging": paging,
        "state": state,
        "states": _STATES,
        "here": link("phases"),
    }
    return Page("phases.html", values)


def phase_page(site: Site, asked: Asked) -> Page:
    """A phase's latest run; a phase that was never run has its file alone."""
    name = asked.names["phase"]
    with site.project() as (project, history):
        run = history.latest_runs.get(name)
        file = phase_file(project.paths, name)
        if run is None and file is None:
            raise NotThere(f'no phase is called "{name}"', hint="the list of phases has all of them")
        stored = [project.lineage.result(attempt.id) for attempt in run.attempts] if run else []
        results = [result for result in stored if result is not None]
        changes, mistakes = _file_changes(file, run)
        body = []
        if run and run.state != "unfinished" and results:
            about = canary_words(project.lineage, run.row)
            body = [*phase_body(PhaseReport(name, run.state, results, project.suite.cases, canary=about))]
        elif results:
            body = [attempts_table(results)]
    values = {
        "title": name,
        "place": "phases",
        "phase": name,
        "run": run,
        "body": body,
        "model": results[-1].model if results else None,
        "written": read_text(file) if file else "",
        "changes": changes,
        "mistakes": mistakes,
    }
    return Page("phase.html", values)


def phase_file(paths: ProjectPaths, name: str) -> Path | None:
    """The file of a phase, None if there is none. A name that isn't one of the files' is no path either."""
    return next((path for path in paths.phases.glob("*.toml") if path.stem == name), None)


def _file_changes(file: Path | None, run: Run | None) -> tuple[list[str], tuple[Mistake, ...]]:
    """What changed in a phase's file since it was run, and what is wrong in it."""
    if file is None:
        return [], ()
    try:
        spec = load_phase(file)
    except InvalidInput as error:
        return [], error.mistakes
    return (diff(run.row.spec, spec) if run else []), ()
