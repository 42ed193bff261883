"""The studio's server over real sockets: who gets in, what every answer forbids, and errors as pages."""

from __future__ import annotations

import re
import socket
from pathlib import Path

import httpx2
import pytest

from tests.support.studio import Visitor, studio_of, visitor
from topcoat.errors import Refused
from topcoat.studio.routes import ROUTES, STREAMS
from topcoat.studio.server import serve

PATHS = [path for method, path in ROUTES if method == "GET"]
CHANGES = [path for method, path in ROUTES if method == "POST"]


def filled(path: str) -> str:
    return re.sub(r"\{\w+\}", "x", path)


def test_the_link_becomes_a_cookie_that_scripts_cannot_read(fake_project: Path) -> None:
    with studio_of(fake_project) as (link, _), httpx2.Client() as client:
        answer = client.get(link)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/")
    cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie


def test_without_the_token_there_is_nothing_to_see(fake_project: Path) -> None:
    with studio_of(fake_project) as (link, _), httpx2.Client(base_url=link.split("/enter")[0]) as client:
        for path in [*map(filled, PATHS), *STREAMS, "/enter", "/enter?token=wrong", "/nowhere"]:
            answer = client.get(path)
            assert answer.status_code == 401, path
            assert "demo" not in answer.text
        for path in map(filled, CHANGES):
            assert client.post(path, headers={"Origin": str(client.base_url).rstrip("/")}).status_code == 401, path


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "null"},
        {"Host": "evil.example"},
    ],
    ids=["elsewhere", "another-port", "sandboxed", "rebound-name"],
)
def test_foreign_pages_are_refused_with_the_cookie_too(fake_project: Path, headers: dict[str, str]) -> None:
    with visitor(fake_project) as come:
        assert come.get("/", **headers).status_code == 403
        assert come.get("/enter?token=" + come.door.token, **headers).status_code == 403
        for path in map(filled, CHANGES):
            fields = {"form_key": come.door.form_key}
            answer = come.client.post(path, data=fields, headers={"Origin": come.origin, **headers})
            assert answer.status_code == 403, path


def test_a_form_without_its_key_changes_nothing(fake_project: Path) -> None:
    with visitor(fake_project) as come:
        for path in map(filled, CHANGES):
            assert come.post(path, form_key="").status_code == 403, path


def test_every_answer_allows_the_studios_own_files_alone(fake_project: Path) -> None:
    with visitor(fake_project) as come:
        for path in ["/", "/nowhere", "/static/studio.css", "/static/studio.js", "/static/none", "/models/none"]:
            headers = come.get(path).headers
            policy = dict(part.strip().split(" ", 1) for part in headers["Content-Security-Policy"].split(";"))
            assert policy["default-src"] == "'none'"
            assert {policy[key] for key in ("script-src", "style-src", "connect-src", "form-action")} == {"'self'"}
            assert policy["frame-ancestors"] == policy["base-uri"] == "'none'"
            assert headers["X-Content-Type-Options"] == "nosniff"


def test_pages_hold_no_script_style_or_address_of_their_own(fake_project: Path) -> None:
    with visitor(fake_project) as come:
        page = come.page("/")
        assert re.findall(r"<script[^>]*>", page) == ['<script src="/static/studio.js" defer>']
        assert not re.search(r"<style|\sstyle=|\son\w+=|https?://", page)
        assert not re.search(r"https?://|@import|url\(", come.page("/static/studio.css"))


def test_what_is_not_there_is_a_page_that_says_so(fake_project: Path) -> None:
    with visitor(fake_project) as come:
        for path in ("/nowhere", "/models/none", "/phases/none", "/phases/..%2F..%2Ftopcoat", "/static/..%2Fsite.py"):
            answer = come.get(path)
            assert answer.status_code == 404, path
            assert "<h1>" in answer.text


def test_a_mistake_in_the_project_is_a_page_with_its_line(fake_project: Path) -> None:
    with visitor(fake_project) as come:
        file = fake_project / "topcoat.toml"
        file.write_text(file.read_text() + '\n[eval]\ntemperature = "<b>hot</b>"\n')
        answer = come.get("/")
        assert answer.status_code == 400
        assert re.search(r"topcoat\.toml:\d+", answer.text)
        assert "<b>hot" not in answer.text


def test_a_form_that_is_too_large_is_refused(fake_project: Path) -> None:
    with visitor(fake_project) as come:
        path = filled(CHANGES[0])
        assert come.post(path, draft="x" * (5 << 20)).status_code == 413


def test_a_taken_port_is_said_with_the_next_one(fake_project: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(Refused, match="can't listen") as refusal:
            serve(fake_project, port, (), print)
    assert refusal.value.hint == f"--port {port + 1}"


def test_a_visitor_sees_the_project(fake_project: Path) -> None:
    with visitor(fake_project) as come:
        assert "<h1>demo</h1>" in come.page("/")
        assert isinstance(come, Visitor)
