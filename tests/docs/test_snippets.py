"""Whatever a document shows can be used: commands are accepted, files are valid, Python compiles."""

from __future__ import annotations

import ast
import json
import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from tests.support.command_line import accepted, commands_in, is_a_command, names_a_command
from tests.support.documents import DOCUMENTS, PROGRAMS, ROOT, Block, blocks_in, commands_of
from topcoat.spec.case_template import TemplateFile
from topcoat.spec.example import Example
from topcoat.spec.phase import PhaseSpec
from topcoat.spec.project import ProjectSpec
from topcoat.spec.suite import Case
from topcoat.spec.tools.tool_list import parse_tool_list

COMMANDS = [one for path in DOCUMENTS for one in commands_of(path)]
BLOCKS = [block for path in DOCUMENTS for block in blocks_in(path)]
FILES: list[type[BaseModel]] = [ProjectSpec, PhaseSpec, TemplateFile]
OTHERS = {"model", "model_provider", "model_providers"}
"""Keys of the files of other programs."""
SEPARATORS = {"&&", ";", "|"}


def of(language: str) -> list[Block]:
    return [block for block in BLOCKS if block.language == language]


def parts(line: str) -> list[list[str]]:
    """The commands of a line as words, without comments, variables and the file that the output goes to."""
    words = shlex.split(re.sub(r" > \S+", "", line), comments=True)
    commands = list[list[str]]()
    for word in ["&&", *words]:
        if word in SEPARATORS:
            commands.append([])
        elif commands[-1] or not re.fullmatch(r"[A-Z_]+=.*", word):
            commands[-1].append(word)
    return commands


def refused(words: list[str]) -> str:
    """Why a command can't be right; "" if it can, or is another program's."""
    program, *rest = words
    if program == "topcoat":
        return "" if accepted(rest) else "the command line refuses it"
    if program == "mlx.launch":
        return refused(rest[rest.index("--") + 1 :])
    if program == "make":
        targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        return "" if rest[0] in targets else "no such target"
    if program in ("python", "python3") and rest[:1] == ["-m"] and rest[1].startswith("benchmarks."):
        place = ROOT.joinpath(*rest[1].split("."))
        files = [*place.glob("*.py")] if place.is_dir() else [place.with_suffix(".py")]
        source = "".join(file.read_text() for file in files)
        lacking = [word for word in rest[2:] if word.startswith("--") and f'"{word}"' not in source]
        return f"no option {lacking[0]}" if lacking else ""
    if program in ("pip", "pipx", "uv"):
        extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
        wanted = [name for word in rest for name in re.findall(r"^(?:topcoat|\.)\[([\w,-]+)\]", word)]
        return next((f"no extra {name}" for names in wanted for name in names.split(",") if name not in extras), "")
    return "" if program in PROGRAMS else "no known program"


def test_blocks_of_every_language_are_found() -> None:
    assert len(COMMANDS) > 60
    assert min(len(of(language)) for language in ("shell", "python", "toml", "json")) > 3
    assert {block.language for block in BLOCKS} <= {"shell", "python", "toml", "json", "text"}


@pytest.mark.parametrize(("line", "where"), COMMANDS, ids=[f"{where} {line}" for line, where in COMMANDS])
def test_a_command_of_a_document_is_accepted(line: str, where: str) -> None:
    faults = {shlex.join(words): refused(words) for words in parts(line)}
    assert {words: fault for words, fault in faults.items() if fault} == {}, where


@pytest.mark.parametrize("path", DOCUMENTS, ids=[str(path.relative_to(ROOT)) for path in DOCUMENTS])
def test_a_command_in_a_sentence_exists_with_its_options(path: Path) -> None:
    said = [one for text in re.findall(r"`(topcoat [^`]+)`", path.read_text()) for one in commands_in(text)]
    assert [one for one in said if is_a_command(one) and not names_a_command(one)] == []


def test_a_wrong_command_is_noticed() -> None:
    assert refused(["topcoat", "run", "phase1", "--again"])
    assert not names_a_command("run --again")
    assert not names_a_command("events nothing")
    assert names_a_command("events import --format codex")
    assert refused(["make", "nothing"])
    assert refused(["mlx.launch", "-n", "2", "--", "topcoat", "run", "--nothing"])
    assert refused(["python", "-m", "benchmarks.reliability", "--nothing"])
    assert refused(["pip", "install", "topcoat[nothing]"])
    assert parts("A=1 topcoat run x > z && cd y  # then") == [["topcoat", "run", "x"], ["cd", "y"]]


@pytest.mark.parametrize("block", of("python"), ids=str)
def test_python_compiles(block: Block) -> None:
    ast.parse(block.text, str(block))


@pytest.mark.parametrize("block", of("toml"), ids=str)
def test_a_file_in_toml_has_only_keys_and_values_that_are_known(block: Block) -> None:
    written = tomllib.loads("\n".join(row for row in block.text.splitlines() if not row.startswith("$ ")))
    if not written.keys() <= OTHERS:
        assert min((faults(model, written) for model in FILES), key=len) == []


@pytest.mark.parametrize("block", of("json"), ids=str)
def test_a_file_in_json_is_valid(block: Block) -> None:
    for value in values(block.text):
        if isinstance(value, list) or "tools" in value:
            parse_tool_list(json.dumps(value), block.path)
        elif "id" in value:
            Case.model_validate(value)
        elif "messages" in value:
            Example.model_validate(value)
        else:
            assert value.keys() <= OTHER_FILES, f"{block}: no file of topcoat's has these keys"


OTHER_FILES = {"$schema", "provider", "model"}
"""The keys of opencode.json."""


def faults(model: type[BaseModel], written: dict[str, Any]) -> list[str]:
    """What a part of a file has that the whole can't have. Missing keys may stand elsewhere."""
    try:
        model.model_validate(written)
    except ValidationError as error:
        return [f"{fault['loc']}: {fault['msg']}" for fault in error.errors() if fault["type"] != "missing"]
    return []


def test_a_wrong_file_is_noticed() -> None:
    assert faults(PhaseSpec, {"train": {"iters": 300}}) == []
    assert faults(PhaseSpec, {"train": {"itres": 3}})
    assert faults(ProjectSpec, {"capture": {"results": "all"}})


def values(text: str) -> list[Any]:
    """The documents of a text, one after another."""
    found, at, decoder = [], 0, json.JSONDecoder()
    while text[at:].strip():
        at += len(text[at:]) - len(text[at:].lstrip())
        value, at = decoder.raw_decode(text, at)
        found.append(value)
    return found
