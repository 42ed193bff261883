from __future__ import annotations

import importlib.util
import json
from datetime import UTC, datetime

import pytest

pytest.importorskip("phonenumbers", reason="the extra is not installed: pip install 'topcoat[results]'")
pytest.importorskip("stdnum", reason="the extra is not installed: pip install 'topcoat[results]'")

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.growth import MOST_TIMES, Shape, times
from tests.support.planted import PERSONAL
from topcoat.errors import Refused
from topcoat.spec.project import CaptureSection
from topcoat.usage.events import Event, ToolCall, ToolResult
from topcoat.usage.privacy import personal
from topcoat.usage.privacy.event import cleaned_event
from topcoat.usage.privacy.text import cleaned

KEEP = CaptureSection(results="keep")


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("mail o'neill+x@mail.example.org.", "mail [e-mail]."),
        ("ring 0049 151 12345678 now", "ring [phone number] now"),
        ("06 12 34 56 78", "[phone number]"),
        ("a 12 4111 1111 1111 1111 123", "a 12 [card number] 123"),
        ("0001 020 7946 0018 12", "0001 [phone number] 12"),
        ("phone: 0612345678", "phone: [phone number]"),
        ('{"homePhone": "5551234567"}', '{"homePhone": "[phone number]"}'),
        ("my account number is 12345678", "my account number is [account number]"),
        ("SSN 078051120", "SSN [national id]"),
        ("passport no. L01X00T47", "passport no. [national id]"),
        ("GB82WEST12345698765432 and so on", "[account number] and so on"),
        ("RSSMRA85T10A562S", "[national id]"),
        ("756.9217.0769.85", "[national id]"),
        ("AB 12 34 56 C", "[national id]"),
        ("from 2a02:8070::9 to ::1", "from [IP address] to ::1"),
        ("maria%40acme.org &lt;maria&#64;acme.org&gt;", "[e-mail] &lt;[e-mail]&gt;"),
        ("name,phone\nAnn,0612345678\nBo,n/a\n", "name,phone\nAnn,[phone number]\nBo,n/a\n"),
        ('a;"Mobile No";b\n1;"0612345678";2\n', 'a;"Mobile No";b\n1;"[phone number]";2\n'),
        ("| who | SSN |\n|---|---|\n| Ann | 078051120 |\n", "| who | SSN |\n|---|---|\n| Ann | [national id] |\n"),
    ],
)
def test_personal_data_is_replaced_by_its_kind(text: str, clean: str) -> None:
    assert cleaned(text, personal=True) == clean
    assert cleaned(text) == text


ORDINARY = """
Python 3.11.4, pip 23.2.1, torch==2.1.0.1, Chrome/120.0.0.0, version: 1.2.3.4
2026-01-15T10:30:45.123456Z 15.01.2026 10:15 01/02/2026 02-03-2026 at 09:30:12
commit 8f14e45fceea167a5a36dedd4bea2543 (4111111111111111abcdef)
sha256:4111111111111111411111111111111141111111111111114111111111111111
550e8400-e29b-41d4-a716-446655440000
lat 52.520008, lon 13.404954; 3.14159265358979 1e-05 0x1F
total $1,234.56 of 12.345,67 EUR, 100 200 300, 25%
src/app.py:120:34: E501 line too long (146 > 120)
@@ -120,34 +130,40 @@ def f(x[::2], y: dict[str, int]) -> std::vector
12 passed, 3 failed in 0.12s, 1700000000 1700000000123
git@github.com:owner/repo.git icon@2x.png @decorator.name user@ a@b getty@tty1.service
127.0.0.1:8080 10.0.0.3 0.0.0.0 192.168.1.20 ::1 00:1a:2b:3c:4d:5e
-rw-r--r-- 1 root root 4096 Jan 15 10:30 setup.cfg
pid 12345 port 65535 id 1234567890 order 000123456789 1,000,000 rows
+0200 -0700 1.5e10 4532015112830366.5 ISBN 978-3-16-148410-0
phone = get_phone(user) ; card_number: str ; account.number ; tel: int
"""


@pytest.mark.parametrize("line", ORDINARY.strip().split("\n"), ids=str)
def test_what_tools_print_is_left_alone(line: str) -> None:
    assert cleaned(line, personal=True) == line


def test_each_planted_kind_has_a_kind_of_its_own() -> None:
    marks = {cleaned(text, personal=True) for text in PERSONAL.values()}
    assert marks == {f"[{kind}]" for kind in personal.KINDS}


