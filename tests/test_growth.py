"""Every reader of outside text takes linear time: ten times the text, at most fifteen times the work.

Each reader has the tokens of its format, from which hypothesis makes shapes, and the shapes that were quadratic once.
The parser of answers has such tests of its own, beside its other ones.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings

from tests.support.examples import CATALOG, SUITE, SYSTEM
from tests.support.growth import MOST_TIMES, Shape, shapes, times
from topcoat.calls.parsing import parse
from topcoat.calls.programs import problems_in_program
from topcoat.catalogs.check import check_catalog
from topcoat.catalogs.importing import read_file
from topcoat.errors import TopcoatError
from topcoat.examples.checks.check import check_examples
from topcoat.examples.checks.overlap import check_repeats
from topcoat.examples.checks.similarity import near_twins
from topcoat.examples.checks.templates import code_template, text_template
from topcoat.examples.draft import read_draft
from topcoat.examples.importing import import_examples
from topcoat.examples.reading import read_examples
from topcoat.scoring.scorers import SCORERS
from topcoat.secrets.finding import find_secrets, redacted
from topcoat.spec.agent import Agent
from topcoat.spec.canonical import digest_of
from topcoat.spec.case_template import load_templates
from topcoat.spec.expect import Expect
from topcoat.spec.phase import load_phase
from topcoat.spec.reading.documents import read_documents
from topcoat.spec.reading.loader import parse_toml
from topcoat.spec.suite import load_suite
from topcoat.spec.tools.stubs import parse_stubs
from topcoat.store.tensor_file import read_header
from topcoat.suites.endpoint import _completion
from topcoat.usage.capture.exchange import Exchange
from topcoat.usage.dialogue import dialogues
from topcoat.usage.events import Event
from topcoat.usage.extraction.reactions import leans_back, misunderstood, reaction
from topcoat.usage.extraction.rules import extract
from topcoat.usage.extraction.visible import Shown
from topcoat.usage.formats.dialogue import Report
from topcoat.usage.formats.table import dialogues_in, grouped
from topcoat.usage.privacy.text import cleaned
from topcoat.usage.sessions import Sessions
from topcoat.usage.sources import documents_of
from topcoat.usage.tool_results import fields_read, summary_of
from topcoat.usage.turns import boundaries, events_of

Work = Callable[[Path, str], object]

JSON = [
    "{",
    "}",
    "[",
    "]",
    '"',
    ",",
    ":",
    "\\",
    "\n",
    " ",
    "1",
    '"a"',
    '"a": ',
    "null",
    "\\u0041",
    "\\ud800",
    "-",
    "e9",
]
TURN = '{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, '
CHAT = [
    TURN,
    '{"role": "tool", "content": "a"}, ',
    '{"role": 1}, ',
    '{"content": null, "role": "user"}, ',
    "1, ",
    "[], ",
]
PROSE = [
    *"abc .,'\"`/\\-_~:\n\t(){}[]#*?0",
    "Ab",
    "a.b",
    "a/b",
    "it's",
    "<tool_response>",
    "```",
    "C:\\",
    "/home/",
    "é",
]
PYTHON = [
    *"xa01 =()[]{}:,.'\"#\\\n+|@",
    "    ",
    '"""',
    "'''",
    "f'",
    "def f(",
    "if x:\n",
    "read_file(",
    "lambda ",
    "try:\n",
]
TOML = [*"a1=[]{}.,'\"#\\\n ", '"""', "'''", "[a]\n", "[[a]]\n", "a = 1\n", 'a = "b"\n', "b.c", "true", "1979-05-27"]


@dataclass(frozen=True)
class Reader:
    """One reader: what it does with a text, the tokens of its format, and shapes that it must stand."""

    work: Work
    tokens: Sequence[str]
    begins: Sequence[str] = ("",)
    ends: Sequence[str] = ("",)
    known: Sequence[Shape] = ()
    most: int = 100_000


def text(work: Callable[[str], object]) -> Work:
    return lambda _, text: work(text)


def file(work: Callable[[Path], object], name: str) -> Work:
    def of(folder: Path, text: str) -> object:
        path = folder / name
        path.write_text(text, encoding="utf-8", errors="replace")
        return work(path)

    return of


def lines(work: Callable[[Path], object], name: str = "lines.jsonl") -> Work:
    return file(work, name)


def checked(folder: Path, text: str) -> object:
    path = folder / "checked.jsonl"
    path.write_text(text, encoding="utf-8", errors="replace")
    examples, _ = read_examples(path)
    return check_examples(examples, SUITE, Agent(CATALOG, SYSTEM)), check_repeats(examples)


