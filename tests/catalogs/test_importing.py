"""Catalogs that are written from another source."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.pet_shop import pet_shop
from tests.support.schemas import schemas
from topcoat.catalogs.importing import Imported, import_tools, is_url, read_file
from topcoat.catalogs.read_tools import ReadTools, function_tool
from topcoat.errors import InvalidInput, Refused, StorageFault
from topcoat.spec.tools.loading import load_catalog

AGAIN = "topcoat catalog import x --overwrite"


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "tools.json"


def source(**descriptions: str) -> ReadTools:
    tools = [function_tool(name, said, {"type": "object"}) for name, said in descriptions.items()]
    return ReadTools("OpenAI", tools)


def write(target: Path, overwrite: bool = False, **descriptions: str) -> Imported:
    return import_tools(source(**descriptions), target, overwrite=overwrite, again=AGAIN)


def test_what_is_imported_can_be_loaded(tmp_path: Path, target: Path) -> None:
    place = tmp_path / "openapi.json"
    place.write_text(json.dumps(pet_shop()))
    done = import_tools(read_file(place), target)
    assert (done.form, done.written, done.added) == ("OpenAPI 3.0.3", True, done.tools)
    assert list(load_catalog(target).tools) == done.tools
    assert load_catalog(target).declared == read_file(place).tools


@given(st.lists(st.builds(function_tool, st.sampled_from("abcd"), st.sampled_from(["", "é"]), schemas()), max_size=6))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_catalog_is_written_that_loads_or_none_is(target: Path, tools: list[dict[str, object]]) -> None:
    target.unlink(missing_ok=True)
    found = ReadTools("OpenAI", list(tools))
    try:
        done = import_tools(found, target)
    except InvalidInput:
        assert not target.exists()
    else:
        assert list(load_catalog(target).tools) == done.tools
        assert len(done.tools) + sum(len(left.names) for left in done.left_out) == len(tools)
        assert not import_tools(ReadTools("OpenAI", list(tools)), target).written


def test_tools_that_no_catalog_takes_are_left_out(target: Path) -> None:
    found = source(good="x")
    found.tools += [function_tool("bad", "", {"type": "strin"}), function_tool("good", "again", {"type": "object"})]
    done = import_tools(found, target)
    assert done.tools == ["good"]
    assert [left.names for left in done.left_out] == [["bad"], ["good"]]
    assert all(left.what.startswith("tools that no catalog takes: ") for left in done.left_out)


def test_nothing_is_written_if_no_tool_is_left(target: Path) -> None:
    with pytest.raises(InvalidInput, match="no tool is left to write: tools that no catalog takes"):
        import_tools(ReadTools("OpenAI", [function_tool("bad", "", {"type": "strin"})]), target)
    assert not target.exists()


def test_other_tools_are_replaced_only_if_asked_and_the_change_is_told(target: Path) -> None:
    write(target, a="1", b="2", c="3")
    before = target.read_bytes()
    with pytest.raises(Refused) as caught:
        write(target, a="1", b="new", d="4", e="5")
    assert caught.value.message == (
        f"{target} exists already, and would change: 2 tools added: d, e; 1 tool removed: c; 1 tool changed: b"
    )
    assert (caught.value.hint, target.read_bytes()) == (AGAIN, before)
    done = write(target, a="1", b="new", d="4", e="5", overwrite=True)
    assert (done.added, done.removed, done.changed) == (["d", "e"], ["c"], ["b"])
    assert list(load_catalog(target).tools) == ["a", "b", "d", "e"]


def test_the_same_tools_in_another_form_are_no_change(target: Path) -> None:
    written = {"tools": [{"name": "a", "inputSchema": {"type": "object"}}]}
    target.write_text(json.dumps(written))
    done = write(target, a="")
    assert not done.written
    assert json.loads(target.read_text()) == written


@pytest.mark.parametrize("text", ["", "{", "[]", '{"openapi": "2"}'], ids=["empty", "broken", "no tool", "OpenAPI"])
def test_a_file_that_is_no_catalog_is_kept_too(target: Path, text: str) -> None:
    target.write_text(text)
    with pytest.raises(Refused, match="exists already"):
        write(target, a="1")
    assert target.read_text() == text
    assert write(target, a="1", overwrite=True).added == ["a"]


def test_a_folder_is_no_place_for_a_catalog(target: Path) -> None:
    target.mkdir()
    with pytest.raises(Refused, match="is a folder"):
        write(target, a="1")
    with pytest.raises(StorageFault):
        write(target, a="1", overwrite=True)


def test_a_catalog_that_would_be_read_as_stubs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="would be read as Python stubs"):
        write(tmp_path / "tools.pyi", a="1")


@pytest.mark.parametrize(
    ("text", "expected"),
    [("https://host/mcp", True), ("HTTP://host", True), ("https.json", False), ("ftp://host", False)],
    ids=["https", "capitals", "file", "ftp"],
)
def test_an_address_of_the_web_is_known(text: str, expected: bool) -> None:
    assert is_url(text) == expected
