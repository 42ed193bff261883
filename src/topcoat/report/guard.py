"""What a phase's guard cases showed, in a report."""

from __future__ import annotations

from topcoat.report.html import Html, data_table, element, name, section
from topcoat.store.records import GuardFinding, Verdict
from topcoat.suites.evidence.words import guard_row

__all__ = ["guard_section"]

_COLUMNS = ("Category", "Cases", "Before", "After", "Change", "Bounds", "Decision")
_CALLS = {"kept": "good", "fell": "bad"}


def guard_section(verdict: Verdict) -> Html:
    """Each category's guard cases: how many, their means, the change in points with its bounds, the decision."""
    margins = sorted({f"{100 * found.margin:g}" for found in verdict.guard})
    alphas = sorted({f"{found.alpha:g}" for found in verdict.guard})
    without = [f"{category}: {reason}." for category, reason in verdict.no_guard.items()]
    return section(
        "Guard cases",
        data_table(
            "Cases that were drawn for this phase and that nobody tuned to, answered by base and coat. The change and "
            f"its bounds are in points; the margin is {', '.join(margins)}, each error's chance {', '.join(alphas)}.",
            _COLUMNS,
            [_row(found) for found in verdict.guard],
            words=(6,),
            label="Guard cases by category",
        ),
        element("p", " ".join(without)) if without else None,
    )


def _row(found: GuardFinding) -> Html:
    row = guard_row(found)
    return element(
        "tr",
        element("th", name(row.category), scope="row"),
        *(element("td", cell) for cell in (row.cases, row.before, row.after, row.change, row.bounds)),
        element("td", element("span", row.decision, class_=_CALLS.get(found.decision)), class_="words"),
    )
