"""Random models of each family, exported and computed by transformers or llama.cpp, logit by logit, beside MLX.

    python -m benchmarks.export_agreement hf [FAMILY ...]      needs torch
    python -m benchmarks.export_agreement gguf [FAMILY ...]    needs gguf, and llama-server (or TOPCOAT_LLAMA_SERVER)

`engine/mlx/export/layouts.py` lists the families that passed. Differences are relative to the logits' deviation.
"""

from __future__ import annotations

import importlib
import json
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx2
import mlx.core as mx
import numpy as np
from mlx.utils import tree_flatten, tree_unflatten
from mlx_lm.utils import quantize_model, save_model

from topcoat.demo import TEMPLATE
from topcoat.engine.mlx.compute import Compute
from topcoat.engine.mlx.engine import MlxEngine
from topcoat.engine.mlx.export.gguf_family import EXPORTABLE
from topcoat.engine.mlx.export.layouts import LAYOUTS
from topcoat.engine.mlx.gguf.tokenizer import PIECES
from topcoat.engine.mlx.model.folder import load
from topcoat.engine.protocol import ExportJob, Numbers
from topcoat.engine.registry import ENGINES
from topcoat.errors import TopcoatError
from topcoat.export.runtimes import runtime_of, serving
from topcoat.progress import Silent
from topcoat.store.records import ExportRecord, ExportReport

