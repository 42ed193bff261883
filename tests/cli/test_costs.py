from __future__ import annotations

import io

import pytest
from rich.console import Console

from topcoat.cli.display import show_check
from topcoat.store.records import Budget, CheckReport, Estimate, GuardCost, RowCost


def shown(estimate: Estimate, width: int = 200) -> list[str]:
    """What `check` prints of a phase without findings."""
    text = io.StringIO()
    budget = Budget.model_validate(dict.fromkeys(Budget.model_fields, 0))
    report = CheckReport(phase="p", findings=[], budget=budget, estimate=estimate)
    show_check(Console(file=text, width=width), report)
    return text.getvalue().splitlines()


def test_a_phase_that_does_not_fit_says_so() -> None:
    estimate = Estimate(seconds=10, evaluation_seconds=None, memory=9_000_000_000, disk=1, memory_limit=8_000_000_000)
    for limit, said in ((8_000_000_000, True), (9_000_000_000, False)):
        text = " ".join(shown(estimate.model_copy(update={"memory_limit": limit}), 120))
        assert ("it does not fit: there are 8.00 GB of memory" in text) == said


@pytest.mark.parametrize(
    ("kept", "recomputed", "limit", "hint"),
    [
        (9, 2, 8, "grad_checkpoint = true under [train]"),
        (9, 8.5, 8, "grad_checkpoint = true under [train], a lower batch_size or num_layers"),
        (9, 8.9, 9, ""),
    ],
    ids=["fits with it", "fits in no way", "fits"],
)
def test_the_longest_row_s_cost_is_shown_with_the_setting_that_makes_it_fit(
    kept: float, recomputed: float, limit: float, hint: str
) -> None:
    giga = 10**9
    row = RowCost(tokens=16_000, kept=int(kept * giga), recomputed=int(recomputed * giga), measured=["recomputed"])
    estimate = Estimate(
        seconds=None, evaluation_seconds=None, memory=int(kept * giga), disk=0, memory_limit=int(limit * giga), row=row
    )
    lines = shown(estimate)
    with_it, without = f"{recomputed:.2f} GB of memory with grad_checkpoint", f"about {kept:.2f} GB of memory without"
    assert f"the longest row, of 16000 tokens: {with_it}, {without}" in lines
    hints = [line.split("hint: ")[1] for line in lines if "hint:" in line]
    assert [found == hint or found.startswith(f"{hint},") for found in hints] == [True] * bool(hint)
    assert not any("an attempt" in line for line in lines)


@pytest.mark.parametrize("seconds", [None, 0.5])
def test_guard_cases_are_counted_and_what_can_t_be_decided_is_named(seconds: float | None) -> None:
    guard = GuardCost(drawn={"git": 600, "prose": 40}, first=150, most=600, needed=90, seconds_each=seconds)
    lines = shown(Estimate(seconds=1, evaluation_seconds=None, memory=0, disk=0, guard=guard))
    first, most = ("", "") if seconds is None else (" (about 95 s)", " (about 5 min)")
    assert f"guard cases, for base and coat: 190 at the first look{first}, at most 640{most}" in lines
    assert "  prose: 40 guard cases can be made, 90 are needed: its mean on the suite decides" in lines
    assert not any(line.startswith("  git:") for line in lines)
