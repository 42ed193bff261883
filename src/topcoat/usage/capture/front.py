"""The server that agents talk to. It forwards each request to a model server and returns the answer.

Bytes are passed on unchanged and at once. The recorder gets a copy of both. Only the end of an answer waits until its
exchange is written, so that killing the process loses no exchange that a client has seen the end of.

Requests of Anthropic's Messages API and of OpenAI's Responses API are forwarded as they are to a server that knows
them, and translated to chat completions for topcoat's own server and for others that don't (`apis`).
"""

from __future__ import annotations

import asyncio
import contextlib
import string
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from aiohttp import ClientError, ClientResponse, ClientSession, ClientTimeout, TCPConnector, web
from multidict import CIMultiDict
from yarl import URL

from topcoat.errors import InvalidInput
from topcoat.usage.capture.access import Access
from topcoat.usage.capture.apis.chat_answer import error_in
from topcoat.usage.capture.apis.chat_request import Untranslatable, for_our_model, object_in
from topcoat.usage.capture.apis.messages_request import messages_to_chat
from topcoat.usage.capture.apis.notes import Notes
from topcoat.usage.capture.apis.server_events import END
from topcoat.usage.capture.apis.table import CHAT_PATH, COUNT_PATH, Api, Translation, api_at, api_of
from topcoat.usage.capture.candidate.canary import Canary
from topcoat.usage.capture.candidate.trying import Tried
from topcoat.usage.capture.copying import Copy
from topcoat.usage.capture.exchange import RECORDED, Exchange
from topcoat.usage.capture.headers import for_chat, handed_on, handed_to, is_handed_on, session_named
from topcoat.usage.capture.observing.observation import data_seen, shown
from topcoat.usage.capture.observing.observer import Observer
from topcoat.usage.capture.recorder import RecordingFigures
from topcoat.usage.capture.served.door import Closed, Door, Upstream
from topcoat.usage.capture.web_server import running

__all__ = ["Front", "listening"]

LARGEST_REQUEST = 1 << 25
"""In bytes, unpacked. Every request is parsed, and while one of 32 MiB is, the others wait for a second or two."""
_CONNECT_SECONDS = 10.0
_RECORD_SECONDS = 5.0
"""The longest time that the end of an answer waits for the recorder. Nothing waits while recording fails."""
_ALIVE_SECONDS = 15.0
"""How long a translated stream is silent at most. Clients take a longer silence for a broken connection."""
_UNKNOWN = (404, 405, 501)
"""What a server may say of a path that it doesn't have."""
_MODEL_HEADER = "X-Topcoat-Model"
_NOTES_HEADER = "X-Topcoat-Notes"
_LONGEST_HEADER = 4_000


@dataclass(frozen=True, slots=True)
class _Asked:
    """A request that was read, and the server that answers it."""

    request: web.Request
    body: bytes
    started: datetime
    client: ClientSession
    upstream: Upstream

    def copy(self, answer: ClientResponse, *, asked_in: Api | None, answered_in: Api | None) -> Copy:
        """A copy of the exchange to be, without a byte of the answer."""
        headers = self.request.headers
        begun = Exchange(
            self.started,
            self.body,
            b"",
            streamed=answer.content_type == "text/event-stream",
            whole=False,
            session=session_named(headers),
            branch=headers.get("X-Branch", ""),
            asked=asked_in.name if asked_in else "chat",
            answered=answered_in.name if answered_in else "chat",
            model=self.upstream.model,
        )
        length = answer.headers.get("Content-Length", "")
        return Copy(
            begun, answered_in.ends if answered_in else (END.encode(),), int(length) if length.isdigit() else -1
        )