VOCABULARY = 4096
SHAPE = {
    "hidden_size": 64,
    "num_hidden_layers": 4,
    "intermediate_size": 128,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 32,
    "rms_norm_eps": 1e-6,
    "vocab_size": VOCABULARY,
    "max_position_embeddings": 4096,
    "rope_theta": 10000.0,
    "tie_word_embeddings": True,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
EXPERTS = {
    "num_experts": 4,
    "num_experts_per_tok": 2,
    "decoder_sparse_step": 1,
    "mlp_only_layers": [],
    "moe_intermediate_size": 64,
    "norm_topk_prob": True,
}
SOFT = {"attn_logit_softcapping": 50.0, "final_logit_softcapping": 30.0, "query_pre_attn_scalar": 32}
OWN: Mapping[str, Mapping[str, Any]] = {
    "qwen3_moe": EXPERTS,
    "qwen2_moe": {**EXPERTS, "shared_expert_intermediate_size": 64, "norm_topk_prob": False},
    "olmoe": EXPERTS,
    "mixtral": {"num_local_experts": 4, "num_experts_per_tok": 2},
    "gemma2": SOFT,
    "gemma3_text": {
        "num_hidden_layers": 6,
        "sliding_window": 16,
        "sliding_window_pattern": 6,
        "query_pre_attn_scalar": 32,
        "rope_local_base_freq": 10000.0,
    },
    "granite": {
        "logits_scaling": 2.0,
        "attention_multiplier": 0.2,
        "embedding_multiplier": 3.0,
        "residual_multiplier": 0.5,
        "attention_bias": False,
        "mlp_bias": False,
    },
    "phi3": {"tie_word_embeddings": False},
    "glm4": {"partial_rotary_factor": 0.5, "attention_bias": False},
    "cohere2": {"layer_norm_eps": 1e-5, "logit_scale": 0.1, "sliding_window": 16, "sliding_window_pattern": 2},
    "seed_oss": {"attention_bias": True, "attention_out_bias": False, "mlp_bias": False},
    "ernie4_5": {"use_bias": False},
    "smollm3": {"no_rope_layers": [1, 1, 1, 0], "no_rope_layer_interval": 4},
}
LENGTH = 24


def make(kind: str, folder: Path, bits: int) -> Path:
    """A random model of a family, quantized, with a tokenizer that llama.cpp knows."""
    config: dict[str, Any] = {"model_type": kind, **SHAPE, **OWN.get(kind, {})}
    module = importlib.import_module(f"mlx_lm.models.{'llama' if kind == 'mistral' else kind}")
    mx.random.seed(0)
    model = module.Model(module.ModelArgs.from_dict(config))
    model.set_dtype(mx.float32)
    moved = [(n, v + 0.1 * mx.random.normal(v.shape)) for n, v in tree_flatten(model.parameters()) if v.ndim == 1]
    model.update(tree_unflatten(moved))  # norms and biases that a transposed or forgotten one would show
    model, config = quantize_model(model, config, 32, bits, "affine")
    save_model(folder, model)
    (folder / "config.json").write_text(json.dumps(config))
    source = TEMPLATE / "models" / "phase33b"
    for name in ("tokenizer_config.json", "chat_template.jinja"):
        (folder / name).write_bytes((source / name).read_bytes())
    document = json.loads((source / "tokenizer.json").read_bytes())
    document["pre_tokenizer"]["pretokenizers"][0]["pattern"] = {"Regex": PIECES["qwen2"].split}
    document["normalizer"] = {"type": "NFC"}
    (folder / "tokenizer.json").write_text(json.dumps(document))
    return folder


def by_transformers(kind: str, engine: MlxEngine, folder: Path) -> str:
    import torch
    from transformers import AutoModelForCausalLM

    model = make(kind, folder / "model", 5)
    engine.export(ExportJob(model, "hf", folder / "hf", "one"), Silent())
    tokens = np.random.default_rng(0).integers(3, VOCABULARY, (1, LENGTH))
    own = np.array(load(model, Compute.DEQUANTIZED).model(mx.array(tokens)).astype(mx.float32))[0]
    loaded = AutoModelForCausalLM.from_pretrained(folder / "hf", dtype=torch.float32).eval()
    with torch.no_grad():
        theirs = loaded(torch.tensor(tokens)).logits[0].numpy()
    same = int((own.argmax(-1) == theirs.argmax(-1)).sum())
    return f"the same token at {same} of {LENGTH} positions, logits within {np.abs(own - theirs).max() / own.std():.1e}"


def by_llama_cpp(kind: str, engine: MlxEngine, folder: Path) -> str:
    model = make(kind, folder / "model", 4)
    computed = load(model, Compute.DEQUANTIZED).model
    told = []
    ways: tuple[Numbers, Numbers] = ("f32", "as-stored")
    for numbers in ways:
        output = folder / numbers
        engine.export(ExportJob(model, "gguf", output, "one", numbers), Silent())
        report = ExportReport(kinds={}, size=0)
        record = ExportRecord(model="one", digest="", root="one", to="gguf", weights="one.gguf", report=report)
        runtime = runtime_of(record, output, model, ENGINES["mlx"], {}, 1)
        with serving(runtime) as url:
            told.append(f"{numbers} {_log_probabilities(computed, url, runtime.key)}")
    return ", ".join(told)


def _log_probabilities(model: Any, url: str, key: str) -> str:
    """llama.cpp's most likely tokens after random prompts, beside MLX's. It can't say tokens that are half a letter."""
    rng = np.random.default_rng(0)
    worst, same, asked = 0.0, 0, 0
    while asked < 6:
        tokens = rng.integers(259, 4000, LENGTH).tolist()
        body = {"prompt": tokens, "n_predict": 1, "n_probs": 10, "temperature": 0, "cache_prompt": False}
        reply = httpx2.post(f"{url}/completion", json=body, headers={"Authorization": f"Bearer {key}"}, timeout=60)
        found = reply.json().get("completion_probabilities") if reply.is_success else None
        if not found:
            continue
        logits = np.array(model(mx.array([tokens]))[0, -1].astype(mx.float32)).astype(np.float64)
        own = logits - logits.max() - np.log(np.exp(logits - logits.max()).sum())
        top = found[0]["top_logprobs"]
        worst = max(worst, *(abs(each["logprob"] - own[each["id"]]) / own.std() for each in top))
        same += int(top[0]["id"] == own.argmax())
        asked += 1
    return f"the same token {same} of {asked} times, log-probabilities within {worst:.1e}"


def main() -> None:
    way, *families = sys.argv[1:]
    compare, known = {"hf": (by_transformers, list(LAYOUTS)), "gguf": (by_llama_cpp, list(EXPORTABLE))}[way]
    engine = MlxEngine(Compute.DEQUANTIZED)
    for kind in families or known:
        with tempfile.TemporaryDirectory() as folder:
            try:
                print(f"{kind}: {compare(kind, engine, Path(folder))}", flush=True)
            except TopcoatError as error:
                print(f"{kind}: {error.message}", flush=True)


if __name__ == "__main__":
    main()
