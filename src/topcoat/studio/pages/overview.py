"""The first page: what is in production, and what may come next."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from topcoat.phases.canaries import awaited
from topcoat.phases.plan import GOAL
from topcoat.project.project import Project
from topcoat.quantity import counted
from topcoat.studio.asked import Asked, Page, link
from topcoat.studio.history import History
from topcoat.studio.site import Site
from topcoat.suites.evidence.words import percent
from topcoat.usage.extraction.review import extracted, pending

__all__ = ["overview"]

_RECENT = 8


@dataclass(frozen=True, slots=True)
class _Step:
    """Something that may be done next, and the page for it."""

    words: str
    detail: str
    to: str


def overview(site: Site, asked: Asked) -> Page:
    """Production with its means, the next steps, and the latest phases."""
    with site.project() as (project, history):
        model = history.models.get(history.production or "")
        runs = [*history.latest_runs.values()][::-1]
        values = {
            "title": "Overview",
            "place": "overview",
            "name": project.settings.name,
            "model": model,
            "since": history.changes[-1].created if history.changes else "",
            "reason": history.changes[-1].reason if history.changes else "",
            "means": history.means.get(model.name) if model else None,
            "root": history.means.get(model.root) if model else None,
            "steps": [*_steps(project, history)],
            "runs": runs[:_RECENT],
            "more_runs": len(runs) > _RECENT,
            "counts": {
                "models": len(history.models),
                "phases": len(runs),
                "promoted": sum(run.state == "promoted" for run in runs),
                "cases": len(project.suite.cases),
            },
        }
    return Page("overview.html", values)


def _steps(project: Project, history: History) -> Iterator[_Step]:
    """What is unfinished first, then what waits for a person, then what is weak."""
    for run in history.latest_runs.values():
        if run.state == "unfinished":
            name = run.row.name
            yield _Step(f"Go on with {name}", "it was begun and has no verdict yet", link("phases", name))
    for one in awaited(project.lineage):
        yield _Step(f"Try {one.candidate.model} in use", str(one), link("phases", one.phase.name))
    for name in extracted(project.paths):
        if waiting := pending(project.paths, name):
            words = f"Review {counted(len(waiting), 'example')} for {name}"
            yield _Step(words, "extracted from usage, nobody decided on them", link("review", name))
    for name in _new_phases(project, history):
        yield _Step(f"Run {name}", "its file is written, it was never run", link("phases", name))
    means = history.means.get(history.production or "")
    weak = [c for c in means.categories if c.mean < GOAL] if means else []
    if weak:
        lowest = sorted(weak, key=lambda category: category.mean)[:3]
        words = ", ".join(f"{c.category} at {percent(c.mean)}" for c in lowest)
        of = counted(len(weak), "category") if len(weak) == 1 else f"{len(weak)} categories"
        yield _Step(f"Plan a phase: {of} below {percent(GOAL)}", words, "/plan")
    if not history.models:
        yield _Step("Evaluate the base", "no model is recorded yet: topcoat eval", "/plan")


def _new_phases(project: Project, history: History) -> list[str]:
    """The phases whose files were never run, by name."""
    names = sorted(path.stem for path in project.paths.phases.glob("*.toml"))
    return [name for name in names if name not in history.latest_runs]
