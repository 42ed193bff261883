"""An MCP server of the official SDK: ``python -m tests.support.mcp_server stdio|http|sse|circle|noisy [PORT]``.

It has five tools, on three pages; over HTTP, where the SDK makes the pages, on one.
"""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__all__ = ["COMMAND", "NAMES", "serving_mcp"]

NAMES = ["read_file", "home.set_light", "get-pet", "now", "last"]
COMMAND = [sys.executable, "-m", "tests.support.mcp_server"]

_ROOT = Path(__file__).parents[2]
_PAGE = 2
_PATHS = {"http": "/mcp", "sse": "/sse"}


@contextmanager
def serving_mcp(transport: str) -> Iterator[str]:
    """The URL of the server, which runs as a process of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with subprocess.Popen([*COMMAND, transport, str(port)], cwd=_ROOT, stderr=subprocess.DEVNULL) as process:
        try:
            while process.poll() is None and not _listens(port):
                time.sleep(0.05)
            yield f"http://127.0.0.1:{port}{_PATHS[transport]}"
        finally:
            process.terminate()


def _listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def _tools() -> list[Any]:
    from mcp import types

    schema = {"type": "object", "properties": {"path": {"type": "string", "default": None}}, "required": ["path"]}
    said = os.environ.get("SAID_BY_TESTS", "Does it.")
    result = {"type": "object", "properties": {"content": {"type": "string"}}}
    first = types.Tool(name=NAMES[0], description=said, input_schema=schema, output_schema=result)
    return [first, *(types.Tool(name=name, title=f"The {name}", input_schema={"type": "object"}) for name in NAMES[1:])]


def _server(mode: str) -> Any:
    """A server that gives its tools in pages; in a circle, the same page for ever."""
    from mcp import types
    from mcp.server.lowlevel import Server

    async def pages(_: object, asked: Any) -> types.ListToolsResult:
        start = int(asked.cursor or 0) if asked else 0
        following = start if mode == "circle" else start + _PAGE
        more = str(following) if mode == "circle" or following < len(NAMES) else None
        return types.ListToolsResult(tools=_tools()[start : start + _PAGE], next_cursor=more)

    return Server("files", on_list_tools=pages)


async def _speak(mode: str) -> None:
    from mcp.server.stdio import stdio_server

    server = _server(mode)
    async with stdio_server() as (read, write):
        await server.run(read, write, server.create_initialization_options())


def _main(mode: str, port: int) -> None:
    if mode == "noisy":
        print("starting up", flush=True)
    if mode in _PATHS:
        from mcp.server.mcpserver import MCPServer

        served = MCPServer("files")
        for name in NAMES:
            served.add_tool(print, name=name, description="Does it.")
        served.run("sse" if mode == "sse" else "streamable-http", port=port)
    else:
        asyncio.run(_speak(mode))


if __name__ == "__main__":
    _main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 0)
