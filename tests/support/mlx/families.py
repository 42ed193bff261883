"""Tokenizers of model families: byte pairs trained on a few sentences, with the family's special tokens and template.

The templates in `tests/support/templates` are written for the tests and behave like the families'.
"""

from __future__ import annotations

import json
from pathlib import Path

from topcoat.engine.mlx.model.tokenizer import MlxTokenizer

__all__ = ["FAMILIES", "TEMPLATES", "TOOLS", "make_family"]

TEMPLATES = Path(__file__).parents[1] / "templates"
CHATML = ["<|im_start|>", "<|im_end|>", "<|endoftext|>"]
HERMES = ["<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>", "<think>", "</think>"]
ARGS = ["<arg_key>", "</arg_key>", "<arg_value>", "</arg_value>"]


def _pair(name: str) -> list[str]:
    return [f"[{name}]", f"[/{name}]"]


def _span(name: str) -> list[str]:
    return [f"<|{name}_start|>", f"<|{name}_end|>"]


FAMILIES: dict[str, tuple[list[str], list[str]]] = {
    "qwen3": ([*CHATML, *HERMES], ["<|im_end|>", "<|endoftext|>"]),
    "qwen3_coder": ([*CHATML, *HERMES], ["<|im_end|>", "<|endoftext|>"]),
    "qwen3_thinking": ([*CHATML, *HERMES], ["<|im_end|>", "<|endoftext|>"]),
    "hermes": ([*CHATML, *HERMES], ["<|im_end|>"]),
    "llama3": (
        ["<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<|eom_id|>", "<|python_tag|>"],
        ["<|eot_id|>", "<|eom_id|>"],
    ),
    "mistral": (
        ["<s>", "</s>", "[INST]", "[/INST]", "[TOOL_CALLS]", *_pair("AVAILABLE_TOOLS"), *_pair("TOOL_RESULTS")],
        ["</s>"],
    ),
    "mistral_ids": (
        [
            *("<s>", "</s>", "[INST]", "[/INST]", "[TOOL_CALLS]", *_pair("SYSTEM_PROMPT")),
            *(*_pair("AVAILABLE_TOOLS"), *_pair("TOOL_RESULTS")),
        ],
        ["</s>"],
    ),
    "gemma3": (["<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>"], ["<end_of_turn>", "<eos>"]),
    "glm4": (
        [
            "[gMASK]",
            "<sop>",
            "<|system|>",
            "<|user|>",
            "<|assistant|>",
            "<|observation|>",
            "<|endoftext|>",
            *HERMES,
            *ARGS,
        ],
        ["<|endoftext|>", "<|user|>", "<|observation|>"],
    ),
    "gpt_oss": (
        ["<|start|>", "<|end|>", "<|message|>", "<|channel|>", "<|return|>", "<|call|>"],
        ["<|return|>", "<|call|>"],
    ),
    "lfm2": (
        ["<|startoftext|>", *CHATML, *_span("tool_call"), *_span("tool_list"), *_span("tool_response")],
        ["<|im_end|>"],
    ),
    "smollm3": ([*CHATML, *HERMES], ["<|im_end|>"]),
    "deepseek": (
        [
            *(
                "<｜begin▁of▁sentence｜>",
                "<｜end▁of▁sentence｜>",
                "<｜User｜>",
                "<｜Assistant｜>",
                "<think>",
                "</think>",
            ),
            *(f"<｜tool▁{part}｜>" for part in ("calls▁begin", "calls▁end", "call▁begin", "call▁end", "sep")),
            *("<｜tool▁output▁begin｜>", "<｜tool▁output▁end｜>"),
        ],
        ["<｜end▁of▁sentence｜>"],
    ),
    "granite": (["<|start_of_role|>", "<|end_of_role|>", "<|end_of_text|>", *HERMES], ["<|end_of_text|>"]),
    "functiongemma": (
        [
            *("<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>", "<escape>"),
            *(f"<{end}_function_{what}>" for what in ("declaration", "call", "response") for end in ("start", "end")),
        ],
        ["<end_of_turn>", "<start_function_response>"],
    ),
}
"""Each family's special tokens, and those at which its generation stops."""
_BEGIN = {
    "llama3": "<|begin_of_text|>",
    "mistral": "<s>",
    "mistral_ids": "<s>",
    "gemma3": "<bos>",
    "functiongemma": "<bos>",
    "lfm2": "<|startoftext|>",
    "deepseek": "<｜begin▁of▁sentence｜>",
}

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "set_lamp",
            "description": "Switch a lamp",
            "parameters": {
                "type": "object",
                "properties": {"room": {"type": "string"}, "on": {"type": "boolean"}},
                "required": ["room", "on"],
            },
        },
    }
]


def make_family(
    folder: Path, family: str, template: str | None = None, options: dict[str, object] | None = None
) -> MlxTokenizer:
    """The family's tokenizer, saved in `folder` and loaded as topcoat loads it, with `options` of its chat template.

    `template` replaces its own.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    special, stops = FAMILIES[family]
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    words = ["assistant\n\n", "user\n", '{"name": "set_lamp", "arguments": {"room": "den", "on": true}}\n\n']
    made.train_from_iterator(
        words * 4, trainers.BpeTrainer(vocab_size=400, special_tokens=special, initial_alphabet=alphabet)
    )
    folder.mkdir(parents=True, exist_ok=True)
    made.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": stops[0],
        "clean_up_tokenization_spaces": False,
    }
    if family in _BEGIN:
        config["bos_token"] = _BEGIN[family]
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    text = template or (TEMPLATES / f"{family}.jinja").read_text()
    (folder / "chat_template.jinja").write_text(text)
    ids = made.get_vocab()
    return MlxTokenizer(folder, [ids[stop] for stop in stops], options=options)
