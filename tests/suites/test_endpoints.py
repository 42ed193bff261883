"""Several servers as one source of answers."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.support.agents import agent_of
from tests.support.chat_server import Act, Handler, Server, drop, dying, echo, hang, message, serving, status
from tests.support.recorder import Recorder
from topcoat.errors import EndpointFault, InvalidInput
from topcoat.progress import Note, Silent, Sink
from topcoat.spec.expect import Expect
from topcoat.spec.suite import Case, Suite
from topcoat.store.records import Completion
from topcoat.suites.endpoint import Endpoint
from topcoat.suites.endpoints import Endpoints, endpoints_of
from topcoat.suites.evaluate import evaluate
from topcoat.suites.source import Question, Reply, Unanswered


def source(*servers: Server, pause: float = 0.0, max_errors: int = 0, **options: Any) -> Endpoints:
    ends = [Endpoint(server.url, "m", pause=pause, **options) for server in servers]
    return Endpoints(ends, max_errors=max_errors)


def questions(count: int) -> list[Question]:
    return [Question(f"case{i}", [{"role": "user", "content": f"say {i}"}], 5) for i in range(count)]


def right(count: int) -> list[Reply]:
    return [Completion(text=f"say {i}", tokens=7, finish="stop") for i in range(count)]


def warnings(sink: Recorder) -> list[str]:
    return [event.text for event in sink.events if isinstance(event, Note) and event.warning]


def notes(sink: Recorder) -> list[str]:
    return [event.text for event in sink.events if isinstance(event, Note) and not event.warning]


def said(server: Server) -> list[str]:
    return [body["messages"][-1]["content"] for body in server.bodies]


def after(seconds: float, act: Act = echo) -> Act:
    def answer(handler: Handler) -> None:
        handler.server.released.wait(seconds)
        act(handler)

    return answer


def gone() -> Server:
    with serving(echo) as server:
        pass
    return server


def test_every_question_is_asked_once_and_answered_in_its_place() -> None:
    with serving(echo) as one, serving(echo) as other:
        asked = source(one, other)
        assert asked.ask(questions(40), Silent()) == right(40)
    assert sorted(said(one) + said(other)) == sorted(f"say {i}" for i in range(40))
    assert [record.cases for record in asked.asked] == [len(one.bodies), len(other.bodies)]
    assert [record.server for record in asked.asked] == [f"{one.url}/v1", f"{other.url}/v1"]


def test_questions_are_shared_evenly_at_the_beginning() -> None:
    with serving(after(0.1)) as one, serving(after(0.1)) as other:
        source(one, other, concurrency=8).ask(questions(6), Silent())
    assert (len(one.bodies), len(other.bodies)) == (3, 3)


def test_a_server_that_is_busy_gets_no_more_until_it_has_a_free_place() -> None:
    others = threading.Event()

    def slow(handler: Handler) -> None:
        others.wait(30)
        echo(handler)

    def fast(handler: Handler) -> None:
        echo(handler)
        if handler.number == 18:
            others.set()

    with serving(slow) as one, serving(fast) as other:
        assert source(one, other, concurrency=2).ask(questions(20), Silent()) == right(20)
    assert (len(one.bodies), len(other.bodies)) == (2, 18)


def test_each_server_has_as_many_open_requests_as_asked_for() -> None:
    with serving(after(0.05)) as one, serving(after(0.05)) as other:
        source(one, other, concurrency=3).ask(questions(24), Silent())
    assert (one.most_open, other.most_open) == (3, 3)


def test_a_server_that_is_not_there_is_left_out_with_a_warning() -> None:
    sink = Recorder()
    one = gone()
    with serving(echo) as other:
        asked = source(one, other)
        assert asked.ask(questions(30), sink) == right(30)
    reason = "ConnectError: All connection attempts failed, 4 times"
    assert warnings(sink) == [f"{one.url}/v1 is left out, its cases are asked elsewhere: {reason}"]
    assert [(record.cases, record.left_out) for record in asked.asked] == [(0, reason), (30, "")]


def test_a_server_that_dies_half_way_is_left_out_and_its_questions_are_asked_elsewhere() -> None:
    sink = Recorder()
    with serving(dying(5)) as one, serving(after(0.02)) as other:
        asked = source(one, other, concurrency=2)
        assert asked.ask(questions(40), sink) == right(40)
    (warning,) = warnings(sink)
    assert warning.startswith(f"{one.url}/v1 is left out, its cases are asked elsewhere: Connect")
    assert asked.asked[0].cases <= 5
    assert sum(record.cases for record in asked.asked) == 40


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (status(500, b"no"), "HTTP 500 (no), 4 times"),
        (drop, "RemoteProtocolError: Server disconnected without sending a response., 4 times"),
        (status(400, b"no"), "HTTP 400 (no)"),
        (status(200, b"{}"), "not a chat completion: choices: Field required, 4 times"),
    ],
)
def test_a_server_that_fails_again_and_again_is_left_out(failure: Act, reason: str) -> None:
    sink = Recorder()
    with serving(failure) as one, serving(after(0.02)) as other:
        assert source(one, other, concurrency=1).ask(questions(8), sink) == right(8)
    assert warnings(sink) == [
        f"{one.url}/v1 is left out, its cases are asked elsewhere: 3 cases in a row that others answer, "
        f"the last one: {reason}"
    ]
    assert len({*said(one)}) == 3


def test_a_server_that_hangs_is_left_out() -> None:
    sink = Recorder()
    with serving(hang) as one, serving(echo) as other:
        assert source(one, other, concurrency=3, timeout=0.3).ask(questions(40), sink) == right(40)
    assert warnings(sink)[0].endswith("the last one: no answer within 0.3 s")


@pytest.mark.parametrize(
    "failure", [status(404, b"no such model"), status(401), status(429, Retry_After="3600"), status(301)]
)
def test_a_server_that_refuses_whatever_it_is_asked_is_left_out_at_once(failure: Act) -> None:
    sink = Recorder()
    with serving(failure) as one, serving(echo) as other:
        assert source(one, other, concurrency=1).ask(questions(10), sink) == right(10)
    assert len(one.bodies) == 1
    assert len(warnings(sink)) == 1


def test_a_server_that_fails_now_and_then_stays() -> None:
    def lame(handler: Handler) -> None:
        handler.send(400, b"no") if handler.number % 3 else echo(handler)

    sink = Recorder()
    with serving(lame) as one, serving(after(0.01)) as other:
        assert source(one, other, concurrency=1).ask(questions(30), sink) == right(30)
    assert warnings(sink) == []
    assert len(one.bodies) > 6


def picky(handler: Handler) -> None:
    odd = int(handler.body["messages"][-1]["content"].split()[-1]) % 2
    handler.send(400, b"too long") if odd else echo(handler)


def test_cases_that_no_server_answers_leave_no_server_out() -> None:
    sink = Recorder()
    with serving(picky) as one, serving(picky) as other:
        replies = source(one, other, max_errors=20).ask(questions(40), sink)
    assert replies[::2] == right(40)[::2]
    assert {*replies[1::2]} == {Unanswered("HTTP 400 (too long)")}
    assert warnings(sink) == []
    assert [said(server).count("say 1") for server in (one, other)] == [1, 1]


def test_what_one_server_refuses_another_answers() -> None:
    with serving(picky) as one, serving(after(0.01)) as other:
        assert source(one, other, concurrency=1).ask(questions(4), Silent()) == right(4)
    assert len(one.bodies) > 0


def test_different_reasons_for_one_case_are_told_by_server() -> None:
    with serving(status(400, b"no")) as one, serving(status(422, b"never")) as other:
        (reply,) = source(one, other, max_errors=1).ask(questions(1), Silent())
    assert reply == Unanswered(f"{one.url}/v1: HTTP 400 (no); {other.url}/v1: HTTP 422 (never)")


def test_when_no_server_is_left_the_evaluation_is_void() -> None:
    sink = Recorder()
    one, other = gone(), gone()
    with pytest.raises(EndpointFault) as caught:
        source(one, other, max_errors=5).ask(questions(30), sink)
    reason = "ConnectError: All connection attempts failed, 4 times"
    assert caught.value.message == (
        "the evaluation is void: no server is left, and 30 of 30 cases got no answer, more than max_errors = 5 "
        f"({one.url}/v1, {other.url}/v1: {reason})"
    )
    assert caught.value.hint == f"see what the server has: curl {one.url}/v1/models"
    assert "no server is left" in warnings(sink)[1]


def test_when_all_die_half_way_the_missing_cases_are_counted() -> None:
    with serving(dying(6)) as one, serving(dying(6)) as other, pytest.raises(EndpointFault) as caught:
        source(one, other, concurrency=1).ask(questions(30), Silent())
    assert "no server is left, and 18 of 30 cases got no answer" in caught.value.message


def test_when_all_die_near_the_end_the_few_missing_cases_may_be_permitted() -> None:
    with serving(dying(5)) as one, serving(dying(5)) as other:
        replies = source(one, other, concurrency=1, max_errors=2).ask(questions(12), Silent())
    assert sum(isinstance(reply, Completion) for reply in replies) == 10


def test_when_all_hang_the_evaluation_is_void_and_ends() -> None:
    with serving(hang) as one, serving(hang) as other, pytest.raises(EndpointFault) as caught:
        source(one, other, timeout=0.2, max_errors=3).ask(questions(100), Silent())
    assert "4 cases got no answer, more than max_errors = 3" in caught.value.message
    assert "no answer within 0.2 s" in caught.value.message
    assert len(one.bodies) + len(other.bodies) < 50


def test_a_missing_key_is_named() -> None:
    with serving(status(401)) as one, serving(status(401)) as other, pytest.raises(EndpointFault) as caught:
        source(one, other).ask(questions(10), Silent())
    assert caught.value.hint == "export TOPCOAT_API_KEY=KEY"


def test_a_server_that_is_left_out_stays_so_and_an_episode_stays_with_its_server() -> None:
    """Each step of an episode is a question with the episode's id."""
    with serving(after(0.02)) as one, serving(after(0.02)) as other:
        asked = source(one, other, concurrency=4)
        for step in range(5):
            asked.ask([*questions(8)[step:], *questions(8)[:step]], Silent())
        assert {*said(one)} & {*said(other)} == set()
        assert (len(one.bodies), len(other.bodies)) == (20, 20)
        assert [record.cases for record in asked.asked] == [4, 4]
        assert [record.answers for record in asked.asked] == [20, 20]
        one.acts = [status(404)]
        for _ in range(2):
            assert asked.ask(questions(8), Silent()) == right(8)
    assert 1 <= len(one.bodies) - 20 <= 4
    assert len([record for record in asked.asked if record.left_out]) == 1


