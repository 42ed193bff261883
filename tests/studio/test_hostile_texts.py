"""Texts that attack the page: nothing of them is markup, on any page."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

from tests.support.hostile_project import ATTACK, attack_everywhere
from tests.support.studio import pages_of, visitor

_OWN_SCRIPT = [("src", "/static/studio.js"), ("defer", None)]


class Outline(HTMLParser):
    """Collects what a browser would execute or load, and the visible text."""

    def __init__(self) -> None:
        super().__init__()
        self.faults: list[str] = []
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if tag in ("img", "iframe", "object", "embed", "style", "base"):
            self.faults.append(tag)
        if tag == "script" and attributes != _OWN_SCRIPT:
            self.faults.append(f"{tag} {attributes}")
        for name, value in attributes:
            if name.startswith("on") or (name in ("style", "srcdoc", "autofocus") and tag != "textarea"):
                self.faults.append(f"{tag} {name}")
            if name in ("href", "src", "action") and not (value or "").startswith(("/", "#")) and value:
                self.faults.append(f"{tag} {name}={value}")

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def test_no_page_makes_markup_of_a_text(fake_project: Path) -> None:
    names = attack_everywhere(fake_project)
    shown = 0
    with visitor(fake_project) as come:
        for path in pages_of(names):
            page = come.page(path)
            outline = Outline()
            outline.feed(page)
            assert outline.faults == [], path
            assert "\0" not in page
            said = "".join(outline.words)
            assert 'x="49' not in said, path  # no template was executed
            shown += said.count("<script>alert(1)</script>")
    assert shown > 40  # the attack was on the pages


def test_an_attack_in_an_address_is_shown_as_words(fake_project: Path) -> None:
    with visitor(fake_project) as come:
        for path in ("/models/{}", "/phases/{}", "/review/{}", "/jobs/{}"):
            attack = "%3Cscript%3Ealert(1)%3C%2Fscript%3E"
            answer = come.get(path.format(attack))
            assert answer.status_code == 404
            assert "<script>alert" not in answer.text
        page = come.page("/sessions?text=%22%3E%3Cscript%3Ealert(1)%3C/script%3E")
        assert "<script>alert" not in page
        assert come.get(f"/compare?before={ATTACK[:20]}&after=x").status_code == 404


def test_a_job_never_leads_elsewhere(fake_project: Path) -> None:
    with visitor(fake_project, ("true",)) as come:
        come.post("/rollback", production="phase33b")
        come.post("/plan")
        for target in ("//evil.example", "https://evil.example", "javascript:alert(1)", "/\\evil.example"):
            page = come.client.get("/jobs/plan", params={"then": target}).text
            assert "evil" not in page, target
            assert "javascript" not in page
