"""An opened project: its specs, its store and an engine, wired together. Every use case starts from one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from topcoat.engine.protocol import Engine
from topcoat.errors import InvalidInput, Mistake, StorageFault, TopcoatError, Where
from topcoat.progress import Sink
from topcoat.spec.catalog import Catalog, load_catalog
from topcoat.spec.project import PROJECT_FILE, Project, find_project, load_project
from topcoat.spec.suite import Suite, load_suite
from topcoat.store.lineage import Lineage, ModelRow
from topcoat.store.lock import project_lock
from topcoat.store.paths import ProjectPaths

__all__ = ["Workspace", "open_workspace", "read_workspace"]


@dataclass(frozen=True, slots=True)
class Workspace:
    """Everything that a use case needs; opened by `open_workspace` (to change things) or `read_workspace`."""

    project: Project
    catalog: Catalog
    suite: Suite
    paths: ProjectPaths
    lineage: Lineage
    engine: Engine
    sink: Sink

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
def open_workspace(start: Path, engine: Engine, sink: Sink, command: str) -> Iterator[Workspace]:
    """The project around `start`, locked; its base becomes the first production model if it has none.

    Raises InvalidInput with every mistake of the project's files, Refused if another run holds the lock.
    """
    root = find_project(start)
    paths = ProjectPaths(root)
    specs = _load_specs(root)
    with project_lock(paths.lock, command), Lineage(paths) as lineage:
        workspace = Workspace(*specs, paths, lineage, engine, sink)
        _adopt_root(workspace)
        yield workspace


@contextmanager
def read_workspace(start: Path, engine: Engine, sink: Sink) -> Iterator[Workspace]:
    """The project around `start`, for reading only: works while another run holds the lock."""
    root = find_project(start)
    paths = ProjectPaths(root)
    specs = _load_specs(root)
    with Lineage(paths) as lineage:
        yield Workspace(*specs, paths, lineage, engine, sink)


def _load_specs(root: Path) -> tuple[Project, Catalog, Suite]:
    """Project, catalog and suite; the mistakes of catalog and suite are reported together."""
    project = load_project(root)
    mistakes: list[Mistake] = []
    try:
        catalog = load_catalog(project.catalog)
    except InvalidInput as error:
        raise InvalidInput.collect(str(project.catalog), list(error.mistakes)) from error
    try:
        suite = load_suite(project.suite, catalog)
    except InvalidInput as error:
        mistakes += error.mistakes
    if mistakes:
        raise InvalidInput.collect(str(project.suite), mistakes)
    return project, catalog, suite


def _adopt_root(workspace: Workspace) -> None:
    """Make the project's base the root of the lineage and the first production model, once."""
    lineage, project, engine = workspace.lineage, workspace.project, workspace.engine
    if lineage.production() is not None:
        return
    where = Where(project.root / PROJECT_FILE)
    try:
        folder = engine.locate(project.base)
        digest = engine.describe(folder).digest
    except TopcoatError as error:
        error.where = error.where or where
        raise
    name = folder.name if isinstance(project.base, Path) else project.base.replace("/", "--")
    lineage.add_model(name, digest=digest, path=folder)
    lineage.promote(name, "adopted as the root")
