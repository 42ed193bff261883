"""The studio over real sockets, in a thread of its own, and a browser's part in plain requests."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx2

from topcoat.studio.access import Door
from topcoat.studio.server import opened
from topcoat.studio.site import Site

__all__ = ["Visitor", "studio_of", "visitor"]


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


def words(page: str) -> str:
    """A page's text without its markup."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", page))
