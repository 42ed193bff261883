"""Starting a project: an empty one around a model, or a copy of the embedded one."""

from __future__ import annotations

import os.path
import shutil
from collections.abc import Callable
from pathlib import Path

from topcoat.demo import TEMPLATE
from topcoat.engine.protocol import Engine
from topcoat.errors import InvalidInput, Where
from topcoat.spec.phase import FuseSpec, TrainSpec
from topcoat.spec.project import PROJECT_FILE, is_hub_id
from topcoat.store.files import staged_folder, write_text
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


def init_project(folder: Path, base: str, open_engine: Callable[[], Engine] | None = None) -> list[Path]:
    """Write a project with one tool, one case and one example around `base`; returns the files, in reading order.

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
    written = str(local.absolute()) if local.is_dir() else base
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
    return [folder / name for name in files]


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
