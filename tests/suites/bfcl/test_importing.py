"""A small leaderboard as a suite: its cases, what is left out, and what is said of broken files."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.support.leaderboard import CLOCK, KITE, function, question, truth, wheel_of, write_leaderboard
from topcoat.errors import InvalidInput, Refused
from topcoat.spec.agent import Agent
from topcoat.spec.suite import Case, load_suite
from topcoat.spec.tools.tool_list import own_catalog
from topcoat.suites.bfcl.categories import CATEGORIES
from topcoat.suites.bfcl.importing import ImportedSuite, import_bfcl

NATIVE = Agent(own_catalog([], Path("tools.json")), calls="native")
RED = ("toys.fly_kite", {"colour": ["red", "crimson"], "metres": [12.5, ""]})
BLUE = ("toys.fly_kite", {"colour": ["blue"]})


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A leaderboard with a question of every category."""
    called = [category for category in CATEGORIES.values() if category.expected == "calls"]
    asked: dict[str, list[dict[str, Any]]] = {c.stem: [question(f"{c.stem}_0", KITE, CLOCK)] for c in called}
    asked |= {stem: [question(f"{stem}_0", CLOCK)] for stem in ("irrelevance", "live_irrelevance")}
    asked["live_relevance"] = [question("live_relevance_0", CLOCK, turns="Wind it.")]
    truths: dict[str, list[dict[str, Any]]] = {f"truth_{c.stem}": [truth(f"{c.stem}_0", RED)] for c in called}
    truths["truth_parallel"] = [truth("parallel_0", RED, BLUE)]
    return write_leaderboard(tmp_path / "leaderboard", **asked, **truths)


def imported(
    source: Path, categories: Sequence[str] = (), target: Path | None = None
) -> tuple[ImportedSuite, dict[str, Case]]:
    """What is said of the import, and its cases, loaded as those of a native project."""
    path = target or source.parent / "suites" / "bfcl.jsonl"
    done = import_bfcl(source, path, categories)
    return done, {case.id: case for case in load_suite(path, NATIVE).cases}


def rewrite(source: Path, **files: Sequence[dict[str, Any]]) -> None:
    write_leaderboard(source, **files)


def test_every_category_becomes_cases_that_load_in_a_native_project(source: Path) -> None:
    done, cases = imported(source)
    assert done.cases == dict.fromkeys(CATEGORIES, 1)
    assert (done.left_out, done.unread, done.families) == ([], [], len(CATEGORIES))
    case = cases["simple_python_0"]
    assert (case.category, case.prompt, case.scorer) == ("simple", "Fly a red kite.", "calls")
    assert [tool["function"]["name"] for tool in case.tools or ()] == ["toys.fly_kite", "wind_clock"]
    written = {json.loads(line)["id"]: json.loads(line) for line in Path(done.path).read_text().splitlines()}
    red = {
        "tool": "toys.fly_kite",
        "args": {"colour": {"any_of": ["red", "crimson"]}, "metres": {"any_of": [12.5], "absent": True}},
        "only": True,
        "compare": "bfcl",
    }
    blue = {"tool": "toys.fly_kite", "args": {"colour": "blue"}, "only": True, "compare": "bfcl"}
    assert written["simple_python_0"]["expect"] == {"calls": [red]}
    assert written["parallel_0"]["expect"] == {"calls": [red, blue], "order": "any"}
    assert written["irrelevance_0"]["expect"] == {"calls": []}
    some = {"tool": ["wind_clock"], "compare": "bfcl"}
    assert written["live_relevance_0"]["expect"] == {"calls": [some], "only": False}


def test_a_wheel_gives_the_same_suite(source: Path) -> None:
    folder, wheel = source.parent / "a.jsonl", source.parent / "b.jsonl"
    import_bfcl(source, folder)
    import_bfcl(wheel_of(source, source.parent / "b.whl"), wheel)
    assert folder.read_text() == wheel.read_text()


def test_chosen_categories_in_the_leaderboard_s_order(source: Path) -> None:
    done, cases = imported(source, ["parallel", "simple_python"])
    assert done.cases == {"simple": 1, "parallel": 1}
    assert list(cases) == ["simple_python_0", "parallel_0"]


