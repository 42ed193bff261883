"""The systems of the Berkeley Function Calling Leaderboard, as a simulator of episodes.

topcoat wrote this file beside a suite. The systems themselves are in the package bfcl-eval, which is imported from
`PLACE` (relative to this file), or from where it is installed. Some of them need another package: MathAPI needs mpmath.
"""

from __future__ import annotations

import contextlib
import copy
import importlib
import inspect
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

PLACE = ""

if PLACE:
    sys.path.insert(0, str((Path(__file__).parent / PLACE).resolve()))
_constants = importlib.import_module("bfcl_eval.constants.executable_backend_config")
for _name in _constants.CLASS_FILE_PATH_MAPPING.keys() - set(_constants.OMIT_STATE_INFO_CLASSES):
    with contextlib.suppress(ImportError):  # said where the system is needed
        importlib.import_module(_constants.CLASS_FILE_PATH_MAPPING[_name])


class Systems:
    """The systems `classes` of a question, in its `initial_config`. A call's result is the text that they make."""

    def __init__(self, classes: Sequence[str], initial_config: dict[str, Any], long_context: bool = False) -> None:
        self._systems: dict[str, Any] = {}
        for name in classes:
            system = getattr(importlib.import_module(_constants.CLASS_FILE_PATH_MAPPING[name]), name)()
            if name not in _constants.STATELESS_CLASSES:
                system._load_scenario(copy.deepcopy(initial_config.get(name, {})), long_context=long_context)
            self._systems[name] = system

    def __getattr__(self, tool: str) -> Callable[..., str]:
        """The method `tool` of the last system that has one, as the leaderboard finds it."""
        if not tool.startswith("_"):
            for system in reversed(self._systems.values()):
                if inspect.ismethod(method := getattr(system, tool, None)):
                    return lambda **arguments: _text(method, arguments)
        raise AttributeError(tool)

    def state(self) -> dict[str, Any]:
        """The public attributes of each system, by its name."""
        return {
            name: {key: _plain(value) for key, value in vars(system).items() if not key.startswith("_")}
            for name, system in self._systems.items()
        }


def _text(method: Callable[..., object], arguments: dict[str, object]) -> str:
    try:
        result = method(**arguments)
    except Exception as error:
        return f"Error during execution: {error}"
    if isinstance(result, dict):
        try:
            return json.dumps(result)
        except (TypeError, ValueError):
            pass
    return str(result)


def _plain(value: Any) -> Any:
    """A value as JSON. Files and folders are what the leaderboard compares of them: names and contents."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "contents"):
        return {"folder": value.name, "contents": _plain(value.contents)}
    if hasattr(value, "content") and hasattr(value, "name"):
        return {"file": value.name, "content": value.content}
    return value if value is None or isinstance(value, bool | int | float | str) else repr(value)
