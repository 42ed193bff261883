"""The studio's server: checks each request, calls the page's function in a thread, and sends what it gives."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from aiohttp import web

from topcoat.errors import Held, InvalidInput, Mistake, Refused, TopcoatError
from topcoat.studio.access import HOST, Door, Refusal
from topcoat.studio.asked import Asked, Moved, NotThere, Page, Part, Reply
from topcoat.studio.routes import ROUTES, STREAMS
from topcoat.studio.site import STATIC, Site, render, style_sheet
from topcoat.usage.capture.web_server import running

__all__ = ["opened", "serve"]

LARGEST_FORM = 1 << 22
"""In bytes. The largest form is an edited example."""
_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
_LOGGER = logging.getLogger("topcoat.studio")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(slots=True)
class _Studio:
    """The site behind its door. `cookie` has the port in its name, because a host's cookies belong to all its ports."""

    site: Site
    door: Door
    cookie: str = ""

    async def handle(self, request: web.Request, call: Callable[[Site, Asked], Reply]) -> web.StreamResponse:
        """Answer a request for a page, or one that changes something."""
        refused, asked = await self._admitted(request)
        if refused is not None:
            return self._refusal(refused)
        try:
            reply = await asyncio.to_thread(call, self.site, asked)
        except TopcoatError as error:
            reply = _error_page(error)
        return self._response(reply)

    async def _admitted(self, request: web.Request) -> tuple[Refusal | None, Asked]:
        """The refusal of a request if there is one, and what it asks. A refused one's form isn't read."""
        host, origin = request.headers.get("Host", ""), request.headers.get("Origin")
        token = request.cookies.get(self.cookie, "")
        refused = self.door.refusal(host=host, origin=origin, token=token)
        form: dict[str, str] = {}
        if refused is None and request.method == "POST":
            try:
                form = {key: value for key, value in (await request.post()).items() if isinstance(value, str)}
            except (ValueError, web.HTTPRequestEntityTooLarge):
                return (413, f"the form is larger than {LARGEST_FORM >> 20} MiB, or it isn't one"), Asked()
            key = form.pop("form_key", "")
            refused = self.door.change_refusal(host=host, origin=origin, token=token, form_key=key)
        return refused, Asked(dict(request.match_info), dict(request.query), form)

    def _response(self, reply: Reply) -> web.Response:
        if isinstance(reply, Moved):
            return web.Response(status=303, headers={**_HEADERS, "Location": reply.to})
        common = {} if isinstance(reply, Part) else {"project": self.site.paths.root.name}
        text = render(reply, {**common, "form_key": self.door.form_key})
        return web.Response(text=text, status=reply.status, content_type="text/html", headers=_HEADERS)

    def _refusal(self, refused: Refusal) -> web.Response:
        """A page that says nothing of the project."""
        status, reason = refused
        text = render(Page("refused.html", {"reason": reason}), {})
        return web.Response(text=text, status=status, content_type="text/html", headers=_HEADERS)

    async def enter(self, request: web.Request) -> web.StreamResponse:
        """Turn the token of the printed link into a cookie, which no page's script can read."""
        refused = self.door.refusal(
            host=request.headers.get("Host", ""),
            origin=request.headers.get("Origin"),
            token=request.query.get("token", ""),
        )
        if refused is not None:
            return self._refusal(refused)
        response = web.Response(status=303, headers={**_HEADERS, "Location": "/"})
        response.set_cookie(self.cookie, self.door.token, httponly=True, samesite="Strict", path="/")
        return response

    async def static(self, request: web.Request) -> web.StreamResponse:
        """The style sheet or the script. They hold nothing of the project, and a refused page needs its style."""
        name = request.match_info["name"]
        if name == "studio.css":
            return web.Response(text=style_sheet(), content_type="text/css", headers=_HEADERS)
        found = {"studio.js": "text/javascript", "icon.svg": "image/svg+xml"}.get(name)
        if found is None:
            return self._refusal((404, "there is no such file"))
        return web.Response(body=(STATIC / name).read_bytes(), content_type=found, charset="utf-8", headers=_HEADERS)

    async def stream(
        self, request: web.Request, call: Callable[[Site, Asked], AsyncIterator[Part]]
    ) -> web.StreamResponse:
        """Send a part of a page again and again, as server-sent events."""
        refused, asked = await self._admitted(request)
        if refused is not None:
            return self._refusal(refused)
        response = web.StreamResponse(headers={**_HEADERS, "Content-Type": "text/event-stream"})
        await response.prepare(request)
        parts = call(self.site, asked)
        async for part in parts:
            lines = render(part, {"form_key": self.door.form_key}).splitlines()
            event = "".join(f"data: {line}\n" for line in lines)
            await response.write(f"{event}\n".encode())
        await response.write(b"event: end\ndata: \n\n")
        return response

    async def nowhere(self, request: web.Request) -> web.StreamResponse:
        """A path or a method that the studio doesn't have."""
        refused, _ = await self._admitted(request)
        return self._refusal(refused) if refused else self._response(_error_page(NotThere("there is no such page")))


