"""A suite: the cases that models are evaluated on, one a line, and their expectations."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import Field, JsonValue, model_validator

from topcoat.errors import InvalidInput, Mistake, Where
from topcoat.spec.agent import Agent
from topcoat.spec.canonical import canonical_json, digest_of
from topcoat.spec.episodes.simulator_file import simulator_mistakes, simulator_place
from topcoat.spec.episodes.turn import MAX_STEPS, CannedResult, Steps, Turn, canned_mistakes
from topcoat.spec.expect import Expect, ExpectedCall, catalog_mistakes, did_you_mean
from topcoat.spec.message import Message, order_problems
from topcoat.spec.reading.loader import Line, read_jsonl
from topcoat.spec.reading.section import Name, Section, refuse
from topcoat.spec.rules.rule import Fault
from topcoat.spec.tools.tool_list import tool_faults

__all__ = ["MOST_TOKENS", "Case", "Message", "Suite", "case_mistakes", "contradictions", "load_suite", "settled"]

MOST_TOKENS = 8192
"""The largest limit of an answer."""

_OF_EPISODES: Final = ("turns", "max_steps", "results", "simulator", "start")
"""The keys that make a case an episode."""


class Case(Section):
    """One question of a suite. Exactly one of `prompt`, `messages` and `turns` is set.

    A case with one of the keys from `turns` on is an episode: its dialogue is played. The model answers and gets the
    results of its calls, until it answers without a call or has answered `max_steps` times, for each turn of the user.
    """

    id: Name
    """The case's name. No other case of the suite has it."""
    category: Name
    """The group of cases that share a score."""
    prompt: Name | None = None
    """The question, as the user's only turn."""
    messages: list[Message] | None = None
    """The dialogue that the model answers, in place of `prompt`."""
    system: str | None = None
    """A system prompt in place of the project's; "" for none."""
    tools: list[dict[str, Any]] | None = None
    """Tools in OpenAI's form, in place of the catalog's."""
    expect: Expect = Field(default_factory=Expect)
    """What a right answer is."""
    scorer: Literal["tiered", "calls", "run", "exact", "regex", "json_schema", "episode"] = "tiered"
    """How the answer gets its score. The default of a project that calls tools natively is "calls"; that of an episode
    is "episode"."""
    max_tokens: Annotated[int, Field(ge=1, le=MOST_TOKENS)] = 256
    """The most tokens of an answer."""
    family: Name | None = None
    """The template that made the case. Cases of a family are not independent."""
    headline: bool = False
    """Whether the case counts in the headline score."""
    reserve: bool = False
    """Whether the case is asked only where a change is suspected, before the verdict."""
    turns: Annotated[list[Turn], Field(min_length=1)] | None = None
    """The user's turns of an episode, each with its `expect`. The case's own may then hold the final `state` alone."""
    max_steps: Steps | None = None
    """How often the model answers one turn of the user at most, 10 by default. Makes the case an episode."""
    results: list[CannedResult] | None = None
    """What tools return in an episode. The first one that fits a call answers it."""
    simulator: Name | None = None
    """The class that answers the other calls, as FILE:CLASS beside the suite. Without it, results are made up."""
    start: dict[str, JsonValue] | None = None
    """The keyword arguments that the simulator is made with."""

    @model_validator(mode="before")
    @classmethod
    def _scores_an_episode(cls, written: Any) -> Any:
        """An episode has one scorer, which needn't be written."""
        if isinstance(written, dict) and "scorer" not in written and written.keys() & set(_OF_EPISODES):
            return {**written, "scorer": "episode"}
        return written

    @model_validator(mode="after")
    def _asks_one_thing(self) -> Case:
        asked = [key for key in ("turns", "messages", "prompt") if getattr(self, key) is not None]
        if not asked:
            refuse([("", "must have `prompt` or `messages`")])
        if len(asked) > 1:
            refuse([(asked[-1], f"can't stand beside `{asked[0]}`: keep one of them")])
        if self.messages is None:
            return self
        problems = order_problems(self.messages, last=("user", "tool"))
        if self.system is not None and self.messages and self.messages[0].role == "system":
            problems.append(("system", "can't stand beside a system turn in `messages`: keep one of them"))
        refuse(problems)
        return self

    @model_validator(mode="after")
    def _brings_tools(self) -> Case:
        refuse((f"tools.{index}", fault) for index, fault in tool_faults(self.tools or ()))
        return self

    @model_validator(mode="after")
    def _expects_what_its_scorer_reads(self) -> Case:
        if self.scorer == "episode":
            refuse(self._episode_faults())
            return self
        if self.is_episode:
            refuse([("scorer", "an episode has a scorer of its own: leave the key out", 'scorer = "episode"')])
        if "expect" not in self.model_fields_set:
            refuse([("expect", "is missing", '"expect": {"calls": [{"tool": "NAME"}]}')])
        key = self.scorer if self.scorer in Expect.model_fields else "calls"
        given = [name for name in self.expect.model_fields_set if getattr(self.expect, name) is not None]
        if key not in given:
            example = (Expect.model_fields[key].examples or [""])[0]
            refuse([("expect", f'the scorer "{self.scorer}" needs "{key}": {example}')])
        read = (key, "order", "only") if key == "calls" else (key,)
        refuse(
            (f"expect.{name}", f'the scorer "{self.scorer}" reads "{key}" only') for name in given if name not in read
        )
        return self

    def _episode_faults(self) -> Iterator[Fault]:
        """What of an episode can't be, as far as the case alone shows it."""
        if not self.is_episode:
            yield "scorer", "this case is answered once: an episode has one of the keys below", '"max_steps": 10'
        if not any(turn.expect.asks for turn in self.played) and not self.expect.asks:
            yield "expect", "an episode needs something that is expected", '"expect": {"calls": [{"tool": "NAME"}]}'
        if self.turns is not None:
            misplaced = [key for key in self.expect.model_fields_set if key != "state"]
            yield from ((f"expect.{key}", "belongs to one of the `turns`", "") for key in misplaced)
        if self.max_steps == 1 and self.expected_calls:
            yield "max_steps", "is 1: an answer with calls is followed by at least one more", '"max_steps": 10'
        if self.simulator is None and any(turn.expect.state is not None for turn in self.played):
            yield "simulator", "is missing: only a simulator has a `state`", '"simulator": "sim.py:Shop"'
        if self.simulator is None and self.start is not None:
            yield "start", "are the arguments of a simulator, which is missing", '"simulator": "sim.py:Shop"'

    @property
    def is_episode(self) -> bool:
        """Whether the case's dialogue is played."""
        return any(getattr(self, key) is not None for key in _OF_EPISODES)

    @property
    def played(self) -> tuple[Turn, ...]:
        """The user's turns that are answered, each with its expectation. A question that isn't played has one."""
        if self.turns is None:
            return (Turn.model_construct(user=self.text, expect=self.expect),)
        if self.expect.state is None:
            return tuple(self.turns)
        last = self.turns[-1]
        wanted = {**(last.expect.state or {}), **self.expect.state}
        return *self.turns[:-1], last.model_copy(update={"expect": last.expect.model_copy(update={"state": wanted})})

    @property
    def steps(self) -> int:
        """How often the model answers one turn of the user at most."""
        return (self.max_steps or MAX_STEPS) if self.is_episode else 1

    @property
    def expected_calls(self) -> list[ExpectedCall]:
        """The calls that right answers make, over all turns."""
        return [call for turn in self.played for call in turn.expect.calls]

    def dialogue(self, system_prompt: str) -> list[dict[str, Any]]:
        """The turns to answer, in a chat template's form.

        The first one is the dialogue's own system turn, or else `system`, or else the project's `system_prompt`. An
        empty text gives no system turn.
        """
        messages = self.messages or [Message(role="user", content=self.turns[0].user if self.turns else self.prompt)]
        turns = [message.as_dict() for message in messages]
        if messages[0].role == "system":
            return turns
        system = system_prompt if self.system is None else self.system
        return [{"role": "system", "content": system}, *turns] if system else turns

    @property
    def wording(self) -> str:
        """What is expected, for a reader."""
        parts = [turn.expect.wording if turn.expect.asks or not self.turns else "anything" for turn in self.played]
        if len(parts) == 1:
            return parts[0]
        return "; ".join(f"turn {number}: {part}" for number, part in enumerate(parts, 1))

    @property
    def text(self) -> str:
        """All of the user's words, for comparison with training data."""
        if self.turns is not None:
            return "\n".join(turn.user for turn in self.turns)
        if self.messages is None:
            return self.prompt or ""
        return "\n".join(m.content for m in self.messages if m.role == "user" and m.content)


