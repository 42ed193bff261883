"""Models of a shape with random weights, and what the engine of this machine measures on them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from benchmarks.sizes.phase import in_project, phase_of
from benchmarks.sizes.shapes import BITS, GROUP, Shape
from benchmarks.streaming import Tensors, quantized
from topcoat.demo import TEMPLATE
from topcoat.engine.protocol import Engine
from topcoat.phases.estimation import estimate
from topcoat.store.records import Estimate

__all__ = ["make_model", "measured"]


def make_model(folder: Path, shape: Shape) -> None:
    """Write a Qwen3 of this shape in 4 bits, a file a layer. What it answers is noise."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for index in range(shape.layers):
        save_file(_layer(rng, f"model.layers.{index}", shape), folder / f"model-{index:05d}.safetensors")
    rest = quantized(rng, "model.embed_tokens", shape.vocabulary, shape.hidden)
    if not shape.tied:
        rest |= quantized(rng, "lm_head", shape.vocabulary, shape.hidden)
    save_file(rest | {"model.norm.weight": np.ones(shape.hidden, np.float16)}, folder / "model-rest.safetensors")
    quantization = {"group_size": GROUP, "bits": BITS, "mode": "affine"}
    config: dict[str, object] = {
        "model_type": "qwen3",
        "hidden_size": shape.hidden,
        "num_hidden_layers": shape.layers,
        "intermediate_size": shape.inner,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "head_dim": shape.head,
        "rms_norm_eps": 1e-6,
        "vocab_size": shape.vocabulary,
        "max_position_embeddings": 40960,
        "rope_theta": 1e6,
        "tie_word_embeddings": shape.tied,
        "quantization": quantization,
        "quantization_config": quantization,
    }
    if shape.experts:
        config |= {
            "model_type": "qwen3_moe",
            "num_experts": shape.experts,
            "num_experts_per_tok": shape.active,
            "decoder_sparse_step": 1,
            "mlp_only_layers": [],
            "moe_intermediate_size": shape.inner,
            "norm_topk_prob": True,
        }
    (folder / "config.json").write_text(json.dumps(config))
    for source in (TEMPLATE / "models" / "phase33b").iterdir():
        if source.name.startswith(("tokenizer", "chat_template", "generation")):
            shutil.copy(source, folder / source.name)


def _layer(rng: np.random.Generator, name: str, shape: Shape) -> Tensors:
    queries, keys = shape.heads * shape.head, shape.kv_heads * shape.head
    norms = {
        "input_layernorm": shape.hidden,
        "post_attention_layernorm": shape.hidden,
        "self_attn.q_norm": shape.head,
        "self_attn.k_norm": shape.head,
    }
    tensors: Tensors = {f"{name}.{norm}.weight": np.ones(width, np.float16) for norm, width in norms.items()}
    for part, out, width in (
        ("q_proj", queries, shape.hidden),
        ("k_proj", keys, shape.hidden),
        ("v_proj", keys, shape.hidden),
        ("o_proj", shape.hidden, queries),
    ):
        tensors |= quantized(rng, f"{name}.self_attn.{part}", out, width)
    experts = [shape.experts] if shape.experts else []
    if shape.experts:
        tensors |= quantized(rng, f"{name}.mlp.gate", shape.experts, shape.hidden)
    inside = f"{name}.mlp.switch_mlp" if shape.experts else f"{name}.mlp"
    for part, out, width in (
        ("gate_proj", shape.inner, shape.hidden),
        ("up_proj", shape.inner, shape.hidden),
        ("down_proj", shape.hidden, shape.inner),
    ):
        tensors |= quantized(rng, f"{inside}.{part}", *experts, out, width)
    return tensors


def measured(folder: Path, shape: Shape, engine: Engine, examples: int, *, recompute: bool = False) -> Estimate:
    """The estimate of `topcoat check` for the phase on such a model, as this machine measures it."""
    make_model(folder / "models" / "phase33b", shape)
    with in_project(folder, engine) as session:
        return estimate(session, phase_of(examples, recompute=recompute, vocabulary=shape.vocabulary))
