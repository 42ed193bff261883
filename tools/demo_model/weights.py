"""The base model's shape, and its quantized folder from trained weights."""

import json
from pathlib import Path
from typing import Any

from tools.demo_model.tokenizer import VOCABULARY

FINAL = "base.safetensors"
"""The file that the training ends with."""
CONFIG: dict[str, Any] = {
    "architectures": ["Qwen3ForCausalLM"],
    "model_type": "qwen3",
    "hidden_size": 192,
    "num_hidden_layers": 8,
    "intermediate_size": 512,
    "num_attention_heads": 6,
    "num_key_value_heads": 3,
    "head_dim": 32,
    "rms_norm_eps": 1e-6,
    "vocab_size": VOCABULARY,
    "max_position_embeddings": 2048,
    "rope_theta": 10000.0,
    "tie_word_embeddings": True,
}


def quantize(weights: Path, folder: Path, *, bits: int = 5, group: int = 64) -> None:
    """Write the config and the quantized ``weights`` into ``folder``, as mlx-lm loads them. Loads MLX."""
    import mlx.core as mx
    import mlx.nn as nn
    from mlx.utils import tree_flatten
    from mlx_lm.models.qwen3 import Model, ModelArgs

    model = Model(ModelArgs.from_dict(CONFIG))
    model.load_weights(str(weights))
    nn.quantize(model, group_size=group, bits=bits)
    mx.eval(model.parameters())
    folder.mkdir(parents=True, exist_ok=True)
    mx.save_safetensors(
        str(folder / "model.safetensors"), dict(tree_flatten(model.parameters())), metadata={"format": "mlx"}
    )
    kinds = {"group_size": group, "bits": bits, "mode": "affine"}
    config = CONFIG | {"eos_token_id": 2, "torch_dtype": "float32", "quantization": kinds, "quantization_config": kinds}
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    generation = {"eos_token_id": 2, "pad_token_id": 0, "do_sample": False}
    (folder / "generation_config.json").write_text(json.dumps(generation, indent=2) + "\n", encoding="utf-8")
