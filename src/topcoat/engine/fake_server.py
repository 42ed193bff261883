"""`python -m topcoat.engine.fake_server`: a fake model behind OpenAI's chat completions, whole or streamed.

Like the server of the MLX engine it takes only requests with the key in the environment, and ends with its parent.
"""

from __future__ import annotations

import json
import os
import re
import sys
import threading
from collections.abc import Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from topcoat.engine.fake import FakeEngine, FakeTokenizer
from topcoat.engine.host_memory import host_memory_use
from topcoat.engine.keyed_server import (
    KEY_HEADER,
    KEY_VARIABLE,
    MEMORY_PATH,
    end_with_parent,
    keyed_process,
    written_memory,
)
from topcoat.engine.protocol import GenerateJob, ServerProcess
from topcoat.errors import InvalidInput
from topcoat.progress import Silent

__all__ = ["server_process"]

_COMMON = {"id": "fake", "created": 0, "model": "fake"}


def server_process(model: Path, port: int, arguments: Sequence[str], template: Mapping[str, object]) -> ServerProcess:
    """The process that serves the fake model in `model`, with the options `template` of its chat template.

    Raises InvalidInput for `arguments`: it takes none.
    """
    if arguments:
        raise InvalidInput(
            f"the server of the fake engine takes no options: {' '.join(arguments)}",
            hint="topcoat --engine fake serve",
        )
    return keyed_process("topcoat.engine.fake_server", [str(model), str(port), json.dumps(template)])


class _Handler(BaseHTTPRequestHandler):
    model: Path
    tokenizer: FakeTokenizer

    def do_GET(self) -> None:
        if self.path != MEMORY_PATH:
            self._answer(b'{"status": "ok"}')
        elif self._is_ours():
            self._answer(written_memory(host_memory_use()))

    def do_POST(self) -> None:
        if not self._is_ours():
            return
        try:
            request = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))))
            prompt = self.tokenizer.chat(request["messages"], tools=request.get("tools"), add_generation_prompt=True)
        except (ValueError, KeyError, TypeError, AttributeError, InvalidInput) as error:
            self._answer(json.dumps({"error": str(error) or type(error).__name__}).encode(), 400)
            return
        job = GenerateJob(self.model, [prompt], [int(request.get("max_tokens") or 512)])
        (completion,) = FakeEngine().generate(job, Silent())
        text, calls = _taken_apart(completion.text) if request.get("tools") else (completion.text, [])
        finish = "tool_calls" if calls and completion.finish == "stop" else completion.finish
        counts = (len(prompt), completion.tokens)
        usage = {"prompt_tokens": counts[0], "completion_tokens": counts[1], "total_tokens": sum(counts)}
        if request.get("stream"):
            wanted = (request.get("stream_options") or {}).get("include_usage")
            self._stream(text, calls, finish, usage if wanted else None)
            return
        message = {"role": "assistant", "content": text, **({"tool_calls": calls} if calls else {})}
        choice = {"index": 0, "message": message, "finish_reason": finish}
        document = {**_COMMON, "object": "chat.completion", "choices": [choice], "usage": usage}
        self._answer(json.dumps(document).encode())

    def _is_ours(self) -> bool:
        """Whether the request has the key. One without is refused."""
        if self.headers.get(KEY_HEADER) == os.environ[KEY_VARIABLE]:
            return True
        self.send_error(403)
        return False

    def _answer(self, body: bytes, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _stream(
        self, text: str, calls: Sequence[Mapping[str, Any]], finish: str, usage: Mapping[str, int] | None
    ) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        words = [f" {word}" if n else word for n, word in enumerate(text.split(" "))]
        deltas: list[dict[str, Any]] = [{"content": word} for word in words]
        deltas += [{"tool_calls": [{"index": n, **call}]} for n, call in enumerate(calls)]
        for delta, reason in [*((delta, None) for delta in deltas), ({}, finish)]:
            self._chunk([{"index": 0, "delta": delta, "finish_reason": reason}])
        if usage:
            self._chunk([], usage=usage)
        self.wfile.write(b"data: [DONE]\n\n")

    def _chunk(self, choices: Sequence[Mapping[str, Any]], **more: Any) -> None:
        chunk = {**_COMMON, "object": "chat.completion.chunk", "choices": choices, **more}
        self.wfile.write(f"data: {json.dumps(chunk)}\n\n".encode())

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: what users ask is in the requests."""


_CALL = re.compile(r"<tool_call>\n(.*)\n</tool_call>")


def _taken_apart(text: str) -> tuple[str, list[dict[str, Any]]]:
    """An answer's words, and its calls in OpenAI's form. An answer with a call that is no JSON stays as it is."""
    calls = []
    for number, written in enumerate(_CALL.findall(text)):
        try:
            function = json.loads(written)
            named = {"name": function["name"], "arguments": json.dumps(function["arguments"], ensure_ascii=False)}
        except (ValueError, KeyError, TypeError):
            return text, []
        calls.append({"id": f"call{number:05}", "type": "function", "function": named})
    return _CALL.sub("", text).strip() if calls else text, calls


def _main(model: str, port: str, template: str) -> None:
    _Handler.model = Path(model)
    _Handler.tokenizer = FakeTokenizer(json.loads(template))
    threading.Thread(target=end_with_parent, daemon=True).start()
    ThreadingHTTPServer(("127.0.0.1", int(port)), _Handler).serve_forever()


if __name__ == "__main__":
    _main(*sys.argv[1:4])
