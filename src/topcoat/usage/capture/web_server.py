"""What topcoat's servers on this machine share: listening on a port, and saying their own faults in a line."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from topcoat.errors import Refused

__all__ = ["running"]

_CLIENTS_FAULTS = (HttpProcessingError, web.RequestPayloadError, ConnectionError)


@asynccontextmanager
async def running(app: web.Application, host: str, port: int) -> AsyncIterator[int]:
    """Serve `app` during the block and yield the port (a free one if `port` is 0). Raises `Refused` if it can't listen.

    A client that disconnects cancels its request.
    """
    runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=2.0, logger=_faults_only())
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        try:
            await site.start()
        except OSError as error:
            hint = f"--port {port + 1}" if port else "--host 127.0.0.1"
            raise Refused(f"can't listen on {host}:{port}: {error.strerror or error}", hint=hint) from error
        yield runner.addresses[0][1]
    finally:
        with contextlib.suppress(asyncio.CancelledError):
            await runner.cleanup()


def _faults_only() -> logging.Logger:
    """aiohttp's logger for one server. Says in a line of stderr that a request met a fault of ours.

    Its usual one also prints a traceback for each malformed request, with the header, which may hold a secret.
    """
    handler = logging.StreamHandler()
    handler.addFilter(lambda record: not (record.exc_info and isinstance(record.exc_info[1], _CLIENTS_FAULTS)))
    handler.setFormatter(_OneLine())
    logger = logging.Logger("topcoat.server")  # not one of logging's tree: its handlers get nothing
    logger.addHandler(handler)
    return logger


class _OneLine(logging.Formatter):
    """The kind of a fault, without what the request said."""

    def format(self, record: logging.LogRecord) -> str:
        error = record.exc_info[1] if record.exc_info else None
        return f"a request failed by a fault of topcoat: {type(error).__name__ if error else record.getMessage()}"
