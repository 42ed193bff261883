from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.support.examples import call
from tests.support.fake_project import opened
from topcoat.engine.fake import FakeEngine, FakeTokenizer
from topcoat.engine.protocol import Ended, GenerateJob, Message, Tools, ignore
from topcoat.errors import InvalidInput, Refused
from topcoat.examples.replaying import Replayed, replay_from_base
from topcoat.progress import Sink
from topcoat.project.starting import init_project
from topcoat.spec.example import Example, load_examples
from topcoat.spec.tools.catalog import Catalog
from topcoat.spec.tools.requests import requests_to
from topcoat.store.records import Completion


class Knowing(FakeEngine):
    """Answers the requests for `read_file` in order: right, with another name, failing, another tool, cut off, ..."""

    def __init__(self, catalog: Catalog) -> None:
        self.requests = requests_to(catalog, 5)[0]

    def generate(self, job: GenerateJob, sink: Sink, ended: Ended = ignore) -> list[Completion]:
        texts = [""] * len(job.prompts)
        mine = [index for index, request in enumerate(self.requests) if request.tool == "read_file"]
        right = [call(f'print(read_file("{self.requests[index].values[0]}").content)') for index in mine]
        texts[mine[0]] = right[0]
        texts[mine[1]] = right[0]
        texts[mine[2]] = right[2].replace("print(", "1 / 0\nprint(")
        texts[mine[3]] = right[3].replace("read_file", "typecheck").replace(".content", "")
        texts[mine[4]] = right[4]
        cut = mine[4]
        return [
            Completion(text=text, tokens=1, finish="length" if index == cut else "stop")
            for index, text in enumerate(texts)
        ]


def test_only_right_answers_that_run_are_kept(fake_project: Path) -> None:
    target = fake_project / "data" / "replay.jsonl"
    with opened(fake_project) as session:
        catalog = session.catalog
    with opened(fake_project, Knowing(catalog)) as session:
        done = replay_from_base(session, target, 5)
    (kept,) = load_examples(target)
    assert (done.kept, done.asked) == (1, len(requests_to(catalog, 5)[0]))
    assert kept.example.category == "text_tools"
    assert kept.example.messages[1].content == requests_to(catalog, 5)[0][0].prompt


def test_requests_are_different_and_hold_their_values(fake_project: Path) -> None:
    with opened(fake_project) as session:
        requests = requests_to(session.catalog, 8)[0]
    assert len({request.prompt for request in requests}) == len(requests)
    assert all(value in request.prompt for request in requests for value in request.values)
    assert {request.tool for request in requests} == set(session.catalog.tools)


def test_nothing_is_overwritten_and_nothing_empty_is_written(fake_project: Path) -> None:
    target = fake_project / "data" / "replay.jsonl"
    FakeEngine.create(fake_project / "silent", [])
    toml = fake_project / "topcoat.toml"
    toml.write_text(toml.read_text().replace("models/phase33b", "silent"))
    with opened(fake_project) as session:
        with pytest.raises(Refused, match="exists already"):
            replay_from_base(session, toml)
        with pytest.raises(InvalidInput, match="answered none"):
            replay_from_base(session, target)
    assert not target.exists()


LIGHT = {
    "name": "home.set_light",
    "description": "Turn a light on or off.",
    "inputSchema": {
        "type": "object",
        "properties": {
            "room": {"enum": ["attic", "cellar"]},
            "scene": {"type": "object", "properties": {"hue": {"type": "integer"}}, "required": ["hue"]},
            "on": {"type": "boolean"},
            "note": {"type": "string"},
        },
        "required": ["room", "scene", "on"],
    },
}
IMPOSSIBLE = {
    "name": "odd",
    "inputSchema": {"type": "object", "properties": {"q": {"type": "string", "pattern": "^Q{40}$"}}, "required": ["q"]},
}


class Calling(FakeEngine):
    """Answers with what `answer` makes of each request's arguments, and says how each answer ended."""

    def __init__(self, answers: list[str], finish: str = "stop") -> None:
        self.answers, self.finish = answers, finish

    def generate(self, job: GenerateJob, sink: Sink, ended: Ended = ignore) -> list[Completion]:
        texts = [*self.answers, *[""] * len(job.prompts)][: len(job.prompts)]
        return [Completion.model_validate({"text": text, "tokens": 1, "finish": self.finish}) for text in texts]


def native(name: str, arguments: object, before: str = "", after: str = "") -> str:
    return f"{before}<tool_call>\n{json.dumps({'name': name, 'arguments': arguments})}\n</tool_call>{after}"


