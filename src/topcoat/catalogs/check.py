"""Checks a catalog: what no model can use, what providers refuse, and what models can only guess."""

from __future__ import annotations

import json
import keyword
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from topcoat.catalogs.schema_tree import subschemas
from topcoat.errors import InvalidInput, Mistake, Where
from topcoat.quantity import counted
from topcoat.spec.agent import Route
from topcoat.spec.reading.loader import read_text
from topcoat.spec.tools.catalog import NO_DEFAULT, Form, Parameter, Tool
from topcoat.spec.tools.loading import load_catalog
from topcoat.spec.tools.tool_list import read_tools
from topcoat.store.records import Finding, Record

__all__ = ["CODES", "MANY_TOKENS", "CatalogCheck", "CheckedTool", "check_catalog"]

CODES = {
    "unreadable": "a tool that can't be read",
    "no-tool": "the catalog has no tool",
    "required-unknown": "a required argument that the schema doesn't describe",
    "default-misfit": "a default that doesn't fit its own schema",
    "enum-misfit": "a value of an enum that doesn't fit its own schema",
    "values-unchecked": "defaults and enums that can't be checked",
    "no-description": "a tool without a description",
    "argument-no-description": "arguments without a description",
    "provider-name": "a name that hosted models refuse",
    "not-python": "a tool that programs can't call, as a name of it isn't one of Python's",
    "long-schema": "a tool that takes thousands of tokens in every prompt",
}
"""Every code of a finding, and what it means."""

MANY_TOKENS = 2000
"""The number of tokens from which a tool is long."""

_CHARACTERS_A_TOKEN = 4
"""What a token of JSON is about, in the tokenizers of today's models."""
_PROVIDER_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
"""OpenAI's and Anthropic's rule for a function's name."""
_LONGEST_VALUE, _LONGEST_FAULT = 60, 200


class CheckedTool(Record):
    """A tool and its parameters as a signature has them; about how many tokens it takes in a prompt."""

    name: str
    line: int
    parameters: list[str]
    tokens: int


class CatalogCheck(Record):
    """A catalog's tools, and what is wrong with them. `calls` is how they are called: of their own, or from code."""

    version: Literal[1] = 1
    path: str
    form: Form
    calls: Route
    tools: list[CheckedTool]
    findings: list[Finding]

    @property
    def errors(self) -> list[Finding]:
        return [finding for finding in self.findings if finding.severity == "error"]


def check_catalog(path: Path, calls: Route | None = None) -> CatalogCheck:
    """Check the catalog in `path`, in whichever form it is.

    `calls` is the project's; None for a catalog in JSON that is called natively, or for stubs that code calls.
    Raises `InvalidInput` if the file can't be read or is no list of tools.
    """
    form: Form = "json" if path.suffix.lower() == ".json" else "stubs"
    calls = calls or ("native" if form == "json" else "code")
    tools, mistakes = read_tools(read_text(path), path) if form == "json" else _stubs(path)
    findings = [_finding("unreadable", m.where or Where(path), m.message, m.hint or _SEE) for m in mistakes]
    if not tools and not mistakes:
        findings.append(_finding("no-tool", Where(path), "the list is empty", "topcoat catalog import FILE"))
    for tool in tools:
        where = Where(path, tool.line or None)
        findings += [*_value_findings(tool, where), *_required_findings(tool, where)]
        findings += _native_findings(tool, where, form) if calls == "native" else _code_findings(tool, where)
    return CatalogCheck(
        path=str(path),
        form=form,
        calls=calls,
        tools=[CheckedTool(name=t.name, line=t.line, parameters=_signature(t), tokens=_tokens(t)) for t in tools],
        findings=findings,
    )


def _stubs(path: Path) -> tuple[list[Tool], list[Mistake]]:
    try:
        return list(load_catalog(path).tools.values()), []
    except InvalidInput as error:
        return [], list(error.mistakes)


_SEE = "docs/catalog.md shows the two forms of a catalog"
_ERRORS = ("unreadable", "no-tool", "required-unknown", "enum-misfit")


def _finding(code: str, where: Where, message: str, hint: str) -> Finding:
    severity: Literal["error", "warning"] = "error" if code in _ERRORS else "warning"
    return Finding(code=code, severity=severity, where=str(where), message=message, hint=hint)


def _required_findings(tool: Tool, where: Where) -> Iterator[Finding]:
    properties = tool.schema.get("properties") or {}
    unknown = [name for name in tool.schema.get("required") or () if name not in properties]
    if unknown:
        message = f"{tool.name}: required, but no property: {', '.join(unknown)}"
        yield _finding("required-unknown", where, message, f'"properties": {{"{unknown[0]}": {{"type": "string"}}}}')


