from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from topcoat.engine.protocol import CallMarkup, Ended, GenerateJob, ModelInfo, Sampling, Tools, ignore
from topcoat.errors import EndpointFault
from topcoat.progress import Event, Finished, Silent, Sink
from topcoat.spec.agent import Agent
from topcoat.spec.project import EvalSection
from topcoat.spec.suite import Case, Suite
from topcoat.spec.tools.catalog import Catalog
from topcoat.spec.tools.stubs import parse_stubs
from topcoat.store.records import AnswerFault, CategoryScore, Completion, EvalResult, FormatShare
from topcoat.suites.evaluate import evaluate, evaluation_key
from topcoat.suites.source import EngineSource, Question, Reply, Unanswered

CATALOG: Catalog = parse_stubs("def read_file(path: str) -> str: ...\ndef git_status() -> str: ...", Path("t.pyi"))
AGENT = Agent(CATALOG)
OURS = Agent(CATALOG, "Ours.")
RIGHT = "<tool_call><function=execute_code><parameter=code>\n{}\n</parameter></function></tool_call>"


class Parrot:
    """An engine whose tokens are characters, and whose answer is looked up by the last turn."""

    name = "parrot 1"
    memory_limit: int | None = None
    call_markup: CallMarkup | None = None
    serves_calls = True

    def __init__(self, answers: dict[str, str], digest: str = "d") -> None:
        self.answers = answers
        self.digest = digest
        self.asked: list[str] = []
        self.max_tokens: Sequence[int] = ()
        self.sampling: Sequence[Sampling] = ()

    def locate(self, model: Path | str) -> Path:
        return Path(model)

    def convert(self, source: Path, target: Path, sink: object) -> Any:
        raise NotImplementedError

    def export(self, job: object, sink: object) -> Any:
        raise NotImplementedError

    def describe(self, model: Path) -> ModelInfo:
        return ModelInfo("parrot", 1, 1, None, self.digest, 1)

    def tokenizer(self, model: Path, day: date | None = None, options: Mapping[str, object] | None = None) -> Parrot:
        return self

    options: frozenset[str] | None = None
    stops: frozenset[int] = frozenset()

    def render(self, messages: Sequence[Any], *, tools: Tools = None, add_generation_prompt: bool = False) -> str:
        raise NotImplementedError

    def chat(self, messages: Sequence[Any], *, tools: Tools = None, add_generation_prompt: bool = False) -> list[int]:
        text = "|".join(f"{m['role']}:{m['content']}" for m in messages) + (
            "|assistant:" if add_generation_prompt else ""
        )
        return [ord(c) for c in text]

    def encode(self, text: str) -> list[int]:
        raise NotImplementedError

    def decode(self, tokens: Sequence[int]) -> str:
        return "".join(map(chr, tokens))

    def answering(self, model: Path) -> Any:
        raise NotImplementedError

    def require_trainable(self, model: Path, train: object, fuse: object) -> None:
        raise NotImplementedError

    def train(self, job: object, sink: Sink) -> Any:
        raise NotImplementedError

    def rebuild(self, job: object, sink: Sink) -> None:
        raise NotImplementedError

    def fuse(self, job: object, sink: Sink) -> Any:
        raise NotImplementedError

    def adopt(self, model: Path, source: Path, target: Path) -> None:
        raise NotImplementedError

    def verify(self, job: object, sink: Sink) -> Any:
        raise NotImplementedError

    def generate(self, job: GenerateJob, sink: Sink, ended: Ended = ignore) -> list[Completion]:
        self.asked = ["".join(map(chr, prompt)) for prompt in job.prompts]
        self.max_tokens, self.sampling = job.max_tokens, job.sampling or ()
        answers = [self.answers[asked.split(":")[-2].removesuffix("|assistant")] for asked in self.asked]
        return [Completion(text=text, tokens=len(text), finish="stop") for text in answers]


def case(id: str, category: str, tool: str, **more: Any) -> Case:
    return Case.model_validate({"id": id, "category": category, "expect": {"calls": [{"tool": tool}]}, **more})


SUITE = Suite(
    Path("s.jsonl"),
    (
        case("g1", "git", "git_status", prompt="status?", headline=True),
        case("t1", "text", "read_file", prompt="read a", system="Mine.", max_tokens=7),
        case("g2", "git", "git_status", messages=[{"role": "user", "content": "and again?"}], headline=True),
        case("r1", "git", "git_status", prompt="kept back", reserve=True, headline=True),
    ),
)
ANSWERS = {
    "status?": RIGHT.format("git_status()"),
    "read a": RIGHT.format("read_file('a')"),
    "and again?": "git_status",
}


