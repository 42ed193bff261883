"""The server that agents talk to. It forwards each request to a model server and returns the answer.

Bytes are passed on unchanged and at once. The recorder gets a copy of both. Only the end of an answer waits until its
exchange is written, so that killing the process loses no exchange that a client has seen the end of.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import Future
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from aiohttp import ClientError, ClientResponse, ClientSession, ClientTimeout, TCPConnector, web
from aiohttp.http_exceptions import HttpProcessingError
from yarl import URL

from topcoat.errors import Refused
from topcoat.usage.capture.access import Access
from topcoat.usage.capture.exchange import RECORDED, Exchange
from topcoat.usage.capture.recorder import RecordingFigures

__all__ = ["Front", "Upstream", "listening"]

LARGEST_REQUEST = 1 << 25
"""In bytes, unpacked. Every request is parsed, and while one of 32 MiB is, the others wait for a second or two."""
_DECODED = ("gzip", "deflate", "br", "zstd")
_CONNECT_SECONDS = 10.0
_RECORD_SECONDS = 5.0
"""The longest time that the end of an answer waits for the recorder. Nothing waits while recording fails."""
_CLIENTS_FAULTS = (HttpProcessingError, web.RequestPayloadError, ConnectionError)
_NOT_HANDED_ON = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",  # so far: RFC 9110, 7.6.1
        "accept-encoding",  # the recorder must be able to read the answer
        "content-length",
        "host",
        "origin",
    }
)


@dataclass(frozen=True, slots=True)
class Upstream:
    """The server with the model. `headers` are added to each request. `model` is set if topcoat started the server.

    Such a server would load any model that a request names, so the front names the loaded model in every request.
    """

    url: str
    headers: Mapping[str, str]
    model: str = ""


@dataclass(frozen=True, slots=True)
class Front:
    """The front. `record` takes an exchange and returns at once; its future is done when the exchange is written.

    `figures` counts what was recorded and lost.
    """

    upstream: Upstream
    access: Access
    record: Callable[[Exchange], Future[None]]
    figures: Callable[[], RecordingFigures]

    async def handle(self, request: web.Request, client: ClientSession) -> web.StreamResponse:
        """Answer one request."""
        refusal = self.access.refusal(
            host=_host(request),
            origin=request.headers.get("Origin"),
            authorization=request.headers.get("Authorization", ""),
        )
        if refusal is not None:
            return _error(*refusal)
        if request.method == "GET" and request.path == "/health":
            return await self._health(client)
        if self.upstream.model and request.method == "GET" and request.path == "/v1/models":
            listed = {"id": self.upstream.model, "object": "model", "owned_by": "topcoat"}
            return web.json_response({"object": "list", "data": [listed]})
        return await self._hand_on(request, client)

    async def _hand_on(self, request: web.Request, client: ClientSession) -> web.StreamResponse:
        started = datetime.now(UTC)
        try:
            body = await request.read()
        except web.RequestPayloadError:
            return _error(400, "the request's body isn't what its headers say")
        except web.HTTPRequestEntityTooLarge:
            return _error(413, f"the request is larger than {LARGEST_REQUEST >> 20} MiB")
        sent = body
        if self.upstream.model and request.method == "POST":
            try:
                sent = _for_our_model(body)
            except (ValueError, RecursionError):
                return _error(400, "the request is not a JSON object")
        headers = {key: value for key, value in request.headers.items() if key.lower() not in _NOT_HANDED_ON}
        if request.headers.get("Content-Encoding", "").lower() in _DECODED:
            headers.pop("Content-Encoding", None)  # aiohttp has decoded the body
        if self.access.token:
            headers.pop("Authorization", None)
        headers |= {"Accept-Encoding": "identity", **self.upstream.headers}
        path = request.rel_url.raw_path_qs if _is_absolute(request) else request.raw_path
        url = URL(self.upstream.url + path, encoded=True)
        try:
            async with client.request(request.method, url, data=sent, headers=headers) as answer:
                recorded = request.method == "POST" and request.path in RECORDED and answer.status == 200
                return await self._hand_back(
                    request, answer, _Copy(request, body, started, answer) if recorded else None
                )
        except (ClientError, TimeoutError) as error:
            return _error(502, f"the model server can't be reached: {str(error) or type(error).__name__}")

    async def _hand_back(self, request: web.Request, answer: ClientResponse, copy: _Copy | None) -> web.StreamResponse:
        response = _begun(answer)
        try:
            await response.prepare(request)
            end = b""
            async for chunk in answer.content.iter_any():
                if copy:
                    copy.chunks.append(chunk)
                    if end or copy.is_at_its_end():
                        end += chunk
                        continue
                await response.write(chunk)
            if self.upstream.model and copy and copy.is_cut():
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

    async def _recorded(self, exchange: Exchange) -> None:
        """Record an exchange, and wait for some time until it is written."""
        await asyncio.wait([asyncio.wrap_future(self.record(exchange))], timeout=_RECORD_SECONDS)

    async def _health(self, client: ClientSession) -> web.Response:
        try:
            async with client.get(f"{self.upstream.url}/health", headers=self.upstream.headers) as answer:
                well = answer.status < 500
        except (ClientError, TimeoutError):
            well = False
        document = {"status": "ok" if well else "unavailable", "capture": self.figures().model_dump()}
        return web.json_response(document, status=200 if well else 503)


class _Copy:
    """The bytes of one exchange, copied as they pass."""

    def __init__(self, request: web.Request, body: bytes, started: datetime, answer: ClientResponse) -> None:
        self._body, self._started = body, started
        self._session = request.headers.get("X-Session-Id", "")
        self._branch = request.headers.get("X-Branch", "")
        self.chunks: list[bytes] = []
        self.streamed = answer.content_type == "text/event-stream"
        self.whole = False
        self._left = int(answer.headers["Content-Length"]) if answer.headers.get("Content-Length", "").isdigit() else -1

    def is_at_its_end(self) -> bool:
        """Whether a client can tell from the chunks so far that the answer is complete. Call it for each chunk."""
        if self._left < 0:
            return self.streamed and not self.is_cut()
        self._left = max(0, self._left - len(self.chunks[-1]))
        return self._left == 0

    def is_cut(self) -> bool:
        """Whether a stream lacks the mark at its end."""
        return self.streamed and b"[DONE]" not in b"".join(self.chunks[-2:])

    def exchange(self) -> Exchange:
        response = b"".join(self.chunks)
        return Exchange(self._started, self._body, response, self.streamed, self.whole, self._session, self._branch)


def _is_absolute(request: web.Request) -> bool:
    """Whether the request names a whole URL, as clients do that take the front for a proxy."""
    return not request.raw_path.startswith("/")


def _host(request: web.Request) -> str:
    """The host that the request is for. A whole URL says it instead of `Host`: RFC 9112, 3.2.2."""
    return (URL(request.raw_path).raw_authority if _is_absolute(request) else "") or request.headers.get("Host", "")


def _begun(answer: ClientResponse) -> web.StreamResponse:
    """A response with the status and headers of `answer`."""
    response = web.StreamResponse(status=answer.status, reason=answer.reason)
    for key, value in answer.headers.items():
        if key.lower() not in _NOT_HANDED_ON and not key.lower().startswith("access-control-"):
            response.headers.add(key, value)
    if answer.content_length is not None:
        response.content_length = answer.content_length
    return response


@asynccontextmanager
async def listening(front: Front, port: int) -> AsyncIterator[int]:
    """Serve during the block and yield the port (a free one if `port` is 0). Raises `Refused` if it can't listen."""
    connector = TCPConnector(limit=0)
    timeout = ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS)
    async with ClientSession(connector=connector, timeout=timeout, auto_decompress=False) as client:

        async def handle(request: web.Request) -> web.StreamResponse:
            return await front.handle(request, client)

        app = web.Application(client_max_size=LARGEST_REQUEST)
        app.router.add_route("*", "/{path:.*}", handle)
        # A client that disconnects cancels its request, so that the model stops working on it.
        runner = web.AppRunner(
            app, handler_cancellation=True, access_log=None, shutdown_timeout=2.0, logger=_faults_only()
        )
        await runner.setup()
        try:
            site = web.TCPSite(runner, front.access.host, port)
            try:
                await site.start()
            except OSError as error:
                where = f"{front.access.host}:{port}"
                hint = f"--port {port + 1}" if port else "--host 127.0.0.1"
                raise Refused(f"can't listen on {where}: {error.strerror or error}", hint=hint) from error
            yield runner.addresses[0][1]
        finally:
            with contextlib.suppress(asyncio.CancelledError):
                await runner.cleanup()


