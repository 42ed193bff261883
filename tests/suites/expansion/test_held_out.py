from __future__ import annotations

from itertools import islice
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.agents import agent_of
from topcoat.errors import InvalidInput
from topcoat.spec.case_template import CaseTemplate, CaseTemplates
from topcoat.spec.reading.loader import TomlSource
from topcoat.spec.slots import Value
from topcoat.suites.expansion.held_out import Draws, HeldOutNames, KnownTexts, shuffled

WORDS = st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=6, unique=True)
TEMPLATE = CaseTemplate(name="t", category="c", prompt="{word}", expect={"exact": "x"})


def names(
    trained: str = "", asked: str = "", choices: dict[str, list[int | float]] | None = None, **lists: list[str]
) -> HeldOutNames:
    source = TomlSource(Path("t.toml"), {}, {})
    return HeldOutNames(
        CaseTemplates(source, lists, choices or {}, (TEMPLATE,), agent_of([])),
        KnownTexts([trained]),
        KnownTexts([asked]),
    )


def drawn(held_out: HeldOutNames, *slots: str, seed: str = "0", most: int = 1000) -> list[tuple[Value, ...]]:
    return [tuple(values[slot] for slot in slots) for values in islice(Draws(held_out, seed).fresh(slots), most)]


@pytest.mark.parametrize("name", ["abacus", "Abacus", "lib/abacus.py", "abacus.py", "run_it", "a b", ".py", "/abacus"])
def test_a_name_is_known_wherever_it_stands_whole(name: str) -> None:
    known = KnownTexts(["Open lib/ABACUS.py,", "then `run_it` a b."])
    assert known.has(name)


@pytest.mark.parametrize("name", ["abac", "bacus", "lib/abacus.p", "run", "b a", "py lib"])
def test_a_part_of_a_word_is_no_name(name: str) -> None:
    assert not KnownTexts(["Open lib/ABACUS.py,", "then `run_it` a b."]).has(name)


@given(st.integers(0, 200), st.integers())
def test_shuffled_gives_every_number_once(size: int, seed: int) -> None:
    assert sorted(shuffled(size, Random(seed))) == list(range(size))


def test_shuffled_costs_what_is_taken() -> None:
    taken = list(islice(shuffled(10**30, Random(0)), 100))
    assert len(set(taken)) == 100
    assert max(taken) > 10**29


@given(WORDS, WORDS, st.text("abcdefgh ", max_size=8))
def test_every_value_that_nobody_knows_is_drawn_once(one: list[str], two: list[str], known: str) -> None:
    free = [word for word in one if word not in known.split()]
    try:
        held_out = names(known, word=one, pair=["{word}-{word2}", "{word}+{other}"], other=two)
    except InvalidInput:
        assert not free or not [word for word in two if word not in known.split()]
        return
    others = [word for word in two if word not in known.split()]
    expected = {f"{a}-{b}" for a in free for b in free if a != b} | {f"{a}+{b}" for a in free for b in others}
    found = [pair for (pair,) in drawn(held_out, "pair")]
    assert sorted(found) == sorted(expected)
    assert set(held_out.dropped.get("word", [])) == set(one) - set(free)


@given(WORDS, st.text(max_size=3), st.integers(0, 8))
def test_one_seed_draws_one_sequence_that_more_draws_go_on_with(words: list[str], seed: str, most: int) -> None:
    held_out = names(word=words, choices={"n": [1, 2, 3]})
    whole = drawn(held_out, "word", "n", seed=seed)
    assert drawn(held_out, "word", "n", seed=seed, most=most) == whole[:most]
    assert sorted(word for word, _ in whole) == sorted(words)


def test_other_seeds_draw_other_sequences() -> None:
    held_out = names(word=[f"w{i}" for i in range(50)])
    assert drawn(held_out, "word", seed="0") != drawn(held_out, "word", seed="1")


def test_what_is_asked_already_is_no_name_but_may_be_a_part_of_one() -> None:
    held_out = names(asked="Open b, then a-b", word=["a", "b", "c"], pair=["{word}-{word2}"])
    assert sorted(drawn(held_out, "pair")) == [("a-c",), ("b-a",), ("b-c",), ("c-a",), ("c-b",)]
    assert drawn(held_out, "word") == [("c",)]
    assert held_out.dropped == {}


def test_what_is_made_of_known_parts_is_looked_up_whole() -> None:
    held_out = names("See doc1.md", page=["doc{n}.md"], link=["/{page}"], choices={"n": [1, 2]})
    assert drawn(held_out, "page") == [("doc2.md",)]
    assert drawn(held_out, "link") == [("/doc2.md",)]


def test_no_two_slots_of_a_case_have_one_name() -> None:
    held_out = names(word=["a", "b", "c", "d"], old=["{word}"], new=["{word}"])
    rows = drawn(held_out, "word", "word2", "old", "new")
    assert len(rows) == 1
    assert sorted(map(str, rows[0])) == ["a", "b", "c", "d"]


def test_choices_come_again_but_not_side_by_side() -> None:
    held_out = names(word=[f"w{i}" for i in range(40)], choices={"n": [1, 2]})
    assert {row[1:] for row in drawn(held_out, "word", "n", "n2")} == {(1, 2), (2, 1)}
    assert drawn(held_out, "word", "n", "n2", "n3") == []


def test_without_names_every_combination_comes_once() -> None:
    held_out = names(word=["a"], choices={"n": [1, 2, 3], "m": [7, 8]})
    assert sorted(map(repr, drawn(held_out, "n", "n2", "m"))) == sorted(
        repr((a, b, m)) for a in (1, 2, 3) for b in (1, 2, 3) for m in (7, 8) if a != b
    )
    assert drawn(held_out) == [()]


def test_a_list_of_which_nothing_is_new() -> None:
    with pytest.raises(InvalidInput, match=r"t.toml: 1 mistake") as caught:
        names("abacus, sundial", word=["sundial", "Abacus"], good=["x"])
    (mistake,) = caught.value.mistakes
    assert mistake.message == "names.word: each of its values is in the training data"


def test_names_that_ran_out() -> None:
    draws = Draws(names(word=["a"], other=["b", "c"]), "0")
    assert len(list(draws.fresh(["other", "word"]))) == 1
    assert draws.ran_out == ["word"]
