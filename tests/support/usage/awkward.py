"""Sessions of awkward shapes with what a careful person would learn from them, read from the test's text files.

A session begins with `== name`. Each line after it begins with a mark; a line that begins with spaces continues the
one before it:

    user:   a user's turn, which begins a round
    call:   a native call: a tool and its arguments as JSON. Calls without a result between them are one answer
    code:   a program for execute_code
    back:   the result of the first call that has none so far
    says:   an answer without a call
    learn:  what the round teaches: `nothing -- why`, or the numbers of its calls in order (`1 3`), then
            `for N`   the question is round N's, alone or with all that followed up to this round
            `with N`  the question is this round's, alone or after those from round N on
            `content` the user was content with it
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.agents import agent_of
from topcoat.calls.parsing import parse
from topcoat.spec.agent import Agent, Route
from topcoat.usage.extraction.rules import Candidate, extract
from topcoat.usage.turns import boundaries, events_of, spoken

__all__ = ["Session", "Verdict", "judged", "read_sessions"]

_MARK = re.compile(r"(user|call|code|back|says|learn):(?: (.*))?")
_LABEL = re.compile(r"(?P<calls>\d+(?: \d+)*)(?: (?P<how>for|with) (?P<start>\d+))?(?P<content> content)?(?: --.*)?")

Call = tuple[str, str]
"""A tool and its arguments as JSON with sorted keys; `execute_code` and its program."""


@dataclass(frozen=True, slots=True)
class Lesson:
    """What a round teaches: its calls, the questions that they may answer, and whether the user was content."""

    calls: tuple[Call, ...]
    questions: tuple[str, ...]
    content: bool


@dataclass(slots=True)
class Session:
    name: str
    route: Route
    messages: list[dict[str, Any]] = field(default_factory=list)
    lessons: list[Lesson] = field(default_factory=list)
    labels: int = 0


@dataclass(slots=True)
class Verdict:
    """The lessons that were found, and what is wrong, in words."""

    right: int = 0
    wrong: list[str] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)
    moods: list[str] = field(default_factory=list)
    """Right examples of which it was found wrongly that the user was, or wasn't, content."""

    @property
    def precision(self) -> float:
        return self.right / max(1, self.right + len(self.wrong))

    @property
    def recall(self) -> float:
        return self.right / max(1, self.right + len(self.missed))


