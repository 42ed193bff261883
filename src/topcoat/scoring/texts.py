"""Scores an answer's text instead of its calls, for cases that ask for words, a format or a document.

Patterns are those of JSON Schema (ECMA 262, searched anywhere, `(?i)` allowed). Their engine gives up on a pattern that
backtracks for ever; Python's own engine can't be stopped.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache

from jsonschema_rs import Validator, validator_for

from topcoat.calls.answer import Answer, Scored
from topcoat.spec.canonical import canonical_json
from topcoat.spec.catalog import Catalog
from topcoat.spec.suite import Expect

__all__ = ["exact", "found_in", "json_schema", "regex"]

_FENCE = re.compile(r"```(?:json)?[ \t]*\n(.*)\n```", re.DOTALL)


def exact(expect: Expect, answer: Answer, catalog: Catalog) -> Scored:
    """1.0 if the answer without its thoughts and surrounding space is the expected text, else 0."""
    expected = expect.exact or ""
    if answer.text.strip() == expected.strip():
        return 1.0, "the expected text"
    return 0.0, f"{_short(answer.text)}, not {_short(expected)}" if answer.text else "the answer is empty"


def regex(expect: Expect, answer: Answer, catalog: Catalog) -> Scored:
    """1.0 if the answer without its thoughts contains the expected pattern, else 0."""
    pattern = expect.regex or ""
    return (1.0, "the pattern is found") if found_in(answer.text, pattern) else (0.0, f"nothing is like {pattern}")


def json_schema(expect: Expect, answer: Answer, catalog: Catalog) -> Scored:
    """1.0 if the answer is a JSON document, bare or in one fence, that fits the expected schema, else 0."""
    fence = _FENCE.fullmatch(answer.text.strip())
    try:
        document = json.loads(fence[1] if fence else answer.text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return 0.0, "the answer is not JSON"
    try:
        error = next(iter(_validator(canonical_json(expect.json_schema)).iter_errors(document)), None)
    except (ValueError, RecursionError) as fault:  # nested too deeply, or half a surrogate pair
        return 0.0, f"the document can't be checked: {_plain(str(fault))[:100]}"
    if error is None:
        return 1.0, "a document as the schema asks for"
    where = "".join(f"[{part!r}]" for part in error.instance_path)
    return 0.0, _plain(f"{where or 'the document'}: {error.message}")[:200]


def found_in(text: str, pattern: str) -> bool:
    """Whether `text` contains `pattern`, which the suite's loader has checked."""
    return _validator(canonical_json({"pattern": pattern})).is_valid(_plain(text))


@lru_cache(maxsize=1000)
def _validator(schema: str) -> Validator:
    return validator_for(schema, offline=True)


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _plain(text: str) -> str:
    """`text` without halves of surrogate pairs, which aren't characters."""
    return text.encode("utf-8", "replace").decode()


def _short(text: str) -> str:
    return _plain(json.dumps(text if len(text) <= 60 else f"{text[:57]}...", ensure_ascii=False))
