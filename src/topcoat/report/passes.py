"""Sampled episodes in a report: how many are solved every time."""

from __future__ import annotations

from topcoat.report.html import Html, data_table, element, section
from topcoat.store.records import EvalResult, PassShare

__all__ = ["passes_section"]


def passes_section(before: EvalResult, after: EvalResult) -> Html:
    """The shares before and after, at each temperature, and the episodes that aren't solved every time.

    `after` has at least one.
    """
    base = {found.temperature: found for found in before.passes}
    rows = [
        element(
            "tr",
            element("th", f"{found.temperature:g}", scope="row"),
            element("td", str(found.episodes)),
            element("td", str(found.samples)),
            element("td", _share(base.get(found.temperature))),
            element("td", _share(found)),
            element("td", f"{100 * found.mean:.1f}%"),
            element("td", ", ".join(found.failed) or "–", class_="words"),
        )
        for found in after.passes
    ]
    caption = "Share of the episodes that are solved in every sample (pass^k), and of single samples that are solved."
    columns = ["Temperature", "Episodes", "Samples", "Before", "After", "Single samples after", "Not solved every time"]
    return section("Sampled episodes", data_table(caption, columns, rows, words=(6,)))


def _share(found: PassShare | None) -> str:
    return "–" if found is None else f"{100 * found.share:.1f}%"
