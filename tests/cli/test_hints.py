"""Every command of topcoat that a message, a hint or a document names can be pasted: the command line accepts it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.command_line import COMMANDS, begins_with_a_command, commands_in, is_a_command

ROOT = Path(__file__).parents[2]
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
OTHERS_OPTIONS = {
    "--hf-path",
    "--mlx-path",
    "--save-path",
    "--force-reinstall",
    "--no-deps",
    "--upgrade",
    "--adapter-path",
    "--mask-prompt",
    "--outfile",
    "--verbose",
}


def texts(*, of_hints: bool = False) -> Iterator[tuple[str, str]]:
    """Every text of the source that isn't a docstring, and where it is. Values in it are replaced by 1."""
    for path in sorted((ROOT / "src").rglob("*.py")):
        tree = ast.parse(path.read_text())
        told = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        parts = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
        for top in filter(is_hint, ast.walk(tree)) if of_hints else [tree]:
            for node in ast.walk(top):
                if isinstance(node, ast.JoinedStr):
                    text = "".join(str(part.value) if isinstance(part, ast.Constant) else "1" for part in node.values)
                elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in parts:
                    text = node.value
                else:
                    continue
                if id(node) not in told:
                    yield text, f"{path.relative_to(ROOT)}:{node.lineno}"


def is_hint(node: ast.AST) -> bool:
    """A value for something that is called `hint`."""
    names = [target.id for target in getattr(node, "targets", ()) if isinstance(target, ast.Name)]
    return getattr(node, "arg", None) == "hint" or "hint" in names


SAID = [(said, where) for text, where in texts() for said in commands_in(text) if is_a_command(said)]


def test_commands_are_found() -> None:
    assert len(SAID) > 40
    assert commands_in("go on (topcoat --compute x run), or topcoat run 1") == ["--compute x run", "run 1"]
    assert commands_in("`topcoat gc`; topcoat run 1 && topcoat log") == ["gc", "run 1", "log"]


@pytest.mark.parametrize(("said", "where"), SAID, ids=[f"{where} {said}" for said, where in SAID])
def test_the_command_line_accepts_the_commands_that_messages_name(said: str, where: str) -> None:
    assert begins_with_a_command(said.replace('"', "")), f"{where}: topcoat {said}"


def test_a_command_that_is_none_is_noticed() -> None:
    assert begins_with_a_command("run 1 --allow x lists them")
    assert not begins_with_a_command("run")
    assert not begins_with_a_command("run 1 --again")
    assert not begins_with_a_command("events nothing")


def test_every_option_that_a_hint_names_exists() -> None:
    known, groups = set[str](), [COMMANDS]
    while groups:
        group = groups.pop()
        known |= {name for parameter in group.params for name in (*parameter.opts, *parameter.secondary_opts)}
        groups += getattr(group, "commands", {}).values()
    named = {(option, where) for text, where in texts(of_hints=True) for option in OPTION.findall(text)}
    assert len(named) > 20
    assert {(option, where) for option, where in named if option not in known | OTHERS_OPTIONS} == set()
