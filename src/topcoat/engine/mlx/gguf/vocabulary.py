"""A file's vocabulary: its tokens, what they are, and the special ones."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from topcoat.engine.mlx.gguf.metadata import Metadata, refused

__all__ = [
    "BYTE",
    "CONTROL",
    "NORMAL",
    "UNKNOWN",
    "UNUSED",
    "USER_DEFINED",
    "Vocabulary",
    "read_vocabulary",
]

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6
"""What a token is, as sentencepiece numbers it."""

LONGEST = 1024
"""Characters of a token. The work for a token grows with their square."""

_ENDS = ("<|im_end|>", "<|eot_id|>", "<|eom_id|>", "<end_of_turn>")
"""Tokens that end a turn. A file's own end of sequence may end whole texts only."""


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """`kind` is the way of tokenizing: gpt2 (byte pairs) or llama (sentencepiece).

    `types` says what each token is. `bos`, `eos`, `unknown` and `padding` are tokens; `stops` are those at which
    generation stops, `eos` first. `guessed` are the texts of the stops that the file's metadata doesn't name.
    """

    kind: str
    tokens: list[str]
    types: list[int]
    eos: int
    stops: list[int]
    guessed: list[str]
    bos: int | None
    unknown: int | None
    padding: int | None
    chat_template: str


def read_vocabulary(metadata: Metadata) -> Vocabulary:
    """The vocabulary that the file's metadata has. Raises InvalidInput if something is missing or doesn't fit."""
    kind = metadata.text("tokenizer.ggml.model")
    if kind not in ("gpt2", "llama"):
        raise refused(metadata.file, f"has a tokenizer of kind {kind}; gpt2 and llama are read")
    template = metadata.text("tokenizer.chat_template", "")
    if not template.strip():
        raise refused(
            metadata.file, "has no chat template", "take a model that is trained for dialogues: instruct, chat, it"
        )
    tokens = metadata.texts("tokenizer.ggml.tokens")
    if not tokens:
        raise refused(metadata.file, "doesn't say tokenizer.ggml.tokens")
    if len(set(tokens)) < len(tokens):
        ((twice, _),) = Counter(tokens).most_common(1)
        raise refused(metadata.file, f"has the token {twice[:40]!r} twice")
    longest = max(tokens, key=len)
    if len(longest) > LONGEST:
        raise refused(metadata.file, f"has a token of {len(longest)} characters: {longest[:40]!r}...")
    types = metadata.numbers("tokenizer.ggml.token_type", len(tokens))
    kinds = [NORMAL] * len(tokens) if types is None else [int(number) for number in types]

    def token(name: str) -> int | None:
        key = f"tokenizer.ggml.{name}_token_id"
        return metadata.whole(key, 0, len(tokens) - 1) if metadata.get(key) is not None else None

    eos = token("eos")
    if eos is None:
        raise refused(metadata.file, "doesn't say tokenizer.ggml.eos_token_id")
    named = [eos, *(end for end in (token("eot"), token("eom")) if end is not None)]
    guessed = [text for text in _ENDS if text in template and text in tokens and tokens.index(text) not in named]
    stops = [*named, *map(tokens.index, guessed)]
    return Vocabulary(
        kind,
        tokens,
        kinds,
        eos,
        list(dict.fromkeys(stops)),
        guessed,
        bos=token("bos"),
        unknown=token("unknown"),
        padding=token("padding"),
        chat_template=template,
    )