@pytest.fixture
def native_project(tmp_path: Path) -> Path:
    FakeEngine.create(tmp_path / "base", [])
    (tmp_path / "mine.json").write_text(json.dumps([LIGHT, IMPOSSIBLE]))
    init_project(tmp_path / "agent", str(tmp_path / "base"), catalog=tmp_path / "mine.json")
    suite = tmp_path / "agent" / "suites" / "routing.jsonl"
    case = json.loads(suite.read_text().splitlines()[0])
    suite.write_text(json.dumps({**case, "prompt": "Make it bright upstairs."}) + "\n")
    return tmp_path / "agent"


def replayed(project: Path, answers: list[str], finish: str = "stop") -> tuple[Replayed, list[Example]]:
    target = project / "data" / "replay.jsonl"
    with opened(project, Calling(answers, finish)) as session:
        done = replay_from_base(session, target, len(answers))
    return done, [located.example for located in load_examples(target)]


def test_right_native_answers_become_structured_calls(native_project: Path) -> None:
    with opened(native_project) as session:
        requests = requests_to(session.catalog, 4)[0]
    values = [dict(request.arguments) for request in requests]
    texts = [
        native("home.set_light", values[0]),
        native("home.set_light", {**values[1], "note": "soon"}, "<think>\nHm.\n</think>\n\nAt once.\n"),
        native("home.set_light", values[2], "Hm.\n</think>\n\n"),
        native("home.set_light", json.dumps(values[3])),
    ]
    done, examples = replayed(native_project, texts)
    learned = [example.messages[-1] for example in examples]
    functions = [[call["function"] for call in turn.tool_calls or ()] for turn in learned]
    given = [values[0], {**values[1], "note": "soon"}, values[2], values[3]]
    assert functions == [[{"name": "home.set_light", "arguments": one}] for one in given]
    assert [turn.content for turn in learned] == [
        None,
        "<think>\nHm.\n</think>\n\nAt once.",
        "<think>\nHm.\n</think>",
        None,
    ]
    assert (done.kept, done.asked) == (4, 4)
    assert list(done.left_out) == ["odd"]
    assert {example.category for example in examples} == {"tools"}


@pytest.mark.parametrize(
    "spoil",
    ["other value", "missing", "two", "unknown parameter", "misfit", "words only", "other tool", "broken", "code"],
)
def test_wrong_native_answers_are_left_out(native_project: Path, spoil: str) -> None:
    with opened(native_project) as session:
        first, second = (dict(request.arguments) for request in requests_to(session.catalog, 2)[0])
    name = "home.set_light"
    wrong = {
        "other value": native(name, {**second, "on": not second["on"]}),
        "missing": native(name, {"room": second["room"], "on": second["on"]}),
        "two": native(name, second) + native(name, second),
        "unknown parameter": native(name, {**second, "speed": 1}),
        "misfit": native(name, {**second, "note": 3}),
        "words only": f"I set {second}.",
        "other tool": native("odd", second),
        "broken": native(name, second).replace("}\n</tool_call>", "</tool_call>"),
        "code": call(f"set_light({second})"),
    }
    done, examples = replayed(native_project, [native(name, first), wrong[spoil]])
    assert (done.kept, done.asked, len(examples)) == (1, 2, 1)


class Wordy(FakeTokenizer):
    """Its chat template writes no calls."""

    def render(self, messages: Sequence[Message], *, tools: Tools = None, add_generation_prompt: bool = False) -> str:
        said = [{**turn, "tool_calls": None} for turn in messages]
        return super().render(said, tools=tools, add_generation_prompt=add_generation_prompt)


def test_where_the_template_writes_no_calls_the_answer_stays_as_it_is(
    native_project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakeEngine, "tokenizer", lambda *_, **__: Wordy())
    with opened(native_project) as session:
        (request,) = requests_to(session.catalog, 1)[0]
    text = native(request.tool, dict(request.arguments), "At once.\n")
    _, (example,) = replayed(native_project, [text])
    assert (example.messages[-1].content, example.messages[-1].tool_calls) == (text, None)


def test_a_native_answer_that_was_cut_is_left_out(native_project: Path) -> None:
    with opened(native_project) as session:
        (request,) = requests_to(session.catalog, 1)[0]
    with pytest.raises(InvalidInput, match="answered none of 1"):
        replayed(native_project, [native(request.tool, request.arguments)], "length")
