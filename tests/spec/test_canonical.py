from __future__ import annotations

import hashlib
import math

import pytest

from topcoat.spec.canonical import canonical_json, digest_of


def test_the_order_of_keys_does_not_matter() -> None:
    assert canonical_json({"b": 1, "a": [1, {"d": 2, "c": "é"}]}) == '{"a":[1,{"c":"é","d":2}],"b":1}'
    assert digest_of({"b": 1, "a": 2}) == digest_of({"a": 2, "b": 1})


def test_the_order_of_a_list_does() -> None:
    assert digest_of([1, 2]) != digest_of([2, 1])


def test_a_digest_is_the_sha256_of_the_text() -> None:
    assert digest_of("é") == hashlib.sha256('"é"'.encode()).hexdigest()


def test_what_json_cannot_hold_is_refused() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json([math.nan])
    with pytest.raises(TypeError):
        canonical_json({1, 2})
