"""Asks a live MCP server for its tools: one that a command starts, or one at a URL.

The official SDK, the optional extra "mcp", speaks the protocol: over standard input and output, or over streamable
HTTP. At a URL that refuses streamable HTTP, the older transport over server-sent events is tried. No tool is called.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shlex
import sys
import tempfile
from collections.abc import Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, suppress
from typing import IO, Any

import httpx2
from pydantic import ValidationError

from topcoat.catalogs.read_tools import ReadTools
from topcoat.catalogs.shapes import add_tools
from topcoat.errors import EndpointFault, InvalidInput, TopcoatError

__all__ = ["KEY_VARIABLE", "TIMEOUT", "missing", "read_mcp_command", "read_mcp_url"]

KEY_VARIABLE = "TOPCOAT_MCP_KEY"
"""The environment variable with the bearer token, for servers at a URL that want one."""
TIMEOUT = 60.0
"""Seconds for everything: `npx` may have to fetch the server first."""

_MOST_PAGES = 1000
_SAID_LINES, _SAID_LINE, _SAID_LENGTH = 5, 80, 1000
_METHOD_NOT_FOUND = -32601
_KEPT = ("name", "title", "description", "input_schema", "output_schema", "annotations")


def read_mcp_command(command: str, timeout: float = TIMEOUT) -> ReadTools:
    """The tools of the server that `command` starts; it is ended afterwards. It gets this process's environment.

    Raises `InvalidInput` if there is no such command or the extra is missing, `EndpointFault` if what it starts ends,
    stays silent or doesn't speak MCP.
    """
    again = "topcoat catalog import --mcp 'npx -y @modelcontextprotocol/server-everything'"
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise InvalidInput(f"{command}: {str(error).lower()}", hint=again) from None
    if not words:
        raise InvalidInput("the command is empty", hint=again)
    mcp = _mcp()
    from mcp.client.stdio import stdio_client

    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as log:
        server = mcp.StdioServerParameters(command=words[0], args=words[1:], env=dict(os.environ))
        stray: list[str] = []
        try:
            found = _run(_tools_of(stdio_client(server, errlog=log), timeout, stray), timeout)
        except Exception as error:  # a library of transports and their groups: there is no list of what they raise
            said = _said(log) or " / ".join(stray[:_SAID_LINES])[:_SAID_LENGTH]
            raise _fault(_first(error), command, said) from error
    for line in stray:
        found.note("lines on the server's standard output that are no messages of MCP", line[:_SAID_LINE])
    return found


def read_mcp_url(url: str, timeout: float = TIMEOUT, key: str = "") -> ReadTools:
    """The tools of the server at `url`. `key` is sent as a bearer token.

    Raises `InvalidInput` if `url` is none or the extra is missing, `EndpointFault` if no MCP server answers there.
    """
    if not (key.isascii() and key.isprintable()):
        raise InvalidInput("the key holds characters that no key has", hint=f"export {KEY_VARIABLE}=KEY")
    try:
        address = httpx2.URL(url)
    except httpx2.InvalidURL as error:
        raise InvalidInput(f'"{url}" is not a URL: {error}', hint="topcoat catalog import https://HOST/mcp") from None
    if not address.host or (address.port or 0) > 65535:
        raise InvalidInput(f'"{url}" is not the URL of a server', hint="topcoat catalog import https://HOST/mcp")
    _mcp()
    shown = str(address.copy_with(username="", password="", query=None))
    statuses: list[int] = []
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        return _run(_tools_at(url, headers, timeout, statuses), timeout)
    except Exception as error:
        raise _url_fault(_first(error), shown, statuses) from error


async def _tools_at(url: str, headers: dict[str, str], timeout: float, statuses: list[int]) -> ReadTools:
    from mcp.client.sse import sse_client
    from mcp.client.streamable_http import streamable_http_client

    async def noted(response: httpx2.Response) -> None:
        statuses.append(response.status_code)

    client = httpx2.AsyncClient(headers=headers, timeout=httpx2.Timeout(timeout), event_hooks={"response": [noted]})
    async with client:
        try:
            return await _tools_of(streamable_http_client(url, http_client=client), timeout, [])
        except Exception:
            if not statuses or statuses[0] not in range(400, 500) or statuses[0] in (401, 403):
                raise
            with suppress(Exception):  # what the older transport says of a server that has none is no help
                return await _tools_of(sse_client(url, headers=headers, timeout=timeout), timeout, [])
            raise


async def _tools_of(transport: AbstractAsyncContextManager[Any], timeout: float, stray: list[str]) -> ReadTools:
    """All pages of `tools/list`. What the server sends that is no message goes into `stray`."""
    import mcp

    async def noted(message: object) -> None:
        if isinstance(message, ValidationError):
            stray.append(str(message.errors()[0]["input"]).strip())

    found = ReadTools("MCP")
    async with mcp.Client(transport, read_timeout_seconds=timeout, message_handler=noted) as client:
        cursor: str | None = None
        seen: set[str] = set()
        for _ in range(_MOST_PAGES):
            page = await client.list_tools(cursor=cursor)
            add_tools(found, [_item(tool) for tool in page.tools])
            cursor = page.next_cursor
            if not cursor:
                return found
            if cursor in seen:
                raise EndpointFault("the server gives the same page of its tools again and again")
            seen.add(cursor)
    raise EndpointFault(f"the server has more than {_MOST_PAGES} pages of tools")


def _item(tool: Any) -> dict[str, Any]:
    """A tool of the SDK's as the protocol writes it."""
    names = {"input_schema": "inputSchema", "output_schema": "outputSchema"}
    values = {names.get(key, key): getattr(tool, key, None) for key in _KEPT}
    return {key: value for key, value in values.items() if value is not None}


