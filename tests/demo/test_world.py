"""The shipped files are what the scripts make."""

import shutil
import tomllib
from pathlib import Path

from tools.demo_model.world import write_world
from topcoat.demo import TEMPLATE


def test_the_world_is_made_again_byte_for_byte(tmp_path: Path) -> None:
    for given in ("tools.pyi", "suites/templates.toml"):
        (tmp_path / given).parent.mkdir(exist_ok=True)
        shutil.copy(TEMPLATE / given, tmp_path / given)
    write_world(tmp_path)
    made = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*.jsonl"))
    assert len(made) == 4
    for name in made:
        assert (tmp_path / name).read_bytes() == (TEMPLATE / name).read_bytes(), name


def test_the_project_file_names_what_is_there() -> None:
    project = tomllib.loads((TEMPLATE / "topcoat.toml").read_text(encoding="utf-8"))["project"]
    for key in ("base", "catalog", "suite", "system_prompt"):
        assert (TEMPLATE / project[key]).exists(), key
    assert all((TEMPLATE / name).exists() for name in project["history"])


def test_the_phase_names_data_that_is_there() -> None:
    phase = tomllib.loads((TEMPLATE / "phases" / "phase34a.toml").read_text(encoding="utf-8"))
    assert all((TEMPLATE / name).exists() for name in phase["data"]["train"])
