"""The answers in a report: every case whose answer or score changed, side by side."""

from __future__ import annotations

from collections.abc import Sequence

from topcoat.report.html import Html, element, section
from topcoat.report.transcript import transcript_view
from topcoat.spec.suite import Case
from topcoat.store.records import Score
from topcoat.suites.evidence.compare import CaseChange, Comparison

__all__ = ["answers_section", "change_card"]

_GROUPS = (("worse", "Worse"), ("better", "Better"), ("same", "Same score, other answer"))


def answers_section(comparison: Comparison, cases: Sequence[Case]) -> Html:
    """The changed answers, grouped by their change. The worse ones come first, because they matter most."""
    asked = {case.id: case for case in cases}
    groups = []
    for kind, title in _GROUPS:
        changes = [change for change in comparison.changed if change.kind == kind]
        if changes:
            summary = element("summary", f"{title} ", element("span", f"({len(changes)})", class_="soft"))
            cards = [change_card(change, asked.get(change.case_id)) for change in changes]
            groups.append(element("details", summary, *cards, open=kind != "same"))
    if comparison.unpaired:
        ids = element("p", ", ".join(comparison.unpaired))
        groups.append(
            element("details", element("summary", f"Only in one evaluation ({len(comparison.unpaired)})"), ids)
        )
    return section(
        "Changed answers",
        *(groups or [element("p", "Every answer is the same as before.", class_="soft")]),
    )


def change_card(change: CaseChange, case: Case | None) -> Html:
    """A case's answers side by side. `case` is None if the suite no longer has it."""
    mark = {"better": "▲ better", "worse": "▼ worse", "same": "same score"}[change.kind]
    tone = {"better": "good", "worse": "bad", "same": "soft"}[change.kind]
    scores = f"{mark}, {change.before.value:.2f} → {change.after.value:.2f}"
    return element(
        "article",
        element(
            "div",
            element("h3", f"{change.case_id} ", element("span", change.category, class_="soft")),
            element("span", scores, class_=tone),
            class_="case",
        ),
        element("p", case.text if case else "(this case is no longer in the suite)", class_="prompt"),
        *([element("p", f"Expected: {case.wording}", class_="soft")] if case else []),
        element("div", _side("Before", change.before), _side("After", change.after), class_="sides"),
        class_=change.kind,
    )


def _side(title: str, score: Score) -> Html:
    label = f"{title}, case {score.case_id}"
    return element(
        "div",
        element("h4", f"{title}: {score.value:.2f}"),
        transcript_view(score.transcript, label)
        if score.transcript
        else element("pre", score.answer or "(empty)", tabindex="0", role="region", aria_label=label),
        element("p", score.reason),
    )
