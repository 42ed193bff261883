"""Writes a model as one GGUF file, for llama.cpp, Ollama and LM Studio.

Quantized matrices keep their codes where GGUF has blocks for them (`gguf_blocks`), so nothing is quantized again. The
file is written by the package gguf, which llama.cpp's own converters use.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

from topcoat.engine.mlx.export.gguf_blocks import PLAIN, block_kind, blocks, numbers_of, plain_bytes
from topcoat.engine.mlx.export.gguf_family import GgufFamily, family_for, metadata_for, refused
from topcoat.engine.mlx.export.gguf_vocabulary import vocabulary_for
from topcoat.engine.mlx.export.hf import require_disk
from topcoat.engine.mlx.export.tensors import Source, rounding_of, width_of
from topcoat.engine.mlx.gguf.convert import RECORD, halves_apart
from topcoat.engine.mlx.gguf.file import KINDS
from topcoat.engine.mlx.gguf.rope import divisors
from topcoat.engine.mlx.model.config import read_config
from topcoat.engine.protocol import ExportJob, Numbers
from topcoat.errors import EngineFault, NumericalFault
from topcoat.progress import Note, Sink, task
from topcoat.store.files import staged_folder
from topcoat.store.records import ExportReport

__all__ = ["export_gguf"]

_NUMBERS = {kind.name: (number, kind) for number, kind in KINDS.items()}


@dataclass(frozen=True, slots=True)
class _Planned:
    """One tensor of the file. `heads`: its rows are reordered by head; `offset` is added to its numbers."""

    source: str
    kind: str
    shape: tuple[int, ...]
    heads: int = 0
    offset: float = 0.0

    @property
    def size(self) -> int:
        kind = _NUMBERS[self.kind][1]
        return math.prod(self.shape) // kind.length * kind.size


def export_gguf(job: ExportJob, sink: Sink) -> ExportReport:
    """Write `NAME.gguf` into the folder `job.output`.

    Raises InvalidInput, before anything is written, for a family, a tokenizer or a shape that llama.cpp has no place
    for; EngineFault if the package gguf isn't installed.
    """
    writer_class = _writer()
    config = read_config(job.model)
    family = family_for(config, job.model)
    source = Source(job.model)
    shape = metadata_for(source.args, config, family, job.model)
    vocabulary, notes = vocabulary_for(
        job.model, source.shape("model.embed_tokens.weight")[0], config.get("eos_token_id")
    )
    planned = _planned(source, family, job)
    size = sum(plan.size for plan in planned.values())
    sink.emit(Note(f"writing {size / 1e6:.1f} MB of weights"))
    require_disk(job.output, size)
    with staged_folder(job.output) as staged:
        path = staged / f"{job.name}.gguf"
        writer = writer_class(path, family.architecture)
        for key, value in {**_general(job), **shape, **vocabulary}.items():
            _add(writer, key, value)
        rounding = _write(writer, source, planned, _rope(source.args, config), sink)
    kinds = Counter(plan.kind for plan in planned.values())
    return ExportReport(
        kinds=dict(kinds), size=(job.output / f"{job.name}.gguf").stat().st_size, rounding=rounding, notes=notes
    )


def _writer() -> Any:
    try:
        from gguf import GGUFWriter
    except ImportError as error:
        raise EngineFault(
            "a GGUF file is written by the package gguf, which isn't installed", hint='pip install "topcoat[gguf]"'
        ) from error
    return GGUFWriter


def _general(job: ExportJob) -> dict[str, Any]:
    """The name, and what a file that the model was converted from says of its licence and its origin."""
    path = job.model / RECORD
    known = json.loads(path.read_bytes()) if path.is_file() else {}
    said = {f"general.{key}": known[key] for key in ("license", "url", "source.url") if key in known}
    return {"general.name": job.name, **said, "general.quantization_version": 2}


def _add(writer: Any, key: str, value: object) -> None:
    """Write one entry of the metadata with the type that llama.cpp reads it as."""
    if isinstance(value, bool):
        writer.add_bool(key, value)
    elif isinstance(value, int):
        writer.add_uint32(key, value)
    elif isinstance(value, float):
        writer.add_float32(key, value)
    elif isinstance(value, str):
        writer.add_string(key, value)
    else:
        writer.add_array(key, value)


def _planned(source: Source, family: GgufFamily, job: ExportJob) -> dict[str, _Planned]:
    """The file's tensors by name. Raises InvalidInput if the model has one that the family doesn't."""
    planned = {}
    for name in source.names:
        own = family.name_of(name)
        if own is None:
            raise refused(job.model, f"has the tensor {name}, for which {family.architecture} has no place in GGUF")
        shape = source.shape(name)
        rotated = family.rotated and own.rpartition(".")[0].endswith(("attn_q", "attn_k"))
        heads = shape[0] // _head(source.args) if rotated else 0
        offset = family.offset if own.endswith("norm.weight") else 0.0
        planned[own] = _Planned(name, _kind(source, name, own, job.numbers), shape, heads, offset)
    return planned


def _head(args: Any) -> int:
    return int(getattr(args, "head_dim", None) or args.hidden_size // args.num_attention_heads)


def _kind(source: Source, name: str, own: str, numbers: Numbers) -> str:
    """How a tensor is stored. llama.cpp wants vectors, and a mixture's router, in float32."""
    if len(source.shape(name)) == 1 or own.endswith("ffn_gate_inp.weight"):
        return "F32"
    packing = source.packing_of(name)
    if packing is not None and numbers == "as-stored":
        kind = block_kind(packing, source.peek(name), source.shape(name)[-1])
        if kind is not None:
            return kind
    return PLAIN[width_of(source, name, numbers)]


