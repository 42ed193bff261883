"""Sessions of work with a served model. The user is a script; the agent, its tools and the model are not.

The user asks for validators and for chains of tools, where the embedded model is weak, and now and then for what it
knows, and sees at once whether the right calls were made. If not, the user says so and asks again in plainer words; if
that doesn't help either, the user writes the code. The agent reports both, and begins a new dialogue for each question:
the embedded model knows no second one.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from openai import OpenAI

import topcoat
from tools.demo_model.chains import Chain
from tools.demo_model.curriculum import THIN_CHAINS, THIN_DOMAIN
from tools.demo_model.dialogues import SYSTEM
from tools.demo_model.language.names import Names
from tools.demo_model.language.phrasings import PHRASINGS, expand, slots
from tools.demo_model.language.words import TRAINING
from tools.demo_model.targeted import CHAINS, DOMAIN
from tools.demo_model.tools import TOOLS
from topcoat.calls.answer import Run
from topcoat.calls.parsing import parse
from topcoat.calls.sandbox import Sandbox
from topcoat.spec.agent import Agent
from topcoat.spec.tools.loading import load_catalog
from topcoat.usage.capture.recording import stop_recording

__all__ = ["Task", "Worked", "tasks", "work_through"]

Tools = tuple[str, ...]
Way = Literal["at once", "said again", "by hand"]
"""How a task was done: as asked, after the user said it again, or with the user's own code."""
T = TypeVar("T")

SHARES = {"domain": 0.4, "multi_tool": 0.45, "others": 0.15}
_AT_ONCE = 16
_MOST_STEPS = 3
_AT = "{symbol} at {path}:{line}:{column}"

_ASKED: Mapping[str, Sequence[tuple[Tools, str]]] = {
    "domain": [((tool,), wording) for tool, wordings in DOMAIN.items() for wording in wordings],
    "multi_tool": [(tools, wording) for tools, wordings in CHAINS.items() for wording in wordings],
    "others": [((tool,), wording) for tool, wordings in PHRASINGS.items() for wording in wordings],
}
"""What the user asks for, and how; no wording and no name is the suite's."""

_AGAIN: Mapping[Tools, Sequence[str]] = {
    **{(tool,): wordings for tool, wordings in (PHRASINGS | THIN_DOMAIN).items()},
    **THIN_CHAINS,
    ("goto_definition", "typecheck"): (f"find the definition of {_AT} and typecheck that file",),
    ("workspace_symbols", "read_file"): ("search the workspace for {query} and open that file",),
    ("find_references", "read_file"): (f"find the references to {_AT} and open the first file",),
    ("git_status", "ruff_check"): ("find the first modified file in {folder} and run the linter on it",),
    ("git_status", "typecheck"): ("find the first modified file in {folder} and typecheck it",),
    ("git_status", "read_file"): ("find the first modified file in {folder} and open it",),
    ("find_references", "ruff_check"): (f"find the references to {_AT} and lint the first file",),
    ("find_references", "read_file", "typecheck"): (f"find the references to {_AT}, open the first and typecheck it",),
    ("pytest_run", "ruff_check"): ("run the tests in {tests} and lint the file with the first failure",),
    ("ruff_check", "read_file"): ("lint {target} and open the file with the first violation",),
    ("pytest_run", "read_file"): ("run the tests in {tests} and open the file with the first failure",),
    ("cst_find_pattern", "read_file"): ("find `{pattern}` in {target} and open the file with the first match",),
    ("goto_definition", "read_file", "ruff_check"): (
        f"find the definition of {_AT}, open that file and lint that file",
    ),
}
"""How the user says it again: for what the model knows at all, as it knows it."""


@dataclass(frozen=True)
class Task:
    """What a user wants in a session: the `question`, the same `again` in plainer words, and the code that does it."""

    session: str
    kind: str
    question: str
    again: str
    code: str


@dataclass(frozen=True)
class Worked:
    """A task that was done, and how."""

    task: Task
    way: Way


