"""Imports a catalog: from a file, a URL or a command into `tools.json`, in OpenAI's form."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from topcoat.catalogs.document import read_document
from topcoat.catalogs.openapi.operations import is_openapi, read_openapi
from topcoat.catalogs.read_tools import ReadTools, name_of
from topcoat.catalogs.shapes import read_list
from topcoat.errors import InvalidInput, Refused, TopcoatError, Where
from topcoat.quantity import counted
from topcoat.spec.tools.tool_list import tool_faults
from topcoat.store.files import is_stream, require_new, write_json
from topcoat.store.records import Record

__all__ = ["Imported", "Remark", "import_tools", "is_url", "read_file"]

_MOST_NAMES = 5


class Remark(Record):
    """One thing that is told of the source, and the names of the tools, operations or places that it concerns."""

    what: str
    names: list[str]


class Imported(Record):
    """A finished import. `added`, `removed` and `changed` compare the tools with those of the file before.

    `written` is false if the file had the same tools already. `left_out` says what was dropped, `notes` what was
    renamed or rewritten.
    """

    version: Literal[1] = 1
    form: str
    path: str
    tools: list[str]
    written: bool
    added: list[str]
    removed: list[str]
    changed: list[str]
    left_out: list[Remark]
    notes: list[Remark]


def is_url(source: str) -> bool:
    """Whether `source` is an address of the web."""
    return source.lower().startswith(("http://", "https://"))


def read_file(path: Path) -> ReadTools:
    """The tools of an OpenAPI document or of a list of tools. Raises `InvalidInput` if the file is neither."""
    document = read_document(path)
    if isinstance(document, dict) and is_openapi(document):
        return read_openapi(document, path)
    return read_list(document, path)


def import_tools(found: ReadTools, target: Path, *, overwrite: bool = False, again: str = "") -> Imported:
    """Write the tools to `target`, those left out that no catalog takes.

    Raises `Refused` if `target` has other tools already and `overwrite` isn't set, saying what would change (`again` is
    the command that overwrites); `InvalidInput` if no tool is left.
    """
    if target.suffix.lower() != ".json" and not is_stream(target):
        raise InvalidInput(
            f"{target} would be read as Python stubs: a list of tools ends in .json", hint="--to tools.json"
        )
    tools = _without_faults(found)
    if not tools:
        whys = "; ".join(f"{left.what}: {_shown(left.names)}" for left in found.left_out)
        raise InvalidInput(f"no tool is left to write: {whys or 'there was none'}")
    before = None if is_stream(target) else _tools_in(target)
    now = {name_of(tool): tool for tool in tools}
    old = before or {}
    added = [name for name in now if name not in old]
    removed = [name for name in old if name not in now]
    changed = [name for name, tool in now.items() if name in old and old[name] != tool]
    same = before is not None and not (added or removed or changed)
    if not same:
        if not overwrite:
            _require_unchanged(target, before, added, removed, changed, again)
        write_json(target, tools)
    return Imported(
        form=found.form,
        path=str(target),
        tools=list(now),
        written=not same,
        added=added,
        removed=removed,
        changed=changed,
        left_out=[Remark(what=told.what, names=list(told.names)) for told in found.left_out],
        notes=[Remark(what=told.what, names=list(told.names)) for told in found.notes],
    )


def _without_faults(found: ReadTools) -> list[dict[str, Any]]:
    """The tools that can be in a catalog. The others are recorded as left out, each with its fault."""
    faults = dict(tool_faults(found.tools))
    for index, fault in faults.items():
        found.leave_out(f"tools that no catalog takes: {fault}", name_of(found.tools[index]))
    return [tool for index, tool in enumerate(found.tools) if index not in faults]


def _tools_in(target: Path) -> dict[str, dict[str, Any]] | None:
    """The tools that a file has by now, by name; None if it isn't there or is no list of tools."""
    try:
        return {name_of(tool): tool for tool in read_file(target).tools}
    except TopcoatError:
        return None


def _require_unchanged(
    target: Path, before: object, added: list[str], removed: list[str], changed: list[str], again: str
) -> None:
    """Raise `Refused` if `target` is there, saying what the import would change in it."""
    if before is None:
        require_new(target, again)
        return
    changes = {"added": added, "removed": removed, "changed": changed}
    words = "; ".join(
        f"{counted(len(names), 'tool')} {what}: {_shown(names)}" for what, names in changes.items() if names
    )
    raise Refused(f"{target} exists already, and would change: {words}", where=Where(target), hint=again)


def _shown(names: list[str] | tuple[str, ...]) -> str:
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return ", ".join(names[:_MOST_NAMES]) + more
