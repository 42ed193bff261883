from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize("module", ["topcoat.cli.main", "topcoat.engine.mlx.worker"])
def test_a_rank_loads_mlx_after_its_fast_blas(module: str) -> None:
    """With MLX loaded first, every product of a rank above the first took the reference BLAS, tens of times slower."""
    loaded = f"import sys, {module}; sys.exit('mlx.core' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", loaded], check=False).returncode == 0