@pytest.mark.parametrize(
    ("name", "message", "hint"),
    [
        ("java", '"simple_java" can\'t be imported: its arguments are texts in Java', "--categories simple,multiple,"),
        ("multi_turn_miss_func", "its tools change between the turns", "--categories simple,multiple,"),
        ("rest", "its answers are executed, and the leaderboard no longer asks it", "--categories simple,multiple,"),
        ("simpel", 'the leaderboard has no category "simpel"', 'did you mean "simple"?'),
        ("", 'the leaderboard has no category ""', "--categories simple,multiple,"),
    ],
)
def test_other_categories_are_refused_by_name(source: Path, name: str, message: str, hint: str) -> None:
    with pytest.raises(InvalidInput, match=re.escape(message)) as caught:
        import_bfcl(source, source.parent / "never.jsonl", [name])
    assert caught.value.hint is not None
    assert caught.value.hint.startswith(hint)


def test_dialogues_keep_their_turns(source: Path) -> None:
    asked = {
        "prompt": [("system", "Be kind."), ("user", "Now.")],
        "messages": [("system", "Be kind."), ("user", "Fly it."), ("assistant", "Which?"), ("user", "The red one.")],
    }
    rows = [question(name, CLOCK, turns=turns) for name, turns in asked.items()]
    rewrite(source, irrelevance=[*rows, question("twice", CLOCK, turns=[("user", "a"), ("user", "b")])])
    done, cases = imported(source, ["irrelevance"])
    for name, turns in asked.items():
        assert [(turn["role"], turn["content"]) for turn in cases[name].dialogue("the project's")] == turns
    reason = "messages[1].role: a user turn can't stand after a user turn, only assistant"
    assert [(left.id, left.reason) for left in done.left_out] == [("twice", reason)]


def test_cases_with_the_same_tools_are_a_family(source: Path) -> None:
    rows = [question("a", CLOCK), question("b", CLOCK, KITE), question("c", CLOCK, turns="Now."), question("d")]
    rewrite(source, irrelevance=rows)
    done, cases = imported(source, ["irrelevance"])
    assert done.families == 3
    assert cases["a"].family == cases["c"].family
    assert len({cases[name].family for name in "abd"}) == 3


def test_a_long_call_gets_the_room_that_it_needs(source: Path) -> None:
    words = "lorem ipsum " * 100
    rewrite(source, truth_multiple=[truth("multiple_0", ("toys.fly_kite", {"colour": [words]}))])
    _, cases = imported(source)
    assert cases["simple_python_0"].max_tokens == 256
    assert cases["multiple_0"].max_tokens == 2048


def test_what_cannot_be_asked_is_left_out_with_its_reason(source: Path) -> None:
    impossible = truth("b", ("toys.fly_kite", {"metres": [1.0]}))
    rewrite(
        source,
        simple_python=[question("a", KITE), question("b", KITE, turns="How far?"), question("c", KITE)],
        truth_simple_python=[truth("a", RED), impossible, truth("d", RED)],
        live_irrelevance=[question("e", KITE), question("f", KITE, CLOCK, turns="What time is it?")],
    )
    done, cases = imported(source, ["simple", "live_irrelevance"])
    assert [*cases] == ["a", "f"]
    assert [(left.category, left.id, left.reason) for left in done.left_out] == [
        ("simple", "b", '"colour" is required, and its ground truth allows no value'),
        ("simple", "c", "it has no ground truth"),
        ("simple", "d", "it has ground truth and no question"),
        ("live_irrelevance", "e", "a asks the same and excludes it"),
    ]


def test_a_tool_with_an_invalid_schema_leaves_its_case_out(source: Path) -> None:
    rewrite(source, irrelevance=[question("a", CLOCK), question("b", function("f", value="float64"))])
    done, _ = imported(source, ["irrelevance"])
    (left,) = done.left_out
    assert left.id == "b"
    assert left.reason.startswith('tools[0]: the parameters of "f" are not a JSON schema: ')


def test_right_answers_that_the_schema_forbids_are_counted(source: Path) -> None:
    choice = {"type": "string", "enum": ["red", "blue"]}
    tool, strict = function("f", colour=choice, metres="integer"), function("g", ["colour"], colour=choice)
    rows: dict[str, dict[str, Any]] = {
        "a": {"colour": ["red", ""]},
        "b": {"colour": ["green"]},
        "c": {"metres": ["", None]},
        "d": {"metres": [3, ""]},
    }
    rewrite(
        source,
        multiple=[*(question(name, tool, turns=name) for name in rows), question("e", strict)],
        truth_multiple=[
            *(truth(name, ("f", wanted)) for name, wanted in rows.items()),
            truth("e", ("g", {"colour": ["red", ""]})),
        ],
    )
    done, cases = imported(source, ["multiple"])
    assert done.beyond_schema == ["b", "c", "e"]
    assert [*cases] == [*rows, "e"]


