"""A GGUF file as topcoat converts it, beside transformers' own reading of the same file.

Needs torch, transformers and gguf beside topcoat, in an environment of its own:

    python -m benchmarks.gguf_reading [FILE.gguf ...]

Without a file, small random ones of each family and kind of numbers are compared. transformers dequantizes every weight
in float32, and so is the folder here: its scales become float32 first.
"""

from __future__ import annotations

import argparse
import importlib
import tempfile
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np
from mlx.utils import tree_flatten, tree_map

from tests.support.gguf_files import GgufModel
from topcoat.engine.mlx.compute import Compute
from topcoat.engine.mlx.gguf.convert import convert
from topcoat.engine.mlx.model.folder import load
from topcoat.progress import Silent

FAMILIES = ("llama", "qwen2", "qwen3", "gemma2", "gemma3")
KINDS = ("F32", "F16", "BF16", "Q4_0", "Q4_1", "Q8_0")

_TOLD = {"head_dim", "query_pre_attn_scalar"}
"""What transformers takes from the family's usual model, not from the file: it is told."""

TEXTS = [
    "",
    " ",
    "  two spaces, then\ta tab\t\tand two",
    "line\nbreaks\n\n\nand\r\nwindows' own \r",
    "Numbers: 7, 12, 345, 67890, 3.14159, 1e-10, 0x1F, 1,000,000",
    "  12 after two spaces, and   345 after three",
    "don't, I'LL, we've, she'd, they're, it's, o'clock, DON'T",
    "snake_case camelCase SCREAMING_CASE kebab-case dotted.name.py",
    "def f(x):\n    if x > 1:\n        return x ** 2\n\treturn None  # done",
    '{"name": "get_weather", "arguments": {"city": "Z\u00fcrich", "days": 3}}',
    "<tool_call>\n{}\n</tool_call>",
    "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n",
    "<|im_start|><|im_end|><|endoftext|> <|im_end|>x",
    "<|im_start |> <| im_end|> almost",
    "na\u00efve caf\u00e9, cafe\u0301 (two characters), \u00c5ngstr\u00f6m A\u030a",
    "\u65e5\u672c\u8a9e\u306e\u30c6\u30ad\u30b9\u30c8\u3068\u4e2d\u6587\u6587\u672c\u3001\ud55c\uad6d\uc5b4",
    "\u0639\u0631\u0628\u064a \u05e2\u05d1\u05e8\u05d9\u05ea \u0939\u093f\u0928\u094d\u0926\u0940 \u0e44\u0e17\u0e22",
    "\U0001f600\U0001f468\u200d\U0001f469\u200d\U0001f467\U0001f3fd flags \U0001f1e9\U0001f1ea",
    "\u0663\u0664\u0665 \u00bd \u00b2 \u2163 \uff11\uff12 digits of other scripts",
    "a\u00a0b\u2003c\u200bd\ufeffe",
    "\x00\x01\x1b[0m control \x7f",
    "https://example.org/a/b?q=1&r=%20#frag user@example.org",
    "C:\\Users\\x\\n.txt \\u00e9 \\\\",
    "a" * 200,
    "x " * 100,
    "!@#$%^&*()_+-=[]{}|;':\",./<>?`~",
    "\u2581 sentencepiece's own space \u2581\u2581x",
    "<0x0A> a byte token's name",
    "trailing spaces   ",
    "\n\nleading lines",
]
"""Awkward texts: spaces, digits, contractions, scripts, marks that look special."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE.gguf")
    files = parser.parse_args().files
    with tempfile.TemporaryDirectory() as temporary:
        for file in files or _made(Path(temporary)):
            _compare(file, Path(temporary) / f"{file.stem}-folder")


def _made(folder: Path) -> Iterator[Path]:
    for family in FAMILIES:
        for kind in KINDS if family == "llama" else ("Q4_0",):
            tied = kind != "Q4_1"
            yield GgufModel(family, kind, tied=tied).write(folder / f"{family}-{kind}.gguf")


def _compare(file: Path, folder: Path) -> None:
    torch, transformers = importlib.import_module("torch"), importlib.import_module("transformers")

    convert(file, folder, Silent())
    ours = load(folder, Compute.AS_STORED)
    ours.model.set_dtype(mx.float32)
    ours.model.update_modules(tree_map(_plain, ours.model.leaf_modules(), is_leaf=nn.Module.is_module))
    config = transformers.AutoConfig.from_pretrained(file.parent, gguf_file=file.name)
    for key in _TOLD & ours.config.keys():
        setattr(config, key, ours.config[key])
    theirs = transformers.AutoModelForCausalLM.from_pretrained(
        file.parent, gguf_file=file.name, config=config, dtype=torch.float32, attn_implementation="eager"
    )
    tokenizer = transformers.AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    weights: dict[str, Any] = {name: value.numpy() for name, value in theirs.state_dict().items()}
    mine = {name: np.array(value) for name, value in tree_flatten(ours.model.parameters())}
    equal = [name for name, value in mine.items() if np.array_equal(weights[name], value)]
    largest = max(float(np.abs(weights[name] - value).max()) for name, value in mine.items())
    print(f"{file.name}: {len(equal)} of {len(mine)} tensors equal, largest difference {largest:.3g}")

    texts = list(dict.fromkeys([*TEXTS, *(unicodedata.normalize("NFD", text) for text in TEXTS)]))
    differ = [text for text in texts if ours.tokenizer.encode(text) != tokenizer.encode(text, add_special_tokens=False)]
    print(f"  {len(texts) - len(differ)} of {len(texts)} texts have the same tokens")
    for text in differ[:6]:
        print(f"    {text[:40]!r}")
        print(f"      ours   {[ours.tokenizer.decode([t]) for t in ours.tokenizer.encode(text)][:14]}")
        print(f"      theirs {[tokenizer.decode([t]) for t in tokenizer.encode(text, add_special_tokens=False)][:14]}")

    worst, agree, positions = 0.0, 0, 0
    for text in ("The capital of France is", TEXTS[8], TEXTS[9], TEXTS[11], TEXTS[15]):
        tokens = ours.tokenizer.encode(text)
        mlx = np.array(ours.model(mx.array([tokens]))[0])
        with torch.no_grad():
            other = theirs(torch.tensor([tokens])).logits[0].numpy()
        worst = max(worst, float(np.abs(mlx - other).max() / other.std()))
        agree += int((mlx.argmax(-1) == other.argmax(-1)).sum())
        positions += len(tokens)
    print(
        f"  logits of {positions} positions: largest difference {worst:.2g} deviations, {agree} same most likely token"
    )


def _plain(module: nn.Module) -> nn.Module:
    """A packed module's weights as numbers."""
    if not isinstance(module, nn.QuantizedLinear | nn.QuantizedEmbedding):
        return module
    made = nn.Linear(1, 1, bias="bias" in module) if isinstance(module, nn.QuantizedLinear) else nn.Embedding(1, 1)
    if "bias" in module:
        made.bias = module.bias
    packing = {"group_size": module.group_size, "bits": module.bits}
    made.weight = mx.dequantize(module.weight, module.scales, module.biases, **packing)
    return made


if __name__ == "__main__":
    main()