def _faults_only() -> logging.Logger:
    """aiohttp's logger for this server. Says in a line of stderr that a request met a fault of ours.

    Its usual one also prints a traceback for each malformed request, with the header, which may hold a secret.
    """
    handler = logging.StreamHandler()
    handler.addFilter(lambda record: not (record.exc_info and isinstance(record.exc_info[1], _CLIENTS_FAULTS)))
    handler.setFormatter(_OneLine())
    logger = logging.Logger("topcoat.front")  # not one of logging's tree: its handlers get nothing
    logger.addHandler(handler)
    return logger


class _OneLine(logging.Formatter):
    """The kind of a fault, without what the request said."""

    def format(self, record: logging.LogRecord) -> str:
        error = record.exc_info[1] if record.exc_info else None
        return f"a request failed by a fault of topcoat: {type(error).__name__ if error else record.getMessage()}"


def _for_our_model(body: bytes) -> bytes:
    """The request with the name of the loaded model. Raises `ValueError` if it isn't a JSON object.

    Raises `RecursionError` if it is nested too deeply.
    """
    document: Any = json.loads(body)
    if not isinstance(document, dict):
        raise ValueError
    if document.get("model") in (None, "default_model") and not document.keys() & {"adapters", "draft_model"}:
        return body
    kept = {key: value for key, value in document.items() if key not in ("adapters", "draft_model")}
    return json.dumps({**kept, "model": "default_model"}).encode()


def _error(status: int, message: str) -> web.Response:
    """An error in the format of OpenAI's clients."""
    return web.json_response({"error": {"message": message, "type": "topcoat", "code": status}}, status=status)
