"""An OpenAPI document of a small shop, with what real ones have: references, parts, and much that is no tool."""

from __future__ import annotations

import copy
from typing import Any

__all__ = ["pet_shop"]

_NAMED = {
    "type": "object",
    "required": ["name"],
    "properties": {
        "id": {"type": "integer", "readOnly": True},
        "name": {"type": "string", "example": "Rex"},
    },
}
_JSON = "application/json"
_SHOP: dict[str, Any] = {
    "openapi": "3.0.3",
    "info": {"title": "Pet shop", "version": "1"},
    "paths": {
        "/pets": {
            "parameters": [
                {"name": "X-Tenant", "in": "header", "required": True, "schema": {"type": "string"}},
                {"name": "session", "in": "cookie", "schema": {"type": "string"}},
                {"name": "Authorization", "in": "header", "schema": {"type": "string"}},
            ],
            "get": {
                "operationId": "list pets",
                "summary": "List pets",
                "description": "List pets, newest first.",
                "parameters": [
                    {"$ref": "#/components/parameters/limit"},
                    {
                        "name": "status",
                        "in": "query",
                        "schema": {"type": "string", "enum": ["free", "sold"], "nullable": True},
                    },
                ],
                "responses": {},
            },
            "post": {
                "operationId": "createPet",
                "requestBody": {"required": True, "content": {_JSON: {"schema": {"$ref": "#/components/schemas/Pet"}}}},
            },
        },
        "/pets/{id}": {
            "parameters": [
                {
                    "name": "id",
                    "in": "path",
                    "required": True,
                    "schema": {"type": "integer", "minimum": 0, "exclusiveMinimum": True},
                }
            ],
            "put": {
                "operationId": "updatePet",
                "deprecated": True,
                "requestBody": {"$ref": "#/components/requestBodies/pet"},
            },
            "delete": {"summary": "Remove a pet"},
            "patch": {
                "operationId": "patchPet",
                "requestBody": {
                    "required": True,
                    "content": {"application/json-patch+json": {"schema": {"type": "array", "items": {}}}},
                },
            },
        },
        "/search": {
            "get": {
                "operationId": "createPet",
                "parameters": [
                    {"name": "filter", "in": "query", "content": {_JSON: {"schema": {"type": "object"}}}},
                ],
            }
        },
        "/orders/{id}": {
            "post": {
                "operationId": "order",
                "parameters": [{"name": "id", "in": "path", "required": True, "schema": {"type": "integer"}}],
                "requestBody": {
                    "content": {
                        "application/x-www-form-urlencoded": {
                            "schema": {
                                "type": "object",
                                "required": ["id"],
                                "properties": {"id": {"type": "string"}, "note": {"type": "string"}},
                            }
                        }
                    }
                },
            }
        },
        "/tree": {
            "post": {
                "operationId": "plant",
                "requestBody": {"content": {_JSON: {"schema": {"$ref": "#/components/schemas/Node"}}}},
            }
        },
        "/photo": {
            "post": {
                "operationId": "photo",
                "requestBody": {"required": True, "content": {"multipart/form-data": {"schema": {"type": "object"}}}},
            }
        },
        "/note": {
            "post": {"operationId": "note", "requestBody": {"content": {"text/plain": {"schema": {"type": "string"}}}}}
        },
        "/elsewhere": {"$ref": "paths.yaml#/elsewhere"},
    },
    "components": {
        "parameters": {
            "limit": {
                "name": "limit",
                "in": "query",
                "description": "How many.",
                "schema": {"type": "integer", "default": 20, "maximum": 100},
            }
        },
        "requestBodies": {
            "pet": {"required": True, "content": {_JSON: {"schema": {"$ref": "#/components/schemas/Pet"}}}}
        },
        "schemas": {
            "Pet": {"allOf": [_NAMED, {"properties": {"owner": {"$ref": "#/components/schemas/Owner"}}}]},
            "Owner": {
                "type": "object",
                "nullable": True,
                "xml": {"name": "o"},
                "properties": {"phone": {"type": "string"}},
            },
            "Node": {"type": "object", "properties": {"next": {"$ref": "#/components/schemas/Node"}}},
        },
    },
}


def pet_shop() -> dict[str, Any]:
    """A copy of the document."""
    return copy.deepcopy(_SHOP)
