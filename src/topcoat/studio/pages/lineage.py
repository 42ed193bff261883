"""The lineage: every model as a row with its place in the tree, its means, and what it changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from topcoat.report.html import Html, element
from topcoat.store.lineage import ModelRow
from topcoat.studio.asked import Asked, NotThere, Page, Paging, link
from topcoat.studio.history import History
from topcoat.studio.site import Site

__all__ = ["lineage", "model_page", "state_of"]

_SIZE = 60
_LANE = 18
_NODE = 26
"""The height of a row's node below its top, in pixels."""
_SAME = 5e-4


@dataclass(frozen=True, slots=True)
class Change:
    """By how much a category's mean differs from the parent's."""

    category: str
    delta: float


@dataclass(frozen=True, slots=True)
class Row:
    """A model in the tree, newest first. `rail` draws its lane and those that pass by."""

    model: ModelRow
    state: str
    mean: float | None
    changes: Sequence[Change]
    rail: Html


@dataclass(frozen=True, slots=True)
class _Rail:
    """A model's lane, the lanes that end at it from above, those that pass by, and the one that goes on downwards."""

    lane: int
    ending: Sequence[int]
    passing: Sequence[int]
    down: int | None
    main: bool

    def drawn(self, width: int) -> Html:
        shapes = [_line(at, "0", at, "100%") for at in self.passing]
        shapes += [_line(at, "0", self.lane, f"{_NODE}") for at in self.ending]
        if self.down is not None:
            shapes.append(_line(self.lane, f"{_NODE}", self.down, "100%"))
        node = "node main" if self.main else "node"
        shapes.append(element("circle", cx=_across(self.lane), cy=float(_NODE), r=5.5, class_=node))
        return element("svg", *shapes, class_="rail", width=width, height="100%", aria_hidden="true")


def lineage(site: Site, asked: Asked) -> Page:
    """The tree of models, newest first, some at a time."""
    with site.project() as (_, history):
        models = [*history.models.values()][::-1]
        paging = Paging(asked.number("page"), _SIZE, len(models))
        rails = _rails(models, history)
        rows = [_row(model, history, rails[model.name]) for model in models[paging.first : paging.last]]
    values = {"title": "Lineage", "place": "lineage", "rows": rows, "paging": paging, "here": link("lineage")}
    return Page("lineage.html", values)


def model_page(site: Site, asked: Asked) -> Page:
    """One model: where it comes from, its means beside its parent's, and what grew from it."""
    with site.project() as (_, history):
        model = history.models.get(asked.names["model"])
        if model is None:
            raise NotThere(f'no model is called "{asked.names["model"]}"', hint="the lineage lists all models")
        means = history.means.get(model.name)
        before = history.means.get(model.parent or "")
        values = {
            "title": model.name,
            "place": "lineage",
            "model": model,
            "state": state_of(model, history),
            "run": history.origin(model),
            "there": model.path.is_dir(),
            "means": means,
            "before": before if before and means and before.suite_digest == means.suite_digest else None,
            "children": [other.name for other in history.models.values() if other.parent == model.name],
            "production": history.production,
            "changes": [change for change in history.changes if change.model == model.name],
        }
    return Page("model.html", values)


def state_of(model: ModelRow, history: History) -> str:
    """What became of a model: "production", "earlier", "root", "discarded", "awaiting" its canary, or "made" without a
    verdict."""
    if model.name == history.production:
        return "production"
    if model.parent is None:
        return "root"
    if any(change.model == model.name for change in history.changes):
        return "earlier"
    run = history.origin(model)
    if run and run.state == "awaiting" and run.candidate and run.candidate.model == model.name:
        return "awaiting"
    return "discarded" if run and run.outcome else "made"


def _row(model: ModelRow, history: History, rail: Html) -> Row:
    means, before = history.means.get(model.name), history.means.get(model.parent or "")
    changes = []
    if means and before and means.suite_digest == before.suite_digest:
        old = {category.category: category.mean for category in before.categories}
        deltas = [Change(c.category, c.mean - old[c.category]) for c in means.categories if c.category in old]
        changes = [change for change in deltas if abs(change.delta) >= _SAME]
    mean = None
    if means and means.categories:
        mean = sum(category.mean for category in means.categories) / len(means.categories)
    return Row(model, state_of(model, history), mean, changes, rail)


def _rails(models: Sequence[ModelRow], history: History) -> dict[str, Html]:
    """The drawing of each row. A lane runs from a model's youngest child down to the model; production's is the first.

    `models` are newest first, so every child stands above its parent.
    """
    line = {model.name for model in history.ancestry(history.production)} if history.production else set()
    lanes: list[str | None] = [None]  # the model that each lane runs down to; the first is kept for production's line
    found: dict[str, _Rail] = {}
    for model in models:
        ending = [lane for lane, name in enumerate(lanes) if name == model.name]
        lane = 0 if model.name in line else ending[0] if ending else _free(lanes)
        for at in ending:
            lanes[at] = None
        passing = [at for at, name in enumerate(lanes) if name is not None]
        down = None
        if model.parent is not None:
            down = lanes.index(model.parent) if lane and model.parent in lanes else lane
            lanes[down] = model.parent
        found[model.name] = _Rail(lane, ending, passing, down, model.name in line)
    width = _LANE * len(lanes) + 6
    return {name: rail.drawn(width) for name, rail in found.items()}


def _free(lanes: list[str | None]) -> int:
    """The first lane beside production's that nothing runs in."""
    for lane in range(1, len(lanes)):
        if lanes[lane] is None:
            return lane
    lanes.append(None)
    return len(lanes) - 1


def _line(start: int, top: str, end: int, bottom: str) -> Html:
    class_ = "lane main" if start == end == 0 else "lane"
    return element("line", x1=_across(start), y1=top, x2=_across(end), y2=bottom, class_=class_)


def _across(lane: int) -> float:
    """The middle of a lane, in pixels from the left."""
    return _LANE * lane + 11.0
