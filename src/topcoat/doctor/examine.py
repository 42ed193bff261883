"""Examines a project: every stored thing is compared with its digest, and each finding says what helps."""

from __future__ import annotations

import contextlib
import json
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from topcoat.engine.beginnings import damaged_beginnings
from topcoat.engine.protocol import Engine
from topcoat.errors import InvalidInput, Refused, StorageFault, TopcoatError
from topcoat.progress import Sink, task
from topcoat.project.integrity import harm_to_parts, is_sealed, is_whole
from topcoat.project.project import load_specs
from topcoat.quantity import counted
from topcoat.store.cache import ArrayCache
from topcoat.store.lineage import Lineage, ModelRow
from topcoat.store.lock import project_lock
from topcoat.store.paths import AttemptPaths, ProjectPaths
from topcoat.store.records import Finding, Record
from topcoat.store.seal import SEAL, damages, read_seal
from topcoat.usage.log import EventLog

__all__ = ["Examination", "Recovery", "examine"]


class Recovery(Record):
    """A lineage that was made again from the folders.

    `lost` says what they don't tell, `aside` where the old file is now.
    """

    models: int
    phases: int
    attempts: int
    lost: list[str]
    aside: str | None = None


class Examination(Record):
    """The state of a project. `production_path` is the folder of the production model.

    `checked` says what was found whole. `recovery` is set if the lineage was made again first.
    """

    version: Literal[1] = 1
    project: str
    production: str | None = None
    production_path: str | None = None
    checked: list[str]
    findings: list[Finding]
    recovery: Recovery | None = None

    @property
    def errors(self) -> list[Finding]:
        return [finding for finding in self.findings if finding.severity == "error"]


def examine(paths: ProjectPaths, engine: Engine, sink: Sink) -> Examination:
    """Check everything that topcoat stored in a project, and change nothing. Reads all models and caches."""
    examiner = _Examiner(paths, engine)
    checks: list[Callable[[], None]] = [
        examiner.lock,
        examiner.project_files,
        examiner.lineage,
        examiner.results,
        examiner.cache,
        examiner.usage,
        examiner.leftovers,
        examiner.disk,
    ]
    with task(sink, "examine", total=len(checks), unit="check") as running:
        for number, check in enumerate(checks, 1):
            check()
            running.advance(number)
    production = examiner.production
    return Examination(
        project=str(paths.root),
        production=production.name if production else None,
        production_path=str(production.path) if production else None,
        checked=examiner.checked,
        findings=examiner.findings,
    )


