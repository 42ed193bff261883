from __future__ import annotations

import io
from collections.abc import Callable

import pytest
from rich.console import Console

from topcoat.cli.answers import show_faults, show_formats, show_passes, show_servers
from topcoat.store.records import AnswerFault, AskedServer, EvalResult, FormatShare, PassShare


def shown(show: Callable[[Console, EvalResult], None], **fields: object) -> str:
    result = EvalResult.model_validate(
        {
            "model": "m",
            "suite_digest": "s",
            "categories": [],
            "scores": [],
            "seconds": 0,
            "generated_tokens": 0,
            **fields,
        }
    )
    text = io.StringIO()
    show(Console(file=text, width=200), result)
    return text.getvalue()


def test_faults_are_shown_with_their_cases() -> None:
    ids = [f"c{number}" for number in range(7)]
    faults = [
        AnswerFault(kind="cut", cases=ids, failed=2, max_tokens=100),
        AnswerFault(kind="unread", cases=["c1"], failed=1),
        AnswerFault(kind="unknown tool", cases=["c2", "c3"], failed=2),
        AnswerFault(kind="empty", cases=["c4"], failed=1),
    ]
    assert shown(show_faults, faults=faults).splitlines() == [
        "7 answers cut at max_tokens: c0, c1, c2, c3, c4, ...",
        '  hint: 2 of them scored less than 1: max_tokens = 200 in these cases, "max_tokens": 200 in their lines',
        "1 answer with a call or a thought that can't be read: c1",
        "2 answers with a call of a tool that the catalog lacks: c2, c3",
        "1 answer empty: c4",
    ]
    assert shown(show_faults) == ""


@pytest.mark.parametrize(
    ("failed", "limit", "hint"),
    [(1, 5000, "max_tokens = 8192"), (1, 8192, "the model doesn't end its answers"), (0, 0, "")],
)
def test_the_hint_of_cut_answers(failed: int, limit: int, hint: str) -> None:
    text = shown(show_faults, faults=[AnswerFault(kind="cut", cases=["a"], failed=failed, max_tokens=limit)])
    assert hint in text
    assert ("hint" in text) == bool(failed)


def test_the_format_is_named_after_the_way_of_calling() -> None:
    code = FormatShare(temperature=0.7, answers=4, right=3, wrong=["a"])
    native = FormatShare(temperature=0.0, answers=4, right=4, calls="native", errors=1)
    assert shown(show_formats, formats=[code, native]).splitlines() == [
        "format: 75.0% of 4 answers call tools through execute_code alone at temperature 0.7; not those of a",
        "format: 100.0% of 4 answers call known tools, with arguments that fit their JSON Schema at temperature 0, "
        "1 without an answer",
    ]


def test_passes_name_the_episodes_that_are_not_solved_every_time() -> None:
    passes = PassShare(temperature=0.7, samples=3, episodes=4, solved=3, mean=0.75, errors=1, failed=["a"])
    assert shown(show_passes, passes=[passes]).splitlines() == [
        "pass^3: 75.0% of 4 episodes solved in all of 3 samples at temperature 0.7 (75.0% of the samples), "
        "1 without an answer; not a"
    ]


def test_several_servers_are_shown_with_what_each_answered() -> None:
    one = AskedServer(server="http://a:1/v1", model="m", cases=7, answers=9)
    other = AskedServer(server="http://b:1/v1", model="m", cases=1, answers=1, left_out="HTTP 500 [no], 4 times")
    assert shown(show_servers, servers=[one, other]).splitlines() == [
        "http://a:1/v1 answered 7 cases",
        "http://b:1/v1 answered 1 case and was left out: HTTP 500 [no], 4 times",
    ]
    assert shown(show_servers, servers=[one]) == shown(show_servers) == ""
