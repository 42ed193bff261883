"""A project, opened for reading: what its files say and what its lineage knows. No lock and no engine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

from topcoat.errors import InvalidInput, StorageFault, Where
from topcoat.spec.agent import Agent
from topcoat.spec.project import ProjectSettings, find_project, load_settings
from topcoat.spec.suite import Suite, load_suite
from topcoat.spec.tools.catalog import Catalog
from topcoat.spec.tools.loading import load_catalog
from topcoat.spec.tools.signatures import require_callable
from topcoat.store.lineage import Lineage, ModelRow
from topcoat.store.paths import ProjectPaths

__all__ = ["Project", "load_specs", "open_project"]


@dataclass(frozen=True, slots=True)
class Project:
    """What a function needs that only reads. What writes takes one of the subclasses in `project.session`."""

    settings: ProjectSettings
    catalog: Catalog
    suite: Suite
    paths: ProjectPaths
    lineage: Lineage

    @property
    def agent(self) -> Agent:
        """What the project's model is asked with beside the dialogue."""
        return self.settings.agent(self.catalog)

    @property
    def day(self) -> date | None:
        """What chat templates take for today: the day, in UTC, on which the project's first model was recorded.

        It never changes, so rows and prompts don't either, and scores of different days can be compared. None before.
        """
        models = self.lineage.models()
        return datetime.fromisoformat(models[0].created).date() if models else None

    def model(self, name: str) -> ModelRow:
        """A model of the lineage; "production" is the promoted one. Raises InvalidInput if there is none so called,
        StorageFault if its folder is gone.
        """
        wanted = self.lineage.production() if name == "production" else name
        if wanted is None:
            raise InvalidInput("there is no production model yet", hint="topcoat eval")
        found = self.lineage.require_model(wanted)
        if not found.path.is_dir():
            raise StorageFault(
                f"the folder of model {found.name} is gone",
                where=Where(found.path),
                hint=f"topcoat rebuild {found.name}" if found.parent else None,
            )
        return found


@contextmanager
def open_project(start: Path) -> Iterator[Project]:
    """The project around `start`, for reading: works while another process holds its lock.

    Raises InvalidInput with every mistake of the project's files.
    """
    paths = ProjectPaths(find_project(start))
    specs = load_specs(paths.root)
    with Lineage(paths) as lineage:
        yield Project(*specs, paths, lineage)


def load_specs(root: Path) -> tuple[ProjectSettings, Catalog, Suite]:
    """Settings, catalog and suite of the project in `root`. Raises InvalidInput with every mistake of the first file
    that has one.
    """
    settings = load_settings(root)
    catalog = load_catalog(settings.catalog)
    agent = settings.agent(catalog)
    require_callable(catalog, agent.calls)
    return settings, catalog, load_suite(settings.suite, agent)