@dataclass(frozen=True)
class Suite:
    """The cases of a suite, in order. `lines` are their lines in `path`."""

    path: Path
    cases: tuple[Case, ...]
    lines: tuple[int, ...] = ()

    @cached_property
    def digest(self) -> str:
        """sha256 of the parsed cases, and of the files of their simulators.

        Spaces, key order and written-out defaults don't change it.
        """
        meanings: list[Any] = [_meaning(case) for case in self.cases]
        simulators = dict.fromkeys(case.simulator for case in self.cases if case.simulator)
        files = [(name, simulator_place(name, self.path)[0].read_bytes()) for name in simulators]
        return digest_of([*meanings, *([[name, hashlib.sha256(raw).hexdigest()] for name, raw in files])])

    @property
    def categories(self) -> tuple[str, ...]:
        """The categories in order of their first case."""
        return tuple(dict.fromkeys(case.category for case in self.cases))

    def where(self, case_id: str) -> Where:
        """The line of the case `case_id`, or the file alone if there is no such case."""
        lines = {case.id: line for case, line in zip(self.cases, self.lines, strict=False)}
        return Where(self.path, lines.get(case_id))

    def require(self, categories: Iterable[str], where: Where | None) -> None:
        """Raise `InvalidInput` if one of `categories`, which `where` names, has no case to measure it."""
        missing = [name for name in dict.fromkeys(categories) if name not in self.categories]
        mistakes = [
            Mistake(
                f'category "{name}" has no case in {self.path}',
                where,
                did_you_mean(name, self.categories) or f"its categories: {', '.join(self.categories)}",
            )
            for name in missing
        ]
        if mistakes:
            raise InvalidInput.collect(str(where.path if where else self.path), mistakes)


