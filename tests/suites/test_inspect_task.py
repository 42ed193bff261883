"""A suite as Inspect runs it: with a model that answers as told, from the question to the log."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.chat_server import Handler, serving
from tests.support.fake_project import opened
from topcoat.engine.fake import FakeEngine
from topcoat.errors import InvalidInput, Where
from topcoat.project.starting import init_project

inspect_ai = pytest.importorskip("inspect_ai", reason="the extra is not installed: pip install 'topcoat[inspect]'")
pytestmark = pytest.mark.filterwarnings("ignore")  # Inspect leaves streams open, and uses what others deprecate

from inspect_ai import model as inspect_model  # noqa: E402
from inspect_ai.log import EvalLog  # noqa: E402

from topcoat.suites.inspect_task import answer_text, suite  # noqa: E402

RIGHT = "<tool_call><function=execute_code>\n<parameter=code>\nprint({code})\n</parameter>\n</function></tool_call>"
CASES: list[dict[str, Any]] = [
    {"id": "read-1", "category": "text_tools", "prompt": "Open a.py", "expect": {"calls": [{"tool": "read_file"}]}},
    {"id": "read-2", "category": "text_tools", "prompt": "Open b.py", "expect": {"calls": [{"tool": "read_file"}]}},
    {
        "id": "run-1",
        "category": "domain",
        "prompt": "Types of a.py",
        "expect": {"calls": [{"tool": "typecheck", "args": {"path": "a.py"}}]},
        "scorer": "run",
        "max_tokens": 77,
    },
    {
        "id": "talk-1",
        "category": "talk",
        "messages": [
            {"role": "user", "content": "Status?"},
            {"role": "assistant", "tool_calls": [{"id": "c1", "function": {"name": "git_status", "arguments": "{}"}}]},
            {"role": "tool", "content": "clean", "tool_call_id": "c1"},
        ],
        "expect": {"exact": "It is clean."},
        "scorer": "exact",
    },
    {"id": "later-1", "category": "talk", "prompt": "?", "expect": {"calls": []}, "reserve": True},
]
ANSWERS = {
    "Open a.py": RIGHT.format(code='read_file("a.py")'),
    "Open b.py": "I would rather not.",
    "Types of a.py": RIGHT.format(code='typecheck("a.py").errors'),
    "clean": "It is clean.",
}


@pytest.fixture
def project(fake_project: Path) -> Path:
    lines = "".join(json.dumps(case) + "\n" for case in CASES)
    (fake_project / "suites" / "routing.jsonl").write_text(lines)
    return fake_project


def evaluated(project: Path, logs: Path) -> tuple[EvalLog, list[tuple[list[Any], Any]]]:
    """The log of an evaluation, and what the model was asked with which configuration."""
    asked: list[tuple[list[Any], Any]] = []

    def reply(messages: list[Any], tools: object, choice: object, config: Any) -> Any:
        asked.append((messages, config))
        output = inspect_model.ModelOutput.from_content("mockllm/model", ANSWERS[messages[-1].text])
        output.usage = inspect_model.ModelUsage()  # else Inspect downloads a tokenizer to count
        return output

    mock = inspect_model.get_model("mockllm/model", custom_outputs=reply)
    (log,) = inspect_ai.eval(suite(str(project)), model=mock, log_dir=str(logs), display="none")
    return log, asked


def test_scores_are_topcoats_own_with_their_reasons(project: Path, tmp_path: Path) -> None:
    log, asked = evaluated(project, tmp_path)
    assert log.status == "success", log.error
    scores = {str(sample.id): sample.scores["score_of_case"] for sample in log.samples or ()}
    assert {name: score.value for name, score in scores.items()} == {
        "read-1": 1.0,
        "read-2": 0.0,
        "run-1": 1.0,
        "talk-1": 1.0,
    }
    assert scores["read-1"].explanation == "read_file through execute_code"
    assert scores["read-2"].explanation == "no call, expected read_file"
    assert scores["read-2"].answer == "I would rather not."
    metrics = {name: metric.value for score in log.results.scores for name, metric in score.metrics.items()}
    assert {name: metrics[name] for name in ("text_tools", "domain", "talk", "all cases")} == {
        "text_tools": 0.5,
        "domain": 1.0,
        "talk": 1.0,
        "all cases": 0.75,
    }
    assert len(asked) == 4


def test_the_questions_are_those_of_topcoat(project: Path, tmp_path: Path) -> None:
    _, asked = evaluated(project, tmp_path)
    with opened(project) as session:
        prompt, cases = session.settings.system_prompt, session.suite.cases
    questions = {messages[-1].text: (messages, config) for messages, config in asked}
    for case in cases[:3]:
        messages, config = questions[case.text]
        assert [(m.role, m.text) for m in messages] == [(t["role"], t["content"]) for t in case.dialogue(prompt)]
        assert (config.temperature, config.max_tokens) == (0.0, case.max_tokens)
    turns = questions["clean"][0]
    assert [turn.role for turn in turns] == ["system", "user", "assistant", "tool"]
    assert (turns[2].tool_calls[0].function, turns[3].tool_call_id) == ("git_status", "c1")


def test_what_a_provider_took_apart_is_put_back() -> None:
    from inspect_ai.tool import ToolCall

    message = inspect_model.ChatMessageAssistant(
        content=[inspect_model.ContentReasoning(reasoning="hm"), inspect_model.ContentText(text="So:")],
        tool_calls=[ToolCall(id="1", function="execute_code", arguments={"code": "x()"})],
    )
    assert answer_text(message) == (
        '<think>hm</think>\nSo:\n<tool_call>{"name": "execute_code", "arguments": {"code": "x()"}}</tool_call>'
    )


TOOLS: list[dict[str, Any]] = [
    {
        "name": "set-heat",
        "description": "Heat a room.",
        "inputSchema": {
            "type": "object",
            "properties": {
                "room": {"type": "string", "minLength": 2, "title": "Room"},
                "degrees": {"type": "integer", "multipleOf": 5, "description": "In Celsius."},
                "mode": {"oneOf": [{"const": "day"}, {"const": "night"}]},
                "plan": {"type": "array", "items": {"type": "object", "properties": {"at": {"type": "string"}}}},
                "unit": {"$ref": "#/$defs/unit"},
            },
            "required": ["room"],
            "$defs": {"unit": {"enum": ["C", "F"]}},
        },
    }
]
NATIVE_CASES: list[dict[str, Any]] = [
    {
        "id": "heat-1",
        "category": "c",
        "prompt": "right",
        "expect": {"calls": [{"tool": "set-heat", "args": {"room": "a1"}}]},
    },
    {
        "id": "heat-2",
        "category": "c",
        "prompt": "wrong",
        "expect": {"calls": [{"tool": "set-heat", "args": {"room": "a1"}}]},
    },
    {"id": "quiet-1", "category": "c", "prompt": "quiet", "expect": {"calls": []}},
    {"id": "quiet-2", "category": "c", "prompt": "broken", "expect": {"calls": []}},
    {
        "id": "own-1",
        "category": "c",
        "messages": [
            {"role": "user", "content": "first"},
            {"role": "assistant", "tool_calls": [{"function": {"name": "look", "arguments": {"at": 1}}}]},
            {"role": "tool", "content": "own"},
        ],
        "tools": [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}],
        "expect": {"calls": [{"tool": "look"}]},
    },
]
NATIVE_ANSWERS: dict[str, list[tuple[str, dict[str, Any], str | None]]] = {
    "right": [("set-heat", {"room": "a1"}, None)],
    "wrong": [("set-heat", {"room": "a2"}, None)],
    "quiet": [],
    "broken": [("set-heat", {}, "not JSON")],
    "own": [("look", {}, None)],
}


@pytest.fixture
def native_project(tmp_path: Path) -> Path:
    FakeEngine.create(tmp_path / "base", [])
    (tmp_path / "mine.json").write_text(json.dumps(TOOLS))
    init_project(tmp_path / "agent", str(tmp_path / "base"), catalog=tmp_path / "mine.json")
    lines = "".join(json.dumps({**case, "scorer": "calls"}) + "\n" for case in NATIVE_CASES)
    (tmp_path / "agent" / "suites" / "routing.jsonl").write_text(lines)
    return tmp_path / "agent"


def test_a_native_project_gives_its_tools_and_scores_native_calls(native_project: Path, tmp_path: Path) -> None:
    from inspect_ai.tool import ToolCall

    asked: dict[str, tuple[list[Any], list[Any], Any]] = {}

    def reply(messages: list[Any], tools: list[Any], choice: object, config: Any) -> Any:
        words = messages[-1].text
        asked[words] = messages, tools, config
        calls = [ToolCall(id="1", function=f, arguments=a, parse_error=e) for f, a, e in NATIVE_ANSWERS[words]]
        output = inspect_model.ModelOutput.from_content("mockllm/model", "" if calls else "No.")
        output.choices[0].message.tool_calls = calls or None
        output.usage = inspect_model.ModelUsage()
        return output

    mock = inspect_model.get_model("mockllm/model", custom_outputs=reply)
    (log,) = inspect_ai.eval(suite(str(native_project)), model=mock, log_dir=str(tmp_path), display="none")
    assert log.status == "success", log.error
    scores = {str(sample.id): sample.scores["score_of_case"].value for sample in log.samples or ()}
    assert scores == {"heat-1": 1.0, "heat-2": 0.0, "quiet-1": 1.0, "quiet-2": 0.0, "own-1": 1.0}
    _, (tool,), config = asked["right"]
    assert (config.temperature, config.max_tokens) == (0.0, 256)
    assert (tool.name, tool.parameters.required) == ("set-heat", ["room"])
    assert tool.description == 'Heat a room. {"$defs": {"unit": {"enum": ["C", "F"]}}}'
    given = {name: part.model_dump(exclude_none=True) for name, part in tool.parameters.properties.items()}
    assert given == {
        "room": {"type": "string", "minLength": 2},
        "degrees": {"type": "integer", "description": 'In Celsius. {"multipleOf": 5}'},
        "mode": {"anyOf": [{"enum": ["day"]}, {"enum": ["night"]}]},
        "plan": {"type": "array", "items": {"type": "object", "properties": {"at": {"type": "string"}}}},
        "unit": {"description": '{"$ref": "#/$defs/unit"}'},
    }
    messages, (own,), _ = asked["own"]
    assert own.name == "look"
    assert messages[-1].tool_call_id == messages[-2].tool_calls[0].id


def chat(handler: Handler) -> None:
    """An answer with everything that OpenAI's client asks of one."""
    answer = {"role": "assistant", "content": ANSWERS[handler.body["messages"][-1]["content"]]}
    document = {
        "id": "1",
        "object": "chat.completion",
        "created": 0,
        "model": "m",
        "choices": [{"index": 0, "message": answer, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    }
    handler.send(200, json.dumps(document).encode(), Content_Type="application/json")


def test_the_command_of_inspect_asks_a_server_and_writes_a_log_for_its_viewer(project: Path, tmp_path: Path) -> None:
    module = Path(__file__).parents[2] / "src/topcoat/suites/inspect_task.py"
    command = [sys.executable, "-m", "inspect_ai", "eval", f"{module}@suite", "-T", f"project={project}"]
    options = ["--log-dir", str(tmp_path / "logs"), "--log-format", "json", "--display", "none"]
    with serving(chat) as server:
        done = subprocess.run(
            [*command, "--model", "openai-api/local/m", *options],
            env={**os.environ, "LOCAL_API_KEY": "none", "LOCAL_BASE_URL": f"{server.url}/v1"},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        bodies = server.bodies
    assert done.returncode == 0, done.stderr
    (path,) = (tmp_path / "logs").glob("*.json")
    log = json.loads(path.read_text())
    assert log["status"] == "success"
    scores = {sample["id"]: sample["scores"]["score_of_case"] for sample in log["samples"]}
    assert {name: (score["value"], score["explanation"]) for name, score in scores.items()} == {
        "read-1": (1.0, "read_file through execute_code"),
        "read-2": (0.0, "no call, expected read_file"),
        "run-1": (1.0, "every expected call, in order"),
        "talk-1": (1.0, "the expected text"),
    }
    assert {(body["temperature"], body["max_tokens"]) for body in bodies} == {(0.0, 256), (0.0, 77)}
    assert not any(body.get("tools") for body in bodies)


def test_episodes_are_refused_with_the_reason(project: Path) -> None:
    path = project / "suites" / "routing.jsonl"
    case = {"id": "long-1", "category": "talk", "prompt": "?", "max_steps": 3, "expect": {"calls": []}}
    path.write_text(f"{path.read_text()}{json.dumps(case)}\n")
    with pytest.raises(InvalidInput, match=r"1 case of the suite is an episode \(long-1\)") as caught:
        suite(str(project))
    assert caught.value.where == Where(path, len(CASES) + 1)
