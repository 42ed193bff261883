"""Guard cases follow from a seed, hold new names, and are right by their own scorers."""

from __future__ import annotations

from collections import Counter
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.guarded import CODE, CODE_CASES, NATIVE, NATIVE_CASES, case_of, pool_of, suite_of, templates_in
from topcoat.guard.answers import is_right, right_answer
from topcoat.guard.pool import GuardCase, GuardPool
from topcoat.guard.shapes import names, subwords
from topcoat.spec.agent import Agent
from topcoat.suites.expansion.held_out import KnownTexts

_POOLS = {"code": (CODE_CASES, CODE), "native": (NATIVE_CASES, NATIVE)}
_SEEDS = st.text(max_size=8)
_WAYS = st.sampled_from(list(_POOLS))
_BUILT = {name: pool_of(*parts) for name, parts in _POOLS.items()}


def _drawn(pool: GuardPool, seed: str, count: int) -> list[GuardCase]:
    return list(islice(pool.draw("work", seed), count))


@settings(max_examples=20)
@given(_WAYS, _SEEDS, st.integers(0, 12), st.integers(0, 12))
def test_a_longer_draw_begins_with_the_shorter_one(name: str, seed: str, short: int, more: int) -> None:
    """Also of a pool that is made again."""
    again = pool_of(*_POOLS[name])
    assert _drawn(again, seed, short + more)[:short] == _drawn(_BUILT[name], seed, short)


@settings(max_examples=20)
@given(_WAYS, _SEEDS, _SEEDS)
def test_another_seed_gives_other_cases(name: str, one: str, other: str) -> None:
    first, second = ([g.case.text for g in _drawn(_BUILT[name], seed, 8)] for seed in (one, other))
    assert (not set(first) & set(second)) == (one != other)


@settings(max_examples=20)
@given(_WAYS, _SEEDS)
def test_the_expected_answer_is_right_and_the_old_one_no_longer_is(name: str, seed: str) -> None:
    rows, agent = _POOLS[name]
    origins = {case.id: case for case in suite_of(rows, agent).cases}
    for drawn in _drawn(_BUILT[name], seed, 10):
        old = right_answer(origins[drawn.origin], agent)
        assert is_right(drawn.case, right_answer(drawn.case, agent), agent)
        assert is_right(drawn.case, old, agent) == (drawn.case.scorer == "tiered")


@settings(max_examples=20)
@given(_WAYS, _SEEDS)
def test_no_drawn_name_stands_in_a_known_text(name: str, seed: str) -> None:
    """Of a name, every word that isn't the old one's is new, so the whole is new too."""
    rows, agent = _POOLS[name]
    known = KnownTexts([str(rows), agent.system_prompt, agent.catalog.source])
    old = {match[0].lower() for match in subwords(str(rows))}
    for drawn in _drawn(_BUILT[name], seed, 10):
        said = [one.text.strip("\"'") for one in names(drawn.case.text)]
        assert not [one for one in said if known.has(one)]
        new = {match[0].lower() for one in said for match in subwords(one)} - old
        assert not [word for word in new if known.has(word)]


@settings(max_examples=20)
@given(_WAYS, _SEEDS, st.integers(1, 40))
def test_families_take_turns_and_ids_are_unique(name: str, seed: str, count: int) -> None:
    """The families of a kind have as many cases, or one more. Kinds take turns too."""
    drawn = _drawn(_BUILT[name], seed, count)
    families = Counter((one.way, one.case.family) for one in drawn)
    for way in ("renamed", "reworded"):
        counts = [number for (own, _), number in families.items() if own == way]
        assert max(counts, default=0) - min(counts, default=0) <= 1
    assert [one.way for one in drawn] == ["renamed" if index % 2 == 0 else "reworded" for index in range(count)]
    assert len({one.case.id for one in drawn}) == count


