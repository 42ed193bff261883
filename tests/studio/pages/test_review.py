"""Review in the studio, in plain requests: decisions, edits, undo, and several reviewers."""

from __future__ import annotations

import json
import re
from html import unescape
from pathlib import Path

import pytest

from tests.support.grown_project import review_examples
from tests.support.studio import Visitor, visitor
from topcoat.store.paths import ProjectPaths
from topcoat.usage.extraction.review import Decision, decide, pending, reviewed


@pytest.fixture
def project(fake_project: Path) -> Path:
    """The fake project with four extracted examples, c0 to c3."""
    review_examples(fake_project, 4)
    return fake_project


def lies_before(come: Visitor, reviewer: str) -> str:
    """The example that a reviewer has to decide on, "" if none."""
    found = re.search(r'name="candidate" value="(\w+)"', come.page(f"/review/next?as={reviewer}"))
    return found[1] if found else ""


def test_decisions_of_two_reviewers_are_all_kept(project: Path) -> None:
    made = {}
    with visitor(project) as come:
        for _ in range(2):
            for who, kind in (("ann", "accepted"), ("bob", "rejected")):
                key = lies_before(come, who)
                made[key] = kind
                come.post("/review/next/decide", **{"as": who, "candidate": key, "kind": kind})
        assert lies_before(come, "ann") == ""
    assert set(made) == {"c0", "c1", "c2", "c3"}
    assert {key: decision.kind for key, decision in reviewed(ProjectPaths(project)).items()} == made


def test_two_reviewers_have_different_examples_before_them(project: Path) -> None:
    with visitor(project) as come:
        assert len({lies_before(come, who) for who in ("ann", "bob", "cid")}) == 3


def test_a_decision_that_came_too_late_is_told_and_the_first_stands(project: Path) -> None:
    paths = ProjectPaths(project)
    with visitor(project) as come:
        key = lies_before(come, "ann")
        decide(paths, "next", {key: Decision(kind="rejected")})
        answer = come.post("/review/next/decide", **{"as": "ann", "candidate": key, "kind": "accepted"})
    assert "Somebody else rejected that example" in answer.text
    assert reviewed(paths) == {key: Decision(kind="rejected")}


def test_an_edit_is_kept_and_undone(project: Path) -> None:
    paths = ProjectPaths(project)
    before = paths.data("next").read_text()
    with visitor(project) as come:
        form = {"as": "ann", "candidate": "c0"}
        page = come.page("/review/next/edit?as=ann&candidate=c0")
        found = re.search(r"<textarea[^>]*>\n(.*?)</textarea>", page, re.DOTALL)
        assert found
        draft = unescape(found[1])
        assert "ask 0" in draft
        answer = come.post("/review/next/edit", **form, draft=draft.replace("say 0", "<b>said</b> & done"))
        assert "as you edited it" in answer.text
        line = json.loads(paths.data("next").read_text().splitlines()[0])
        assert line["messages"][-1]["content"] == "<b>said</b> & done"
        come.post("/review/next/undo", **{"as": "ann"})
    assert paths.data("next").read_text() == before
    assert len(pending(paths, "next")) == 4


def test_a_draft_with_an_error_is_shown_again_with_its_words(project: Path) -> None:
    with visitor(project) as come:
        answer = come.post("/review/next/edit", **{"as": "a", "candidate": "c0"}, draft="=== user\nhalf & done\n")
        assert answer.status_code == 400
        assert "half &amp; done" in answer.text
        assert "the last turn must be assistant" in answer.text
        checked = come.post("/review/next/check", candidate="c0", draft="=== user\n<i>x</i>\n=== oops\ny").text
        assert checked.lstrip().startswith("<ul")
        assert "<i>" not in checked
    assert len(pending(ProjectPaths(project), "next")) == 4


def test_everybodys_decisions_are_listed_and_can_be_undone(project: Path) -> None:
    paths = ProjectPaths(project)
    decide(paths, "next", {"c1": Decision(kind="rejected"), "c2": Decision(kind="accepted")})
    with visitor(project) as come:
        listed = come.page("/review/next/decided")
        assert re.findall(r"<code>(c\d)</code>", listed) == ["c1", "c2"]
        come.post("/review/next/undo", candidate="c1")
    assert set(reviewed(paths)) == {"c2"}
    assert [*pending(paths, "next")] == ["c0", "c1", "c3"]


def test_what_is_no_decision_is_refused(project: Path) -> None:
    with visitor(project) as come:
        assert come.post("/review/next/decide", candidate="c0", kind="perhaps").status_code == 400
        assert come.post("/review/next/decide", candidate="none", kind="accepted").status_code == 404
        assert come.post("/review/other/decide", candidate="c0", kind="accepted").status_code == 404
        assert come.post("/review/next/undo", **{"as": "nobody"}).status_code == 404
    assert reviewed(ProjectPaths(project)) == {}
