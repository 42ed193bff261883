"""The transcript of an episode in a report: what was said, called and returned, turn by turn."""

from __future__ import annotations

import json
from collections.abc import Iterator

from topcoat.report.html import Html, element
from topcoat.store.transcripts.transcript import PlayedTurn, Step, Transcript

__all__ = ["transcript_text", "transcript_view"]


def transcript_view(transcript: Transcript, label: str) -> Html:
    """The transcript as one text that scrolls, under the name `label` for screen readers."""
    return element("pre", transcript_text(transcript), tabindex="0", role="region", aria_label=label)


def transcript_text(transcript: Transcript) -> str:
    """The transcript with a heading for each turn, answer and result, as it was played."""
    parts = [part for turn in transcript.turns for part in _turn(turn)]
    if transcript.state is not None:
        parts.append(f"== state\n{json.dumps(transcript.state, ensure_ascii=False, indent=1)}")
    return "\n\n".join(parts)


def _turn(turn: PlayedTurn) -> Iterator[str]:
    yield f"== user\n{turn.user}"
    for step in turn.steps:
        yield from _step(step)
    if turn.fault:
        yield f"✗ {turn.fault}"


def _step(step: Step) -> Iterator[str]:
    yield f"== model\n{step.answer or '(empty)'}"
    for result in step.results:
        yield f"== result\n{result or '(empty)'}"
    problems = [f"{call.tool}: {call.problem}" for call in step.calls if call.problem]
    yield from (f"! {problem}" for problem in [*problems, *([step.problem] if step.problem else [])])