def read_sessions(path: Path) -> list[Session]:
    """The sessions of a file. `path`'s name, or the session's, says whether the model calls tools natively."""
    pieces = re.split(r"^== ", path.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    return [_session(piece, path.stem) for piece in pieces]


def judged(sessions: Sequence[Session]) -> Verdict:
    """What is extracted from `sessions`, compared with their lessons."""
    verdict = Verdict()
    for session in sessions:
        open_lessons = list(session.lessons)
        for candidate in _extracted(session):
            found = _made(candidate, session.route)
            question = candidate.messages[0]["content"]
            lesson = next((le for le in open_lessons if le.calls == found and question in le.questions), None)
            if lesson is None:
                verdict.wrong.append(f"{session.name}: {question!r} -> {found}")
                continue
            open_lessons.remove(lesson)
            verdict.right += 1
            if lesson.content != ("content" in candidate.reason):
                verdict.moods.append(f"{session.name}: content should be {lesson.content}")
        verdict.missed += [f"{session.name}: {lesson.questions[0]!r} -> {lesson.calls}" for lesson in open_lessons]
    return verdict


def _extracted(session: Session) -> list[Candidate]:
    turns = [spoken(message) for message in session.messages]
    events = events_of(turns, boundaries(turns), session=session.name)
    return extract(events, _agent(session)).candidates


def _agent(session: Session) -> Agent:
    text = json.dumps(session.messages)
    return agent_of({*_TOOLS, *re.findall(r"\"name\": \"(\w+)\"", text)} - {"execute_code"}, session.route)


_TOOLS = (
    *("apply", "checksum", "define", "delete", "delete_branch", "format", "git_diff", "git_log", "lint", "list_dir"),
    *("move", "read_file", "references", "run_tests", "search", "symbols", "typecheck", "validate"),
)


def _made(candidate: Candidate, route: Route) -> tuple[Call, ...]:
    agent = agent_of({*_TOOLS, *candidate.tools}, route)
    answers = [parse(m["content"], agent) for m in candidate.messages if m["role"] == "assistant"]
    if route == "code":
        return tuple(("execute_code", program) for answer in answers for program in answer.programs)
    return tuple((call.tool, _arguments(dict(call.kwargs))) for answer in answers for call in answer.calls)


def _arguments(given: dict[str, Any]) -> str:
    return json.dumps(given, sort_keys=True, ensure_ascii=False)


@dataclass(slots=True)
class _Round:
    query: str
    calls: list[Call] = field(default_factory=list)


def _session(piece: str, stem: str) -> Session:
    title, _, body = piece.partition("\n")
    route, _, name = title.partition(": ") if ": " in title else (stem, "", title)
    session = Session(name, "code" if route == "code" else "native")
    rounds: list[_Round] = []
    waiting: list[str] = []
    made = 0
    for mark, text in _lines(body):
        if mark == "user":
            rounds.append(_Round(text))
            session.messages.append({"role": "user", "content": text})
        elif mark in ("call", "code"):
            made += 1
            call = _call(mark, text)
            rounds[-1].calls.append(call)
            structure = {"id": f"call_{made}", "type": "function", "function": _function(call)}
            if waiting and session.messages[-1]["role"] == "assistant":
                session.messages[-1]["tool_calls"].append(structure)
            else:
                session.messages.append({"role": "assistant", "content": None, "tool_calls": [structure]})
                waiting.clear()
            waiting.append(f"call_{made}")
        elif mark == "back":
            session.messages.append({"role": "tool", "tool_call_id": waiting.pop(0), "content": text})
        elif mark == "says":
            session.messages.append({"role": "assistant", "content": text})
        else:
            session.labels += 1
            session.lessons += _lessons(text, rounds, session.name)
    assert session.labels == len(rounds), f"{session.name}: {session.labels} labels for {len(rounds)} rounds"
    return session


def _lines(body: str) -> Iterator[tuple[str, str]]:
    found: list[tuple[str, list[str]]] = []
    for line in body.splitlines():
        if marked := _MARK.fullmatch(line):
            found.append((marked[1], [marked[2] or ""]))
        elif found and (line.startswith("    ") or not line):
            found[-1][1].append(line[4:])
        else:
            raise ValueError(f"not a line of a session: {line!r}")
    return ((mark, "\n".join(lines).rstrip("\n")) for mark, lines in found)


def _call(mark: str, text: str) -> Call:
    if mark == "code":
        return "execute_code", text.strip()
    tool, _, arguments = text.partition(" ")
    return tool, _arguments(json.loads(arguments))


def _function(call: Call) -> dict[str, str]:
    tool, given = call
    arguments = json.dumps({"code": given}) if tool == "execute_code" else given
    return {"name": tool, "arguments": arguments}


def _lessons(text: str, rounds: Sequence[_Round], name: str) -> Iterator[Lesson]:
    if text.startswith("nothing -- "):
        return
    label = _LABEL.fullmatch(text)
    assert label, f"{name}: no label: {text!r}"
    calls = tuple(rounds[-1].calls[int(number) - 1] for number in label["calls"].split())
    queries = [round_.query for round_ in rounds]
    questions = [queries[-1]]
    if label["how"]:
        first = int(label["start"]) - 1
        joined = ["\n".join(queries[place:]) for place in range(first, len(queries))]
        questions = [queries[first], *joined[:-1]] if label["how"] == "for" else joined
    yield Lesson(calls, tuple(dict.fromkeys(questions)), label["content"] is not None)
