"""A small leaderboard in the form of the Berkeley Function Calling Leaderboard's files, with made-up questions."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

__all__ = [
    "CLOCK",
    "KITE",
    "function",
    "question",
    "truth",
    "wheel_of",
    "wheel_with_systems",
    "write_leaderboard",
]

_CONSTANTS = """\
MULTI_TURN_FUNC_DOC_FILE_MAPPING = {"Lamp": "lamp.json", "Clock": "clock.json", "Broken": "lamp.json"}
CLASS_FILE_PATH_MAPPING = {"Lamp": "bfcl_eval.lamp", "Clock": "bfcl_eval.clock", "Broken": "bfcl_eval.broken"}
STATELESS_CLASSES = ["Clock"]
OMIT_STATE_INFO_CLASSES = []
"""
_LAMP = """\
class Lamp:
    def _load_scenario(self, scenario, long_context=False):
        self.level = scenario.get("level", 0)
        self.manual = "long" * 99 if long_context else ""
        self._secret = object()

    def dim(self, by, room="hall"):
        if by > self.level:
            raise ValueError("too dark")
        self.level -= by
        return {"level": self.level, "room": room}
"""
_CLOCK = """\
class Clock:
    def look(self):
        return "12:00"
"""
_BROKEN = "import no_such_package\n"


def function(name: str, required: Iterable[str] = (), /, **properties: Any) -> dict[str, Any]:
    """A function in the leaderboard's form. Each property is a type's name, or a whole schema."""
    schemas = {key: {"type": value} if isinstance(value, str) else value for key, value in properties.items()}
    parameters = {"type": "dict", "properties": schemas, "required": list(required)}
    return {"name": name, "description": f"Calls {name}.", "parameters": parameters}


KITE = function("toys.fly_kite", ["colour"], colour="string", metres="float", tails={"type": "integer", "default": 2})
CLOCK = function("wind_clock", [], turns="integer")


def question(name: str, *functions: Mapping[str, Any], turns: Any = "Fly a red kite.") -> dict[str, Any]:
    """A line of questions. `turns` is what the user says, or a list of pairs of role and content."""
    pairs = [("user", turns)] if isinstance(turns, str) else turns
    asked = [{"role": role, "content": content} for role, content in pairs]
    return {"id": name, "question": [asked], "function": list(functions)}


def truth(name: str, *calls: tuple[str, Mapping[str, Any]]) -> dict[str, Any]:
    """A line of ground truth: calls with the alternatives of each argument."""
    return {"id": name, "ground_truth": [{tool: dict(arguments)} for tool, arguments in calls]}


def write_leaderboard(folder: Path, **files: Iterable[Mapping[str, Any]]) -> Path:
    """Writes questions under the name of their category, and ground truth under `truth_` and that name."""
    for name, rows in files.items():
        stem = name.removeprefix("truth_")
        path = (folder / "possible_answer" if stem != name else folder) / f"BFCL_v4_{stem}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return folder


def wheel_of(folder: Path, wheel: Path) -> Path:
    """The files of `folder` as the data of the leaderboard's wheel."""
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*.json")):
            archive.write(path, f"bfcl_eval/data/{path.relative_to(folder)}")
    return wheel


def wheel_with_systems(wheel: Path, **files: Iterable[Mapping[str, Any]]) -> Path:
    """A wheel with multi-turn questions, as `write_leaderboard` takes them, and with the code of three systems.

    A Lamp has the tool dim(by, room), a Clock look(), and Broken can't be imported.
    """
    functions = {
        "lamp": [function("dim", ["by"], by="integer", room={"type": "string", "default": "hall"})],
        "clock": [function("look")],
    }
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, code in {"lamp": _LAMP, "clock": _CLOCK, "broken": _BROKEN, "__init__": ""}.items():
            archive.writestr(f"bfcl_eval/{name}.py", code)
        archive.writestr("bfcl_eval/constants/__init__.py", "")
        archive.writestr("bfcl_eval/constants/executable_backend_config.py", _CONSTANTS)
        for name, known in functions.items():
            lines = "".join(json.dumps({**one, "response": {"type": "dict"}}) + "\n" for one in known)
            archive.writestr(f"bfcl_eval/data/multi_turn_func_doc/{name}.json", lines)
        for name, rows in files.items():
            stem = name.removeprefix("truth_")
            folder = "bfcl_eval/data/possible_answer" if stem != name else "bfcl_eval/data"
            archive.writestr(f"{folder}/BFCL_v4_{stem}.json", "".join(f"{json.dumps(row)}\n" for row in rows))
    return wheel
