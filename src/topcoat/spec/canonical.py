"""One spelling for each value, so that equal values have equal digests. Knows nothing of files or models."""

from __future__ import annotations

import hashlib
import json

__all__ = ["canonical_json", "digest_of"]


def canonical_json(value: object) -> str:
    """`value` as JSON with sorted keys, no spaces and no escapes: always the same text, on every machine.

    Raises `ValueError` for NaN and the infinities, which JSON doesn't have, and `TypeError` for other values that JSON
    doesn't have.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest_of(value: object) -> str:
    """The sha256 of `canonical_json(value)`, as 64 hex digits. Raises what `canonical_json` raises."""
    return hashlib.sha256(canonical_json(value).encode("utf-8")).hexdigest()
