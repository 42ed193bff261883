"""The client against a server that answers as it is told to."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from tests.support.agents import agent_of
from tests.support.chat_server import Act, Handler, Server, drop, echo, half, hang, message, serving, status
from tests.support.recorder import Recorder
from topcoat.calls.parsing import parse
from topcoat.engine.fake import FakeEngine
from topcoat.errors import EndpointFault, InvalidInput
from topcoat.progress import Advanced, Silent
from topcoat.spec.expect import Expect
from topcoat.spec.suite import Case, Suite
from topcoat.store.records import AskedServer, Completion
from topcoat.suites.endpoint import Endpoint
from topcoat.suites.evaluate import evaluate
from topcoat.suites.source import EngineSource, Question, Reply, Unanswered


def ask(server: Server, count: int = 1, *, pause: float = 0.0, **options: Any) -> list[Reply]:
    questions = [Question(f"case{i}", [{"role": "user", "content": f"say {i}"}], 5 + i) for i in range(count)]
    return Endpoint(server.url, "m", pause=pause, **options).ask(questions, Silent())


def unanswered(reply: Reply) -> str:
    assert isinstance(reply, Unanswered), reply
    return reply.reason


def test_every_question_is_answered_in_its_place() -> None:
    with serving(echo) as server:
        replies = ask(server, 40)
    assert replies == [Completion(text=f"say {i}", tokens=7, finish="stop") for i in range(40)]
    assert sorted(body["max_tokens"] for body in server.bodies) == [5 + i for i in range(40)]


def test_what_servers_have_different_defaults_for_is_sent() -> None:
    with serving(echo) as server:
        ask(server)
    assert server.bodies == [
        {
            "model": "m",
            "messages": [{"role": "user", "content": "say 0"}],
            "max_tokens": 5,
            "temperature": 0.0,
            "top_p": 1.0,
            "stream": False,
        }
    ]


def test_options_of_the_chat_template_are_sent() -> None:
    with serving(echo) as server:
        ask(server, template={"enable_thinking": False})
    assert server.bodies[0]["chat_template_kwargs"] == {"enable_thinking": False}


def test_a_sampled_question_comes_with_its_temperature_and_seed() -> None:
    with serving(echo) as server:
        question = Question("a", [{"role": "user", "content": "a"}], 1, 0.7, 99)
        Endpoint(server.url, "m").ask([question], Silent())
    assert (server.bodies[0]["temperature"], server.bodies[0]["seed"]) == (0.7, 99)


def test_the_key_is_sent_where_there_is_one() -> None:
    with serving(echo) as server:
        ask(server, key="secret")
        ask(server)
    assert [headers.get("Authorization") for headers in server.headers] == ["Bearer secret", None]


PASSING = [drop, half, *map(status, (408, 425, 429, 500, 503))]
GARBAGE = [status(200, content) for content in (b"", b"{garbage", b"[]", b'{"choices": []}', b'{"error": "busy"}')]


@pytest.mark.parametrize("failure", [*PASSING, *GARBAGE])
def test_what_passes_is_tried_again(failure: Act) -> None:
    with serving(failure, failure, echo) as server:
        replies = ask(server, 3)
    assert replies == [Completion(text=f"say {i}", tokens=7, finish="stop") for i in range(3)]
    assert len(server.bodies) == 9


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (status(500), 'HTTP 500 ({"error": "busy"}), 4 times'),
        (drop, "RemoteProtocolError: Server disconnected without sending a response., 4 times"),
        (status(200, b"no JSON"), "not a chat completion: Invalid JSON: expected ident at line 1 column 2, 4 times"),
        (status(200, b'{"choices": [{}]}'), "not a chat completion: choices.0.message: Field required, 4 times"),
    ],
)
def test_what_does_not_pass_is_an_error_in_the_end(failure: Act, reason: str) -> None:
    with serving(failure) as server:
        assert [unanswered(reply) for reply in ask(server, max_errors=1)] == [reason]
    assert len(server.bodies) == 4


@pytest.mark.parametrize("code", [301, 400, 401, 404, 422])
def test_a_refusal_is_final(code: int) -> None:
    with serving(status(code, b"no")) as server:
        assert unanswered(ask(server, max_errors=1)[0]) == f"HTTP {code} (no)"
    assert len(server.bodies) == 1


def test_a_request_that_ran_out_of_time_is_an_error_and_not_repeated() -> None:
    with serving(hang) as server:
        assert unanswered(ask(server, timeout=0.2, max_errors=1)[0]) == "no answer within 0.2 s"
    assert len(server.bodies) == 1


def test_a_server_that_is_not_there_is_an_error() -> None:
    with serving(echo) as server:
        pass
    assert unanswered(ask(server, max_errors=1)[0]) == "ConnectError: All connection attempts failed, 4 times"


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The waits between tries, which don't take place."""
    found: list[float] = []

    async def sleep(seconds: float) -> None:
        found.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    return found


