"""Scores an answer's text instead of its calls, for cases that ask for words, a format or a document.

Patterns are those of JSON Schema (ECMA 262, searched anywhere, `(?i)` allowed). Their engine gives up on a pattern that
backtracks for ever; Python's own engine can't be stopped.
"""

from __future__ import annotations

import json
import re

from topcoat.calls.answer import Answer, Scored
from topcoat.spec.agent import Agent
from topcoat.spec.expect import Expect
from topcoat.spec.rules.matching import like
from topcoat.spec.tools.json_schema import misfit

__all__ = ["exact", "json_schema", "regex"]

_FENCE = re.compile(r"```(?:json)?[ \t]*\n(.*)\n```", re.DOTALL)


def exact(expect: Expect, answer: Answer, agent: Agent) -> Scored:
    """1.0 if the answer without its thoughts and surrounding space is the expected text, else 0."""
    expected = expect.exact or ""
    if answer.text.strip() == expected.strip():
        return 1.0, "the expected text"
    return 0.0, f"{_short(answer.text)}, not {_short(expected)}" if answer.text else "the answer is empty"


def regex(expect: Expect, answer: Answer, agent: Agent) -> Scored:
    """1.0 if the answer without its thoughts contains the expected pattern, else 0."""
    pattern = expect.regex or ""
    return (1.0, "the pattern is found") if like(answer.text, pattern) else (0.0, f"nothing is like {pattern}")


def json_schema(expect: Expect, answer: Answer, agent: Agent) -> Scored:
    """1.0 if the answer is a JSON document, bare or in one fence, that fits the expected schema, else 0."""
    fence = _FENCE.fullmatch(answer.text.strip())
    try:
        document = json.loads(fence[1] if fence else answer.text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return 0.0, "the answer is not JSON"
    try:
        fault = _plain(misfit(expect.json_schema, document))
    except (ValueError, RecursionError) as error:  # nested too deeply, or half a surrogate pair
        return 0.0, f"the document can't be checked: {_plain(str(error))[:100]}"
    return (0.0, fault) if fault else (1.0, "a document as the schema asks for")


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _plain(text: str) -> str:
    """`text` without halves of surrogate pairs, which aren't characters."""
    return text.encode("utf-8", "replace").decode()


def _short(text: str) -> str:
    return _plain(json.dumps(text if len(text) <= 60 else f"{text[:57]}...", ensure_ascii=False))