_CAME_LATER: Final[Mapping[type[Section], tuple[str, ...]]] = {
    Case: ("tools", *_OF_EPISODES),
    Expect: ("order", "only", "state", "returned"),
    ExpectedCall: ("only", "compare"),
}
"""The keys that older suites don't have. They count in a digest only if they differ from their default."""


def _meaning(case: Case) -> dict[str, Any]:
    """The case's keys with their defaults, without those that came later and say nothing new."""
    document = case.model_dump(mode="json")
    if case.is_episode:  # an empty list of calls is an expectation only if it is written
        document["asks"] = [turn.expect.asks for turn in case.played]
    sections: list[tuple[Section, dict[str, Any]]] = [(case, document), (case.expect, document["expect"])]
    sections += zip(case.expect.calls, document["expect"]["calls"], strict=True)
    for section, written in sections:
        for key in _CAME_LATER[type(section)]:
            if getattr(section, key) == type(section).model_fields[key].default:
                del written[key]
    return document


def load_suite(path: Path, agent: Agent) -> Suite:
    """The suite written in `path`, whose expected calls must be to tools of the agent, or of the case's own.

    Raises `InvalidInput` with every mistake of the file, including repeated ids, and expectations that no call to the
    catalog's tools can meet.
    """
    lines, mistakes = read_jsonl(path, Case)
    mistakes += _repeated_ids(lines)
    mistakes += _contradictions(lines)
    for line in lines:
        mistakes += case_mistakes(line.value, line.where, agent)
    if mistakes:
        mistakes.sort(key=lambda mistake: (mistake.where.line or 0) if mistake.where else 0)
        raise InvalidInput.collect(str(path), mistakes)
    cases = tuple(settled(line.value, agent) for line in lines)
    return Suite(path, cases, tuple(line.where.line or 0 for line in lines))


def settled(case: Case, agent: Agent) -> Case:
    """The case with the agent's defaults: the scorer `calls` if it calls natively. `only` is None where it is one."""
    native = agent.calls == "native"
    if native and "scorer" not in case.model_fields_set:
        case = case.model_copy(update={"scorer": "calls"})
    if case.expect.only == native:
        case = case.model_copy(update={"expect": case.expect.model_copy(update={"only": None})})
    return case


def case_mistakes(case: Case, where: Where, agent: Agent) -> list[Mistake]:
    """What a valid case at `where` asks for that no answer of the agent can be, or that its scorer doesn't read."""
    mistakes = _native_mistakes(case, where) if agent.calls == "native" else _unread(case, where)
    if case.is_episode:
        return [*mistakes, *_episode_mistakes(case, where, agent)]
    return [*mistakes, *catalog_mistakes(case.expect, where, agent.bringing(case.tools).catalog)]