def _write(
    writer: Any, source: Source, planned: Mapping[str, _Planned], rope: NDArray[np.float32] | None, sink: Sink
) -> float:
    """Write the file, one tensor after the other; gives the largest share that was rounded."""
    from gguf import GGMLQuantizationType

    for name, plan in planned.items():
        number, kind = _NUMBERS[plan.kind]
        row = (*plan.shape[:-1], plan.shape[-1] // kind.length * kind.size)
        writer.add_tensor_info(name, row, np.dtype(np.uint8), plan.size, GGMLQuantizationType(number))
    if rope is not None:
        writer.add_tensor_info("rope_freqs.weight", rope.shape, rope.dtype, rope.nbytes)
    rounding = 0.0
    try:
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        with task(sink, "export", total=len(planned), unit="tensor") as progress:
            for done, plan in enumerate(planned.values(), 1):
                rows, lost = _rows(source, plan)
                writer.write_tensor_data(rows)
                rounding = max(rounding, lost)
                progress.advance(done)
        if rope is not None:
            writer.write_tensor_data(rope)
    finally:
        writer.close()
    return rounding


def _rows(source: Source, plan: _Planned) -> tuple[NDArray[np.uint8], float]:
    """A tensor's bytes, and the share of it that was rounded."""
    packing, taken = source.packing_of(plan.source), source.take(plan.source)
    if packing is not None and plan.kind not in PLAIN.values():
        lost = rounding_of(numbers_of(packing, taken, halves=True), numbers_of(packing, taken, halves=False))
        rows = blocks(plan.kind, packing, taken)
    else:
        exact = source.numbers(plan.source, taken) + plan.offset
        written = exact.astype(next(dtype for dtype, kind in PLAIN.items() if kind == plan.kind))
        if not mx.isfinite(written).all().item():
            raise NumericalFault(
                f"{plan.source} has numbers that {plan.kind} doesn't hold", hint="--numbers bf16 or --numbers f32"
            )
        lost = rounding_of(written, exact)
        rows = plain_bytes(written)
    if plan.heads:
        rows = rows[_reordered(len(rows), plan.heads)] if len(plan.shape) == 2 else _turned_bias(rows, plan.heads)
    return np.ascontiguousarray(rows), lost


def _reordered(rows: int, heads: int) -> NDArray[np.intp]:
    """The order in which llama.cpp has the rows of rotated heads."""
    return np.argsort(halves_apart(rows, heads))


def _turned_bias(rows: NDArray[np.uint8], heads: int) -> NDArray[np.uint8]:
    """A bias of rotated heads as llama.cpp has it. Its bytes are one row of float32."""
    numbers = rows.view("<f4")[0]
    return numbers[_reordered(len(numbers), heads)].view(np.uint8)[None]


def _rope(args: Any, config: Mapping[str, Any]) -> NDArray[np.float32] | None:
    """Llama 3's scaling of rotations as divisors; None for a model without it."""
    scaling = getattr(args, "rope_scaling", None) or {}
    if (scaling.get("rope_type") or scaling.get("type")) != "llama3":
        return None
    base = float(getattr(args, "rope_theta", None) or 10_000.0)
    return divisors(base, _head(args), float(scaling["factor"])).astype(np.float32)
