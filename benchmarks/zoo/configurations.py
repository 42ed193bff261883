"""A tiny configuration for every architecture of mlx-lm: general values, and what an architecture needs beside them.

An architecture is the name of mlx-lm's module. `configuration` takes the general values that the module's own arguments
know, so that a `config.json` holds that architecture's spellings and no others. All input widths are multiples of 64,
which a group of quantized weights has. Of the four layers, the last two are adapted, and wherever layers are of several
kinds, each kind is among the upper and the lower ones.
"""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path
from typing import Any

__all__ = ["KEYS", "LAYERS", "LEFT_OUT", "QUANTIZED", "REASONS", "USED_MOST", "architectures", "configuration"]

Config = dict[str, Any]

LAYERS = 4
WINDOW = 16
"""Tokens that a sliding layer sees; less than the rows have."""
VOCABULARY = 2048
_SLIDING = ["sliding_attention", "full_attention"] * 2
_MAMBA = ["mamba", "attention"] * 2
_LINEAR = ["linear_attention", "full_attention"] * 2

GENERAL: Config = {
    # widths
    **dict.fromkeys(("hidden_size", "n_embd", "hidden_dim", "d_model", "model_dim", "block_dim"), 64),
    **dict.fromkeys(("intermediate_size", "n_inner", "ff_intermediate_size", "ffn_hidden_size"), 128),
    **dict.fromkeys(("dense_intermediate_size", "intermediate_size_mlp"), 128),
    **dict.fromkeys(("moe_intermediate_size", "shared_intermediate_size", "shared_expert_intermediate_size"), 64),
    **dict.fromkeys(("expert_ffn_hidden_size", "moe_shared_expert_intermediate_size", "share_expert_dim"), 64),
    **dict.fromkeys(("num_hidden_layers", "num_layers", "n_layer", "n_layers", "num_transformer_layers"), LAYERS),
    **dict.fromkeys(("vocab_size", "num_vocab"), VOCABULARY),
    **dict.fromkeys(("max_position_embeddings", "n_positions", "n_ctx", "block_size", "model_max_length"), 4096),
    # heads
    **dict.fromkeys(("num_attention_heads", "num_heads", "n_head", "n_heads"), 4),
    **dict.fromkeys(("num_key_value_heads", "num_kv_heads", "n_kv_heads", "num_attention_groups"), 2),
    **dict.fromkeys(("head_dim", "v_head_dim", "qk_nope_head_dim", "kv_channels", "hidden_size_per_head"), 16),
    **dict.fromkeys(("qk_rope_head_dim", "rotary_dim"), 16),
    **dict.fromkeys(("q_lora_rank", "kv_lora_rank", "o_lora_rank"), 64),
    **dict.fromkeys(("attention_bias", "mlp_bias", "use_bias", "use_qkv_bias", "mamba_proj_bias", "conv_bias"), False),
    # norms, positions, windows
    **dict.fromkeys(("rms_norm_eps", "layer_norm_eps", "layer_norm_epsilon", "layernorm_epsilon", "norm_eps"), 1e-6),
    "rope_theta": 10000.0,
    "partial_rotary_factor": 0.5,
    **dict.fromkeys(("sliding_window", "sliding_window_size", "attention_window_size", "window_size"), WINDOW),
    "sliding_window_pattern": 2,
    "use_qk_norm": True,
    # experts
    **dict.fromkeys(("num_experts", "n_routed_experts", "num_local_experts", "moe_num_experts"), 4),
    **dict.fromkeys(("num_experts_per_tok", "num_experts_per_token", "moe_topk", "moe_top_k", "top_k_experts"), 2),
    **dict.fromkeys(("n_shared_experts", "num_shared_experts", "num_shared_expert", "moe_k"), 1),
    **dict.fromkeys(("n_group", "topk_group", "first_k_dense_replace", "num_dense_layers", "moe_layer_freq"), 1),
    "decoder_sparse_step": 1,
    "mlp_only_layers": [],
    "norm_topk_prob": True,
    "routed_scaling_factor": 1.0,
    # states
    **dict.fromkeys(("linear_num_value_heads", "linear_num_key_heads", "mamba_n_heads", "mamba_num_heads"), 4),
    **dict.fromkeys(("linear_key_head_dim", "linear_value_head_dim"), 32),
    **dict.fromkeys(("mamba_d_head", "mamba_head_dim"), 32),
    **dict.fromkeys(("state_size", "ssm_state_size", "mamba_d_state"), 16),
    **dict.fromkeys(("linear_conv_kernel_dim", "conv_kernel", "mamba_d_conv", "short_conv_kernel_size"), 4),
    **dict.fromkeys(("n_groups", "mamba_n_groups"), 1),
    "use_conv_bias": True,
    "mamba_conv_bias": True,
    "conv_L_cache": 3,
    "time_step_rank": 4,
    "full_attention_interval": 2,
    "layer_group_size": 2,
    "group_norm_size": 1,
}  # fmt: skip

