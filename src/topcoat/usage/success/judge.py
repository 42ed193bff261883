"""Judges a result: what the project's patterns say, else the client, else structure, else words.

Where nothing tells, a text or an object without any mark of a failure is a success, and a result that is missing,
cleared or unfinished is unknown.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from topcoat.spec.project import SuccessSection
from topcoat.spec.tools.json_schema import fits
from topcoat.usage.characters import whole_characters
from topcoat.usage.success.exit_codes import command_of
from topcoat.usage.success.structure import printed_object, structure_verdict
from topcoat.usage.success.texts import text_verdict
from topcoat.usage.success.verdict import NO_VERDICT, UNKNOWN, WORKED, Verdict, failed

__all__ = ["DEFAULTS", "judged", "parsed"]

DEFAULTS = SuccessSection()


def judged(
    content: object,
    *,
    tool: str = "",
    arguments: Mapping[str, object] | None = None,
    failed_said: bool | None = None,
    project: SuccessSection = DEFAULTS,
) -> Verdict:
    """Whether the call of `tool` worked that returned `content`, JSON or text.

    `failed_said` is what the client says. It may be wrong about a process: its exit code counts more.
    """
    chosen = _by_patterns(content, tool, project)
    if chosen.told:
        return chosen
    value = parsed(content)
    command = command_of(arguments or {})
    if failed_said:
        found = _by_content(value, command)
        return found if found.success is False else failed(str(content))
    if failed_said is False:
        found = structure_verdict(value, command)
        return found if found.success is False else WORKED
    if value is None:
        return UNKNOWN
    found = _by_content(value, command)
    return found if found.told else WORKED


def parsed(content: object) -> object:
    """A result that is the text of a JSON document as that document."""
    if not isinstance(content, str):
        return content
    try:
        value: object = whole_characters(json.loads(content))
    except (ValueError, RecursionError):
        return content
    return value


def _by_content(value: object, command: str) -> Verdict:
    if not isinstance(value, str):
        return structure_verdict(value, command)
    printed = printed_object(value.strip())
    return structure_verdict(printed, command) if printed else text_verdict(value, command)


def _by_patterns(content: object, tool: str, project: SuccessSection) -> Verdict:
    """What the first of the project's patterns says that the result's text holds: the tool's own before all others."""
    own = project.tools.get(tool)
    patterns = [own, project] if own else [project]
    if not any(known.failure or known.success for known in patterns):
        return NO_VERDICT
    text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False, default=str)
    for known in patterns:
        if any(_holds(text, pattern) for pattern in known.failure):
            return failed(text)
        if any(_holds(text, pattern) for pattern in known.success):
            return WORKED
    return NO_VERDICT


def _holds(text: str, pattern: str) -> bool:
    return fits({"pattern": pattern}, text)