def test_the_server_says_how_long_to_wait(waits: list[float]) -> None:
    at = format_datetime(datetime.now(UTC) + timedelta(seconds=50), usegmt=True)
    with serving(status(429, Retry_After="7"), status(503, Retry_After=at), echo) as server:
        assert isinstance(ask(server)[0], Completion)
    assert waits[0] == 7.0
    assert 30 < waits[1] <= 50


def test_waits_grow(waits: list[float]) -> None:
    with serving(status(503)) as server:
        ask(server, max_errors=1, pause=8.0)
    assert [low < wait <= 2 * low for low, wait in zip((4, 8, 16), waits, strict=True)] == [True] * 3


def test_a_wait_that_is_too_long_is_an_error() -> None:
    with serving(status(429, b"", Retry_After="3600")) as server:
        assert unanswered(ask(server, max_errors=1)[0]) == "HTTP 429, and the server asks to wait 3600 s"


def test_a_senseless_wait_is_ignored() -> None:
    with serving(status(429, Retry_After="soon"), echo) as server:
        assert isinstance(ask(server)[0], Completion)


def test_no_more_requests_are_open_than_asked_for() -> None:
    def slow(handler: Handler) -> None:
        handler.server.released.wait(0.05)
        echo(handler)

    with serving(slow) as server:
        ask(server, 12, concurrency=3)
    assert server.most_open == 3


def test_too_many_errors_void_the_evaluation_and_end_it() -> None:
    with serving(status(400, b"no")) as server, pytest.raises(EndpointFault) as caught:
        ask(server, 100, concurrency=1, max_errors=2)
    assert caught.value.message == (
        "the evaluation is void: 3 cases got no answer, more than max_errors = 2 (case0, case1, case2: HTTP 400 (no))"
    )
    assert caught.value.hint == f"see what the server has: curl {server.url}/v1/models"
    assert len(server.bodies) < 10


def test_as_many_errors_as_permitted_leave_the_other_answers() -> None:
    def picky(handler: Handler) -> None:
        odd = int(handler.body["messages"][-1]["content"].split()[-1]) % 2
        handler.send(400, b"no") if odd else echo(handler)

    with serving(picky) as server:
        replies = ask(server, 6, max_errors=3)
    assert [isinstance(reply, Unanswered) for reply in replies] == [False, True] * 3


def test_a_missing_key_is_named() -> None:
    with serving(status(401)) as server, pytest.raises(EndpointFault) as caught:
        ask(server)
    assert caught.value.hint == "export TOPCOAT_API_KEY=KEY"


def test_progress_counts_answers_and_errors() -> None:
    sink = Recorder()
    with serving(status(400)) as server:
        Endpoint(server.url, "m", max_errors=1).ask([Question("a", [{"role": "user", "content": "a"}], 1)], sink)
    assert sink.events[1] == Advanced("answers", 1, "1 without an answer")


def test_cases_are_counted_once_and_samples_among_the_answers() -> None:
    user = {"role": "user", "content": "a"}
    with serving(echo) as server:
        endpoint = Endpoint(f"http://me:secret@{server.url[7:]}", "m")
        for _ in range(2):
            endpoint.ask([Question("a", [user], 1), Question("a (sample 1)", [user], 1, 0.7, 9)], Silent())
    assert endpoint.asked == [AskedServer(server=f"{server.url}/v1", model="m", cases=1, answers=4)]


