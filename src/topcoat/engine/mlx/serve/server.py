"""`python -m topcoat.engine.mlx.serve.server`: mlx_lm.server, for one client: the front that started it.

It serves only requests that carry the key in the environment's TOPCOAT_SERVER_KEY, for it listens on a port that every
page and every user of the machine can reach; and it ends when its standard input does, however its parent died.
"""

from __future__ import annotations

import importlib.metadata
import os
import signal
import threading
from collections.abc import Callable
from typing import Any

from topcoat.engine.beginnings import Kept
from topcoat.engine.keyed_server import KEY_HEADER, KEY_VARIABLE, MEMORY_PATH, end_with_parent, say, written_memory
from topcoat.engine.mlx.compute import Compute, keep_float32
from topcoat.engine.mlx.cpu.blas import load_fast_blas

__all__ = ["compute_as", "end_after", "read_calls", "tell_memory"]

_END_SECONDS = 4.0
"""The front kills a server that takes a second longer."""


def _main() -> None:
    threading.Thread(target=end_with_parent, daemon=True).start()  # before mlx-lm is imported, which takes seconds
    keep_float32()
    load_fast_blas()
    from mlx_lm import server

    from topcoat.engine.mlx.compute import chosen_compute
    from topcoat.engine.mlx.cpu.quicken import on_cpu, quick
    from topcoat.engine.mlx.serve.beginnings import keep_beginnings
    from topcoat.engine.mlx.serve.rendering import render_as_trained

    compute = chosen_compute(None, on_cpu=on_cpu())
    compute_as(compute, server)
    render_as_trained(server)
    read_calls(server)
    tell_memory(server)
    if kept := Kept.handed_over():
        end_after(keep_beginnings(server, kept, _numbers_from(compute), say))

    parse = server.APIHandler.parse_request

    def parse_if_ours(handler: server.APIHandler) -> bool:
        if not parse(handler):
            return False
        if handler.headers.get(KEY_HEADER) == os.environ[KEY_VARIABLE]:
            return True
        handler.send_error(403)
        return False

    server.APIHandler.parse_request = parse_if_ours
    with quick():
        server.main()


def end_after(finish: Callable[[float], None]) -> None:
    """Let SIGTERM end the process when `finish` is done, which is given some seconds."""

    def end(number: int, frame: object) -> None:
        finish(_END_SECONDS)
        os._exit(0)

    signal.signal(signal.SIGTERM, end)


def _numbers_from(compute: Compute) -> str:
    """What decides the numbers that a model computes of tokens, besides both."""
    import mlx.core as mx

    versions = [f"{name} {importlib.metadata.version(name)}" for name in ("topcoat", "mlx", "mlx-lm")]
    return " ".join([*versions, str(mx.device_info()["architecture"]), compute])


def compute_as(compute: Compute, server: Any) -> None:
    """Have the module mlx_lm.server load models for computing as MlxEngine does."""
    import mlx.core as mx

    from topcoat.engine.mlx.cpu.quicken import on_cpu
    from topcoat.engine.mlx.model.folder import THREADED_WIDTH, dequantize, set_threads_for

    stock_load = server.load

    def load(*arguments: Any, **options: Any) -> Any:
        loaded = stock_load(*arguments, **options)
        if on_cpu():
            set_threads_for(getattr(loaded[0].args, "hidden_size", THREADED_WIDTH))
        if compute is Compute.DEQUANTIZED:
            dequantize(loaded[0])
            mx.eval(loaded[0].parameters())
        return loaded

    server.load = load


def read_calls(server: Any) -> None:
    """Have the module mlx_lm.server take calls out of the text for more families than it knows."""
    from topcoat.engine.mlx.model.served_calls import serve_calls

    stock_load = server.load

    def load(*arguments: Any, **options: Any) -> Any:
        loaded = stock_load(*arguments, **options)
        serve_calls(loaded[1])
        return loaded

    server.load = load


def tell_memory(server: Any) -> None:
    """Have the module mlx_lm.server say what memory it takes, and what is free."""
    from topcoat.engine.mlx.model.memory import memory_use

    stock_get = server.APIHandler.do_GET

    def get(handler: Any) -> None:
        if handler.path != MEMORY_PATH:
            stock_get(handler)
            return
        handler._set_completion_headers(200)
        handler.end_headers()
        handler.wfile.write(written_memory(memory_use()))

    server.APIHandler.do_GET = get


if __name__ == "__main__":
    _main()
