from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from topcoat.calls.answer import Answer
from topcoat.scoring.texts import exact, json_schema, regex
from topcoat.spec.agent import Agent
from topcoat.spec.expect import Expect
from topcoat.spec.tools.catalog import Catalog

AGENT = Agent(Catalog(Path("tools.pyi"), {}))


@pytest.mark.parametrize(
    ("expected", "text", "value", "reason"),
    [
        ("Yes.", "Yes.", 1.0, "the expected text"),
        ("Yes.\n", " Yes.", 1.0, "the expected text"),
        ("Yes.", "yes.", 0.0, '"yes.", not "Yes."'),
        ("Yes.", "", 0.0, "the answer is empty"),
        ("a\nb", "a b", 0.0, '"a b", not "a\\nb"'),
    ],
)
def test_exact(expected: str, text: str, value: float, reason: str) -> None:
    assert exact(Expect(exact=expected), Answer(text=text), AGENT) == (value, reason)


def test_regex() -> None:
    expect = Expect(regex="^ok: [0-9]+$")
    assert regex(expect, Answer(text="ok: 12"), AGENT) == (1.0, "the pattern is found")
    assert regex(expect, Answer(text="ok: 1x"), AGENT) == (0.0, "nothing is like ^ok: [0-9]+$")


SCHEMA: dict[str, Any] = {"type": "object", "required": ["n"], "properties": {"n": {"items": {"type": "integer"}}}}


@pytest.mark.parametrize(
    ("text", "value", "reason"),
    [
        ('{"n": [1, 2]}', 1.0, "a document as the schema asks for"),
        ('```json\n{"n": []}\n```', 1.0, "a document as the schema asks for"),
        ('```\n{"n": []}\n```\n', 1.0, "a document as the schema asks for"),
        ('{"n": [1, "2"]}', 0.0, '[\'n\'][1]: "2" is not of type "integer"'),
        ("{}", 0.0, 'the document: "n" is a required property'),
        ("[]", 0.0, 'the document: [] is not of type "object"'),
        ("", 0.0, "the answer is not JSON"),
        ("n: [1]", 0.0, "the answer is not JSON"),
        ('{"n": [NaN]}', 0.0, "the answer is not JSON"),
        ('{"n": [1]} and more', 0.0, "the answer is not JSON"),
        ("[" * 100_000, 0.0, "the answer is not JSON"),
    ],
)
def test_json_schema(text: str, value: float, reason: str) -> None:
    assert json_schema(Expect(json_schema=SCHEMA), Answer(text=text), AGENT) == (value, reason)


@pytest.mark.parametrize("text", ['{"n": ["\\ud800"]}', '{"n": ' + "[" * 500 + "]" * 500 + "}", '{"n": [1e999]}'])
def test_documents_that_cannot_be_checked_score_nothing(text: str) -> None:
    value, reason = json_schema(Expect(json_schema=SCHEMA), Answer(text=text), AGENT)
    assert value == 0.0
    reason.encode()
