"""`python -m topcoat.engine.fake_server`: a fake model behind OpenAI's chat completions, whole or streamed.

Like the server of the MLX engine it takes only requests with the key in the environment, and ends with its parent.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from topcoat.engine.fake import FakeEngine, FakeTokenizer
from topcoat.engine.keyed_server import KEY_HEADER, KEY_VARIABLE, end_with_parent, keyed_process
from topcoat.engine.protocol import GenerateJob, ServerProcess
from topcoat.errors import InvalidInput
from topcoat.progress import Silent

__all__ = ["server_process"]

_COMMON = {"id": "fake", "created": 0, "model": "fake"}


def server_process(model: Path, port: int, arguments: Sequence[str]) -> ServerProcess:
    """The process that serves the fake model in `model`. Raises InvalidInput for `arguments`: it takes none."""
    if arguments:
        raise InvalidInput(
            f"the server of the fake engine takes no options: {' '.join(arguments)}",
            hint="topcoat --engine fake serve",
        )
    return keyed_process("topcoat.engine.fake_server", [str(model), str(port)])


class _Handler(BaseHTTPRequestHandler):
    model: Path

    def do_GET(self) -> None:
        self._answer({"status": "ok"})

    def do_POST(self) -> None:
        if self.headers.get(KEY_HEADER) != os.environ[KEY_VARIABLE]:
            self.send_error(403)
            return
        try:
            request = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))))
            prompt = FakeTokenizer().chat(request["messages"], add_generation_prompt=True)
        except (ValueError, KeyError, TypeError, AttributeError):
            self.send_error(400)
            return
        job = GenerateJob(self.model, [prompt], [int(request.get("max_tokens") or 512)])
        (completion,) = FakeEngine().generate(job, Silent())
        if request.get("stream"):
            self._stream(completion.text, completion.finish)
            return
        message = {"role": "assistant", "content": completion.text}
        choice = {"index": 0, "message": message, "finish_reason": completion.finish}
        self._answer({**_COMMON, "object": "chat.completion", "choices": [choice]})

    def _answer(self, document: dict[str, Any]) -> None:
        body = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _stream(self, text: str, finish: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        pieces: list[tuple[dict[str, str], str | None]] = [({"content": word}, None) for word in text.split(" ")]
        pieces = [(({"content": " " + delta["content"]} if n else delta), end) for n, (delta, end) in enumerate(pieces)]
        for delta, reason in [*pieces, ({}, finish)]:
            choice = {"index": 0, "delta": delta, "finish_reason": reason}
            chunk = {
                "id": "fake",
                "object": "chat.completion.chunk",
                "created": 0,
                "model": "fake",
                "choices": [choice],
            }
            self.wfile.write(f"data: {json.dumps(chunk)}\n\n".encode())
        self.wfile.write(b"data: [DONE]\n\n")

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: what users ask is in the requests."""


def _main(model: str, port: str) -> None:
    _Handler.model = Path(model)
    threading.Thread(target=end_with_parent, daemon=True).start()
    ThreadingHTTPServer(("127.0.0.1", int(port)), _Handler).serve_forever()


if __name__ == "__main__":
    _main(*sys.argv[1:3])
