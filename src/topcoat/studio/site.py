"""The site: the project that its pages show, what it remembers between requests, and the making of HTML."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from topcoat.project.project import Project, load_specs
from topcoat.report.html import text
from topcoat.report.style import STYLE
from topcoat.spec.project import PROJECT_FILE, ProjectSettings, find_project, load_settings
from topcoat.spec.suite import Suite
from topcoat.spec.tools.catalog import Catalog
from topcoat.store.lineage.summary import LineageSummary
from topcoat.store.paths import ProjectPaths
from topcoat.studio.asked import Page, link
from topcoat.studio.checks import Checks, file_state
from topcoat.studio.desk import Desk
from topcoat.studio.history import History, HistoryReader
from topcoat.studio.jobs import Jobs
from topcoat.suites.evidence.words import percent, points

__all__ = ["STATIC", "Site", "render"]

Specs = tuple[ProjectSettings, Catalog, Suite]

STATIC = Path(__file__).parent / "static"
_TEMPLATES = Path(__file__).parent / "templates"


@dataclass(slots=True)
class Site:
    """A project in the studio. `command` is how a process of topcoat is started for it.

    Every request looks at the project's files anew, so pages show what is there now, whoever wrote it.
    """

    paths: ProjectPaths
    command: tuple[str, ...] = ()
    desk: Desk = field(default_factory=Desk)
    checks: Checks = field(default_factory=Checks)
    jobs: Jobs = field(default_factory=Jobs)
    _history: HistoryReader = field(default_factory=HistoryReader)
    _read: tuple[tuple[str, ...], Specs] | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def around(cls, start: Path, command: tuple[str, ...] = ()) -> Site:
        """The site of the project around `start`. Raises `InvalidInput` if there is none."""
        return cls(ProjectPaths(find_project(start)), command)

    @contextmanager
    def project(self) -> Iterator[tuple[Project, History]]:
        """The project for reading, and its history. Raises what opening a project raises."""
        specs = self._specs()
        with LineageSummary(self.paths) as lineage:
            with self._lock:
                history = self._history.read(lineage, self.paths.database)
            yield Project(*specs, self.paths, lineage), history

    def _specs(self) -> Specs:
        """Settings, catalog and suite. They are read again once one of their files is another."""
        settings = load_settings(self.paths.root)
        files = (self.paths.root / PROJECT_FILE, settings.catalog, settings.suite)
        state = (*map(file_state, files), settings.system_prompt)
        with self._lock:
            if self._read is None or self._read[0] != state:
                self._read = (state, load_specs(self.paths.root))
            return self._read[1]


def render(page: Page, common: Mapping[str, Any]) -> str:
    """The HTML of a page. Every text in it is escaped; `common` is what all pages show."""
    return _environment().get_template(page.template).render({**common, **page.values})


@cache
def style_sheet() -> str:
    """The report's style, and what the studio adds to it."""
    return STYLE + (STATIC / "studio.css").read_text(encoding="utf-8")


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        finalize=_shown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["link"] = link
    environment.filters |= {"percent": percent, "points": points, "day": _day, "minute": _minute}
    return environment


def _shown(value: object) -> object:
    """A text without the characters that no HTML file can hold, escaped; what isn't a text stays."""
    return text(value) if isinstance(value, str) and not hasattr(value, "__html__") else value


def _day(timestamp: str) -> str:
    return timestamp[:10]


def _minute(timestamp: str) -> str:
    return timestamp[:16].replace("T", " ")