CODE = "<tool_call><function=execute_code><parameter=code>\nread('a')\n</parameter></function></tool_call>"


def structured(name: str, arguments: object) -> dict[str, object]:
    return {"id": "1", "type": "function", "function": {"name": name, "arguments": arguments}}


@pytest.mark.parametrize(
    ("fields", "calls", "wrapped", "blocks"),
    [
        ({"content": CODE}, ["read code"], True, 1),
        ({"content": None, "tool_calls": [structured("read", '{"path": "a"}')]}, ["read native"], False, 1),
        ({"content": "", "tool_calls": [structured("read", {"path": "a"})]}, ["read native"], False, 1),
        ({"tool_calls": [structured("execute_code", '{"code": "read(\'a\')"}')]}, ["read code"], True, 1),
        ({"tool_calls": [structured("read", "{}"), structured("read", "")]}, ["read native"] * 2, False, 2),
        ({"content": "Look: </tool_call>", "tool_calls": [structured("read", "{}")]}, ["read native"], False, 1),
        ({"content": None, "tool_calls": [structured("read", '{"path": ')]}, [], False, 1),
        ({"content": "Hello.", "reasoning": CODE}, [], False, 0),
        ({"content": "Hello.", "reasoning_content": CODE}, [], False, 0),
        ({"content": None, "tool_calls": []}, [], False, 0),
    ],
)
def test_structured_calls_are_read_like_written_ones(
    fields: dict[str, Any], calls: list[str], wrapped: bool, blocks: int
) -> None:
    with serving(status(200, message(**fields))) as server:
        (reply,) = ask(server)
    assert isinstance(reply, Completion)
    answer = parse(reply.text, agent_of(["read"]))
    assert [f"{call.tool} {call.route}" for call in answer.calls] == calls
    assert (answer.wrapped, answer.blocks) == (wrapped, blocks)


@pytest.mark.parametrize(
    ("content", "finish", "unread"),
    [
        (None, "length", "the answer ends inside a thought"),
        ("", "length", "the answer ends inside a thought"),
        ("It is", "length", ""),
        (None, "stop", ""),
    ],
)
def test_a_cut_thought_that_the_server_took_out_stays_cut(content: str | None, finish: str, unread: str) -> None:
    with serving(status(200, message(finish, content=content, reasoning=f"I could write {CODE}"))) as server:
        (reply,) = ask(server)
    assert isinstance(reply, Completion)
    answer = parse(reply.text, agent_of(["read"]))
    assert (answer.unread, answer.calls) == (unread, ())


Turn = dict[str, Any]
TOOLS = [{"type": "function", "function": {"name": "read", "parameters": {"type": "object"}}}]


def test_the_tools_of_a_question_are_sent() -> None:
    with serving(echo) as server:
        user = {"role": "user", "content": "a"}
        questions = [
            Question("a", [user], 1, tools=TOOLS),
            Question("b", [user], 1, tools=[]),
            Question("c", [user], 1),
        ]
        Endpoint(server.url, "m", concurrency=1).ask(questions, Silent())
    assert [body.get("tools") for body in server.bodies] == [TOOLS, None, None]
    assert not any("tool_choice" in body for body in server.bodies)


def test_earlier_calls_and_results_are_sent_as_openai_writes_them() -> None:
    called: Turn = {"role": "assistant", "tool_calls": [{"function": {"name": "read", "arguments": {"path": "a"}}}]}
    dialogue: list[Turn] = [
        {"role": "user", "content": "Read a."},
        called,
        {"role": "tool", "content": "text", "name": "read"},
    ]
    with serving(echo) as server:
        Endpoint(server.url, "m").ask([Question("a", dialogue, 1)], Silent())
    _, turn, result = server.bodies[0]["messages"]
    (call,) = turn["tool_calls"]
    assert call == {"id": call["id"], "type": "function", "function": {"name": "read", "arguments": '{"path": "a"}'}}
    assert result["tool_call_id"] == call["id"]


