"""A project: the folder with `topcoat.toml`, and the files that it names."""

from __future__ import annotations

import os.path
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, ConfigDict, Field, JsonValue, model_validator

from topcoat.errors import InvalidInput, Mistake, Where
from topcoat.spec.agent import Agent, Route
from topcoat.spec.reading.loader import TomlSource, read_text, read_toml
from topcoat.spec.reading.section import Name, Section, refuse, repeated
from topcoat.spec.tools.catalog import Catalog
from topcoat.spec.tools.json_schema import pattern_fault

__all__ = [
    "PROJECT_FILE",
    "SHAPES",
    "CaptureSection",
    "EvalSection",
    "ProjectSection",
    "ProjectSettings",
    "ProjectSpec",
    "ServeSection",
    "SuccessPatterns",
    "SuccessSection",
    "Thinking",
    "calls_around",
    "capture_around",
    "find_project",
    "is_hub_id",
    "is_reserved",
    "load_settings",
]

PROJECT_FILE = "topcoat.toml"

_RELATIVE = f"paths are relative to the folder of {PROJECT_FILE}"
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
_MODEL_FOLDERS = ("models", "model", "weights", "checkpoints")


_GIVEN = frozenset(
    [
        *("messages", "conversation", "tools", "documents", "add_generation_prompt", "continue_final_message"),
        *("tokenize", "chat_template", "padding", "truncation", "max_length", "sanitize_control_tokens"),
        *("return_dict", "return_tensors", "return_assistant_tokens_mask", "tokenizer_kwargs"),
        *("raise_exception", "strftime_now"),
    ]
)
"""What topcoat, or the library that renders, gives to a chat template in each rendering."""


def is_reserved(name: str) -> bool:
    """Whether a chat template is given `name` anyway: with each dialogue, or as one of the tokenizer's tokens."""
    return name in _GIVEN or name.endswith(("_token", "_tokens"))


def _none_reserved(options: dict[str, JsonValue]) -> dict[str, JsonValue]:
    said = "is no option: each dialogue brings its own, or the tokenizer does"
    refuse((name, said) for name in options if is_reserved(name))
    return options


TemplateOptions = Annotated[dict[str, JsonValue], AfterValidator(_none_reserved)]
"""Values that a chat template reads by name in every rendering."""


Thinking = Literal["keep", "strip"]
"""What becomes of the thoughts in training data."""


class ProjectSection(Section):
    """[project]: paths are relative to the project's folder."""

    name: Name = Field(examples=['"my-tools"'])
    """The project's name, for people."""
    base: Name = Field(examples=['"models/MODEL"'])
    """The root: a model folder, or a Hugging Face id."""
    catalog: Name = Field(examples=['"tools.json"'])
    """The file with the tools that the model may call."""
    suite: Name = Field(examples=['"suites/routing.jsonl"'])
    """The file with the cases that models are evaluated on."""
    system_prompt: str = Field(examples=['"prompts/system.md"'])
    """The file with the system prompt of training and evaluation, or "" for none."""
    calls: Route | None = None
    """How an answer reaches tools: as tool calls of their own ("native"), or from programs inside execute_code. By
    default "native" for a catalog in JSON, "code" for stubs."""
    thinking: Thinking = "keep"
    """Whether thoughts of assistant turns are trained, as the template renders them, or removed before."""
    history: list[Name] = Field(default_factory=list)
    """The data that the root was trained on, for replay."""
    template: TemplateOptions = Field(default_factory=dict)
    """Options of the model's chat template, by name, for every rendering."""


class EvalSection(Section):
    """[eval]: how models are evaluated.

    The format of answers is, in Code Mode, the share that call tools through execute_code alone; in a native project,
    the share whose calls can all be read, name a known tool and fit its JSON Schema.
    """

    max_errors: Annotated[int, Field(ge=0)] = 5
    """The most questions that a server may leave unanswered. With more, the evaluation is void."""
    temperatures: list[Annotated[float, Field(ge=0.0, le=2.0)]] = Field(default_factory=list)
    """The temperatures at which the format of answers is measured. By default it isn't."""
    samples: Annotated[int, Field(ge=1, le=100)] = 5
    """The number of answers to a case at each temperature above 0."""

    @model_validator(mode="after")
    def _names_each_once(self) -> EvalSection:
        refuse(repeated("temperatures", self.temperatures))
        return self


def _can_be_read(pattern: str) -> str:
    refuse([("", fault)] if (fault := pattern_fault(pattern)) else [])
    return pattern


Pattern = Annotated[Name, AfterValidator(_can_be_read)]
"""A pattern of JSON Schema's kind (ECMA 262): it is looked for anywhere in a text."""


