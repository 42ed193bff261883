"""One episode as it is played: takes an answer, makes its calls, and says what the model is asked next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import JsonValue

from topcoat.calls.answer import Answer, Call
from topcoat.calls.arguments import argument_problems
from topcoat.calls.block import Block, Broken, Code, Direct
from topcoat.calls.markup import blocks, spoken, words_before_calls
from topcoat.calls.parsing import parse
from topcoat.calls.sandbox import Sandbox, ToolFailure
from topcoat.scoring.episodes import Turn, turn_fault
from topcoat.spec.agent import Agent
from topcoat.spec.rules.matching import as_json
from topcoat.spec.suite import Case
from topcoat.spec.tools.catalog import Tool
from topcoat.store.records import Completion, Score
from topcoat.store.transcripts.transcript import MadeCall, PlayedTurn, Step, Transcript
from topcoat.suites.episodes.tools import EpisodeTools, Returned
from topcoat.suites.source import Question

__all__ = ["Draw", "Episode"]


@dataclass(frozen=True, slots=True)
class Draw:
    """How the answers of an episode are drawn: greedily at temperature 0, else as `seed` decides."""

    temperature: float = 0.0
    seed: int = 0
    name: str = ""


class Episode:
    """A case that is played. It ends after its last turn, or the first that isn't as expected."""

    def __init__(self, case: Case, agent: Agent, tools: EpisodeTools, sandbox: Sandbox | None, draw: Draw) -> None:
        self.case, self.agent, self.draw = case, agent.bringing(case.tools), draw
        self.tools, self.sandbox = tools, sandbox
        self.messages = case.dialogue(agent.system_prompt)
        self.played: list[PlayedTurn] = []
        self.steps: list[Step] = []
        self.answers: list[Answer] = []
        self.returned: list[object] = []
        self.of_turn: list[Call] = []
        self.unread = self.made = self.asked = self.tokens = 0
        self.cut = False
        self.state: Mapping[str, JsonValue] | None = None

    @property
    def over(self) -> bool:
        """Whether nothing more is asked."""
        return bool(self.played) and (bool(self.played[-1].fault) or len(self.played) == len(self.case.played))

    @property
    def question(self) -> Question:
        """What the model is asked next. Each step of a sampled episode has a seed of its own."""
        seed = (self.draw.seed + self.asked * 7919) % 2**31
        name = self.draw.name or self.case.id
        return Question(
            name, [*self.messages], self.case.max_tokens, self.draw.temperature, seed, tools=self.agent.shown
        )

    def take(self, completion: Completion) -> None:
        """Go on with the model's answer: make its calls, or end the turn."""
        text = completion.text
        answer = parse(text, self.agent)
        self.asked += 1
        self.tokens += completion.tokens
        self.cut = self.cut or completion.finish == "length"
        self.answers.append(answer)
        found = blocks(text, self.agent)
        self.unread += sum(isinstance(block, Broken) for block in found)
        if self.agent.calls == "native":
            self._make_calls(text, [block for block in found if isinstance(block, Direct | Code)], answer)
        else:
            self._run_programs(text, found, answer)
        if not self.steps[-1].results:
            self._end_turn(answer)
        elif len(self.steps) == self.case.steps:
            self._end_turn(None)

    def _make_calls(self, text: str, found: list[Direct | Code], answer: Answer) -> None:
        """Make the native calls of an answer, in order, and show their results as tool turns."""
        calls = [_structured(block, self.made + number) for number, block in enumerate(found, 1)]
        said = words_before_calls(text) if calls else spoken(text).strip()
        self.messages.append({"role": "assistant", "content": said, **({"tool_calls": calls} if calls else {})})
        self.made += len(calls)
        made, results = [], []
        for call, block in zip(calls, found, strict=True):
            name, arguments = call["function"]["name"], _json_arguments(block.arguments)
            returned = self._native_result(name, arguments)
            made.append(MadeCall(tool=name, arguments=arguments, problem=returned.note))
            results.append(returned.text)
            self.of_turn.append(Call(name, kwargs=arguments, route="native"))
            self.messages.append({"role": "tool", "tool_call_id": call["id"], "name": name, "content": returned.text})
        self.steps.append(Step(answer=text, calls=made, results=results, problem=answer.unread))

    def _native_result(self, name: str, arguments: Mapping[str, JsonValue]) -> Returned:
        tool = self.agent.catalog.tools.get(name)
        if tool is None:
            returned = Returned(problem=f"there is no tool {name[:60]}")
        elif not self.tools.simulated and (problems := argument_problems(tool, arguments)):
            returned = Returned(problem=problems[0].message)
        else:
            returned = self.tools.call(tool, arguments)
        self.returned.append(returned.document)
        return returned

    def _run_programs(self, text: str, found: list[Block], answer: Answer) -> None:
        """Execute the programs of an answer, and show what each prints. A direct call has no result in Code Mode."""
        self.messages.append({"role": "assistant", "content": spoken(text).strip()})
        made: list[MadeCall] = []
        results: list[str] = []
        problems = [answer.unread] if answer.unread else []

        def answering(tool: Tool, arguments: Mapping[str, object]) -> object:
            given = _json_arguments(arguments)
            returned = self.tools.call(tool, given)
            made.append(MadeCall(tool=tool.name, arguments=given, problem=returned.note))
            self.returned.append(returned.document)
            if returned.problem:
                raise ToolFailure(returned.problem)
            return returned.value

        for block in found:
            if isinstance(block, Direct):
                results.append(f"Error: {block.name[:60]} can only be called from code, through execute_code")
                self.of_turn.append(Call(block.name, kwargs=_json_arguments(block.arguments), route="native"))
            elif isinstance(block, Code) and self.sandbox is not None:
                run = self.sandbox.run([block.text.strip()], answering)
                results.append(
                    "\n".join(filter(None, [run.printed.rstrip("\n"), run.problem and f"Error: {run.problem}"]))
                )
                problems += [run.problem] if run.problem else []
                self.of_turn += run.calls
        self.messages += [{"role": "tool", "content": result} for result in results]
        self.steps.append(Step(answer=text, calls=made, results=results, problem=next(iter(problems), "")))

    def _end_turn(self, last: Answer | None) -> None:
        """Compare the turn with what is expected, and begin the next one if it is right."""
        wanted = self.case.played[len(self.played)]
        self.state = self.tools.state()
        turn = Turn(tuple(self.of_turn), last, len(self.steps), self.unread, state=self.state, returned=self.returned)
        fault = turn_fault(wanted.expect, turn, self.agent)
        self.played.append(PlayedTurn(user=wanted.user, steps=self.steps, fault=fault))
        self.steps, self.of_turn, self.unread = [], [], 0
        if not self.over:
            self.messages.append({"role": "user", "content": self.case.played[len(self.played)].user})

    @property
    def score(self) -> Score:
        """1 if every turn is as expected, else 0, with the first reason. The episode must be over."""
        fault = self.played[-1].fault
        place = f"turn {len(self.played)}: " if len(self.case.played) > 1 else ""
        transcript = Transcript(turns=self.played, state=None if self.state is None else dict(self.state))
        unknown = dict.fromkeys(name for answer in self.answers for name in answer.unknown)
        return Score(
            case_id=self.case.id,
            category=self.case.category,
            value=0.0 if fault else 1.0,
            reason=f"{place}{fault}" if fault else "every turn as expected" if place else "as expected",
            scorer=self.case.scorer,
            headline=self.case.headline,
            answer=transcript.text,
            cut=self.cut,
            unread=next((answer.unread for answer in self.answers if answer.unread), ""),
            unknown=list(unknown),
            empty=any(answer.empty for answer in self.answers),
            transcript=transcript,
        )


def _structured(block: Direct | Code, number: int) -> dict[str, Any]:
    """A call in OpenAI's form. Its id has nine characters: Mistral's chat templates take no other."""
    name = block.name if isinstance(block, Direct) else "execute_code"
    function = {"name": name, "arguments": _json_arguments(block.arguments)}
    return {"id": f"call{number:05d}", "type": "function", "function": function}


def _json_arguments(arguments: Mapping[str, object]) -> dict[str, JsonValue]:
    """Arguments as JSON values. One that is none becomes what Python shows of it."""
    return {str(name): _json(value) for name, value in arguments.items()}


def _json(value: object) -> JsonValue:
    try:
        return as_json(value)
    except (ValueError, RecursionError):
        return _as_python(value)


def _as_python(value: object) -> str:
    try:
        return repr(value)
    except (ValueError, RecursionError):
        return f"<{type(value).__name__}>"
