"""The command line as a grammar: whether it would take a command. Nothing is executed."""

from __future__ import annotations

import re
import shlex

import typer
import typer.core
from typer.exceptions import TyperException

from topcoat.cli.main import app

__all__ = ["COMMANDS", "accepted", "begins_with_a_command", "commands_in", "is_a_command", "names_a_command"]

COMMANDS = typer.main.get_command(app)
NAMED = re.compile(r"(?<![\w.\"/-])topcoat (?=[a-z-])(.*?)(?=[`\n;|()]| && |\. |, (?=[a-z])| or topcoat|$)")


def accepted(words: list[str]) -> bool:
    """Whether the command line takes `words` as one of its commands. Nothing is executed."""
    command = COMMANDS
    context, rest = None, list(words)
    try:
        while isinstance(command, typer.core.TyperGroup):
            context = command.make_context("topcoat", rest, parent=context)
            _, found, rest = command.resolve_command(context, [*context._protected_args, *context.args])
            assert found is not None
            command = found
        command.make_context(command.name or "", rest, parent=context)
    except (typer.Exit, TyperException):
        return False
    return True


def begins_with_a_command(said: str) -> bool:
    """Whether the first words are a command. More words may follow, as prose does, but no option."""
    words = shlex.split(said.replace("COMMAND", "status"))
    for count in range(len(words), 0, -1):
        if accepted(words[:count]):
            return not any(word.startswith("-") for word in words[count:])
    return False


def names_a_command(said: str) -> bool:
    """Whether the words name a command and options that it has. Arguments may be missing, as in a sentence."""
    words = shlex.split(said.partition(" -- ")[0].replace("COMMAND", "status"))
    path = [COMMANDS]
    for word in words:
        inner = getattr(path[-1], "commands", {})
        if word in inner:
            path.append(inner[word])
        elif inner and len(path) > 1 and not word.startswith("-"):
            return False
    known = {name for one in path for parameter in one.params for name in (*parameter.opts, *parameter.secondary_opts)}
    return {word.partition("=")[0] for word in words if word.startswith("--")} <= known


def commands_in(text: str) -> list[str]:
    return [said.rstrip(".:,") for said in NAMED.findall(text)]


def is_a_command(said: str) -> bool:
    """Prose speaks of topcoat too; a command's first word is a command's name or an option."""
    return said.split()[0] in {*COMMANDS.commands} or said.startswith("--")  # type: ignore[attr-defined]
