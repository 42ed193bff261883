"""Episodes against a server."""

from __future__ import annotations

import json
from pathlib import Path

from tests.support.chat_server import Handler, message, serving
from tests.support.shop_episodes import CATALOG, RESULTS, suite_of
from topcoat.progress import Silent
from topcoat.spec.agent import Agent
from topcoat.suites.endpoint import Endpoint
from topcoat.suites.endpoints import Endpoints
from topcoat.suites.evaluate import evaluate


def model(handler: Handler) -> None:
    """Calls order until it sees a result, and says its status."""
    last = handler.body["messages"][-1]
    if last["role"] == "tool":
        handler.send(200, message(content=f"It is {json.loads(last['content'])['status']}."))
    else:
        call = {"id": "x", "type": "function", "function": {"name": "order", "arguments": '{"number": 7}'}}
        handler.send(200, message("tool_calls", content=None, tool_calls=[call]))


def test_a_server_gets_results_by_the_ids_of_their_calls(tmp_path: Path) -> None:
    agent = Agent(CATALOG, calls="native")
    turn = {"user": "Is order 7 paid?", "expect": {"calls": [{"tool": "order"}], "regex": "paid"}}
    suite = suite_of(tmp_path, agent, {"turns": [turn, turn], "results": RESULTS})
    with serving(model) as server:
        (score,) = evaluate(Endpoint(server.url, "m"), suite, agent, Silent(), "m").scores
    assert (score.value, score.reason) == (1.0, "every turn as expected")
    messages = server.bodies[-1]["messages"]
    assert " ".join(turn["role"] for turn in messages) == "user assistant tool assistant user assistant tool"
    calls = [call for turn in messages for call in turn.get("tool_calls", ())]
    assert [call["function"]["arguments"] for call in calls] == ['{"number": 7}'] * 2
    assert [turn["tool_call_id"] for turn in messages if turn["role"] == "tool"] == [call["id"] for call in calls]
    assert len({call["id"] for call in calls}) == 2
    assert len(server.bodies[-1]["tools"]) == 3


def test_an_episode_stays_with_one_of_several_servers(tmp_path: Path) -> None:
    agent = Agent(CATALOG, calls="native")
    turn = {"user": "Is order 7 paid?", "expect": {"calls": [{"tool": "order"}], "regex": "paid"}}
    turns = [[{**turn, "user": f"{number}: is order 7 paid?"}, turn] for number in range(6)]
    suite = suite_of(tmp_path, agent, *({"turns": two, "results": RESULTS} for two in turns))
    with serving(model) as one, serving(model) as other:
        asked = Endpoints([Endpoint(server.url, "m") for server in (one, other)])
        result = evaluate(asked, suite, agent, Silent(), "m")
    assert [score.value for score in result.scores] == [1.0] * 6
    beginnings = [[body["messages"][0]["content"] for body in server.bodies] for server in (one, other)]
    assert [len(begun) for begun in beginnings] == [12, 12]
    assert [len({*begun}) for begun in beginnings] == [3, 3]
    assert [(record.cases, record.answers) for record in asked.asked] == [(3, 12), (3, 12)]
