"""Generated JSON values and JSON Schemas, small ones that values often fit."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

__all__ = ["NAMES", "json_values", "schemas"]

NAMES = ["a", "b", "c", "properties", "default"]
"""Names of properties, also such as are keywords elsewhere."""

_SCALARS = st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["", "a", "b"])


def json_values() -> st.SearchStrategy[Any]:
    """Values of few names, numbers and letters."""
    return st.recursive(
        _SCALARS,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=3),
        max_leaves=8,
    )


def schemas(leaves: st.SearchStrategy[Any] | None = None) -> st.SearchStrategy[dict[str, Any]]:
    """Valid JSON Schemas without references, or with `leaves`, which may be such."""
    simple: st.SearchStrategy[dict[str, Any]] = st.sampled_from(
        [
            {"type": "string"},
            {"type": "integer"},
            {"type": ["boolean", "null"]},
            {"type": "integer", "minimum": 0},
            {"enum": ["a", 1, None]},
            {"type": "string", "default": "a", "description": "A word."},
        ]
    )
    tree: st.SearchStrategy[dict[str, Any]] = st.recursive(
        simple if leaves is None else simple | leaves, _around, max_leaves=6
    )
    return tree


def _around(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    some = st.lists(inner, min_size=1, max_size=2)
    properties = st.dictionaries(st.sampled_from(NAMES), inner, min_size=1, max_size=3)
    objects = st.builds(
        lambda made, needed, closed: {
            "type": "object",
            "properties": made,
            **({"required": sorted(made)[:needed]} if needed else {}),
            **({"additionalProperties": False} if closed else {}),
        },
        properties,
        st.integers(0, 2),
        st.booleans(),
    )
    return (
        objects
        | st.builds(lambda items: {"type": "array", "items": items}, inner)
        | st.builds(lambda key, made: {key: made}, st.sampled_from(["anyOf", "allOf"]), some)
    )