def stored(result: object, keep: CaptureSection = KEEP) -> str:
    text = result if isinstance(result, str) else json.dumps(result)
    event = Event(session="s", kind="tool_call", result=ToolResult(success=True, content=text))
    clean = cleaned_event(event, keep).result
    assert clean is not None
    return clean.content


def test_a_result_of_json_is_cleaned_in_values_keys_numbers_and_texts_of_json() -> None:
    inner = json.dumps({"to": "ann@acme.org", "n": 4111111111111111, "t": 1700000000123})
    found = json.loads(stored({"ann@acme.org": {"tel": 612345678, "ok": True, "n": 3, "x": None}, "inner": inner}))
    assert found["[e-mail]"] == {"tel": "[phone number]", "ok": True, "n": 3, "x": None}
    assert json.loads(found["inner"]) == {"to": "[e-mail]", "n": "[card number]", "t": 1700000000123}
    assert stored({"phones": ["0612345678", "n/a"]}) == '{"phones": ["[phone number]", "n/a"]}'
    assert stored({"a": [1, 2.5]}) == json.dumps({"a": [1, 2.5]})


def test_a_long_result_keeps_its_beginning_and_end_and_says_what_is_left_out() -> None:
    text = "begin " + "x" * 500 + " ann@acme.org " + "y" * 500 + " end"
    short = stored(text, CaptureSection(results="keep", most=300))
    left = len(text) - len("ann@acme.org") + len("[e-mail]") - 300
    assert f"[... {left:,} characters left out ...]" in short
    assert (short[:6], short[-4:], len(short)) == (
        "begin ",
        " end",
        300 + len(f"\n[... {left} characters left out ...]\n"),
    )
    assert stored("x" * 300, CaptureSection(results="keep", most=300)) == "x" * 300


def test_with_shapes_alone_no_text_of_a_result_is_stored_and_others_stay_as_they_are() -> None:
    event = Event(
        session="s",
        kind="tool_call",
        query="call +49 30 9018201",
        results="keep",
        result=ToolResult(success=True, shape="text, 1 lines", content="hello"),
    )
    clean = cleaned_event(event)
    assert (clean.result, clean.results) == (ToolResult(success=True, shape="text, 1 lines"), "shape")
    assert clean.query == "call +49 30 9018201"
    kept = cleaned_event(event, KEEP)
    assert (kept.query, kept.results, kept.id != clean.id) == ("call [phone number]", "keep", True)


def test_what_is_clean_already_stays_itself() -> None:
    call = ToolCall(name="f", arguments='{"to":  "ann@acme.org"}')
    event = Event(session="s", kind="request", query="ann@acme.org", calls=[call], results="keep")
    clean = cleaned_event(event, KEEP)
    assert clean.calls[0].arguments == '{"to": "[e-mail]"}'
    assert cleaned_event(clean, KEEP) == clean


def test_an_event_of_shapes_has_the_id_that_it_had_before_results_could_be_kept() -> None:
    event = Event(
        session="s",
        time=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        kind="tool_call",
        tool="f",
        result=ToolResult(success=True, shape="[]"),
    )
    assert event.id == "7352e2b6903956ae29bcc761cb424560"


@given(st.text(alphabet='0123456789+-() ./:@,;|ax\n"DE', max_size=60))
@settings(max_examples=150, deadline=None)
def test_cleaning_twice_is_cleaning_once(text: str) -> None:
    once = cleaned(text, personal=True)
    assert cleaned(once, personal=True) == once


@pytest.mark.parametrize(
    "piece",
    [
        *("4111 1111 1111 1112 ", "+1 415 555 2671 ", "020 7946 0018 ", "a@b.c.", "1.2.3.", "phone: 1-2-3-", "1 "),
        *("a,phone\n", "DE89 3704 0044 0532 0130 01 ", "1:", "@a.b", "0049 1"),
    ],
    ids=str,
)
def test_the_work_is_linear_in_the_text(piece: str) -> None:
    assert times(lambda text: cleaned(text, personal=True), Shape(piece)) < MOST_TIMES


def test_without_the_libraries_keeping_results_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    personal.require_libraries()
    real = importlib.util.find_spec
    monkeypatch.setattr(personal, "find_spec", lambda name: None if name == "stdnum" else real(name))
    with pytest.raises(Refused, match="stdnum can't be imported") as refused:
        personal.require_libraries()
    assert refused.value.hint == "pip install 'topcoat[results]'"
