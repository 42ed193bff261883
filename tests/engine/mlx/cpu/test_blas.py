import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.recorder import Recorder
from topcoat.engine.mlx import open_engine
from topcoat.engine.mlx.cpu.blas import THREADS_VARIABLE, Blas, _load, load_fast_blas, set_threads, threads
from topcoat.progress import Note

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere MLX brings a fast BLAS itself")

MULTIPLY = """
from topcoat.engine.mlx.cpu.blas import load_fast_blas
print(load_fast_blas().library._name)
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


LOAD = """
from topcoat.engine.mlx.cpu.blas import load_fast_blas
found = load_fast_blas()
print(found.kind, found.note.replace(" ", "_") or "silent", found.problem)
"""


@linux_only
@pytest.mark.parametrize("damage", ["cut", "empty", "another byte", "text"])
def test_a_damaged_copy_is_made_again_and_said_once(tmp_path: Path, damage: str) -> None:
    assert run(LOAD, XDG_CACHE_HOME=str(tmp_path)) == ["openblas", "silent"]
    (copy,) = tmp_path.glob("topcoat/blas/*.so")
    whole = copy.read_bytes()
    other = bytes([whole[4096] ^ 1])
    copy.write_bytes(
        {
            "cut": whole[: len(whole) // 2],
            "empty": b"",
            "another byte": whole[:4096] + other + whole[4097:],
            "text": b"no library",
        }[damage]
    )
    kind, note = run(LOAD, XDG_CACHE_HOME=str(tmp_path))
    assert kind == "openblas"
    assert "was_damaged_and_has_been_made_again" in note
    assert copy.read_bytes() == whole
    assert run(LOAD, XDG_CACHE_HOME=str(tmp_path)) == ["openblas", "silent"]
    assert len(list(copy.parent.iterdir())) == 2


@linux_only
@pytest.mark.parametrize("cache", ["/proc/nowhere", "relative"])
def test_without_a_cache_the_library_is_made_in_a_temporary_folder(tmp_path: Path, cache: str) -> None:
    kind, note = run(LOAD, XDG_CACHE_HOME=cache, TMPDIR=str(tmp_path))
    assert kind == "openblas"
    assert "temporary_folder._hint:_export_XDG_CACHE_HOME" in note
    assert list(tmp_path.iterdir()) == []


@linux_only
@pytest.mark.parametrize("home", [None, "", "/proc/nowhere"])
def test_without_a_home_the_library_is_loaded_all_the_same(home: str | None) -> None:
    """As in a container: a user without an entry in passwd."""
    forget = "import os, pwd\nos.environ.pop('HOME')\npwd.getpwuid = lambda uid: {}[uid]\n"
    environment = {"XDG_CACHE_HOME": ""} if home is None else {"XDG_CACHE_HOME": "", "HOME": home}
    kind, note = run((forget if home is None else "") + LOAD, **environment)
    assert kind == "openblas"
    assert "temporary_folder" in note


@linux_only
def test_a_library_without_the_symbols_is_refused() -> None:
    with pytest.raises((OSError, ValueError)):
        _load(Path("libm.so.6"))


@linux_only
def test_after_mlx_it_is_too_late() -> None:
    script = "import mlx.core\nfrom topcoat.engine.mlx.cpu.blas import load_fast_blas\nprint(load_fast_blas().fast)"
    assert run(script) == ["False"]


@linux_only
@pytest.mark.parametrize(("bound", "asked", "given"), [("", 2, 2), ("", 1, 1), ("1", 2, 1), ("none", 2, 2)])
def test_threads_are_those_that_were_set_and_no_more_than_the_user_allows(
    monkeypatch: pytest.MonkeyPatch, bound: str, asked: int, given: int
) -> None:
    before = threads()
    monkeypatch.setenv(THREADS_VARIABLE, bound)
    try:
        set_threads(asked)
        assert threads() == given
    finally:
        monkeypatch.delenv(THREADS_VARIABLE)
        set_threads(before)


def test_these_tests_load_it_before_mlx() -> None:
    assert "before" not in load_fast_blas().problem


@pytest.mark.parametrize(
    ("on_cpu", "kind", "note", "warned"),
    [
        (True, "reference", "", 1),
        (True, "native", "", 0),
        (True, "openblas", "made again", 1),
        (False, "reference", "", 0),
    ],
)
def test_slow_products_are_said_once_and_of_a_cpu_alone(
    monkeypatch: pytest.MonkeyPatch, on_cpu: bool, kind: str, note: str, warned: int
) -> None:
    monkeypatch.setattr("topcoat.engine.mlx.load_fast_blas", lambda: Blas(kind, problem="none found", note=note))
    monkeypatch.setattr("topcoat.engine.mlx.engine.on_cpu", lambda: on_cpu)
    sink = Recorder()
    open_engine(sink)
    assert len([event for event in sink.events if isinstance(event, Note) and event.warning]) == warned
