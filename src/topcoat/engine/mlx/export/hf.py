"""Writes a model in full precision as its family publishes it: for transformers, vLLM and what converts from them."""

from __future__ import annotations

import json
import math
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import mlx.core as mx

from topcoat.engine.mlx.export.layouts import Layout, layout_of
from topcoat.engine.mlx.export.tensors import Source, rounding_of, width_of
from topcoat.engine.mlx.model.config import read_config
from topcoat.engine.mlx.model.lora import Weights
from topcoat.engine.mlx.model.shards import save_tensors
from topcoat.engine.mlx.model.tokenizer import MlxTokenizer
from topcoat.engine.protocol import ExportJob
from topcoat.errors import NumericalFault
from topcoat.progress import Note, Sink, task
from topcoat.store.files import no_space, staged_folder, write_json
from topcoat.store.records import ExportReport

__all__ = ["export_hf", "require_disk"]

PART = 1 << 30
"""A file of weights ends with the tensor that reaches so many bytes: they are in memory at a time."""

_TOKENIZER = (
    *("*.jinja", "*.txt", "*.model", "*.tiktoken", "tokenizer*.json", "special_tokens_map.json"),
    *("added_tokens.json", "vocab.json", "chat_template.json"),
)
"""What belongs to a tokenizer, and to its chat template. No code is among it."""

_QUANTIZED = ("quantization", "quantization_config")
_NAMES = {mx.float32: "float32", mx.float16: "float16", mx.bfloat16: "bfloat16"}


def export_hf(job: ExportJob, sink: Sink) -> ExportReport:
    """Write the folder `job.output`: weights in full precision, configuration, tokenizer and chat template.

    Raises InvalidInput for a family whose layout isn't known, NumericalFault for a weight that isn't finite in the
    dtype that was asked for. Nothing stays then.
    """
    config = read_config(job.model)
    layout = layout_of(config, job.model)
    source = Source(job.model)
    widths = {name: width_of(source, name, job.numbers) for name in source.names}
    size = sum(math.prod(source.shape(name)) * dtype.size for name, dtype in widths.items())
    sink.emit(Note(f"writing {size / 1e6:.1f} MB of weights"))
    require_disk(job.output, size)
    with staged_folder(job.output) as staged:
        report = _write_weights(source, layout, widths, staged, sink)
        usual = Counter(widths.values()).most_common(1)[0][0]
        write_json(staged / "config.json", _config(config, layout, _NAMES[usual], tied="lm_head.weight" not in widths))
        _copy_tokenizer(job.model, staged)
        _write_generation(job.model, staged, config)
    return report


def require_disk(output: Path, size: int) -> None:
    """Raise StorageFault if a folder of so many bytes doesn't fit beside `output`."""
    parent = next(folder for folder in output.absolute().parents if folder.exists())
    if shutil.disk_usage(parent).free < size:
        raise no_space(output)


def _write_weights(
    source: Source, layout: Layout, widths: dict[str, mx.Dtype], folder: Path, sink: Sink
) -> ExportReport:
    part: Weights = {}
    parts: list[list[str]] = []
    kinds: Counter[str] = Counter()
    rounding = 0.0

    def flush() -> None:
        nonlocal part
        parts.append(sorted(part))
        save_tensors(folder / f"part-{len(parts):05}.safetensors", part, {"format": "pt"})
        part = {}

    with task(sink, "export", total=len(widths), unit="tensor") as progress:
        for done, (name, dtype) in enumerate(widths.items(), 1):
            exact = source.numbers(name, source.take(name))
            written = exact.astype(dtype)
            if not mx.isfinite(written).all().item():
                raise NumericalFault(
                    f"{name} has numbers that {_NAMES[dtype]} doesn't hold", hint="--numbers bf16 or --numbers f32"
                )
            rounding = max(rounding, rounding_of(written, exact))
            for published, value in layout.published(name, written):
                part[published] = value
                kinds[_NAMES[dtype]] += 1
            if sum(array.nbytes for array in part.values()) >= PART:
                flush()
            progress.advance(done)
        if part:
            flush()
    return ExportReport(kinds=dict(kinds), size=_named(folder, parts), rounding=rounding)


def _named(folder: Path, parts: list[list[str]]) -> int:
    """Give the files the names that transformers looks for, and write their index; gives the bytes of all."""
    size = 0
    where: dict[str, str] = {}
    for number, names in enumerate(parts, 1):
        file = "model.safetensors" if len(parts) == 1 else f"model-{number:05}-of-{len(parts):05}.safetensors"
        path = (folder / f"part-{number:05}.safetensors").rename(folder / file)
        size += path.stat().st_size
        where |= dict.fromkeys(names, file)
    if len(parts) > 1:
        index = {"metadata": {"total_size": size}, "weight_map": where}
        write_json(folder / "model.safetensors.index.json", index)
    return size


def _config(config: dict[str, Any], layout: Layout, dtype: str, *, tied: bool) -> dict[str, Any]:
    """The model's `config.json` without MLX's keys, and with those that vLLM looks for.

    `tied`: the head is the embedding. Families have different defaults for that.
    """
    plain = {key: value for key, value in config.items() if key not in _QUANTIZED}
    plain.pop("torch_dtype", None)
    return {**plain, "architectures": [layout.architecture], "dtype": dtype, "tie_word_embeddings": tied}


def _copy_tokenizer(model: Path, folder: Path) -> None:
    for pattern in _TOKENIZER:
        for path in sorted(model.glob(pattern)):
            if path.is_file():
                shutil.copyfile(path, folder / path.name)


def _write_generation(model: Path, folder: Path, config: dict[str, Any]) -> None:
    """The base's `generation_config.json`, with every token at which topcoat ends an answer."""
    path = model / "generation_config.json"
    known = json.loads(path.read_bytes()) if path.is_file() else {}
    stops = sorted(MlxTokenizer(model, config.get("eos_token_id")).stops)
    write_json(folder / path.name, {**known, "eos_token_id": stops if len(stops) > 1 else stops[0]})
