"""What the ways showed, as a table: means over seeds of what the coat gains, and of what it forgets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import mean

from benchmarks.real.stages import Figures
from benchmarks.real.tables import table
from benchmarks.real.ways.stages import AVERAGE, COAT, pair

__all__ = ["AS_GOOD", "ways_table"]

AS_GOOD = 1.05
"""Trials whose loss is at most so many times the lowest are as good."""
WORDS = {
    "plain": "plain training",
    "orpo": "ORPO against the base's wrong answers",
    "dpo": "DPO against them, with the plain loss",
    "anchored": "replayed rows learn the base's distribution",
    "null_space": "A in the null space of replayed rows",
    AVERAGE: "the mean of two trials",
}
CHOSEN = {"loss": "of two trials, the one with the lower loss", "kl": "of two about as good, the one with the lower KL"}


def ways_table(done: Mapping[str, Figures], seeds: int) -> str:
    """Markdown, "" if no way is done. Changes are from production before the coat."""
    found = {way: [done[f"{way}{seed}"] for seed in range(seeds) if f"{way}{seed}" in done] for way in WORDS}
    rows = [_row(WORDS[way], one, done) for way, one in found.items() if one]
    plain = found["plain"]
    if len(plain) == seeds > 1:
        for key, words in CHOSEN.items():
            trials = [[plain[one] for one in pair(seed, seeds)] for seed in range(seeds)]
            rows.append(_row(words, [chosen(both, key) for both in trials], done, times=2))
    if not rows:
        return ""
    aims = " and ".join(done[f"plan{COAT}"]["aims"])
    told = (
        f"Coat {COAT} (for {aims}), trained in other ways on the same examples: means over the seeds, scores by the\n"
        "leaderboard's checker, in points from production before. Wrong answers count as rows, so preferences take\n"
        "fewer updates. Two trials take the minutes of both.\n"
    )
    header = [
        *("", "seeds", "what it is for", "all else", "worst category", "general texts, nats a token"),
        *("KL(base, coat) on replayed rows", "training, minutes"),
    ]
    return f"## Ways to train a coat\n\n{told}\n{table(header, rows)}"


def chosen(trials: Sequence[Figures], key: str) -> Figures:
    """The trial that goes on: with the lowest loss, or with the lowest KL of those about as good."""
    lowest = min(one["training"]["loss"] for one in trials)
    good = [one for one in trials if key == "loss" or one["training"]["loss"] <= AS_GOOD * lowest]
    return min(good, key=lambda one: float(one["training"][key]))


def _row(words: str, found: Sequence[Figures], done: Mapping[str, Figures], times: int = 1) -> list[str]:
    aims = done[f"plan{COAT}"]["aims"]
    before = _shares(done["coat1"])
    changes = [{name: share - before[name] for name, share in _shares(one).items()} for one in found]
    gains = [mean(change[name] for name in aims) for change in changes]
    others = [mean(share for name, share in change.items() if name not in aims) for change in changes]
    general = [one["general"]["nats"] - done["general_coat1"]["nats"] for one in found]
    divergence = [one["training"]["kl"] for one in found if "kl" in one["training"]]
    return [
        words,
        str(len(found)),
        f"{100 * mean(gains):+.1f}",
        f"{100 * mean(others):+.1f}",
        f"{100 * mean(min(change.values()) for change in changes):+.1f}",
        f"{mean(general):+.4f}",
        f"{mean(divergence):.4f}" if divergence else "",
        f"{times * mean(one['training']['seconds'] for one in found) / 60:.1f}",
    ]


def _shares(found: Figures) -> dict[str, float]:
    return {name: row["leaderboard"] / row["n"] for name, row in found["scores"].items()}
