"""A tokenizer's files as a GGUF file's metadata: the way back of `gguf.tokenizer`.

llama.cpp knows a number of ways to cut text by their names, and no others. A tokenizer that cuts otherwise is refused:
the model would read other tokens than it was trained on.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from topcoat.engine.mlx.export.gguf_family import refused
from topcoat.engine.mlx.gguf.tokenizer import PIECES, SPACE, Pieces
from topcoat.engine.mlx.gguf.vocabulary import BYTE, CONTROL, NORMAL, UNKNOWN, UNUSED, USER_DEFINED
from topcoat.engine.mlx.model.tokenizer import MlxTokenizer

__all__ = ["vocabulary_for"]

Part = Mapping[str, Any]
Value = str | bool | int | list[str] | list[int] | list[float]

_ENDS = ("eos", "eot", "eom")
"""The keys for tokens that end an answer, in the order in which they are filled."""


def vocabulary_for(folder: Path, rows: int, eos: int | list[int] | None) -> tuple[dict[str, Value], list[str]]:
    """The `tokenizer.` keys of a model with so many embeddings, and notes on what a file can't say.

    `eos` is the configuration's. Raises InvalidInput for a tokenizer that llama.cpp has no name for.
    """
    path = folder / "tokenizer.json"
    if not path.is_file():
        raise refused(folder, "has no tokenizer.json")
    document: Part = json.loads(path.read_bytes())
    model = document["model"]
    if model.get("type") != "BPE":
        raise refused(folder, f"has a tokenizer of kind {model.get('type')}; byte pairs and sentencepiece are written")
    tokenizer = MlxTokenizer(folder, eos)
    words = _words(document, rows, folder)
    keys: dict[str, Value] = {
        **(_byte_pairs(document, folder) if _is_byte_level(document) else _sentencepiece(document, words)),
        "tokens": words.tokens,
        "token_type": words.types,
        "add_bos_token": _adds_bos(document),
    }
    keys |= _special(tokenizer, words)
    ends = _ends(tokenizer)
    keys |= {f"{key}_token_id": token for key, token in zip(_ENDS, ends, strict=False)}
    left = [words.tokens[token] for token in ends[len(_ENDS) :]]
    notes = [f"a file names {len(_ENDS)} ends of an answer; {', '.join(left)} may not end one"] if left else []
    template = str(tokenizer.wrapper.chat_template or "")
    return {f"tokenizer.ggml.{key}": value for key, value in keys.items()} | {
        "tokenizer.chat_template": template
    }, notes


@dataclass(frozen=True, slots=True)
class _Words:
    tokens: list[str]
    types: list[int]


def _words(document: Part, rows: int, folder: Path) -> _Words:
    """Every token by its number, as many as there are embeddings."""
    tokens = {int(number): text for text, number in document["model"]["vocab"].items()}
    types = {number: BYTE if _is_byte(text, document) else NORMAL for number, text in tokens.items()}
    for added in document.get("added_tokens", ()):
        tokens[added["id"]] = added["content"]
        types[added["id"]] = CONTROL if added["special"] else USER_DEFINED
    if max(tokens) >= rows:
        raise refused(folder, f"has {max(tokens) + 1} tokens and only {rows} embeddings")
    unknown = document["model"].get("unk_token")
    if not _is_byte_level(document) and unknown in document["model"]["vocab"]:
        types[document["model"]["vocab"][unknown]] = UNKNOWN
    return _Words(
        [tokens.get(number, f"[PAD{number}]") for number in range(rows)],
        [types.get(number, UNUSED) for number in range(rows)],
    )


def _is_byte(text: str, document: Part) -> bool:
    return bool(document["model"].get("byte_fallback")) and len(text) == 6 and text.startswith("<0x")


def _steps(part: Part | None, key: str) -> list[Part]:
    """The single steps of a pre-tokenizer or normalizer."""
    if part is None:
        return []
    return list(part[key]) if part["type"] == "Sequence" else [part]


def _is_byte_level(document: Part) -> bool:
    return any(step["type"] == "ByteLevel" for step in _steps(document.get("pre_tokenizer"), "pretokenizers"))


def _byte_pairs(document: Part, folder: Path) -> dict[str, Value]:
    name = _name_of(document)
    if name is None:
        raise refused(
            folder, f"cuts text in a way that llama.cpp has no name for; topcoat knows {', '.join(sorted(PIECES))}"
        )
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in document["model"]["merges"]]
    return {"model": "gpt2", "pre": name, "merges": merges}


def _name_of(document: Part) -> str | None:
    """How llama.cpp calls the way in which the tokenizer cuts text; None if it can't be told."""
    split, digits = None, False
    for step in _steps(document["pre_tokenizer"], "pretokenizers"):
        if step["type"] == "Digits" and step["individual_digits"] and split is None:
            digits = True
        elif step["type"] == "Split" and split is None and step["behavior"] == "Isolated" and not step["invert"]:
            split = step["pattern"].get("Regex")
        elif step["type"] != "ByteLevel" or step.get("add_prefix_space") or step.get("use_regex", True) == bool(split):
            return None
    steps = _steps(document.get("normalizer"), "normalizers")
    if any(step["type"] != "NFC" for step in steps):
        return None
    whole = bool(document["model"].get("ignore_merges"))
    found = Pieces(split, digits=digits, composed=bool(steps), whole_words=whole)
    same = (
        name
        for name, pieces in PIECES.items()
        if (pieces.split, pieces.digits, pieces.composed, pieces.whole_words)
        == (found.split, found.digits, found.composed, found.whole_words)
    )
    return next(same, None)


def _sentencepiece(document: Part, words: _Words) -> dict[str, Value]:
    """llama.cpp merges the neighbours whose token has the highest score: the one whose merge comes first."""
    ranks: dict[str, int] = {}
    for rank, merge in enumerate(document["model"]["merges"]):
        ranks.setdefault("".join(merge.split(" ") if isinstance(merge, str) else merge), rank)
    last = len(document["model"]["merges"])
    steps = _steps(document.get("normalizer"), "normalizers")
    return {
        "model": "llama",
        "pre": "default",
        "scores": [-float(ranks.get(token, last + number)) for number, token in enumerate(words.tokens)],
        "add_space_prefix": any(step == {"type": "Prepend", "prepend": SPACE} for step in steps),
    }


def _adds_bos(document: Part) -> bool:
    """Whether texts begin with a special token."""
    steps = _steps(document.get("post_processor"), "processors")
    return any(step["type"] == "TemplateProcessing" and "SpecialToken" in step["single"][0] for step in steps)


def _special(tokenizer: MlxTokenizer, words: _Words) -> dict[str, Value]:
    named = {"bos": "bos_token_id", "unknown": "unk_token_id", "padding": "pad_token_id"}
    found = {f"{key}_token_id": getattr(tokenizer.wrapper, name, None) for key, name in named.items()}
    return {key: token for key, token in found.items() if isinstance(token, int) and token < len(words.tokens)}


def _ends(tokenizer: MlxTokenizer) -> Sequence[int]:
    """The tokens that end an answer; the tokenizer's own end first."""
    own = tokenizer.wrapper.eos_token_id
    return sorted(tokenizer.stops, key=lambda token: (token != own, token))
