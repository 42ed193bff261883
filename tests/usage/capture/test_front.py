"""The front over real sockets, before a server that answers as it is told to."""

from __future__ import annotations

import asyncio
import json
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientError, ClientSession, web

from tests.support.made_up_secrets import BY_FORM, BY_NAME
from tests.support.usage.front import CHAT, HELLO, Answer, request, streamed, whole, world
from topcoat.errors import Refused
from topcoat.usage.capture import front as front_module
from topcoat.usage.capture import recorder as recorder_module
from topcoat.usage.capture.access import Access
from topcoat.usage.capture.front import Front, listening
from topcoat.usage.capture.recorder import Recorder, RecordingFigures
from topcoat.usage.capture.served.door import Door, Upstream
from topcoat.usage.log import EventLog

CALL = {"id": "c1", "type": "function", "function": {"name": "read_file", "arguments": '{"path": "x"}'}}


def test_a_dialogue_is_one_session_and_what_the_client_saw(tmp_path: Path) -> None:
    text = "Grüße, \r\n\ttabs and 🎨 — all of it. "

    async def scene() -> None:
        async with world(tmp_path, whole(text)) as (made, client):
            first = request({"role": "system", "content": "S"}, HELLO, temperature=0)
            async with client.post(CHAT, data=first) as answer:
                direct = await answer.read()
                assert json.loads(direct)["choices"][0]["message"]["content"] == text
            assert made.asked[0][1] == first
            assert made.asked[0][0]["X-Key"] == "k"
            more = request({"role": "system", "content": "S"}, HELLO, {"role": "assistant", "content": text}, HELLO)
            async with client.post(CHAT, data=more) as answer:
                await answer.read()
            events = made.events()
        assert [(e.system, e.query, e.answer, e.finish) for e in events] == [
            ("S", "hello", text, "stop"),
            (None, "hello", text, "stop"),
        ]
        assert len({event.session for event in events}) == 1

    asyncio.run(scene())


