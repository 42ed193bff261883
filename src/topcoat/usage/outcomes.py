"""Records the outcomes of sessions, as a person, a script or git reports them."""

from __future__ import annotations

import difflib
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, get_args

from topcoat.errors import InvalidInput, Refused, Where
from topcoat.spec.project import find_project
from topcoat.usage.events import OUTCOMES, Event, Kind
from topcoat.usage.importing import open_log
from topcoat.usage.log import EventLog

__all__ = ["HOOKS", "Hook", "install_hooks", "record_outcome", "run_hook"]

Hook = Literal["post-commit", "post-merge"]
HOOKS: tuple[Hook, ...] = get_args(Hook)

_ENDS: tuple[Kind, ...] = ("merged", "closed")


def record_outcome(start: Path, outcome: str, *, session: str = "", branch: str = "") -> list[str]:
    """Record the outcome of a session, or of every session on a branch that has none yet. Return these sessions.

    Raises `InvalidInput` for an unknown outcome or session.
    """
    kind = next((known for known in OUTCOMES if known == outcome), None)
    if kind is None:
        raise InvalidInput(f'"{outcome}" is no outcome', hint=" or ".join(OUTCOMES))
    if bool(session) == bool(branch):
        raise InvalidInput("name a session or a branch", hint=f"topcoat events outcome {outcome} --session NAME")
    with open_log(start) as log:
        if branch:
            ended = _unended(log, branch)
        else:
            known = log.sessions()
            if session not in known:
                close = difflib.get_close_matches(session, known, n=1)
                hint = f"--session {close[0]}" if close else "topcoat events export"
                raise InvalidInput(f'no session is called "{session}"', hint=hint)
            ended = [session]
        log.add([Event(session=name, kind=kind, source="outcome", branch=branch) for name in ended])
    return ended


def install_hooks(start: Path, repository: Path) -> list[Path]:
    """Write the git hooks that report commits and merges to the project around `start`. Return their files.

    Hooks that topcoat wrote before are replaced. Raises `InvalidInput` if `repository` isn't a repository, and
    `Refused` if it has other hooks of these names; no hook is written then.
    """
    folder = repository / _git(repository, "rev-parse", "--git-path", "hooks", required=True)
    project = find_project(start)
    files = {folder / hook: _script(project, hook) for hook in HOOKS}
    for path, script in files.items():
        if path.exists() and _MARK not in path.read_text(encoding="utf-8", errors="replace"):
            line = script.splitlines()[-2]
            raise Refused(f"there is a {path.name} hook already", where=Where(path), hint=f"add to it: {line}")
    for path, script in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(script, encoding="utf-8")
        path.chmod(0o755)
    return list(files)


def run_hook(start: Path, hook: str, repository: Path) -> list[Event]:
    """Report what git has just done: a commit to the sessions on its branch, a merge to those on the merged branches.

    A squash merge can't be reported, because it leaves no trace of its branch. Raises `InvalidInput`.
    """
    if hook not in HOOKS:
        raise InvalidInput(f'"{hook}" is no hook of topcoat\'s', hint=" or ".join(HOOKS))
    head = _git(repository, "rev-parse", "HEAD", required=True)
    with open_log(start) as log:
        events = []
        if hook == "post-commit":
            branch = _git(repository, "symbolic-ref", "--short", "-q", "HEAD")
            events = _each(log, _uncommitted(log, branch), "commit", branch, head)
        # A merge with conflicts ends in a commit. A merge without any, or a fast-forward, leaves ORIG_HEAD.
        before = "ORIG_HEAD" if hook == "post-merge" else "HEAD^1"
        if hook == "post-merge" or _git(repository, "rev-parse", "-q", "--verify", "HEAD^2"):
            for branch in _merged(repository, before):
                events += _each(log, _unended(log, branch), "merged", branch, head)
        log.add(events)
    return events


def _each(log: EventLog, sessions: Sequence[str], kind: Kind, branch: str, commit: str) -> list[Event]:
    return [Event(session=name, kind=kind, source="git", branch=branch, commit=commit) for name in sessions]


def _unended(log: EventLog, branch: str) -> list[str]:
    """The sessions on a branch whose work was neither merged nor closed."""
    return [name for name in log.sessions(branch) if not any(event.kind in _ENDS for event in log.events(name))]


def _uncommitted(log: EventLog, branch: str) -> list[str]:
    """The unended sessions on a branch with an event since their last commit."""
    last = {name: list(log.events(name))[-1].kind for name in (_unended(log, branch) if branch else [])}
    return [name for name, kind in last.items() if kind != "commit"]


def _merged(repository: Path, before: str) -> list[str]:
    """The branches whose commits are in HEAD and weren't in `before`, without the one that is checked out."""
    refs = (
        "for-each-ref",
        "--format=%(refname)",
        "--merged",
        "HEAD",
        "--no-merged",
        before,
        "refs/heads",
        "refs/remotes",
    )
    current = _git(repository, "symbolic-ref", "--short", "-q", "HEAD")
    names = []
    for ref in _git(repository, *refs).splitlines():
        _, place, name = ref.split("/", 2)
        names.append(name if place == "heads" else name.partition("/")[2])
    return [name for name in dict.fromkeys(names) if name not in (current, "HEAD")]


def _git(repository: Path, *arguments: str, required: bool = False) -> str:
    """The output of git, "" if it fails. Raises `InvalidInput` if it fails and is `required`."""
    command = ["git", "-C", str(repository), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    except (OSError, subprocess.SubprocessError) as error:
        raise InvalidInput(f"git can't be run: {error}", where=Where(repository)) from error
    if required and done.returncode != 0:
        raise InvalidInput(f"git says: {done.stderr.strip()}", where=Where(repository), hint="--repo DIR")
    return done.stdout.strip() if done.returncode == 0 else ""


_MARK = "# Written by topcoat events hook --install"


def _script(project: Path, hook: str) -> str:
    """The hook's script. A failure of the report never makes git fail."""
    words = [sys.executable, "-m", "topcoat", "--project", str(project), "events", "hook", "--run", hook]
    return f"#!/bin/sh\n{_MARK}\n{shlex.join(words)} >/dev/null 2>&1 || :\nexit 0\n"