def test_the_shape_of_names_is_kept() -> None:
    """Folders, endings, prefixes, capitals and the number of digits stay; what two names share, the new ones share."""
    drawn = {one.origin: one.case for one in _drawn(_BUILT["code"], "a", 8) if one.way == "renamed"}
    call = drawn["read"].expect.calls[0]
    _folder, name = str(call.args["path"]).removeprefix("src/").split("/")
    assert name.startswith("test_")
    assert name.endswith(".py")
    assert str(call.args["path"]) in (drawn["read"].prompt or "")
    call = drawn["uses"].expect.calls[0]
    word = str(call.args["path"]).split("/")[2].removesuffix(".py")
    assert str(call.args["symbol"]).startswith(word.capitalize())
    assert f"{call.args['path']}:{call.args['line']}:{call.args['column']}?" in (drawn["uses"].prompt or "")
    assert 10 <= int(str(call.args["line"])) <= 99
    assert drawn["uses"].expect.calls[1].uses == [0]
    assert drawn["uses"].family == "references-read"
    assert drawn["read"].family == "read"


@pytest.mark.parametrize(
    ("agent", "data", "reason"),
    [
        (CODE, {"prompt": "List the commits.", "expect": {"calls": [{"tool": "git_log"}]}}, "holds no name"),
        (
            CODE,
            {"prompt": "Use find_references.", "expect": {"calls": [{"tool": "find_references"}]}},
            "the tools or the question use otherwise",
        ),
        (
            CODE,
            {
                "prompt": "What is 17 times 40?",
                "expect": {"calls": [{"tool": "git_log", "args": {"count": 680}}]},
                "scorer": "calls",
            },
            "no name of the question",
        ),
        (
            NATIVE,
            {
                "prompt": "Tell me about the weather of the next 6 days in 'Bergen'.",
                "expect": {"calls": [{"tool": "forecast", "args": {"city_name": "Bergen, Norway", "days": 7}}]},
            },
            "",
        ),
        (CODE, {"prompt": "Read a/b.py.", "expect": {"regex": "b"}, "scorer": "regex"}, "its scorer is regex"),
        (
            CODE,
            {"prompt": "Who owns billing_desk?", "expect": {"exact": "The billing desk, says Ada."}, "scorer": "exact"},
            "words that the question doesn't show",
        ),
        (
            CODE,
            {"prompt": "Read a/b.py.", "max_steps": 3, "expect": {"calls": [{"tool": "read_file"}]}},
            "it is an episode",
        ),
    ],
    ids=["no-name", "a-tool", "computed", "partly-computed", "pattern", "text", "episode"],
)
def test_what_cant_be_renamed_is_said(agent: Agent, data: dict[str, Any], reason: str) -> None:
    pool = pool_of(({"id": "it", **data},), agent)
    if reason:
        cannot = pool.cannot[0]
        assert (cannot.origin, cannot.category, cannot.way) == ("it", "work", "renamed")
        assert reason in cannot.reason
        assert not [one for one in pool.draw("work", "a") if one.way == "renamed"]
    else:  # the name can change, the number can't
        assert all(one.case.expect.calls[0].args["days"] == 7 for one in _drawn(pool, "a", 5))


def test_words_that_decide_are_kept() -> None:
    """A word of a name that the tools, the schema or the question's other words use stays, as do enums."""
    rows = (
        {
            "id": "it",
            "prompt": "Read the harbor file log/kelvin_harbor_references_quay.txt.",
            "expect": {"calls": [{"tool": "read_file", "args": {"path": "log/kelvin_harbor_references_quay.txt"}}]},
            "scorer": "calls",
        },
    )
    for drawn in _drawn(pool_of(rows, CODE), "a", 5):
        assert str(drawn.case.expect.calls[0].args["path"]).split("_")[1:3] == ["harbor", "references"]


