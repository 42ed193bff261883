"""The tokenizer's files, as transformers and mlx-lm load them, from a file's vocabulary.

A GGUF file names how text is cut into pieces before tokens are looked up (`tokenizer.ggml.pre`), and each name stands
for the rules of one original tokenizer. Those rules are written here, so a name that isn't here is refused: with other
rules a model would read other tokens than it was trained on.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from topcoat.engine.mlx.gguf.metadata import Metadata, refused
from topcoat.engine.mlx.gguf.vocabulary import BYTE, CONTROL, NORMAL, USER_DEFINED, Vocabulary

__all__ = ["PIECES", "SPACE", "Pieces", "tokenizer_config", "tokenizer_json"]

Part = dict[str, Any]

SPACE = "\u2581"
"""How sentencepiece writes a space."""

_CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_LLAMA3 = rf"{_CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}{{1,3}}{_REST}"
_QWEN2 = rf"{_CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}{_REST}"


@dataclass(frozen=True, slots=True)
class Pieces:
    """How text is cut before byte pairs are merged: by the expression `split`, or as GPT-2 does.

    `digits`: each digit is a piece first. `composed`: text is in Unicode's NFC. `whole_words`: a piece that is a token
    needn't be merged. `bos`: texts begin with the token, unless the file says otherwise.
    """

    split: str | None = None
    digits: bool = False
    composed: bool = False
    whole_words: bool = False
    bos: bool = False


PIECES = {
    "gpt-2": Pieces(),
    "smollm": Pieces(digits=True),
    "llama-bpe": Pieces(_LLAMA3, whole_words=True, bos=True),
    "qwen2": Pieces(_QWEN2, composed=True),
    "deepseek-r1-qwen": Pieces(_QWEN2),
}
"""By `tokenizer.ggml.pre`, what the `tokenizer.json` of GPT-2, SmolLM, Llama 3, Qwen 2 and 3, and DeepSeek's
distillations into Qwen have."""


def tokenizer_json(metadata: Metadata, words: Vocabulary) -> Part:
    """The content of `tokenizer.json`. Raises InvalidInput for rules that aren't known, and merges that don't fit."""
    return _byte_pairs(metadata, words) if words.kind == "gpt2" else _sentencepiece(metadata, words)


def tokenizer_config(words: Vocabulary, context: int) -> Part:
    """The content of `tokenizer_config.json`. `context` is the number of tokens that the model takes."""

    def text(token: int | None) -> str | None:
        return None if token is None else words.tokens[token]

    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": text(words.bos),
        "eos_token": text(words.eos),
        "unk_token": text(words.unknown),
        "pad_token": text(words.padding),
        "clean_up_tokenization_spaces": False,
        "model_max_length": context,
    }


def _byte_pairs(metadata: Metadata, words: Vocabulary) -> Part:
    name = metadata.text("tokenizer.ggml.pre")
    pieces = PIECES.get(name)
    if pieces is None:
        raise refused(
            metadata.file, f"cuts text as {name}, which topcoat doesn't know; it knows {', '.join(sorted(PIECES))}"
        )
    level: Part = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": not pieces.split}
    steps: list[Part] = [{"type": "Digits", "individual_digits": True}] if pieces.digits else []
    if pieces.split is not None:
        steps += [{"type": "Split", "pattern": {"Regex": pieces.split}, "behavior": "Isolated", "invert": False}]
    merges = [tuple(merge.split(" ")) for merge in metadata.texts("tokenizer.ggml.merges")]
    known = set(words.tokens)
    for number, merge in enumerate(merges):
        if len(merge) != 2 or not {*merge, "".join(merge)} <= known:
            raise refused(metadata.file, f"merges {' '.join(merge)!r} (number {number}), of which not all are tokens")
    if not merges:
        raise refused(metadata.file, "doesn't say tokenizer.ggml.merges")
    return _document(
        words,
        normalizer={"type": "NFC"} if pieces.composed else None,
        pre_tokenizer={"type": "Sequence", "pretokenizers": [*steps, level]} if steps else level,
        bos=words.bos if metadata.switch("tokenizer.ggml.add_bos_token", pieces.bos) else None,
        after={"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False, "use_regex": True},
        decoder={"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        model={"byte_fallback": False, "ignore_merges": pieces.whole_words, "fuse_unk": False, "unk_token": None},
        merges=merges,
    )


def _sentencepiece(metadata: Metadata, words: Vocabulary) -> Part:
    gemma = metadata.family.startswith("gemma")
    if gemma:
        words = _respelled(words)
    scores = metadata.numbers("tokenizer.ggml.scores", len(words.tokens))
    if scores is None:
        raise refused(metadata.file, "doesn't say tokenizer.ggml.scores")
    # Gemma's scores don't tell the order in which its tokens were merged. Their numbers do.
    ranks = [-float(number) for number in range(len(words.tokens))] if gemma else scores
    opened = metadata.switch("tokenizer.ggml.add_space_prefix", not gemma)
    spaces: Part = {"type": "Replace", "pattern": {"String": " "}, "content": SPACE}
    strip: list[Part] = [{"type": "Strip", "content": " ", "start": 1, "stop": 0}] if opened else []
    if opened:
        spaces = {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": SPACE}, spaces]}
    return _document(
        words,
        normalizer=spaces,
        pre_tokenizer=None,
        bos=words.bos if metadata.switch("tokenizer.ggml.add_bos_token", True) else None,
        after=None,
        decoder={
            "type": "Sequence",
            "decoders": [
                {"type": "Replace", "pattern": {"String": SPACE}, "content": " "},
                {"type": "ByteFallback"},
                {"type": "Fuse"},
                *strip,
            ],
        },
        model={
            "byte_fallback": BYTE in words.types,
            "ignore_merges": False,
            "fuse_unk": True,
            "unk_token": words.tokens[words.unknown or 0],
        },
        merges=_derived(words, ranks),
    )


def _respelled(words: Vocabulary) -> Vocabulary:
    """Gemma's vocabulary with its runs of spaces as sentencepiece writes them. Merges make them, as they do words."""
    tokens, types = list(words.tokens), list(words.types)
    known = set(tokens)
    for number, token in enumerate(tokens):
        if token.strip(" ") == "" and (written := SPACE * len(token)) not in known:
            tokens[number], types[number] = written, NORMAL
    return replace(words, tokens=tokens, types=types)