def _episode_mistakes(case: Case, where: Where, agent: Agent) -> list[Mistake]:
    """What of an episode can't be with this catalog and this simulator."""
    catalog = agent.bringing(case.tools).catalog
    canned = case.results or []
    mistakes = canned_mistakes(canned, where, catalog)
    for index, turn in enumerate(case.played):
        key = f"turns[{index}].expect" if case.turns else "expect"
        mistakes += catalog_mistakes(turn.expect, where, catalog, key)
        if agent.calls == "code":
            uses = [number for number, call in enumerate(turn.expect.calls) if call.uses]
            message = "an episode's calls are compared as they were made: expect the value that the result has"
            mistakes += [Mistake(f"{key}.calls[{number}].uses: {message}", where, "delete `uses`") for number in uses]
    if case.simulator is not None:
        answered = {result.tool for result in canned}
        mistakes += simulator_mistakes(case.simulator, where, [name for name in catalog.tools if name not in answered])
    return mistakes


def _native_mistakes(case: Case, where: Where) -> list[Mistake]:
    """What belongs to Code Mode alone."""
    mistakes = []
    if "scorer" in case.model_fields_set and case.scorer in ("tiered", "run"):
        message = f'scorer: "{case.scorer}" is for programs, and this project calls tools natively'
        mistakes.append(Mistake(message, where, 'scorer = "calls"'))
    for index, call in enumerate(case.expected_calls):
        if call.uses:
            message = f"expect.calls[{index}].uses: the calls of one native answer can't use each other's results"
            mistakes.append(Mistake(message, where, "delete `uses`"))
    return mistakes


def _unread(case: Case, where: Where) -> list[Mistake]:
    """What `tiered` doesn't read."""
    written = {"order": case.expect.order != "given", "only": case.expect.only is not None}
    return [
        Mistake(f'expect.{key}: the scorer "tiered" doesn\'t read it', where, 'scorer = "calls"')
        for key, differs in written.items()
        if differs and case.scorer == "tiered"
    ]


def _repeated_ids(lines: list[Line[Case]]) -> list[Mistake]:
    first: dict[str, Where] = {}
    mistakes = []
    for line in lines:
        seen = first.setdefault(line.value.id, line.where)
        if seen is not line.where:
            mistakes.append(Mistake(f'id: "{line.value.id}" is already the id of line {seen.line}', line.where))
    return mistakes


def _contradictions(lines: list[Line[Case]]) -> list[Mistake]:
    """The cases that ask what an earlier one asks, where no answer can be right for both."""
    mistakes = []
    for later, earlier in contradictions([line.value for line in lines]):
        line, clash = lines[later], lines[earlier]
        message = f"expect: line {clash.where.line} asks the same and expects {_in_short(clash.value)}"
        hint = f"no answer is right for both: delete one, or let both expect {_in_short(line.value)}"
        mistakes.append(Mistake(message, line.where, hint))
    return mistakes


def contradictions(cases: Sequence[Case]) -> Iterator[tuple[int, int]]:
    """Cases that ask what an earlier one asks, of the same tools, where no answer can be right for both.

    Each is a pair of places in `cases`: of the case, and of the earlier one.
    """
    earlier: dict[tuple[str, str], tuple[int, int | None]] = {}  # the first, the first that excludes it
    for index, case in enumerate(cases):
        kind, wanted = _demand(case)
        question = canonical_json([case.dialogue("\0"), case.tools]), kind
        first, other = earlier.setdefault(question, (index, None))
        clash = first if _demand(cases[first])[1] != wanted else other
        if clash is not None and kind:
            yield index, clash
        if other is None and clash == first:
            earlier[question] = first, index


def _demand(case: Case) -> tuple[str, object]:
    """What an answer has to be. Two cases of a kind with different demands can't both be met; "" is no kind."""
    if case.is_episode:
        return "", None
    if case.expect.exact is not None:
        return "exact", case.expect.exact.strip()
    called = case.scorer not in Expect.model_fields or case.scorer == "calls"
    return ("calls", bool(case.expect.calls)) if called else ("", None)


def _in_short(case: Case) -> str:
    if case.expect.exact is not None:
        return json.dumps(case.expect.exact, ensure_ascii=False)[:60]
    return " and ".join(" or ".join(call.names) for call in case.expect.calls) or "no call"
