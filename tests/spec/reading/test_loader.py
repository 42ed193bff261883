from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import Field

from topcoat.errors import InvalidInput, Mistake
from topcoat.spec.reading.loader import load_jsonl, read_jsonl, read_text, read_toml
from topcoat.spec.reading.section import Section

MistakesOf = Callable[..., list[tuple[int | None, str]]]


class Inner(Section):
    rank: int = Field(default=8, ge=1, le=64)
    keys: list[str] = Field(default_factory=list)


class Train(Section):
    iters: int = 300
    ranks: int = 0
    rate: float = Field(default=1.0, gt=0)
    mode: str | list[int] = "x"
    lora: Inner = Inner()


class File(Section):
    train: Train
    quota: dict[str, int] = Field(default_factory=dict)


class Item(Section):
    id: str = Field(min_length=1, examples=['"x"'])
    n: int = 0
    inner: Inner = Inner()


def toml(path: Path) -> File:
    return read_toml(path, File)[0]


def jsonl(path: Path) -> object:
    return load_jsonl(path, Item)


def test_a_good_file_is_read_with_its_lines(tmp_path: Path) -> None:
    path = tmp_path / "f.toml"
    path.write_bytes(b"\xef\xbb\xbf[train]\r\niters = 3\r\n[quota]\r\na = 1\r\n")
    value, source = read_toml(path, File)
    assert value == File(train=Train(iters=3), quota={"a": 1})
    assert str(source.where("train", "iters")) == f"{path}:2"
    assert source.where("train", "lora", "rank").line == 1
    assert source.where("other").line is None


def test_every_mistake_of_a_toml_file_is_reported_at_once(mistakes_of: MistakesOf) -> None:
    source = """\
iters = 2
[train]
iters = "3"
rate = -1
rank = 8
moed = "y"
lora.rank = 65
lora.keys = ["a",
  3]
[quota]
a = 1.5
[lora]
"""
    assert mistakes_of(toml, source) == [
        (1, "iters: no such key"),
        (3, 'train.iters: must be a whole number, is "3"'),
        (4, "train.rate: must be greater than 0, is -1"),
        (5, "train.rank: no such key"),
        (6, "train.moed: no such key"),
        (7, "train.lora.rank: must be at most 64, is 65"),
        (9, "train.lora.keys[1]: must be text, is 3"),
        (11, "quota.a: must be a whole number, is 1.5"),
        (12, "lora: no such key"),
    ]


@pytest.mark.parametrize(
    ("source", "hint"),
    [
        ("[train]\nrank = 8", "did you mean [train.lora] rank?"),
        ("[train]\nitres = 8", "did you mean `iters`?"),
        ("[train]\n[lora]\nrank = 8", "did you mean [train.lora]?"),
        ("itres = 8\n[train]", "did you mean [train] iters?"),
        ("[train]\nzzz = 8", "the keys here are iters, ranks, rate, mode, lora"),
        ("[train]\ntrain = 8", "did you mean `train` above the first table?"),
    ],
)
def test_an_unknown_key_gets_a_suggestion(tmp_path: Path, source: str, hint: str) -> None:
    path = tmp_path / "f.toml"
    path.write_text(source)
    with pytest.raises(InvalidInput) as caught:
        toml(path)
    assert [m.hint for m in caught.value.mistakes] == [hint]


@pytest.mark.parametrize(
    ("source", "line", "message"),
    [
        ("", None, "the file is empty"),
        ("# only this\n", None, "the file is empty"),
        ("[quota]\na = 1", None, "[train] is missing"),
        ("train = 3", 1, "train: must be a table, is 3"),
        ("\n[train\n", 2, "not valid TOML, column 7: expected ']' at the end of a table declaration"),
        ("[train]\nrate = 1\n\nrate = 2\n", 4, "train.rate: written twice, first on line 2"),
        ("[train]\nlora.keys = [\n'a']\nlora.keys = [\n'b']", 4, "train.lora.keys: written twice, first on line 2"),
        ("[train]\n[quota]\n[train]\n", 3, "train: written twice, first on line 1"),
        ("[train]\nrate = nan", 2, "train.rate: must be a finite number"),
        ("[train]\nrate = inf", 2, "train.rate: must be a finite number"),
        ("[train]\nrate = true", 2, "train.rate: must be a number, is true"),
        ("[train]\niters = 1979-05-27", 2, "train.iters: must be a whole number, is 1979-05-27"),
        ("[train]\nmode = 3", 2, "train.mode: must be text or a list, is 3"),
        ("[train]\nmode = [3, 'a']", 2, 'train.mode[1]: must be a whole number, is "a"'),
        ("[train]\niters = " + "9" * 5000, 2, "not valid TOML: a number has too many digits"),
        ("x = " + "[" * 50_000, None, "nested too deeply: more than 100 levels"),
        ("y = 1\nx" + ".a" * 150 + " = 1", 2, "nested too deeply: more than 100 levels"),
        ("x = " + "[" * 101 + "]" * 101, None, "nested too deeply: more than 100 levels"),
        (b"[train]\n# \xe9\n", 2, "not UTF-8 text: byte 0xe9"),
        ("[train]".encode("utf-16"), 1, "not UTF-8 text but UTF-16"),
    ],
)
def test_each_kind_of_toml_mistake(
    mistakes_of: MistakesOf, source: str | bytes, line: int | None, message: str
) -> None:
    assert mistakes_of(toml, source) == [(line, message)]


