"""Tools from a whole OpenAPI document."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from tests.support.pet_shop import pet_shop
from topcoat.catalogs.openapi.operations import is_openapi, read_openapi
from topcoat.catalogs.read_tools import ReadTools, name_of
from topcoat.errors import InvalidInput

PLACE = Path("openapi.json")
PHONE = {"type": ["object", "null"], "properties": {"phone": {"type": "string"}}}
PET = {"name": {"type": "string", "examples": ["Rex"]}, "owner": PHONE}


def read(document: dict[str, Any]) -> ReadTools:
    return read_openapi(document, PLACE)


def document(operation: Any, *, method: str = "get", path: str = "/a", **more: Any) -> dict[str, Any]:
    return {"openapi": "3.1.0", "paths": {path: {method: operation}}, **more}


def body(schema: Any, kind: str = "application/json") -> dict[str, Any]:
    return {"operationId": "a", "requestBody": {"required": True, "content": {kind: {"schema": schema}}}}


def schema_of(found: ReadTools) -> Any:
    (tool,) = found.tools
    return tool["function"]["parameters"]


def test_a_shop_becomes_tools() -> None:
    tools = {name_of(tool): tool["function"] for tool in read(pet_shop()).tools}
    assert list(tools) == [
        "list_pets",
        "createPet",
        "updatePet",
        "delete_pets_id",
        "patchPet",
        "get_search",
        "order",
        "note",
    ]
    tenant = {"X-Tenant": {"type": "string"}}
    number = {"id": {"type": "integer", "exclusiveMinimum": 0}}
    assert tools["list_pets"] == {
        "name": "list_pets",
        "description": "List pets, newest first.",
        "parameters": {
            "type": "object",
            "properties": {
                **tenant,
                "limit": {"type": "integer", "default": 20, "maximum": 100, "description": "How many."},
                "status": {"type": ["string", "null"], "enum": ["free", "sold", None]},
            },
            "required": ["X-Tenant"],
        },
    }
    assert tools["createPet"]["parameters"] == {
        "type": "object",
        "properties": {**tenant, **PET},
        "required": ["X-Tenant", "name"],
    }
    assert tools["updatePet"]["parameters"]["properties"] == {**number, **PET}
    assert tools["delete_pets_id"]["description"] == "Remove a pet"
    assert tools["patchPet"]["parameters"]["required"] == ["id", "body"]
    assert tools["get_search"]["parameters"]["properties"] == {"filter": {"type": "object"}}
    assert tools["order"]["parameters"]["properties"] == {
        "id": {"type": "integer"},
        "body_id": {"type": "string"},
        "note": {"type": "string"},
    }


def test_what_is_left_out_renamed_and_rewritten_is_told() -> None:
    found = read(pet_shop())
    assert found.form == "OpenAPI 3.0.3"
    assert {left.what: list(left.names) for left in found.left_out} == {
        "parameters in cookies": ['"session" of GET /pets', '"session" of POST /pets'],
        "headers of HTTP itself": ['"Authorization" of GET /pets', '"Authorization" of POST /pets'],
        "operations that can't be a tool: #/components/schemas/Node refers to itself": ["POST /tree"],
        "operations that can't be a tool: its body is no JSON but multipart/form-data": ["POST /photo"],
        "bodies that are no JSON but text/plain, and aren't required": ["POST /note"],
        "paths that can't be read: paths.yaml#/elsewhere is in another file": ["/elsewhere"],
        "properties that only answers have (readOnly)": ["createPet (1)", "updatePet (1)"],
        "keywords of schemas that no model needs": ["xml (1)"],
    }
    assert {note.what: list(note.names) for note in found.notes} == {
        "renamed, as no name has such characters": ['"list pets" as list_pets'],
        "named by method and path, having no operationId": ["DELETE /pets/{id} as delete_pets_id"],
        "named by method and path, as another has the operationId": ["GET /search as get_search"],
        "arguments renamed, as another place of the request has the name": ['order: "id" of its body as body_id'],
        "deprecated, and read all the same": ["updatePet"],
    }


def test_reading_changes_nothing_in_the_document() -> None:
    written = pet_shop()
    before = copy.deepcopy(written)
    read(written)
    assert written == before


def test_a_parameter_of_the_operation_replaces_the_one_of_its_path() -> None:
    shared = {"name": "n", "in": "query", "schema": {"type": "string"}}
    own = {"name": "n", "in": "query", "schema": {"type": "integer"}}
    written = {"openapi": "3.0.0", "paths": {"/a": {"parameters": [shared], "get": {"parameters": [own]}}}}
    assert schema_of(read(written))["properties"] == {"n": {"type": "integer"}}


def test_json_is_taken_where_a_body_may_be_written_in_several_ways() -> None:
    content = {
        "application/xml": {"schema": {"type": "string"}},
        "application/x-www-form-urlencoded": {"schema": {"type": "object", "properties": {"form": {}}}},
        "application/vnd.api+json; charset=utf-8": {"schema": {"type": "object", "properties": {"json": {}}}},
    }
    found = read(document({"operationId": "a", "requestBody": {"content": content}}, method="post"))
    assert list(schema_of(found)["properties"]) == ["json"]


def test_the_words_of_a_merged_body_are_in_the_description() -> None:
    operation = {**body({"type": "object", "properties": {"a": {}}}), "summary": "Add."}
    operation["requestBody"]["description"] = "What to add."
    (tool,) = read(document(operation)).tools
    assert tool["function"]["description"] == "Add.\n\nWhat to add."


def test_operations_of_one_name_get_numbers() -> None:
    written = {"openapi": "3.0.0", "paths": {"/a/": {"get": {}}, "/a": {"get": {}}, "/{a}": {"get": {}}}}
    assert [name_of(tool) for tool in read(written).tools] == ["get_a", "get_a_2", "get_a_3"]


def test_webhooks_are_told() -> None:
    found = read(document({}, webhooks={"sold": {"post": {}}}))
    assert [(left.what, left.names) for left in found.left_out] == [("webhooks, which the server calls", ("sold",))]


@pytest.mark.parametrize(
    ("operation", "why"),
    [
        ({"parameters": [{"in": "query"}]}, "a parameter has no name"),
        ({"parameters": [1]}, "a parameter has no name"),
        ({"parameters": [{"name": "a", "in": "body"}]}, 'the parameter "a" is in no place that OpenAPI has'),
        ({"parameters": [{"$ref": "#/x"}]}, "#/x isn't there"),
        ({"requestBody": {"$ref": "#/x"}}, "#/x isn't there"),
        (body({"$ref": "#/x"}), "#/x isn't there"),
        (body({}, "application/octet-stream"), "its body is no JSON but application/octet-stream"),
    ],
    ids=["nameless", "number", "place", "parameter", "body", "schema", "bytes"],
)
def test_an_operation_that_is_no_tool_is_left_out_with_the_reason(operation: Any, why: str) -> None:
    written = document(operation)
    written["paths"]["/b"] = {"get": {"operationId": "b"}}
    found = read(written)
    assert [name_of(tool) for tool in found.tools] == ["b"]
    assert [(left.what, left.names) for left in found.left_out] == [
        (f"operations that can't be a tool: {why}", ("GET /a",))
    ]


@pytest.mark.parametrize(
    ("written", "message", "hint"),
    [
        ({"swagger": "2.0"}, "this is Swagger 2.0, which came before OpenAPI", "npx swagger2openapi"),
        ({"openapi": "4.0.0"}, "OpenAPI 4.0.0 isn't read, only 3.0 and 3.1 are", "3.1.0"),
        ({"openapi": 3}, "OpenAPI 3 isn't read, only 3.0 and 3.1 are", "3.1.0"),
        ({"openapi": "3.1.0"}, "the document has no operation", "paths"),
        ({"openapi": "3.1.0", "paths": []}, "the document has no operation", "paths"),
        ({"openapi": "3.1.0", "paths": {"/a": 1, "/b": {"get": 1}}}, "the document has no operation", "paths"),
    ],
    ids=["swagger", "newer", "number", "no paths", "list", "nothing"],
)
def test_another_document_is_refused(written: dict[str, Any], message: str, hint: str) -> None:
    assert is_openapi(written)
    with pytest.raises(InvalidInput) as caught:
        read(written)
    assert caught.value.message == message
    assert hint in (caught.value.hint or "")


def test_tools_that_are_too_large_together_are_refused() -> None:
    schemas = {"big": {"enum": list(range(9_000))}}
    paths = {f"/{n}": {"post": body({"$ref": "#/components/schemas/big"})} for n in range(60)}
    with pytest.raises(InvalidInput, match="more than 500000 values"):
        read({"openapi": "3.1.0", "paths": paths, "components": {"schemas": schemas}})