def _run(listing: Coroutine[Any, Any, ReadTools], timeout: float) -> ReadTools:
    async def limited() -> ReadTools:
        async with asyncio.timeout(timeout):
            return await listing

    return asyncio.run(limited())


def missing() -> bool:
    """Whether the extra isn't installed, or only a version before 2, which has no `Client`."""
    try:
        import mcp
    except ImportError:
        return True
    return not hasattr(mcp, "Client")


def _mcp() -> Any:
    if missing():
        hint = f"{shlex.quote(sys.executable)} -m pip install 'mcp>=2'"
        raise InvalidInput("to ask an MCP server, the library mcp has to be installed", hint=hint)
    import mcp

    logging.getLogger("mcp").addHandler(logging.NullHandler())  # what went wrong is said once, by our own error
    return mcp


def _first(error: Exception) -> Any:
    """The first error in a group of them, at any depth; one of our own if there is one."""
    errors = list(_leaves(error))
    return next((found for found in errors if isinstance(found, TopcoatError)), errors[0])


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error


def _said(log: IO[str]) -> str:
    """The last lines that the server wrote to its standard error."""
    log.seek(max(0, log.seek(0, os.SEEK_END) - _SAID_LENGTH))
    lines = [line.rstrip() for line in log.read().splitlines() if line.strip()]
    return " / ".join(lines[-_SAID_LINES:])


def _fault(error: Exception, command: str, said: str) -> TopcoatError:
    """What went wrong with a server that a command started."""
    if isinstance(error, TopcoatError):
        return error
    if isinstance(error, FileNotFoundError | NotADirectoryError | PermissionError):
        program = shlex.split(command)[0]
        return InvalidInput(f"can't start {program}: {error.strerror}", hint=f"which {shlex.quote(program)}")
    told = f"; it said: {said}" if said else ""
    hint = f"{command}  # has to wait for MCP's messages on its standard input, and answer on its standard output"
    return EndpointFault(f"{command}: {_reason(error)}{told}", hint=hint)


def _url_fault(error: Exception, shown: str, statuses: list[int]) -> TopcoatError:
    if isinstance(error, TopcoatError):
        return error
    if statuses and statuses[0] in (401, 403):
        return EndpointFault(f"{shown} wants a key (HTTP {statuses[0]})", hint=f"export {KEY_VARIABLE}=KEY")
    if not statuses:
        return EndpointFault(f"{shown}: {_reason(error)}", hint=f"curl -i {shlex.quote(shown)}")
    file = f"curl -o openapi.json {shlex.quote(shown)}  # if it is a file; then import that"
    return EndpointFault(f"{shown}: {_reason(error)} (HTTP {statuses[0]})", hint=file)


def _reason(error: Exception) -> str:
    """Why no tools came, in words."""
    code = getattr(error, "code", None)
    if isinstance(error, TimeoutError | httpx2.TimeoutException) or "timed out" in str(error):
        return "no answer in time: it isn't an MCP server, or it is slow (--timeout)"
    if isinstance(error, httpx2.ConnectError):
        return f"can't connect: {error}"
    if isinstance(error, ValidationError):
        return f"it answers, but not as MCP says: {error.errors()[0]['msg']}"
    if code == _METHOD_NOT_FOUND:
        return "it offers no tools, or isn't an MCP server"
    if "Connection closed" in str(error):
        return "it ended before it answered"
    return f"it doesn't answer as an MCP server: {(str(error).strip() or type(error).__name__).splitlines()[0]}"
