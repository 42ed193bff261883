"""Small GGUF files, written from the format's specification alone."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

__all__ = ["BLOCKS", "GgufModel", "dequantized", "entry", "stored", "write_gguf"]

BLOCKS = {"F32": (0, 1, 4), "F16": (1, 1, 2), "BF16": (30, 1, 2), "Q4_0": (2, 32, 18), "Q4_1": (3, 32, 20),
          "Q5_0": (6, 32, 22), "Q5_1": (7, 32, 24), "Q8_0": (8, 32, 34), "Q4_K": (12, 256, 144),
          "Q6_K": (14, 256, 210)}  # fmt: skip
"""By name: the number of a kind, the numbers of a block, the bytes of a block."""

TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)

Stored = tuple[str, tuple[int, ...], bytes]
"""A tensor: its kind, its shape with the rows first, its bytes."""


def stored(kind: str, shape: Sequence[int], seed: int = 0, size: float = 0.05) -> Stored:
    """A tensor of random numbers of about `size`, made as blocks, not by quantizing."""
    rng = np.random.default_rng(seed)
    _, length, bytes_each = BLOCKS[kind]
    count = int(np.prod(shape))
    if length == 1:
        numbers = rng.normal(1.0 if len(shape) == 1 else 0.0, size, count).astype(np.float32)
        if kind == "BF16":
            return kind, tuple(shape), (numbers.view(np.uint32) >> 16).astype("<u2").tobytes()
        # Numbers as models have them: what bfloat16 holds.
        numbers = (numbers.view(np.uint32) & 0xFFFF0000).view(np.float32)
        return kind, tuple(shape), numbers.astype("<f4" if kind == "F32" else "<f2").tobytes()
    blocks = rng.integers(0, 256, (count // length, bytes_each), np.uint8)
    scale = rng.uniform(size / 8, size / 4, len(blocks)) / (16 if kind == "Q8_0" else 1)
    blocks[:, :2] = scale.astype("<f2").view(np.uint8).reshape(-1, 2)
    if kind in ("Q4_1", "Q5_1"):
        blocks[:, 2:4] = (-8 * scale).astype("<f2").view(np.uint8).reshape(-1, 2)
    return kind, tuple(shape), blocks.tobytes()


def dequantized(tensor: Stored) -> NDArray[np.float32]:
    """The numbers of a tensor, in float32, number by number as the format defines them."""
    kind, shape, data = tensor
    raw = np.frombuffer(data, np.uint8)
    if kind in ("F32", "F16"):
        return raw.view("<f4" if kind == "F32" else "<f2").astype(np.float32).reshape(shape)
    if kind == "BF16":
        return (raw.view("<u2").astype(np.uint32) << 16).view(np.float32).reshape(shape)
    numbers: list[np.float32] = []
    for block in raw.reshape(-1, BLOCKS[kind][2]):
        scale = np.float32(block[:2].view("<f2")[0])
        if kind == "Q8_0":
            numbers.extend(scale * np.float32(code) for code in block[2:].view(np.int8))
            continue
        zero = np.float32(-16 if kind == "Q5_0" else -8)
        least = np.float32(block[2:4].view("<f2")[0]) if kind.endswith("_1") else zero * scale
        codes = block[-16:]
        halves = [int(code) & 15 for code in codes] + [int(code) >> 4 for code in codes]
        if kind.startswith("Q5"):
            fifth = int(block[-20:-16].view("<u4")[0])
            halves = [half | (fifth >> place & 1) << 4 for place, half in enumerate(halves)]
        numbers.extend(scale * np.float32(code) + least for code in halves)
    return np.array(numbers, np.float32).reshape(shape)


def _text(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def entry(value: object) -> bytes:
    """A metadata value with its type."""
    if isinstance(value, bool):
        return struct.pack("<I?", 7, value)
    if isinstance(value, int):
        return struct.pack("<II", 4, value)
    if isinstance(value, float):
        return struct.pack("<If", 6, value)
    if isinstance(value, str):
        return struct.pack("<I", 8) + _text(value)
    assert isinstance(value, list)
    if value and isinstance(value[0], str):
        return struct.pack("<IIQ", 9, 8, len(value)) + b"".join(map(_text, value))
    form = "<f4" if value and isinstance(value[0], float) else "<i4"
    return struct.pack("<IIQ", 9, 6 if form == "<f4" else 5, len(value)) + np.array(value, form).tobytes()


def write_gguf(path: Path, metadata: Mapping[str, object], tensors: Mapping[str, Stored], *, version: int = 3) -> Path:
    """Write a GGUF file; the data of each tensor begins at a multiple of 32 bytes."""
    header = struct.pack("<4sIQQ", b"GGUF", version, len(tensors), len(metadata))
    header += b"".join(_text(key) + entry(value) for key, value in metadata.items())
    data = b""
    for name, (kind, shape, content) in tensors.items():
        header += _text(name) + struct.pack("<I", len(shape)) + struct.pack(f"<{len(shape)}Q", *reversed(shape))
        header += struct.pack("<IQ", BLOCKS[kind][0], len(data))
        data += content + bytes(-len(content) % 32)
    path.write_bytes(header + bytes(-len(header) % 32) + data)
    return path


def _alphabet() -> list[str]:
    """The 256 characters that byte pairs write bytes with."""
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = iter(range(256, 512))
    return [chr(byte) if byte in shown else chr(next(hidden)) for byte in range(256)]


SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
MERGES = ["i n", "Ġ t", "Ġt h", "e r", "Ġ Ġ", "Ġth e", "o n", "a s", "as s", "s t", "n t", "ĠĠ ĠĠ", "1 2", "Ċ Ċ"]


@dataclass
class GgufModel:
    """A random model of a family, as llama.cpp would store it. Any part can be changed before it is written."""

    family: str
    matrices: str = "Q8_0"
    vectors: str = "F32"
    layers: int = 0
    tied: bool = True
    metadata: dict[str, object] = field(init=False)
    tensors: dict[str, Stored] = field(init=False)

    HIDDEN, INNER, HEADS, KEYS, HEAD = 64, 96, 2, 1, 32

    def __post_init__(self) -> None:
        self.layers = self.layers or (6 if self.family == "gemma3" else 2)  # mlx-lm's gemma3 attends in rounds of six
        tokens = [*SPECIAL, *_alphabet(), *(merge.replace(" ", "") for merge in MERGES)]
        self.metadata = {
            "general.architecture": self.family,
            "general.name": "tiny",
            **{f"{self.family}.{key}": value for key, value in self._sizes().items()},
            "tokenizer.ggml.model": "gpt2",
            "tokenizer.ggml.pre": {"qwen2": "qwen2", "qwen3": "qwen2"}.get(self.family, "smollm"),
            "tokenizer.ggml.tokens": tokens,
            "tokenizer.ggml.token_type": [3] * len(SPECIAL) + [1] * (len(tokens) - len(SPECIAL)),
            "tokenizer.ggml.merges": MERGES,
            "tokenizer.ggml.bos_token_id": 1,
            "tokenizer.ggml.eos_token_id": 2,
            "tokenizer.chat_template": TEMPLATE,
        }
        self.tensors = {}
        for name, shape in self._shapes(len(tokens)).items():
            kind = self.matrices if len(shape) == 2 else self.vectors
            self.tensors[name] = stored(kind, shape, seed=len(self.tensors))

    def _sizes(self) -> dict[str, object]:
        sizes: dict[str, object] = {
            "block_count": self.layers,
            "embedding_length": self.HIDDEN,
            "feed_forward_length": self.INNER,
            "attention.head_count": self.HEADS,
            "attention.head_count_kv": self.KEYS,
            "attention.layer_norm_rms_epsilon": 1e-6,
            "context_length": 512,
            "rope.freq_base": 10000.0,
        }
        if self.family not in ("llama", "qwen2"):
            sizes |= {"attention.key_length": self.HEAD, "attention.value_length": self.HEAD}
        if self.family == "gemma2":
            sizes |= {"attn_logit_softcapping": 50.0, "final_logit_softcapping": 30.0, "attention.sliding_window": 512}
        if self.family == "gemma3":
            sizes["attention.sliding_window"] = 16
        return sizes

    def _shapes(self, vocabulary: int) -> dict[str, tuple[int, ...]]:
        shapes: dict[str, tuple[int, ...]] = {"token_embd.weight": (vocabulary, self.HIDDEN)}
        rows = {"attn_q": self.HEADS * self.HEAD, "attn_k": self.KEYS * self.HEAD, "attn_v": self.KEYS * self.HEAD}
        for layer in range(self.layers):
            own: dict[str, tuple[int, ...]] = {
                "attn_norm.weight": (self.HIDDEN,),
                **{f"{name}.weight": (count, self.HIDDEN) for name, count in rows.items()},
                "attn_output.weight": (self.HIDDEN, self.HEADS * self.HEAD),
                "ffn_norm.weight": (self.HIDDEN,),
                "ffn_gate.weight": (self.INNER, self.HIDDEN),
                "ffn_up.weight": (self.INNER, self.HIDDEN),
                "ffn_down.weight": (self.HIDDEN, self.INNER),
            }
            if self.family == "qwen2":
                own |= {f"{name}.bias": (count,) for name, count in rows.items()}
            if self.family in ("qwen3", "gemma3"):
                own |= {"attn_q_norm.weight": (self.HEAD,), "attn_k_norm.weight": (self.HEAD,)}
            if self.family in ("gemma2", "gemma3"):
                own |= {"post_attention_norm.weight": (self.HIDDEN,), "post_ffw_norm.weight": (self.HIDDEN,)}
            shapes |= {f"blk.{layer}.{name}": shape for name, shape in own.items()}
        shapes["output_norm.weight"] = (self.HIDDEN,)
        if not self.tied:
            shapes["output.weight"] = (vocabulary, self.HIDDEN)
        return shapes

    def write(self, path: Path) -> Path:
        return write_gguf(path, self.metadata, self.tensors)
