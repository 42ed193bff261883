"""What several servers list as their models, and what follows."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.support.chat_server import Act, Server, echo, serving
from tests.support.recorder import Recorder
from topcoat.errors import InvalidInput
from topcoat.progress import Note
from topcoat.suites.endpoint import Endpoint
from topcoat.suites.endpoints import Endpoints
from topcoat.suites.source import Question

Lists = tuple[Sequence[str] | None, Sequence[str] | None]


def ask(lists: Lists, model: str = "m", act: Act = echo) -> tuple[list[Server], list[Note]]:
    sink = Recorder()
    with serving(act, models=lists[0]) as one, serving(echo, models=lists[1]) as other:
        asked = Endpoints([Endpoint(server.url, model, timeout=0.5) for server in (one, other)])
        asked.ask([Question(f"case{i}", [{"role": "user", "content": f"say {i}"}], 5) for i in range(8)], sink)
    return [one, other], [event for event in sink.events if isinstance(event, Note)]


@pytest.mark.parametrize(
    ("lists", "model"),
    [
        ((["m"], ["m"]), "m"),
        ((["m", "n"], ["o", "m"]), "m"),
        ((["qwen:latest"], ["qwen:latest", "x"]), "qwen"),
        ((["one.gguf"], ["one.gguf"]), "m"),
        ((["/home/a/Qwen3-4B"], ["/Users/b/models/Qwen3-4B/"]), "default_model"),
        ((["mlx-community/Qwen3-4B"], ["/Users/b/Qwen3-4B"]), "default_model"),
        (([r"C:\models\one.gguf"], ["/models/one.gguf"]), "m"),
    ],
)
def test_the_same_model_is_asked_at_both(lists: Lists, model: str) -> None:
    servers, said = ask(lists, model)
    assert said == []
    assert all(server.bodies for server in servers)


def test_a_server_with_another_model_is_left_out() -> None:
    (one, other), said = ask((["x", "y", "z", "a"], ["m"]))
    assert (len(one.bodies), len(other.bodies)) == (0, 8)
    assert said == [Note(f"{one.url}/v1 is left out: it has x, y, z, ..., and others have m", warning=True)]


@pytest.mark.parametrize("lists", [(["x"], ["y"]), (["a/m"], ["b/m"]), (["/home/a/m-4bit"], ["/home/a/m-8bit"])])
def test_servers_with_different_models_are_refused_before_anything_is_asked(lists: Lists) -> None:
    with serving(echo, models=lists[0]) as one, serving(echo, models=lists[1]) as other:
        with pytest.raises(InvalidInput) as caught:
            Endpoints([Endpoint(server.url, "default_model") for server in (one, other)]).ask(
                [Question("a", [{"role": "user", "content": "a"}], 1)], Recorder()
            )
        assert one.bodies + other.bodies == []
    found = f"{one.url}/v1 has {(lists[0] or '')[0]}; {other.url}/v1 has {(lists[1] or '')[0]}"
    assert caught.value.message == f"the servers have different models, and their answers would be mixed: {found}"
    assert f"--endpoint {other.url}/v1 --model {(lists[1] or '')[0]}" in (caught.value.hint or "")


@pytest.mark.parametrize("lists", [(None, ["m"]), ([], ["m"]), (["x", "y"], ["z"])])
def test_what_can_not_be_told_is_said(lists: Lists) -> None:
    servers, said = ask(lists)
    assert said == [
        Note(f"whether it is the same model can't be told: which one answers at {servers[0].url}/v1 isn't listed there")
    ]
    assert all(server.bodies for server in servers)


def test_nothing_is_said_of_a_server_that_does_not_answer() -> None:
    with serving(echo) as gone:
        pass
    sink = Recorder()
    with serving(echo, models=["m"]) as server:
        asked = Endpoints([Endpoint(one.url, "m", pause=0) for one in (gone, server)])
        asked.ask([Question(f"{i}", [{"role": "user", "content": f"{i}"}], 5) for i in range(9)], sink)
    assert [event.warning for event in sink.events if isinstance(event, Note)] == [True]


def test_the_models_are_compared_once() -> None:
    sink = Recorder()
    with serving(echo) as one, serving(echo, models=["m"]) as other:
        asked = Endpoints([Endpoint(server.url, "m") for server in (one, other)])
        for _ in range(3):
            asked.ask([Question("a", [{"role": "user", "content": "a"}], 1)], sink)
    assert len([event for event in sink.events if isinstance(event, Note)]) == 1