def test_categories_that_are_not_read_are_counted_with_the_reason(source: Path) -> None:
    write_leaderboard(source, simple_javascript=[{"id": "x"}, {"id": "y"}], brand_new=[{"id": "z"}])
    done, _ = imported(source)
    assert [(unread.category, unread.lines, unread.reason) for unread in done.unread] == [
        ("brand_new", 1, "this version of topcoat doesn't know it"),
        ("simple_javascript", 2, "its arguments are texts in JavaScript"),
    ]


def test_a_file_that_exists_is_kept(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "mine.jsonl"
    target.write_text("mine")
    with pytest.raises(Refused) as caught:
        import_bfcl(source, target)
    assert target.read_text() == "mine"
    assert caught.value.hint == f"topcoat suite import bfcl {source} --to {tmp_path / 'mine-2.jsonl'}"


def test_the_hint_for_another_file_keeps_the_categories(source: Path, tmp_path: Path) -> None:
    (target := tmp_path / "mine.jsonl").write_text("mine")
    with pytest.raises(Refused) as caught:
        import_bfcl(source, target, ["simple", "multiple"])
    elsewhere = f"--categories simple,multiple --to {tmp_path / 'mine-2.jsonl'}"
    assert caught.value.hint == f"topcoat suite import bfcl {source} {elsewhere}"


def test_a_missing_file_is_named_with_the_categories_that_are_there(source: Path) -> None:
    (source / "BFCL_v4_multiple.json").unlink()
    with pytest.raises(InvalidInput) as caught:
        import_bfcl(source, source.parent / "never.jsonl", ["simple", "multiple"])
    (mistake,) = caught.value.mistakes
    assert mistake.message == f"no such file: {source / 'BFCL_v4_multiple.json'}"
    assert mistake.hint == "--categories simple"


def truncated(source: Path) -> None:
    path = source / "BFCL_v4_simple_python.json"
    path.write_bytes(path.read_bytes()[:-40])


def without_a_question(source: Path) -> None:
    (source / "BFCL_v4_simple_python.json").write_text("\n\n")


def in_another_encoding(source: Path) -> None:
    (source / "BFCL_v4_simple_python.json").write_bytes(b'{"id": "\xe9"}')


def with_a_key_that_is_new(source: Path) -> None:
    write_leaderboard(source, simple_python=[{**question("simple_python_0", KITE), "weight": 2}])


def of_several_questions(source: Path) -> None:
    one = question("simple_python_0", KITE)
    write_leaderboard(source, simple_python=[{**one, "question": one["question"] * 2}])


def with_other_ground_truth(source: Path) -> None:
    write_leaderboard(source, truth_simple_python=[{"id": "simple_python_0", "ground_truth": ["fly_kite(1)"]}])


def with_an_id_twice(source: Path) -> None:
    write_leaderboard(source, simple_python=[question("simple_python_0", KITE)] * 2)


def with_no_list_of_alternatives(source: Path) -> None:
    write_leaderboard(source, truth_simple_python=[truth("simple_python_0", ("f", {"a": 1}))])


@pytest.mark.parametrize(
    ("damage", "file", "line", "message"),
    [
        (truncated, "BFCL_v4_simple_python.json", 1, r"not valid JSON at column \d+: "),
        (without_a_question, "BFCL_v4_simple_python.json", None, "the file is empty"),
        (in_another_encoding, "BFCL_v4_simple_python.json", 1, "not UTF-8 text: byte 0xe9"),
        (with_a_key_that_is_new, "BFCL_v4_simple_python.json", 1, "weight: no such key"),
        (of_several_questions, "BFCL_v4_simple_python.json", 1, "question: "),
        (with_other_ground_truth, "BFCL_v4_simple_python.json", 1, r"ground_truth\[0\]: must be "),
        (with_an_id_twice, "BFCL_v4_simple_python.json", 2, 'id: "simple_python_0" is already the id of line 1'),
        (with_no_list_of_alternatives, "BFCL_v4_simple_python.json", 1, r"ground_truth\[0\].f.a: must be a list, is 1"),
    ],
)
def test_files_that_are_damaged_or_have_changed_are_refused_with_their_place(
    source: Path, damage: Callable[[Path], None], file: str, line: int | None, message: str
) -> None:
    damage(source)
    with pytest.raises(InvalidInput) as caught:
        import_bfcl(source, source.parent / "never.jsonl")
    assert not (source.parent / "never.jsonl").exists()
    (mistake,) = caught.value.mistakes
    assert mistake.where is not None
    assert (mistake.where.path.name, mistake.where.line) == (file, line)
    assert re.match(message, mistake.message), mistake.message
    assert mistake.hint == "pip install --no-deps bfcl-eval==2026.3.23, whose files are known to be read"
