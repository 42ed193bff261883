"""Prints docs/keys.md: every key of every file that a user writes. `python docs/make_keys.py > docs/keys.md`.

Types and defaults are the spec's (`src/topcoat/spec`), meanings the texts below its fields.
"""

import ast
import inspect
import json
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel, TypeAdapter

from topcoat.spec.case_template import CaseTemplate, TemplateFile
from topcoat.spec.episodes.turn import CannedResult, Turn
from topcoat.spec.example import Example
from topcoat.spec.expect import Expect, ExpectedCall
from topcoat.spec.message import Message
from topcoat.spec.phase_tables.data import DataSpec, PhaseSection
from topcoat.spec.phase_tables.fuse import FuseSpec
from topcoat.spec.phase_tables.gate import CanarySpec, GateSpec, GuardSpec, RetrySpec
from topcoat.spec.phase_tables.train import LoraSpec, TrainSpec
from topcoat.spec.project import (
    CaptureSection,
    EvalSection,
    ProjectSection,
    ReportSection,
    ServeSection,
    SuccessPatterns,
    SuccessSection,
)
from topcoat.spec.rules.rule import Rule
from topcoat.spec.suite import Case

TABLES: Mapping[str, tuple[str, Mapping[str, type]]] = {
    "topcoat.toml": (
        "The project. Paths are relative to its folder.",
        {
            "[project]": ProjectSection,
            "[eval]": EvalSection,
            "[capture]": CaptureSection,
            "[capture.success]": SuccessSection,
            "[capture.success.tools.NAME]": SuccessPatterns,
            "[serve]": ServeSection,
            "[report]": ReportSection,
        },
    ),
    "phases/NAME.toml": (
        "A phase. `topcoat plan --write` writes it too.",
        {
            "[phase]": PhaseSection,
            "[data]": DataSpec,
            "[train]": TrainSpec,
            "[train.lora]": LoraSpec,
            "[fuse]": FuseSpec,
            "[gate]": GateSpec,
            "[gate.canary]": CanarySpec,
            "[guard]": GuardSpec,
            "[retry]": RetrySpec,
        },
    ),
    "suites/NAME.jsonl": (
        "The cases, one a line. [suites.md](suites.md) explains them.",
        {
            "A case": Case,
            "expect": Expect,
            "A call of expect": ExpectedCall,
            "A rule": Rule,
            "A turn of turns": Turn,
            "A result of results": CannedResult,
            "A message": Message,
        },
    ),
    "suites/templates.toml": (
        "Templates of cases, for `topcoat suite expand`. [suites.md](suites.md) explains them.",
        {"The file": TemplateFile, "[[template]]": CaseTemplate},
    ),
    "data/NAME.jsonl": (
        "The examples, one a line, in mlx-lm's chat format. Their messages have the keys of [a message](#a-message).",
        {"An example": Example},
    ),
}

CATALOGS = """\
## tools.json and tools.pyi

The catalog. [catalog.md](catalog.md) explains it. A file in JSON is a list of tools, or an object with the list `tools`
alone or in `result`, as MCP answers `tools/list`. A tool has these keys, or has them in `function`, beside
`"type": "function"`.

| key | type | default | meaning |
| --- | --- | --- | --- |
| `name` | text | required | The tool's name. No other tool has it. |
| `description` | text | not set | What the tool does, for the model. |
| `parameters` | JSON Schema of an object | any object | Also `inputSchema` (MCP) or `input_schema` (Anthropic). |

Other keys are shown to the model if the tool is in OpenAI's form, and to nobody otherwise.

A file that doesn't end in `.json` is stubs: Python functions with types and without bodies, and the classes of their
results."""


def meanings(cls: type) -> dict[str, str]:
    """The texts below the fields of a class and of the classes that it extends, by field."""
    found: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        if not base.__module__.startswith("topcoat."):
            continue
        (node,) = ast.parse(textwrap.dedent(inspect.getsource(base))).body
        assert isinstance(node, ast.ClassDef)
        for field, text in zip(node.body, node.body[1:], strict=False):
            if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
                found[ast.unparse(field.target)] = " ".join(str(text.value.value).split())
    return found


