"""Draws the training dialogues and the cases: a question, a call that fails, the right second call, last words."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from pydantic import JsonValue

from benchmarks.recovering.failures import ARGUMENTS, FAILURES, QUESTIONS, Failure
from tools.demo_model.language import names as words
from tools.demo_model.language.words import TRAINING
from topcoat.calls.made_up_results import Results
from topcoat.progress import Silent, Sink
from topcoat.spec.agent import Agent
from topcoat.spec.suite import Case
from topcoat.store.records import Completion
from topcoat.suites.episodes.episode import Draw, Episode
from topcoat.suites.episodes.player import play
from topcoat.suites.source import Question, Reply

__all__ = ["KNOWN", "NEW", "RECOVER", "WORKS", "Scene", "cases", "examples", "played", "scenes"]

Row = dict[str, Any]
RECOVER, WORKS = "recover", "works"
"""The categories: the first call fails, or works."""
KNOWN, NEW = "known", "new"
"""What is said of a case's failure: whether training has its tools with a reason in its wording."""


class Names:
    """Draws names. Examples and cases have no word in common.

    Cases have words that the model knows. Examples have invented ones too, as often as the base's own training: a coat
    that sees known words alone learns to expect them, and no longer copies others.
    """

    def __init__(self, part: str, rng: Random) -> None:
        self._rng = rng
        nouns = sorted(TRAINING.nouns)
        Random("words").shuffle(nouns)
        two_thirds = len(nouns) * 2 // 3
        own, others = nouns[:two_thirds], nouns[two_thirds:]
        if part == "examples":
            self._draw = words.Names(replace(TRAINING, nouns=tuple(own)), rng).noun
            self._not = frozenset(others)
        else:
            self._draw = partial(rng.choice, others)
            self._not = frozenset(own)

    def values(self, tests: bool) -> dict[str, str]:
        """A value of every slot. The one that a call has first is never the one that it has then."""
        path = self._path(tests)
        near = self._path(tests)
        folder, name = path.rsplit("/", 1)
        moved = self._rng.choice((near, f"{folder}/{near.rsplit('/', 1)[1]}", f"{near.rsplit('/', 1)[0]}/{name}"))
        line, line2 = self._rng.sample(range(1, 241), 2)
        column, column2 = self._rng.sample(range(1, 61), 2)
        count2, count = sorted(self._rng.sample(range(2, 41), 2))
        numbers = {"line": line, "line2": line2, "column": column, "column2": column2, "count": count, "count2": count2}
        symbol, symbol2, new = (self._symbol() for _ in range(3))
        command = self._command()
        return {
            "path": path,
            "path2": moved if moved != path else near,
            "symbol": symbol,
            "symbol2": symbol2,
            "new": new,
            "text": " ".join(self._some(3)),
            "command": command,
            "command2": self._command(but=command),
            "pattern": f"{'_'.join(self._some(2))}($X)",
            "statement": f"import {'.'.join(self._some(2))}",
            **{name: str(number) for name, number in numbers.items()},
        }

    def _some(self, count: int) -> list[str]:
        """`count` different words."""
        drawn: dict[str, None] = {}
        while len(drawn) < count:
            if (word := self._draw()) not in self._not:
                drawn[word] = None
        return list(drawn)

    def _path(self, tests: bool) -> str:
        folder, inner, name = self._some(3)
        parts = ["tests", folder] if tests else [folder, inner][: self._rng.choice((1, 2))]
        return "/".join([*parts, f"test_{name}.py" if tests else f"{name}.py"])

    def _symbol(self) -> str:
        words = self._some(2)
        return "".join(map(str.capitalize, words)) if self._rng.random() < 0.5 else "_".join(words)

    def _command(self, but: str = "") -> str:
        begins = [begin for begin in ("make", "uv run", "pip install", "docker build") if not but.startswith(begin)]
        return f"{self._rng.choice(begins)} {self._some(1)[0]}"


@dataclass(frozen=True, slots=True)
class Scene:
    """One dialogue before it is played. `failure` is None where the first call works.

    `tools` are the tool that is asked for and that of the second call. `known` says whether training has examples with
    these tools and this reason; a question of a case is always in a wording that training doesn't have.
    """

    failure: Failure | None
    tools: tuple[str, str]
    values: Mapping[str, str]
    question: str
    reason: str
    known: bool = True

    def arguments(self, second: bool) -> dict[str, str | int]:
        """What the first or the second call has to have."""
        changed = self.failure.changed if second and self.failure else {}
        slots = ((name, slot.strip("{}")) for name, slot in ARGUMENTS[self.tools[second]].items())
        texts = {name: self.values[changed.get(slot, slot)] for name, slot in slots}
        return {name: int(text) if name in ("line", "column", "count") else text for name, text in texts.items()}

    def answer(self, second: bool) -> str:
        """The program that makes the call, as the embedded model writes it."""
        written = ", ".join(json.dumps(value) for value in self.arguments(second).values())
        code = f"result = {self.tools[second]}({written})\nprint(result)"
        return f"<tool_call><function=execute_code>\n<parameter=code>\n{code}\n</parameter>\n</function></tool_call>"

    @property
    def script(self) -> list[str]:
        """The right answers, one after another."""
        if self.failure is None:
            return [self.answer(False), "Done."]
        return [self.answer(False), self.answer(True), self.failure.words.format(**self.values)]

    def case(self, name: str, results: Results, agent: Agent) -> Row:
        """The line of a suite."""
        first, then = self.tools
        returns = _about(self.arguments(True).get("path"), results.document(agent.catalog.tools[then]))
        canned: list[Row] = [{"tool": then, "args": self.arguments(True), "returns": returns}]
        calls: list[Row] = [{"tool": first, "args": self.arguments(False)}]
        category, family = WORKS, f"works-{first}"
        if self.failure is not None:
            canned.append({"tool": first, "error": self.reason})
            calls.append({"tool": then, "args": self.arguments(True)})
            category, family = RECOVER, f"{self.failure.name}-{first}"
        return {
            "id": name,
            "category": category,
            "family": family,
            "prompt": self.question,
            "results": canned,
            "expect": {"calls": calls, "only": True},
            "max_steps": 4,
            "max_tokens": 128,
        }