def _native_findings(tool: Tool, where: Where, form: Form) -> Iterator[Finding]:
    """Findings of a tool that the chat template shows the model."""
    if not tool.doc.strip():
        hint = '"description": "What it does, and when to use it."' if form == "json" else _DOCSTRING
        yield _finding("no-description", where, f"{tool.name} has no description", hint)
    if form == "json" and (bare := _undescribed(tool.schema)):
        message = f"{tool.name}: {counted(len(bare), 'argument')} without a description: {', '.join(bare)}"
        yield _finding("argument-no-description", where, message, f'"{bare[0]}": {{..., "description": "What it is."}}')
    if not _PROVIDER_NAME.fullmatch(tool.name):
        message = f"{tool.name}: OpenAI and Anthropic take letters, digits, _ and - only, at most 64"
        hint = f'"name": "{re.sub(r"[^a-zA-Z0-9_-]+", "_", tool.name)[:64]}", if a hosted model gets the tools too'
        yield _finding("provider-name", where, message, hint)
    if (tokens := _tokens(tool)) >= MANY_TOKENS:
        message = f"{tool.name} takes about {tokens} tokens in every prompt"
        yield _finding("long-schema", where, message, "shorten descriptions and enums, or make several tools of it")


def _code_findings(tool: Tool, where: Where) -> Iterator[Finding]:
    """Findings of a tool that programs call."""
    names = [tool.name, *(parameter.name for parameter in tool.parameters)]
    foreign = [name for name in names if not name.isidentifier() or keyword.iskeyword(name)]
    if foreign:
        message = f"{tool.name}: no program can write {', '.join(foreign)} as a name"
        yield _finding("not-python", where, message, 'calls = "native" under [project] in topcoat.toml')


_DOCSTRING = 'a docstring: """What it does, and when to use it."""'


def _undescribed(schema: Mapping[str, Any]) -> list[str]:
    properties = schema.get("properties") or {}
    return [name for name, inner in properties.items() if not _words_of(inner)]


def _words_of(schema: object) -> bool:
    return isinstance(schema, Mapping) and bool(schema.get("description") or "$ref" in schema)


def _value_findings(tool: Tool, where: Where) -> Iterator[Finding]:
    """Findings of the defaults and enums that don't fit the schemas they stand in.

    All claims of a tool are checked as the items of one list, so its schemas are compiled once.
    """
    from jsonschema_rs import validator_for  # takes 30 ms

    claims = list(_claims(tool.schema))
    if not claims:
        return
    dialect = str(tool.schema.get("$schema", "2020-12"))
    listed = "prefixItems" if "2020-12" in dialect else "items"
    around = {key: tool.schema[key] for key in ("$schema", "$defs", "definitions") if key in tool.schema}
    wrong: dict[int, str] = {}
    try:
        validator = validator_for({**around, listed: [claim.schema for claim in claims]}, offline=True)
        for error in validator.iter_errors([claim.value for claim in claims]):
            wrong.setdefault(int(error.instance_path[0]), error.message[:_LONGEST_FAULT])
    except (ValueError, RecursionError) as error:  # a reference to a place that isn't a definition, a million levels
        reason = str(getattr(error, "message", error))[:_LONGEST_FAULT]
        message = f"{tool.name}: whether its defaults and enums fit can't be checked: {reason}"
        yield _finding("values-unchecked", where, message, 'refer to "#/$defs/NAME" only')
    for index, fault in sorted(wrong.items()):
        claim = claims[index]
        yield _finding(claim.code, where, f"{tool.name}: the {claim.what} of {claim.place}: {fault}", claim.hint)


@dataclass(frozen=True, slots=True)
class _Claim:
    """A value that must fit a schema. The enum's is the list of its values."""

    what: Literal["default", "enum"]
    place: str
    schema: Mapping[str, Any]
    value: object

    @property
    def code(self) -> str:
        return f"{self.what}-misfit"

    @property
    def hint(self) -> str:
        if self.what == "enum":
            return "take the value out of the enum, or widen the type"
        return '"type": ["string", "null"]' if self.value is None else "write a default that fits, or none"


def _claims(schema: Mapping[str, Any]) -> Iterator[_Claim]:
    """Each default and each enum, with the schema that it stands in."""
    level: list[tuple[tuple[str, ...], Any]] = [((), schema)]
    while level:
        path, current = level.pop()
        if not isinstance(current, dict):
            continue
        place = ".".join(path) or "the arguments"
        if "default" in current:
            yield _Claim("default", place, current, current["default"])
        if isinstance(current.get("enum"), list):
            rest = {key: value for key, value in current.items() if key != "enum"}
            yield _Claim("enum", place, {"items": rest}, current["enum"])
        inside = [((*path, *_words(keys)), inner) for keys, inner in subschemas(current)]
        level += reversed(inside)


def _words(keys: tuple[str | int, ...]) -> tuple[str, ...]:
    """The keys that lead to a schema, as a person names its place: a property by its name alone."""
    return tuple(map(str, keys[1:] if keys[0] == "properties" else keys))


def _tokens(tool: Tool) -> int:
    """About how many tokens the tool's declaration takes."""
    return len(json.dumps(tool.declared, ensure_ascii=False)) // _CHARACTERS_A_TOKEN


def _signature(tool: Tool) -> list[str]:
    return [_parameter(parameter) for parameter in tool.parameters]


def _parameter(parameter: Parameter) -> str:
    stars = {"var_positional": "*", "var_keyword": "**"}.get(parameter.kind, "")
    kind = _cut(parameter.type.text or "any")
    name = f"{stars}{parameter.name}{'?' if parameter.has_default else ''}"
    if parameter.default is NO_DEFAULT or parameter.default is None:
        return f"{name}: {kind}"
    return f"{name}: {kind} = {_cut(repr(parameter.default))}"


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}…"
