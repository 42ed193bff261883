"""The studio in a real Chromium: every page, keys alone, several reviewers, a phase that runs, texts that attack."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.chromium import browser, faults_of, page_of
from tests.support.fake_project import run
from tests.support.grown_project import review_examples
from tests.support.hostile_project import attack_everywhere
from tests.support.studio import pages_of, studio_of
from tests.support.usage.captured import capture
from topcoat.store.paths import ProjectPaths
from topcoat.usage.extraction.review import reviewed

pytestmark = pytest.mark.slow

LOOKS = [(1280, "light"), (390, "dark")]
SLOW_PHASE = """
import sys, time
from pathlib import Path
from topcoat.progress import Silent, task
from topcoat.project.following import followed
with followed(Silent(), Path(sys.argv[1]), "topcoat run phase34a") as shown:
    with task(shown, "train", total=40, unit="update") as running:
        for update in range(1, 41):
            if update == 20:
                print("half", flush=True)
                sys.stdin.readline()
            time.sleep(0.05)
            running.advance(update, f"loss {2 - update / 40:.3f}, valid {2 - update // 10 / 4:.3f}")
"""


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser() as running:
        yield running


def open_page(page: Any, address: str) -> None:
    """Open a page, and wait until it no longer waits for something itself."""
    page.goto(address)
    page.wait_for_selector("h1")
    page.wait_for_selector("body:not(:has([data-reload]))")


def test_every_page_is_accessible_on_every_screen_and_complains_of_nothing(fake_project: Path, chromium: Any) -> None:
    result = run(fake_project).last
    capture(fake_project, 3)
    review_examples(fake_project, 3)
    names = {"model": result.model, "phase": "phase34a", "session": "session 1"}
    with studio_of(fake_project) as (link, _):
        base = link.split("/enter")[0]
        for width, scheme in LOOKS:
            view = {"viewport": {"width": width, "height": 800}, "color_scheme": scheme}
            with page_of(chromium, link, bypass_csp=True, **view) as page:
                for path in pages_of(names):
                    open_page(page, base + path)
                    assert faults_of(page) == [], (path, width, scheme)
                    assert page.evaluate("document.documentElement.scrollWidth") <= width, (path, width)
                assert page.said == []


def test_twenty_examples_are_reviewed_with_keys_alone(fake_project: Path, chromium: Any) -> None:
    review_examples(fake_project, 20)
    with studio_of(fake_project) as (link, _), page_of(chromium, link) as page:
        page.goto(link.split("/enter")[0] + "/review")
        while page.evaluate("document.activeElement.textContent") != "next":
            page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        page.wait_for_selector("text=example 1 of 20")
        for left in range(19, 9, -1):
            page.keyboard.press("a" if left % 2 else "r")
            page.wait_for_selector(f"text=example 1 of {left} waiting")
        page.keyboard.press("u")
        page.wait_for_selector("text=example 1 of 11 waiting")
        page.keyboard.press("e")
        page.wait_for_selector("textarea:focus")
        page.keyboard.press("Control+End")
        page.keyboard.type("\n=== oops")
        page.wait_for_selector("#remarks .bad")
        for _ in range(len("\n=== oops")):
            page.keyboard.press("Backspace")
        page.keyboard.type(" indeed")
        page.wait_for_selector("#remarks .good")
        page.keyboard.press("Control+Enter")
        for left in range(10, 0, -1):
            page.wait_for_selector(f"text=example 1 of {left} waiting")
            page.keyboard.press("a")
        page.wait_for_selector("text=Every example is decided on")
        assert page.said == []
    done = reviewed(ProjectPaths(fake_project))
    assert [done[f"c{i}"].kind for i in range(20)] == [*["accepted", "rejected"] * 4, "accepted", *["accepted"] * 11]
    assert [key for key, decision in done.items() if decision.messages] == ["c9"]
    assert done["c9"].messages[-1]["content"] == "say 9\n indeed"  # a draft ends with a line end


def test_two_reviewers_lose_no_decision(fake_project: Path, chromium: Any) -> None:
    review_examples(fake_project, 10)
    with (
        studio_of(fake_project) as (link, _),
        page_of(chromium, link) as ann,
        page_of(chromium, link) as bob,
    ):
        reviewers = {"accepted": ann, "rejected": bob}
        made: dict[str, str] = {}
        for reviewer in reviewers.values():
            reviewer.goto(link.split("/enter")[0] + "/review/next")
        for _ in range(5):
            for kind, page in reviewers.items():
                key = page.input_value("input[name=candidate]")
                assert key not in made
                made[key] = kind
                page.keyboard.press(kind[0])
                page.wait_for_selector(f"body:not(:has(input[name=candidate][value={key}]))")
    assert {key: decision.kind for key, decision in reviewed(ProjectPaths(fake_project)).items()} == made
    assert len(made) == 10


def test_a_phase_is_followed_while_it_runs(fake_project: Path, chromium: Any) -> None:
    path = ProjectPaths(fake_project).progress
    path.parent.mkdir(exist_ok=True)
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW_PHASE, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "half\n"
    with studio_of(fake_project) as (link, _), page_of(chromium, link) as page:
        page.goto(link.split("/enter")[0] + "/live")
        page.wait_for_selector("text=/about .* left/")
        done = int(page.inner_text(".tasks .soft").split()[0])
        assert 0 < done < 20
        process.communicate("\n")
        page.wait_for_selector("text=40 of 40 updates")  # without loading the page again
        page.wait_for_selector("text=✓ ended")
        page.wait_for_selector(".chart path.train")
        assert page.said == []


def test_no_attack_is_executed(fake_project: Path, chromium: Any) -> None:
    names = attack_everywhere(fake_project)
    with studio_of(fake_project) as (link, _), page_of(chromium, link) as page:
        for path in pages_of(names):
            open_page(page, link.split("/enter")[0] + path)
        assert page.said == []


def test_another_origin_can_do_nothing_with_the_cookie(fake_project: Path, chromium: Any) -> None:
    with studio_of(fake_project) as (link, _), page_of(chromium, link) as page:
        base = link.split("/enter")[0]
        foreign = "http://127.0.0.1:9/page"  # for cookies, another port is the same site
        form = f"<form method=post action='{base}/plan'></form>"
        page.route(foreign, lambda route: route.fulfill(body=form, content_type="text/html"))
        page.goto(foreign)
        with pytest.raises(Exception, match="Failed to fetch"):
            page.evaluate("url => fetch(url, {mode: 'no-cors', credentials: 'include'})", f"{base}/")
        with page.expect_response("**/plan") as answer:
            page.evaluate("document.forms[0].submit()")
        assert answer.value.status == 403
