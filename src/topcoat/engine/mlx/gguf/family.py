"""What each family's file holds: its tensors by name and shape, and the configuration that its metadata gives.

The names are those of llama.cpp's `gguf-py/gguf/constants.py`, the keys those of the GGUF specification, the values of
`config.json` those that mlx-lm's models read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from topcoat.engine.mlx.gguf.metadata import Metadata, refused
from topcoat.engine.mlx.gguf.rope import scaling_of

__all__ = ["FAMILIES", "Family", "Sizes", "Target", "config_of", "family_of", "sizes_of", "targets"]

Config = dict[str, Any]
Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Sizes:
    """A model's dimensions. `vocabulary` is the number of rows of the embedding, which may have unused ones."""

    layers: int
    hidden: int
    inner: int
    heads: int
    key_heads: int
    head: int
    vocabulary: int

    def shape(self, tensor: str) -> Shape:
        """The shape of a module's weight, by the last part of its name in the file."""
        shapes = {
            "token_embd": (self.vocabulary, self.hidden),
            "output": (self.vocabulary, self.hidden),
            "attn_q": (self.heads * self.head, self.hidden),
            "attn_k": (self.key_heads * self.head, self.hidden),
            "attn_v": (self.key_heads * self.head, self.hidden),
            "attn_output": (self.hidden, self.heads * self.head),
            "ffn_gate": (self.inner, self.hidden),
            "ffn_up": (self.inner, self.hidden),
            "ffn_down": (self.hidden, self.inner),
            "attn_q_norm": (self.head,),
            "attn_k_norm": (self.head,),
        }
        return shapes.get(tensor, (self.hidden,))


@dataclass(frozen=True, slots=True)
class Target:
    """Where a tensor goes: its name in the model, and what it must look like.

    `heads`: its rows are the two halves of each head's rotated dimensions, taken in turns; 0 if they aren't. `offset`
    is what the file's numbers have more than the model's.
    """

    name: str
    shape: Shape
    heads: int = 0
    offset: float = 0.0


_LAYER = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_HEAD_NORMS = {"attn_q_norm": "self_attn.q_norm", "attn_k_norm": "self_attn.k_norm"}
_FOUR_NORMS = {
    "ffn_norm": "pre_feedforward_layernorm",
    "post_attention_norm": "post_attention_layernorm",
    "post_ffw_norm": "post_feedforward_layernorm",
}
_ATTENTION = ("attn_q", "attn_k", "attn_v", "attn_output")


@dataclass(frozen=True, slots=True)
class Family:
    """A family's tensors, and the keys of `config.json` that only it has.

    `own` gets the metadata and the sizes. `biases` are sets of modules that all have a bias or none; where
    `biased`, they all do. `rotated`: llama.cpp's order of the rotated dimensions. `tied`: the head is always the
    embedding. `offset` is what norms have more in the file. `scaled`: its rotations may be scaled.
    """

    model_type: str
    own: Callable[[Metadata, Sizes], Config]
    layer: Mapping[str, str] = field(default_factory=lambda: _LAYER)
    biases: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    biased: bool = False
    rotated: bool = False
    tied: bool = False
    offset: float = 0.0
    scaled: bool = True


def _nothing(metadata: Metadata, sizes: Sizes) -> Config:
    return {}


def _qwen2(metadata: Metadata, sizes: Sizes) -> Config:
    if sizes.head * sizes.heads != sizes.hidden:
        raise refused(
            metadata.file, f"has heads of {sizes.head} dimensions, which qwen2 models of this width don't have"
        )
    return {}


def _gemma2(metadata: Metadata, sizes: Sizes) -> Config:
    large = sizes.layers == 46  # 27B: llama.cpp and Gemma's makers scale queries by the width there
    return {
        "attn_logit_softcapping": metadata.real("{}.attn_logit_softcapping", 0.1, 1e6, 50.0),
        "final_logit_softcapping": metadata.real("{}.final_logit_softcapping", 0.1, 1e6, 30.0),
        "query_pre_attn_scalar": sizes.hidden // sizes.heads if large else sizes.head,
    }


