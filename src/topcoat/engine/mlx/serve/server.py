"""`python -m topcoat.engine.mlx.serve.server`: mlx_lm.server, for one client: the front that started it.

It serves only requests that carry the key in the environment's TOPCOAT_SERVER_KEY, for it listens on a port that every
page and every user of the machine can reach; and it ends when its standard input does, however its parent died.
"""

from __future__ import annotations

import os
import sys
import threading
from typing import Any

from topcoat.engine.mlx.compute import Compute
from topcoat.engine.mlx.cpu.blas import load_fast_blas

__all__ = ["KEY_HEADER", "KEY_VARIABLE", "compute_as"]

KEY_HEADER = "X-Topcoat-Key"
KEY_VARIABLE = "TOPCOAT_SERVER_KEY"


def _main() -> None:
    load_fast_blas()
    from mlx_lm import server

    from topcoat.engine.mlx.compute import chosen_compute
    from topcoat.engine.mlx.cpu.quicken import on_cpu

    compute_as(chosen_compute(None, on_cpu=on_cpu()), server)

    parse = server.APIHandler.parse_request

    def parse_if_ours(handler: server.APIHandler) -> bool:
        if not parse(handler):
            return False
        if handler.headers.get(KEY_HEADER) == os.environ[KEY_VARIABLE]:
            return True
        handler.send_error(403)
        return False

    server.APIHandler.parse_request = parse_if_ours
    threading.Thread(target=_end_with_parent, daemon=True).start()
    server.main()


def compute_as(compute: Compute, server: Any) -> None:
    """Have the module mlx_lm.server compute as MlxEngine does: on a CPU, as it is, it takes many times as long."""
    import mlx.core as mx

    from topcoat.engine.mlx.cpu.quicken import on_cpu, quicken
    from topcoat.engine.mlx.model.folder import THREADED_WIDTH, dequantize, set_threads_for

    cpu = on_cpu()
    if cpu:
        quicken()
    stock_load = server.load

    def load(*arguments: Any, **options: Any) -> Any:
        loaded = stock_load(*arguments, **options)
        if cpu:
            set_threads_for(getattr(loaded[0].args, "hidden_size", THREADED_WIDTH))
        if compute is Compute.DEQUANTIZED:
            dequantize(loaded[0])
            mx.eval(loaded[0].parameters())
        return loaded

    server.load = load


def _end_with_parent() -> None:
    sys.stdin.buffer.read()
    os._exit(0)


if __name__ == "__main__":
    _main()
