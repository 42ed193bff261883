"""The leaderboard's multi-turn questions, as its own files have them."""

from __future__ import annotations

import ast
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from topcoat.suites.bfcl.tools import tools_of

__all__ = ["Call", "Question", "questions", "unpacked"]


@dataclass(frozen=True, slots=True)
class Call:
    """A call of the ground truth, or one that was changed."""

    tool: str
    arguments: Mapping[str, Any]

    @property
    def source(self) -> str:
        """The call as the leaderboard's checker executes it."""
        return f"{self.tool}({', '.join(f'{name}={value!r}' for name, value in self.arguments.items())})"


@dataclass(frozen=True, slots=True)
class Question:
    """A dialogue: what the user says, the right calls of each turn, and the systems behind the tools."""

    entry: Mapping[str, Any]
    tools: Sequence[Mapping[str, Any]]
    turns: tuple[tuple[Call, ...], ...]

    @property
    def id(self) -> str:
        return str(self.entry["id"])

    @property
    def says(self) -> list[str]:
        return ["\n".join(message["content"] for message in turn) for turn in self.entry["question"]]


def unpacked(wheel: Path, folder: Path) -> Path:
    """The package of the wheel in `folder`, from where Python can import it."""
    if not (folder / "bfcl_eval").is_dir():
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder)
    return folder


def questions(root: Path, category: str) -> list[Question]:
    """The questions of a multi-turn category, of an unpacked wheel."""
    data = root / "bfcl_eval" / "data"
    functions = {path.stem: _lines(path) for path in sorted((data / "multi_turn_func_doc").glob("*.json"))}
    files = _files(root)
    name = f"BFCL_v4_{category}.json"
    truth = {row["id"]: row["ground_truth"] for row in _lines(data / "possible_answer" / name)}
    found = []
    for entry in _lines(data / name):
        every = [function for name in entry["involved_classes"] for function in functions[files[name]]]
        called = {_name(call) for turn in truth[entry["id"]] for call in turn}
        hidden = set(entry.get("excluded_function", ())) - called  # some right calls are of hidden functions
        own = [function for function in every if function["name"] not in hidden]
        parameters = {function["name"]: list(function["parameters"]["properties"]) for function in own}
        turns = tuple(tuple(_call(call, parameters) for call in turn) for turn in truth[entry["id"]])
        found.append(Question(entry, tools_of(own), turns))
    return found


def _name(source: str) -> str:
    return source.partition("(")[0].strip()


def _call(source: str, parameters: Mapping[str, Sequence[str]]) -> Call:
    node = ast.parse(source, mode="eval").body
    assert isinstance(node, ast.Call)
    assert isinstance(node.func, ast.Name)
    given = dict(zip(parameters[node.func.id], map(ast.literal_eval, node.args), strict=False))
    given |= {keyword.arg: ast.literal_eval(keyword.value) for keyword in node.keywords if keyword.arg}
    return Call(node.func.id, given)


def _files(root: Path) -> dict[str, str]:
    """The name of the file with the functions of each system."""
    path = root / "bfcl_eval" / "constants" / "executable_backend_config.py"
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "MULTI_TURN_FUNC_DOC_FILE_MAPPING":
            names: dict[str, str] = ast.literal_eval(node.value)
            return {name: Path(file).stem for name, file in names.items()}
    raise ValueError(f"{path} doesn't say where the functions are")


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines() if line.strip()]
