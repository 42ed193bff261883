"""What is found in catalogs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema_rs import is_valid

from tests.support.schemas import json_values, schemas
from topcoat.catalogs.check import CODES, MANY_TOKENS, CatalogCheck, check_catalog
from topcoat.catalogs.read_tools import function_tool
from topcoat.demo import TEMPLATE
from topcoat.errors import InvalidInput
from topcoat.spec.agent import Route

SAID = {"type": "string", "description": "Which."}
GOOD: dict[str, Any] = {"type": "object", "properties": {"path": SAID}, "required": ["path"]}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "tools.json"


def checked(place: Path, *tools: object, calls: Route | None = None) -> CatalogCheck:
    place.write_text(json.dumps(tools, indent=1), encoding="utf-8")
    return check_catalog(place, calls)


def lines_of_tools(place: Path) -> list[int]:
    """Where the tools begin in a file that `checked` wrote: only there is a brace indented once."""
    return [number for number, line in enumerate(place.read_text().split("\n"), 1) if line == " {"]


def codes(found: CatalogCheck) -> list[str]:
    return [finding.code for finding in found.findings]


def with_argument(schema: dict[str, Any], **more: Any) -> dict[str, Any]:
    written = {"type": "object", "properties": {"a": {**SAID, **schema}}, **more}
    return function_tool("read", "Reads.", written)


def test_a_good_catalog_has_its_tools_and_no_finding(place: Path) -> None:
    more = {"limit": {"type": "integer", "description": "How many.", "default": 10}, "tag": SAID}
    wide = {**GOOD, "properties": {**more, **GOOD["properties"]}}
    found = checked(place, function_tool("read_file", "Reads.", GOOD), function_tool("list", "Lists.", wide))
    assert (found.form, found.calls, found.findings, found.errors) == ("json", "native", [], [])
    assert [(tool.name, tool.line, tool.parameters) for tool in found.tools] == [
        ("read_file", lines_of_tools(place)[0], ["path: str"]),
        ("list", lines_of_tools(place)[1], ["path: str", "limit?: int = 10", "tag?: str"]),
    ]


@pytest.mark.parametrize(
    ("tool", "code", "severity", "message"),
    [
        (
            with_argument({}, required=["a", "b"]),
            "required-unknown",
            "error",
            "read: required, but no property: b",
        ),
        (
            with_argument({"default": 1}),
            "default-misfit",
            "warning",
            'read: the default of a: 1 is not of type "string"',
        ),
        (
            with_argument({"enum": ["x", None, 1]}),
            "enum-misfit",
            "error",
            'read: the enum of a: null is not of type "string"',
        ),
        (
            with_argument({}, properties={"a": {"type": "string"}, "b": {}, "c": SAID}),
            "argument-no-description",
            "warning",
            "read: 2 arguments without a description: a, b",
        ),
        (function_tool("read", "", GOOD), "no-description", "warning", "read has no description"),
        (function_tool("read", " \n", GOOD), "no-description", "warning", "read has no description"),
        (
            function_tool("home.light", "Lights.", GOOD),
            "provider-name",
            "warning",
            "home.light: OpenAI and Anthropic take letters, digits, _ and - only, at most 64",
        ),
        (
            function_tool("a" * 65, "Lights.", GOOD),
            "provider-name",
            "warning",
            f"{'a' * 65}: OpenAI and Anthropic take letters, digits, _ and - only, at most 64",
        ),
        (
            with_argument({"type": "strin"}),
            "unreadable",
            "error",
            'the parameters of "read" are not a JSON schema: "strin" is not valid under any of the schemas listed in '
            "the 'anyOf' keyword",
        ),
        (
            with_argument({"$ref": "#/$defs/x"}),
            "unreadable",
            "error",
            "the parameters of \"read\" are not a JSON schema: Pointer '/$defs/x' does not exist",
        ),
        (
            function_tool("read", "Reads.", {"type": "array"}),
            "unreadable",
            "error",
            'the parameters of "read" must be an object\'s schema, not of type "array"',
        ),
        ({"type": "function", "function": {}}, "unreadable", "error", 'a tool needs a "name"'),
    ],
    ids=[
        "required",
        "default",
        "enum",
        "bare arguments",
        "no description",
        "blank description",
        "dot",
        "long name",
        "type",
        "reference",
        "list",
        "nameless",
    ],
)
def test_a_mistake_is_found_where_it_stands(place: Path, tool: Any, code: str, severity: str, message: str) -> None:
    found = checked(place, function_tool("good", "Is good.", GOOD), tool)
    (finding,) = found.findings
    assert (finding.code, finding.severity, finding.message) == (code, severity, message)
    assert finding.where == f"{place}:{lines_of_tools(place)[1]}"
    assert finding.hint
    assert bool(found.errors) == (severity == "error")
    assert "good" in [tool.name for tool in found.tools]


def test_two_tools_of_one_name_are_found(place: Path) -> None:
    found = checked(place, *[function_tool("read", "Reads.", GOOD)] * 2)
    assert [(f.code, f.message) for f in found.findings] == [("unreadable", '"read" is already the name of tool 1')]


def test_a_list_without_a_tool_is_found(place: Path) -> None:
    assert codes(checked(place)) == ["no-tool"]


@pytest.mark.parametrize("length", [0, 1], ids=["short", "long"])
def test_a_tool_of_thousands_of_tokens_is_found(place: Path, length: int) -> None:
    empty = len(json.dumps(function_tool("read", "", GOOD))) + len('"description": "", ')
    tool = function_tool("read", "x" * (MANY_TOKENS * 4 - empty - 1 + length), GOOD)
    found = checked(place, tool)
    assert found.tools[0].tokens == MANY_TOKENS - 1 + length
    assert codes(found) == ["long-schema"] * length


def test_names_that_no_program_can_write_matter_to_programs_only(place: Path) -> None:
    odd = {"type": "object", "properties": {"class": SAID, "X-Id": SAID, "ok": SAID}}
    tools = [function_tool("read", "", odd), function_tool("home.light", "", GOOD), function_tool("ok", "", GOOD)]
    found = checked(place, *tools, calls="code")
    assert [(f.code, f.message) for f in found.findings] == [
        ("not-python", "read: no program can write class, X-Id as a name"),
        ("not-python", "home.light: no program can write home.light as a name"),
    ]
    assert "not-python" not in codes(checked(place, *tools, calls="native"))


def test_values_are_checked_at_any_depth_and_against_definitions(place: Path) -> None:
    color = {"enum": ["red", "blue"]}
    items = {"type": "array", "description": "Some.", "items": {"$ref": "#/$defs/color", "default": "green"}}
    schema = {"type": "object", "$defs": {"color": color}, "properties": {"colors": items}}
    found = checked(place, function_tool("paint", "Paints.", schema))
    assert [f.message for f in found.findings] == [
        'paint: the default of colors.items: "green" is not one of "red" or "blue"'
    ]


def test_values_that_can_not_be_checked_are_told(place: Path) -> None:
    properties = {"a": SAID, "b": {"description": "B.", "allOf": [{"$ref": "#/properties/a"}], "default": 1}}
    found = checked(place, function_tool("read", "Reads.", {"type": "object", "properties": properties}))
    assert codes(found) == ["values-unchecked"]


@pytest.mark.parametrize(
    "dialect",
    ["https://json-schema.org/draft/2020-12/schema", "http://json-schema.org/draft-07/schema#"],
    ids=["2020", "7"],
)
def test_values_are_checked_in_the_schema_s_own_dialect(place: Path, dialect: str) -> None:
    tool = with_argument({"default": 1, "enum": ["a", 2]}, **{"$schema": dialect})
    assert sorted(codes(checked(place, tool))) == ["default-misfit", "enum-misfit"]


@given(schemas(), json_values())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_default_is_found_exactly_if_it_does_not_fit(place: Path, schema: dict[str, Any], value: object) -> None:
    tool = function_tool("read", "Reads.", {"type": "object", "properties": {"a": {**schema, "default": value}}})
    found = [f for f in checked(place, tool).findings if f.code == "default-misfit"]
    assert bool(found) == (not is_valid(schema, value))


@pytest.mark.slow
@given(schemas(), st.lists(json_values(), min_size=1, max_size=3))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_an_enum_is_found_exactly_if_a_value_does_not_fit(
    place: Path, schema: dict[str, Any], values: list[Any]
) -> None:
    schema = {key: value for key, value in schema.items() if key not in ("enum", "default")}
    tool = function_tool("read", "Reads.", {"type": "object", "properties": {"a": {**schema, "enum": values}}})
    found = [f for f in checked(place, tool).findings if f.code == "enum-misfit" and " of a: " in f.message]
    assert bool(found) == (not all(is_valid(schema, value) for value in values))


@pytest.mark.slow
@given(
    st.lists(st.builds(function_tool, st.sampled_from(["a", "b.c", " ", "class"]), st.just(""), schemas()), max_size=3)
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_finding_has_a_code_that_is_explained(place: Path, tools: list[dict[str, Any]]) -> None:
    for calls in ("native", "code"):
        found = checked(place, *tools, calls=calls)
        assert set(codes(found)) <= CODES.keys()
        assert all(finding.hint and finding.where.startswith(str(place)) for finding in found.findings)


def test_stubs_are_checked_too(tmp_path: Path) -> None:
    found = check_catalog(TEMPLATE / "tools.pyi")
    assert (found.form, found.calls, found.findings) == ("stubs", "code", [])
    assert len(found.tools) > 10
    native = check_catalog(TEMPLATE / "tools.pyi", "native")
    assert set(codes(native)) <= {"no-description"}
    broken = tmp_path / "tools.pyi"
    broken.write_text("x = 1\ndef f(a: int): ...\nprint()\n")
    assert [(f.code, f.where) for f in check_catalog(broken).findings] == [("unreadable", f"{broken}:3")]


def test_a_file_that_is_no_list_is_refused(place: Path) -> None:
    place.write_text("7")
    with pytest.raises(InvalidInput):
        check_catalog(place)
