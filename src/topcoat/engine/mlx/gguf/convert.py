"""Makes a model folder of a GGUF file, without rounding a number of it."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np

from topcoat.engine.mlx.gguf.blocks import BITS, GROUP, READABLE, NotExact, pack, plain
from topcoat.engine.mlx.gguf.family import Target, config_of, family_of, sizes_of, targets
from topcoat.engine.mlx.gguf.file import GgufFile, Tensor, read_gguf
from topcoat.engine.mlx.gguf.metadata import Metadata, refused
from topcoat.engine.mlx.gguf.tokenizer import tokenizer_config, tokenizer_json
from topcoat.engine.mlx.gguf.vocabulary import Vocabulary, read_vocabulary
from topcoat.engine.mlx.model.shards import save_tensors
from topcoat.engine.protocol import Converted
from topcoat.progress import Sink, task
from topcoat.quantity import counted
from topcoat.store.files import staged_folder, write_json, write_text

__all__ = ["RECORD", "convert", "halves_apart"]

RECORD = "converted.json"
"""What a folder was converted from."""

PART = 1 << 30
"""A file of weights ends with the tensor that reaches so many bytes: they are in memory at a time."""

Weights = dict[str, mx.array]


@dataclass(frozen=True, slots=True)
class _Plan:
    """All that a folder gets, but for the weights. Making it reads no weights and writes nothing."""

    file: GgufFile
    targets: Mapping[str, Target]
    config: dict[str, Any]
    tokenizer: dict[str, Any]
    words: Vocabulary

    @property
    def kinds(self) -> Counter[str]:
        """The number of tensors of each kind."""
        return Counter(self.file.tensors[name].kind.name for name in self.targets)


def convert(source: Path, target: Path, sink: Sink) -> Converted:
    """Write the model of a GGUF file to the folder `target`. One that was made of the same file before is kept.

    Raises InvalidInput, before anything is written, for a file that isn't one, is damaged, or holds what isn't read.
    """
    plan = _planned(source)
    with source.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    record = {"file": source.name, "sha256": digest, "tensors": dict(plan.kinds), **_origin(plan.file)}
    notes = _notes(plan)
    if _has_record(target, record):
        return Converted(target, made=False, notes=notes)
    with staged_folder(target) as staged:
        write_json(staged / "tokenizer.json", plan.tokenizer)
        write_json(
            staged / "tokenizer_config.json", tokenizer_config(plan.words, plan.config["max_position_embeddings"])
        )
        write_text(staged / "chat_template.jinja", plan.words.chat_template)
        write_json(staged / "config.json", plan.config)
        _write_weights(plan, staged, sink)
        write_json(staged / RECORD, record)
    return Converted(target, made=True, notes=notes)


def _planned(source: Path) -> _Plan:
    file = read_gguf(source)
    metadata = Metadata(file, Metadata(file).text("general.architecture"))
    family = family_of(metadata)
    _require_readable(file)
    sizes = sizes_of(metadata)
    placed = targets(metadata, family, sizes)
    words = read_vocabulary(metadata)
    if len(words.tokens) > sizes.vocabulary:
        raise refused(file, f"has {len(words.tokens)} tokens and only {sizes.vocabulary} embeddings")
    config = {
        **config_of(metadata, family, sizes),
        **({"bos_token_id": words.bos} if words.bos is not None else {}),
        "eos_token_id": words.stops if len(words.stops) > 1 else words.eos,
        **_quantization(file, placed),
    }
    return _Plan(file, placed, config, tokenizer_json(metadata, words), words)


def _require_readable(file: GgufFile) -> None:
    """Raise for matrices of kinds that MLX has no exact form of, and for vectors that are quantized."""
    kinds = Counter(tensor.kind.name for tensor in file.tensors.values())
    others = sorted(kinds.keys() - set(READABLE))
    if others:
        listed = ", ".join(f"{counted(kinds[kind], 'tensor')} of {kind}" for kind in others)
        raise refused(
            file,
            f"has {listed}; {', '.join(READABLE)} are read",
            "take the file of the same model that has Q8_0, Q4_1, Q4_0, BF16 or F16 in its name",
        )
    for tensor in file.tensors.values():
        if len(tensor.shape) != 2 and tensor.kind.name in BITS:
            raise refused(file, f"has {tensor.name} of {tensor.kind.name} in the shape {tensor.shape}")


def _quantization(file: GgufFile, placed: Mapping[str, Target]) -> dict[str, Any]:
    """The keys of `config.json` for packed matrices: the most frequent bits, and each module that has others."""
    bits = {
        target.name.removesuffix(".weight"): BITS[file.tensors[name].kind.name]
        for name, target in placed.items()
        if file.tensors[name].kind.name in BITS
    }
    if not bits:
        return {}
    ((usual, _),) = Counter(bits.values()).most_common(1)
    others = {module: {"group_size": GROUP, "bits": own} for module, own in bits.items() if own != usual}
    section = {"group_size": GROUP, "bits": usual, "mode": "affine", **others}
    return {"quantization": section, "quantization_config": section}


def _origin(file: GgufFile) -> dict[str, str]:
    """What the file says of where it comes from."""
    said = {key: file.metadata.get(f"general.{key}") for key in ("name", "license", "url", "source.url")}
    return {key: value[:1000] for key, value in said.items() if isinstance(value, str)}


def _has_record(target: Path, record: Mapping[str, object]) -> bool:
    try:
        return bool(json.loads((target / RECORD).read_bytes()) == record)
    except (OSError, ValueError, RecursionError):
        return False


def _notes(plan: _Plan) -> tuple[str, ...]:
    """What was kept and how, and what the file didn't say."""
    kinds = ", ".join(
        f"{count} of {kind}" + (f" as {BITS[kind]} bits in groups of {GROUP}" if kind in BITS else "")
        for kind, count in plan.kinds.most_common()
    )
    notes = [f"no number is rounded: {counted(len(plan.targets), 'tensor')}, {kinds}"]
    if plan.words.guessed:
        ends = ", ".join(plan.words.guessed)
        notes.append(f"answers also end at {ends}, which the chat template has and the file doesn't name as an end")
    if plan.config["model_type"] == "gemma2":
        notes.append("mlx-lm computes gemma2 without its sliding window, so prompts beyond it differ from llama.cpp's")
    return tuple(notes)