_YARN: Config = {"original_max_position_embeddings": 2048}
_MLA: Config = {"num_key_value_heads": 4, "v_head_dim": 16}
_KDA: Config = {
    "num_key_value_heads": 4,
    "linear_attn_config": {
        "kda_layers": [1, 3],
        "full_attn_layers": [2, 4],
        "num_heads": 4,
        "head_dim": 16,
        "short_conv_kernel_size": 4,
    },
}

OWN: dict[str, Config] = {
    "Klear": {},
    "afmoe": {"layer_types": _SLIDING},
    "apertus": {"post_norm": False, "qk_norm": True, "tie_word_embeddings": False},
    "baichuan_m1": {"sliding_window_layers": [0, 2], "conv_window": 2},
    "bailing_hybrid": {**_MLA},
    "bailing_moe": {},
    "bailing_moe_linear": {"head_dim": 16, "num_key_value_heads": 4},
    "bailing_moe_v3": {**_MLA},
    "dbrx": {
        "attn_config": {"kv_n_heads": 2, "clip_qkv": 8.0, "rope_theta": 10000.0},
        "ffn_config": {"ffn_hidden_size": 64, "moe_num_experts": 4, "moe_top_k": 2},
    },
    "deepseek": {},
    "deepseek_v2": {**_MLA, "topk_method": "group_limited_greedy", "rope_scaling": {**_YARN, "factor": 2.0}},
    "deepseek_v3": {**_MLA},
    "deepseek_v32": {**_MLA, "index_head_dim": 32, "index_n_heads": 2, "index_topk": 16},
    "deepseek_v41": {
        "o_groups": 2,
        "compress_ratios": [1, 4, 4, 4],
        "kv_source_layer_ids": [1],
        "index_source_layer_ids": [1],
        "index_n_heads": 2,
        "index_head_dim": 32,
        "index_topk": 8,
        "candidate_topk_blocks": 0,
        "head_dim": 32,
    },
    "ernie4_5": {"tie_word_embeddings": True},
    "ernie4_5_moe": {"tie_word_embeddings": True, "moe_layer_start_index": 1},
    "exaone4": {
        "rope_scaling": None,
        "tie_word_embeddings": True,
        "sliding_window_pattern": "LG",
        "layer_types": _SLIDING,
    },
    "exaone_moe": {"layer_types": _SLIDING, "is_moe_layer": [False, True, True, True]},
    "falcon_h1": {"mamba_d_ssm": 128},
    "gear": {"layer_types": _SLIDING},
    "gemma2": {"query_pre_attn_scalar": 16},
    "gemma3": {"text_config": "gemma3_text"},
    "gemma3_text": {"query_pre_attn_scalar": 16},
    "gemma3n": {
        "text_config": (
            "gemma3n.TextConfig",
            {
                "model_type": "gemma3n_text",
                "num_kv_shared_layers": 1,
                "vocab_size_per_layer_input": VOCABULARY,
                "hidden_size_per_layer_input": 64,
                "layer_types": _SLIDING,
                "rope_local_base_freq": 10000.0,
                "final_logit_softcapping": 30.0,
                "activation_sparsity_pattern": [0.95, 0.0, 0.95, 0.0],
                "altup_num_inputs": 2,
                "altup_coef_clip": 120.0,
                "altup_correct_scale": True,
                "altup_active_idx": 0,
                "laurel_rank": 64,
            },
        )
    },
    "gemma4": {"text_config": "gemma4_text"},
    "gemma4_text": {
        "global_head_dim": 32,
        "vocab_size_per_layer_input": VOCABULARY,
        "num_kv_shared_layers": 1,
        "hidden_size_per_layer_input": 64,
        "layer_types": _SLIDING,
        "num_experts": None,
        "top_k_experts": None,
        "moe_intermediate_size": None,
    },
    "glm4_moe": {"rope_scaling": None, "tie_word_embeddings": False},
    "glm4_moe_lite": {**_MLA, "num_nextn_predict_layers": 0},
    "glm_moe_dsa": {
        **_MLA,
        "index_head_dim": 32,
        "index_n_heads": 2,
        "index_topk": 16,
        "topk_method": "noaux_tc",
        "scoring_func": "sigmoid",
        "rope_parameters": {"rope_theta": 10000.0, "rope_type": "default"},
    },
    "gpt2": {"num_key_value_heads": 4},
    "gpt_bigcode": {"num_key_value_heads": None},
    "gpt_neox": {"rotary_emb_base": 10000, "rotary_pct": 0.25, "num_key_value_heads": 4},
    "gpt_oss": {"layer_types": _SLIDING, "num_local_experts": 4},
    "gptj": {},
    "granite": {
        "logits_scaling": 8.0,
        "attention_multiplier": 0.25,
        "embedding_multiplier": 12.0,
        "residual_multiplier": 0.2,
    },
    "granitemoe": {
        "logits_scaling": 6.0,
        "attention_multiplier": 0.25,
        "embedding_multiplier": 12.0,
        "residual_multiplier": 0.2,
    },
    "granitemoehybrid": {
        "embedding_multiplier": 12.0,
        "attention_multiplier": 0.25,
        "logits_scaling": 8.0,
        "residual_multiplier": 0.2,
        "layer_types": _MAMBA,
    },
    "helium": {"tie_word_embeddings": False},
    "hunyuan": {
        "use_mixed_mlp_moe": True,
        "use_cla": True,
        "cla_share_factor": 2,
        "rope_scaling": {"alpha": 1000.0, "factor": 1.0, "type": "dynamic"},
    },
    "iquestloopcoder": {"loop_num": 2, "loop_window_size": WINDOW},
    "jamba": {
        "attn_layer_offset": 1,
        "attn_layer_period": 2,
        "expert_layer_offset": 1,
        "expert_layer_period": 2,
        "mamba_expand": 2,
    },
    "kimi_k25": {"text_config": ("kimi_k25.TextConfig", {**_MLA, "model_type": "deepseek_v3"})},
    "kimi_k3": {"text_config": ("kimi_k3.TextArgs", {**_KDA, "v_head_dim": 16})},
    "kimi_linear": {**_KDA},
    "kimi_vl": {"text_config": ("kimi_vl.TextArgs", _MLA)},
    "laguna": {"layer_types": _SLIDING, "mlp_layer_types": ["dense", "sparse", "sparse", "sparse"]},
    "lfm2-vl": {"text_config": "lfm2"},
    "lfm2": {
        "block_multiple_of": 64,
        "block_ffn_dim_multiplier": 1.0,
        "block_auto_adjust_ff_dim": False,
        "block_ff_dim": 128,
        "layer_types": ["conv", "full_attention"] * 2,
    },
    "lfm2_moe": {"use_expert_bias": True, "layer_types": ["conv", "full_attention"] * 2},
    "lille-130m": {},
    "llama4": {
        "text_config": (
            "llama4.TextArgs",
            {
                "model_type": "llama4_text",
                "attention_chunk_size": WINDOW,
                "interleave_moe_layer_step": 2,
                "rope_scaling": None,
                "num_experts_per_tok": 1,
            },
        )
    },
    "llama4_text": {"no_rope_layers": [1, 0, 1, 0], "tie_word_embeddings": False},
    "longcat_flash": {
        "attention_method": "MLA",
        "zero_expert_type": "identity",
        "zero_expert_num": 2,
        "mla_scale_q_lora": True,
        "mla_scale_kv_lora": True,
    },
    "longcat_flash_ngram": {
        "zero_expert_num": 2,
        "mla_scale_q_lora": True,
        "mla_scale_kv_lora": True,
        "ngram_vocab_size_ratio": 2,
    },
    "mamba": {},
    "mamba2": {"num_heads": 4, "head_dim": 32, "tie_word_embeddings": True, "time_step_limit": [0.0, 100.0]},
    "mellum": {
        "layer_types": _SLIDING,
        "tie_word_embeddings": False,
        "rope_parameters": {
            "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
            "full_attention": {"rope_type": "default", "rope_theta": 10000.0},
        },
    },
    "mimo": {"num_nextn_predict_layers": 0},
    "mimo_v2_flash": {
        "hybrid_layer_pattern": [1, 0, 1, 0],
        "moe_layer_freq": [0, 1, 1, 1],
        "add_swa_attention_sink_bias": True,
        "add_full_attention_sink_bias": False,
        "topk_method": "noaux_tc",
        "scoring_func": "sigmoid",
        "swa_rope_theta": 10000.0,
        "swa_num_attention_heads": 4,
        "swa_num_key_value_heads": 2,
        "swa_head_dim": 16,
        "swa_v_head_dim": 16,
    },
    "minicpm": {"dim_model_base": 64, "scale_depth": 1.4, "scale_emb": 12},
    "minicpm3": {
        "dim_model_base": 64,
        "scale_depth": 1.4,
        "scale_emb": 12,
        "num_key_value_heads": 4,
        "rope_scaling": {"short_factor": 1.0, "long_factor": 1.0, "original_max_position_embeddings": 4096},
    },
    "minimax": {},
    "minimax_m3_vl": {"text_config": ("minimax_m3_vl.TextArgs", {"mlp_layer_types": ["dense"] + ["sparse"] * 3})},
    "ministral3": {
        "layer_types": _SLIDING,
        "rope_parameters": {
            "rope_theta": 10000.0,
            "rope_type": "default",
            "llama_4_scaling_beta": 0.1,
            "original_max_position_embeddings": 4096,
        },
    },
    "mistral3": {"text_config": ("ministral3", {"model_type": "ministral3"})},
    "mistral4": {
        **_MLA,
        "rope_parameters": {"rope_theta": 10000.0, "rope_type": "default", "llama_4_scaling_beta": 0.1, **_YARN},
    },
    "muse_glimmer": {"layer_types": _SLIDING, "layer_rope_theta": [10000.0, 0.0] * 2},
    "nanochat": {"num_key_value_heads": 4},
    "nemotron": {"hidden_act": "relu2"},
    "nemotron-nas": {
        "block_configs": [
            {
                "attention": {"n_heads_in_group": 2, "no_op": False, "replace_with_linear": False},
                "ffn": {"ffn_mult": 2.0, "no_op": False, "replace_with_linear": False},
            }
        ]
        * LAYERS
    },
    "nemotron_h": {
        "hybrid_override_pattern": ["M", "*", "M", "-"],
        "head_dim": 16,
        "time_step_limit": [0.0, 100.0],
    },
    "olmo3": {"layer_types": _SLIDING},
    "olmo_hybrid": {"linear_allow_neg_eigval": True, "tie_word_embeddings": False, "layer_types": _LINEAR},
    "openelm": {
        "ffn_dim_divisor": 64,
        "num_query_heads": [4] * LAYERS,
        "num_kv_heads": [2] * LAYERS,
        "ffn_multipliers": [2.0] * LAYERS,
    },
    "phi": {"num_key_value_heads": 4},
    "phi3": {"partial_rotary_factor": 1.0},
    # mlx-lm's forward writes to the logits of tokens up to 100,351, whatever the size of the vocabulary.
    "phi3small": {
        "dense_attention_every_n_layers": 2,
        "gegelu_limit": 20.0,
        "vocab_size": 100352,
        "mup_width_multiplier": 1.0,
    },
    "phimoe": {},
    "phixtral": {"rotary_dim": 16},
    "pixtral": {"text_config": ("llama", {"model_type": "mistral"})},
    "plamo": {"n_shared_head": 2},
    "plamo2": {"mamba_d_state": 16, "mamba_num_heads": 4},
    "plamo3": {},
    "qwen": {"intermediate_size": 256},
    "qwen2_vl": {"text_config": ("qwen2", {"model_type": "qwen2"})},
    "qwen3": {"tie_word_embeddings": True},
    "qwen3_5": {"text_config": ("qwen3_5.TextModelArgs", {"model_type": "qwen3_5_text", "num_experts": 0})},
    "qwen3_5_moe": {"text_config": ("qwen3_5.TextModelArgs", {"model_type": "qwen3_5_moe_text"})},
    "qwen3_moe": {"tie_word_embeddings": False},
    "qwen3_vl": {"text_config": ("qwen3", {"model_type": "qwen3", "tie_word_embeddings": True})},
    "qwen3_vl_moe": {"text_config": ("qwen3_moe", {"model_type": "qwen3_moe", "tie_word_embeddings": False})},
    "recurrent_gemma": {
        "conv1d_width": 4,
        "logits_soft_cap": 30.0,
        "block_types": ["recurrent", "attention", "recurrent", "attention"],
    },
    "rwkv7": {"a_low_rank_dim": 64, "v_low_rank_dim": 64, "gate_low_rank_dim": 64, "decay_low_rank_dim": 64},
    "seed_oss": {"tie_word_embeddings": False},
    "solar_open": {"tie_word_embeddings": False},
    "spark2_5": {
        "layer_types": _SLIDING,
        "rope_parameters": {
            "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
            "full_attention": {"rope_type": "default", "rope_theta": 10000.0},
        },
    },
    "step3p5": {"layer_types": _SLIDING, "moe_layers_enum": "1,2,3"},
    "youtu_llm": {**_MLA},
}
"""What an architecture needs beside the general values. A text configuration is that of another architecture."""

