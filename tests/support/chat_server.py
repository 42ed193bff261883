"""A chat completions server for tests: it answers as it is told to."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

__all__ = ["Act", "Handler", "Server", "drop", "dying", "echo", "half", "hang", "message", "serving", "status"]

Act = Callable[["Handler"], None]


class Server(ThreadingHTTPServer):
    """Request n of a case gets act n, later ones the last; what was asked is kept.

    `models` are the ids that it lists; it lists none if there are none.
    """

    daemon_threads = True
    request_queue_size = 64
    acts: Sequence[Act] = ()
    models: Sequence[str] | None = None

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.lock = threading.Lock()
        self.open = self.most_open = 0
        self.asked, self.released, self.dead = threading.Event(), threading.Event(), threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: object, client_address: object) -> None:
        pass


class Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path == "/v1/models" and self.server.models is not None:
            data = [{"id": name, "object": "model"} for name in self.server.models]
            self.send(200, json.dumps({"object": "list", "data": data}).encode())
        else:
            self.send(404, b"no")

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            before = sum(other.get("messages") == body.get("messages") for other in self.server.bodies)
            self.server.bodies.append(body)
            self.number = len(self.server.bodies)
            self.server.headers.append({**dict(self.headers.items()), "path": self.path})
            self.server.open += 1
            self.server.most_open = max(self.server.most_open, self.server.open)
        self.body = body
        self.server.asked.set()
        try:
            self.server.acts[min(before, len(self.server.acts) - 1)](self)
        finally:
            with self.server.lock:
                self.server.open -= 1

    def send(self, status: int, content: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


def message(finish: str = "stop", **fields: Any) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", **fields}, "finish_reason": finish}
    return json.dumps({"choices": [choice], "usage": {"completion_tokens": 7}}).encode()


def echo(handler: Handler) -> None:
    handler.send(200, message(content=handler.body["messages"][-1]["content"]))


def status(code: int, content: bytes = b'{"error": "busy"}', **headers: str) -> Act:
    return lambda handler: handler.send(code, content, **headers)


def drop(handler: Handler) -> None:
    handler.close_connection = True
    handler.connection.close()


def half(handler: Handler) -> None:
    """Promises more than it sends."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"choices"')
    drop(handler)


def hang(handler: Handler) -> None:
    handler.server.released.wait(30)


def dying(after: int, act: Act = echo) -> Act:
    """Ends the whole server after so many requests: open ones are dropped, new ones refused."""

    def answer(handler: Handler) -> None:
        server = handler.server
        if handler.number <= after:
            act(handler)
            return
        with server.lock:
            first = not server.dead.is_set()
            server.dead.set()
        if first:
            server.shutdown()
            server.server_close()
        drop(handler)

    return answer


@contextmanager
def serving(*acts: Act, models: Sequence[str] | None = None) -> Iterator[Server]:
    server = Server()
    server.acts, server.models = acts, models
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.released.set()
        server.shutdown()
        thread.join()
        server.server_close()