def imported(folder: Path, text: str) -> object:
    source, target = folder / "source.jsonl", folder / "target.jsonl"
    source.write_text(text, encoding="utf-8", errors="replace")
    target.unlink(missing_ok=True)
    return import_examples(str(source), target)


def header(folder: Path, text: str) -> object:
    raw = text.encode("utf-8", "replace")
    (folder / "x.safetensors").write_bytes(struct.pack("<Q", len(raw)) + raw)
    return read_header(folder / "x.safetensors")


def usage(folder: Path, text: str) -> object:
    """Everything of an import but its database."""
    path = folder / "usage.jsonl"
    path.write_text(text, encoding="utf-8", errors="replace")
    documents, _ = documents_of(path)
    sessions = Sessions()
    for form, group in grouped(documents) or grouped(documents, "chat"):
        for dialogue in dialogues_in(group, form, Report()):
            reached = boundaries(dialogue.turns)
            session, known = sessions.place(reached, dialogue.session)
            for event in events_of(dialogue.turns, reached, known, session=session, source=form):
                sessions.learn(event.after, session)
    return sessions


def stream(text: str) -> None:
    exchange = Exchange(datetime.now(UTC), b"{}", text.encode("utf-8", "replace"), streamed=True)
    with suppress(ValueError, TypeError, AttributeError, RecursionError):
        exchange.answers()


def request(text: str) -> None:
    exchange = Exchange(datetime.now(UTC), text.encode("utf-8", "replace"), b"", streamed=False)
    with suppress(TypeError, AttributeError, RecursionError):
        turns, _, _ = exchange.question()
        events_of(turns, boundaries(turns), session="s", source="serve")


def given_values(text: str) -> object:
    """A dialogue of `text`, in which a call gives each of its words to a tool."""
    agent = Agent(CATALOG, calls="native")
    arguments = json.dumps({"name": "read_file", "arguments": {"paths": text.split()}})
    return Shown(text, agent).shows_all(f"<tool_call>{arguments}</tool_call>", first=True)


def captured(text: str) -> object:
    """The events of a session in which each letter of `text` is something that happened."""
    events: list[Event] = []
    before, now = "", datetime.now(UTC)
    for number, letter in enumerate(text):
        after = digest_of([before, number, letter])
        base: dict[str, object] = {"session": "s", "source": "serve", "time": now, "before": before, "after": after}
        call = f'<tool_call>{{"name": "read_file", "arguments": {{"path": "a{number}.py"}}}}</tool_call>'
        made: dict[str, dict[str, object]] = {
            "q": {"kind": "request", "query": f"read a{number}.py", "answer": call},
            "n": {"kind": "request", "query": f"no, I meant a{number}.py", "answer": call},
            "a": {"kind": "request", "answer": call},
            "t": {"kind": "tool_call", "tool": "read_file", "result": {"success": True, "shape": "text"}},
            "f": {"kind": "tool_call", "tool": "read_file", "result": {"success": False}, "errors": ["it failed"]},
            "b": {"kind": "request", "query": f"read a{number}.py", "answer": call, "before": ""},
            "c": {"kind": "user_correction", "before": "", "after": ""},
            "r": {"kind": "retry", "corrected": "git_status()", "before": "", "after": ""},
        }
        events.append(Event.model_validate({**base, **made[letter]}))
        before = after if events[-1].after else before
    return dialogues(events), extract(events, Agent(CATALOG))


def scored(text: str) -> object:
    answer = parse(text, Agent(CATALOG))
    schema = {"type": "array", "items": {"type": "integer"}, "uniqueItems": True}
    call = {"tool": "read_file", "args": {"path": "x"}}
    expected = {"tiered": {"calls": [call]}, "calls": {"calls": [call, call]}, "exact": {"exact": "x"}}
    expected |= {"regex": {"regex": "(a|a)*b$"}, "json_schema": {"json_schema": schema}}
    return [SCORERS[name](Expect.model_validate(expect), answer, Agent(CATALOG)) for name, expect in expected.items()]


