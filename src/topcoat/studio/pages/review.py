"""Review: extracted examples, one after another, with the dialogue that each comes from. Keys decide."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from topcoat.errors import InvalidInput
from topcoat.examples.draft import draft_of
from topcoat.spec.example import Example
from topcoat.studio.asked import Asked, Moved, NotThere, Page, Part, Reply, link
from topcoat.studio.site import Site
from topcoat.usage.extraction.editing import check_edit, draft
from topcoat.usage.extraction.review import Decision, decide, decided, dialogue_of, extracted, pending, reviewed, undo

__all__ = [
    "check_text",
    "decided_page",
    "edit_page",
    "review",
    "review_list",
    "save",
    "set_decision",
    "take_back",
    "turns_of",
]


@dataclass(frozen=True, slots=True)
class Said:
    """A turn to read: who says it, and what."""

    role: str
    text: str


def review_list(site: Site, asked: Asked) -> Page:
    """The phases that examples were extracted for, and how many wait."""
    found = [(name, len(pending(site.paths, name)), len(decided(site.paths, name))) for name in extracted(site.paths)]
    return Page("reviews.html", {"title": "Review", "place": "review", "phases": found})


def review(site: Site, asked: Asked) -> Reply:
    """The next example for this reviewer, or the one that the query names."""
    name, reviewer = _name(site, asked), asked.query.get("as", "")
    if not reviewer:
        return Moved(link("review", name, **{"as": site.desk.new_reviewer()}))
    waiting = pending(site.paths, name)
    key = site.desk.take(reviewer, name, waiting, asked.query.get("candidate", ""))
    values = {
        "title": f"Review {name}",
        "place": "review",
        "phase": name,
        "reviewer": reviewer,
        "waiting": len(waiting),
        "decided": len(decided(site.paths, name)),
        "last": site.desk.last(reviewer, name),
        "key": key,
        "example": None,
        **_news(site, asked),
    }
    if key is not None:
        example = waiting[key]
        values |= {
            "example": example,
            "about": _about(example),
            "turns": [*turns_of(example)],
            "talk": [Said(turn.role, turn.text) for turn in dialogue_of(site.paths, example) if turn.role != "system"],
            "place_in_list": [*waiting].index(key) + 1,
        }
    return Page("review.html", values)


def set_decision(site: Site, asked: Asked) -> Reply:
    """Accept or reject an example, and go to the next one."""
    kind = asked.form.get("kind", "")
    if kind not in ("accepted", "rejected"):
        raise InvalidInput(f'"{kind}" is no decision', hint="accepted or rejected")
    return _decide(site, asked, Decision(kind="accepted" if kind == "accepted" else "rejected"), kind)


def edit_page(site: Site, asked: Asked) -> Reply:
    """The example as a text to edit."""
    name, key = _name(site, asked), asked.query.get("candidate", "")
    example = _waiting(site, name, key)
    return _editor(site, name, key, asked.query.get("as", ""), example, draft(example))


def save(site: Site, asked: Asked) -> Reply:
    """Accept an example as it was edited. A draft with an error is shown again, with what is wrong."""
    name, key = _name(site, asked), asked.form.get("candidate", "")
    example, text = _waiting(site, name, key), asked.form.get("draft", "")
    with site.project() as (project, _):
        edit = check_edit(project, example, text)
    if not edit.is_good:
        return _editor(site, name, key, asked.form.get("as", ""), example, text, status=400)
    return _decide(site, asked, Decision(kind="accepted", messages=edit.messages), "edited")


def check_text(site: Site, asked: Asked) -> Reply:
    """What is wrong with a draft, while it is typed."""
    name = _name(site, asked)
    example = _waiting(site, name, asked.form.get("candidate", ""))
    with site.project() as (project, _):
        edit = check_edit(project, example, asked.form.get("draft", ""))
    return Part("remarks.html", {"edit": edit})


def take_back(site: Site, asked: Asked) -> Reply:
    """Undo a decision: the one that the form names, or else this reviewer's last one."""
    name, reviewer = _name(site, asked), asked.form.get("as", "")
    key = asked.form.get("candidate") or site.desk.last(reviewer, name)
    if not key:
        raise NotThere("there is no decision to undo", hint="the list of decisions has those of others")
    undo(site.paths, name, key)
    site.desk.undone(reviewer, name, key)
    return Moved(link("review", name, **{"as": reviewer, "candidate": key, "said": "undone", "about": key}))


def decided_page(site: Site, asked: Asked) -> Page:
    """The decisions about a phase's examples, each of which can be undone."""
    name = _name(site, asked)
    values = {
        "title": f"Decisions for {name}",
        "place": "review",
        "phase": name,
        "reviewer": asked.query.get("as", ""),
        "decisions": [*decided(site.paths, name).items()][::-1],
    }
    return Page("decided.html", values)


def _decide(site: Site, asked: Asked, decision: Decision, said: str) -> Moved:
    name, key, reviewer = _name(site, asked), asked.form.get("candidate", ""), asked.form.get("as", "")
    if key not in pending(site.paths, name) and key not in reviewed(site.paths):
        raise NotThere(
            "this example is no longer in the data: it was extracted anew",
            hint=f"the page of the review of {name} has the next one",
        )
    stands = decide(site.paths, name, {key: decision})
    if stands:
        said = "stands"
    else:
        site.desk.done(reviewer, name, key)
    return Moved(link("review", name, **{"as": reviewer, "said": said, "about": key}))


def _editor(site: Site, name: str, key: str, reviewer: str, example: Example, text: str, status: int = 200) -> Page:
    with site.project() as (project, _):
        edit = check_edit(project, example, text)
    values = {
        "title": f"Edit an example of {name}",
        "place": "review",
        "phase": name,
        "reviewer": reviewer,
        "key": key,
        "draft": text,
        "about": _about(example),
        "edit": edit,
    }
    return Page("edit.html", values, status)


def _news(site: Site, asked: Asked) -> dict[str, Any]:
    """What was done to the example before, as the address tells. The words are the page's own."""
    key, said = asked.query.get("about", ""), asked.query.get("said", "")
    stands = reviewed(site.paths).get(key) if said == "stands" else None
    return {"said": said if said in ("accepted", "rejected", "edited", "undone") else "", "stands": stands}


def _name(site: Site, asked: Asked) -> str:
    """The phase in the path. Raises `NotThere` if nothing was extracted for it."""
    name = asked.names["phase"]
    if name not in extracted(site.paths):
        raise NotThere(f'no examples were extracted for "{name}"', hint="topcoat extract --phase NAME")
    return name


def _waiting(site: Site, name: str, key: str) -> Example:
    example = pending(site.paths, name).get(key)
    if example is None:
        done = reviewed(site.paths).get(key)
        what = f"was {done.kind} meanwhile" if done else "is no longer in the data"
        raise NotThere(f"this example {what}", hint=f"open /review/{name} for the next one")
    return example


def _about(example: Example) -> Mapping[str, str]:
    """Where an example comes from, as extraction wrote it."""
    extra = example.model_extra or {}
    given = {"category": example.category, **{key: extra.get(key) for key in ("kind", "score", "session", "reason")}}
    return {key: str(value) for key, value in given.items() if value not in (None, "")}


def turns_of(example: Example, *, system: bool = False) -> Iterator[Said]:
    """The turns of an example to read, with its system prompt if that is asked for."""
    for message in example.messages:
        if system or message.role != "system":
            text = draft_of([message]) if message.tool_calls else message.content or ""
            yield Said(message.role, str(text).rstrip())