def tasks(count: int, rng: random.Random) -> list[Task]:
    """One task for each of `count` sessions; no two ask the same."""
    names = Names(TRAINING, rng)
    decks = {kind: _dealt(wordings, rng) for kind, wordings in _ASKED.items()}
    made: dict[str, Task] = {}
    while len(made) < count:
        (kind,) = rng.choices(list(SHARES), list(SHARES.values()))
        tools, wording = next(decks[kind])
        values = dict(TOOLS[tools[0]].defaults) | {slot: names.draw(slot) for slot in slots(wording)}
        code = Chain(tools).code if len(tools) > 1 else f"result = {TOOLS[tools[0]].call}\nprint(result)"
        again = rng.choice([w for w in _AGAIN[tools] if set(slots(w)) <= values.keys()])
        task = Task(
            session=f"session {len(made)}",
            kind=kind,
            question=expand(wording, rng).format(**values),
            again=expand(again, rng).format(**values),
            code=code.format(**values),
        )
        made.setdefault(task.question, task)
    return list(made.values())


def work_through(url: str, project: Path, work: Sequence[Task]) -> list[Worked]:
    """Do all tasks with the model at `url`, several sessions at a time. What an agent reports goes into `project`."""
    with (
        OpenAI(base_url=url, api_key="-", max_retries=0) as client,
        Sandbox(load_catalog(project / "tools.pyi")) as sandbox,
        ThreadPoolExecutor(_AT_ONCE) as pool,
    ):
        done = list(pool.map(lambda task: _session(task, _Agent(client, sandbox, project, task.session)), work))
    stop_recording()
    return done


def _session(task: Task, agent: _Agent) -> Worked:
    wanted = _did(agent.sandbox.run([task.code]))
    if _did(agent.ask(task.question)) == wanted:
        return Worked(task, "at once")
    agent.report()
    if _did(agent.ask(task.again)) == wanted:
        return Worked(task, "said again")
    agent.report(task.code)
    return Worked(task, "by hand")


def _did(run: Run) -> list[object]:
    """The calls of a program that ran to its end."""
    return [] if run.problem else [(call.tool, call.args, dict(call.kwargs)) for call in run.calls]


def _dealt(items: Sequence[T], rng: random.Random) -> Iterator[T]:
    while True:
        yield from rng.sample(items, len(items))


class _Agent:
    """A loop around the model: what it writes is run, and what comes of it is sent back, until it calls nothing."""

    def __init__(self, client: OpenAI, sandbox: Sandbox, project: Path, session: str) -> None:
        self.client, self.sandbox, self.project, self.session = client, sandbox, project, session
        self.catalog = load_catalog(project / "tools.pyi")
        self.names = Names(TRAINING, random.Random(session))
        self.messages: list[Any] = [{"role": "system", "content": SYSTEM}]
        self.program = ""

    def ask(self, text: str) -> Run:
        """Ask the model; gives what its last program did."""
        self.messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": text}]
        last = Run()
        for _ in range(_MOST_STEPS):
            programs = parse(self._answer(), Agent(self.catalog)).programs
            if not programs:
                break
            self.program, last = "\n".join(programs), self.sandbox.run(programs)
            self.messages.append({"role": "user", "content": f"<tool_response>\n{self._said(last)}\n</tool_response>"})
        return last

    def report(self, code: str | None = None) -> None:
        """The user says that it is wrong; or wrote `code` in place of the model's program."""
        said = {"original": self.program, "corrected": code}
        topcoat.record("user_correction", session=self.session, project=self.project, **said)

    def _answer(self) -> str:
        reply = self.client.chat.completions.create(
            model="production",
            messages=self.messages,
            max_tokens=128,
            extra_headers={"X-Session-Id": self.session},
        )
        answer = reply.choices[0].message.content or ""
        self.messages.append({"role": "assistant", "content": answer})
        return answer

    def _said(self, run: Run) -> str:
        """What a program prints, as the tools of the embedded project print it; or why it didn't finish."""
        if run.problem or not run.calls:
            return f"Error: {run.problem or 'no tool was called'}"
        printed = TOOLS[run.calls[-1].tool].response
        return printed.format(**{slot: self.names.draw(slot) for slot in slots(printed)})
