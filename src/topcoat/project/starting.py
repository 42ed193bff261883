"""Starting a project: an empty one around a model, or a copy of the embedded one."""

from __future__ import annotations

import contextlib
import os.path
import shutil
from collections.abc import Callable
from pathlib import Path

from topcoat.demo import TEMPLATE
from topcoat.engine.protocol import Engine
from topcoat.errors import InvalidInput, Where
from topcoat.spec.phase import FuseSpec, TrainSpec
from topcoat.spec.project import PROJECT_FILE, is_hub_id
from topcoat.store.files import staged_folder, write_bytes, write_text
from topcoat.store.paths import ProjectPaths

__all__ = ["DEMO_PHASE", "copy_demo", "init_project"]

DEMO_PHASE = "phase34a"
"""The phase of the embedded project."""

PROJECT = """\
[project]
name = "{name}"
base = {base}
catalog = "tools.pyi"                 # typed stubs of every tool that the model may call
suite = "suites/routing.jsonl"        # what it is evaluated on
system_prompt = "prompts/system.md"   # one text for training and evaluation
# history = ["data/earlier.jsonl"]    # what the base already learned from: replay draws on it

# [eval]
# temperatures = [0.0, 0.7]           # where to measure how many answers keep to the format of calls
# samples = 5                         # answers a case, above 0
"""

CATALOG = '''\
class FileText:
    """What read_file returns."""

    path: str
    text: str

def read_file(path: str) -> FileText:
    """Read a file of the workspace."""
    ...
'''

SUITE = """\
{"id": "files-01", "category": "files", "prompt": "Show me README.md.", "expect": {"calls": [{"tool": "read_file"}]}}
"""

EXAMPLE = (
    '{"messages": [{"role": "system", "content": "You are a coding agent. Call tools with execute_code."}, '
    '{"role": "user", "content": "Open the licence text, please."}, {"role": "assistant", "content": '
    '"<tool_call><function=execute_code>\\n<parameter=code>\\nresult = read_file(\\"LICENSE\\")\\nprint(result.text)\\n'
    '</parameter>\\n</function></tool_call>"}], "category": "files"}\n'
)

PHASE = """\
[data]
train = ["data/phase1.jsonl"]

[gate.target]
files = 0.8
"""


IGNORED = {
    ".topcoat/": "what topcoat makes: models, reports, captured usage",
    "models/": "weights",
    "*.safetensors": "weights",
    "*.draft": "unfinished examples",
}
"""What git should leave out, because it is large or private."""


def init_project(folder: Path, base: str, open_engine: Callable[[], Engine] | None = None) -> dict[Path, str]:
    """Write a project with one tool, one case and one example around `base`.

    Return what was done to each file, in reading order: "wrote", or what was added to a `.gitignore` that was there.
    `base` is a model's folder, seen from here, or a Hugging Face id. Raises InvalidInput if it is neither, or if there
    is a project already: nothing is overwritten. With `open_engine`, it also raises what training the model in a folder
    would raise, as far as its files tell.
    """
    if (folder / PROJECT_FILE).exists():
        raise InvalidInput(
            f"there is a project already: {folder / PROJECT_FILE}", hint=f"cd '{folder}' && topcoat status"
        )
    local = Path(os.path.expanduser(base))  # that of Path raises for a user without a home
    if not local.is_dir() and not is_hub_id(base, Path()):
        raise InvalidInput(f"no such folder: {local}", where=Where(local), hint="topcoat init --base OWNER/NAME")
    if local.is_dir() and open_engine is not None:
        open_engine().require_trainable(local, TrainSpec(num_layers=-1), FuseSpec())
    written = _portable(local.absolute(), folder.absolute()) if local.is_dir() else base
    files = {
        PROJECT_FILE: PROJECT.format(name=folder.absolute().name, base=_toml(written)),
        "tools.pyi": CATALOG,
        "prompts/system.md": "You are a coding agent. Call tools with execute_code.\n",
        "suites/routing.jsonl": SUITE,
        "data/phase1.jsonl": EXAMPLE,
        "phases/phase1.toml": PHASE,
    }
    taken = [folder / name for name in files if (folder / name).exists()]
    if taken:
        raise InvalidInput(
            f"{taken[0]} is there already", where=Where(taken[0]), hint="topcoat init NEW_FOLDER --base MODEL"
        )
    for name, text in files.items():
        write_text(folder / name, text)
    ignoring = _ignore(folder / ".gitignore")
    return {**{folder / name: "wrote" for name in files}, **({folder / ".gitignore": ignoring} if ignoring else {})}


def _ignore(path: Path) -> str:
    """Make git leave out what is `IGNORED`. Return what was done; "" if the file has every line already."""
    found = path.read_bytes().decode("utf-8", errors="surrogateescape") if path.exists() else ""
    present = {line.strip().lstrip("/").rstrip("/") for line in found.splitlines()}
    missing = [line for line in IGNORED if line.rstrip("/") not in present]
    if not missing:
        return ""
    text = found + ("\n" if found and not found.endswith("\n") else "")
    text += "".join(f"# {why}\n" + "".join(f"{x}\n" for x in lines) for why, lines in _by_reason(missing).items())
    write_bytes(path, text.encode("utf-8", errors="surrogateescape"))
    return f"added {', '.join(missing)} to" if found else "wrote"


def _by_reason(lines: list[str]) -> dict[str, list[str]]:
    grouped: dict[str, list[str]] = {}
    for line in lines:
        grouped.setdefault(IGNORED[line], []).append(line)
    return grouped


def _portable(model: Path, folder: Path) -> str:
    """The path of `model` as the project in `folder` names it, so that both can be moved together.

    It is relative inside the project and beside it, begins with ~ elsewhere in the home folder, else absolute.
    """
    relative = Path(os.path.relpath(model, folder))
    # Behind a symbolic link, ".." is another folder than it seems.
    if relative.parts[:2].count("..") < 2 and (folder / relative).resolve() == model.resolve():
        named = relative.parts[:1] in (("..",), ("models",), ())
        return relative.as_posix() if named else f"./{relative.as_posix()}"
    with contextlib.suppress(RuntimeError, ValueError):  # no home folder; not in it
        return f"~/{model.relative_to(Path.home()).as_posix()}"
    return str(model)


def copy_demo(folder: Path) -> bool:
    """Copy the embedded project to `folder`; False if it is there already. Raises InvalidInput for another's folder."""
    if (folder / PROJECT_FILE).exists() and ProjectPaths(folder).phase(DEMO_PHASE).exists():
        return False
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InvalidInput(
            f"{folder} is not empty, and not the embedded project", where=Where(folder), hint="topcoat demo NEW_FOLDER"
        )
    with staged_folder(folder) as staged:
        shutil.copytree(TEMPLATE, staged, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    return True


def _toml(text: str) -> str:
    """A TOML basic string."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
