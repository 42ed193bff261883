"""Prints docs/commands.md: what every command's --help says. `python docs/make_commands.py > docs/commands.md`."""

from collections.abc import Iterator

from typer import Typer
from typer.testing import CliRunner

from topcoat.cli.main import app

ENVIRONMENT = {"COLUMNS": "100", "TERM": "dumb", "NO_COLOR": "1"}


def help_of(*arguments: str) -> str:
    return CliRunner().invoke(app, [*arguments, "--help"], env=ENVIRONMENT, prog_name="topcoat").output.strip()


print("# Commands\n\nWhat `--help` prints, made by `python docs/make_commands.py`. A test compares.\n")
print(f"```\n{help_of()}\n```")


def commands(group: Typer, *before: str) -> Iterator[tuple[str, ...]]:
    """The words of every command of a group, its sub-groups' after its own."""
    for command in group.registered_commands:
        yield (*before, str(command.name or getattr(command.callback, "__name__", "")))
    for inner in group.registered_groups:
        if inner.typer_instance is not None and isinstance(inner.name, str):
            yield (*before, inner.name)
            yield from commands(inner.typer_instance, *before, inner.name)


for words in commands(app):
    print(f"\n## topcoat {' '.join(words)}\n\n```\n{help_of(*words)}\n```")