def _gemma3(metadata: Metadata, sizes: Sizes) -> Config:
    large = sizes.layers == 62
    if metadata.real("{}.final_logit_softcapping", 0.0, 1e6, 0.0):
        raise refused(metadata.file, "caps its logits, which mlx-lm's gemma3 doesn't")
    return {
        "query_pre_attn_scalar": sizes.hidden // sizes.heads if large else sizes.head,
        "sliding_window": metadata.whole("{}.attention.sliding_window", 1, 1 << 24),
        "sliding_window_pattern": metadata.whole("{}.attention.sliding_window_pattern", 1, 1 << 10, 6),
        "rope_local_base_freq": metadata.real("{}.rope.freq_base_swa", 1.0, 1e12, 10_000.0),
    }


FAMILIES = {
    "llama": Family(
        "llama",
        _nothing,
        biases={"attention_bias": _ATTENTION, "mlp_bias": ("ffn_gate", "ffn_up", "ffn_down")},
        rotated=True,
    ),
    "qwen2": Family("qwen2", _qwen2, biases={"": _ATTENTION[:3]}, biased=True),
    "qwen3": Family("qwen3", _nothing, {**_LAYER, **_HEAD_NORMS}),
    "gemma": Family("gemma", _nothing, tied=True, offset=1.0, scaled=False),
    "gemma2": Family("gemma2", _gemma2, {**_LAYER, **_FOUR_NORMS}, tied=True, offset=1.0, scaled=False),
    "gemma3": Family("gemma3_text", _gemma3, {**_LAYER, **_HEAD_NORMS, **_FOUR_NORMS}, tied=True, offset=1.0),
}
"""The families that are read, by `general.architecture`."""


def family_of(metadata: Metadata) -> Family:
    """The file's family. Raises InvalidInput, with its name, for one that isn't read."""
    name = metadata.family
    if name not in FAMILIES:
        raise refused(
            metadata.file,
            f"is a model of the family {name}; {', '.join(FAMILIES)} are read",
            "topcoat init --base FOLDER takes any model that mlx-lm loads, as safetensors",
        )
    if metadata.whole("{}.expert_count", 0, 1 << 16, 0):
        raise refused(
            metadata.file,
            "is a mixture of experts, which topcoat doesn't read from GGUF",
            "topcoat init --base FOLDER takes mixtures as safetensors",
        )
    if metadata.whole("split.count", 0, 1 << 16, 0) > 1:
        raise refused(
            metadata.file, "is one part of a model", f"llama-gguf-split --merge {metadata.file.path.name} WHOLE.gguf"
        )
    if not FAMILIES[name].model_type.startswith("gemma") and metadata.get("{}.attention.sliding_window") is not None:
        raise refused(metadata.file, f"attends through a sliding window, which topcoat doesn't read for {name}")
    return FAMILIES[name]