def case(name: str) -> Case:
    expect = Expect.model_validate({"calls": [{"tool": "read", "args": {"path": name}}]})
    return Case(id=name, category="c", prompt=name, expect=expect, scorer="calls")


def calling(handler: Handler) -> None:
    name = handler.body["messages"][-1]["content"]
    call = {"function": {"name": "read", "arguments": '{"path": "a1"}' if name < "a4" else f'{{"path": "{name}"}}'}}
    handler.send(200, message("tool_calls", content=None, tool_calls=[call]))


def test_scores_do_not_depend_on_who_answered() -> None:
    suite = Suite(Path("suite.jsonl"), tuple(case(f"a{n}") for n in range(9)))
    agent = agent_of(["read"], "native")
    with serving(calling) as one:
        alone = evaluate(Endpoint(one.url, "m"), suite, agent, Silent(), "m")
    with serving(after(0.02, calling)) as one, serving(calling) as two, serving(status(500)) as three:
        several = evaluate(source(one, two, three, concurrency=2), suite, agent, Silent(), "m")
    assert several.scores == alone.scores
    assert several.categories == alone.categories
    assert 0 < alone.categories[0].mean < 1


def built(urls: Sequence[str], models: Sequence[str] = ("m",), sink: Sink | None = None) -> Endpoint | Endpoints:
    return endpoints_of(urls, models, sink or Silent(), max_errors=3)


