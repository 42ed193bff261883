"""Commands from the browser: plan a phase, check it, run it, promote a model, roll back; and following what runs.

A page asks first and says what will happen. What is sent then starts the same command that a terminal would.
"""

from __future__ import annotations

import asyncio
import json
import math
import re
from collections.abc import AsyncIterator
from typing import Any

from pydantic import ValidationError

from topcoat.errors import InvalidInput
from topcoat.phases.plan import EXAMPLES, GOAL, Plan
from topcoat.project.following import follow
from topcoat.report.chart import curves
from topcoat.spec.phase import phase_name
from topcoat.store.lineage import Lineage, ModelRow
from topcoat.store.records import CheckReport
from topcoat.studio.asked import Asked, Moved, NotThere, Page, Part, Reply, link
from topcoat.studio.history import History
from topcoat.studio.jobs import Job
from topcoat.studio.pages.phases import phase_file
from topcoat.studio.site import Site

__all__ = [
    "check_phase",
    "job_page",
    "live",
    "live_parts",
    "make_plan",
    "plan_page",
    "promote",
    "promote_page",
    "roll_back",
    "rollback_page",
    "run_phase",
    "start_page",
    "write_plan",
]

_KINDS = ("plan", "write", "check", "run", "promote", "rollback")
_LOOK_SECONDS = 0.5
_OWN_PATH = re.compile(r"/(?:[\w%.~-][\w%./~?&=+-]*)?")
"""A page of ours. Browsers take // and /\\ for the beginning of another host's name."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def plan_page(site: Site, asked: Asked) -> Page:
    """Ask what to plan, and show the plan once it is made."""
    job = site.jobs.latest("plan")
    plan = _printed(job, Plan)
    values = {
        "title": "Plan",
        "place": "phases",
        "goal": plan.goal if plan else GOAL,
        "examples": EXAMPLES,
        "job": job,
        "plan": plan,
        "name": _free_name(site),
    }
    return Page("plan.html", values)


def make_plan(site: Site, asked: Asked) -> Reply:
    """Start `topcoat plan`."""
    words = _plan_words(asked)
    site.jobs.start(site.paths, site.command, "plan", "plan", "--json", *words)
    return Moved(link("plan"))


def write_plan(site: Site, asked: Asked) -> Reply:
    """Start `topcoat plan --write`, which refuses a file that exists."""
    name = asked.form.get("name", "").strip()
    path = site.paths.phase(name)
    if not _NAME.fullmatch(name):
        raise InvalidInput(f'"{name}" is no name of a phase', hint="letters, digits, dots, hyphens, underscores")
    phase_name(path)
    words = ["plan", "--json", "--write", str(path), *_plan_words(asked)]
    site.jobs.start(site.paths, site.command, "write", *words)
    return Moved(link("jobs", "write", then=link("phases", name)))


def start_page(site: Site, asked: Asked) -> Page:
    """A phase before it runs: what its check found and what it takes, then the button."""
    name = _phase(site, asked)
    job = site.jobs.latest("check")
    job = job if job and job.words[1] == name else None
    report = _printed(job, CheckReport)
    running = follow(site.paths.progress)
    values = {
        "title": f"Run {name}",
        "place": "phases",
        "phase": name,
        "job": job,
        "report": report,
        "running": running if running and running.running else None,
        "duration": duration,
    }
    return Page("start.html", values)


def check_phase(site: Site, asked: Asked) -> Reply:
    """Start `topcoat check`, which also measures what the phase takes."""
    name = _phase(site, asked)
    site.jobs.start(site.paths, site.command, "check", "check", name, "--json")
    return Moved(link("phases", name, "start"))


def run_phase(site: Site, asked: Asked) -> Reply:
    """Start `topcoat run`. It begins, or goes on where an earlier run was stopped."""
    name = _phase(site, asked)
    site.jobs.start(site.paths, site.command, "run", "run", name)
    return Moved(link("live"))


def promote_page(site: Site, asked: Asked) -> Page:
    """Ask before a model becomes production, and say what its gate said."""
    with site.project() as (project, history):
        model = _model(history, asked)
        values = {
            "title": f"Promote {model.name}",
            "place": "lineage",
            "model": model,
            "production": history.production,
            "against": _against(project.lineage, history, model),
        }
    return Page("promote.html", values)


def promote(site: Site, asked: Asked) -> Reply:
    """Start `topcoat promote`. A model that its gate discarded needs a second yes."""
    with site.project() as (_, history):
        name = _model(history, asked).name
    yes = ["--yes"] if asked.form.get("discarded") else []
    site.jobs.start(site.paths, site.command, "promote", "promote", *yes, "--json", "--", name)
    return Moved(link("jobs", "promote", then=link("models", name)))


def rollback_page(site: Site, asked: Asked) -> Page:
    """Ask before production goes back."""
    with site.project() as (_, history):
        values = {
            "title": "Roll back",
            "place": "lineage",
            "production": history.production,
            "previous": history.previous,
        }
    return Page("rollback.html", values)


def roll_back(site: Site, asked: Asked) -> Reply:
    """Start `topcoat rollback`, if production still is what the page showed."""
    with site.project() as (_, history):
        if asked.form.get("production") != history.production:
            raise InvalidInput(f"production is {history.production} now: it changed meanwhile", hint="look again")
    site.jobs.start(site.paths, site.command, "rollback", "rollback", "--json")
    return Moved(link("jobs", "rollback", then="/lineage"))


def job_page(site: Site, asked: Asked) -> Page:
    """A short command until it ends, and what it said."""
    kind = asked.names["kind"]
    job = site.jobs.latest(kind) if kind in _KINDS else None
    if job is None:
        raise NotThere("the studio started no such command", hint="topcoat log")
    then = asked.query.get("then", "")
    values = {
        "title": f"topcoat {job.words[0]}",
        "place": "",
        "job": job,
        "code": job.code,
        "said": job.said,
        "then": then if _OWN_PATH.fullmatch(then) else "/",
    }
    return Page("job.html", values)


def live(site: Site, asked: Asked) -> Page:
    """What runs now, or ran last: its tasks, its losses, how long it still takes."""
    return Page("live.html", {"title": "Running", "place": "phases", **_live_values(site)})


async def live_parts(site: Site, asked: Asked) -> AsyncIterator[Part]:
    """The changing part of that page, whenever something is new, until the command ends."""
    shown: object = None
    while True:
        values = await asyncio.to_thread(_live_values, site)
        state = (values["found"], values["running"])
        if state != shown:
            shown = state
            yield Part("live_part.html", values)
        if not values["running"]:
            return
        await asyncio.sleep(_LOOK_SECONDS)


def _live_values(site: Site) -> dict[str, Any]:
    found = follow(site.paths.progress)
    job = site.jobs.latest("run")
    begins = job is not None and job.code is None and (found is None or found.pid != job.process.pid)
    if begins:
        found = None  # it is of an earlier command
    chart = None
    if found and found.losses:
        chart = curves(found.losses, found.validations, None, f"Loss up to update {found.losses[-1][0]:g}")
    return {
        "found": found,
        "running": begins or (found is not None and found.running),
        "begins": begins,
        "failed": job.said if job and job.code not in (None, 0) else "",
        "chart": chart,
        "duration": duration,
        "phase": _phase_in(found.command) if found else "",
    }


def _phase_in(command: str) -> str:
    """The phase that a command such as "topcoat run phase1" names, "" if it names none."""
    words = command.split()
    return words[2] if len(words) == 3 and words[1] in ("run", "adopt") else ""


def duration(seconds: float) -> str:
    """A time in words, such as 40 s, 12 min or 3.4 h."""
    if not math.isfinite(seconds):
        return "unknown"
    if seconds < 1:
        return "under 1 s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _printed(job: Job | None, kind: type[Any]) -> Any:
    """The record that a command printed; None while it runs, or if it printed none."""
    if job is None or job.code is None:
        return None
    try:
        return kind.model_validate(json.loads(job.printed))
    except (ValueError, ValidationError):
        return None


def _plan_words(asked: Asked) -> list[str]:
    """The options of a plan. The command checks them."""
    goal, examples = asked.form.get("goal", ""), asked.form.get("examples", "")
    return [*([f"--goal={goal}"] if goal else []), *([f"--examples={examples}"] if examples else [])]


def _free_name(site: Site) -> str:
    names = {path.stem for path in site.paths.phases.glob("*.toml")}
    return next(name for name in ("next", *(f"next-{number}" for number in range(2, 10_000))) if name not in names)


def _phase(site: Site, asked: Asked) -> str:
    """The phase in the path, which needs a file to run."""
    name = asked.names["phase"]
    if phase_file(site.paths, name) is None:
        raise NotThere(f'no file of a phase is called "{name}"', hint="topcoat plan --write phases/NAME.toml")
    return name


def _model(history: History, asked: Asked) -> ModelRow:
    model = history.models.get(asked.names["model"])
    if model is None:
        raise NotThere(f'no model is called "{asked.names["model"]}"', hint="the lineage lists all models")
    return model


def _against(lineage: Lineage, history: History, model: ModelRow) -> list[str]:
    """Why the model's gate or canary discarded it. Empty for a root, and for one that passed."""
    run = history.origin(model)
    attempt = next((one for one in run.attempts if one.number == model.attempt), None) if run else None
    if attempt is None:
        return []
    result = lineage.result(attempt.id)
    if result is None:
        return ["it was not judged, because its run was stopped"]
    if run and run.candidate and run.candidate.model == model.name and run.state == "discarded" and run.outcome:
        return [run.outcome.detail]
    return [] if result.verdict.passed else result.verdict.reasons
