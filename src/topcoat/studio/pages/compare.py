"""Any two models side by side: the categories, and every case whose answer or score differs, with transcripts."""

from __future__ import annotations

from dataclasses import dataclass

from topcoat.report.answers import change_card
from topcoat.report.page import categories_section
from topcoat.store.lineage import Lineage, ModelRow
from topcoat.store.records import AttemptResult, EvalResult
from topcoat.studio.asked import Asked, NotThere, Page, Paging, link
from topcoat.studio.history import History
from topcoat.studio.site import Site
from topcoat.suites.evidence.compare import CaseChange, Comparison, compare, compare_attempt

__all__ = ["compare_page"]

_SIZE = 20
_KINDS = {"worse": "Worse", "better": "Better", "same": "Same score, other answer"}


@dataclass(frozen=True, slots=True)
class _Filter:
    """Which cases are shown: of a kind, of a category, with a text in their id."""

    kind: str
    category: str
    text: str

    def keeps(self, change: CaseChange) -> bool:
        return (
            self.kind in ("", change.kind)
            and self.category in ("", change.category)
            and self.text.lower() in change.case_id.lower()
        )


def compare_page(site: Site, asked: Asked) -> Page:
    """The comparison of the models that the query names; the choice of them if it names fewer than two."""
    before, after = asked.query.get("before", ""), asked.query.get("after", "")
    wanted = _Filter(asked.query.get("kind", ""), asked.query.get("category", ""), asked.query.get("case", ""))
    with site.project() as (project, history):
        names = [*history.means][::-1]
        after = after or history.production or ""
        values = {
            "title": "Compare",
            "place": "compare",
            "names": names,
            "before": before or (history.models[after].parent or "" if after in history.models else ""),
            "after": after,
            "chosen": wanted,
            "kinds": _KINDS,
            "section": None,
            "here": link("compare"),
        }
        if before:
            found = _comparison(project.lineage, history, before, after)
            order = [*_KINDS]
            shown = sorted(filter(wanted.keeps, found.changed), key=lambda change: order.index(change.kind))
            paging = Paging(asked.number("page"), _SIZE, len(shown))
            cases = {case.id: case for case in project.suite.cases}
            cards = [change_card(change, cases.get(change.case_id)) for change in shown[paging.first : paging.last]]
            values |= {
                "title": f"{before} → {after}",
                "section": categories_section(found),
                "categories": [category.category for category in found.categories],
                "cards": cards,
                "paging": paging,
                "counts": {kind: sum(change.kind == kind for change in found.changed) for kind in _KINDS},
                "unpaired": found.unpaired,
            }
    return Page("compare.html", values)


def _comparison(lineage: Lineage, history: History, before: str, after: str) -> Comparison:
    """The models' stored scores. A base and its attempt, in either order, are compared as the gate compared them."""
    one, other = _scored(lineage, history, before), _scored(lineage, history, after)
    for base, model, turned in ((before, after, False), (after, before, True)):
        judged = _judged(lineage, history, base, history.models[model])
        if judged and judged.before.suite_digest == one.suite_digest:
            found = compare_attempt(judged, turned=turned)
            if found:
                return found
    return compare(one, other)


def _scored(lineage: Lineage, history: History, name: str) -> EvalResult:
    """The latest evaluation of a model. Raises `NotThere`."""
    if name not in history.models:
        raise NotThere(f'no model is called "{name}"', hint="the lineage lists all models")
    means = history.means.get(name)
    result = lineage.evaluation(means.key) if means else None
    if result is None:
        raise NotThere(f"{name} was never evaluated", hint=f"topcoat eval {name}")
    return result


def _judged(lineage: Lineage, history: History, base: str, model: ModelRow) -> AttemptResult | None:
    """The result of the attempt that made `model` from `base`, if there was one."""
    run = history.origin(model)
    if run is None or run.row.base != base:
        return None
    return next((lineage.result(attempt.id) for attempt in run.attempts if attempt.number == model.attempt), None)
