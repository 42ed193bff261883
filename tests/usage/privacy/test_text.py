from __future__ import annotations

import json
import pwd

import pytest

from tests.support.growth import growth
from topcoat.usage.events import Event, ToolCall
from topcoat.usage.privacy.event import cleaned_event
from topcoat.usage.privacy.text import cleaned


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("read /home/alice/app/x.py", "read ~/app/x.py"),
        ("'/Users/Bob.Jones/x', 3", "'~/x', 3"),
        ("/root/.ssh and /roots", "~/.ssh and /roots"),
        (r"C:\Users\alice\x", r"~\x"),
        (r"C:\\Users\\alice\\x", r"~\\x"),
        ("/mnt/c/Users/alice/x", "~/x"),
        ("file:///home/alice/x", "file://~/x"),
        ("see https://example.com/home/page", "see https://example.com/home/page"),
        ("src/home/page.py", "src/home/page.py"),
        ("/srv/build/me/x /srv/build/me2", "~/x /srv/build/me2"),
    ],
)
def test_home_folders_lose_their_owner(text: str, clean: str) -> None:
    assert cleaned(text, home="/srv/build/me") == clean


@pytest.mark.parametrize(
    "text",
    [
        "token = tokens[index1]",
        "password = read_password1()",
        "the password: see the vault",
        "max_tokens=2048",
        "secret=None",
    ],
)
def test_code_that_only_names_a_secret_is_left_alone(text: str) -> None:
    assert cleaned(text) == text


def test_a_clean_event_stays_itself() -> None:
    event = Event(session="s", kind="request", query="run it", calls=[ToolCall(name="f", arguments='{"a":  1}')])
    assert cleaned_event(event) == event
    dirty = Event(session="s", kind="request", query="/home/alice/x")
    assert cleaned_event(dirty).id == Event(**{**dirty.model_dump(exclude={"id"}), "query": "~/x"}).id
    chosen = dirty.model_copy(update={"id": "mine"})
    assert cleaned_event(chosen).id == "mine"
    assert cleaned_event(cleaned_event(dirty)) == cleaned_event(dirty)


def test_a_user_without_a_home_folder_loses_no_event(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(_uid: int) -> None:
        raise KeyError("uid not found")

    monkeypatch.delenv("HOME")
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    event = Event(session="s", kind="request", query="read ~/x and /home/alice/x")
    assert cleaned_event(event).query == "read ~/x and ~/x"


def test_an_escape_in_a_calls_arguments_hides_nothing() -> None:
    call = ToolCall(name="f", arguments=r'{"path": "\u002fhome\/alice\/x"}')
    (clean,) = cleaned_event(Event(session="s", kind="request", calls=[call])).calls
    assert json.loads(clean.arguments) == {"path": "~/x"}


@pytest.mark.parametrize("end", ["", "(", "'", "1 "])
@pytest.mark.parametrize(
    "piece",
    [
        *("token=a1", "token=", "token: ", "token=a1b2c3d4(", "api_key=a1(", "password=a", "secret: 'x", "token \t"),
        *("bearer ", "authorization: bearer a1", "authorization = ", "a1", " "),
        *("/home/", "/mnt/c/home/a", "C:\\Users", "C:\\Users\\", "C:", "\\", "/root", "/srv/"),
    ],
)
def test_the_work_is_linear_in_the_text(piece: str, end: str) -> None:
    assert growth(lambda text: cleaned(text + end, home="/srv/srv"), piece, 4_000) < 1.5
