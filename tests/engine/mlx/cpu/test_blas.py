import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.recorder import Recorder
from topcoat.engine.mlx import open_engine
from topcoat.engine.mlx.cpu.blas import Blas, _load, load_fast_blas
from topcoat.progress import Note

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere MLX brings a fast BLAS itself")

MULTIPLY = """
from topcoat.engine.mlx.cpu.blas import load_fast_blas
print(load_fast_blas().path)
import mlx.core as mx
a = mx.random.normal((64, 64))
mx.eval(a @ a)
"""


def run(script: str, **environment: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, env={**os.environ, **environment}
    )
    return done.stdout.split()


@linux_only
def test_products_of_mlx_run_on_the_loaded_library(tmp_path: Path) -> None:
    (path,) = run(MULTIPLY, LD_DEBUG="bindings", LD_DEBUG_OUTPUT=str(tmp_path / "linker"))
    log = "".join(file.read_text(errors="replace") for file in tmp_path.iterdir())
    bound = re.findall(r"binding file \S*libmlx\S* \[0\] to (\S+) \[0\]: normal symbol `cblas_sgemm'", log)
    assert bound == [path]


@linux_only
def test_an_unwritable_cache_falls_back_without_an_error() -> None:
    script = (
        "from topcoat.engine.mlx.cpu.blas import load_fast_blas\nb = load_fast_blas()\nprint(b.kind, bool(b.problem))"
    )
    kind, *_ = run(script, XDG_CACHE_HOME="/proc/nowhere")
    assert kind in ("system", "reference")


@linux_only
def test_a_library_without_the_symbols_is_refused() -> None:
    with pytest.raises((OSError, ValueError)):
        _load(Path("libm.so.6"))


@linux_only
def test_after_mlx_it_is_too_late() -> None:
    script = "import mlx.core\nfrom topcoat.engine.mlx.cpu.blas import load_fast_blas\nprint(load_fast_blas().fast)"
    assert run(script) == ["False"]


def test_these_tests_load_it_before_mlx() -> None:
    assert "before" not in load_fast_blas().problem


@pytest.mark.parametrize(
    ("on_cpu", "kind", "warned"), [(True, "reference", 1), (True, "native", 0), (False, "reference", 0)]
)
def test_slow_products_are_said_once_and_of_a_cpu_alone(
    monkeypatch: pytest.MonkeyPatch, on_cpu: bool, kind: str, warned: int
) -> None:
    monkeypatch.setattr("topcoat.engine.mlx.load_fast_blas", lambda: Blas(kind, problem="none found"))
    monkeypatch.setattr("topcoat.engine.mlx.engine.on_cpu", lambda: on_cpu)
    sink = Recorder()
    open_engine(sink)
    assert len([event for event in sink.events if isinstance(event, Note) and event.warning]) == warned