@dataclass(frozen=True, slots=True)
class Front:
    """The front. `record` takes an exchange and returns at once; its future is done when the exchange is written.

    `door` says which server answers. `figures` counts what was recorded and lost. `notes` has what translations leave
    out. `unknown` are the paths that the upstream lacks. `observer` has the metrics while the front listens.
    `tried` has the canary, if there is one, which says which requests another server answers.
    """

    door: Door
    access: Access
    record: Callable[[Exchange], Future[None]]
    figures: Callable[[], RecordingFigures]
    notes: Notes = field(default_factory=Notes)
    unknown: set[str] = field(default_factory=set)
    observer: Observer | None = None
    tried: Tried = field(default_factory=Tried)

    async def handle(self, request: web.Request, client: ClientSession) -> web.StreamResponse:
        """Answer one request."""
        refusal = self.access.refusal(
            host=_host(request),
            origin=request.headers.get("Origin"),
            authorization=request.headers.get("Authorization", ""),
            api_key=request.headers.get("X-Api-Key", ""),
        )
        if refusal is not None:
            return _error(request, *refusal)
        if self.observer and request.method == "GET" and request.path == "/metrics":
            said, kind = self.observer.metrics.exposition(self.figures(), request.headers.get("Accept", ""))
            return web.Response(body=said, headers={"Content-Type": kind})
        if request.method == "GET" and request.path == "/health":
            return await self._health(client)
        if self.door.model and request.method == "GET" and request.path == "/v1/models":
            listed = {"id": self.door.model, "object": "model", "owned_by": "topcoat"}
            return web.json_response({"object": "list", "data": [listed]})
        started = datetime.now(UTC)
        try:
            body = await request.read()
        except web.RequestPayloadError:
            return _error(request, 400, "the request's body isn't what its headers say")
        except web.HTTPRequestEntityTooLarge:
            return _error(request, 413, f"the request is larger than {LARGEST_REQUEST >> 20} MiB")
        try:
            canary = self.tried.canary  # the same at the end, whatever is tried then
            async with self.door.enter(_diverted(canary, request, body)) as upstream:
                response = await self._answered(_Asked(request, body, started, client, upstream))
                if canary:
                    canary.answered(response.status)
                return response
        except Closed as closed:
            response = _error(request, 503, str(closed))
            response.headers["Retry-After"] = str(closed.seconds)
            return response

    async def _answered(self, asked: _Asked) -> web.StreamResponse:
        request, own = asked.request, asked.upstream.model
        api = api_at(request.path) if request.method == "POST" else None
        if own and request.method == "POST" and request.path == COUNT_PATH:
            return await self._counted(asked)
        if api is not None and (own or request.path in self.unknown):
            return await self._translated(asked, api)
        if own and api_of(request.path):
            return _error(request, 404, f"topcoat has no {request.method} {request.path}"[:200])
        return await self._hand_on(asked, api)

    async def _hand_on(self, asked: _Asked, api: Api | None) -> web.StreamResponse:
        """Hand a request on as it is. `api` is set if it belongs to one that the upstream may not know."""
        request, sent, upstream = asked.request, asked.body, asked.upstream
        if upstream.model and request.method == "POST":
            try:
                sent = for_our_model(asked.body)
            except (ValueError, RecursionError):
                return _error(request, 400, "the request is not a JSON object")
        headers = handed_to(self._headers(asked), api.name if api else "chat", upstream.headers)
        path = request.rel_url.raw_path_qs if _is_absolute(request) else request.raw_path
        url = URL(upstream.url + path, encoded=True)
        try:
            async with asked.client.request(request.method, url, data=sent, headers=headers) as answer:
                if api is None or answer.status not in _UNKNOWN:
                    return await self._hand_back(asked, answer, self._copy(asked, answer, api))
        except (ClientError, TimeoutError) as error:
            return _unreachable(request, error)
        return await self._translated(asked, api, refused=True)

    def _headers(self, asked: _Asked) -> CIMultiDict[str]:
        return handed_on(asked.request.headers, asked.upstream.headers, token=bool(self.access.token))

    def _copy(self, asked: _Asked, answer: ClientResponse, api: Api | None) -> Copy | None:
        """The copy of an exchange that is handed on; None if it is none to record."""
        recorded = api is not None or asked.request.path in RECORDED
        if asked.request.method != "POST" or not recorded or answer.status != 200:
            return None
        return asked.copy(answer, asked_in=api, answered_in=api)

    async def _hand_back(self, asked: _Asked, answer: ClientResponse, copy: Copy | None) -> web.StreamResponse:
        request = asked.request
        response = _begun(answer, asked.upstream)
        try:
            await response.prepare(request)
            end = b""
            async for chunk in answer.content.iter_any():
                data_seen(chunk)
                if copy:
                    copy.chunks.append(chunk)
                    if end or copy.is_at_its_end():
                        end += chunk
                        continue
                await response.write(chunk)
            if asked.upstream.model and copy and copy.is_cut():
                raise ConnectionResetError  # our server died; an answer without a length seems complete
            if copy:
                copy.whole = True
                finished, copy = copy, None
                await self._recorded(finished.exchange())
            if end:
                await response.write(end)
            await response.write_eof()
        except (ClientError, ConnectionError, TimeoutError):  # one side closed the connection during the answer
            if request.transport is not None:
                request.transport.abort()  # so the client doesn't take the answer for complete
        finally:
            if copy:
                self.record(copy.exchange())
        return response

    async def _translated(self, asked: _Asked, api: Api, *, refused: bool = False) -> web.StreamResponse:
        """Ask the model server in chat completions, and answer in the client's API.

        `refused`: the upstream was asked in that API before, and didn't know it.
        """
        request, upstream = asked.request, asked.upstream
        try:
            translation = api.translate(asked.body, upstream.model)
            sent = translation.body
        except Untranslatable as error:
            return _error(request, 400, str(error))
        except RecursionError:
            return _error(request, 400, "the request is nested too deeply")
        headers = for_chat(self._headers(asked), upstream.headers)
        try:
            async with asked.client.post(f"{upstream.url}{CHAT_PATH}", data=sent, headers=headers) as answer:
                if answer.status != 200:
                    return await self._refused(asked, answer)
                if refused and request.path not in self.unknown:
                    self.unknown.add(request.path)
                    self.notes.say(f"{upstream.url} has no {request.path}: translated to chat completions")
                self.notes.add(request.path, translation.request.notes)
                copy = asked.copy(answer, asked_in=api, answered_in=None)
                if copy.streamed and translation.streamed:
                    return await self._hand_back_stream(asked, answer, copy, translation)
                return await self._hand_back_whole(asked, answer, copy, translation)
        except (ClientError, TimeoutError) as error:
            return _unreachable(request, error)

    async def _refused(self, asked: _Asked, answer: ClientResponse) -> web.Response:
        """The model server's refusal, in the client's API. mlx_lm.server says 404 of what its model can't read."""
        status = 400 if asked.upstream.model and answer.status == 404 else max(answer.status, 400)
        said = f"the model server refuses the request: {error_in(await answer.read())}"
        response = _error(asked.request, status, said)
        if "Retry-After" in answer.headers:
            response.headers["Retry-After"] = answer.headers["Retry-After"]
        return response

    async def _hand_back_whole(
        self, asked: _Asked, answer: ClientResponse, copy: Copy, translation: Translation
    ) -> web.StreamResponse:
        said = None
        try:
            copy.chunks.append(await answer.read())
        except BaseException:  # also where the client went away
            self.record(copy.exchange())
            raise
        with contextlib.suppress(ValueError):
            said = translation.whole(copy.chunks[0])
        copy.whole = said is not None
        await self._recorded(copy.exchange())
        if said is None:
            return _error(asked.request, 502, "the model server's answer is no chat completion")
        kind = "text/event-stream" if translation.streamed else "application/json"
        return web.Response(body=said, content_type=kind, headers=_said(asked, translation))

    async def _hand_back_stream(
        self, asked: _Asked, answer: ClientResponse, copy: Copy, translation: Translation
    ) -> web.StreamResponse:
        begun = {"Content-Type": "text/event-stream", "Cache-Control": "no-cache"}
        response = web.StreamResponse(headers={**begun, **_said(asked, translation)})
        kept: Copy | None = copy
        try:
            await response.prepare(asked.request)
            await response.write(translation.begin())
            async for chunk in _chunks(answer):
                data_seen(chunk)
                copy.chunks.append(chunk)
                if said := translation.feed(chunk):
                    await response.write(said)
                if translation.over:
                    break
            copy.whole, kept = translation.complete, None
            await self._recorded(copy.exchange())
            await response.write(translation.end())
            await response.write_eof()
        except (ClientError, ConnectionError, TimeoutError):  # one side closed the connection during the answer
            with contextlib.suppress(ClientError, ConnectionError):
                await response.write(translation.broken())
                await response.write_eof()
        finally:
            if kept:
                self.record(kept.exchange())
        return response

    async def _counted(self, asked: _Asked) -> web.StreamResponse:
        """The number of tokens of a request of the Messages API."""
        if asked.upstream.count is None:
            return _error(asked.request, 404, "topcoat can't count the tokens of this model")
        try:
            chat = messages_to_chat(object_in(asked.body), counted=True).body
            number = await asyncio.to_thread(asked.upstream.count, chat["messages"], chat.get("tools"))
        except (Untranslatable, InvalidInput) as error:
            return _error(asked.request, 400, str(error))
        except RecursionError:
            return _error(asked.request, 400, "the request is nested too deeply")
        return web.json_response({"input_tokens": number})

    async def _recorded(self, exchange: Exchange) -> None:
        """Record an exchange, and wait for some time until it is written."""
        await asyncio.wait([asyncio.wrap_future(self.record(exchange))], timeout=_RECORD_SECONDS)

    async def _is_well(self, client: ClientSession) -> bool:
        """Whether requests can be sent. While no server stands at the door they can: they wait for the next one."""
        if self.door.upstream is None:
            return True
        try:
            async with (
                self.door.enter() as upstream,  # so that the server isn't ended meanwhile
                client.get(f"{upstream.url}/health", headers=upstream.headers) as answer,
            ):
                return answer.status < 500
        except (ClientError, TimeoutError):
            return False

    async def _health(self, client: ClientSession) -> web.Response:
        well = await self._is_well(client)
        document: dict[str, Any] = {"status": "ok" if well else "unavailable", "capture": self.figures().model_dump()}
        if self.door.model:
            document["model"] = self.door.model
        if self.door.waiting:
            document["waiting"] = self.door.waiting
        if self.notes.counts:
            document["translation"] = dict(self.notes.counts)
        return web.json_response(document, status=200 if well else 503)