def test_a_stream_passes_byte_for_byte_and_is_kept_joined(tmp_path: Path) -> None:
    pieces = ["Gr", "üß", "e 🎨", "\n", " end "]
    halves = [
        {"tool_calls": [{"index": 0, "id": "c1", "function": {"name": "read_file", "arguments": '{"pa'}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": 'th": "x"}'}}]},
    ]

    async def scene() -> None:
        answer = streamed({"reasoning": "Hm."}, *({"content": piece} for piece in pieces), *halves)
        async with world(tmp_path, answer) as (made, client):
            async with client.post(CHAT, data=request(HELLO, stream=True)) as front:
                through = await front.read()
                assert front.headers["Content-Type"] == "text/event-stream"
            expected = b"".join(
                b"data: " + json.dumps({"choices": [{"index": 0, "delta": delta}]}).encode() + b"\n\n"
                for delta in [{"reasoning": "Hm."}, *({"content": piece} for piece in pieces), *halves]
            )
            assert expected in through
            (event,) = made.events()
        assert (event.answer, event.reasoning, event.finish) == ("".join(pieces), "Hm.", "stop")
        assert [(call.id, call.name, call.arguments) for call in event.calls] == [("c1", "read_file", '{"path": "x"}')]

    asyncio.run(scene())


def test_tool_results_are_seen_in_the_next_request_and_their_contents_not_kept(tmp_path: Path) -> None:
    async def scene() -> None:
        async with world(tmp_path, whole("done")) as (made, client):
            called = {"role": "assistant", "content": None, "tool_calls": [CALL]}
            result = {"role": "tool", "tool_call_id": "c1", "content": '{"text": "very private"}'}
            async with client.post(CHAT, data=request(HELLO, called, result)) as answer:
                await answer.read()
            events = made.events()
        assert [(event.kind, event.tool) for event in events] == [
            ("request", ""),
            ("tool_call", "read_file"),
            ("request", ""),
        ]
        assert events[1].result is not None
        assert events[1].result.shape == "{text: str}"
        assert all(b"very private" not in file.read_bytes() for file in tmp_path.iterdir())

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("headers", "fields"),
    [({"X-Session-Id": "mine"}, {}), ({}, {"user": "mine"}), ({}, {"metadata": {"session": "mine"}})],
)
def test_a_client_may_name_its_session(tmp_path: Path, headers: dict[str, str], fields: dict[str, Any]) -> None:
    async def scene() -> None:
        async with world(tmp_path, whole("hi")) as (made, client):
            async with client.post(
                CHAT, data=request(HELLO, **fields), headers={"X-Branch": "fix", **headers}
            ) as answer:
                await answer.read()
            (event,) = made.events()
        assert (event.session, event.branch, event.model) == ("mine", "fix", "m")

    asyncio.run(scene())


@pytest.mark.parametrize("path", [CHAT, "/v1/messages"])
@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_names_the_model_that_gave_it(tmp_path: Path, path: str, stream: bool) -> None:
    async def scene() -> None:
        answer = streamed({"content": "hi"}) if stream else whole("hi")
        async with world(tmp_path, answer, model="modèle 1") as (made, client):
            async with client.post(path, data=request(HELLO, stream=stream, max_tokens=9)) as got:
                await got.read()
                assert got.headers["X-Topcoat-Model"] == "mod%C3%A8le 1"
            (event,) = made.events()
        assert event.model == "modèle 1"

    asyncio.run(scene())


def test_another_servers_model_is_not_named(tmp_path: Path) -> None:
    async def scene() -> None:
        async with world(tmp_path, whole("hi")) as (_, client), client.post(CHAT, data=request(HELLO)) as got:
            assert "X-Topcoat-Model" not in got.headers

    asyncio.run(scene())


def test_tokens_are_counted_by_the_model_at_the_door(tmp_path: Path) -> None:
    async def scene() -> None:
        door = Door(Upstream("http://127.0.0.1:9", {}, "old", lambda *_: 7))
        front = Front(door, Access("127.0.0.1"), lambda _: Future(), RecordingFigures)
        async with listening(front, 0) as port, ClientSession(f"http://127.0.0.1:{port}") as client:
            counted = []
            for new in (Upstream("http://127.0.0.1:9", {}, "new", lambda *_: 11), None):
                async with client.post("/v1/messages/count_tokens", data=request(HELLO, model="m")) as got:
                    counted.append(await got.json())
                if new:
                    door.open(new)
        assert counted == [{"input_tokens": 7}, {"input_tokens": 11}]

    asyncio.run(scene())


def test_a_secret_in_two_pieces_is_a_secret(tmp_path: Path) -> None:
    texts = [secret for _, secret in BY_FORM + BY_NAME]

    async def scene() -> None:
        answer = streamed(
            *({"content": half} for t in texts for half in ("\nkey: ", t[: len(t) // 2], t[len(t) // 2 :]))
        )
        async with world(tmp_path, answer) as (made, client):
            async with client.post(CHAT, data=request({"role": "user", "content": texts[0]}, stream=True)) as front:
                await front.read()
            made.recorder.close()
        raw = b"".join(file.read_bytes() for file in tmp_path.iterdir())
        assert b"[GitHub token]" in raw
        for text in texts:
            middle = text[len(text) // 2 - 3 :][:12].strip()
            assert middle.encode() not in raw

    asyncio.run(scene())


def test_our_own_server_gets_no_other_model_to_load(tmp_path: Path) -> None:
    async def scene() -> None:
        async with world(tmp_path, whole("hi"), model="coat") as (made, client):
            body = request(HELLO, model="someone/else", adapters="/x", draft_model="y")
            async with client.post(CHAT, data=body) as answer:
                assert answer.status == 200
            assert json.loads(made.asked[0][1]) == {"messages": [HELLO], "model": "default_model"}
            async with client.post(CHAT, data=b"[nonsense") as answer:
                assert (answer.status, (await answer.json())["error"]["code"]) == (400, 400)
            async with client.get("/v1/models") as answer:
                assert (await answer.json())["data"][0]["id"] == "coat"
            assert len(made.asked) == 1

    asyncio.run(scene())


def test_an_answer_that_breaks_off_is_no_answer(tmp_path: Path) -> None:
    async def scene() -> None:
        async with world(tmp_path, streamed({"content": "half"}, end=False), model="coat") as (made, client):
            with pytest.raises(ClientError):
                async with client.post(CHAT, data=request(HELLO, stream=True)) as answer:
                    await answer.read()
            (event,) = made.events()
        assert (event.answer, event.finish) == ("half", "cut")

    asyncio.run(scene())


def test_a_client_that_goes_away_ends_its_request(tmp_path: Path) -> None:
    async def scene() -> None:
        async with world(tmp_path, streamed(*[{"content": "x"}] * 500, pause=0.01)) as (made, client):
            async with client.post(CHAT, data=request(HELLO, stream=True)) as answer:
                await answer.content.readuntil(b"}}]}")
            for _ in range(300):
                if made.recorder.figures().kept:
                    break
                await asyncio.sleep(0.01)
            (event,) = made.events()
        assert event.finish == "cut"
        assert len(event.answer or "") < 400

    asyncio.run(scene())


def test_a_question_without_an_answer_is_kept(tmp_path: Path) -> None:
    async def scene() -> None:
        async with world(tmp_path, streamed(end=False)) as (made, client):
            async with client.post(CHAT, data=request(HELLO, stream=True)) as answer:
                await answer.read()
            (event,) = made.events()
        assert (event.query, event.answer) == ("hello", None)

    asyncio.run(scene())


def test_a_server_that_is_not_there_is_said(tmp_path: Path) -> None:
    async def scene() -> None:
        recorder = Recorder(tmp_path / "events.db")
        front = Front(
            Door(Upstream("http://127.0.0.1:9", {})), Access("127.0.0.1"), lambda _: Future(), recorder.figures
        )
        async with listening(front, 0) as port, ClientSession(f"http://127.0.0.1:{port}") as client:
            async with client.post(CHAT, data=request(HELLO)) as answer:
                assert answer.status == 502
                assert "can't be reached" in (await answer.json())["error"]["message"]
            async with client.get("/health") as answer:
                assert (answer.status, (await answer.json())["status"]) == (503, "unavailable")
        recorder.close()

    asyncio.run(scene())


def test_errors_of_the_server_pass_and_are_not_recorded(tmp_path: Path) -> None:
    async def refuse(_: web.Request) -> web.StreamResponse:
        return web.Response(status=429, body=b"slow down", headers={"Retry-After": "3"})

    async def scene() -> None:
        async with world(tmp_path, refuse) as (made, client):
            async with client.post(CHAT, data=request(HELLO)) as answer:
                assert (answer.status, await answer.read(), answer.headers["Retry-After"]) == (429, b"slow down", "3")
            assert made.events() == []

    asyncio.run(scene())


def test_strangers_are_refused_before_anything_is_handed_on(tmp_path: Path) -> None:
    async def scene() -> None:
        async with world(tmp_path, whole("hi")) as (made, client):
            async with client.post(CHAT, data=request(HELLO), headers={"Origin": "https://evil.example"}) as answer:
                assert answer.status == 403
            async with client.post(CHAT, data=request(HELLO), headers={"Host": "evil.example"}) as answer:
                assert answer.status == 403
            assert made.asked == []
        async with world(tmp_path, whole("hi"), access=Access("127.0.0.1", "token")) as (made, client):
            async with client.post(CHAT, data=request(HELLO)) as answer:
                assert answer.status == 401
            async with client.post(CHAT, data=request(HELLO), headers={"Authorization": "Bearer token"}) as answer:
                assert answer.status == 200
            assert "Authorization" not in made.asked[0][0]

    asyncio.run(scene())


def test_fifty_streams_at_once(tmp_path: Path) -> None:
    async def scene() -> None:
        together = asyncio.Barrier(50)

        async def answer(request: web.Request) -> web.StreamResponse:
            await asyncio.wait_for(together.wait(), 20)  # answers begin only when all fifty have asked
            return await streamed(*({"content": f"{n} "} for n in range(20)))(request)

        async with world(tmp_path, answer) as (made, client):

            async def ask(number: int) -> bytes:
                body = request({"role": "user", "content": f"question {number}"}, stream=True)
                async with client.post(CHAT, data=body) as got:
                    return await got.read()

            answers = await asyncio.gather(*(ask(number) for number in range(50)))
            assert all(answer.endswith(b"data: [DONE]\n\n") for answer in answers)
            events = made.events()
        assert len({event.session for event in events}) == 50
        assert {event.answer for event in events} == {"".join(f"{n} " for n in range(20))}

    asyncio.run(scene())


def test_a_port_that_is_taken_is_refused(tmp_path: Path) -> None:
    async def scene() -> None:
        recorder = Recorder(tmp_path / "events.db")
        front = Front(
            Door(Upstream("http://127.0.0.1:9", {})), Access("127.0.0.1"), lambda _: Future(), recorder.figures
        )
        async with listening(front, 0) as port:
            with pytest.raises(Refused, match="can't listen"):
                async with listening(front, port):
                    pass
        recorder.close()

    asyncio.run(scene())


@pytest.mark.parametrize("answer", [whole("all of it"), streamed({"content": "all of it"})], ids=["whole", "streamed"])
def test_an_answer_ends_when_its_exchange_is_written(tmp_path: Path, answer: Answer) -> None:
    """Every exchange whose end a client saw is in the database at that moment, so a killed process loses none."""

    async def scene() -> None:
        async with world(tmp_path, answer) as (made, client):
            for number in range(20):
                message = {"role": "user", "content": f"question {number}"}
                async with client.post(CHAT, data=request(message)) as got:
                    content = await got.read()
                assert b"all of it" in content
                with EventLog(made.path) as log:
                    assert f"question {number}" in {event.query for event in log.events()}

    asyncio.run(scene())


def test_no_answer_waits_while_recording_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(front_module, "_RECORD_SECONDS", 1e6)
    monkeypatch.setattr(recorder_module, "_BUSY_SECONDS", 0.01)
    (tmp_path / "events.db").mkdir()  # can't be opened

    async def scene() -> None:
        async with world(tmp_path, whole("all of it")) as (made, client):
            for _ in range(3):
                async with client.post(CHAT, data=request(HELLO)) as got:
                    assert b"all of it" in await got.read()
            assert made.recorder.figures().waiting == 3
            made.recorder.close(0)

    asyncio.run(scene())