DOCUMENT = '{"messages": ['
CASE = '{"id": "a", "category": "c", "prompt": "p", "expect": {"calls": [{"tool": "read_file"}]}}\n'
PHASE = '[data]\ntrain = ["a"]\n'
TEMPLATE = '[[template]]\nname = "a"\ncategory = "c"\nprompt = "{noun}"\nexpect = { calls = [] }\n'
DELTA = 'data: {"choices": [{"index": 0, "delta": {"content": "a"}}]}\n\n'
CALLED = 'data: {"choices": [{"delta": {"tool_calls": [{"index": 9, "function": {"arguments": "a"}}]}}]}\n\n'
PART = '{"type": "text", "content": "a"}, '
SPAN = '{"attributes": {"gen_ai.input.messages": [{"role": "user", "parts": [{"type": "text", "content": "a"}]}]}}\n'
SCHEMAS = [
    '{"$ref": "#/components/schemas/a"}, ',
    '{"$ref": "#/components/schemas/b"}, ',
    '{"enum": [1, 2], "default": 3}, ',
    '{"properties": {"a": {"nullable": true, "type": "string"}}}, ',
]
COMPONENTS = (
    '"components": {"schemas": {"a": {"allOf": [{"$ref": "#/components/schemas/b"}, {}]}, "b": {"type": "null"}}}'
)
OPENAPI = '{"openapi": "3.0.3", ' + COMPONENTS + ', "paths": {"/a": {"post": '
BODY = OPENAPI + '{"requestBody": {"content": {"application/json": {"schema": {"allOf": ['
PARAMETERS = OPENAPI + '{"parameters": ['
TOOL = '[{"name": "a", "inputSchema": {"type": "object", '
PARAMETER = '{"name": "a", "in": "query", "schema": {"$ref": "#/components/schemas/a"}}, '

