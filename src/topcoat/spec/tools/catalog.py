"""The tools that a model may call, and the classes of their results."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, Final, Literal

from topcoat.spec.canonical import digest_of
from topcoat.spec.tools.types import Type

__all__ = ["NO_DEFAULT", "Catalog", "Form", "NoDefault", "Parameter", "ParameterKind", "ResultClass", "Tool"]

ParameterKind = Literal["positional_only", "positional_or_keyword", "var_positional", "keyword_only", "var_keyword"]

Form = Literal["stubs", "json"]
"""How a catalog is written: as typed Python stubs, or as a list of tools with JSON Schemas."""


class NoDefault(Enum):
    """Stands for a default that a parameter doesn't have, or that its catalog doesn't show as a plain value."""

    VALUE = "none"


NO_DEFAULT: Final = NoDefault.VALUE


@dataclass(frozen=True, slots=True)
class Parameter:
    """A tool's parameter. `default` is its plain value, if the catalog shows one."""

    name: str
    type: Type
    has_default: bool
    kind: ParameterKind
    default: object = NO_DEFAULT


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that the model may call.

    `returns` is its result's type. An `is_async` tool's result is awaited. `declared` is the tool in OpenAI's form,
    `{"type": "function", "function": {"name", "description", "parameters"}}`: what a chat template shows the model.
    """

    name: str
    parameters: tuple[Parameter, ...]
    returns: Type
    doc: str
    line: int
    is_async: bool = False
    declared: Mapping[str, Any] = field(default_factory=dict)

    @property
    def schema(self) -> Mapping[str, Any]:
        """The JSON Schema of the arguments: an object's."""
        schema: Mapping[str, Any] = self.declared.get("function", {}).get("parameters") or {"type": "object"}
        return schema

    @property
    def positional(self) -> list[str]:
        """The positional parameters, in order."""
        return [p.name for p in self.parameters if p.kind in ("positional_only", "positional_or_keyword")]

    @property
    def required(self) -> list[Parameter]:
        """The parameters that every call must give."""
        return [p for p in self.parameters if not p.has_default and p.kind not in ("var_positional", "var_keyword")]

    def accepts(self, name: str) -> bool:
        """Whether the tool takes an argument called `name`."""
        return any(p.kind == "var_keyword" or (p.name == name and p.kind != "var_positional") for p in self.parameters)


@dataclass(frozen=True, slots=True)
class ResultClass:
    """The class of a result: field names and their types, inherited fields first.

    `methods` has each method's return type. A property counts as a field. `defaults` are the plain values that the stub
    gives to fields. An `is_dict` class is a TypedDict: its fields are keys.
    """

    name: str
    fields: Mapping[str, Type]
    line: int
    methods: Mapping[str, Type] = field(default_factory=dict)
    defaults: Mapping[str, object] = field(default_factory=dict)
    is_dict: bool = False


@dataclass(frozen=True, slots=True)
class Catalog:
    """Every tool and every result class of a file, by name, in the order of the file. `source` is stubs of them."""

    path: Path
    tools: Mapping[str, Tool]
    results: Mapping[str, ResultClass] = field(default_factory=dict)
    source: str = ""
    form: Form = "stubs"

    @property
    def declared(self) -> list[Mapping[str, Any]]:
        """The tools in OpenAI's form."""
        return [tool.declared for tool in self.tools.values()]

    @property
    def digest(self) -> str:
        """sha256 of the file's meaning. Moving lines or editing comments doesn't change it."""
        if self.form == "json":
            return digest_of(self.declared)
        tools = [
            [
                t.name,
                [[p.name, p.type.text, p.has_default, p.kind] for p in t.parameters],
                t.returns.text,
                t.doc,
                t.is_async,
            ]
            for t in self.tools.values()
        ]
        results = [
            [r.name, _texts(r.fields), _texts(r.methods), list(r.defaults.items()), r.is_dict]
            for r in self.results.values()
        ]
        return digest_of([tools, results])


def _texts(types: Mapping[str, Type]) -> list[tuple[str, str]]:
    return [(name, kind.text) for name, kind in types.items()]
