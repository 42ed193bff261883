"""A law of the demo's suite: where a case checks an argument, an answer that copies it wrongly isn't right."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from topcoat.calls.parsing import parse
from topcoat.calls.sandbox import Sandbox
from topcoat.demo import TEMPLATE
from topcoat.scoring.scorers import NEED_RUN, SCORERS
from topcoat.spec.agent import Agent
from topcoat.spec.expect import Expect, ExpectedCall
from topcoat.spec.suite import Case, load_suite
from topcoat.spec.tools.catalog import Catalog
from topcoat.spec.tools.stubs import parse_stubs
from topcoat.spec.tools.types import Type
from topcoat.suites.evaluate import executed

STUBS = TEMPLATE / "tools.pyi"
AGENT = Agent(parse_stubs(STUBS.read_text(encoding="utf-8"), STUBS))


def texts_in(kind: Type, held: str, catalog: Catalog, depth: int = 0) -> Iterator[str]:
    """Expressions for the texts in a value of type `kind` that `held` names."""
    kind = kind.without_none
    if kind.name == "str":
        yield held
    elif kind.name == "list" and depth < 4:
        yield from texts_in(kind.inner[0], f"{held}[0]", catalog, depth + 1)
    elif (result := catalog.results.get(kind.name)) is not None and depth < 4:
        for name, field in result.fields.items():
            yield from texts_in(field, f"{held}.{name}", catalog, depth + 1)


def written_value(call: ExpectedCall, name: str) -> object:
    rule = call.rules[name]
    return rule.any_of[0] if rule.any_of else ...


def programs(expect: Expect, wrong: tuple[int, str] | None = None) -> Iterator[str]:
    """Programs that make the expected calls, each with other fields of the results; one argument is copied wrongly."""
    choices: list[list[str]] = [[]]
    for index, call in enumerate(expect.calls):
        tool = AGENT.catalog.tools[call.names[0]]
        given = {name: written_value(call, name) for name in call.rules if written_value(call, name) is not ...}
        if wrong and wrong[0] == index:
            given[wrong[1]] = copied_wrongly(given[wrong[1]])
        asked = tool.required or tool.parameters[:1] if call.uses else tool.required
        left = [p.name for p in asked if p.name not in given]
        fixed = [f"{name}={value!r}" for name, value in given.items()]
        options = [fixed]
        for name in left:
            kind = next(p.type.name for p in asked if p.name == name)
            results = [(AGENT.catalog.tools[expect.calls[used].names[0]].returns, f"r{used}") for used in call.uses]
            sources = [text for returned, held in results for text in texts_in(returned, held, AGENT.catalog)]
            sources = sources or ["1" if kind == "int" else "'x'"]
            options = [[*option, f"{name}={source}"] for option in options for source in sources]
        choices = [[*lines, f"r{index} = {tool.name}({', '.join(o)})"] for lines in choices for o in options][:200]
    yield from ("\n".join(lines) for lines in choices)


def copied_wrongly(value: object) -> object:
    """A text with two characters exchanged, or one added; a number that is one more."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return [value]
    if isinstance(value, int):
        return value + 1
    at = next((i for i in range(len(value) - 1, 0, -1) if value[i].isalpha() and value[i - 1].isalpha()
               and value[i] != value[i - 1]), None)  # fmt: skip
    return f"{value}x" if at is None else value[: at - 1] + value[at] + value[at - 1] + value[at + 1 :]


def worth(case: Case, program: str, sandbox: Sandbox) -> float:
    text = f"<tool_call><function=execute_code><parameter=code>\n{program}\n</parameter></function></tool_call>"
    answer = parse(text, AGENT)
    if case.scorer in NEED_RUN:
        answer = executed(answer, case.expect, AGENT, sandbox)
    return SCORERS[case.scorer](case.expect, answer, AGENT)[0]


def checked(case: Case) -> list[tuple[int, str]]:
    """The arguments whose value the case knows, by call and parameter."""
    calls = case.expect.calls
    return [(i, name) for i, call in enumerate(calls) for name in call.rules if written_value(call, name) is not ...]


def refuses_wrong_copies(case: Case, sandbox: Sandbox) -> bool:
    """Whether a right answer is worth 1, and the same answer with any checked argument copied wrongly is not."""
    right = next((at for at, program in enumerate(programs(case.expect)) if worth(case, program, sandbox) == 1.0), None)
    assert right is not None, f"{case.id}: no right answer was found"
    return all(worth(case, list(programs(case.expect, wrong))[right], sandbox) < 1.0 for wrong in checked(case))


def made_up(scorer: str, *calls: dict[str, object]) -> Case:
    document = {"id": "a", "category": "a", "prompt": "?", "expect": {"calls": list(calls)}, "scorer": scorer}
    return Case.model_validate(document)


@pytest.mark.parametrize(("scorer", "refused"), [("calls", True), ("run", True), ("tiered", False)])
def test_the_law_tells_scorers_that_check_arguments_from_others(scorer: str, refused: bool) -> None:
    chain = made_up(
        scorer,
        {"tool": "workspace_symbols", "args": {"query": "Kettle"}},
        {"tool": "read_file", "uses": [0]},
        {"tool": "git_log", "args": {"path": "lib/kettle.py", "count": 3}},
    )
    with Sandbox(AGENT.catalog) as sandbox:
        assert refuses_wrong_copies(chain, sandbox) is refused


@pytest.mark.slow
def test_every_case_that_checks_an_argument_refuses_one_that_is_copied_wrongly() -> None:
    suite = load_suite(TEMPLATE / "suites" / "routing.jsonl", AGENT)
    cases = [case for case in suite.cases if not case.is_episode and checked(case)]
    with Sandbox(AGENT.catalog) as sandbox:
        assert [case.id for case in cases if not refuses_wrong_copies(case, sandbox)] == []
