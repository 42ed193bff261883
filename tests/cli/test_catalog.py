"""`topcoat catalog ...` as a user meets it."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path

import pytest

from tests.support.command import fake, topcoat
from tests.support.mcp_server import COMMAND, NAMES, serving_mcp
from tests.support.pet_shop import pet_shop
from topcoat.catalogs.mcp_server import missing

ROOT = Path(__file__).parents[2]
needs_mcp = pytest.mark.skipif(missing(), reason="the extra is not installed: pip install 'topcoat[mcp]'")


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    (tmp_path / "openapi.json").write_text(json.dumps(pet_shop()))
    return tmp_path


@pytest.mark.slow
def test_a_catalog_is_imported_once_and_replaced_if_asked(shop: Path) -> None:
    done = topcoat("catalog", "import", "openapi.json", cwd=shop)
    assert (done.returncode, done.stderr) == (0, "")
    said = done.stdout.splitlines()
    assert said[0] == "tools.json: 8 tools, read as OpenAPI 3.0.3"
    assert '  left out parameters in cookies: "session" of GET /pets, "session" of POST /pets' in said
    assert '  renamed, as no name has such characters: "list pets" as list_pets' in said
    assert said[-1] == "next: topcoat catalog check tools.json"
    again = topcoat("catalog", "import", "openapi.json", cwd=shop)
    assert again.returncode == 0
    assert "which are there already: nothing was written" in again.stdout
    document = pet_shop()
    del document["paths"]["/search"]
    (shop / "openapi.json").write_text(json.dumps(document))
    refused = topcoat("catalog", "import", "openapi.json", cwd=shop)
    assert refused.returncode == 2
    assert "would change: 1 tool removed: get_search" in refused.stderr
    hint = refused.stderr.split("hint: ")[1].strip()
    assert hint == "topcoat catalog import openapi.json --to tools.json --overwrite"
    replaced = topcoat(*shlex.split(hint)[1:], "--json", cwd=shop)
    assert (replaced.returncode, replaced.stderr) == (0, "")
    record = json.loads(replaced.stdout)
    assert (record["written"], record["removed"], len(record["tools"])) == (True, ["get_search"], 7)


@pytest.mark.slow
def test_a_catalog_can_go_into_a_pipe(shop: Path) -> None:
    done = topcoat("catalog", "import", "openapi.json", "--to", "/dev/stdout", cwd=shop)
    assert done.stderr.startswith("/dev/stdout: 8 tools")
    assert len(json.loads(done.stdout)) == 8


@pytest.mark.slow
@needs_mcp
def test_the_tools_of_a_server_are_imported(tmp_path: Path) -> None:
    command = shlex.join([*COMMAND, "stdio"])
    path = f"{ROOT}:{ROOT / 'src'}"
    done = topcoat("catalog", "import", "--mcp", command, "--json", cwd=tmp_path, PYTHONPATH=path)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["added"] == NAMES
    with serving_mcp("http") as url:
        other = topcoat("catalog", "import", url, "--to", "other.json", cwd=tmp_path)
    assert other.stdout.startswith("other.json: 5 tools, read as MCP\n")


@pytest.mark.slow
def test_an_import_that_fails_says_why_and_writes_nothing(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text('{"mcpServers": {"a": {"command": "a-server", "args": ["."]}}}')
    for arguments, code, hint in (
        ([], 2, "hint: topcoat catalog import openapi.json"),
        (["x.json", "--mcp", "a"], 2, "hint: topcoat catalog import openapi.json"),
        (["x.json"], 2, "hint: topcoat catalog import --mcp 'a-server .'"),
        (["y.json"], 2, "hint: did you mean x.json?"),
        (["sh -c true"], 2, "hint: topcoat catalog import --mcp 'sh -c true'"),
        (["--mcp", "https://"], 2, 'error: "https://" is not the URL of a server'),
        (["x.json", "--to", "tools.pyi"], 2, "hint: "),
    ):
        done = topcoat("catalog", "import", *arguments, cwd=tmp_path)
        assert (done.returncode, done.stdout) == (code, "")
        assert hint in done.stderr
        assert "Traceback" not in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["x.json"]


@pytest.mark.slow
@needs_mcp
def test_a_command_that_dies_is_no_traceback(tmp_path: Path) -> None:
    command = shlex.join([sys.executable, "-c", "print('hello', flush=True); raise SystemExit('boom')"])
    done = topcoat("catalog", "import", "--mcp", command, "--timeout", "20", cwd=tmp_path)
    assert done.returncode == 1
    assert "it ended before it answered; it said: boom" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("width", [60, 120])
def test_a_check_shows_the_tools_at_any_width(shop: Path, width: int) -> None:
    assert topcoat("catalog", "import", "openapi.json", cwd=shop).returncode == 0
    done = topcoat("catalog", "check", "tools.json", cwd=shop, COLUMNS=str(width))
    assert done.returncode == 0, done.stderr
    table, _, rest = done.stdout.partition("\ntools.json: 8 tools, about ")
    assert max(map(len, table.splitlines())) <= width
    for words in ("list_pets", "X-Tenant: str", "limit?: int = 20", "get_search", "filter?: dict"):
        assert words in table
    assert "warning no-description: a tool without a description (6)" in rest
    assert "and 1 more: `topcoat catalog check --json`" in rest
    assert rest.endswith("\n0 errors, 13 warnings\n")


@pytest.mark.slow
def test_a_check_of_the_project_s_catalog_ends_with_its_errors(fake_project: Path) -> None:
    good = fake(fake_project, "catalog", "check")
    assert good.returncode == 0, good.stderr
    assert "called from programs (Code Mode)\n0 errors, 0 warnings\n" in good.stdout
    tools = [{"name": "a", "inputSchema": {"type": "object", "required": ["b"]}}, {"name": "a"}]
    (fake_project / "broken.json").write_text(json.dumps(tools))
    broken = fake(fake_project, "catalog", "check", "broken.json", "--json")
    assert broken.returncode == 2
    found = json.loads(broken.stdout)
    assert [finding["code"] for finding in found["findings"]] == ["unreadable", "required-unknown", "no-description"]
    (fake_project / "broken.json").write_text("{")
    unreadable = fake(fake_project, "catalog", "check", "broken.json")
    assert (unreadable.returncode, unreadable.stdout) == (2, "")
    assert "error: not valid JSON" in unreadable.stderr
    assert "at broken.json:1" in unreadable.stderr
