"""The base of every table that a user writes, and how a check that spans several keys names the key at fault."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict
from pydantic_core import PydanticCustomError

__all__ = ["CROSS_CHECK", "Section", "cross_check_failed"]

CROSS_CHECK = "cross_check"
"""The pydantic error type that `cross_check_failed` uses and the loader understands."""


class Section(BaseModel):
    """A table of a spec: immutable, no unknown keys, no silent conversions (`"3"` is not 3), no NaN and no infinity."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


def cross_check_failed(*problems: tuple[str, str]) -> PydanticCustomError:
    """The error that a validator raises for `problems`, each a key (dotted; "" for the table itself) and what is wrong.

    The loader turns each problem into a mistake with the line of its key.
    """
    text = "; ".join(f"{key}: {message}" if key else message for key, message in problems)
    return PydanticCustomError(
        CROSS_CHECK,
        "{text}",
        {"text": text, "problems": [[key, message] for key, message in problems]},
    )
