"""The studio over real sockets, in a thread of its own, and a browser's part in plain requests."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx2

from topcoat.studio.access import Door
from topcoat.studio.asked import link
from topcoat.studio.routes import ROUTES
from topcoat.studio.server import opened
from topcoat.studio.site import Site

__all__ = ["Visitor", "pages_of", "studio_of", "visitor"]


class Visitor:
    """A browser that opened the link: it has the cookie, follows redirects and sends forms with their key."""

    def __init__(self, link: str, door: Door) -> None:
        self.link = link
        self.door = door
        self.origin = "{0.scheme}://{0.netloc}".format(urlsplit(link))
        self.client = httpx2.Client(base_url=self.origin, follow_redirects=True, timeout=60)
        self.client.get(link)

    def get(self, path: str, **headers: str) -> httpx2.Response:
        return self.client.get(path, headers=headers)

    def page(self, path: str) -> str:
        """A page that has to be there."""
        answer = self.get(path)
        assert answer.status_code == 200, answer.text
        return answer.text

    def post(self, path: str, **form: str) -> httpx2.Response:
        """Send a form as a page of the studio does."""
        fields = {"form_key": self.door.form_key, **form}
        return self.client.post(path, data=fields, headers={"Origin": self.origin})


@contextmanager
def studio_of(project: Path, command: tuple[str, ...] = ()) -> Iterator[tuple[str, Door]]:
    """The link of a studio of the project, which is served during the block, and its door."""
    door, found, stop = Door(), [], threading.Event()
    ready = threading.Event()

    async def serve() -> None:
        async with opened(Site.around(project, command), 0, door) as link:
            found.append(link)
            ready.set()
            await asyncio.to_thread(stop.wait)

    def run() -> None:
        try:
            asyncio.run(serve())
        finally:
            ready.set()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        ready.wait()
        yield found[0], door
    finally:
        stop.set()
        thread.join()


@contextmanager
def visitor(project: Path, command: tuple[str, ...] = ()) -> Iterator[Visitor]:
    """A visitor of a studio of the project."""
    with studio_of(project, command) as (link, door):
        come = Visitor(link, door)
        with closing(come.client):
            yield come


def pages_of(names: Mapping[str, str]) -> list[str]:
    """The address of every page; `names` has a model, a phase and a session. Examples are extracted for "next"."""
    model, phase = names["model"], names["phase"]
    queries: dict[str, dict[str, object]] = {
        "/compare": {"before": "phase33b", "after": model},
        "/data/file": {"name": "data/next.jsonl"},
        "/data/example": {"name": "data/next.jsonl", "line": 1},
        "/session": {"id": names["session"]},
        "/review/{phase}": {"as": "somebody"},
        "/review/{phase}/edit": {"as": "somebody", "candidate": "c0"},
    }
    found = []
    for method, path in ROUTES:
        if method == "GET" and path != "/jobs/{kind}":
            name = "next" if path.startswith("/review") else phase
            filled = [
                model if part == "{model}" else name if part == "{phase}" else part for part in path[1:].split("/")
            ]
            found.append(link(*filled, **queries.get(path, {})))
    return found