def _write_weights(plan: _Plan, folder: Path, sink: Sink) -> None:
    """Write the tensors, in files of `PART` bytes each."""
    narrow = _dtype(plan.file.tensors["token_embd.weight"])
    part: Weights = {}
    written = 0

    def flush() -> None:
        nonlocal part, written
        written += 1
        save_tensors(folder / f"model-{written:05}.safetensors", part, {"format": "mlx"})
        part = {}

    with task(sink, "convert", total=len(plan.targets), unit="tensor") as progress:
        for number, (name, target) in enumerate(plan.targets.items(), 1):
            part |= _arrays(plan.file, plan.file.tensors[name], target, narrow)
            if sum(array.nbytes for array in part.values()) >= PART:
                flush()
            progress.advance(number)
        if part:
            flush()


def _dtype(embedding: Tensor) -> mx.Dtype:
    """What the model computes in where its weights stay as they are: scales are float16."""
    return {"F32": mx.float32, "BF16": mx.bfloat16}.get(embedding.kind.name, mx.float16)


def _arrays(file: GgufFile, tensor: Tensor, target: Target, narrow: mx.Dtype) -> Weights:
    """The arrays of one tensor, by their names in the model."""
    rows = file.rows(tensor)
    if target.heads:
        rows = rows[halves_apart(len(rows), target.heads)]
    try:
        if tensor.kind.name in BITS:
            packed = pack(tensor.kind.name, rows)
            name = target.name.removesuffix(".weight")
            return {
                f"{name}.weight": packed.weight,
                f"{name}.scales": packed.scales,
                f"{name}.biases": packed.biases,
            }
        numbers = plain(tensor.kind.name, rows)
    except NotExact:
        raise refused(file, f"has numbers in {tensor.name} that aren't finite", "fetch the file again") from None
    if len(tensor.shape) == 1:
        numbers = _narrowed(numbers[:, 0].astype(mx.float32) - target.offset, narrow)
    return {target.name: numbers}


def _narrowed(vector: mx.array, dtype: mx.Dtype) -> mx.array:
    """A vector in the model's dtype if that holds all of its numbers; else as it is."""
    narrow = vector.astype(dtype)
    return narrow if mx.array_equal(narrow.astype(mx.float32), vector).item() else vector


def halves_apart(rows: int, heads: int) -> np.ndarray[Any, np.dtype[np.intp]]:
    """The order of rows in which a head's first halves of rotated pairs come before its second ones.

    llama.cpp rotates neighbours, Hugging Face and MLX two halves; `convert_hf_to_gguf.py` reorders the rows.
    """
    order: np.ndarray[Any, np.dtype[np.intp]] = (
        np.arange(rows).reshape(heads, rows // heads // 2, 2).swapaxes(1, 2).reshape(-1)
    )
    return order