READERS = {
    "program": Reader(text(lambda text: problems_in_program(text, CATALOG)), PYTHON),
    "scorers": Reader(
        text(scored), [*JSON, "<tool_call>", "x", "a", "b", "1,", "```\n"], ("", "[1"), ("", "]", "\n```")
    ),
    "code template": Reader(text(code_template), PYTHON, known=[Shape('\\"""'), Shape('\\"'), Shape("\\'")]),
    "text template": Reader(text(text_template), PROSE),
    "secrets": Reader(text(lambda text: (find_secrets(text), redacted(text))), PROSE),
    "cleaning": Reader(text(lambda text: cleaned(text, "/srv/a")), [*PROSE, "token=", "a1", "/srv/a", "sk-", "AKIA"]),
    "near duplicates": Reader(
        text(lambda text: near_twins(text.split("\n"))), ["a ", "b ", "c ", "d e f ", "\n", "g", "h"], most=50_000
    ),
    "draft": Reader(
        text(lambda text: read_draft(text, Path("draft"), "c")),
        ["=== user\n", "=== a\n", "===", "\n", "x", "#", "=== call f\n{}\n", "=== call ", '"', "{", "\\", " "],
    ),
    "examples": Reader(
        lines(read_examples),
        [*JSON, *CHAT, DOCUMENT, "]}\n"],
        ("", DOCUMENT),
        ("", TURN[:-2] + "]}", "1]}"),
        [Shape("1, ", DOCUMENT, "1]}"), Shape('{"role": 1}, ', DOCUMENT, "1]}"), Shape('"a": ', "{", "1}")],
    ),
    "checks": Reader(checked, [DOCUMENT + TURN[:-2] + "]}\n", "\n"], most=20_000),
    "import of examples": Reader(
        imported,
        [*JSON, *CHAT, DOCUMENT, "]}\n", '{"conversations": [{"from": "human", "value": "a"}]}\n'],
        ("", "[", DOCUMENT),
    ),
    "suite": Reader(
        lines(lambda path: load_suite(path, Agent(CATALOG))),
        [*JSON, CASE, CASE.replace("read_file", "nothing")],
        known=[Shape(CASE)],
    ),
    "catalog": Reader(
        text(lambda text: parse_stubs(text, Path("tools.pyi"))),
        [*PYTHON, "class A:\n", "    a: int\n", "def f(a: int): ...\n", "a: int, ", "| int ", "list["],
        ("", "def f(", "x: int "),
        ("", "): ...\n", "z): ...\n"),
        [Shape("a: int, ", "def f(", "a): ...")],
    ),
    "import of tools": Reader(
        file(read_file, "x.json"),
        [*JSON, *SCHEMAS, PARAMETER, '{"name": "a", "inputSchema": {}}, ', '{"functionDeclarations": [1]}, '],
        ("", "[", '{"tools": [', BODY, PARAMETERS),
        ("", "1]", "1]}", "{}]" + "}" * 8, PARAMETER[:-2] + "]}}}}"),
        [
            Shape(SCHEMAS[0], BODY, "{}]" + "}" * 8),
            Shape(SCHEMAS[3], BODY, "{}]" + "}" * 8),
            Shape(PARAMETER, PARAMETERS, PARAMETER[:-2] + "]}}}}"),
        ],
    ),
    "check of a catalog": Reader(
        file(check_catalog, "x.json"),
        [*JSON, *SCHEMAS[2:], '"a": {}, ', '"a": {"default": 1}, ', '{"name": "a", "inputSchema": {}}, '],
        ("", "[", TOOL + '"allOf": [', TOOL + '"properties": {'),
        ("", "1]", "{}]}}]", '"b": {}}}}]'),
        [
            Shape('{"enum": [1, 2], "default": 3}, ', TOOL + '"allOf": [', "{}]}}]"),
            Shape('{"name": "a", "inputSchema": {}}, ', "[", "1]"),
            Shape("1, ", TOOL + '"enum": [', "1]}}]"),
        ],
    ),
    "toml": Reader(
        file(parse_toml, "x.toml"), TOML, ("", "a = [", "a = {", 'a = """'), ("", "]", "}", '"""'), [Shape("1.true.")]
    ),
    "phase": Reader(file(load_phase, "x.toml"), [*TOML, '"a", '], ("", PHASE), ("",)),
    "templates": Reader(
        file(lambda path: load_templates(path, Agent(CATALOG)), "x.toml"),
        [*TOML, TEMPLATE, '"{noun}", ', "{noun}", '"b", '],
        ("", "[names]\nnoun = [", "[names]\nnoun = ['x']\nb = [", TEMPLATE),
        ("", '"b"]\n', '"b"]\n' + TEMPLATE),
        [Shape('"{noun}", ', "[names]\nnoun = [", '"b"]\n' + TEMPLATE)],
    ),
    "documents": Reader(
        file(read_documents, "x.json"), JSON, known=[Shape("{x\n"), Shape("{\n"), Shape('["a\n'), Shape("[1\n")]
    ),
    "usage": Reader(
        usage,
        [*JSON, *CHAT, DOCUMENT, "]}\n", SPAN, PART, '"system": "a", ', '"choices": [{"message": {"content": "a"}}], '],
        ("", DOCUMENT, "["),
        ("", "1]}", TURN[:-2] + "]}"),
        [Shape(DOCUMENT + TURN[:-2] + "]}\n"), Shape(SPAN), Shape("{x\n")],
    ),
    "stream": Reader(
        text(stream), [*JSON, DELTA, CALLED, "data: ", "\n\n", ": ping\n"], known=[Shape(DELTA), Shape(CALLED)]
    ),
    "request": Reader(text(request), [*JSON, *CHAT], (DOCUMENT,), ("1]}", TURN[:-2] + "]}")),
    "answer of a server": Reader(
        text(lambda text: _completion(text.encode("utf-8", "replace"))),
        [*JSON, '{"message": {"content": "a"}}, '],
        ('{"choices": [',),
        ('{"message": {}}]}', "1]}"),
    ),
    "result of a tool": Reader(
        text(lambda text: (summary_of(text), fields_read(text))),
        [
            *JSON,
            *PYTHON,
            "Error",
            "failed",
            "a.c:1:1: error",
            "usage:",
            "exit code 1",
            "Traceback (most recent call last):",
        ],
    ),
    "turn after a result": Reader(
        text(lambda text: (reaction(text), misunderstood(text), leans_back(text))),
        [*PROSE, "no ", "thanks ", "that ", "is ", "great, ", "ok ", "!"],
    ),
    "values of calls": Reader(text(given_values), [*PROSE, "2027-05-03 ", "word ", "word1 ", "12 "]),
    "session": Reader(
        text(captured),
        list("qantfbcr"),
        most=6_000,
        known=[Shape("qt"), Shape("at", "q"), Shape("n"), Shape("q"), Shape("b")],
    ),
    "tensor file": Reader(
        header, [*JSON, '"a": {"data_offsets": [0, 1]}, '], ("{",), ('"b": {"data_offsets": [0, 0]}}', "}")
    ),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("growth")


def grows(reader: Reader, shape: Shape, folder: Path) -> float:
    def work(text: str) -> None:
        with suppress(TopcoatError, ValueError):
            reader.work(folder, text)

    return times(work, shape, reader.most)


@pytest.mark.parametrize("name", READERS)
def test_what_was_quadratic_once_takes_linear_time(name: str, folder: Path) -> None:
    for shape in READERS[name].known:
        assert grows(READERS[name], shape, folder) <= MOST_TIMES, shape


@pytest.mark.slow
@pytest.mark.parametrize("name", READERS)
def test_a_text_of_any_shape_takes_linear_time(name: str, folder: Path) -> None:
    reader = READERS[name]

    @given(shapes(reader.tokens, reader.begins, reader.ends))
    @settings(max_examples=40)
    def law(shape: Shape) -> None:
        assert grows(reader, shape, folder) <= MOST_TIMES

    law()
