"""Ground truth as expectations: what each of its forms allows, and when no answer can be right."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.leaderboard import function
from topcoat.spec.expect import ExpectedCall
from topcoat.suites.bfcl.expectations import Impossible, expected_call, some_call
from topcoat.suites.bfcl.tools import tools_of

SIZE = {"type": "dict", "properties": {"wide": {"type": "integer"}, "unit": {"type": "string"}}}
LIST = {"type": "array", "items": {"type": "string"}}
ROWS = {"type": "array", "items": SIZE}
TOOLS = tools_of(
    [
        function(
            "draw",
            ["shape"],
            shape="string",
            title="string",
            width="integer",
            filled="boolean",
            tags=LIST,
            size=SIZE,
            rows=ROWS,
            anything="any",
        )
    ]
)


def arguments(**wanted: Any) -> dict[str, Any]:
    """The expectation of a call whose ground truth is `wanted`, beside the shape that it must have."""
    made = expected_call({"draw": {"shape": ["star"], **wanted}}, TOOLS)
    ExpectedCall.model_validate(made)
    assert {key: made[key] for key in made if key != "args"} == {"tool": "draw", "only": True, "compare": "bfcl"}
    assert made["args"].pop("shape") == "star"
    return dict(made["args"])


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({"width": [5]}, {"width": 5}),
        ({"width": [5, 6]}, {"width": {"any_of": [5, 6]}}),
        ({"width": [5, ""]}, {"width": {"any_of": [5], "absent": True}}),
        ({"width": ["", None]}, {"width": {"any_of": [None], "absent": True}}),
        ({"anything": ["x"]}, {"anything": "x"}),
        # "" is also an empty text or an empty list, where the argument is one
        ({"title": ["Sun", ""]}, {"title": {"any_of": ["Sun", ""], "absent": True}}),
        ({"title": [""]}, {"title": {"any_of": [""], "absent": True}}),
        ({"tags": ["", ["a"]]}, {"tags": {"any_of": [[], ["a"]], "absent": True}}),
        ({"width": ["", "dontcare"]}, {"width": {"any_of": ["", "dontcare"], "absent": True}}),
        # what can't be given is left out of the answer: no other argument is right
        ({"width": [""], "filled": [""]}, {}),
        ({"unknown": ["", "x"]}, {}),
        # objects hold alternatives again
        (
            {"size": [{"wide": [5], "unit": ["cm", "centimetre", ""]}]},
            {"size": {"object": {"wide": 5, "unit": {"any_of": ["cm", "centimetre", ""], "absent": True}}}},
        ),
        ({"size": ["", {}]}, {"size": {"object": {}, "absent": True}}),
        ({"size": [{"wide": [{"from": 1}]}]}, {"size": {"object": {"wide": {"any_of": [{"from": 1}]}}}}),
        (
            {"size": [{"wide": [5]}, {"wide": [6]}]},
            {"size": {"any_of": [{"wide": 5}, {"wide": 6}]}},
        ),
        (
            {"rows": [[{"wide": [1, 2], "unit": [""]}, {"wide": [3]}]]},
            {
                "rows": {
                    "any_of": [
                        [{"wide": 1}, {"wide": 3}],
                        [{"wide": 2}, {"wide": 3}],
                        [{"wide": 1, "unit": ""}, {"wide": 3}],
                        [{"wide": 2, "unit": ""}, {"wide": 3}],
                    ]
                }
            },
        ),
    ],
)
def test_each_form_of_ground_truth(wanted: dict[str, Any], expected: dict[str, Any]) -> None:
    made = arguments(**wanted)
    for argument in (made, expected):
        if "rows" in argument and "any_of" in argument["rows"]:
            argument["rows"]["any_of"].sort(key=str)
    assert made == expected


@pytest.mark.parametrize(
    ("truth", "reason"),
    [
        ({"paint": {}}, 'its ground truth calls "paint", which is none of its tools'),
        ({"draw": {}, "paint": {}}, "its ground truth holds 2 functions in the place of one"),
        ({"draw": {}}, '"shape" is required, and its ground truth allows no value'),
        ({"draw": {"shape": []}}, '"shape" must be given, and none of its alternatives can be given'),
        ({"draw": {"shape": ["star"], "tags": []}}, '"tags" must be given, and none of its alternatives can be given'),
        ({"draw": {"shape": ["star"], "ink": ["red"]}}, '"ink" must be given, and its tool doesn\'t have it'),
        (
            {"draw": {"shape": ["star"], "size": [{"wide": []}]}},
            "an object in its ground truth holds a name without alternatives",
        ),
        (
            {"draw": {"shape": ["star"], "size": [{"wide": 5}]}},
            "an object in its ground truth holds values that are no list of alternatives",
        ),
        (
            {"draw": {"shape": ["star"], "rows": [[{"wide": [*range(50)], "unit": [*range(50)]}]]}},
            "its ground truth allows more than 1000 objects for one argument",
        ),
        (
            {"draw": {"shape": ["star"], "rows": [[{"wide": [*range(50)]}, {"wide": [*range(50)]}]]}},
            "its ground truth allows more than 1000 lists of objects for one argument",
        ),
    ],
)
def test_what_no_answer_can_meet_is_refused_with_its_reason(truth: dict[str, Any], reason: str) -> None:
    with pytest.raises(Impossible) as caught:
        expected_call(truth, TOOLS)
    assert str(caught.value) == reason


def test_a_required_text_may_be_empty_but_not_left_out() -> None:
    made = expected_call({"draw": {"shape": ["star", ""]}}, TOOLS)
    assert made["args"] == {"shape": {"any_of": ["star", ""]}}


def test_some_call_is_one_of_any_tool() -> None:
    both = tools_of([function("a"), function("b")])
    assert some_call(both) == {"tool": ["a", "b"], "compare": "bfcl"}
