"""Reads the rows of Parquet files and Hugging Face datasets as JSON objects.

    FILE.parquet                           read with pyarrow
    FOLDER                                 written by save_to_disk, read with datasets
    hf:OWNER/NAME[:[CONFIG/]SPLIT]         fetched by datasets; SPLIT may be a slice of it, as train[:500]

Both libraries are the optional extra "datasets", and are imported only where they are needed. Code in a dataset is
never executed: the versions of datasets that could do so are refused.

Arrow gives every object of a column the keys of all objects, with null for the absent ones. So keys whose value is null
are left out, at any depth, even if an object really had a null.
"""

from __future__ import annotations

import json
import math
import re
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from topcoat.errors import InvalidInput, Where

__all__ = ["HUB", "is_table", "read_table"]

HUB = "hf:"
_ADDRESS = re.compile(r"hf:(?P<name>[\w.-]+/[\w.-]+)(?::(?:(?P<config>[^:/]+)/)?(?P<split>[^/:]+(?::[^:]*)?))?")
_OLDEST = 4  # the first major version of datasets that never executes a dataset's code
_BATCH = 1000


def is_table(source: str) -> bool:
    """Whether `source` names a table instead of a file of lines."""
    return source.startswith(HUB) or source.endswith(".parquet") or Path(source).is_dir()


def read_table(source: str) -> list[dict[str, Any]]:
    """The rows of a table, in order.

    Raises `InvalidInput` if it can't be read, if it is several tables, or if the library that reads it is missing.
    """
    if source.startswith(HUB):
        batches = _hub_batches(source)
    elif source.endswith(".parquet"):
        batches = _parquet_batches(Path(source))
    else:
        batches = _saved_batches(Path(source))
    with _readable(source):
        return [row for batch in batches for row in _rows(batch)]


def _parquet_batches(path: Path) -> Iterator[Any]:
    if not path.is_file():
        raise InvalidInput(f"no such file: {path}", where=Where(path), hint=f"ls '{path.parent}'")
    try:
        from pyarrow import parquet
    except ImportError:
        raise _missing("pyarrow", "a Parquet file", path) from None
    with _readable(str(path)):
        file = parquet.ParquetFile(path)
    return iter(file.iter_batches(batch_size=_BATCH))


def _saved_batches(folder: Path) -> Iterator[Any]:
    if (folder / "dataset_dict.json").is_file():
        splits = sorted(path.parent.name for path in folder.glob("*/state.json"))
        raise _one_of("splits", splits, folder, [str(folder / split) for split in splits])
    if not (folder / "state.json").is_file():
        files = sorted(path for path in folder.rglob("*") if path.suffix in (".parquet", ".jsonl", ".json"))
        hint = _again(str(files[0])) if files else "topcoat data import FILE --to data/FILE.jsonl"
        raise InvalidInput(f"{folder} is no dataset that save_to_disk wrote", where=Where(folder), hint=hint)
    datasets = _datasets(str(folder))
    with _readable(str(folder)):
        return _batches(datasets.load_from_disk(str(folder)))


def _hub_batches(address: str) -> Iterator[Any]:
    parts = _ADDRESS.fullmatch(address)
    if parts is None:
        raise InvalidInput(f"{address} is no dataset's address", hint=_again("hf:OWNER/NAME:SPLIT"))
    name, config, split = parts["name"], parts["config"], parts["split"]
    if Path(name).exists():
        raise InvalidInput(f"{name} is a folder here, which hides the one on the hub", hint=_again(name))
    datasets = _datasets(address)
    with _readable(address):
        if config is None:
            configs = datasets.get_dataset_config_names(name)
            if len(configs) > 1 and "default" not in configs:
                raise _one_of(
                    "configurations",
                    configs,
                    Path(address),
                    [f"{HUB}{name}:{each}/{split or 'train'}" for each in configs],
                )
        if split is None:
            splits = datasets.get_dataset_split_names(name, config)
            if len(splits) > 1:
                raise _one_of("splits", splits, Path(address), [f"{address}:{each}" for each in splits])
            split = splits[0]
        return _batches(datasets.load_dataset(name, config, split=split))


def _batches(dataset: Any) -> Iterator[Any]:
    """The dataset as Arrow tables, without decoding pictures and sounds."""
    return iter(dataset.with_format("arrow").iter(batch_size=_BATCH))


def _datasets(source: str) -> Any:
    try:
        import datasets
    except ImportError:
        raise _missing("datasets", "a dataset of Hugging Face", Path(source)) from None
    if int(datasets.__version__.split(".")[0]) < _OLDEST:
        raise _missing("datasets", f"a dataset of Hugging Face (not {datasets.__version__})", Path(source))
    return datasets


def _missing(library: str, what: str, source: Path) -> InvalidInput:
    needed = f"'datasets>={_OLDEST}'" if library == "datasets" else library
    hint = f"{shlex.quote(sys.executable)} -m pip install {needed}"
    return InvalidInput(f"to read {what}, {library} has to be installed", where=Where(source), hint=hint)


def _one_of(what: str, names: list[str], where: Path, sources: list[str]) -> InvalidInput:
    hint = _again(sources[0]) if sources else None
    return InvalidInput(f"it has several {what}, name one: {', '.join(names)}", where=Where(where), hint=hint)


def _again(source: str) -> str:
    return f"topcoat data import {shlex.quote(source)} --to data/FILE.jsonl"


@contextmanager
def _readable(source: str) -> Iterator[None]:
    """Turn the libraries' errors into an `InvalidInput`."""
    try:
        yield
    except InvalidInput:
        raise
    except Exception as error:  # a library of many formats, and the network: there is no list of what they raise
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        name = source.removeprefix(HUB).split(":")[0]
        hint = f"https://huggingface.co/datasets/{name}" if source.startswith(HUB) else None
        raise InvalidInput(f"can't read {source}: {reason}", where=Where(Path(source)), hint=hint) from error


def _rows(batch: Any) -> list[dict[str, Any]]:
    """The rows of an Arrow table or batch."""
    types = {field.name: field.type for field in batch.schema}
    rows = batch.to_pylist(maps_as_pydicts="lossy")
    return [_present({key: _json(value, types[key]) for key, value in row.items()}) for row in rows]


def _json(value: Any, kind: Any) -> Any:
    """A value of the Arrow type `kind` as JSON. None for types that JSON doesn't have, such as bytes and times."""
    if isinstance(value, str):
        return json.loads(value) if getattr(kind, "extension_name", "") == "arrow.json" else value
    if isinstance(value, list):
        return [_json(item, kind.value_type) for item in value]
    if isinstance(value, dict):
        if hasattr(kind, "item_type"):  # a map, not a struct
            return {str(key): _json(item, kind.item_type) for key, item in value.items()}
        return _present({key: _json(item, kind.field(key).type) for key, item in value.items()})
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, bool | int) else None


def _present(table: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in table.items() if value is not None}