def _about(path: str | int | None, value: JsonValue) -> JsonValue:
    """A made-up result that is about the file `path`, with one item in each list."""
    if isinstance(value, dict):
        return {name: path if path and name in ("path", "file") else _about(path, item) for name, item in value.items()}
    return [_about(path, item) for item in value[:1]] if isinstance(value, list) else value


def recovering(failure: Failure, number: int, part: str, rng: Random) -> Scene:
    """The `number`-th scene of a failure. Of cases, every second one has a reason or tools that no example has."""
    new = part == "cases" and number % 2 == 1
    new_tool = new and bool(failure.tools.new) and number % 4 == 1
    new_reason = new and (not new_tool or number % 8 == 1)
    tools = failure.tools.new if new_tool else failure.tools.trained
    reasons = failure.reasons.new if new_reason else failure.reasons.trained
    first, _, other = _turn(tools, number // 2 if part == "cases" else number).partition(">")
    pair = first, other or first
    values = Names(part, rng).values(tests=first == "pytest_run") | {"tool": pair[0], "tool2": pair[1]}
    reason = _turn(reasons, number // 2 if part == "cases" else number)
    return Scene(failure, pair, values, _question(first, part, number, values), reason.format(**values), not new)


def working(number: int, part: str, rng: Random) -> Scene:
    """The `number`-th scene in which the first call works."""
    tool = _turn([*ARGUMENTS], number * 5)
    values = Names(part, rng).values(tests=tool == "pytest_run")
    return Scene(None, (tool, tool), values, _question(tool, part, number, values), "")


def _question(tool: str, part: str, number: int, values: Mapping[str, str]) -> str:
    wording = QUESTIONS[tool]
    return _turn(wording.trained if part == "examples" else wording.new, number).format(**values)


def _turn(items: Sequence[str], number: int) -> str:
    return items[number % len(items)]


def scenes(part: str, each: int, works: int, key: str) -> dict[str, Scene]:
    """By name: `each` of every failure, and `works` in which the first call works. `key` decides the names."""
    rng = Random(f"{part} {key}")
    drawn = {}
    for failure in FAILURES:
        for number in range(each):
            scene = recovering(failure, number, part, rng)
            drawn[f"{failure.name}-{KNOWN if scene.known else NEW}-{number + 1:02d}"] = scene
    return drawn | {f"works-{number + 1:02d}": working(number, part, rng) for number in range(works)}


def cases(drawn: Mapping[str, Scene], agent: Agent) -> list[Row]:
    """The lines of a suite."""
    results = Results(agent.catalog)
    return [scene.case(name, results, agent) for name, scene in drawn.items()]


def examples(drawn: Mapping[str, Scene], agent: Agent) -> list[Row]:
    """The lines of a data file: the right answers, played, so that results look as they do when a model is asked.

    The call that fails has weight 0: it is shown, and not learned. Raises ValueError if the right answers don't solve
    a case.
    """
    rows = []
    for scene, episode in zip(
        drawn.values(), played({n: s.script for n, s in drawn.items()}, drawn, agent), strict=True
    ):
        if episode.score.value != 1.0:
            raise ValueError(f"the right answers don't solve {episode.case.id}: {episode.score.reason}")
        messages = [dict(message) for message in episode.messages]
        if scene.failure is not None:
            next(message for message in messages if message["role"] == "assistant")["weight"] = 0
        rows.append({"messages": messages, "category": RECOVER if scene.failure else WORKS})
    return rows


def played(scripts: Mapping[str, Iterable[str]], drawn: Mapping[str, Scene], agent: Agent) -> list[Episode]:
    """The cases of scenes, answered by scripts."""
    pairs = [(Case.model_validate(row), Draw()) for row in cases(drawn, agent)]
    ends = play(pairs, Path("suite.jsonl"), _Scripted(scripts), agent, Silent())
    return [end for end in ends if isinstance(end, Episode)]


class _Scripted:
    """Gives the right answers, one after another."""

    def __init__(self, scripts: Mapping[str, Iterable[str]]) -> None:
        self._rest = {name: iter(script) for name, script in scripts.items()}

    def ask(self, questions: Sequence[Question], sink: Sink) -> list[Reply]:
        texts = [next(self._rest[question.id]) for question in questions]
        return [Completion(text=text, tokens=1, finish="stop") for text in texts]