def _is_absolute(request: web.Request) -> bool:
    """Whether the request names a whole URL, as clients do that take the front for a proxy."""
    return not request.raw_path.startswith("/")


def _host(request: web.Request) -> str:
    """The host that the request is for. A whole URL says it instead of `Host`: RFC 9112, 3.2.2."""
    return (URL(request.raw_path).raw_authority if _is_absolute(request) else "") or request.headers.get("Host", "")


def _begun(answer: ClientResponse, upstream: Upstream) -> web.StreamResponse:
    """A response with the status and headers of `answer`, and the name of the model that answers."""
    response = web.StreamResponse(status=answer.status, reason=answer.reason)
    for key, value in answer.headers.items():
        if is_handed_on(key) and not key.lower().startswith("access-control-"):
            response.headers.add(key, value)
    response.headers.update(_model(upstream))
    if answer.content_length is not None:
        response.content_length = answer.content_length
    return response


@asynccontextmanager
async def listening(front: Front, port: int) -> AsyncIterator[int]:
    """Serve during the block and yield the port (a free one if `port` is 0). Raises `Refused` if it can't listen."""
    connector = TCPConnector(limit=0)
    timeout = ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS)
    session = ClientSession(connector=connector, timeout=timeout, auto_decompress=False)
    async with session as client, Observer(front.notes.say) as observer:
        watched = replace(front, record=shown(front.record), observer=observer)

        async def handle(request: web.Request) -> web.StreamResponse:
            parent = request.headers.get("traceparent", "")
            with observer.watch(request.method, request.path, parent) as seen:
                seen.model = front.door.model
                response = await watched.handle(request, client)
                seen.model = response.headers.get(_MODEL_HEADER, seen.model)
                seen.code = str(response.status)
            return response

        app = web.Application(client_max_size=LARGEST_REQUEST)
        app.router.add_route("*", "/{path:.*}", handle)
        # A client that disconnects cancels its request, so that the model stops working on it.
        async with running(app, front.access.host, port) as listened:
            yield listened


