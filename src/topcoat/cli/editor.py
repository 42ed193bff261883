"""The user's editor."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

from topcoat.errors import InvalidInput, Where

__all__ = ["edit"]


def edit(path: Path, again: str) -> None:
    """Open a file in the user's editor and wait for it. Raises `InvalidInput` if there is none, or it fails."""
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR")
    if not editor:
        raise InvalidInput("no editor is set", hint=f"EDITOR=nano {again}")
    try:
        ended = subprocess.run([*shlex.split(editor), str(path)], check=False).returncode
    except (OSError, ValueError) as error:
        raise InvalidInput(f"the editor {editor} can't be started: {error}", hint=f"EDITOR=nano {again}") from error
    if ended != 0:
        raise InvalidInput(f"the editor {editor} ended with {ended}; the draft is kept", where=Where(path), hint=again)
