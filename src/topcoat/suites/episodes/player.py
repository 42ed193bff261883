"""Plays episodes. All advance together, one question a step for each that still runs: an engine batches them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from topcoat.calls.made_up_results import Results
from topcoat.calls.sandbox import Sandbox
from topcoat.progress import Sink, task
from topcoat.spec.agent import Agent
from topcoat.spec.suite import Case
from topcoat.store.records import Completion
from topcoat.suites.episodes.episode import Draw, Episode
from topcoat.suites.episodes.simulator import Simulators
from topcoat.suites.episodes.tools import EpisodeTools
from topcoat.suites.source import Source, Unanswered, held

__all__ = ["play"]


def play(
    cases: Sequence[tuple[Case, Draw]], suite: Path, source: Source, agent: Agent, sink: Sink
) -> list[Episode | Unanswered]:
    """The episodes of `cases`, each over; Unanswered where the source gave no answer to one of its questions.

    `suite` is their file: simulators are beside it. Raises what the source raises, and InvalidInput for a simulator
    that doesn't work.
    """
    with ExitStack() as stack:
        sandbox = stack.enter_context(Sandbox(agent.catalog)) if agent.calls == "code" and cases else None
        simulators = stack.enter_context(Simulators(suite))
        episodes = [_begin(case, agent, sandbox, simulators, draw) for case, draw in cases]
        played: list[Episode | Unanswered] = [*episodes]
        running = {index: episode for index, episode in enumerate(episodes)}
        source = stack.enter_context(held(source))
        with task(sink, "episodes", total=len(episodes), unit="episode") as progress:
            while running:
                replies = source.ask([episode.question for episode in running.values()], sink)
                for index, reply in zip([*running], replies, strict=True):
                    if isinstance(reply, Completion):
                        running[index].take(reply)
                    else:
                        played[index] = reply
                    if not isinstance(reply, Completion) or running[index].over:
                        running.pop(index).tools.end()
                progress.advance(len(episodes) - len(running))
    return played


def _begin(case: Case, agent: Agent, sandbox: Sandbox | None, simulators: Simulators, draw: Draw) -> Episode:
    made_up = Results(agent.bringing(case.tools).catalog)
    tools = EpisodeTools(case, made_up, simulators.begin(case, agent))
    return Episode(case, agent, tools, sandbox, draw)
