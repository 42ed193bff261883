"""Prints docs/commands.md: what every command's --help says. `python docs/make_commands.py > docs/commands.md`."""

from typer.testing import CliRunner

from topcoat.cli.main import app

ENVIRONMENT = {"COLUMNS": "100", "TERM": "dumb", "NO_COLOR": "1"}


def help_of(*arguments: str) -> str:
    return CliRunner().invoke(app, [*arguments, "--help"], env=ENVIRONMENT, prog_name="topcoat").output.strip()


print("# Commands\n\nWhat `--help` prints, made by `python docs/make_commands.py`. A test compares.\n")
print(f"```\n{help_of()}\n```")
for command in app.registered_commands:
    name = command.name or getattr(command.callback, "__name__", "")
    print(f"\n## topcoat {name}\n\n```\n{help_of(name)}\n```")
