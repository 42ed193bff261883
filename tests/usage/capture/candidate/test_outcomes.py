from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support.usage.candidates import TOOLS
from topcoat.spec.agent import Agent
from topcoat.spec.project import SuccessSection
from topcoat.spec.tools.tool_list import own_catalog
from topcoat.usage.capture.candidate.outcomes import reported_in, wrongs_in
from topcoat.usage.capture.exchange import Exchange
from topcoat.usage.events import Event
from topcoat.usage.success.judge import DEFAULTS

AGENT = Agent(own_catalog(TOOLS, Path("tools.json")), calls="native")
CALL = {"id": "1", "type": "function", "function": {"name": "read", "arguments": '{"path": "a"}'}}
CALLED = {"role": "assistant", "content": None, "tool_calls": [CALL]}
ASK = {"role": "user", "content": "Read a."}


def wrongs(
    *asked: dict[str, Any],
    answer: dict[str, Any] | None = None,
    finish: str = "stop",
    whole: bool = True,
    success: SuccessSection = DEFAULTS,
) -> set[str]:
    said = {"message": {"role": "assistant", **(answer or {"content": "It is done."})}, "finish_reason": finish}
    body = json.dumps({"messages": [ASK, *asked]}).encode()
    response = json.dumps({"choices": [said]}).encode()
    return set(wrongs_in(Exchange(datetime.now(UTC), body, response, False, whole), AGENT, success))


def result(text: str) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": "1", "content": text}


def test_nothing_is_wrong_with_a_valid_call_and_with_prose() -> None:
    assert wrongs() == wrongs(answer=CALLED) == wrongs(CALLED, result("12 lines")) == set()


@pytest.mark.parametrize("arguments", ['{"path": 3}', "{}", '{"path": '])
def test_a_call_that_no_tool_takes(arguments: str) -> None:
    call = {"id": "1", "function": {"name": "read", "arguments": arguments}}
    assert wrongs(answer={"content": "", "tool_calls": [call]}) == {"invalid call"}


def test_an_answer_at_its_limit_or_without_an_end() -> None:
    broken = {"content": '<tool_call>{"name": "re'}
    assert wrongs(finish="length") == wrongs(whole=False) == wrongs(answer=broken, finish="length") == {"cut answer"}


def test_a_call_failed_if_the_projects_marks_say_so() -> None:
    marks = SuccessSection(failure=["^OUCH"])
    assert wrongs(CALLED, result("fatal: no such file")) == {"failed call"}
    assert wrongs(CALLED, result("OUCH")) == set()
    assert wrongs(CALLED, result("OUCH"), success=marks) == {"failed call"}


def test_what_was_wrong_earlier_is_of_an_earlier_exchange() -> None:
    assert wrongs(CALLED, result("fatal: no such file"), {"role": "assistant", "content": "Sorry."}, ASK) == set()


def test_a_user_corrects() -> None:
    said = {"role": "assistant", "content": "It is done."}
    assert wrongs(said, {"role": "user", "content": "No, that's wrong, I meant b."}) == {"correction"}
    assert wrongs(said, {"role": "user", "content": "Thanks!"}) == set()


def test_what_was_reported_of_an_earlier_session_of_the_same_name_doesnt_count() -> None:
    """The order of the events says what came before, and not their times: clocks jump."""
    at = datetime(2026, 5, 4, 12, tzinfo=UTC)
    began = Event(session="nightly", kind="request", time=at, query="Read a.")
    before, later = (
        Event(session="nightly", kind="rejected", time=at + timedelta(hours=1)),
        Event(session="nightly", kind="user_correction", time=at - timedelta(hours=1)),
    )
    assert reported_in([before, began], at) == set()
    assert reported_in([before, began, later], at) == {"correction"}
    assert reported_in([before, later], None) == {"correction", "rejected work"}
