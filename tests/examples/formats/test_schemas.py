"""Functions become OpenAI's tools, and types of Python JSON Schema's."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.data_sets import PARAMETERS
from topcoat.examples.formats.json_texts import Said, Untranslatable
from topcoat.examples.formats.schemas import KEPT_TYPE, REPEATED, openai_tools

TEXT, NUMBER, COUNT = {"type": "string"}, {"type": "number"}, {"type": "integer"}


def parameters(given: Any, **beside: Any) -> tuple[Any, int]:
    """The schema of a function's parameters, and how many types were kept in words."""
    said = Said()
    (tool,) = openai_tools([{"name": "f", "parameters": given, **beside}], said)
    return tool["function"]["parameters"], said[KEPT_TYPE]


@pytest.mark.parametrize(
    ("written", "schema"),
    [
        ("str", TEXT),
        ("List[int]", {"type": "array", "items": COUNT}),
        ("list", {"type": "array"}),
        ("List[List[str]]", {"type": "array", "items": {"type": "array", "items": TEXT}}),
        ("Dict[str, Any]", {"type": "object"}),
        ("Dict[str, float]", {"type": "object", "additionalProperties": NUMBER}),
        ("dict", {"type": "object"}),
        ("Tuple[float, int]", {"type": "array", "prefixItems": [NUMBER, COUNT], "minItems": 2, "maxItems": 2}),
        ("Tuple[int, ...]", {"type": "array", "items": COUNT}),
        ("Tuple", {"type": "array"}),
        ("Set[int]", {"type": "array", "uniqueItems": True, "items": COUNT}),
        ("Optional[str]", {"anyOf": [TEXT, {"type": "null"}]}),
        ("Union[int, List[float]]", {"anyOf": [COUNT, {"type": "array", "items": NUMBER}]}),
        ("int | None", {"anyOf": [COUNT, {"type": "null"}]}),
        ("Literal['a', 'b']", {"enum": ["a", "b"]}),
        ("typing.List[int]", {"type": "array", "items": COUNT}),
        ("Any", {}),
        ("string", TEXT),
    ],
)
def test_a_type_becomes_a_schema(written: str, schema: dict[str, Any]) -> None:
    optional = written.startswith("Optional")
    made, kept = parameters({"a": {"type": written, "description": "d"}, "b": {"type": f"{written}, optional"}})
    assert made["properties"] == {"a": {**schema, "description": "d"}, "b": schema}
    assert made.get("required") == (None if optional else ["a"])
    assert kept == 0


@pytest.mark.parametrize(
    "written", ["Callable[[float], float]", "List[Callable]", "complex", "np.ndarray", "Dict[int, str]", "%", "int[", 3]
)
def test_a_type_that_json_schema_lacks_is_kept_in_words_and_counted(written: Any) -> None:
    made, kept = parameters({"a": {"type": written, "description": "d"}, "b": {"type": "str"}})
    assert made["properties"] == {"a": {"description": f"d (type: {written})"}, "b": TEXT}
    assert made["required"] == ["a", "b"]
    assert kept == 1


def test_words_behind_a_type_and_a_default_are_kept() -> None:
    made, _ = parameters({"a": {"type": "int, between 1 and 3, optional"}, "b": {"type": "str", "default": "x"}})
    assert made == {
        "type": "object",
        "properties": {"a": {**COUNT, "description": "(between 1 and 3)"}, "b": {**TEXT, "default": "x"}},
    }


def test_types_within_a_schema_and_names_beside_it() -> None:
    inner = {"type": "dict", "properties": {"type": {"type": "float", "required": True}, "n": {"type": "int"}}}
    given = {"type": "dict", "properties": {"a": {"type": "list", "items": inner, "enum": None}}, "required": None}
    assert parameters(given, required=["a"]) == (
        {
            "type": "object",
            "properties": {
                "a": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "properties": {"type": NUMBER, "n": COUNT},
                        "required": ["type"],
                    },
                }
            },
            "required": ["a"],
        },
        0,
    )


def test_required_marks_join_the_names_that_are_listed() -> None:
    marked = {"a": {"type": "int", "required": True}, "b": {"type": "int", "required": False}, "c": {"type": "int"}}
    made, _ = parameters({"type": "dict", "properties": marked, "required": ["c"]})
    assert made == {"type": "object", "properties": dict.fromkeys("abc", COUNT), "required": ["c", "a"]}
    assert parameters(marked)[0]["required"] == ["a", "c"]


def test_schemas_in_lists_are_converted_and_values_are_not() -> None:
    values = {"enum": [{"type": "int"}], "default": {"type": "int"}}
    given = {**values, "anyOf": [{"type": "int"}, True], "items": {"type": "str"}}
    made, _ = parameters({"type": "object", "properties": {"a": given}})
    assert made["properties"]["a"] == {**given, "anyOf": [COUNT, True], "items": TEXT}


def test_a_function_that_is_listed_twice_stays_once_and_is_counted() -> None:
    said = Said()
    tools = openai_tools(
        [{"name": "f", "parameters": {}}, {"name": "f"}, {"name": "g"}, {"name": "g", "strict": True}], said
    )
    assert [tool["function"]["name"] for tool in tools] == ["f", "g", "g"]
    assert said == {REPEATED: 1}


def test_a_parameter_may_be_called_like_a_keyword() -> None:
    made, _ = parameters({"type": {"type": "str"}, "properties": {"type": "List[str]"}})
    assert made["properties"] == {"type": TEXT, "properties": {"type": "array", "items": TEXT}}


SCHEMAS = st.recursive(
    st.sampled_from([TEXT, NUMBER, COUNT, {"type": ["string", "null"]}, {"enum": [1, "a"]}, {}]),
    lambda inner: (
        st.builds(
            lambda named, many: {"type": "object", "properties": named, "required": sorted(named), "anyOf": many},
            st.dictionaries(st.sampled_from(["a", "type", "properties", "items"]), inner, max_size=3),
            st.lists(inner, max_size=2),
        )
        | inner.map(lambda one: {"type": "array", "items": one, "description": "d"})
    ),
    max_leaves=6,
)


@given(SCHEMAS)
def test_json_schema_stays_as_it_is(schema: dict[str, Any]) -> None:
    given = {"type": "object", "properties": {"a": schema}}
    assert parameters(given) == (given, 0)


@pytest.mark.parametrize(
    "written",
    [
        [{"name": "f", "parameters": PARAMETERS}],
        [{"type": "function", "function": {"name": "f", "parameters": PARAMETERS}}],
        [{"type": "function", "name": "f", "parameters": PARAMETERS}],
        [{"name": "f", "input_schema": PARAMETERS}],
        [json.dumps({"name": "f", "parameters": PARAMETERS})],
        {"name": "f", "parameters": PARAMETERS},
    ],
)
@pytest.mark.parametrize("as_text", [False, True])
def test_every_way_to_write_a_function(written: Any, as_text: bool) -> None:
    assert openai_tools(json.dumps(written) if as_text else written, Said()) == [
        {"type": "function", "function": {"name": "f", "parameters": PARAMETERS}}
    ]


@pytest.mark.parametrize(
    ("tools", "reason"),
    [
        ("{API_LIST}", "tools: not JSON"),
        (3, "tools: must be a list"),
        (["f"], "tools: a function that is not JSON"),
        ([{"parameters": {}}], "tools: a function without a name"),
        ([{"name": "f", "parameters": [1]}], "the parameters of f are not an object"),
    ],
)
def test_what_is_no_function_is_refused(tools: Any, reason: str) -> None:
    with pytest.raises(Untranslatable, match=reason):
        openai_tools(tools, Said())
