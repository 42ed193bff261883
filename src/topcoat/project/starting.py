"""Starting a project: an empty one around a model, or a copy of the embedded one."""

from __future__ import annotations

import contextlib
import functools
import os.path
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from topcoat.demo import TEMPLATE
from topcoat.engine.protocol import Converted, Engine
from topcoat.errors import InvalidInput, Where
from topcoat.progress import Silent, Sink
from topcoat.project.first_files import CATALOGS, first_catalog, first_files
from topcoat.project.shown import Shown, shown_by
from topcoat.spec.agent import Route
from topcoat.spec.phase import FuseSpec, TrainSpec
from topcoat.spec.project import PROJECT_FILE, is_hub_id
from topcoat.spec.reading.loader import read_text
from topcoat.spec.tools.catalog import Catalog
from topcoat.spec.tools.loading import load_catalog
from topcoat.spec.tools.signatures import require_callable
from topcoat.store.files import staged_folder, write_bytes, write_text
from topcoat.store.paths import ProjectPaths

__all__ = ["DEMO_PHASE", "Started", "copy_demo", "init_project"]

DEMO_PHASE = "phase34a"
"""The phase of the embedded project."""


IGNORED = {
    ".topcoat/": "what topcoat makes: models, reports, captured usage",
    "models/": "weights",
    "*.safetensors": "weights",
    "*.draft": "unfinished examples",
}
"""What git should leave out, because it is large or private."""


@dataclass(frozen=True, slots=True)
class Started:
    """What was done to each file of a new project, in reading order: "wrote", or what was added to a `.gitignore`.

    `notes` say how a base was converted, what its chat template doesn't show, and what follows from it.
    """

    files: dict[Path, str]
    catalog: str
    notes: tuple[str, ...] = ()


def init_project(
    folder: Path,
    base: str,
    open_engine: Callable[[], Engine] | None = None,
    *,
    calls: Route | None = None,
    catalog: Path | None = None,
    sink: Sink | None = None,
) -> Started:
    """Write a project around `base`, with a first case and a first example for a tool.

    `base` is a model's folder, seen from here, a Hugging Face id, or a GGUF file, which becomes a folder in the
    project's `models/`. `calls` says how the model calls tools: natively, unless the catalog is stubs. `catalog` is a
    file of tools; outside of the project it is copied into it. Without one, the project gets a catalog of one tool.
    Raises InvalidInput if the base is none of these, for a catalog with mistakes, or if there is a project already:
    nothing is overwritten. With `open_engine`, which a GGUF file needs, it also raises what training the model in a
    folder would raise, as far as its files tell, and finds out what its chat template shows.
    """
    if (folder / PROJECT_FILE).exists():
        raise InvalidInput(
            f"there is a project already: {folder / PROJECT_FILE}", hint=f"cd '{folder}' && topcoat status"
        )
    brought = load_catalog(catalog) if catalog is not None else None
    route = calls or ("code" if brought is not None and brought.form == "stubs" else "native")
    open_engine = open_engine and functools.cache(open_engine)
    local = Path(os.path.expanduser(base))  # that of Path raises for a user without a home
    if brought is not None:
        require_callable(brought, route)
    with _as_folder(local, folder, open_engine, sink or Silent()) as (model, converted):
        if not model.is_dir() and not is_hub_id(base, Path()):
            raise InvalidInput(f"no such folder: {model}", where=Where(model), hint="topcoat init --base OWNER/NAME")
        shown = _examined(model, route, open_engine) if model.is_dir() and open_engine is not None else Shown()
        written = _portable(model.absolute(), folder.absolute()) if model.is_dir() else base
        tools, name, text = _tools(brought, catalog, folder, route)
        own = first_files(folder.absolute().name, written, tools, name, route, shown, brought=brought is not None)
        files = {PROJECT_FILE: own.pop(PROJECT_FILE), **({name: text} if text is not None else {}), **own}
        _write_new(folder, files)
    done = {folder / path: "wrote" for path in files}
    if ignoring := _ignore(folder / ".gitignore"):
        done[folder / ".gitignore"] = ignoring
    if converted is None:
        return Started(done, name, _notes(base, route, shown))
    made = f"converted {local.name} to" if converted.made else f"kept what was converted from {local.name} to"
    return Started({converted.folder: made, **done}, name, (*converted.notes, *_notes(base, route, shown)))


@contextlib.contextmanager
def _as_folder(
    base: Path, project: Path, open_engine: Callable[[], Engine] | None, sink: Sink
) -> Iterator[tuple[Path, Converted | None]]:
    """The base as a folder: a file is converted into the project's `models/`, and gone again if the block raises."""
    if not base.is_file():
        yield base, None
        return
    if open_engine is None:
        raise InvalidInput(f"{base} is a file, and there is no engine to convert it", where=Where(base))
    converted = open_engine().convert(base, project / "models" / base.stem, sink)
    try:
        yield converted.folder, converted
    except BaseException:
        if converted.made:
            shutil.rmtree(converted.folder, ignore_errors=True)
        raise