def _error_page(error: TopcoatError) -> Page:
    status = 409 if isinstance(error, Held | Refused) else 400 if isinstance(error, InvalidInput) else 500
    status = 404 if isinstance(error, NotThere) else status
    mistakes: tuple[Mistake, ...] = error.mistakes
    return Page("error.html", {"title": error.message, "mistakes": mistakes}, status)


def _application(studio: _Studio) -> web.Application:
    app = web.Application(client_max_size=LARGEST_FORM, middlewares=[_guarded])

    def page(call: Callable[[Site, Asked], Reply]) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            return await studio.handle(request, call)

        return handle

    def parts(call: Callable[[Site, Asked], AsyncIterator[Part]]) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            return await studio.stream(request, call)

        return handle

    app.router.add_get("/enter", studio.enter)
    app.router.add_get("/static/{name}", studio.static)
    for path, stream in STREAMS.items():
        app.router.add_get(path, parts(stream))
    for (method, path), call in ROUTES.items():
        # By itself aiohttp takes no name with braces for one.
        app.router.add_route(method, path.replace("}", ":[^/]+}"), page(call))
    app.router.add_route("*", "/{path:.*}", studio.nowhere)
    return app


@web.middleware
async def _guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
    """A fault of ours becomes a page that says so; aiohttp's own pages have none of our headers."""
    try:
        return await handler(request)
    except (web.HTTPException, ConnectionError, asyncio.CancelledError):
        raise
    except Exception as error:
        _LOGGER.error("a request failed by a fault of topcoat: %s", type(error).__name__)
        text = render(Page("refused.html", {"reason": f"a fault of topcoat: {type(error).__name__}"}), {})
        return web.Response(text=text, status=500, content_type="text/html", headers=_HEADERS)


@asynccontextmanager
async def opened(site: Site, port: int, door: Door | None = None) -> AsyncIterator[str]:
    """Serve the studio during the block and yield the link that opens it. Raises `Refused` if it can't listen."""
    studio = _Studio(site, door or Door())
    async with running(_application(studio), HOST, port) as listened:
        studio.cookie = f"topcoat-{listened}"
        yield f"http://{HOST}:{listened}/enter?token={quote(studio.door.token)}"


def serve(start: Path, port: int, command: tuple[str, ...], announce: Callable[[str], None]) -> None:
    """Serve the studio of the project around `start` until Ctrl-C. `announce` gets the link once it answers.

    `command` starts a process of topcoat for the project. Raises what opening the project raises, and `Refused` if the
    port can't be had.
    """
    site = Site.around(start, command)
    with site.project():
        pass  # says now what is wrong with the project, and reads its means

    async def until_stopped() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        async with opened(site, port) as address:
            announce(address)
            await stop.wait()

    asyncio.run(until_stopped())