class _Examiner:
    """Collects what is whole and what isn't."""

    def __init__(self, paths: ProjectPaths, engine: Engine) -> None:
        self._paths, self._engine = paths, engine
        self._held = False
        self.checked: list[str] = []
        self.findings: list[Finding] = []
        self.production: ModelRow | None = None

    def lock(self) -> None:
        """Whether another command is at work: what it writes meanwhile may look unfinished."""
        if not self._paths.state.is_dir():
            return
        try:
            with project_lock(self._paths.lock, "topcoat doctor"):
                self.checked.append("lock: free")
        except Refused as held:
            self._held = True
            self.checked.append(f"lock: {held.message}; what it writes meanwhile may look unfinished here")
        except StorageFault as fault:
            self._found("lock", fault.message, self._paths.lock, f"chmod u+rw {_quoted(self._paths.lock)}")

    def project_files(self) -> None:
        try:
            load_specs(self._paths.root)
            self.checked.append("project: topcoat.toml, the catalog and the suite can be read")
        except InvalidInput as error:
            for mistake in error.mistakes:
                where = str(mistake.where or self._paths.root)
                self._found("project-file", mistake.message, where, mistake.hint or f"edit {where}")

    def lineage(self) -> None:
        """The database, and every model in it with its adapter."""
        if not self._paths.state.is_dir():
            self.checked.append("lineage: nothing was run yet")
            return
        try:
            with Lineage(self._paths) as lineage:
                problems = lineage.problems()
                if problems:
                    raise StorageFault(f"{self._paths.database} is damaged: {problems[0]}")
                models, production = lineage.models(), lineage.production()
                known = {(phase.name, a.number) for phase in lineage.phases() for a in lineage.attempts(phase.id)}
                needed = {phase.base for phase in lineage.phases() if lineage.outcome(phase.id) is None}
                needed |= {candidate.model for _, candidate in lineage.awaiting()}
        except TopcoatError as error:
            hint = error.hint or "topcoat doctor --rebuild"
            if hint != "topcoat doctor --rebuild":
                hint += "   # or, from the folders: topcoat doctor --rebuild"
            self._found("lineage", error.message, self._paths.database, hint)
            return
        self.checked.append(f"lineage: {counted(len(models), 'model')}, {counted(len(known), 'attempt')}")
        self.production = next((model for model in models if model.name == production), None)
        for model in models:
            self._model(model, needed=model.parent is None or model.name in {*needed, production})
        self._runs(known)

    def _model(self, model: ModelRow, *, needed: bool) -> None:
        """A model's folder, and what it can be made again from."""
        harm = harm_to_parts(model) if model.parent else "it is a root"
        again = f"topcoat rebuild {model.name}" if not harm else f"put an earlier copy into {_quoted(model.path)}"
        if not model.path.is_dir():
            if needed or harm:
                self._found("model-gone", f"the folder of {model.name} is gone", model.path, again)
            else:
                self.checked.append(f"model {model.name}: deleted by gc; topcoat rebuild {model.name} makes it again")
        elif not is_whole(self._engine, model):
            message = f"the files of {model.name} have changed since it was recorded"
            self._found("model-damaged", message, model.path, again)
        else:
            self.checked.append(f"model {model.name}: whole")
        if model.parent and harm:
            message = f"{model.name} can't be made again: {harm}"
            folder = model.adapter.parent if model.adapter else model.path
            self._found("adapter-damaged", message, folder, f"put an earlier copy into {_quoted(folder)}")
        elif model.parent and not is_sealed(model):
            message = f"nothing proves that the adapter of {model.name} is whole: an earlier version made it"
            self._found("adapter-unproven", message, model.path, f"topcoat rebuild {model.name}", error=False)

    def _runs(self, known: set[tuple[str, int]]) -> None:
        """Folders of runs that the lineage doesn't know."""
        for folder in sorted(self._paths.runs.glob("*/*")):
            if folder.is_dir() and (folder.parent.name, _number(folder.name)) not in known:
                message = f"{folder.parent.name}/{folder.name} belongs to no attempt of the lineage: it is not used"
                adapter = AttemptPaths(folder).adapter
                judge = f"topcoat adopt {folder.parent.name} {_quoted(adapter)}"
                hint = judge if folder.name.isdigit() and adapter.is_dir() else f"rm -r {_quoted(folder)}"
                self._found("run-unknown", message, folder, hint, error=False)

    def results(self) -> None:
        """Every sealed file of the runs that isn't a part of a fused model."""
        seals = sorted(self._paths.runs.glob(f"**/{SEAL}"))
        whole = 0
        for path in seals:
            folder = path.parent
            sealed = read_seal(folder)
            if sealed is None:
                message, hint = f"the seal of {folder} can't be read", f"mv {_quoted(path)} {_quoted(path)}.damaged"
                self._found("seal", message, path, hint)
                continue
            harm = damages(folder, sealed)
            whole += not harm
            if not harm:
                continue
            message = f"{'; '.join(harm)}: it is not used again"
            if folder.parent.name == "checkpoints":
                self._found("checkpoint", message, folder, f"rm -r {_quoted(folder)}", error=False)
            else:
                self._found("result-damaged", message, folder, f"put an earlier copy into {_quoted(folder)}")
        if seals:
            self.checked.append(f"results: {whole} of {counted(len(seals), 'folder')} whole")

    def cache(self) -> None:
        damaged = ArrayCache(self._paths.trunk_cache).damaged()
        if damaged:
            files = counted(len(damaged), "file")
            message = f"{files} of the trunk's cache are damaged or of an earlier version: they are computed again"
            self._found("cache", message, damaged[0], f"rm -r {_quoted(self._paths.trunk_cache)}", error=False)
        elif self._paths.trunk_cache.is_dir():
            self.checked.append("cache: whole")
        folder = self._paths.beginnings
        if damaged := damaged_beginnings(folder):
            message = f"{counted(len(damaged), 'kept beginning')} of prompts can't be used: they are computed again"
            self._found("cache", message, damaged[0], f"rm -r {_quoted(folder)}", error=False)
        elif folder.is_dir():
            self.checked.append("beginnings of prompts: whole")

    def usage(self) -> None:
        """The database of events, and what people decided about extracted examples."""
        if self._paths.events.exists():
            try:
                with EventLog(self._paths.events) as log:
                    problems = log.problems()
                    if problems:
                        raise StorageFault(f"{self._paths.events} is damaged: {problems[0]}")
                    self.checked.append(f"events: {counted(sum(log.sessions().values()), 'event')}")
            except TopcoatError as error:
                aside = f"mv {_quoted(self._paths.events)} {_quoted(self._paths.events)}.damaged"
                self._found("events", error.message, self._paths.events, error.hint or aside)
        for path in (self._paths.reviews, self._paths.extracted):
            if path.exists():
                try:
                    json.loads(path.read_bytes())
                except (OSError, ValueError) as error:
                    self._found(
                        path.stem,
                        f"{path.name} is damaged: {error}",
                        path,
                        f"mv {_quoted(path)} {_quoted(path)}.damaged",
                    )

    def leftovers(self) -> None:
        """Hidden files and folders of killed commands. A command at work has some too."""
        patterns = (".*.staging", ".*.tmp", ".rebuild-*", ".recovered-*", "tmp*")
        folders = (self._paths.state, self._paths.models, *self._paths.runs.glob("*"), *self._paths.runs.glob("*/*"))
        for folder in () if self._held else folders:
            for path in (path for pattern in patterns for path in sorted(folder.glob(pattern))):
                message = f"{path.name} was left by a killed command"
                self._found("leftover", message, path, f"rm -r {_quoted(path)}", error=False)

    def disk(self) -> None:
        """Whether one more model fits on the disk."""
        size = 0
        if self.production is not None:
            with contextlib.suppress(TopcoatError):
                size = self._engine.describe(self.production.path).size
        free = shutil.disk_usage(self._paths.root).free
        said = f"{free / 1e9:.1f} GB are free; one more model takes up to {size / 1e9:.1f} GB"
        if free < size:
            self._found("disk", said, self._paths.root, "topcoat gc", error=False)
        else:
            self.checked.append(f"disk: {said}")

    def _found(self, code: str, message: str, where: Path | str, hint: str, *, error: bool = True) -> None:
        severity: Literal["error", "warning"] = "error" if error else "warning"
        self.findings.append(Finding(code=code, severity=severity, where=str(where), message=message, hint=hint))


def _number(name: str) -> int:
    """The number of an attempt's folder; -1 if it is none."""
    return int(name) if name.isascii() and name.isdigit() else -1


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))
