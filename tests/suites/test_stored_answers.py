from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.recorder import Recorder
from topcoat.engine.protocol import Sampling
from topcoat.errors import StorageFault
from topcoat.progress import Note
from topcoat.store.records import Completion
from topcoat.suites.stored_answers import StoredAnswers

ANSWER = Completion(text="line\nline \u2028 \u00e9", tokens=3, finish="stop")
PROMPT = [5, 6, 7]


def opened(path: Path) -> StoredAnswers:
    return StoredAnswers(path, Recorder())


def test_an_answer_is_there_for_the_next_process(tmp_path: Path) -> None:
    path = tmp_path / "answers" / "model.jsonl"
    opened(path).add(PROMPT, 40, Sampling(), ANSWER)
    assert opened(path).get(PROMPT, 40, Sampling()) == ANSWER


@pytest.mark.parametrize(
    ("prompt", "limit", "sampling"),
    [
        ([5, 6], 40, Sampling()),
        ([5, 6, 8], 40, Sampling()),
        (PROMPT, 41, Sampling()),
        (PROMPT, 40, Sampling(0.5, 0)),
    ],
)
def test_another_question_has_no_answer(tmp_path: Path, prompt: list[int], limit: int, sampling: Sampling) -> None:
    answers = opened(tmp_path / "model.jsonl")
    answers.add(PROMPT, 40, Sampling(), ANSWER)
    assert answers.get(prompt, limit, sampling) is None


def test_a_seed_matters_where_tokens_are_sampled_only(tmp_path: Path) -> None:
    answers = opened(tmp_path / "model.jsonl")
    answers.add(PROMPT, 40, Sampling(0.5, 1), ANSWER)
    answers.add(PROMPT, 40, Sampling(0.0, 1), ANSWER)
    assert answers.get(PROMPT, 40, Sampling(0.5, 2)) is None
    assert answers.get(PROMPT, 40, Sampling(0.0, 2)) == ANSWER


@given(cut=st.integers(1, 400))
def test_a_torn_line_costs_itself_alone(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    path = tmp_path_factory.mktemp("answers") / "model.jsonl"
    for number in range(3):
        opened(path).add([number], 40, Sampling(), ANSWER)
    whole = path.read_bytes()
    path.write_bytes(whole[: max(0, len(whole) - cut)])
    left = path.read_bytes().count(b"\n")
    opened(path).add([9], 40, Sampling(), ANSWER)
    again = opened(path)
    assert [again.get([number], 40, Sampling()) is not None for number in range(left)] == [True] * left
    assert again.get([9], 40, Sampling()) == ANSWER


def test_damaged_lines_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "model.jsonl"
    opened(path).add(PROMPT, 40, Sampling(), ANSWER)
    path.write_bytes(b"\xff\n[]\n" + path.read_bytes())
    recorder = Recorder()
    assert StoredAnswers(path, recorder).get(PROMPT, 40, Sampling()) == ANSWER
    (note,) = [event for event in recorder.events if isinstance(event, Note)]
    assert note.text == f"{path}: 2 lines can't be read; what they answered is asked again"


def test_a_file_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    answers = opened(tmp_path / "answers" / "model.jsonl")
    (tmp_path / "answers").write_text("")
    with pytest.raises(StorageFault, match="can't write"):
        answers.add(PROMPT, 40, Sampling(), ANSWER)
    with pytest.raises(StorageFault, match="can't read"):
        opened(tmp_path / "answers" / "model.jsonl")
