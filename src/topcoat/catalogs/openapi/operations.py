"""Reads an OpenAPI document, 3.0 or 3.1, as one tool for each operation.

A tool's arguments are the operation's parameters (of the path, the query and the headers) and the properties of its
body. Where they stand in a request, and how they are written there, is no matter of the model's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from topcoat.catalogs.openapi.arguments import Arguments
from topcoat.catalogs.openapi.dialect import Dialect
from topcoat.catalogs.openapi.references import References, Unresolved
from topcoat.catalogs.read_tools import ReadTools, function_tool
from topcoat.errors import InvalidInput, Where

__all__ = ["MAX_VALUES_IN_ALL", "is_openapi", "read_openapi"]

MAX_VALUES_IN_ALL = 500_000
"""The most values of all schemas together."""

_METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
_PLACES = ("path", "query", "header")
_HEADERS_OF_HTTP = ("accept", "content-type", "authorization")
"""Headers that the document's other parts describe; OpenAPI ignores parameters of these names."""
_JSON = re.compile(r"application/(?:[\w.+-]*\+)?json|application/x-www-form-urlencoded|\*/\*|application/\*")
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_.-]+")


@dataclass(frozen=True, slots=True)
class _Operation:
    """One operation. `shared` are the parameters of its path."""

    method: str
    path: str
    data: dict[str, Any]
    shared: list[Any]

    @property
    def place(self) -> str:
        return f"{self.method.upper()} {self.path}"


def is_openapi(document: object) -> bool:
    """Whether the document says that it is one of OpenAPI, of any version."""
    return isinstance(document, dict) and ("openapi" in document or "swagger" in document)


def read_openapi(document: dict[str, Any], path: Path) -> ReadTools:
    """The operations of `document`, read from `path`, as tools.

    Operations that can't be a tool are left out, and told. Raises `InvalidInput` for another version of OpenAPI, and
    if there is no operation.
    """
    version = _version(document, path)
    reader = _Reader(document, ReadTools(f"OpenAPI {version}"))
    found = 0
    for operation in _operations(document, reader):
        found += 1
        reader.read(operation)
        if reader.values > MAX_VALUES_IN_ALL:
            message = f"the tools have more than {MAX_VALUES_IN_ALL} values once their references are resolved"
            raise InvalidInput(message, where=Where(path), hint="import a document with fewer operations")
    if not found:
        raise InvalidInput("the document has no operation", where=Where(path), hint='"paths" lists the operations')
    return reader.finished()


def _version(document: dict[str, Any], path: Path) -> str:
    version = document.get("openapi", document.get("swagger"))
    if isinstance(version, str) and re.match(r"3\.[01](\.|$)", version):
        return version
    if "swagger" in document:
        hint = f"npx swagger2openapi '{path}' --outfile openapi.json"
        raise InvalidInput(
            f"this is Swagger {str(version)[:20]}, which came before OpenAPI", where=Where(path), hint=hint
        )
    message = f"OpenAPI {str(version)[:20]} isn't read, only 3.0 and 3.1 are"
    raise InvalidInput(message, where=Where(path), hint='"openapi": "3.1.0"')


def _operations(document: dict[str, Any], reader: _Reader) -> Iterator[_Operation]:
    paths = document.get("paths")
    for path, written in paths.items() if isinstance(paths, dict) else ():
        try:
            item = reader.references.followed(written)
        except Unresolved as problem:
            reader.tools.leave_out(f"paths that can't be read: {problem}", path)
            continue
        if not isinstance(item, dict):
            reader.tools.leave_out("paths that aren't objects", path)
            continue
        shared = item.get("parameters")
        for method in _METHODS:
            if method not in item:
                continue
            operation = _Operation(method, path, item[method], shared if isinstance(shared, list) else [])
            if isinstance(operation.data, dict):
                yield operation
            else:
                reader.tools.leave_out("operations that aren't objects", operation.place)
    webhooks = document.get("webhooks")
    for name in webhooks if isinstance(webhooks, dict) else ():
        reader.tools.leave_out("webhooks, which the server calls", name)