def sizes_of(metadata: Metadata) -> Sizes:
    """The model's dimensions. Raises InvalidInput if the metadata lacks one, or they can't be a model's."""
    heads = metadata.whole("{}.attention.head_count", 1, 1 << 12)
    hidden = metadata.whole("{}.embedding_length", 1, 1 << 20)
    key_heads = metadata.whole("{}.attention.head_count_kv", 1, heads, heads)
    head = metadata.whole("{}.attention.key_length", 2, 1 << 12, hidden // heads)
    values = metadata.whole("{}.attention.value_length", 2, 1 << 12, head)
    turned = metadata.whole("{}.rope.dimension_count", 1, 1 << 12, head)
    if values != head or turned != head or head % 2 or heads % key_heads:
        raise refused(
            metadata.file,
            f"has heads that topcoat doesn't read: {heads} of {head} dimensions ({turned} rotated, {values} in values) "
            f"on {key_heads} of keys",
        )
    embedding = metadata.file.tensors.get("token_embd.weight")
    if embedding is None:
        raise refused(metadata.file, "has no tensor token_embd.weight")
    return Sizes(
        layers=metadata.whole("{}.block_count", 1, 10_000),
        hidden=hidden,
        inner=metadata.whole("{}.feed_forward_length", 1, 1 << 20),
        heads=heads,
        key_heads=key_heads,
        head=head,
        vocabulary=embedding.shape[0],
    )


def targets(metadata: Metadata, family: Family, sizes: Sizes) -> dict[str, Target]:
    """Where each tensor of the file goes, by its name there.

    Raises InvalidInput if one is missing, is of another shape, or belongs to nothing that the family has.
    """
    tensors = metadata.file.tensors
    wanted = {
        "token_embd.weight": Target("model.embed_tokens.weight", sizes.shape("token_embd")),
        "output_norm.weight": Target("model.norm.weight", (sizes.hidden,), offset=family.offset),
    }
    if not family.tied and "output.weight" in tensors:
        wanted["output.weight"] = Target("lm_head.weight", sizes.shape("output"))
    biased = {part for parts in _biases(metadata, family).values() for part in parts}
    for layer in range(sizes.layers):
        for part, module in family.layer.items():
            shape = sizes.shape(part)
            heads = {"attn_q": sizes.heads, "attn_k": sizes.key_heads}.get(part, 0) if family.rotated else 0
            offset = family.offset if "norm" in part else 0.0
            name = f"model.layers.{layer}.{module}"
            wanted[f"blk.{layer}.{part}.weight"] = Target(f"{name}.weight", shape, heads, offset)
            if part in biased:
                wanted[f"blk.{layer}.{part}.bias"] = Target(f"{name}.bias", shape[:1], heads)
    for name, target in wanted.items():
        if name not in tensors:
            raise refused(metadata.file, f"has no tensor {name}")
        if tensors[name].shape != target.shape:
            raise refused(metadata.file, f"has {name} in the shape {tensors[name].shape} instead of {target.shape}")
    left = sorted(tensors.keys() - wanted.keys() - {"rope_freqs.weight"})
    if left:
        raise refused(
            metadata.file, f"has {len(left)} tensors that {metadata.family} models don't have: {', '.join(left[:3])}"
        )
    return wanted


def _biases(metadata: Metadata, family: Family) -> dict[str, tuple[str, ...]]:
    """The sets of modules that have biases: those of which the first layer has one."""
    tensors = metadata.file.tensors
    return {
        key: parts
        for key, parts in family.biases.items()
        if family.biased or any(f"blk.0.{part}.bias" in tensors for part in parts)
    }


def config_of(metadata: Metadata, family: Family, sizes: Sizes) -> Config:
    """The model's `config.json`, but for its quantization and special tokens."""
    scaling = scaling_of(metadata, sizes.head)
    if scaling is not None and not family.scaled:
        raise refused(metadata.file, f"scales its rotations, which mlx-lm's {family.model_type} doesn't")
    return {
        "model_type": family.model_type,
        "hidden_size": sizes.hidden,
        "num_hidden_layers": sizes.layers,
        "intermediate_size": sizes.inner,
        "num_attention_heads": sizes.heads,
        "num_key_value_heads": sizes.key_heads,
        "head_dim": sizes.head,
        "rms_norm_eps": metadata.real("{}.attention.layer_norm_rms_epsilon", 1e-12, 1.0),
        "vocab_size": sizes.vocabulary,
        "max_position_embeddings": metadata.whole("{}.context_length", 1, 1 << 31),
        "rope_theta": metadata.real("{}.rope.freq_base", 1.0, 1e12, 10_000.0),
        **({"rope_scaling": scaling} if scaling is not None else {}),
        "tie_word_embeddings": family.tied or "output.weight" not in metadata.file.tensors,
        **{key: True for key in _biases(metadata, family) if key},
        **family.own(metadata, sizes),
    }