LEFT_OUT = {
    "afm7": "mlx-lm can neither quantize its modules nor load the adapters that it puts on them",
    "deepseek_v41": "mlx-lm's layers have no gradient: their index of blocks can't be differentiated",
    "olmo": "mlx-lm asks for the package ai2-olmo",
    "bitnet": "its kernel runs on Metal alone",
    "muse_spark": "its kernels run on Metal alone",
    "prism_hadamard_qwen35": "a format of packed weights that nothing here can write",
}
"""Architectures without a tiny configuration, and why."""

REASONS = {
    "iquestloopcoder": "mlx-lm's forward runs all layers twice, and calls their parts itself",
    "phi3small": "mlx-lm's block-sparse layers add the mask's truths to the scores as numbers, so a token sees later "
    "ones: two other tokens at the end change the logits before them by 5% of the largest",
}
"""What lies behind what topcoat says of a model that is trained whole."""

QUANTIZED: dict[str, Config] = {"gpt_oss": {"mode": "mxfp4"}}
"""How a family is usually published, where it isn't in 4 bits with groups of 64."""

KEYS: dict[str, list[str]] = {
    "gemma3n": [
        *(f"self_attn.{part}_proj" for part in "qkvo"),
        *(f"mlp.{part}_proj" for part in ("gate", "up", "down")),
    ]
}
"""The modules to adapt where mlx-lm's choice doesn't work. gemma3n's layers read the weights of two others directly."""

