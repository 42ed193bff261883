"""The documents that users read, and the blocks of code in them."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["DOCUMENTS", "ROOT", "Block", "blocks_in", "commands_of", "lines_of"]

ROOT = Path(__file__).parents[2]
GENERATED = ("commands.md", "keys.md")
DOCUMENTS = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md")),
    *(path for path in sorted((ROOT / "docs").rglob("*.md")) if path.name not in GENERATED),
]
PROGRAMS = (
    *(
        "cd",
        "claude",
        "codex",
        "docker",
        "inspect",
        "make",
        "mlx.launch",
        "opencode",
        "pip",
        "pipx",
        "pre-commit",
        "python",
    ),
    *("python3", "qwen", "source", "topcoat", "uv"),
)
"""What a line of a shell begins with, after its variables."""
_SHELL = re.compile(rf"(?:\$ )?(?:[A-Z_]+=\S+ )*(?:{'|'.join(PROGRAMS)})(?: |$)")
_LANGUAGES = {"console": "shell", "sh": "shell", "bash": "shell", "jsonl": "json"}


@dataclass(frozen=True, slots=True)
class Block:
    """A block of code: its language, "text" for what isn't code, and where it begins."""

    language: str
    text: str
    path: Path
    line: int

    def __str__(self) -> str:
        return f"{self.path.relative_to(ROOT)}:{self.line}"


def blocks_in(path: Path) -> Iterator[Block]:
    """The blocks of a document: fenced with a language, or indented."""
    lines = path.read_text().splitlines()
    at = 0
    while at < len(lines):
        begin, line = at + 1, lines[at]
        at += 1
        if line.startswith("```"):
            while not lines[at].startswith("```"):
                at += 1
            said = line.removeprefix("```").strip()
            yield Block(_LANGUAGES.get(said, said), "\n".join(lines[begin:at]), path, begin + 1)
            at += 1
        elif line.startswith("    ") and line.strip() and (begin == 1 or not lines[begin - 2].strip()):
            while at < len(lines) and (lines[at].startswith("    ") or not lines[at].strip()):
                at += 1
            text = "\n".join(one[4:] for one in lines[begin - 1 : at]).rstrip()
            yield Block(_language(text), text, path, begin)


def _language(text: str) -> str:
    """The language of an indented block, by its first line."""
    first = text.partition("\n")[0]
    if _SHELL.match(first):
        return "shell"
    if re.match(r"\[+[\w.]+\]+( *#|$)|\w+ = ", first) and _is_toml(text):
        return "toml"
    if re.match(r"import \w|from \w+ import ", first):
        return "python"
    return "json" if first.startswith(("{", "[{")) else "text"


def _is_toml(text: str) -> bool:
    try:
        tomllib.loads("\n".join(line for line in text.splitlines() if not line.startswith("$ ")))
    except tomllib.TOMLDecodeError:
        return False
    return True


def lines_of(block: Block) -> Iterator[tuple[str, int]]:
    """The command lines of a block, and where each begins. Of a transcript those after `$ `, else all."""
    rows = block.text.splitlines()
    typed = any(row.startswith("$ ") for row in rows)
    joined, begin = "", 0
    for number, row in enumerate(rows, block.line):
        if joined:
            joined += row.strip()
        elif row.startswith("$ ") or (not typed and row.strip() and not row.strip().startswith("#")):
            joined, begin = row.removeprefix("$ "), number
        if joined.endswith("\\"):
            joined = joined[:-1]
        elif joined:
            yield joined, begin
            joined = ""


def commands_of(path: Path) -> Iterator[tuple[str, str]]:
    """Every command line of a document, and where it is. One that is typed may stand in a block of something else."""
    for block in blocks_in(path):
        if block.language == "shell" or any(row.startswith("$ ") for row in block.text.splitlines()):
            yield from ((line, f"{path.relative_to(ROOT)}:{number}") for line, number in lines_of(block))
