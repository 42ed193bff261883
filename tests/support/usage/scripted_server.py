"""A model server for tests: `python scripted_server.py FOLDER PORT` does what the script in FOLDER says.

`script.json` may have `loading` (seconds), `dies` (while it loads), `refuses` (a message instead of answers), `memory`
(what it says of it) and `finish` (why its answers end). Every answer is the folder's name, again and again. A streamed
one ends when the file `end` is in the folder. The process writes its number to a file beside the project's.
It imports nothing but Python's own, so that it starts at once.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

__all__ = ["processes"]


def processes(model: Path) -> list[int]:
    """The processes that were started for a model, in order."""
    written = _file_of_processes(model)
    return [int(line) for line in written.read_text().split()] if written.exists() else []


def _file_of_processes(model: Path) -> Path:
    """Not in the model's folder, whose files are looked at."""
    return model.parents[2] / f"{model.name}.processes"


class _Handler(BaseHTTPRequestHandler):
    folder: Path
    script: Mapping[str, Any]

    def do_GET(self) -> None:
        self._answer(self.script.get("memory") if self.path == "/memory" else {"status": "ok"})

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if "refuses" in self.script:
            self._answer({"error": self.script["refuses"]}, 404)
        elif asked.get("stream"):
            self._stream()
        else:
            said = {"role": "assistant", "content": f"{self.folder.name} " * 3}
            finish = self.script.get("finish", "stop")
            self._answer({"choices": [{"index": 0, "message": said, "finish_reason": finish}]})

    def _stream(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        last = False
        while not last:
            last = (self.folder / "end").exists()
            self._say({"delta": {"content": f"{self.folder.name} "}})
            time.sleep(0.02)
        self._say({"delta": {}, "finish_reason": "stop"})
        self.wfile.write(b"data: [DONE]\n\n")

    def _say(self, choice: Mapping[str, Any]) -> None:
        self.wfile.write(f"data: {json.dumps({'choices': [{'index': 0, **choice}]})}\n\n".encode())

    def _answer(self, document: object, status: int = 200) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


def _end_with_parent() -> None:
    while os.read(0, 4096):
        pass
    os._exit(0)


def _main(folder: Path, port: int) -> None:
    with _file_of_processes(folder).open("a") as written:
        written.write(f"{os.getpid()}\n")
    script = folder / "script.json"
    _Handler.folder, _Handler.script = folder, json.loads(script.read_text()) if script.exists() else {}
    threading.Thread(target=_end_with_parent, daemon=True).start()
    time.sleep(_Handler.script.get("loading", 0))
    if _Handler.script.get("dies"):
        print("no room for the weights", flush=True)
        os._exit(3)
    ThreadingHTTPServer(("127.0.0.1", port), _Handler).serve_forever()


if __name__ == "__main__":
    _main(Path(sys.argv[1]), int(sys.argv[2]))
