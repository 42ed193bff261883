"""mlx_lm.server in this process, which keeps the prompt of each request."""

from __future__ import annotations

import importlib.util
import json
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx2
import pytest

__all__ = ["PromptServer", "prompt_server"]


class PromptServer:
    """A running server. It loads the model folder that a request names."""

    def __init__(self, url: str, prompts: list[list[int]]) -> None:
        self.url = url
        self.prompts = prompts

    def prompt(self, model: Path, messages: list[dict[str, Any]], **body: Any) -> list[int]:
        """What the server makes of a chat request. Fails with its error if it makes nothing."""
        self.answer(model, messages, max_tokens=1, **body)
        (prompt,) = self.prompts
        return prompt

    def answer(self, model: Path, messages: list[dict[str, Any]], **body: Any) -> dict[str, Any]:
        """The server's whole answer to a chat request. Raises `ValueError` with its error if it has none."""
        self.prompts.clear()
        asked = {"model": str(model), "messages": messages, **body}
        response = httpx2.post(f"{self.url}/v1/chat/completions", content=json.dumps(asked), timeout=60)
        if response.status_code != 200:
            raise ValueError(response.json()["error"])
        answered: dict[str, Any] = response.json()
        return answered


@contextmanager
def prompt_server(*options: str, prepare: Callable[[Any], None] | None = None) -> Iterator[PromptServer]:
    """The server as `mlx_lm.server OPTIONS` runs it. `prepare` may change its module, which is a copy."""
    server = _copy_of("mlx_lm.server")
    if prepare is not None:
        prepare(server)
    providers: list[Any] = []
    server.run = lambda host, port, provider: providers.append(provider)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sys, "argv", ["mlx_lm.server", *options])
        server.main()
    prompts: list[list[int]] = []
    stock = server.ResponseGenerator._tokenize

    def tokenize(*arguments: Any) -> Any:
        tokenized = stock(*arguments)
        prompts.append([int(token) for token in tokenized[0]])
        return tokenized

    server.ResponseGenerator._tokenize = tokenize
    generator = server.ResponseGenerator(providers[0], server.LRUPromptCache(providers[0].cli_args.prompt_cache_size))

    def handler(*arguments: Any, **named: Any) -> Any:
        return server.APIHandler(generator, *arguments, system_fingerprint="tests", **named)

    listening = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=listening.serve_forever, daemon=True)
    thread.start()
    try:
        yield PromptServer(f"http://127.0.0.1:{listening.server_port}", prompts)
    finally:
        listening.shutdown()
        listening.server_close()
        generator.stop_and_join()
        thread.join()


def _copy_of(name: str) -> Any:
    spec = importlib.util.find_spec(name)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
