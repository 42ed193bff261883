"""The project's template options reach everything that renders a dialogue."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from tests.support.fake_project import opened, write_phase
from tests.support.usage.captured import capture
from topcoat.engine.fake import FakeEngine, FakeTokenizer
from topcoat.engine.protocol import Ended, GenerateJob, TrainJob, ignore
from topcoat.engine.registry import ENGINES
from topcoat.errors import InvalidInput
from topcoat.examples.replaying import replay_from_base
from topcoat.phases.estimation import estimate
from topcoat.phases.judging.evaluation import evaluate_folder, evaluate_model
from topcoat.phases.preparation import prepare
from topcoat.phases.run import run_phase
from topcoat.progress import Silent, Sink
from topcoat.project.project import open_project
from topcoat.store.records import Completion, TrainReport
from topcoat.usage.capture.serving import Serving, serve
from topcoat.usage.extraction.extract import extract_examples

OPENING = "Well, "


class Listening(FakeEngine):
    """Keeps the options that it was given, and what its prompts and rows begin the last answer with."""

    def __init__(self) -> None:
        self.given: list[object] = []
        self.openings: set[str] = set()

    def tokenizer(
        self, model: Path, day: date | None = None, options: Mapping[str, object] | None = None
    ) -> FakeTokenizer:
        self.given.append(options)
        return super().tokenizer(model, day, options)

    def generate(self, job: GenerateJob, sink: Sink, ended: Ended = ignore) -> list[Completion]:
        self._hear(FakeTokenizer().decode(prompt) for prompt in job.prompts)
        return super().generate(job, sink)

    def train(self, job: TrainJob, sink: Sink) -> TrainReport:
        rows = [*job.rows, *job.valid]
        self._hear(FakeTokenizer().decode([int(t) for t in row.tokens[: row.trained.argmax()]]) for row in rows)
        return super().train(job, sink)

    def _hear(self, prompts: Iterable[str]) -> None:
        self.openings |= {prompt.rpartition("<|im_start|>assistant\n")[2] for prompt in prompts}


def with_template(project: Path, written: str) -> Path:
    path = project / "topcoat.toml"
    path.write_text(path.read_text().replace("[project]\n", f"[project]\ntemplate = {written}\n", 1))
    return project


def test_every_rendering_has_the_project_s_options(fake_project: Path) -> None:
    with_template(fake_project, f'{{ opening = "{OPENING}" }}')
    capture(fake_project, 6)
    engine = Listening()
    phase = write_phase(fake_project, gate__target__domain=0.0, gate__tolerance=1.0)
    with opened(fake_project, engine) as session:
        root = session.model("production")
        replay_from_base(session, fake_project / "data" / "replay.jsonl", 1)
        extract_examples(session, "next", {})
        assert evaluate_model(session, root).scores == evaluate_folder(session, root.path).scores
        estimate(session, prepare(session, phase))
        assert run_phase(session, phase).results
    assert engine.given
    assert all(options == {"opening": OPENING} for options in engine.given)
    assert engine.openings == {OPENING}


def test_options_change_what_is_stored_and_none_change_nothing(fake_project: Path) -> None:
    phase = fake_project / "phases" / "phase34a.toml"

    def digest() -> str:
        with opened(fake_project) as session:
            evaluate_model(session, session.model("production"))
            return prepare(session, phase).digest

    plain = digest()
    with opened(fake_project) as session:
        (evaluated,) = session.lineage.evaluations()
    written = (fake_project / "topcoat.toml").read_text()
    with_template(fake_project, "{}")
    assert digest() == plain
    with opened(fake_project) as session:
        assert session.lineage.evaluations() == [evaluated]
    (fake_project / "topcoat.toml").write_text(written)
    with_template(fake_project, '{ opening = "Well, " }')
    assert digest() != plain
    with opened(fake_project) as session:
        assert len(session.lineage.evaluations()) == 2


def test_an_option_that_the_template_doesn_t_read_is_named_with_its_line(fake_project: Path) -> None:
    with_template(fake_project, '{ openin = "Well, ", enable_thinking = false }')
    with opened(fake_project) as session:
        for needs in (
            lambda: evaluate_model(session, session.model("production")),
            lambda: prepare(session, fake_project / "phases" / "phase34a.toml"),
        ):
            with pytest.raises(InvalidInput) as refused:
                needs()
            near, far = refused.value.mistakes
            for mistake, name in ((near, "openin"), (far, "enable_thinking")):
                assert mistake.message == (
                    f"project.template.{name}: the chat template of phase33b doesn't read it; it reads opening"
                )
                assert str(mistake.where) == f"{fake_project / 'topcoat.toml'}:2"
            assert (near.hint, far.hint) == ("did you mean opening?", "leave it out")
    served = Serving(port=0, engine=replace(ENGINES["fake"]))
    with open_project(fake_project) as project, pytest.raises(InvalidInput, match="2 mistakes"):
        serve(project, served, Silent())


def test_the_servers_are_given_the_options(tmp_path: Path) -> None:
    template = {"enable_thinking": False, "note": "a b"}
    command = list(ENGINES["mlx"].server(tmp_path, 1, ["--max-tokens", "9"], template).command)
    assert command[command.index("--chat-template-args") + 1] == '{"enable_thinking": false, "note": "a b"}'
    assert "--chat-template-args" not in ENGINES["mlx"].server(tmp_path, 1, [], {}).command
    own = ["--chat-template-args", "{}"]
    assert list(ENGINES["mlx"].server(tmp_path, 1, own, {}).command)[-2:] == own
    with pytest.raises(InvalidInput, match="topcoat itself says") as refused:
        ENGINES["mlx"].server(tmp_path, 1, own, template)
    assert "topcoat.toml" in str(refused.value.hint)
    assert ENGINES["fake"].server(tmp_path, 1, [], template).command[-1] == '{"enable_thinking": false, "note": "a b"}'
