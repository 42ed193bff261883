"""A stand-in for the Hugging Face hub: data sets of a few files, over the four requests that `datasets` makes."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

__all__ = ["serving_datasets"]

COMMIT = "0" * 40


class _Hub(BaseHTTPRequestHandler):
    repositories: Mapping[str, Mapping[str, bytes]]

    def do_GET(self) -> None:
        name, action, path = _parsed(self.path)
        files = self.repositories.get(name)
        if files is None:
            self._answer(404, b"", {"X-Error-Code": "RepoNotFound"})
        elif action == "resolve" and path not in files:
            self._answer(404, b"", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT})
        elif action == "resolve":
            self._answer(200, files[path], {"ETag": f'"{_oid(files[path])}"', "X-Repo-Commit": COMMIT})
        elif action in ("tree", "paths-info"):
            asked = self._asked() if action == "paths-info" else None
            found = [_entry(each, files[each]) for each in files if asked is None or each in asked]
            self._answer(200, json.dumps(found).encode())
        else:
            about = {"id": name, "sha": COMMIT, "siblings": [{"rfilename": each} for each in files]}
            self._answer(200, json.dumps(about).encode())

    do_HEAD = do_POST = do_GET

    def _asked(self) -> list[str]:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        if body.startswith("{"):
            return list(json.loads(body)["paths"])
        return parse_qs(body).get("paths", [])

    def _answer(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        for key, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving_datasets(repositories: Mapping[str, Mapping[str, bytes]]) -> Iterator[str]:
    """The URL of a hub with these data sets: OWNER/NAME to the files in it."""
    hub = type("Hub", (_Hub,), {"repositories": repositories})
    with ThreadingHTTPServer(("127.0.0.1", 0), hub) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


def _parsed(address: str) -> tuple[str, str, str]:
    """A repository's name, what is asked of it, and the path in it."""
    parts = [unquote(part) for part in urlsplit(address).path.removeprefix("/api").split("/")[2:]]
    return "/".join(parts[:2]), parts[2] if len(parts) > 2 else "", "/".join(parts[4:])


def _entry(path: str, content: bytes) -> dict[str, object]:
    return {"type": "file", "path": path, "size": len(content), "oid": _oid(content)}


def _oid(content: bytes) -> str:
    return hashlib.sha1(content).hexdigest()
