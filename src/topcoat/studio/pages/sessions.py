"""Captured usage: the sessions, filtered, and each with its dialogues."""

from __future__ import annotations

from topcoat.studio.asked import Asked, NotThere, Page, Paging, link
from topcoat.studio.site import Site
from topcoat.usage.dialogue import dialogues
from topcoat.usage.events import KINDS
from topcoat.usage.session_list import SessionFilter, SessionList

__all__ = ["session_page", "sessions"]

_SIZE = 50
_DIALOGUES = 10
_TURNS = ("request", "tool_call")


def sessions(site: Site, asked: Asked) -> Page:
    """The sessions that the filters leave, the latest first."""
    wanted = SessionFilter(*(asked.query.get(key, "").strip() for key in ("branch", "kind", "text")))
    values = {
        "title": "Sessions",
        "place": "sessions",
        "wanted": wanted,
        "filters": {"branch": wanted.branch, "kind": wanted.kind, "text": wanted.text},
        "kinds": KINDS,
        "branches": [],
        "sessions": [],
        "paging": Paging(1, _SIZE, 0),
        "captured": site.paths.events.exists(),
    }
    if site.paths.events.exists():
        with SessionList(site.paths.events) as events:
            found = events.found(wanted)
            paging = Paging(asked.number("page"), _SIZE, len(found))
            shown = events.rows(found[paging.first : paging.last])
            values |= {"sessions": shown, "paging": paging, "branches": events.branches()}
    return Page("sessions.html", values)


def session_page(site: Site, asked: Asked) -> Page:
    """One session: what happened beside its dialogues, and these turn by turn, some at a time."""
    name = asked.query.get("id", "")
    events = []
    if site.paths.events.exists():
        with SessionList(site.paths.events) as stored:
            events = [*stored.events(name)]
    if not events:
        raise NotThere(f'no session is called "{name}"', hint="the list of sessions has all of them")
    talks = dialogues(events)
    paging = Paging(asked.number("page"), _DIALOGUES, len(talks))
    values = {
        "title": name,
        "place": "sessions",
        "session": name,
        "first": events[0],
        "last": events[-1],
        "count": len(events),
        "others": [event for event in events if event.kind not in _TURNS],
        "talks": talks[paging.first : paging.last],
        "paging": paging,
        "filters": {"id": name},
        "back": link("sessions"),
    }
    return Page("session.html", values)
