"""A phase: its data, training, fuse and gate. A person or `topcoat plan` writes it."""

from __future__ import annotations

import itertools
import os.path
import re
import shlex
from decimal import Decimal
from pathlib import Path
from typing import Any

from topcoat.errors import InvalidInput, Mistake, Where
from topcoat.spec.canonical import canonical_json, digest_of
from topcoat.spec.phase_tables.data import DataSpec, PhaseSection
from topcoat.spec.phase_tables.fuse import Bits, FuseSpec
from topcoat.spec.phase_tables.gate import CanarySpec, GateSpec, GuardSpec, RetrySpec
from topcoat.spec.phase_tables.train import LoraSpec, TrainSpec
from topcoat.spec.reading.loader import read_toml
from topcoat.spec.reading.section import Section

__all__ = [
    "Bits",
    "CanarySpec",
    "DataSpec",
    "FuseSpec",
    "GateSpec",
    "GuardSpec",
    "LoraSpec",
    "PhaseSection",
    "PhaseSpec",
    "RetrySpec",
    "TrainSpec",
    "copy_of_phase",
    "diff",
    "flat",
    "free_phase_file",
    "load_phase",
    "phase_name",
]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class PhaseSpec(Section):
    """A phase file with every default filled in."""

    phase: PhaseSection = PhaseSection()
    """What the phase starts from."""
    data: DataSpec
    """The examples."""
    train: TrainSpec = TrainSpec()
    """How the adapter is trained."""
    fuse: FuseSpec = FuseSpec()
    """How the adapter becomes part of the model."""
    gate: GateSpec
    """The conditions of promotion."""
    guard: GuardSpec = GuardSpec()
    """The cases that are made afresh for the phase."""
    retry: RetrySpec = RetrySpec()
    """What follows a discarded attempt."""

    @property
    def digest(self) -> str:
        """sha256 of everything that can change the result, so without `note`. Written-out defaults don't change it.

        `over_long` isn't part of it, because it changes nothing where every dialogue fits.
        """
        return digest_of(_comparable(self))

    @property
    def as_version_0_1_read_it(self) -> PhaseSpec | None:
        """The phase as topcoat 0.1 read the same file: it judged falls by the mean. None if the file has newer keys."""
        if "guard" in self.model_fields_set or self.gate.model_fields_set & {"evidence", "margin", "alpha", "canary"}:
            return None
        return self.model_copy(update={"gate": self.gate.model_copy(update={"evidence": "mean"})})


def diff(old: PhaseSpec, new: PhaseSpec) -> list[str]:
    """The keys whose values differ, as "train.learning_rate: 5e-5 -> 1e-4", in the order of the file.

    Empty exactly when the digests are equal.
    """
    before, after = (flat(_comparable(spec)) | {"gate.evidence": spec.gate.evidence} for spec in (old, new))
    keys = list(dict.fromkeys([*before, *after]))
    return [
        f"{key}: {_shown(before, key)} -> {_shown(after, key)}"
        for key in keys
        if (key in before) != (key in after) or before.get(key) != after.get(key)
    ]


def phase_name(path: Path) -> str:
    """The phase's name: the file's name without its suffix. Raises `InvalidInput` if no folder can have this name."""
    name = path.stem
    if not _NAME.fullmatch(name):
        raise InvalidInput(
            f'"{name}" can\'t be a phase\'s name: use letters, digits, ".", "_" and "-"',
            where=Where(path),
            hint=f"mv {shlex.quote(str(path))} {shlex.quote(str(free_phase_file(_allowed(path))))}",
        )
    return name


def free_phase_file(path: Path) -> Path:
    """`path` if no such file exists, else the first of NAME-2.toml, NAME-3.toml, ... that doesn't."""
    names = itertools.chain([path], (path.with_name(f"{path.stem}-{number}.toml") for number in itertools.count(2)))
    return next(each for each in names if not os.path.lexists(each))


def copy_of_phase(path: Path) -> tuple[str, str]:
    """A shell command that copies the phase file `path`, and the copy's name; both as a shell reads them."""
    copy = shlex.quote(str(free_phase_file(path)))
    return f"cp {shlex.quote(str(path))} {copy}", copy


def _allowed(path: Path) -> Path:
    """`path` with a name that a phase may have."""
    return path.with_name(f"{re.sub(r'[^A-Za-z0-9_-]+', '-', path.stem).strip('-_')[:60] or 'phase1'}.toml")


def load_phase(path: Path, root: Path | None = None) -> PhaseSpec:
    """The phase in the file `path`. With `root`, the project's folder, its data files must exist there.

    Raises `InvalidInput` with every mistake of the file.
    """
    phase_name(path)
    spec, source = read_toml(path, PhaseSpec)
    if root is None:
        return spec
    files = [(f"data.train[{i}]", name, source.where("data", "train", i)) for i, name in enumerate(spec.data.train)]
    if spec.data.valid_file is not None:
        files.append(("data.valid", spec.data.valid_file, source.where("data", "valid")))
    mistakes = [
        Mistake(f"{key}: no such file: {root / name}", where, "paths are relative to the folder of topcoat.toml")
        for key, name, where in files
        if not os.path.isfile(root / name)
    ]
    if mistakes:
        raise InvalidInput.collect(str(path), mistakes)
    return spec


def _comparable(spec: PhaseSpec) -> dict[str, Any]:
    """What decides a phase. Guard cases do only where falls are tested."""
    unused = {} if spec.gate.evidence == "tested" else {"guard": True}
    keys = spec.model_dump(mode="json", exclude={"phase": {"note"}, **unused})
    return {**keys, "train": spec.train.decisive, "gate": spec.gate.decisive}


def flat(table: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """The values of a table and of the tables in it, by dotted keys."""
    found: dict[str, Any] = {}
    for key, value in table.items():
        if isinstance(value, dict):
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[prefix + key] = value
    return found


def _shown(values: dict[str, Any], key: str) -> str:
    if key not in values:
        return "(not set)"
    value = values[key]
    if isinstance(value, float) and 0 < abs(value) < 1e-3:
        return f"{Decimal(repr(value)).normalize():e}"
    return "(not set)" if value is None else canonical_json(value)
