"""A model's caches of a prompt as a safetensors file, in mlx-lm's own form, and back."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mlx.core as mx
from mlx.utils import tree_map
from mlx_lm.models import cache as caches

__all__ = ["cut_to_length", "holds", "kinds_of", "load_caches", "save_caches", "unstorable"]


def unstorable(prompt_cache: Sequence[Any]) -> str:
    """The kind of cache that mlx-lm can't make again from a file, "" if it can make all."""
    for one in prompt_cache:
        if isinstance(one, caches.CacheList):
            if inner := unstorable(one.caches):
                return inner
        elif getattr(caches, type(one).__name__, None) is not type(one):
            return type(one).__name__
    return ""


def kinds_of(prompt_cache: Sequence[Any]) -> list[Any]:
    """The kind of each cache, to compare those of a file with those that a model makes."""
    return [
        [type(one).__name__, kinds_of(one.caches)] if isinstance(one, caches.CacheList) else type(one).__name__
        for one in prompt_cache
    ]


def cut_to_length(prompt_cache: Sequence[Any]) -> None:
    """Drop what lies behind the caches' tokens: room for later ones, and what was there before they were trimmed."""
    for one in prompt_cache:
        if isinstance(one, caches.CacheList):
            cut_to_length(one.caches)
        elif type(one) in (caches.KVCache, caches.QuantizedKVCache) and one.keys is not None:
            one.keys, one.values = tree_map(mx.contiguous, one.keys_and_values())


def holds(prompt_cache: Sequence[Any], tokens: int) -> bool:
    """Whether caches hold this number of tokens, as far as they tell. One that drops tokens can't be cut to any."""
    return all(
        holds(one.caches, tokens) if isinstance(one, caches.CacheList) else getattr(one, "offset", tokens) == tokens
        for one in prompt_cache
    )


def save_caches(path: Path, prompt_cache: Sequence[Any]) -> None:
    """Write caches whose arrays are computed. Any thread may do it. Raises `OSError`, `ValueError` and `RuntimeError`.

    Stores no Python objects: arrays, and JSON in the header.
    """
    caches.save_prompt_cache(str(path), list(prompt_cache))


def load_caches(path: Path, kinds: Sequence[Any], tokens: int) -> list[Any]:
    """The caches of a file, computed.

    Raises `ValueError` if they aren't of these `kinds`, don't hold this number of tokens, or can't be made again.
    """
    try:
        found: list[Any] = caches.load_prompt_cache(str(path))
        mx.eval([one.state for one in found])
    except (RuntimeError, LookupError, TypeError, AttributeError) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from None
    if kinds_of(found) != list(kinds):
        raise ValueError(f"a model of other caches wrote it: {kinds_of(found)}")
    if not holds(found, tokens):
        raise ValueError(f"its caches don't hold {tokens} tokens")
    return found