USED_MOST = (
    "llama",
    "qwen3",
    "qwen3_moe",
    "qwen3_next",
    "qwen3_5",
    "gemma3",
    "gemma4",
    "gpt_oss",
    "deepseek_v3",
    "glm4_moe_lite",
    "mistral3",
    "lfm2",
)
"""The twelve whose models are used most."""


def architectures() -> list[str]:
    """The modules of the installed mlx-lm that hold a model, by name."""
    models = importlib.import_module("mlx_lm.models")
    names = sorted(path.stem for path in Path(models.__path__[0]).glob("*.py"))
    return [name for name in names if name in LEFT_OUT or hasattr(_module(name), "Model")]


def configuration(architecture: str) -> Config:
    """The tiny configuration of an architecture, as its `config.json` holds it, without a quantization."""
    own = dict(OWN.get(architecture, {}))
    text = own.pop("text_config", None)
    config = _of(_module(architecture).ModelArgs, own)
    if text is not None:
        name, changes = (text, {}) if isinstance(text, str) else text
        module, _, arguments = name.partition(".")
        inner = {} if arguments else OWN.get(module, {})
        config["text_config"] = _of(getattr(_module(module), arguments or "ModelArgs"), {**inner, **changes})
        config["text_config"].setdefault("model_type", module)
    return {**config, "model_type": architecture}


def _of(arguments: type, own: Config) -> Config:
    """The general values that `arguments` know, then `own` ones."""
    known = inspect.signature(arguments).parameters
    return {**{name: value for name, value in GENERAL.items() if name in known}, **own}


def _module(name: str) -> Any:
    return importlib.import_module(f"mlx_lm.models.{name}")
