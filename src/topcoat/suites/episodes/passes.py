"""Measures pass^k: the share of episodes that a model solves every time, in k samples at a temperature."""

from __future__ import annotations

from collections.abc import Sequence

from topcoat.spec.project import EvalSection
from topcoat.spec.suite import Case
from topcoat.store.records import PassShare
from topcoat.suites.call_format import sample_name, sample_seed
from topcoat.suites.episodes.episode import Draw, Episode
from topcoat.suites.source import Unanswered

__all__ = ["draws", "pass_shares"]


def draws(episodes: Sequence[Case], spec: EvalSection) -> list[tuple[Case, Draw]]:
    """How each episode is played: greedily, then `spec.samples` times at each temperature above 0.

    A seed depends on the case and the sample's number alone, as that of a sampled answer does.
    """
    sampled = [
        (case, Draw(temperature, sample_seed(case, number), sample_name(case, temperature, number)))
        for temperature in spec.temperatures
        if temperature > 0.0
        for case in episodes
        for number in range(1, spec.samples + 1)
    ]
    return [*((case, Draw()) for case in episodes), *sampled]


def pass_shares(
    drawn: Sequence[tuple[Case, Draw]], played: Sequence[Episode | Unanswered], spec: EvalSection
) -> list[PassShare]:
    """The share at each temperature above 0 at which an episode was answered. One without an answer counts apart."""
    shares = []
    for temperature in dict.fromkeys(draw.temperature for _, draw in drawn if draw.temperature > 0.0):
        tries: dict[str, list[Episode | Unanswered]] = {}
        for (case, draw), episode in zip(drawn, played, strict=True):
            if draw.temperature == temperature:
                tries.setdefault(case.id, []).append(episode)
        values = {
            case_id: [one.score.value for one in own if isinstance(one, Episode)]
            for case_id, own in tries.items()
            if not any(isinstance(one, Unanswered) for one in own)
        }
        if values:
            failed = [case_id for case_id, scores in values.items() if min(scores) < 1.0]
            shares.append(
                PassShare(
                    temperature=temperature,
                    samples=spec.samples,
                    episodes=len(values),
                    solved=len(values) - len(failed),
                    mean=sum(sum(scores) for scores in values.values()) / (len(values) * spec.samples),
                    errors=len(tries) - len(values),
                    failed=failed,
                )
            )
    return shares
