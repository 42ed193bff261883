"""JSON documents that others wrote."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from tests.support.schemas import json_values
from topcoat.catalogs.document import read_document
from topcoat.errors import InvalidInput


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "x.json"


@given(json_values())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_json_value_is_read(place: Path, value: object) -> None:
    place.write_text(json.dumps(value), encoding="utf-8")
    assert read_document(place) == value


@pytest.mark.parametrize(
    ("text", "message", "line"),
    [
        ('{"a": 1,\n "b" 2}', "not valid JSON at column 6: expecting ':' delimiter", 2),
        ("", "not valid JSON at column 1: expecting value", 1),
        ('{"a": NaN}', "NaN is not valid JSON", None),
        ('{"a": {"b": 1, "b": 2}}', 'the key "b" is written twice', None),
        ("[" * 101 + "]" * 101, "nested too deeply: more than 100 levels", None),
        ("[" * 100_000 + "]" * 100_000, "nested too deeply: more than 100 levels", None),
        ("1" * 5000, "a number has too many digits", None),
        (r'"\ud800"', "holds half of a surrogate pair (\\ud800 to \\udfff), which is no character", None),
    ],
    ids=["syntax", "empty", "constant", "repeated", "deep", "very deep", "digits", "surrogate"],
)
def test_what_is_no_document_is_told(place: Path, text: str, message: str, line: int | None) -> None:
    place.write_text(text, encoding="utf-8")
    with pytest.raises(InvalidInput) as caught:
        read_document(place)
    assert (caught.value.message, caught.value.where and caught.value.where.line) == (message, line)


def test_a_pair_of_surrogates_is_one_character(place: Path) -> None:
    place.write_text(r'"\ud83d\ude00"')
    assert read_document(place) == "\N{GRINNING FACE}"


def test_yaml_is_refused_with_the_command_that_converts_it(tmp_path: Path) -> None:
    place = tmp_path / "my api.yaml"
    place.write_text("openapi: 3.0.0\npaths: {}\n")
    with pytest.raises(InvalidInput, match="YAML isn't read") as caught:
        read_document(place)
    program, *rest = shlex.split(caught.value.hint or "")
    assert program == "python3"
    before, source, after, target = rest[-4:]
    assert (before, source, after) == ("<", str(place), ">")
    convert = [sys.executable, *rest[:-4]]
    done = subprocess.run(convert, input=place.read_text(), capture_output=True, text=True, check=True)
    Path(target).write_text(done.stdout)
    assert read_document(Path(target)) == {"openapi": "3.0.0", "paths": {}}


def test_yaml_is_known_by_its_beginning_too(place: Path) -> None:
    place.write_text("openapi: 3.0.0\n")
    with pytest.raises(InvalidInput, match="YAML isn't read"):
        read_document(place)
