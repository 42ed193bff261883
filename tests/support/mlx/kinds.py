"""Tiny models whose caches differ, and prompts that begin alike."""

from __future__ import annotations

import random
from pathlib import Path

from tests.support.mlx.models import SHAPE, MakeModel

__all__ = ["KINDS", "PROMPTS", "SHARED", "model_of"]

SHARED = random.Random(0).sample(range(5, 2000), 40)
PROMPTS = [[*SHARED, *range(10 + i, 10 + i + 1 + 3 * (i % 5))] for i in range(11)]
KINDS: dict[str, dict[str, object]] = {
    "qwen3": {"num_attention_heads": 4, "num_key_value_heads": 2},
    "qwen3_moe": {},
    "gemma3_text": {"sliding_window": 16, "sliding_window_pattern": 2, "query_pre_attn_scalar": 32},
    "gemma2": {"query_pre_attn_scalar": 32},
    "deepseek_v3": {
        "moe_intermediate_size": 32,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "n_routed_experts": 4,
        "num_experts_per_tok": 2,
        "n_shared_experts": 1,
        "n_group": 1,
        "topk_group": 1,
        "q_lora_rank": 32,
        "kv_lora_rank": 32,
        "qk_rope_head_dim": 16,
        "qk_nope_head_dim": 16,
        "v_head_dim": 32,
        "first_k_dense_replace": 1,
        "head_dim": 32,
    },
    "plamo": {"num_attention_heads": 4, "n_shared_head": 2},
    "jamba": {
        "attn_layer_offset": 1,
        "attn_layer_period": 2,
        "expert_layer_offset": 1,
        "expert_layer_period": 2,
        "mamba_d_conv": 4,
        "mamba_d_state": 8,
        "mamba_expand": 2,
        "num_experts": 4,
        "num_experts_per_tok": 2,
    },
    "nemotron_h": {
        "hybrid_override_pattern": ["M", "*", "M", "-"],
        "attention_bias": False,
        "mamba_num_heads": 4,
        "mamba_head_dim": 32,
        "mamba_proj_bias": False,
        "ssm_state_size": 16,
        "conv_kernel": 4,
        "n_groups": 1,
        "mlp_bias": False,
        "layer_norm_epsilon": 1e-5,
        "use_bias": False,
        "use_conv_bias": True,
    },
    "recurrent_gemma": {
        "attention_bias": False,
        "conv1d_width": 4,
        "logits_soft_cap": 30.0,
        "attention_window_size": 16,
        "block_types": ["recurrent", "recurrent", "attention", "recurrent"],
    },
    "gemma3n": {
        "text_config": {
            **SHAPE,
            "model_type": "gemma3n_text",
            "vocab_size_per_layer_input": 4096,
            "hidden_size_per_layer_input": 32,
            "num_kv_shared_layers": 2,
            "sliding_window": 16,
            "layer_types": ["sliding_attention", "full_attention"] * 2,
            "rope_local_base_freq": 10000.0,
            "final_logit_softcapping": 30.0,
            "activation_sparsity_pattern": [0.0] * 4,
            "altup_num_inputs": 2,
            "altup_active_idx": 0,
            "altup_coef_clip": 120.0,
            "altup_correct_scale": True,
            "laurel_rank": 16,
        }
    },
    "llama4": {
        "text_config": {
            "model_type": "llama4_text",
            "hidden_size": 64,
            "num_hidden_layers": 4,
            "intermediate_size": 64,
            "intermediate_size_mlp": 128,
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
            "head_dim": 32,
            "rms_norm_eps": 1e-6,
            "vocab_size": 4096,
            "max_position_embeddings": 4096,
            "rope_theta": 10000.0,
            "rope_scaling": None,
            "use_qk_norm": True,
            "attention_bias": False,
            "attention_chunk_size": 32,
            "interleave_moe_layer_step": 2,
            "num_local_experts": 4,
            "num_experts_per_tok": 1,
        }
    },
    "mamba": {"state_size": 8, "conv_kernel": 4, "use_bias": False, "use_conv_bias": True, "time_step_rank": 4},
}


def model_of(make_model: MakeModel, kind: str) -> Path:
    return make_model(kind, intermediate_size=128, **KINDS[kind])
