"""The data: files of examples, what `topcoat check` finds in each by line, and single examples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from topcoat.examples.checks.codes import CODES
from topcoat.examples.reading import read_examples
from topcoat.project.project import Project
from topcoat.studio.asked import Asked, NotThere, Page, Paging, link
from topcoat.studio.history import History
from topcoat.studio.pages.review import turns_of
from topcoat.studio.site import Site

__all__ = ["data", "data_file", "example_page"]

_SIZE = 50


def data(site: Site, asked: Asked) -> Page:
    """The files of examples, and the phases that were trained on each."""
    with site.project() as (project, history):
        trained = _trained_on(history)
        found = [(name, path.stat().st_size, trained.get(name, [])) for name, path in _files(project).items()]
    paging = Paging(asked.number("page"), _SIZE, len(found))
    shown = found[paging.first : paging.last]
    return Page("data.html", {"title": "Data", "place": "data", "files": shown, "paging": paging})


def data_file(site: Site, asked: Asked) -> Page:
    """What the checks find in a file, by line. They take a moment: until they end, the page says so and loads again."""
    with site.project() as (project, history):
        name, path = _file(project, asked)
        findings = site.checks.findings(project, path)
        trained = _trained_on(history).get(name, [])
    code = asked.query.get("code", "")
    shown = [finding for finding in findings or [] if code in ("", finding.code)]
    paging = Paging(asked.number("page"), _SIZE, len(shown))
    values = {
        "title": name,
        "place": "data",
        "file": name,
        "trained": trained,
        "checked": findings is not None,
        "counts": Counter(finding.code for finding in findings or []).most_common(),
        "meanings": CODES,
        "code": code,
        "filters": {"name": name, "code": code},
        "findings": [(finding, _line_of(finding.where)) for finding in shown[paging.first : paging.last]],
        "paging": paging,
    }
    return Page("data_file.html", values)


def example_page(site: Site, asked: Asked) -> Page:
    """One example of a file, by its line, with what the checks find in it."""
    line = asked.number("line")
    with site.project() as (project, _):
        name, path = _file(project, asked)
        located = next((one for one in read_examples(path)[0] if one.where.line == line), None)
        findings = [one for one in site.checks.findings(project, path) or [] if _line_of(one.where) == line]
    values = {
        "title": f"{name}:{line}",
        "place": "data",
        "file": name,
        "line": line,
        "category": located.example.category if located else None,
        "turns": [*turns_of(located.example, system=True)] if located else [],
        "findings": findings,
    }
    if located is None and not findings:
        raise NotThere(f"{name} has no example in line {line}", hint=f"open {link('data')} again")
    return Page("example.html", values)


def _files(project: Project) -> Mapping[str, Path]:
    """The files of examples by their names: those in data/, and the history of the base."""
    root = project.paths.root
    paths = [*sorted((root / "data").rglob("*.jsonl")), *project.settings.history]
    named = {str(path.relative_to(root)) if path.is_relative_to(root) else str(path): path for path in paths}
    return {name: path for name, path in named.items() if path.is_file()}


def _file(project: Project, asked: Asked) -> tuple[str, Path]:
    """The file that the query names. Only files of the list are read."""
    name = asked.query.get("name", "")
    path = _files(project).get(name)
    if path is None:
        raise NotThere(f"{name} is no file of examples of this project", hint="the list of files has all of them")
    return name, path


def _trained_on(history: History) -> dict[str, list[str]]:
    """The phases that were run with each file, the latest first."""
    found: dict[str, list[str]] = {}
    for name, run in reversed([*history.latest_runs.items()]):
        for file in run.row.spec.data.train:
            found.setdefault(file, []).append(name)
    return found


def _line_of(where: str) -> int | None:
    """The line in a place such as data/a.jsonl:12."""
    line = where.rpartition(":")[2]
    return int(line) if line.isdigit() else None
