"""Hugging Face's layout of the families whose exports were compared with transformers, logit by logit.

mlx-lm's `sanitize` turns a family's published tensors into its own; for these families the way back is known. Most have
the same names on both sides. Of mixtures, mlx-lm stacks the experts' matrices, and the published layout has each apart.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mlx.core as mx

from topcoat.errors import InvalidInput, Where

__all__ = ["LAYOUTS", "Layout", "layout_of"]

_STACKED = re.compile(r"(?P<before>.*)\.switch_mlp\.(?P<part>gate_proj|up_proj|down_proj)\.weight")


@dataclass(frozen=True, slots=True)
class Layout:
    """`architecture` is transformers' class. `experts` is how a mixture's experts are called beside the router and
    `parts` how their matrices are, by mlx-lm's names.
    """

    architecture: str
    experts: str = ""
    parts: Mapping[str, str] = field(default_factory=dict)

    def published(self, name: str, value: mx.array) -> Iterator[tuple[str, mx.array]]:
        """The tensors that one of mlx-lm's becomes, by their published names."""
        stacked = _STACKED.fullmatch(name)
        if stacked is None:
            yield name, value
            return
        part = self.parts.get(stacked["part"], stacked["part"])
        for number in range(value.shape[0]):
            yield f"{stacked['before']}.{self.experts}.{number}.{part}.weight", value[number]


LAYOUTS = {
    "llama": Layout("LlamaForCausalLM"),
    "mistral": Layout("MistralForCausalLM"),
    "qwen2": Layout("Qwen2ForCausalLM"),
    "qwen3": Layout("Qwen3ForCausalLM"),
    "gemma": Layout("GemmaForCausalLM"),
    "gemma2": Layout("Gemma2ForCausalLM"),
    "gemma3_text": Layout("Gemma3ForCausalLM"),
    "smollm3": Layout("SmolLM3ForCausalLM"),
    "phi3": Layout("Phi3ForCausalLM"),
    "granite": Layout("GraniteForCausalLM"),
    "olmo2": Layout("Olmo2ForCausalLM"),
    "glm4": Layout("Glm4ForCausalLM"),
    "cohere2": Layout("Cohere2ForCausalLM"),
    "seed_oss": Layout("SeedOssForCausalLM"),
    "ernie4_5": Layout("Ernie4_5ForCausalLM"),
    "qwen3_moe": Layout("Qwen3MoeForCausalLM", experts="experts"),
    "qwen2_moe": Layout("Qwen2MoeForCausalLM", experts="experts"),
    "olmoe": Layout("OlmoeForCausalLM", experts="experts"),
    "mixtral": Layout(
        "MixtralForCausalLM",
        experts="experts",
        parts={"gate_proj": "w1", "up_proj": "w3", "down_proj": "w2"},
    ),
}
"""By `model_type`."""


def layout_of(config: Mapping[str, Any], folder: Path) -> Layout:
    """The layout of a model's family. Raises InvalidInput, with its name, for one that isn't known."""
    kind = str(config["model_type"])
    if kind not in LAYOUTS:
        raise InvalidInput(
            f"{folder.name} is of the family {kind}, whose published layout topcoat doesn't know; "
            f"{', '.join(LAYOUTS)} are known",
            where=Where(folder),
            hint="topcoat export MODEL --to lmstudio",
        )
    return LAYOUTS[kind]