def test_a_schema_bounds_new_numbers() -> None:
    rows = (
        {
            "id": "it",
            "prompt": "Forecast the weather of 'Mount Ardent' for 9 days, in celsius.",
            "expect": {
                "calls": [{"tool": "forecast", "args": {"city_name": "Mount Ardent", "days": 9, "unit": "celsius"}}]
            },
        },
    )
    drawn = _drawn(pool_of(rows, NATIVE), "a", 40)
    days = {str(one.case.expect.calls[0].args["days"]) for one in drawn}
    assert len(drawn) == 40
    assert days <= set("3456789")
    assert len(days) > 1
    assert all(one.case.expect.calls[0].args["unit"] == "celsius" for one in drawn)


def test_history_and_results_are_renamed_alike() -> None:
    rows = (
        {
            "id": "it",
            "messages": [
                {"role": "user", "content": "Read lib/harvest.py."},
                {"role": "assistant", "content": 'read_file("lib/harvest.py")'},
                {"role": "tool", "content": "Text(path='lib/harvest.py', content='import orchard_keys')"},
                {"role": "assistant", "content": "Here is lib/harvest.py."},
                {"role": "user", "content": "And lib/harvest_test.py?"},
            ],
            "expect": {"calls": [{"tool": "read_file", "args": {"path": "lib/harvest_test.py"}}]},
            "scorer": "calls",
        },
    )
    drawn = _drawn(pool_of(rows, CODE), "a", 1)[0]
    word = str(drawn.case.expect.calls[0].args["path"]).removeprefix("lib/").removesuffix("_test.py")
    said = [message.content or "" for message in drawn.case.messages or ()]
    assert word != "harvest"
    assert all(f"lib/{word}" in text for text in said)
    assert "harvest" not in str(said)


def test_templates_take_turns_with_renamed_cases(tmp_path: Path) -> None:
    pool = pool_of(CODE_CASES, CODE, templates_in(tmp_path, CODE))
    drawn = _drawn(pool, "a", 60)
    made = [one for one in drawn if one.way == "template"]
    assert [one.way for one in drawn[:6]] == ["renamed", "template", "reworded"] * 2
    assert made[0].case.family == made[0].origin == "recent-commits"
    assert all(is_right(one.case, right_answer(one.case, CODE), CODE) for one in made)


def test_what_is_asked_already_is_not_drawn(tmp_path: Path) -> None:
    """A template's only two cases are in the suite."""
    templates = templates_in(tmp_path, CODE)
    values = [{"count": count, "file": "abacus.md"} for count in (3, 5)]
    asked = [templates.case(templates.templates[0], value, id=f"{value['count']}") for value in values]
    rows = tuple({**one.model_dump(mode="json", exclude_unset=True), "category": "other"} for one in asked)
    pool = pool_of(rows, CODE, templates)
    questions = {case_of(row, CODE).text for row in rows}
    assert not questions & {one.case.text for one in pool.draw("work", "a")}


def test_the_suites_own_question_is_not_drawn_in_other_letters() -> None:
    rows = (
        {"id": "it", "prompt": "List the commits.", "expect": {"calls": [{"tool": "git_log"}]}, "scorer": "tiered"},
    )
    drawn = [one.case.text for one in pool_of(rows, CODE).draw("work", "a")]
    assert "Could you list the commits?" in drawn
    assert "list the commits" not in drawn


def test_a_draw_ends_where_nothing_new_can_be_made() -> None:
    """A number of one digit has few others."""
    expect = {"calls": [{"tool": "git_log", "args": {"count": 5}}]}
    rows = ({"id": "it", "prompt": "Get the last 5 commits.", "expect": expect, "scorer": "calls"},)
    drawn = list(pool_of(rows, CODE).draw("work", "a"))
    renamed = [one.case.text for one in drawn if one.way == "renamed"]
    assert sorted(renamed) == [f"Get the last {count} commits." for count in (3, 4, 6, 7, 8, 9)]
    assert len({one.case.text for one in drawn}) == len(drawn) < 200
