"""`python -m topcoat.engine.mlx.server`: mlx_lm.server, for one client: the front that started it.

It serves only requests that carry the key in the environment's TOPCOAT_SERVER_KEY, for it listens on a port that every
page and every user of the machine can reach; and it ends when its standard input does, however its parent died.
"""

from __future__ import annotations

import os
import sys
import threading
from typing import Any

from topcoat.engine.mlx.blas import load_fast_blas

__all__ = ["KEY_HEADER", "KEY_VARIABLE", "make_quick_on_cpu"]

KEY_HEADER = "X-Topcoat-Key"
KEY_VARIABLE = "TOPCOAT_SERVER_KEY"


def _main() -> None:
    load_fast_blas()
    from mlx_lm import server

    from topcoat.engine.mlx.model import on_cpu

    if on_cpu():
        make_quick_on_cpu(server)

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


def make_quick_on_cpu(server: Any) -> None:
    """Have the module mlx_lm.server compute as MlxEngine does on a CPU: as it is, it takes many times as long."""
    import mlx.core as mx

    from topcoat.engine.mlx.cpu import quicken
    from topcoat.engine.mlx.model import THREADED_WIDTH, fit_for_cpu

    quicken()
    stock_load = server.load

    def load(*arguments: Any, **options: Any) -> Any:
        loaded = stock_load(*arguments, **options)
        fit_for_cpu(loaded[0], getattr(loaded[0].args, "hidden_size", THREADED_WIDTH))
        mx.eval(loaded[0].parameters())
        return loaded

    server.load = load


def _end_with_parent() -> None:
    sys.stdin.buffer.read()
    os._exit(0)


if __name__ == "__main__":
    _main()