class SuccessPatterns(Section):
    """By which marks in its result a call worked or failed."""

    failure: list[Pattern] = Field(default_factory=list)
    """Patterns (ECMA 262) that a result holds if its call failed."""
    success: list[Pattern] = Field(default_factory=list)
    """Patterns that a result holds if its call worked. A result with marks of both failed."""


class SuccessSection(SuccessPatterns):
    """[capture.success]: patterns for the results of every tool, asked before topcoat's own."""

    tools: dict[Name, SuccessPatterns] = Field(default_factory=dict)
    """The patterns of one tool, by its name. They are asked first."""


class CaptureSection(Section):
    """[capture]: how usage is recorded."""

    results: Literal["shape", "keep"] = "shape"
    """What is stored of what tools return: the shape, or also the text ("keep"), without secrets and personal data."""
    most: Annotated[int, Field(ge=200, le=1_000_000)] = 20_000
    """The most characters that are stored of a result's text."""
    success: SuccessSection = Field(default_factory=SuccessSection)
    """By which marks in its result a call worked or failed."""


class ServeSection(Section):
    """[serve]: how models are served."""

    kept_mb: Annotated[int, Field(ge=0, le=1_000_000)] = 4096
    """The most megabytes of disk for what models computed of system prompts and tools, so that the first answer after
    a restart needn't wait for it. 0 keeps nothing."""


TrackerName = Literal["wandb", "mlflow", "tensorboard", "trackio"]
"""The experiment trackers that topcoat knows."""


class ReportSection(Section):
    """[report]: who is told how phases went, beside the report in `.topcoat/reports`."""

    to: list[TrackerName] = Field(default_factory=list, examples=['["tensorboard"]'])
    """Experiment trackers that get the losses, scores and verdict of every attempt."""

    @model_validator(mode="after")
    def _names_each_once(self) -> ReportSection:
        refuse(repeated("to", self.to))
        return self


SHAPES = CaptureSection()
"""What is recorded by default."""


class ProjectSpec(Section):
    """`topcoat.toml` with every default filled in."""

    project: ProjectSection
    """The model, and the files of the project."""
    eval: EvalSection = Field(default_factory=EvalSection)
    """How models are evaluated."""
    capture: CaptureSection = Field(default_factory=CaptureSection)
    """How usage is recorded."""
    serve: ServeSection = Field(default_factory=ServeSection)
    """How models are served."""
    report: ReportSection = Field(default_factory=ReportSection)
    """Who is told how phases went."""


@dataclass(frozen=True, slots=True)
class ProjectSettings:
    """A project whose files all exist. Paths are absolute.

    `base` is a folder, or text if it is a Hugging Face id. `system_prompt` is the text itself, with `\\n` between lines
    and no line end at its end. `source` knows the line of each key.
    """

    root: Path
    spec: ProjectSpec
    base: Path | str
    catalog: Path
    suite: Path
    system_prompt: str
    history: tuple[Path, ...]
    source: TomlSource

    @property
    def name(self) -> str:
        return self.spec.project.name

    def agent(self, catalog: Catalog) -> Agent:
        """What the project's model is asked with, `catalog` being the one in the file `self.catalog`."""
        calls = self.spec.project.calls or ("native" if catalog.form == "json" else "code")
        return Agent(catalog, self.system_prompt, calls)


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


def calls_around(start: Path) -> Route:
    """How answers of the project around `start` reach tools, as `topcoat.toml` alone tells; natively without a project.

    Raises `InvalidInput` with every mistake of `topcoat.toml`, or if there is no folder `start`.
    """
    begin = start.absolute()
    if begin.exists() and not any((folder / PROJECT_FILE).is_file() for folder in (begin, *begin.parents)):
        return "native"
    section = read_toml(find_project(start) / PROJECT_FILE, ProjectSpec)[0].project
    return section.calls or ("native" if section.catalog.lower().endswith(".json") else "code")


class _OnlyCapture(Section):
    """`topcoat.toml` as far as recording needs it."""

    model_config = ConfigDict(extra="ignore")

    capture: CaptureSection = Field(default_factory=CaptureSection)


def capture_around(start: Path) -> CaptureSection:
    """How the project around `start` records usage. Raises `InvalidInput` with every mistake of that table.

    A mistake elsewhere in `topcoat.toml` keeps no usage from being recorded.
    """
    path = find_project(start) / PROJECT_FILE
    return read_toml(path, _OnlyCapture)[0].capture if read_text(path).strip() else CaptureSection()


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
        source=source,
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
