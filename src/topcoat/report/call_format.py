"""The format of calls in a report: how many answers keep to it at each temperature."""

from __future__ import annotations

from topcoat.report.html import Html, data_table, element, section
from topcoat.store.records import EvalResult, FormatShare

__all__ = ["format_section"]


_CAPTIONS = {
    "code": "Share of the answers that call tools through execute_code alone, where a tool has to be called.",
    "native": "Share of the answers whose calls all name a known tool and fit its JSON Schema, where a tool has to be "
    "called.",
}


def format_section(before: EvalResult, after: EvalResult) -> Html:
    """The shares before and after, at each temperature, and the cases with an answer in another format.

    `after` has at least one.
    """
    base = {found.temperature: found for found in before.formats}
    rows = [
        element(
            "tr",
            element("th", f"{found.temperature:g}", scope="row"),
            element("td", str(found.answers)),
            element("td", _share(base.get(found.temperature))),
            element("td", _share(found)),
            element("td", ", ".join(found.wrong) or "–", class_="words"),
        )
        for found in after.formats
    ]
    caption = _CAPTIONS[after.formats[0].calls]
    columns = ["Temperature", "Answers", "Before", "After", "Cases with another format"]
    return section("Format", data_table(caption, columns, rows, words=(4,)))


def _share(found: FormatShare | None) -> str:
    return "–" if found is None else f"{100 * found.share:.1f}%"