NATIVE = {
    "right": ("", [("read", {"path": "a.py"})]),
    "after words": ("Let me see.", [("read", {"path": "a.py"})]),
    "other value": ("", [("read", {"path": "b.py"})]),
    "two": ("", [("read", {"path": "a.py"}), ("read", {"path": "b.py"})]),
    "unknown tool": ("", [("reed", {"path": "a.py"})]),
    "tags inside": ("", [("read", {"path": "</tool_call>"})]),
    "words": ("I can't.", []),
    "none": ("", []),
}


@pytest.mark.parametrize("name", NATIVE)
@pytest.mark.parametrize("as_text", [True, False])
def test_a_native_answer_scores_alike_from_an_engine_and_from_a_server(
    tmp_path: Path, name: str, as_text: bool
) -> None:
    words, calls = NATIVE[name]
    agent = replace(agent_of(["read"], "native"), system_prompt="Act.")
    expect = [{"tool": "read", "args": {"path": "a.py"}}]
    cases = [
        Case(
            id="call", category="c", prompt="Read a.py", expect=Expect.model_validate({"calls": expect}), scorer="calls"
        ),
        Case(id="quiet", category="c", prompt="Read a.py, no", expect=Expect(calls=[]), scorer="calls"),
    ]
    suite = Suite(Path("suite.jsonl"), tuple(cases))
    written = [f"<tool_call>\n{json.dumps({'name': n, 'arguments': a})}\n</tool_call>" for n, a in calls]
    text = "\n".join(filter(None, [words, *written]))
    FakeEngine.create(tmp_path / "native", [("Read a.py", text)])
    taken_apart = [structured(n, json.dumps(a) if as_text else a) for n, a in calls]
    reply = message("tool_calls" if calls else "stop", content=words, tool_calls=taken_apart)
    ours = evaluate(EngineSource(FakeEngine(), tmp_path / "native"), suite, agent, Silent(), "m")
    with serving(status(200, reply)) as server:
        theirs = evaluate(Endpoint(server.url, "m"), suite, agent, Silent(), "m")
    assert [(s.value, s.reason) for s in theirs.scores] == [(s.value, s.reason) for s in ours.scores]
    assert [body["tools"] for body in server.bodies] == [agent.catalog.declared] * 2


def test_a_dropped_call_is_no_right_abstention() -> None:
    suite = Suite(Path("s.jsonl"), (Case(id="a", category="c", prompt="a", expect=Expect(calls=[]), scorer="calls"),))
    with serving(status(200, message(finish="tool_calls", content="Let me see."))) as server:
        result = evaluate(Endpoint(server.url, "m"), suite, agent_of(["read"], "native"), Silent(), "m")
    assert result.scores[0].value == 0.0


def test_a_call_that_the_server_dropped_is_a_call_that_cannot_be_read() -> None:
    with serving(status(200, message(finish="tool_calls", content=None))) as server:
        (reply,) = ask(server)
    assert isinstance(reply, Completion)
    assert parse(reply.text, agent_of(["read"])).blocks == 1


def test_a_cut_answer_is_known_as_one() -> None:
    with serving(status(200, message(finish="length", content="and then"))) as server:
        assert ask(server) == [Completion(text="and then", tokens=7, finish="length")]


@pytest.mark.parametrize("path", ["", "/", "/v1", "/v1/", "/v1/chat/completions"])
def test_the_chat_completions_are_found_below_any_base_url(path: str) -> None:
    with serving(echo) as server:
        Endpoint(server.url + path, "m").ask([Question("a", [{"role": "user", "content": "a"}], 1)], Silent())
    assert server.headers[0]["path"] == "/v1/chat/completions"


def test_another_base_path_is_kept() -> None:
    assert Endpoint("https://x.example/api/v3", "m").url.path == "/api/v3/chat/completions"


@pytest.mark.parametrize("url", ["", "localhost:8080", "ftp://a/b", "http://", "http://a:b", "models/phase33b"])
def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(InvalidInput, match="is not"):
        Endpoint(url, "m")


def test_a_key_that_cannot_be_sent_is_refused() -> None:
    with pytest.raises(InvalidInput, match="API key"):
        Endpoint("http://a", "m", key="sécret")


def test_a_password_in_the_url_is_not_shown() -> None:
    assert Endpoint("http://me:secret@host:81/v1", "m").name == "m at host:81"
