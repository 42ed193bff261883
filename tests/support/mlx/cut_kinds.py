"""Tiny models of the families that are used most, beside those of `kinds`: nested, sliding, sparse, recurrent.

Of their four layers each kind is among the lower and the upper two, and windows are shorter than rows.
"""

from __future__ import annotations

from tests.support.mlx.kinds import KINDS
from tests.support.mlx.models import SHAPE

__all__ = ["CUT_KINDS", "LOOPED"]

_HEADS = {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16}
_SLIDING = {"sliding_window": 16, "layer_types": ["sliding_attention", "full_attention"] * 2}
_EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 64, "norm_topk_prob": True}
_DELTA = {
    **_HEADS,
    "linear_num_value_heads": 4,
    "linear_num_key_heads": 4,
    "linear_key_head_dim": 32,
    "linear_value_head_dim": 32,
    "linear_conv_kernel_dim": 4,
    "full_attention_interval": 2,
    "partial_rotary_factor": 0.5,
    "decoder_sparse_step": 1,
    "shared_expert_intermediate_size": 64,
    "attention_bias": False,
}

CUT_KINDS: dict[str, dict[str, object]] = {
    "llama": {},
    "qwen3": KINDS["qwen3"],
    "qwen3_moe": {},
    "qwen3_next": {**_DELTA, **_EXPERTS, "mlp_only_layers": []},
    "qwen3_5": {"text_config": {**SHAPE, **_DELTA, "model_type": "qwen3_5_text", "num_experts": 0}},
    "gemma3": {
        "text_config": {
            **SHAPE,
            **_HEADS,
            "model_type": "gemma3_text",
            "sliding_window": 16,
            "sliding_window_pattern": 2,
            "query_pre_attn_scalar": 16,
        }
    },
    "gemma4": {
        "text_config": {
            **SHAPE,
            **_HEADS,
            **_SLIDING,
            "model_type": "gemma4_text",
            "moe_intermediate_size": None,
            "num_experts": None,
            "top_k_experts": None,
            "global_head_dim": 32,
            "partial_rotary_factor": 0.5,
            "sliding_window_pattern": 2,
            "vocab_size_per_layer_input": 4096,
            "num_kv_shared_layers": 1,
            "hidden_size_per_layer_input": 64,
        }
    },
    "gpt_oss": {**_HEADS, **_SLIDING, "num_local_experts": 4, "num_experts_per_tok": 2},
    "deepseek_v3": KINDS["deepseek_v3"],
    "glm4_moe_lite": {
        **KINDS["deepseek_v3"],
        "num_attention_heads": 4,
        "num_key_value_heads": 4,
        "v_head_dim": 16,
        "attention_bias": False,
        "partial_rotary_factor": 0.5,
        "moe_layer_freq": 1,
        "norm_topk_prob": True,
        "routed_scaling_factor": 1.0,
        "num_nextn_predict_layers": 0,
        "tie_word_embeddings": False,
    },
    "mistral3": {
        "text_config": {
            **SHAPE,
            **_HEADS,
            **_SLIDING,
            "model_type": "ministral3",
            "rope_parameters": {
                "rope_theta": 10000.0,
                "rope_type": "default",
                "llama_4_scaling_beta": 0.1,
                "original_max_position_embeddings": 32,
            },
        }
    },
    "lfm2": {
        **_HEADS,
        "conv_bias": False,
        "norm_eps": 1e-6,
        "conv_L_cache": 3,
        "block_dim": 64,
        "block_ff_dim": 128,
        "block_multiple_of": 64,
        "block_ffn_dim_multiplier": 1.0,
        "block_auto_adjust_ff_dim": False,
        "layer_types": ["conv", "full_attention"] * 2,
    },
    "gemma2": KINDS["gemma2"],
    "jamba": KINDS["jamba"],
    "llama4": KINDS["llama4"],
    "hunyuan": {
        **_HEADS,
        "attention_bias": False,
        "use_qk_norm": True,
        "num_experts": 4,
        "moe_topk": 2,
        "num_shared_expert": 1,
        "use_mixed_mlp_moe": True,
        "use_cla": True,
        "cla_share_factor": 2,
        "moe_intermediate_size": 64,
        "rope_scaling": {"alpha": 1000.0, "factor": 1.0, "type": "dynamic"},
    },
}
"""The first twelve are the most used; the others have what these lack."""

LOOPED: dict[str, object] = {**_HEADS, "attention_bias": False, "mlp_bias": False, "num_loops": 2}
"""`nanbeige`, whose forward calls each layer twice."""
