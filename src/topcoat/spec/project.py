"""A project: the folder with `topcoat.toml`, and the files that it names."""

from __future__ import annotations

import os.path
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from topcoat.errors import InvalidInput, Mistake, Where
from topcoat.spec.reading.loader import TomlSource, read_text, read_toml
from topcoat.spec.reading.section import Name, Section, refuse, repeated

__all__ = [
    "PROJECT_FILE",
    "EvalSection",
    "ProjectSection",
    "ProjectSettings",
    "ProjectSpec",
    "find_project",
    "is_hub_id",
    "load_settings",
]

PROJECT_FILE = "topcoat.toml"

_RELATIVE = f"paths are relative to the folder of {PROJECT_FILE}"
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
_MODEL_FOLDERS = ("models", "model", "weights", "checkpoints")


class ProjectSection(Section):
    """[project]: paths are relative to the project's folder.

    `base` is a model folder or a Hugging Face id. `system_prompt` is a file, or "" for none. `history` lists the data
    that the root was trained on, for replay.
    """

    name: Name = Field(examples=['"my-tools"'])
    base: Name = Field(examples=['"models/MODEL"'])
    catalog: Name = Field(examples=['"tools.pyi"'])
    suite: Name = Field(examples=['"suites/routing.jsonl"'])
    system_prompt: str = Field(examples=['"prompts/system.md"'])
    history: list[Name] = Field(default_factory=list)


class EvalSection(Section):
    """[eval]: if a server leaves more than `max_errors` questions unanswered, the evaluation is void.

    The format of answers is measured at each of `temperatures`, with `samples` answers a case above 0.
    """

    max_errors: Annotated[int, Field(ge=0)] = 5
    temperatures: list[Annotated[float, Field(ge=0.0, le=2.0)]] = Field(default_factory=list)
    samples: Annotated[int, Field(ge=1, le=100)] = 5

    @model_validator(mode="after")
    def _names_each_once(self) -> EvalSection:
        refuse(repeated("temperatures", self.temperatures))
        return self


class ProjectSpec(Section):
    """`topcoat.toml` with every default filled in."""

    project: ProjectSection
    eval: EvalSection = Field(default_factory=EvalSection)


@dataclass(frozen=True, slots=True)
class ProjectSettings:
    """A project whose files all exist. Paths are absolute.

    `base` is a folder, or text if it is a Hugging Face id. `system_prompt` is the text itself, with `\\n` between lines
    and no line end at its end.
    """

    root: Path
    spec: ProjectSpec
    base: Path | str
    catalog: Path
    suite: Path
    system_prompt: str
    history: tuple[Path, ...]

    @property
    def name(self) -> str:
        return self.spec.project.name


def find_project(start: Path) -> Path:
    """The nearest folder with a `topcoat.toml`, from `start` upwards. Raises `InvalidInput` if there is none.

    It also refuses a `start` that doesn't exist: a mistyped folder would silently find the project around it.
    """
    begin = start.absolute()
    if not begin.exists():
        raise InvalidInput(f"no such folder: {start}", where=Where(begin), hint=f"ls '{begin.parent}'")
    for folder in (begin, *begin.parents):
        if (folder / PROJECT_FILE).is_file():
            return folder
    raise InvalidInput(f"no {PROJECT_FILE} in {begin} or above it", hint="topcoat init --base MODEL")


def load_settings(folder: Path) -> ProjectSettings:
    """The project in `folder`. Raises `InvalidInput` with every mistake of `topcoat.toml` and every missing file."""
    root = folder.absolute()
    path = root / PROJECT_FILE
    if root.is_dir() and not path.exists():
        raise InvalidInput(f"no {PROJECT_FILE} in {root}", hint="topcoat init --base MODEL")
    spec, source = read_toml(path, ProjectSpec)
    section = spec.project
    files = _Files(root, source)
    settings = ProjectSettings(
        root=root,
        spec=spec,
        base=files.base(section.base),
        catalog=files.file("catalog", section.catalog),
        suite=files.file("suite", section.suite),
        system_prompt=files.text("system_prompt", section.system_prompt) if section.system_prompt else "",
        history=tuple(files.file("history", name, i) for i, name in enumerate(section.history)),
    )
    if files.mistakes:
        raise InvalidInput.collect(str(path), files.mistakes)
    return settings


class _Files:
    """Resolves the paths of `topcoat.toml` and collects their mistakes.

    It uses `os.path`: for impossible file names, its checks return False where those of `Path` raise.
    """

    def __init__(self, root: Path, source: TomlSource) -> None:
        self.root = root
        self.source = source
        self.mistakes: list[Mistake] = []

    def base(self, value: str) -> Path | str:
        folder = self._resolve(value)
        if os.path.isdir(folder):
            return folder
        if os.path.exists(folder):
            self._mistake("base", f"{folder} is a file, not a model folder", "name the folder that holds config.json")
        elif _looks_like_a_path(value, self.root):
            self._mistake("base", f"no such folder: {folder}", _RELATIVE)
        elif not _HUB_ID.fullmatch(value):
            self._mistake("base", f'"{value}" is neither a folder nor a Hugging Face id', 'base = "owner/name"')
        return value

    def file(self, key: str, value: str, *index: int) -> Path:
        path = self._resolve(value)
        if os.path.isdir(path):
            self._mistake(key, f"{path} is a folder, not a file", _RELATIVE, *index)
        elif not os.path.isfile(path):
            self._mistake(key, f"no such file: {path}", _RELATIVE, *index)
        return path

    def text(self, key: str, value: str) -> str:
        known = len(self.mistakes)
        path = self.file(key, value)
        if len(self.mistakes) > known:
            return ""
        try:
            text = read_text(path).replace("\r\n", "\n").rstrip("\n")
        except InvalidInput as error:
            self.mistakes += error.mistakes
            return ""
        if not text.strip():
            self._mistake(key, f"{path} is empty", f'{key} = "" if the model takes no system prompt')
        return text

    def _resolve(self, value: str) -> Path:
        return self.root / os.path.expanduser(value)

    def _mistake(self, key: str, message: str, hint: str, *index: int) -> None:
        name = "".join([f"project.{key}", *(f"[{i}]" for i in index)])
        self.mistakes.append(Mistake(f"{name}: {message}", self.source.where("project", key, *index), hint))


def is_hub_id(value: str, root: Path) -> bool:
    """Whether `value` is an OWNER/NAME on the Hugging Face hub instead of a path from `root`."""
    return "/" in value and bool(_HUB_ID.fullmatch(value)) and not _looks_like_a_path(value, root)


def _looks_like_a_path(value: str, root: Path) -> bool:
    if value.startswith((".", "/", "~")) or value.endswith("/") or "\\" in value:
        return True
    first, slash, _ = value.partition("/")
    return bool(slash) and (first in _MODEL_FOLDERS or os.path.isdir(root / first))
