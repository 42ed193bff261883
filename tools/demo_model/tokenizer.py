"""The base model's tokenizer: byte-level BPE of 4,096 tokens with ChatML's marks.

A name must be the same tokens in a prompt and in the code that copies it, whatever stands before it. So a space joins
the word after it only if that word is not part of a name.
"""

import json
from collections.abc import Iterable
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

VOCABULARY = 4096
MARKS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
"""Special tokens, left out of decoded text."""
TAGS = ("<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>")
"""Single tokens that are ordinary text."""

CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
"""ChatML; the rendering of the first messages is a prefix of the rendering of all of them."""

_PIECES = "|".join(
    (
        r"<function=execute_code>\n<parameter=code>\n",
        r"print\(result\)",
        r"\n?</parameter>\n</function>",
        r"\.(?:py|md|txt|json|toml)(?![\w/])",
        r" ?[a-z]+(?:'[a-z]+)?(?![A-Za-z0-9_/(]|\.[A-Za-z])",
        r"[a-z]+(?:_[a-z]+)+(?=\()",
        r"[a-z]+",
        r"[A-Z][a-z]*",
        r"\d",
        r" = ",
        r" ?[^\w\s]+(?: [^\w\s]+)*\n*",
        r"_+",
        r"\s",
        r".",
    )
)


def train(texts: Iterable[str]) -> Tokenizer:
    """A tokenizer whose merges come from ``texts``."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_PIECES), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - len(TAGS),
        special_tokens=list(MARKS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_tokens(list(TAGS))
    return tokenizer


def save(tokenizer: Tokenizer, folder: Path) -> None:
    """Write the files that transformers and mlx-lm load a tokenizer from."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tokenizer.json").write_text(tokenizer.to_str(pretty=False) + "\n", encoding="utf-8")
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": None,
        "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>",
        "unk_token": None,
        "additional_special_tokens": ["<|im_start|>", "<|im_end|>"],
        "clean_up_tokenization_spaces": False,
        "model_max_length": 2048,
        "chat_template": CHAT_TEMPLATE,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    (folder / "chat_template.jinja").write_text(CHAT_TEMPLATE, encoding="utf-8")
