"""What the tests of checks (and their benchmark) are made from: a catalog, a suite, clean examples, spoiled lines."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from topcoat.errors import Where
from topcoat.spec.example import Example, LocatedExample
from topcoat.spec.suite import Case, Suite
from topcoat.spec.tools.stubs import parse_stubs

CATALOG = parse_stubs(
    """
class Place:
    file: str
    line: int

class FileText:
    path: str
    text: str
    places: list[Place]

    def first(self) -> Place: ...

def read_file(path: str) -> FileText: ...
def find(pattern: str, path: str = ".", count: int = 10) -> list[Place]: ...
def define(name: str) -> FileText | None: ...
""",
    Path("tools.pyi"),
)
SYSTEM = "You call tools."
SUITE = Suite(
    Path("suite.jsonl"),
    tuple(
        Case.model_validate(case)
        for case in (
            {
                "id": "files-1",
                "category": "files",
                "prompt": "Show me the README of this project.",
                "expect": {"calls": [{"tool": "read_file"}]},
            },
            {
                "id": "search-1",
                "category": "search",
                "prompt": "Where in src/engine is FlywheelTurbine defined?",
                "expect": {"calls": [{"tool": "define", "args": {"name": "FlywheelTurbine"}}]},
            },
        )
    ),
)

_VOCABULARY = (
    "apple anchor basin beacon bridge candle canyon cedar circle clover copper coral cotton crystal dagger desert "
    "diamond drum eagle ember engine fabric falcon feather fiddle flint forest fountain galaxy garden garnet glacier "
    "granite harbor hazel helmet hollow island ivory jacket jungle kernel kettle lantern lemon lily linen lotus maple "
    "marble meadow mirror monsoon mortar nectar needle nickel oasis ocean olive onyx orchard otter paddle palace "
    "pebble pepper pigeon pillar planet plaza pollen quarry quartz quill rabbit raven ribbon river rocket saddle "
    "saffron salmon sapphire scarlet shadow silver sparrow spindle spiral summit sunset temple thicket thunder timber "
    "torch tulip tunnel turtle valley velvet violet walnut warbler willow window winter yarrow zenith "
)
_WORDS = _VOCABULARY.split()
_OPENINGS = ("show", "explain", "list", "compare", "count", "trace", "fetch", "review", "sketch", "measure")
_CODE = (
    'result = read_file("{path}")\nprint(result.text)  # {a}\n',
    'for place in find("{name}", "{path}"):\n    {a} = place.file\n    print("{b}", {a}, place.line)\n',
    'found = define("{name}")\nif found:\n    print(found.first().line, "{a} {b} {c}")\n',
    '{a} = read_file(path="{path}").places\nprint(sorted({a}, key=lambda {b}: {b}.line)[0].file)\n',
    'print(len(find("{name}", count={number})))\n{b} = "{c} {a}"\nprint({b})\n',
)


def call(code: str) -> str:
    """An assistant's turn that runs `code`."""
    return f"<tool_call><function=execute_code>\n<parameter=code>\n{code}\n</parameter>\n</function></tool_call>"


def clean_rows(count: int, seed: int = 0) -> Iterator[dict[str, Any]]:
    """Examples, as data, in which no check finds anything: the wording of each is its own."""
    rng = random.Random(seed)
    for index in range(count):
        a, b, c = rng.sample(_WORDS, 3)
        name = f"{rng.choice(_WORDS)}_{index}"
        path = f"{rng.choice(_WORDS)}/{rng.choice(_WORDS)}_{index}.py"
        asked = f"{rng.choice(_OPENINGS)} the {' '.join(rng.sample(_WORDS, 6))} of {name} in {path}"
        code = _CODE[index % len(_CODE)].format(a=a, b=b, c=c, name=name, path=path, number=rng.randint(1, 90))
        said = f"Here is {' '.join(rng.sample(_WORDS, 8))}."
        yield {
            "messages": [
                {"role": "system", "content": SYSTEM},
                {"role": "user", "content": asked},
                {"role": "assistant", "content": f"{said}\n{call(code)}"},
                {"role": "tool", "content": " ".join(rng.sample(_WORDS, 10))},
                {"role": "assistant", "content": f"It is {' '.join(rng.sample(_WORDS, 10))}."},
            ],
            "category": ("files", "search")[index % 2],
        }


def located(data: dict[str, Any], line: int, file: str = "data.jsonl") -> LocatedExample:
    return LocatedExample(Example.model_validate(data), Where(Path(file), line))


def clean_examples(count: int, seed: int = 0) -> list[LocatedExample]:
    return [located(row, line) for line, row in enumerate(clean_rows(count, seed), 1)]