def _tools(
    brought: Catalog | None, catalog: Path | None, folder: Path, route: Route
) -> tuple[Catalog, str, str | None]:
    """The project's catalog, its name in the project, and the text to write there; None if it is there."""
    if brought is None or catalog is None:
        tools, text = first_catalog(route)
        return tools, CATALOGS[route], text
    return brought, *_placed(catalog, folder)


def _write_new(folder: Path, files: Mapping[str, str]) -> None:
    """Write texts by their paths in `folder`. Raises InvalidInput, before it writes one, if one is there."""
    taken = [folder / name for name in files if (folder / name).exists()]
    if taken:
        raise InvalidInput(
            f"{taken[0]} is there already", where=Where(taken[0]), hint="topcoat init NEW_FOLDER --base MODEL"
        )
    for path, content in files.items():
        write_text(folder / path, content)


def _examined(model: Path, calls: Route, open_engine: Callable[[], Engine]) -> Shown:
    """What the model's chat template shows. Raises what training the model would raise."""
    engine = open_engine()
    engine.require_trainable(model, TrainSpec(num_layers=-1), FuseSpec())
    return shown_by(engine.tokenizer(model)) if calls == "native" else Shown()


def _placed(catalog: Path, folder: Path) -> tuple[str, str | None]:
    """What the project in `folder` calls the catalog, and the text to write there; None if it is in the project."""
    try:
        return catalog.absolute().relative_to(folder.absolute()).as_posix(), None
    except ValueError:
        return f"tools{catalog.suffix.lower()}", read_text(catalog)


def _notes(base: str, calls: Route, shown: Shown) -> tuple[str, ...]:
    if calls == "code" or (shown.tools and shown.calls):
        return ()
    notes = []
    if not shown.tools:
        notes.append(
            f"the chat template of {base} doesn't show tools: prompts/system.md describes them instead. Keep it like "
            "the catalog, and let your agent send it"
        )
    if not shown.calls:
        notes.append(
            f"the chat template of {base} doesn't write calls: examples have to write them into the content, as the "
            "first one does"
        )
    return (*notes, "a model that was trained on code may do better with: topcoat init --base MODEL --calls code")


def _ignore(path: Path) -> str:
    """Make git leave out what is `IGNORED`. Return what was done; "" if the file has every line already."""
    found = path.read_bytes().decode("utf-8", errors="surrogateescape") if path.exists() else ""
    present = {line.strip().lstrip("/").rstrip("/") for line in found.splitlines()}
    missing = [line for line in IGNORED if line.rstrip("/") not in present]
    if not missing:
        return ""
    text = found + ("\n" if found and not found.endswith("\n") else "")
    text += "".join(f"# {why}\n" + "".join(f"{x}\n" for x in lines) for why, lines in _by_reason(missing).items())
    write_bytes(path, text.encode("utf-8", errors="surrogateescape"))
    return f"added {', '.join(missing)} to" if found else "wrote"


def _by_reason(lines: list[str]) -> dict[str, list[str]]:
    grouped: dict[str, list[str]] = {}
    for line in lines:
        grouped.setdefault(IGNORED[line], []).append(line)
    return grouped


def _portable(model: Path, folder: Path) -> str:
    """The path of `model` as the project in `folder` names it, so that both can be moved together.

    It is relative inside the project and beside it, begins with ~ elsewhere in the home folder, else absolute.
    """
    relative = Path(os.path.relpath(model, folder))
    # Behind a symbolic link, ".." is another folder than it seems.
    if relative.parts[:2].count("..") < 2 and (folder / relative).resolve() == model.resolve():
        named = relative.parts[:1] in (("..",), ("models",), ())
        return relative.as_posix() if named else f"./{relative.as_posix()}"
    with contextlib.suppress(RuntimeError, ValueError):  # no home folder; not in it
        return f"~/{model.relative_to(Path.home()).as_posix()}"
    return str(model)


def copy_demo(folder: Path) -> bool:
    """Copy the embedded project to `folder`; False if it is there already. Raises InvalidInput for another's folder."""
    if (folder / PROJECT_FILE).exists() and ProjectPaths(folder).phase(DEMO_PHASE).exists():
        return False
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InvalidInput(
            f"{folder} is not empty, and not the embedded project", where=Where(folder), hint="topcoat demo NEW_FOLDER"
        )
    with staged_folder(folder) as staged:
        shutil.copytree(TEMPLATE, staged, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    return True