class _Reader:
    """Makes tools of operations, one after another."""

    def __init__(self, document: dict[str, Any], tools: ReadTools) -> None:
        self._dialect = Dialect()
        self.references = References(document, self._dialect)
        self.tools = tools
        self.values = 0
        self._names: set[str] = set()
        self._read_only = 0

    def read(self, operation: _Operation) -> None:
        """Add the operation's tool, or say why it has none."""
        arguments = Arguments()
        values, self._read_only = self.values, 0
        try:
            for parameter in self._parameters(operation):
                self._add_parameter(arguments, parameter, operation)
            words = self._add_body(arguments, operation)
        except Unresolved as problem:
            self.values = values
            self.tools.leave_out(f"operations that can't be a tool: {problem}", operation.place)
            return
        name = self._name(operation)
        description = _joined_words([operation.data.get("summary"), operation.data.get("description"), words])
        self.tools.tools.append(function_tool(name, description, arguments.schema))
        for renamed in arguments.renamed:
            self.tools.note("arguments renamed, as another place of the request has the name", f"{name}: {renamed}")
        if operation.data.get("deprecated") is True:
            self.tools.note("deprecated, and read all the same", name)
        if self._read_only:
            self.tools.leave_out("properties that only answers have (readOnly)", f"{name} ({self._read_only})")

    def finished(self) -> ReadTools:
        """All tools, with what concerns all of them."""
        for keyword, count in self._dialect.dropped.items():
            self.tools.leave_out("keywords of schemas that no model needs", f"{keyword} ({count})")
        return self.tools

    def _parameters(self, operation: _Operation) -> list[dict[str, Any]]:
        """The parameters of the path and the operation. The operation's replace those of the same place and name."""
        own = operation.data.get("parameters")
        found: dict[tuple[str, str], dict[str, Any]] = {}
        for written in [*operation.shared, *(own if isinstance(own, list) else [])]:
            parameter = self.references.followed(written)
            if not isinstance(parameter, dict) or not isinstance(parameter.get("name"), str):
                raise Unresolved("a parameter has no name")
            found[str(parameter.get("in")), parameter["name"]] = parameter
        return list(found.values())

    def _add_parameter(self, arguments: Arguments, parameter: dict[str, Any], operation: _Operation) -> None:
        place, name = parameter.get("in"), parameter["name"]
        if place == "cookie":
            self.tools.leave_out("parameters in cookies", f'"{name}" of {operation.place}')
        elif place == "header" and name.lower() in _HEADERS_OF_HTTP:
            self.tools.leave_out("headers of HTTP itself", f'"{name}" of {operation.place}')
        elif place not in _PLACES:
            raise Unresolved(f'the parameter "{name}" is in no place that OpenAPI has')
        else:
            schema = _described(self._resolved(_parameter_schema(parameter)), parameter)
            arguments.add(str(place), name, schema, parameter.get("required") is True or place == "path")

    def _add_body(self, arguments: Arguments, operation: _Operation) -> str:
        """Add the body's arguments. Gives the words about it that found no place in the schema."""
        body = self.references.followed(operation.data.get("requestBody"))
        content = body.get("content") if isinstance(body, dict) else None
        if not isinstance(content, dict) or not content:
            return ""
        required = body.get("required") is True
        types = {
            kind: media for kind, media in content.items() if _JSON.fullmatch(kind.partition(";")[0].strip().lower())
        }
        if not types:
            kinds = ", ".join(list(content)[:3])
            if required:
                raise Unresolved(f"its body is no JSON but {kinds}")
            self.tools.leave_out(f"bodies that are no JSON but {kinds}, and aren't required", operation.place)
            return ""
        media = next(iter(sorted(types.items(), key=lambda pair: "json" not in pair[0].lower())))[1]
        schema = self._resolved(media.get("schema", {}) if isinstance(media, dict) else {})
        return arguments.add_body(_described(schema, body), required)

    def _resolved(self, schema: Any) -> Any:
        found = self.references.resolved(schema)
        self.values += found.values
        self._read_only += found.read_only
        return found.schema

    def _name(self, operation: _Operation) -> str:
        """The operation's id, or its method and path; without characters that no name has, and not used before."""
        given = operation.data.get("operationId")
        name = _cleaned(given) if isinstance(given, str) else ""
        if name and name not in self._names:
            if name != given:
                self.tools.note("renamed, as no name has such characters", f'"{given}" as {name}')
        else:
            why = "as another has the operationId" if name else "having no operationId"
            name = self._name_of_place(operation)
            self.tools.note(f"named by method and path, {why}", f"{operation.place} as {name}")
        self._names.add(name)
        return name

    def _name_of_place(self, operation: _Operation) -> str:
        name = base = _cleaned(f"{operation.method} {operation.path}")
        number = 2
        while name in self._names:
            name, number = f"{base}_{number}", number + 1
        return name


def _cleaned(text: str) -> str:
    """`text` without the characters that no tool's name has."""
    return _NOT_IN_NAMES.sub("_", text).strip("_")


def _described(schema: Any, around: dict[str, Any]) -> Any:
    """A schema with the words of the parameter or the body around it."""
    if not isinstance(schema, dict):
        return schema
    said = {"description": around["description"]} if isinstance(around.get("description"), str) else {}
    old = {"deprecated": True} if around.get("deprecated") is True else {}
    return {**schema, **said, **old}


def _parameter_schema(parameter: dict[str, Any]) -> Any:
    """A parameter's schema, which may stand in its content."""
    content = parameter.get("content")
    if "schema" not in parameter and isinstance(content, dict):
        return next((media.get("schema", {}) for media in content.values() if isinstance(media, dict)), {})
    return parameter.get("schema", {})


def _joined_words(parts: list[object]) -> str:
    """The texts as paragraphs. One that another begins with is part of it."""
    kept: list[str] = []
    for text in (part.strip() for part in parts if isinstance(part, str)):
        if not any(known.startswith(text) for known in kept):
            kept = [*(known for known in kept if not text.startswith(known)), text]
    return "\n\n".join(kept)