class Listener:
    def __init__(self) -> None:
        self.events: list[Event] = []

    def emit(self, event: Event, /) -> None:
        self.events.append(event)


def test_cases_are_asked_scored_and_summed_up_in_the_order_of_the_suite() -> None:
    engine, sink = Parrot(ANSWERS), Listener()
    result = evaluate(EngineSource(engine, Path("m")), SUITE, OURS, sink, "base")
    assert engine.asked == [
        "system:Ours.|user:status?|assistant:",
        "system:Mine.|user:read a|assistant:",
        "system:Ours.|user:and again?|assistant:",
    ]
    assert engine.max_tokens == [256, 7, 256]
    assert [(s.case_id, s.value, s.headline, s.scorer) for s in result.scores] == [
        ("g1", 1.0, True, "tiered"),
        ("t1", 1.0, False, "tiered"),
        ("g2", 0.0, True, "tiered"),
    ]
    assert result.categories == [
        CategoryScore(category="git", n=2, mean=0.5, solved=1),
        CategoryScore(category="text", n=1, mean=1.0, solved=1),
    ]
    assert result.headline == CategoryScore(category="headline", n=2, mean=0.5, solved=1)
    assert (result.model, result.suite_digest) == ("base", SUITE.digest)
    assert result.scores[1].answer == ANSWERS["read a"]
    assert result.generated_tokens == sum(map(len, ANSWERS.values()))
    assert sink.events[-1] == Finished("score base", "2 of 3 solved")


def test_cases_whose_scorer_needs_it_are_run() -> None:
    answers = {"read a": RIGHT.format("read_file('a').upper()"), "read b": RIGHT.format("read_file('b').nothing")}
    cases = [
        case("a", "text", "read_file", prompt="read a", scorer="run"),
        case("b", "text", "read_file", prompt="read b", scorer="run"),
        case("c", "text", "read_file", prompt="read b", scorer="calls"),
    ]
    suite = Suite(Path("s.jsonl"), tuple(cases))
    result = evaluate(EngineSource(Parrot(answers), Path("m")), suite, AGENT, Silent(), "base")
    assert [(score.value, score.reason) for score in result.scores] == [
        (1.0, "every expected call, in order"),
        (0.0, "the code doesn't run: line 1: Object of type `str` has no attribute `nothing`"),
        (0.0, 'the program fails: line 1: reads "nothing" of str, which has no such field'),
    ]


def test_without_headline_cases_there_is_no_headline() -> None:
    suite = Suite(Path("s.jsonl"), (case("t1", "text", "read_file", prompt="read a"),))
    assert evaluate(EngineSource(Parrot(ANSWERS), Path("m")), suite, AGENT, Silent(), "base").headline is None


def test_only_a_full_score_is_solved() -> None:
    suite = Suite(Path("s.jsonl"), (case("t1", "text", "read_file", prompt="read a"),))
    half = {"read a": "<function=read_file><parameter=path>a</parameter></function>"}
    result = evaluate(EngineSource(Parrot(half), Path("m")), suite, AGENT, Silent(), "base")
    assert result.categories == [CategoryScore(category="text", n=1, mean=0.5, solved=0)]


def test_a_category_kept_wholly_in_reserve_is_not_reported() -> None:
    suite = Suite(Path("s.jsonl"), (case("r1", "text", "read_file", prompt="read a", reserve=True),))
    assert evaluate(EngineSource(Parrot(ANSWERS), Path("m")), suite, AGENT, Silent(), "base").categories == []


class Patchy:
    """A source that answers only some cases, always rightly."""

    def __init__(self, *answered: str) -> None:
        self.answered = answered

    def ask(self, questions: Sequence[Question], sink: Sink) -> list[Reply]:
        right = Completion(text=RIGHT.format("git_status()\nread_file('a')"), tokens=3, finish="stop")
        return [right if question.id in self.answered else Unanswered("gone") for question in questions]


def test_a_case_without_an_answer_is_an_error_and_not_a_zero() -> None:
    result = evaluate(Patchy("g2", "t1"), SUITE, AGENT, Silent(), "far")
    assert [(error.case_id, error.category, error.reason) for error in result.errors] == [("g1", "git", "gone")]
    assert result.categories == [
        CategoryScore(category="git", n=1, mean=1.0, solved=1, errors=1),
        CategoryScore(category="text", n=1, mean=1.0, solved=1),
    ]
    assert result.headline == CategoryScore(category="headline", n=1, mean=1.0, solved=1, errors=1)
    assert [score.case_id for score in result.scores] == ["t1", "g2"]


