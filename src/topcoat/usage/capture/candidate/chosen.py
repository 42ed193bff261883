"""Chooses a share of the requests or sessions, by a hash: the same ones each time, and without a random state."""

from __future__ import annotations

import hashlib

__all__ = ["is_chosen"]

_BYTES = 8


def is_chosen(key: str | bytes, share: float, seed: str) -> bool:
    """Whether `key` belongs to the `share` (0..1) of all keys that `seed` chooses. Seeds choose independently."""
    said = key.encode("utf-8", "replace") if isinstance(key, str) else key
    found = hashlib.blake2b(said, digest_size=_BYTES, key=seed.encode("utf-8", "replace")[:64]).digest()
    return int.from_bytes(found, "big") < int(share * 2.0 ** (8 * _BYTES))
