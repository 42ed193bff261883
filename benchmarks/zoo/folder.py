"""Makes the folder of a tiny random model, quantized as its family usually is. Its tokenizer is the demo's."""

from __future__ import annotations

import contextlib
import copy
import io
import json
import shutil
from pathlib import Path
from typing import Any

from benchmarks.zoo.configurations import QUANTIZED, configuration

__all__ = ["make_folder"]


def make_folder(architecture: str, folder: Path, *, seed: int = 0, quantized: bool = True) -> Path:
    """Write the model. Every parameter is random, also those that a new model has as zeros or ones."""
    import mlx.core as mx
    from mlx.utils import tree_flatten, tree_unflatten
    from mlx_lm.utils import _get_classes, quantize_model, save_model

    from topcoat.demo import TEMPLATE

    config = configuration(architecture)
    mx.random.seed(seed)
    kind, arguments = _get_classes(config)
    model = kind(arguments.from_dict(copy.deepcopy(config)))
    model.set_dtype(mx.float32)
    model.update(tree_unflatten([(name, _uneven(value)) for name, value in tree_flatten(model.parameters())]))
    if quantized:
        with contextlib.redirect_stdout(io.StringIO()):
            model, config = quantize_model(
                model, config, **{"group_size": None, "bits": None, **QUANTIZED.get(architecture, {})}
            )
    folder.mkdir(parents=True, exist_ok=True)
    save_model(folder, model)
    (folder / "config.json").write_text(json.dumps({**config, "eos_token_id": 2}, indent=1))
    for source in (TEMPLATE / "models" / "phase33b").iterdir():
        if source.name.startswith(("tokenizer", "chat_template", "generation")):
            shutil.copy(source, folder / source.name)
    return folder


def _uneven(value: Any) -> Any:
    """The parameter, with noise where all its numbers are equal: a sink, a bias or a norm that could be missed."""
    import mlx.core as mx

    if not mx.issubdtype(value.dtype, mx.floating) or value.size == 1 or value.std().item() > 0:
        return value
    return value + 0.1 * mx.random.normal(value.shape)