class Wavering:
    """A source that is right at temperature 0, and calls directly in every other sample."""

    def ask(self, questions: Sequence[Question], sink: Sink) -> list[Reply]:
        self.asked = questions
        code, native = RIGHT.format("git_status()\nread_file('a')"), "<function=git_status></function>"
        return [
            Completion(text=native if "sample 2" in question.id else code, tokens=1, finish="stop")
            for question in questions
        ]


def test_the_format_is_measured_at_the_temperatures_of_the_project() -> None:
    source, spec = Wavering(), EvalSection(temperatures=[0.0, 0.7], samples=2)
    result = evaluate(source, SUITE, AGENT, Silent(), "m", spec)
    assert result.formats == [
        FormatShare(temperature=0.0, answers=3, right=3),
        FormatShare(temperature=0.7, answers=6, right=3, wrong=["g1", "t1", "g2"]),
    ]
    assert len(source.asked) == 3 + 6
    assert len(result.scores) == 3
    assert result.generated_tokens == 9
    assert evaluate(source, SUITE, AGENT, Silent(), "m").formats == []


class Faulty:
    """A source whose answers have faults."""

    def ask(self, questions: Sequence[Question], sink: Sink) -> list[Reply]:
        wiped = "<function=wipe></function>" * 2
        return [
            Completion(text="I think that", tokens=9, finish="length"),
            Completion(text=f'<tool_call>{{"name": {wiped}', tokens=7, finish="length"),
            Completion(text=" \n", tokens=1, finish="stop"),
        ]


def test_answers_with_faults_are_counted_and_named() -> None:
    result = evaluate(Faulty(), SUITE, AGENT, Silent(), "m")
    assert result.faults == [
        AnswerFault(kind="cut", cases=["g1", "t1"], failed=2, max_tokens=256),
        AnswerFault(kind="unread", cases=["t1"], failed=1),
        AnswerFault(kind="empty", cases=["g2"], failed=1),
    ]
    assert [(score.cut, bool(score.unread), score.empty) for score in result.scores] == [
        (True, False, False),
        (True, True, False),
        (False, False, True),
    ]
    assert EvalResult.model_validate_json(result.model_dump_json()) == result


def test_the_engine_gets_temperature_and_seed() -> None:
    engine = Parrot(ANSWERS)
    EngineSource(engine, Path("m")).ask([Question("a", [{"role": "user", "content": "read a"}], 3, 0.7, 5)], Silent())
    assert engine.sampling == [Sampling(0.7, 5)]


def test_a_category_without_any_answer_voids_the_evaluation() -> None:
    with pytest.raises(EndpointFault, match=r"no case of category text was answered \(t1: gone\)"):
        evaluate(Patchy("g1", "g2"), SUITE, AGENT, Silent(), "far")


def test_the_key_changes_with_everything_that_determines_the_scores() -> None:
    other_engine = Parrot({})
    other_engine.name = "parrot 2"
    other_catalog = parse_stubs("def git_status() -> str: ...", Path("t.pyi"))
    keys = [
        evaluation_key(Parrot({}), Path("m"), SUITE, OURS),
        evaluation_key(other_engine, Path("m"), SUITE, OURS),
        evaluation_key(Parrot({}, "other"), Path("m"), SUITE, OURS),
        evaluation_key(Parrot({}), Path("m"), Suite(Path("s"), SUITE.cases[:2]), OURS),
        evaluation_key(Parrot({}), Path("m"), SUITE, Agent(other_catalog, "Ours.")),
        evaluation_key(Parrot({}), Path("m"), SUITE, Agent(CATALOG, "Theirs.")),
        evaluation_key(Parrot({}), Path("m"), SUITE, OURS, EvalSection(temperatures=[0.7])),
        evaluation_key(Parrot({}), Path("m"), SUITE, OURS, EvalSection(temperatures=[0.7], samples=9)),
    ]
    keys += [
        evaluation_key(Parrot({}), Path("m"), SUITE, OURS, template={"thinking": thinking})
        for thinking in (True, False)
    ]
    assert len(set(keys)) == 10
    assert evaluation_key(Parrot({}), Path("m"), SUITE, OURS, template={}) == keys[0]
    assert evaluation_key(Parrot({}), Path("m"), SUITE, OURS, EvalSection(max_errors=1)) == keys[0]