def _diverted(canary: Canary | None, request: web.Request, body: bytes) -> Upstream | None:
    """The candidate's server, if the request belongs to one of its sessions."""
    if canary is None:
        return None
    return canary.choose(request.method, request.path, session_named(request.headers), body)


async def _chunks(answer: ClientResponse) -> AsyncIterator[bytes]:
    """The chunks of an answer, and a comment after each long silence."""
    while True:
        try:
            async with asyncio.timeout(_ALIVE_SECONDS):  # Python 3.11's wait_for can lose a cancellation
                chunk = await answer.content.readany()
        except TimeoutError:
            chunk = b": silent\n\n"
        if not chunk:
            return
        yield chunk


def _model(upstream: Upstream) -> dict[str, str]:
    """The header that says which model answers. Of another server's models topcoat knows nothing."""
    return {_MODEL_HEADER: quote(upstream.model, safe=string.punctuation + " ")} if upstream.model else {}


def _said(asked: _Asked, translation: Translation) -> dict[str, str]:
    """The headers that say which model answers, and what the translation left out, if it left out something."""
    notes = "; ".join(sorted(translation.request.notes))
    return {**_model(asked.upstream), **({_NOTES_HEADER: notes[:_LONGEST_HEADER]} if notes else {})}


def _unreachable(request: web.Request, error: Exception) -> web.Response:
    return _error(request, 502, f"the model server can't be reached: {str(error) or type(error).__name__}")


def _error(request: web.Request, status: int, message: str) -> web.Response:
    """An error in the form of the API that the request belongs to. Its own form is that of OpenAI's clients."""
    if api := api_of(request.path):
        return web.json_response(api.error(status, message), status=status)
    return web.json_response({"error": {"message": message, "type": "topcoat", "code": status}}, status=status)
