"""What a GGUF file says of a model's shape, and how its tensors are called there: the way back of `gguf.family`.

The keys and names are those that llama.cpp's `gguf-py/gguf/constants.py` has, which its loader reads.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from topcoat.engine.mlx.gguf.family import FAMILIES
from topcoat.engine.mlx.gguf.rope import LLAMA3
from topcoat.errors import InvalidInput, Where

__all__ = ["EXPORTABLE", "GgufFamily", "family_for", "metadata_for", "refused"]

Config = Mapping[str, Any]

_EXPERTS = {
    "ffn_gate_inp": "mlp.gate",
    "ffn_gate_exps": "mlp.switch_mlp.gate_proj",
    "ffn_up_exps": "mlp.switch_mlp.up_proj",
    "ffn_down_exps": "mlp.switch_mlp.down_proj",
}
_DENSE = ("ffn_gate", "ffn_up", "ffn_down")

EXPORTABLE = {
    "llama": "llama",
    "mistral": "llama",
    "qwen2": "qwen2",
    "qwen3": "qwen3",
    "qwen3_moe": "qwen3moe",
    "gemma": "gemma",
    "gemma2": "gemma2",
    "gemma3_text": "gemma3",
}
"""llama.cpp's architecture, by `model_type`."""

_LAYER = re.compile(r"model\.layers\.(?P<layer>\d+)\.(?P<module>.+)\.(?P<part>weight|bias)")


@dataclass(frozen=True, slots=True)
class GgufFamily:
    """`architecture` as llama.cpp calls it. `parts` are the names of modules in a file, by those within a layer.

    `rotated`: rows of queries and keys are the two halves of rotated pairs, taken in turns. `offset` is what norms have
    more in a file.
    """

    architecture: str
    parts: Mapping[str, str]
    rotated: bool
    offset: float

    def name_of(self, name: str) -> str | None:
        """The file's name of a tensor; None if it has none."""
        whole = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight"}
        whole["lm_head.weight"] = "output.weight"
        found = _LAYER.fullmatch(name)
        if found is None or found["module"] not in self.parts:
            return whole.get(name)
        return f"blk.{found['layer']}.{self.parts[found['module']]}.{found['part']}"


def refused(folder: Path, message: str) -> InvalidInput:
    """The error for a model that a GGUF file has no place for."""
    return InvalidInput(
        f"{folder.name} {message}",
        where=Where(folder),
        hint="topcoat export MODEL --to hf, which llama.cpp's convert_hf_to_gguf.py may convert",
    )


def family_for(config: Config, folder: Path) -> GgufFamily:
    """The model's family in a file. Raises InvalidInput, with its name, for one that isn't known."""
    kind = str(config["model_type"])
    if kind not in EXPORTABLE:
        raise refused(folder, f"is of the family {kind}; {', '.join(EXPORTABLE)} can be written as GGUF")
    architecture = EXPORTABLE[kind]
    dense = FAMILIES["qwen3" if architecture == "qwen3moe" else architecture]
    layer = dict(dense.layer)
    if architecture == "qwen3moe":
        layer = {part: module for part, module in layer.items() if part not in _DENSE} | _EXPERTS
    parts = {module: part for part, module in layer.items()}
    return GgufFamily(architecture, parts, dense.rotated, dense.offset)


def metadata_for(args: Any, config: Config, family: GgufFamily, folder: Path) -> dict[str, int | float | str]:
    """The keys of a file that describe the model. `args` is what mlx-lm makes of `config`, with its defaults.

    Raises InvalidInput for what llama.cpp computes otherwise.
    """
    _require_same_attention(args, config, folder)
    heads = args.num_attention_heads
    head = getattr(args, "head_dim", None) or args.hidden_size // heads
    told: dict[str, int | float | str] = {
        "block_count": args.num_hidden_layers,
        "context_length": int(config.get("max_position_embeddings") or 4096),
        "embedding_length": args.hidden_size,
        "feed_forward_length": args.intermediate_size,
        "attention.head_count": heads,
        "attention.head_count_kv": getattr(args, "num_key_value_heads", None) or heads,
        "attention.key_length": head,
        "attention.value_length": head,
        "attention.layer_norm_rms_epsilon": float(args.rms_norm_eps),
        "rope.freq_base": float(getattr(args, "rope_theta", None) or 10_000.0),
        "rope.dimension_count": head,
        "vocab_size": args.vocab_size,
        **_scaling(getattr(args, "rope_scaling", None), family, folder),
        **_own(args, config, family, head, folder),
    }
    return {f"{family.architecture}.{key}": value for key, value in told.items()}


def _require_same_attention(args: Any, config: Config, folder: Path) -> None:
    kinds = getattr(args, "layer_types", None) or config.get("layer_types") or ()
    gemma = str(config["model_type"]).startswith("gemma")
    window = config.get("model_type") == "mistral" and config.get("sliding_window")
    if not gemma and (window or config.get("use_sliding_window") or "sliding_attention" in kinds):
        raise refused(folder, "attends through a sliding window, which llama.cpp doesn't have for its family")


def _scaling(scaling: Config | None, family: GgufFamily, folder: Path) -> dict[str, float | str]:
    """How rotations are scaled. Llama 3's way is a tensor, and no key."""
    kind = (scaling or {}).get("rope_type") or (scaling or {}).get("type") or "default"
    if scaling is None or kind == "default":
        return {}
    if kind == "linear":
        return {"rope.scaling.type": "linear", "rope.scaling.factor": float(scaling["factor"])}
    usual = all(scaling.get(key) == value for key, value in LLAMA3.items())
    if kind == "llama3" and usual and family.architecture == "llama":
        return {}
    raise refused(folder, f"scales its rotations by {kind} in a way that topcoat doesn't write")


def _own(args: Any, config: Config, family: GgufFamily, head: int, folder: Path) -> dict[str, int | float]:
    """The keys that only this family has."""
    architecture = family.architecture
    if architecture == "qwen3moe":
        if args.mlp_only_layers or args.decoder_sparse_step != 1 or not args.norm_topk_prob:
            raise refused(folder, "has dense layers or unnormed shares among its experts, which llama.cpp's don't")
        return {
            "expert_count": args.num_experts,
            "expert_used_count": args.num_experts_per_tok,
            "expert_feed_forward_length": args.moe_intermediate_size,
        }
    if architecture not in ("gemma2", "gemma3"):
        return {}
    large = args.num_hidden_layers == (46 if architecture == "gemma2" else 62)
    scalar = args.hidden_size // args.num_attention_heads if large else head
    if args.query_pre_attn_scalar != scalar:
        raise refused(folder, f"scales its queries by {args.query_pre_attn_scalar}, and llama.cpp by {scalar}")
    if architecture == "gemma2":
        return {
            "attn_logit_softcapping": float(args.attn_logit_softcapping),
            "final_logit_softcapping": float(args.final_logit_softcapping),
            "attention.sliding_window": int(config.get("sliding_window") or config["max_position_embeddings"]),
        }
    return {
        "attention.sliding_window": args.sliding_window,
        "attention.sliding_window_pattern": args.sliding_window_pattern,
        "rope.freq_base_swa": float(args.rope_local_base_freq),
    }
