from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.examples import call
from tests.support.fake_project import opened
from topcoat.engine.fake import FakeEngine
from topcoat.engine.protocol import GenerateJob
from topcoat.errors import InvalidInput, Refused
from topcoat.examples.replay_prompts import replay_prompts
from topcoat.examples.replaying import replay_from_base
from topcoat.progress import Sink
from topcoat.spec.catalog import Catalog
from topcoat.spec.example import load_examples
from topcoat.store.records import Completion


class Knowing(FakeEngine):
    """Answers the requests for `read_file` in order: right, with another name, failing, another tool, cut off, ..."""

    def __init__(self, catalog: Catalog) -> None:
        self.requests = replay_prompts(catalog, 5)

    def generate(self, job: GenerateJob, sink: Sink) -> list[Completion]:
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
    assert (done.kept, done.asked) == (1, len(replay_prompts(catalog, 5)))
    assert kept.example.category == "text_tools"
    assert kept.example.messages[1].content == replay_prompts(catalog, 5)[0].prompt


def test_requests_are_different_and_hold_their_values(fake_project: Path) -> None:
    with opened(fake_project) as session:
        requests = replay_prompts(session.catalog, 8)
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