def _derived(words: Vocabulary, ranks: Sequence[float]) -> list[tuple[str, str]]:
    """The merges that sentencepiece makes: of two neighbours, those first whose token has the highest rank."""
    numbers = {token: number for number, token in enumerate(words.tokens) if words.types[number] == NORMAL}
    merges = []
    for token, number in numbers.items():
        for cut in range(1, len(token)):
            left, right = numbers.get(token[:cut]), numbers.get(token[cut:])
            if left is not None and right is not None:
                merges.append((-ranks[number], number, left, right, token[:cut], token[cut:]))
    return [(left, right) for *_, left, right in sorted(merges)]


def _document(
    words: Vocabulary,
    *,
    normalizer: Part | None,
    pre_tokenizer: Part | None,
    bos: int | None,
    after: Part | None,
    decoder: Part,
    model: Part,
    merges: Iterable[tuple[str, ...]],
) -> Part:
    """`tokenizer.json` as the tokenizers library writes it. `bos` begins each text that special tokens are added to."""
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [_added(words, number) for number in range(len(words.tokens)) if _is_added(words, number)],
        "normalizer": normalizer,
        "pre_tokenizer": pre_tokenizer,
        "post_processor": after if bos is None else _beginning(words.tokens[bos], bos),
        "decoder": decoder,
        "model": {
            "type": "BPE",
            "dropout": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            **model,
            "vocab": {token: number for number, token in enumerate(words.tokens)},
            "merges": [list(merge) for merge in merges],
        },
    }


def _is_added(words: Vocabulary, number: int) -> bool:
    return words.types[number] in (CONTROL, USER_DEFINED) or number in (words.eos, words.bos, words.unknown)


def _added(words: Vocabulary, number: int) -> Part:
    """A token that is found in the text as a whole. Those that control the model aren't shown in decoded text."""
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    return {"id": number, "content": words.tokens[number], **flags, "special": words.types[number] != USER_DEFINED}


def _beginning(text: str, token: int) -> Part:
    single: list[Part] = [{"SpecialToken": {"id": text, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]
    pair: list[Part] = [{"SpecialToken": {"id": text, "type_id": 1}}, {"Sequence": {"id": "B", "type_id": 1}}]
    return {
        "type": "TemplateProcessing",
        "single": single,
        "pair": [*single, *pair],
        "special_tokens": {text: {"id": text, "ids": [token], "tokens": [text]}},
    }
