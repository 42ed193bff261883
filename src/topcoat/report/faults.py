"""The answers in a report that can't be used as they are: cut, unreadable, of unknown tools, or empty."""

from __future__ import annotations

from topcoat.report.html import Html, data_table, element, section
from topcoat.store.records import EvalResult

__all__ = ["faults_section"]

_KINDS = {
    "cut": "Cut at max_tokens",
    "unread": "A call or a thought can't be read",
    "unknown tool": "A tool is called that the catalog lacks",
    "empty": "Empty",
}


def faults_section(before: EvalResult, after: EvalResult) -> Html:
    """The number of answers with each fault before and after, those that failed, and the cases after."""
    rows = []
    for kind, title in _KINDS.items():
        counts = [next((fault for fault in result.faults if fault.kind == kind), None) for result in (before, after)]
        if any(counts):
            rows.append(
                element(
                    "tr",
                    element("th", title, scope="row"),
                    *(element("td", str(len(fault.cases) if fault else 0)) for fault in counts),
                    element("td", str(counts[1].failed if counts[1] else 0)),
                    element("td", ", ".join(counts[1].cases) if counts[1] else "–", class_="words"),
                )
            )
    caption = "Answers with a fault, whatever they scored. An answer may have several."
    columns = ["Fault", "Before", "After", "Failed after", "Cases after"]
    return section("Faulty answers", data_table(caption, columns, rows, words=(4,)))
