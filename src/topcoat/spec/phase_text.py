"""A phase as the text of its file, the opposite of `load_phase`. People continue to edit the text."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from topcoat.spec.phase import (
    CanarySpec,
    DataSpec,
    FuseSpec,
    GateSpec,
    GuardSpec,
    LoraSpec,
    PhaseSection,
    PhaseSpec,
    RetrySpec,
    TrainSpec,
)
from topcoat.spec.reading.section import Section

__all__ = ["phase_text"]

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_ALWAYS = {
    "phase": {"base"},
    "data": {"train", "valid", "replay"},
    "train": {"iters", "batch_size", "learning_rate", "num_layers", "grad_accumulation_steps", "patience"},
    "train.lora": {"rank", "scale"},
    "gate": {"no_regression", "tolerance"},
    "gate.canary": {"share", "sessions"},
    "retry": {"max_attempts", "learning_rate_factor"},
}
"""Keys that are written out even with their default value, because people change them."""
_DEFAULTS: Mapping[str, type[Section]] = {
    "phase": PhaseSection,
    "data": DataSpec,
    "train": TrainSpec,
    "train.lora": LoraSpec,
    "fuse": FuseSpec,
    "gate": GateSpec,
    "gate.canary": CanarySpec,
    "guard": GuardSpec,
    "retry": RetrySpec,
}


def phase_text(spec: PhaseSpec, remarks: Mapping[str, str] | None = None) -> str:
    """The TOML of `spec`: the keys that differ from the defaults, and those that people change.

    `remarks` are comments by key ("train.iters").
    """
    tables = _tables("", spec.model_dump(mode="json", exclude_none=True))
    return "\n".join(text for name, keys in tables.items() if (text := _table(name, keys, remarks or {})))


def _tables(name: str, keys: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Every table by its name, with the keys that aren't tables themselves."""
    inner = {key: value for key, value in keys.items() if isinstance(value, dict)}
    found = {name: {key: value for key, value in keys.items() if key not in inner}}
    for key, value in inner.items():
        found |= _tables(f"{name}.{key}" if name else key, value)
    return found


def _table(name: str, keys: Mapping[str, Any], remarks: Mapping[str, str]) -> str:
    kind = _DEFAULTS.get(name)
    lines = []
    for key, value in keys.items():
        default = kind is not None and value == kind.model_fields[key].get_default(call_default_factory=True)
        if default and key not in _ALWAYS.get(name, ()):
            continue
        line = f"{key if _BARE.fullmatch(key) else _string(key)} = {_value(value)}"
        remark = remarks.get(f"{name}.{key}")
        lines.append(f"{line:<23} # {remark}\n" if remark else f"{line}\n")
    return f"[{name}]\n{''.join(lines)}" if lines else ""


def _value(value: Any) -> str:
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    return json.dumps(value)


def _string(text: str) -> str:
    """A TOML basic string. It differs from JSON in one character: TOML must escape DEL."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007F")
