"""A model's tensors on disk, under the names that mlx-lm computes with.

Hugging Face's layout has other names and, for mixtures, one tensor for each expert. mlx-lm's own `sanitize` turns it
into mlx-lm's layout while it loads a model, so that is how such a folder is read here too.
"""

from __future__ import annotations

from pathlib import Path

import mlx.core as mx
from mlx.utils import tree_flatten
from mlx_lm.utils import load_model

from topcoat.engine.mlx.model.config import Config
from topcoat.engine.mlx.model.folder import weight_files
from topcoat.engine.mlx.model.lora import Weights
from topcoat.engine.mlx.model.shards import Shard

__all__ = ["PARTS", "StoredTensors", "converted"]

PARTS = ("weight", "scales", "biases", "global_scale")
"""The tensors of a module whose weight may be quantized, by their last names."""
_FLOATS = {"F32": mx.float32, "F16": mx.float16, "BF16": mx.bfloat16}


class StoredTensors:
    """The tensors of a model folder. They are read at each use and not kept."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._files = {name: path for path in weight_files(folder) for name in Shard.open(path).tensors}
        self._converted: Weights = {}

    def stores(self, module: str) -> bool:
        """Whether a file has the module's weight under mlx-lm's name. Otherwise `read` converts it."""
        return f"{module}.weight" in self._files

    def dtype(self) -> mx.Dtype:
        """The dtype of the model's plain tensors: that of the first floating one by name."""
        for name in sorted(self._files):
            stored = Shard.open(self._files[name]).tensors[name]["dtype"]
            if stored in _FLOATS:
                return _FLOATS[stored]
        return mx.float32

    def read(self, module: str) -> Weights:
        """The tensors of one module, empty if the model has none. MLX reads them when a result needs them."""
        names = [f"{module}.{part}" for part in PARTS]
        if not self.stores(module):
            if names[0] not in self._converted:
                self._converted = converted(self.folder)[0]
            # Given away, because an array keeps its data once it is read. The next pass over the modules converts anew.
            return {name: self._converted.pop(name) for name in names if name in self._converted}
        tensors: Weights = {}
        for path in {self._files[name] for name in names if name in self._files}:
            loaded = mx.load(str(path))
            assert isinstance(loaded, dict)
            tensors |= {name: loaded[name] for name in names if name in loaded}
        return tensors


def converted(folder: Path) -> tuple[Weights, Config]:
    """All tensors of a model in mlx-lm's layout, by name, and the configuration that fits them. Nothing is read yet.

    mlx-lm also converts the quantization of other libraries; then the configuration says which one came out.
    """
    model, config = load_model(folder, lazy=True)
    return dict(sorted(tree_flatten(model.parameters()))), config