def kind(schema: Mapping[str, Any]) -> str:
    """A JSON Schema in a few words."""
    if "$ref" in schema:
        return "any value" if schema["$ref"].endswith("/JsonValue") else "object"
    if "anyOf" in schema:
        return " or ".join(kind(part) for part in schema["anyOf"] if part.get("type") != "null")
    if "const" in schema or "enum" in schema:
        *first, last = (f"`{json.dumps(value)}`" for value in schema.get("enum") or [schema["const"]])
        return f"{', '.join(first)} or {last}" if first else last
    if schema.get("type") == "array":
        return f"list of {plural(schema['items'])}"
    if schema.get("type") == "object":
        values = schema.get("additionalProperties") or next(iter(schema.get("patternProperties", {}).values()), None)
        return f"{plural(values)} by name" if isinstance(values, dict) else "object"
    named = {"string": "text", "boolean": "`true` or `false`", "integer": "whole number", "number": "number"}
    return f"{named.get(schema.get('type', ''), 'any value')}{bounds(schema)}"


def plural(schema: Mapping[str, Any]) -> str:
    """A JSON Schema in a few words, of several values."""
    if "anyOf" in schema:
        return " or ".join(plural(part) for part in schema["anyOf"])
    one = kind(schema)
    for noun in ("text", "whole number", "number", "object", "any value", "list"):
        if one.startswith(noun):
            return f"{noun.removeprefix('any ')}s{one[len(noun) :]}"
    return one


LARGEST = 10**9
"""Larger limits only keep numbers in the range of a computer."""


def bounds(schema: Mapping[str, Any]) -> str:
    """The limits of a number, with a space before them."""
    signs = {"exclusiveMinimum": ">", "minimum": "≥", "exclusiveMaximum": "<", "maximum": "≤"}
    limits = [f"{sign} {schema[key]}" for key, sign in signs.items() if schema.get(key, LARGEST) < LARGEST]
    return f" {' and '.join(limits)}" if limits else ""


def default(cls: type, key: str, schema: Mapping[str, Any], required: bool) -> str:
    if required:
        return "required"
    if issubclass(cls, BaseModel):
        value = cls.model_fields[key].get_default(call_default_factory=True)
    else:
        value = schema.get("default")
    if value is None:
        return "not set"
    return "its defaults" if isinstance(value, BaseModel) else f"`{json.dumps(value)}`"


def rows(cls: type) -> Iterator[str]:
    """The lines of a class's table. Raises `KeyError` for a key without a meaning."""
    schema = TypeAdapter(cls).json_schema()
    if "properties" not in schema:  # it contains itself
        schema = schema["$defs"][cls.__name__]
    told = meanings(cls)
    for key, value in schema["properties"].items():
        cells = f"`{key}`", kind(value), default(cls, key, value, key in schema.get("required", ())), told[key]
        yield f"| {' | '.join(cells)} |"


def said(cls: type) -> str:
    """What a class says of itself, without the name of its table, which is the heading."""
    first, *rest = inspect.cleandoc(cls.__doc__ or "").split("\n\n")
    opening = first.rpartition("]: ")[2]
    paragraphs = [opening if opening.startswith("mlx-lm") else opening[0].upper() + opening[1:], *rest]
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


print("# Every key of every file\n")
print(
    "Made by `python docs/make_keys.py` from `src/topcoat/spec`. A test compares. Unknown keys are refused, except in"
)
print("examples and messages. [commands.md](commands.md) lists the options of commands.")
for name, (about, tables) in TABLES.items():
    print(f"\n## {name}\n\n{about}")
    for heading, cls in tables.items():
        print(f"\n### {heading if heading[0] != '[' else f'`{heading}`'}\n\n{said(cls)}\n")
        print("| key | type | default | meaning |\n| --- | --- | --- | --- |")
        print("\n".join(rows(cls)))
print(f"\n{CATALOGS}")
