"""Tools of live MCP servers, each a process that speaks the official SDK's protocol."""

from __future__ import annotations

import shlex
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.support.mcp_server import COMMAND, NAMES, serving_mcp
from topcoat.catalogs import mcp_server
from topcoat.catalogs.mcp_server import KEY_VARIABLE, read_mcp_command, read_mcp_url
from topcoat.catalogs.read_tools import name_of
from topcoat.errors import EndpointFault, InvalidInput

needs_mcp = pytest.mark.skipif(mcp_server.missing(), reason="the extra is not installed: pip install 'topcoat[mcp]'")


def command(mode: str) -> str:
    return shlex.join([*COMMAND, mode])


def python(program: str) -> str:
    return shlex.join([sys.executable, "-c", program])


@pytest.mark.slow
@needs_mcp
def test_a_command_s_tools_are_read_page_by_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAID_BY_TESTS", "Reads a file.")
    found = read_mcp_command(command("stdio"))
    assert (found.form, [name_of(tool) for tool in found.tools], found.notes) == ("MCP", NAMES, [])
    assert found.tools[0]["function"] == {
        "name": "read_file",
        "description": "Reads a file.",
        "parameters": {
            "type": "object",
            "properties": {"path": {"type": "string", "default": None}},
            "required": ["path"],
        },
    }
    assert [tool["function"]["description"] for tool in found.tools[1:]] == [f"The {name}" for name in NAMES[1:]]
    assert [left.names for left in found.left_out] == [("read_file",)]


@pytest.mark.slow
@needs_mcp
@pytest.mark.parametrize("transport", ["http", "sse"])
def test_the_tools_at_a_url_are_read_by_either_transport(transport: str) -> None:
    with serving_mcp(transport) as url:
        assert [name_of(tool) for tool in read_mcp_url(url).tools] == NAMES


@pytest.mark.slow
@needs_mcp
def test_another_path_of_a_server_is_told() -> None:
    with serving_mcp("http") as url, pytest.raises(EndpointFault) as caught:
        read_mcp_url(f"{url}/other?token=secret")
    assert caught.value.message == f"{url}/other: it offers no tools, or isn't an MCP server (HTTP 404)"
    assert "secret" not in (caught.value.hint or "")


@pytest.mark.slow
@needs_mcp
def test_a_circle_of_pages_ends() -> None:
    with pytest.raises(EndpointFault, match="gives the same page of its tools again and again"):
        read_mcp_command(command("circle"))


@pytest.mark.slow
@needs_mcp
def test_what_is_printed_beside_the_protocol_is_told_and_stops_nothing() -> None:
    found = read_mcp_command(command("noisy"))
    assert [name_of(tool) for tool in found.tools] == NAMES
    assert [note.names for note in found.notes] == [("starting up",)]


@pytest.mark.slow
@needs_mcp
@pytest.mark.parametrize(
    ("started", "said"),
    [
        (python("import sys; sys.exit('no such folder')"), "it ended before it answered; it said: no such folder"),
        (python("print('hello', flush=True); input()"), "it ended before it answered; it said: hello"),
        ("cat", "it offers no tools, or isn't an MCP server"),
        ("sleep 60", "no answer in time: it isn't an MCP server, or it is slow (--timeout)"),
    ],
    ids=["dies", "prints", "echoes", "stays silent"],
)
def test_a_command_that_is_no_server_is_told(started: str, said: str) -> None:
    with pytest.raises(EndpointFault) as caught:
        read_mcp_command(started, timeout=5)
    assert caught.value.message == f"{started}: {said}"
    assert (caught.value.hint or "").startswith(started)


@needs_mcp
@pytest.mark.parametrize("program", ["no-such-program", "/tmp"], ids=["missing", "folder"])
def test_a_command_that_does_not_start_is_told(program: str) -> None:
    with pytest.raises(InvalidInput, match=f"can't start {program}: ") as caught:
        read_mcp_command(f"{program} --stdio")
    assert caught.value.hint == f"which {program}"


@pytest.mark.parametrize(
    ("text", "message"), [("", "is empty"), ("a 'b", "no closing quotation")], ids=["empty", "quote"]
)
def test_a_command_that_is_none_is_told(text: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        read_mcp_command(text)


@pytest.mark.parametrize(
    "url", ["http://", "http://[::1", "http://host:99999/mcp", "mcp"], ids=["host", "bracket", "port", "name"]
)
def test_an_address_that_is_none_is_told(url: str) -> None:
    with pytest.raises(InvalidInput, match="is not"):
        read_mcp_url(url)


def test_without_the_extra_its_command_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mcp", None)
    assert mcp_server.missing()
    for read in (read_mcp_command, read_mcp_url):
        with pytest.raises(InvalidInput, match="the library mcp has to be installed") as caught:
            read("http://127.0.0.1:9/mcp")
        assert caught.value.hint == f"{shlex.quote(sys.executable)} -m pip install 'mcp>=2'"


@contextmanager
def refusing(status: int) -> Iterator[tuple[str, list[tuple[str, str | None]]]]:
    """A server that answers everything with `status`, and the method and the key of each request."""
    requests: list[tuple[str, str | None]] = []

    class Refusing(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            requests.append((self.command, self.headers["Authorization"]))
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_POST

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Refusing)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/mcp", requests
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.slow
@needs_mcp
@pytest.mark.parametrize("status", [401, 403, 404, 500], ids=["unknown", "forbidden", "missing", "broken"])
def test_a_server_that_refuses_is_told(status: int) -> None:
    with refusing(status) as (url, requests), pytest.raises(EndpointFault, match=f"HTTP {status}") as caught:
        read_mcp_url(url, 20, "a-key")
    assert {key for _, key in requests} == {"Bearer a-key"}
    assert ("GET" in {method for method, _ in requests}) == (status == 404)  # the older transport begins so
    assert (caught.value.hint == f"export {KEY_VARIABLE}=KEY") == (status in (401, 403))


@needs_mcp
def test_a_place_without_a_server_is_told() -> None:
    with refusing(500) as (url, _):
        pass
    with pytest.raises(EndpointFault, match="can't connect") as caught:
        read_mcp_url(url, 20)
    assert caught.value.hint == f"curl -i {url}"


def test_a_key_that_can_not_be_sent_is_refused() -> None:
    with pytest.raises(InvalidInput, match="characters that no key has"):
        read_mcp_url("http://127.0.0.1:9/mcp", key="a\nb")