def test_every_mistake_of_a_jsonl_file_is_reported_at_once(mistakes_of: MistakesOf) -> None:
    lines: list[bytes] = [
        b'{"id": "good"}',
        b"",
        b'{"id": "a"',
        b'{"id": "a"} {}',
        b"[1]",
        b'{"n": "1"}',
        b'{"id": "", "n": true, "m": 3}',
        b'{"id": NaN}',
        b'{"id": "a", "n": 1e999}',
        b'{"id": "\\ud800"}',
        b'{"id": "a", "id": "b"}',
        b'{"id": "\xff"}',
        b'{"id": ' + b"[" * 100_000,
        b'{"id": ' + b"[" * 100 + b"]" * 100 + b"}",
        b'{"n": ' + b"9" * 5000 + b"}",
        b'{"id": "a", "inner": 3}',
        b'{"id": "a", "rank": 3}',
        b'{"id": "\\ud83d\\ude00"}',
    ]
    assert mistakes_of(jsonl, b"\n".join(lines)) == [
        (3, "not valid JSON at column 11: expecting ',' delimiter"),
        (4, "not valid JSON at column 13: more follows the object"),
        (5, "must be a JSON object, like {...}"),
        (6, "id: is missing"),
        (6, 'n: must be a whole number, is "1"'),
        (7, "id: must not be empty"),
        (7, "n: must be a whole number, is true"),
        (7, "m: no such key"),
        (8, "NaN is not valid JSON"),
        (9, "the number 1e999 is too large"),
        (10, "holds half of a surrogate pair (\\ud800 to \\udfff), which is no character"),
        (11, 'the key "id" is written twice'),
        (12, "not UTF-8 text: byte 0xff"),
        (13, "nested too deeply: more than 100 levels"),
        (14, "nested too deeply: more than 100 levels"),
        (15, "a number has too many digits"),
        (16, "inner: must be an object, is 3"),
        (17, "rank: no such key"),
    ]


def test_the_hints_of_a_jsonl_file_are_in_json(tmp_path: Path) -> None:
    path = tmp_path / "f.jsonl"
    path.write_text('{"rank": 1}\n')
    lines, mistakes = read_jsonl(path, Item)
    assert lines == []
    assert [m.hint for m in mistakes] == ['add "id": "x"', 'did you mean "inner.rank"?']


@pytest.mark.parametrize("text", ["", "\n \n", "\ufeff\n"])
def test_a_file_without_a_line_is_a_mistake(mistakes_of: MistakesOf, text: str) -> None:
    assert mistakes_of(jsonl, text) == [(None, "the file is empty")]


@pytest.mark.parametrize("text", ['[\n{"id": "a"}\n]', '{\n"id": "a"\n}'])
def test_a_pretty_printed_file_is_one_mistake(mistakes_of: MistakesOf, text: str) -> None:
    assert mistakes_of(jsonl, text) == [(1, "not JSONL: an object must stand on one line")]


def test_empty_lines_windows_line_ends_and_odd_separators_do_not_shift_lines(tmp_path: Path) -> None:
    path = tmp_path / "f.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"id": "a"}\r\n\r\n{"id": "\xe2\x80\xa8"}\r\n')
    assert [(line.value.id, line.where.line) for line in load_jsonl(path, Item)] == [("a", 1), ("\u2028", 3)]


def test_a_missing_file_names_a_neighbour(tmp_path: Path) -> None:
    (tmp_path / "phase34a.toml").touch()
    with pytest.raises(InvalidInput, match="no such file") as caught:
        read_text(tmp_path / "phase34.toml")
    assert caught.value.hint == f"did you mean {tmp_path / 'phase34a.toml'}?"
    with pytest.raises(InvalidInput) as caught:
        read_text(tmp_path / "none" / "x.toml")
    assert caught.value.hint == f"there is no folder {tmp_path / 'none'} either"


@pytest.mark.parametrize("name", ["", "nul\0", "x" * 300])
def test_a_path_that_cannot_be_read_is_invalid_input(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidInput):
        read_text(tmp_path / name)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_an_unreadable_file_is_invalid_input(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.touch(mode=0)
    with pytest.raises(InvalidInput, match="Permission denied"):
        read_text(path)


def check_mistakes(loader: Callable[[Path], object], content: bytes) -> None:
    """Load `content`: anything raised but `InvalidInput` fails the test; its mistakes must point into the file."""
    mistakes: tuple[Mistake, ...] = ()
    with tempfile.NamedTemporaryFile() as file:
        file.write(content)
        file.flush()
        try:
            loader(Path(file.name))
        except InvalidInput as error:
            mistakes = error.mistakes
    for mistake in mistakes:
        assert mistake.where is not None
        assert 1 <= (mistake.where.line or 1) <= content.count(b"\n") + 1


TOML_TOKENS = """
    [train] [[train]] [train.lora] [quota] iters rate mode keys lora . = = = == 3 -1 nan 1e5 true 'a' [ ] { } , # é
    1979-05-27 \\u0041
"""
TOML_WORDS = [*TOML_TOKENS.split(), *["\n"] * 4, "\r", "\0", '"', '"""', "\n[train]\n", "\niters = 3\n"]
TOMLISH = st.lists(st.sampled_from(TOML_WORDS), max_size=25).map(lambda words: " ".join(words).encode())


@settings(max_examples=200)
@given(st.binary(max_size=60) | TOMLISH)
@example(b"train = 1\n" * 3)
def test_toml_garbage_is_invalid_input_and_nothing_else(content: bytes) -> None:
    check_mistakes(toml, content)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["id", "n", "inner", "rank"]), inner),
    max_leaves=6,
)


@settings(max_examples=200)
@given(st.binary(max_size=60) | st.lists(JSON, max_size=3).map(lambda rows: "\n".join(map(json.dumps, rows)).encode()))
def test_jsonl_garbage_is_invalid_input_and_nothing_else(content: bytes) -> None:
    check_mistakes(jsonl, content)