def dialogue(user: str, answer: str, **changes: Any) -> dict[str, Any]:
    """A short example as data; `changes` add or replace keys, `system` replaces the system prompt."""
    system = changes.pop("system", SYSTEM)
    turns = [("system", system), ("user", user), ("assistant", answer)]
    return {"messages": [{"role": r, "content": c} for r, c in turns], "category": "files", **changes}


def spoiled(line: bytes, rng: random.Random) -> bytes:
    """A JSONL line with one to three things done to it; it may end up valid, and may be several lines."""
    for _ in range(rng.randint(1, 3)):
        line = rng.choice(_SPOILERS)(line, rng)
    return line


def _flip(line: bytes, rng: random.Random) -> bytes:
    changed = bytearray(line)
    for _ in range(rng.randint(1, 8)):
        if changed:
            changed[rng.randrange(len(changed))] = rng.randrange(256)
    return bytes(changed)


def _cut(line: bytes, rng: random.Random) -> bytes:
    begin = rng.randrange(len(line) + 1)
    return line[:begin] + line[begin + rng.randrange(60) :]


def _repeat(line: bytes, rng: random.Random) -> bytes:
    begin = rng.randrange(len(line) + 1)
    return line[:begin] + line[begin : begin + rng.randrange(80)] * 2 + line[begin:]


def _change(line: bytes, rng: random.Random) -> bytes:
    """Put something strange somewhere into the parsed line."""
    try:
        data = json.loads(line)
    except (ValueError, RecursionError):
        return _flip(line, rng)
    places = list(_places(data))
    if not places:
        return line
    holder, key = rng.choice(places)
    if rng.random() < 0.3:
        del holder[key]
    else:
        holder[key] = _strange(holder[key], rng)
    try:
        return json.dumps(data, ensure_ascii=rng.random() < 0.5).encode("utf-8", "surrogatepass")
    except (ValueError, RecursionError):  # ValueError: an integer of more digits than Python writes
        return line


def _reword(line: bytes, rng: random.Random) -> bytes:
    """Put something strange into the text of a turn: the line stays a dialogue, more often than not."""
    try:
        data = json.loads(line)
        turn = rng.choice(data["messages"])
        text = str(turn["content"])
        begin, end = sorted((rng.randrange(len(text) + 1), rng.randrange(len(text) + 1)))
    except (ValueError, TypeError, KeyError, IndexError, RecursionError):
        return _flip(line, rng)
    pieces = "".join(rng.choice(_PIECES) for _ in range(3)) * rng.choice((1, 1, 1, 1, 20, 1000))
    turn["content"] = text[:begin] + pieces + text[end if rng.random() < 0.3 else begin :]
    try:
        return json.dumps(data, ensure_ascii=rng.random() < 0.5).encode("utf-8", "surrogatepass")
    except (ValueError, RecursionError):
        return line


def _places(data: Any, depth: int = 0) -> Iterator[tuple[Any, Any]]:
    keys = list(data) if isinstance(data, dict) else list(range(len(data))) if isinstance(data, list) else []
    for key in keys if depth < 20 else []:
        yield data, key
        yield from _places(data[key], depth + 1)


def _strange(value: Any, rng: random.Random) -> Any:
    text = value if isinstance(value, str) else "x"
    piece = rng.choice(_PIECES)
    middle = rng.randrange(len(text) + 1)
    nested: Any = value
    for _ in range(rng.choice((3, 50, 150, 400))):
        nested = [nested] if rng.random() < 0.5 else {"messages": nested}
    return rng.choice(
        (
            None,
            -1,
            10 ** rng.choice((3, 5000)) if rng.random() < 0.1 else 3.5,
            True,
            "",
            [],
            {},
            [value],
            rng.choice(("system", "user", "assistant", "tool", "function")),
            nested,
            text[:middle] + piece + text[middle:],
            text[:middle] + piece * rng.choice((2, 50, 3000)) + text[middle:],
            text.replace("</parameter>", "").replace(")", piece),
            text.replace("(", "((").replace("print", piece),
        )
    )


_PIECES = (
    "\ud800", "\udfff", "é", "ß", "\x00", "\ufeff", "\u2028", "👩‍👩‍👧", "\n", "\r", "\\", '"', "'", '"""',
    "`", "```\n", "-", "~", "/", "a/", ".", "a.", "_", "1", "aB", "(", "[", "{", "f'{", "not ", "- ",
    "x = 1\n", "if x:\n ", "lambda: ", "*", "**", "#", "<tool_call>", "</tool_call>",
    "<function=read_file>", "<parameter=path>", "<think>", "</think>", '{"name": ', "<tool_response>",
    "result.", "read_file(", "read_file().", "://a:", "eyJ", "xox", "-----BEGIN PRIVATE KEY-----",
)  # fmt: skip
_SPOILERS = (_flip, _cut, _repeat, _change, _change, _reword, _reword, _reword, _reword)
