"""The leaderboard's own AST checker, unmodified, out of the package bfcl-eval or its wheel.

The checker imports the leaderboard's list of models, and with it the clients of all vendors, only to learn whether a
model writes "_" for "." in names. A list of one model that writes names as they are stands in for it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

__all__ = ["Call", "Checker"]

Call = dict[str, dict[str, Any]]
"""A call as the leaderboard decodes it: {function: arguments}."""

_MODEL = "as-it-is"


class Checker:
    """Says what the leaderboard thinks of decoded calls. `source` is the wheel, or the package's folder."""

    def __init__(self, source: Path) -> None:
        sys.path.insert(0, str(source.parent if source.is_dir() else source))
        models = ModuleType("bfcl_eval.constants.model_config")
        models.__dict__["MODEL_CONFIG_MAPPING"] = {_MODEL: SimpleNamespace(underscore_to_dot=False)}
        sys.modules[models.__name__] = models
        self.check = import_module("bfcl_eval.eval_checker.ast_eval.ast_checker").ast_checker
        self.language = import_module("bfcl_eval.constants.enums").Language.PYTHON

    def fault(self, functions: Sequence[Any], calls: Sequence[Call], truth: Sequence[Any], category: str) -> str:
        """What is wrong with `calls`; "" if they are right. `category` is the leaderboard's name of it.

        A question without ground truth is about relevance: any call counts, or none (`eval_runner.py`).
        """
        if not truth:
            wanted = category.endswith("live_relevance")
            return "" if bool(calls) == wanted else "a call" if calls else "no call"
        if not calls:
            return "no call"  # the decoder fails before the checker is asked
        result = self.check(functions, calls, truth, self.language, category, _MODEL)
        return "" if result["valid"] else str(result["error_type"])