def test_one_server_is_asked_alone() -> None:
    assert isinstance(built(["http://a:1"]), Endpoint)


def test_a_url_that_is_given_twice_counts_once_with_a_word() -> None:
    sink = Recorder()
    found = built(["http://a:1", "http://me:x@A:1/v1/", "http://b:1"], sink=sink)
    assert found.name == "m at a:1, b:1"
    assert warnings(sink) == ["http://a:1/v1 is given twice and counts once"]
    assert isinstance(built(["http://a", "http://a:80"]), Endpoint)


@pytest.mark.parametrize("models", [["m", "n", "o"], []])
def test_names_that_do_not_fit_the_servers_are_refused(models: list[str]) -> None:
    with pytest.raises(InvalidInput, match="one name for all"):
        built(["http://a", "http://b"], models)


def test_one_server_with_two_models_is_refused() -> None:
    with pytest.raises(InvalidInput, match="given twice, with two models"):
        built(["http://a", "http://a"], ["m", "n"])


def test_each_server_is_asked_with_its_own_name_for_the_model() -> None:
    with serving(echo, models=["a"]) as one, serving(echo, models=["b"]) as other:
        asked = built([one.url, other.url], ["x", "y"])
        assert asked.ask(questions(20), Silent()) == right(20)
    assert {body["model"] for body in one.bodies} == {"x"}
    assert {body["model"] for body in other.bodies} == {"y"}
    assert asked.name == f"x, y at {one.url[7:]}, {other.url[7:]}"
