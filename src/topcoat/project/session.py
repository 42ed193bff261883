"""A project, opened for writing. A LockedProject and a Session are only had from the project's lock.

A HeldProject is what is left to a command while another process has that lock: it reads stored scores.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from topcoat.engine.protocol import Engine
from topcoat.errors import Held, Refused, TopcoatError, Where
from topcoat.progress import Sink
from topcoat.project.following import followed
from topcoat.project.project import Project, load_specs, open_project
from topcoat.spec.project import PROJECT_FILE, ProjectSettings, find_project
from topcoat.store.lineage import Lineage, ModelRow, WritableLineage
from topcoat.store.lock import project_lock
from topcoat.store.paths import ProjectPaths
from topcoat.telemetry.span_sink import traced

__all__ = [
    "HeldProject",
    "LockedProject",
    "ScoreReader",
    "Session",
    "add_root",
    "lock_project",
    "open_scores",
    "open_session",
]


@dataclass(frozen=True, slots=True)
class LockedProject(Project):
    """What a function needs that writes files of the user and asks no model: so no engine is loaded for it."""


@dataclass(frozen=True, slots=True)
class ScoreReader(Project):
    """What a function needs that reads scores. The engine tells which stored scores are a model's."""

    engine: Engine
    sink: Sink


@dataclass(frozen=True, slots=True)
class HeldProject(ScoreReader):
    """A project whose lock another process holds. `refusal` is the error for what needs the lock."""

    refusal: Held


@dataclass(frozen=True, slots=True)
class Session(ScoreReader):
    """What a function needs that writes and uses a model. The project's lineage has a production model."""

    lineage: WritableLineage


@contextmanager
def lock_project(start: Path, command: str) -> Iterator[LockedProject]:
    """The project around `start`, locked; `command` is what others are told who want the lock.

    Raises InvalidInput with every mistake of the project's files, Refused if another process holds the lock.
    """
    paths = ProjectPaths(find_project(start))
    with project_lock(paths.lock, command):
        specs = load_specs(paths.root)
        with Lineage(paths) as lineage:
            yield LockedProject(*specs, paths, lineage)


@contextmanager
def open_session(start: Path, engine: Engine, sink: Sink, command: str) -> Iterator[Session]:
    """The project around `start`, locked, with an engine. Its base becomes the first production model if it has none.

    Raises what `lock_project` raises, and what the engine raises if it can't load the base.
    """
    paths = ProjectPaths(find_project(start))
    with project_lock(paths.lock, command):
        specs = load_specs(paths.root)
        with (
            WritableLineage(paths) as lineage,
            followed(sink, paths.progress, command) as shown,
            traced(shown, command) as told,
        ):
            session = Session(*specs, paths, lineage, engine, told)
            _adopt_root(session)
            yield session


@contextmanager
def open_scores(start: Path, engine: Engine, sink: Sink, command: str) -> Iterator[ScoreReader]:
    """A Session or, while another process holds the lock, a HeldProject: what is stored can still be read."""
    with ExitStack() as opened:
        try:
            reader: ScoreReader = opened.enter_context(open_session(start, engine, sink, command))
        except Held as refusal:
            found = opened.enter_context(open_project(start))
            parts = (found.settings, found.catalog, found.suite, found.paths, found.lineage)
            reader = HeldProject(*parts, engine, sink, refusal)
        yield reader


def _adopt_root(session: Session) -> None:
    """Make the project's base the root of the lineage and the first production model, once.

    Raises Refused if the lineage grew from another base than the project file names.
    """
    production = session.lineage.production()
    try:
        if production is None:
            add_root(session.lineage, session.settings, session.engine)
        else:
            _require_same_base(session, session.lineage.ancestry(production)[0])
    except TopcoatError as error:
        error.where = error.where or Where(session.paths.root / PROJECT_FILE)
        raise


def add_root(lineage: WritableLineage, settings: ProjectSettings, engine: Engine) -> ModelRow:
    """Record the project's base as the root of a new lineage, and as its first production model."""
    folder, name = engine.locate(settings.base), _name_of(settings.base)
    root = lineage.add_model(name, digest=engine.describe(folder).digest, path=folder)
    lineage.promote(name, "adopted as the root")
    return root


def _name_of(base: Path | str) -> str:
    return base.name if isinstance(base, Path) else base.replace("/", "--")


def _require_same_base(session: Session, root: ModelRow) -> None:
    """Raise Refused unless the project's base is the model `root`: the same folder, id or bytes."""
    base = session.settings.base
    if isinstance(base, str):
        same = root.name == _name_of(base)
    else:
        here = root.path.is_dir() and base.samefile(root.path)
        same = here or session.engine.describe(base).digest == root.digest
    if not same:
        other = f"topcoat init FOLDER --base '{base}'"
        raise Refused(
            f"base is {base} now, and every model of this project grew from {root.name} in {root.path}",
            hint=f"base = {json.dumps(str(root.path))} goes on with it; {other} begins anew",
        )
