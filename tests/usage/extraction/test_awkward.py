"""What is learned from sessions of awkward shapes, against labels of what a careful person would learn.

native.txt, code.txt and aside.txt were written before the rules, later.txt after the first rules and before the last.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.usage.awkward import judged, read_sessions

SESSIONS = Path(__file__).parent / "awkward"


@pytest.mark.parametrize(("name", "least"), [("native", 40), ("code", 35), ("aside", 15), ("later", 15)])
def test_each_round_of_the_sessions_has_a_label(name: str, least: int) -> None:
    sessions = read_sessions(SESSIONS / f"{name}.txt")
    assert len(sessions) >= least
    assert len({session.name for session in sessions}) == len(sessions)


def test_a_wrong_example_a_missed_one_and_a_wrong_mood_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "native.txt"
    talk = 'user: read a\ncall: read_file {"path": "a"}\nback: x\nsays: x\n'
    path.write_text(
        f"== right\n{talk}learn: 1\n== wrong\n{talk}learn: nothing -- no\n== mood\n{talk}learn: 1 content\n"
        '== missed\nuser: read a\ncall: read_file {"path": "a"}\nlearn: 1\n'
    )
    verdict = judged(read_sessions(path))
    assert (verdict.right, len(verdict.wrong), len(verdict.missed), len(verdict.moods)) == (2, 1, 1, 1)
    assert (verdict.precision, verdict.recall) == (2 / 3, 2 / 3)


@pytest.mark.parametrize("name", ["native", "code", "aside", "later"])
def test_what_is_learned_is_right_and_most_that_is_right_is_learned(name: str) -> None:
    verdict = judged(read_sessions(SESSIONS / f"{name}.txt"))
    assert verdict.precision >= 0.95, verdict.wrong
    assert verdict.recall >= 0.7, verdict.missed
    assert verdict.moods == []
