"""The base of every table that a user writes. A check of several keys can say which key is wrong."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

__all__ = [
    "CROSS_CHECK",
    "AllOrSome",
    "AtLeastOne",
    "Count",
    "Name",
    "Positive",
    "Section",
    "Seed",
    "Share",
    "refuse",
    "repeated",
]

Name = Annotated[str, Field(min_length=1)]
Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Count = Annotated[int, Field(ge=0, le=10**9)]
AtLeastOne = Annotated[int, Field(ge=1, le=10**9)]
AllOrSome = Annotated[int, Field(ge=-1, le=10**9)]
"""A number of parts. -1 is all of them."""

CROSS_CHECK = "cross_check"
"""The pydantic error type that `refuse` uses and the loader understands."""


class Section(BaseModel):
    """A table of a spec: immutable, no unknown keys, no silent conversions (`"3"` is not 3), no NaN and no infinity."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


def refuse(problems: Iterable[tuple[str, str] | tuple[str, str, str]]) -> None:
    """Raise a validator's error if there are `problems`: a key (dotted; "" for the table), a message, perhaps a hint.

    The loader turns each problem into a mistake with the line of its key.
    """
    found = [(key, message, hint[0] if hint else "") for key, message, *hint in problems]
    if found:
        text = "; ".join(f"{key}: {message}" if key else message for key, message, _ in found)
        raise PydanticCustomError(CROSS_CHECK, "{text}", {"text": text, "problems": found})


def repeated(key: str, values: Sequence[str] | Sequence[float]) -> list[tuple[str, str]]:
    """A problem for each value of a list that repeats an earlier one."""
    written: list[str | float] = [*values]
    first: dict[str | float, int] = {}
    return [
        (f"{key}.{i}", f'"{value}" is listed twice' if isinstance(value, str) else f"{value:g} is listed twice")
        for i, value in enumerate(written)
        if first.setdefault(value, i) != i
    ]
