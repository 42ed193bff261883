from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Regex, Tokenizer, decoders, normalizers, pre_tokenizers
from tokenizers.models import BPE

from tests.support.gguf_files import MERGES, SPECIAL, TEMPLATE, GgufModel, write_gguf
from topcoat.engine.mlx.gguf.file import read_gguf
from topcoat.engine.mlx.gguf.metadata import Metadata
from topcoat.engine.mlx.gguf.tokenizer import tokenizer_config, tokenizer_json
from topcoat.engine.mlx.gguf.vocabulary import Vocabulary, read_vocabulary
from topcoat.errors import InvalidInput

TEXTS = [
    "", " ", "in the first thin inn", "  12 after two spaces and   345", "the\n\nend\r\n \n x", "123456 1e10",
    "na\u00efve cafe\u0301 \u65e5\u672c \U0001f600\u200d x\u00a0y", "<|im_start|>user\nin<|im_end|> <|im_end|>the",
    "I'LL don't we've 'S", "a\tb\t\tc  ", "    four, eight:        ", "!?!?\n\n...\n",
]  # fmt: skip


def made(path: Path, family: str = "llama", /, **said: object) -> tuple[Metadata, Vocabulary]:
    """The metadata and the vocabulary of a small file; `said` replaces or (None) removes what it says."""
    entries = GgufModel(family).metadata | {f"tokenizer.{k.replace('__', '.')}": v for k, v in said.items()}
    file = write_gguf(path / "a.gguf", {k: v for k, v in entries.items() if v is not None}, {})
    metadata = Metadata(read_gguf(file), family)
    return metadata, read_vocabulary(metadata)


def loaded(document: dict[str, Any]) -> Tokenizer:
    return Tokenizer.from_str(json.dumps(document))


def ids(tokenizer: Tokenizer, text: str) -> list[int]:
    return list(tokenizer.encode(text, add_special_tokens=False).ids)


LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
PAIRS: list[tuple[str, str]] = [(left, right) for left, _, right in (merge.partition(" ") for merge in MERGES)]
SPLITS: dict[str, list[Any]] = {
    "gpt-2": [pre_tokenizers.ByteLevel(add_prefix_space=False)],
    "smollm": [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)],
    "llama-bpe": [
        pre_tokenizers.Split(Regex(LLAMA3), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ],
    "qwen2": [
        pre_tokenizers.Split(Regex(LLAMA3.replace("{1,3}", "")), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ],
}
"""How the families' own tokenizers cut text, with the tokenizers library's objects."""


@pytest.mark.parametrize("pre", SPLITS)
def test_byte_pairs_are_merged_as_the_familys_own_tokenizer_merges_them(tmp_path: Path, pre: str) -> None:
    metadata, words = made(tmp_path, ggml__pre=pre)
    own = Tokenizer(BPE(vocab={t: n for n, t in enumerate(words.tokens)}, merges=PAIRS,
                        ignore_merges=pre == "llama-bpe"))  # fmt: skip
    own.pre_tokenizer = pre_tokenizers.Sequence(SPLITS[pre])
    own.decoder = decoders.ByteLevel()
    if pre == "qwen2":
        own.normalizer = normalizers.NFC()
    own.add_special_tokens(SPECIAL)
    ours = loaded(tokenizer_json(metadata, words))
    for text in TEXTS:
        assert ids(ours, text) == ids(own, text), text
        assert ours.decode(ids(ours, text)) == own.decode(ids(own, text))
    assert ids(ours, "<|im_start|>in") == [1, words.tokens.index("in")]


def test_digits_are_pieces_before_spaces_are(tmp_path: Path) -> None:
    """After "  ", a digit of SmolLM doesn't take the second space along, as GPT-2's does."""
    metadata, words = made(tmp_path, ggml__pre="smollm")
    two = words.tokens.index("\u0120\u0120")
    assert ids(loaded(tokenizer_json(metadata, words)), "  12")[0] == two
    metadata, words = made(tmp_path, ggml__pre="gpt-2")
    assert ids(loaded(tokenizer_json(metadata, words)), "  12")[0] != two


@pytest.mark.parametrize(
    ("pre", "said", "begins"), [("smollm", None, False), ("smollm", True, True), ("llama-bpe", None, True),
                                ("llama-bpe", False, False)]
)  # fmt: skip
def test_texts_begin_with_a_token_where_the_file_or_its_kind_says_so(
    tmp_path: Path, pre: str, said: bool | None, begins: bool
) -> None:
    metadata, words = made(tmp_path, ggml__pre=pre, ggml__add_bos_token=said)
    encoded = loaded(tokenizer_json(metadata, words)).encode("the").ids
    assert encoded[:1] == [1] if begins else 1 not in encoded


def test_user_defined_tokens_are_whole_and_shown(tmp_path: Path) -> None:
    tokens = [*GgufModel("llama").metadata["tokenizer.ggml.tokens"], "<tool_call>"]  # type: ignore[misc]
    types = [3] * 3 + [1] * (len(tokens) - 4) + [4]
    metadata, words = made(tmp_path, ggml__tokens=tokens, ggml__token_type=types)
    ours = loaded(tokenizer_json(metadata, words))
    assert ids(ours, "in<tool_call>") == [tokens.index("in"), len(tokens) - 1]
    assert ours.decode(ids(ours, "in<tool_call><|im_end|>")) == "in<tool_call>"


REFUSED: dict[str, tuple[dict[str, object], str]] = {
    "kind": ({"ggml__model": "bert"}, "a tokenizer of kind bert; gpt2 and llama are read"),
    "pieces": ({"ggml__pre": "viking"}, "cuts text as viking, which topcoat doesn't know"),
    "no pieces": ({"ggml__pre": None}, "doesn't say tokenizer.ggml.pre"),
    "no template": ({"chat_template": None}, "has no chat template"),
    "no tokens": ({"ggml__tokens": None}, "doesn't say tokenizer.ggml.tokens"),
    "no end": ({"ggml__eos_token_id": None}, "doesn't say tokenizer.ggml.eos_token_id"),
    "an end that there isn't": ({"ggml__eos_token_id": 10**6}, "eos_token_id = 1000000, which must be"),
    "a token twice": ({"ggml__tokens": [*SPECIAL, "a", "a"]}, "has the token 'a' twice"),
    "types of others": ({"ggml__token_type": [1, 2]}, "which must be a list of"),
    "no merges": ({"ggml__merges": None}, "doesn't say tokenizer.ggml.merges"),
    "a merge of nothing": ({"ggml__merges": ["in n", "q q"]}, "merges 'in n' \\(number 0\\)"),
    "an endless token": ({"ggml__tokens": [*SPECIAL, "a" * 5000], "ggml__token_type": None}, "5000 characters"),
    "a number as text": ({"chat_template": 5}, "which must be a text"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_make_a_tokenizer_is_refused_by_name(tmp_path: Path, case: str) -> None:
    said, message = REFUSED[case]
    with pytest.raises(InvalidInput, match=message):
        tokenizer_json(*made(tmp_path, "llama", **said))


def test_answers_end_where_the_template_ends_turns(tmp_path: Path) -> None:
    _, words = made(tmp_path, ggml__eos_token_id=0)
    assert (words.stops, words.guessed) == ([0, 2], ["<|im_end|>"])
    _, words = made(tmp_path, ggml__eos_token_id=0, ggml__eot_token_id=2)
    assert (words.stops, words.guessed) == ([0, 2], [])
    _, words = made(tmp_path, ggml__eos_token_id=0, chat_template=TEMPLATE.replace("<|im_end|>", ""))
    assert words.stops == [0]


def test_the_special_tokens_are_named(tmp_path: Path) -> None:
    _, words = made(tmp_path, ggml__padding_token_id=0)
    config = tokenizer_config(words, 512)
    assert [config[f"{name}_token"] for name in ("bos", "eos", "unk", "pad")] == [
        "<|im_start|>", "<|im_end|>", None, "<|endoftext|>"
    ]  # fmt: skip


WORDS = "the thin tool in a town, then the other tools: tea, two teas and three toads. " * 3


def trained(prefix: bool) -> Any:
    """A sentencepiece model of its own trainer, and its vocabulary."""
    import sentencepiece

    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([WORDS] * 20), model_writer=model, model_type="bpe", vocab_size=330, byte_fallback=True,
        add_dummy_prefix=prefix, remove_extra_whitespaces=False, normalization_rule_name="identity",
        control_symbols=["<|im_start|>", "<|im_end|>"], hard_vocab_limit=False, minloglevel=2,
    )  # fmt: skip
    return sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())


@pytest.mark.parametrize("prefix", [True, False])
def test_sentencepiece_tokens_are_those_of_sentencepiece(tmp_path: Path, prefix: bool) -> None:
    pieces = trained(prefix)
    numbers = range(pieces.get_piece_size())
    types = [
        6 if pieces.is_byte(n) else 3 if pieces.is_control(n) else 2 if pieces.is_unknown(n) else 1 for n in numbers
    ]
    metadata, words = made(
        tmp_path,
        ggml__model="llama",
        ggml__pre=None,
        ggml__merges=None,
        ggml__tokens=[pieces.id_to_piece(n) for n in numbers],
        ggml__scores=[float(pieces.get_score(n)) for n in numbers],
        ggml__token_type=types,
        ggml__add_space_prefix=prefix,
        ggml__unknown_token_id=0,
    )
    ours = loaded(tokenizer_json(metadata, words))
    for text in [*(text for text in TEXTS[1:] if "<|" not in text), WORDS, "tools tools  tools", "\u00e9\u65e5"]:
        assert ids(ours, text) == pieces.encode(text), text
        assert ours.decode(ids(ours, text)) == text
    assert ours.encode("the").ids[0] == 1
    no_bos = made(tmp_path, ggml__model="llama", ggml__tokens=words.tokens, ggml__token_type=types,
                  ggml__scores=[0.0] * len(types), ggml__add_bos_token=False)  # fmt: skip
    assert 1 not in loaded(tokenizer_json(*no_bos)).encode("the").ids


def test_sentencepiece_merges_what_has_the_highest_score_first(tmp_path: Path) -> None:
    tokens = ["<unk>", "<s>", "</s>", "t", "h", "e", "th", "he"]
    for th, he, shown in ((-2.0, -1.0, ["t", "he"]), (-1.0, -2.0, ["th", "e"])):
        metadata, words = made(
            tmp_path, ggml__model="llama", ggml__tokens=tokens, ggml__token_type=[2, 3, 3, *[1] * 5],
            ggml__scores=[0.0, 0.0, 0.0, -9.0, -9.0, -9.0, th, he], ggml__add_space_prefix=False,
        )  # fmt: skip
        assert loaded(tokenizer_json(metadata, words)).encode("the", add_special_tokens=False).tokens == shown


def test_gemmas_merges_follow_its_tokens_and_its_spaces_are_written_as_real_ones(tmp_path: Path) -> None:
    tokens = ["<pad>", "<eos>", "<bos>", "<unk>", "<end_of_turn>", "\n\n", "  ", "   ",
              *(f"<0x{b:02X}>" for b in range(256)),
              "\u2581t", "\u2581th", "th", "he", "\u2581the", "\u2581", "t", "h", "e", "\n"]  # fmt: skip
    types = [3, 3, 3, 2, 3, 4, 4, 4, *[6] * 256, *[1] * 10]
    metadata, words = made(
        tmp_path, "gemma3", ggml__model="llama", ggml__tokens=tokens, ggml__token_type=types, ggml__merges=None,
        ggml__scores=[-1000.0] * len(tokens), ggml__bos_token_id=2, ggml__eos_token_id=1, ggml__unknown_token_id=3,
        chat_template="<end_of_turn>",
    )  # fmt: skip
    ours = loaded(tokenizer_json(metadata, words))
    shown = [tokens[number] for number in ids(ours, " the   the\n\n<end_of_turn>")]
    assert shown == ["\u2581the", "   ", "th", "e", "\n\n", "<end_of_turn>"]
    assert ours.decode(ids(ours, "the  the")) == "the  the"
    assert words.stops == [1, 4]
    assert replace(words, tokens=tokens) == words
