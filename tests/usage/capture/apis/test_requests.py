"""What another API's request says is what its translation says."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.growth import growth
from tests.support.usage.apis import TOOL_NAMES, chat_body, messages_body, responses_body
from topcoat.usage.capture.apis.chat_request import ChatRequest, Untranslatable
from topcoat.usage.capture.apis.messages_request import messages_to_chat
from topcoat.usage.capture.apis.recorded import request_turns
from topcoat.usage.capture.apis.responses_request import responses_to_chat
from topcoat.usage.events import ToolCall
from topcoat.usage.messages import turns_of
from topcoat.usage.turns import Spoken, boundaries

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="<#"), min_size=1, max_size=20)
VALUES = st.dictionaries(TEXTS, st.one_of(TEXTS, st.integers(), st.none(), st.lists(st.booleans())), max_size=3)


@st.composite
def dialogues(draw: st.DrawFn) -> list[Spoken]:
    """Questions, answers with parallel calls, and their results in any order, up to what the model has to answer."""
    turns = [Spoken("system", draw(TEXTS))] if draw(st.booleans()) else []
    number = 0
    for _ in range(draw(st.integers(0, 3))):
        turns.append(Spoken("user", draw(TEXTS)))
        for _ in range(draw(st.integers(0, 3))):
            calls = []
            for name in draw(st.lists(st.sampled_from(TOOL_NAMES), min_size=1, max_size=3)):
                number += 1
                calls.append(
                    ToolCall(id=f"c{number}", name=name, arguments=json.dumps(draw(VALUES), ensure_ascii=False))
                )
            words = draw(st.one_of(st.none(), TEXTS))
            turns.append(Spoken("assistant", words, tuple(calls), reasoning=draw(st.one_of(st.just(""), TEXTS))))
            turns += [Spoken("tool", draw(TEXTS), call_id=c.id) for c in draw(st.permutations(calls))]
        turns.append(Spoken("assistant", draw(TEXTS)))
    return [*turns, Spoken("user", draw(TEXTS))]


def said(request: ChatRequest) -> list[Spoken]:
    return [turn for message in request.body["messages"] for turn in turns_of(message)]


@given(dialogues())
def test_every_text_call_and_result_stays_in_its_place(turns: list[Spoken]) -> None:
    assert said(messages_to_chat(messages_body(turns))) == turns
    assert said(responses_to_chat(responses_body(turns))) == turns


@given(dialogues())
def test_the_recorder_reads_the_turns_that_the_model_is_asked(turns: list[Spoken]) -> None:
    bodies: dict[Any, dict[str, Any]] = {"messages": messages_body(turns), "responses": responses_body(turns)}
    for api, body in bodies.items():
        read = request_turns(api, body)
        assert [(turn.role, turn.call_id) for turn in read] == [(turn.role, turn.call_id) for turn in turns]
        assert boundaries(read) == boundaries(turns)


def test_tools_and_settings_are_those_of_a_chat_completion() -> None:
    turns = [Spoken("system", "S"), Spoken("user", "go")]
    chat = chat_body(turns)
    assert messages_to_chat(messages_body(turns)).body == chat
    assert responses_to_chat(responses_body(turns)).body == chat
    more = {"temperature": 0.5, "top_p": 0.9, "stream": True}
    streamed = {**chat, **more, "stream_options": {"include_usage": True}}
    asked = messages_to_chat({**messages_body(turns), **more, "top_k": 4, "stop_sequences": ["END"]})
    assert asked.body == {**streamed, "top_k": 4, "stop": ["END"]}
    assert responses_to_chat({**responses_body(turns), **more}).body == streamed
    assert not asked.notes


@pytest.mark.parametrize(
    ("choice", "chosen"),
    [
        ({"type": "auto"}, None),
        ({"type": "any"}, "required"),
        ({"type": "tool", "name": "run"}, {"type": "function", "function": {"name": "run"}}),
    ],
)
def test_a_choice_of_tools_is_translated(choice: dict[str, Any], chosen: Any) -> None:
    body = messages_body([Spoken("user", "go")])
    assert messages_to_chat({**body, "tool_choice": choice}).body.get("tool_choice") == chosen
    kinds = {"auto": "auto", "any": "required", "tool": {"type": "function", "name": "run"}}
    asked = responses_to_chat({**responses_body([Spoken("user", "go")]), "tool_choice": kinds[choice["type"]]})
    assert asked.body.get("tool_choice") == chosen


def test_no_tool_is_named_to_a_model_that_may_call_none() -> None:
    turns = [Spoken("user", "go")]
    assert "tools" not in messages_to_chat({**messages_body(turns), "tool_choice": {"type": "none"}}).body
    assert "tools" not in responses_to_chat({**responses_body(turns), "tool_choice": "none"}).body


def test_allowed_tools_are_the_only_ones() -> None:
    choice = {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "run"}]}
    body = responses_to_chat({**responses_body([Spoken("user", "go")]), "tool_choice": choice}).body
    assert [tool["function"]["name"] for tool in body["tools"]] == ["run"]
    assert body["tool_choice"] == "required"


def test_a_wish_for_one_call_at_a_time_is_kept() -> None:
    turns = [Spoken("user", "go")]
    choice = {"type": "auto", "disable_parallel_tool_use": True}
    assert messages_to_chat({**messages_body(turns), "tool_choice": choice}).body["parallel_tool_calls"] is False
    assert (
        responses_to_chat({**responses_body(turns), "parallel_tool_calls": False}).body["parallel_tool_calls"] is False
    )


def test_images_are_parts_of_a_users_message() -> None:
    source = {"type": "base64", "media_type": "image/png", "data": "AAAA"}
    blocks = [{"type": "text", "text": "what is this?"}, {"type": "image", "source": source}]
    (message,) = messages_to_chat({"max_tokens": 9, "messages": [{"role": "user", "content": blocks}]}).body["messages"]
    url = "data:image/png;base64,AAAA"
    assert message["content"] == [
        {"type": "text", "text": "what is this?"},
        {"type": "image_url", "image_url": {"url": url}},
    ]
    parts = [{"type": "input_text", "text": "what is this?"}, {"type": "input_image", "image_url": url}]
    (same,) = responses_to_chat({"input": [{"role": "user", "content": parts}]}).body["messages"]
    assert same == message


def test_what_stands_in_a_result_beside_text_is_named_in_its_place() -> None:
    found = [{"type": "text", "text": "one"}, {"type": "image", "source": {}}, {"type": "text", "text": "two"}]
    call = {"type": "tool_use", "id": "c", "name": "look", "input": {}}
    result = {"type": "tool_result", "tool_use_id": "c", "content": found, "is_error": True}
    messages = [{"role": "user", "content": "go"}, {"role": "assistant", "content": [call]}]
    asked = messages_to_chat({"max_tokens": 9, "messages": [*messages, {"role": "user", "content": [result]}]})
    assert asked.body["messages"][-1]["content"] == "one\n[image]\ntwo"
    assert set(asked.notes) == {
        "image of a result left out",
        "is_error of a result left out (its text tells it)",
    }


def test_later_system_messages_become_reminders_and_neighbours_one_message() -> None:
    """As Claude Code sends its first request, and Codex its first input."""
    messages = [
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
        {"role": "system", "content": "Agents: none."},
    ]
    asked = messages_to_chat({"max_tokens": 9, "system": [{"type": "text", "text": "S"}] * 2, "messages": messages})
    assert asked.body["messages"] == [
        {"role": "system", "content": "S\n\nS"},
        {"role": "user", "content": "ab\n\n<system-reminder>\nAgents: none.\n</system-reminder>"},
    ]
    items = [{"role": "developer", "content": "S"}, {"role": "user", "content": "a"}, {"role": "user", "content": "b"}]
    asked = responses_to_chat({"instructions": "S", "input": items})
    assert asked.body["messages"] == [{"role": "system", "content": "S\n\nS"}, {"role": "user", "content": "a\n\nb"}]


def test_custom_tools_are_functions_of_a_text() -> None:
    tools = [{"type": "custom", "name": "apply_patch", "format": {"type": "grammar", "syntax": "lark"}}]
    items: list[dict[str, Any]] = [
        {"role": "user", "content": "patch it"},
        {"type": "custom_tool_call", "call_id": "c", "name": "apply_patch", "input": "*** Begin"},
        {"type": "custom_tool_call_output", "call_id": "c", "output": "Done!"},
    ]
    asked = responses_to_chat({"input": items, "tools": tools})
    assert asked.tools.written == {"apply_patch"}
    assert asked.notes == {"grammar of tool apply_patch left out": 1}
    assert asked.body["tools"][0]["function"]["parameters"]["required"] == ["input"]
    (call,) = asked.body["messages"][1]["tool_calls"]
    assert json.loads(call["function"]["arguments"]) == {"input": "*** Begin"}


def test_tools_in_a_namespace_have_its_name_before_theirs() -> None:
    """As Codex sends those of MCP servers."""
    inner = {"type": "function", "name": "search", "parameters": {"type": "object"}}
    tools = [{"type": "namespace", "name": "mcp__docs", "description": "d", "tools": [inner, {"type": "odd"}]}]
    items = [
        {"role": "user", "content": "find it"},
        {"type": "function_call", "call_id": "c", "namespace": "mcp__docs", "name": "search", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": "found"},
    ]
    body = {"input": items, "tools": tools}
    asked = responses_to_chat(body)
    assert asked.tools.spaces == {"mcp__docs__search": ("mcp__docs", "search")}
    assert [tool["function"]["name"] for tool in asked.body["tools"]] == ["mcp__docs__search"]
    assert asked.notes == {"tool odd of type odd left out": 1}
    assert said(asked) == request_turns("responses", body)


def test_what_has_no_word_in_chat_completions_is_noted_by_name() -> None:
    asked = messages_to_chat(
        {
            **messages_body([Spoken("user", "go")]),
            "thinking": {"type": "adaptive"},
            "context_management": {"edits": []},
            "output_config": {"effort": "high"},
            "evil\nname": 1,
            "tools": [{"type": "web_search_20250305", "name": "web_search"}, "no tool"],
            "system": [{"type": "text", "text": "S", "cache_control": {"type": "ephemeral"}}],
        }
    )
    assert set(asked.notes) == {
        "thinking left out (the model's template decides)",
        "context_management left out",
        "output_config left out",
        "unnamed left out",
        "tool web_search of type web_search_20250305 left out",
        "tool none of type none left out",
        "cache_control of a block left out",
    }
    assert "tools" not in asked.body
    items: list[dict[str, Any]] = [{"role": "user", "content": "go"}, {"type": "web_search_call", "id": "w"}]
    items += [{"type": "reasoning", "encrypted_content": "x", "summary": []}]
    asked = responses_to_chat(
        {
            "input": items,
            "reasoning": {"effort": "high"},
            "include": ["reasoning.encrypted_content"],
            "text": {"verbosity": "low"},
            "tools": [{"type": "web_search"}, {"type": "namespace", "name": "mcp__x", "tools": []}],
            "store": True,
        }
    )
    assert set(asked.notes) == {
        "reasoning left out",
        "include left out",
        "text.verbosity left out",
        "tool web_search of type web_search left out",
        "tool mcp__x of type namespace left out",
        "item of type web_search_call left out",
        "encrypted reasoning left out",
    }


USER = {"role": "user", "content": "go"}
HALF = {"role": "assistant", "content": "The answer is"}


def block(kind: str, **fields: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": [{"type": kind, **fields}]}]}


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"messages": []}, "messages: must be a list of messages, and not empty"),
        ({"messages": "go"}, "messages: must be a list"),
        ({"messages": [USER], "max_tokens": None}, "max_tokens: must be a whole number, 1 or more"),
        ({"messages": [USER], "max_tokens": True}, "max_tokens: must be a whole number, 1 or more"),
        ({"messages": [USER], "mcp_servers": [{}]}, "mcp_servers: the model server runs no tools of its own"),
        ({"messages": [USER, HALF]}, "messages.1: a chat completion can't continue an answer"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages.0.role: must be user, assistant or system"),
        ({"messages": [{"role": "user"}]}, "messages.0.content: must be a text or a list of blocks"),
        ({"messages": ["go"]}, "messages.0: must be a JSON object"),
        ({"messages": [USER], "system": [{"type": "image"}]}, "system.0: must be a text block"),
        ({"messages": [USER], "system": 7}, "system: must be a list"),
        ({"messages": [USER], "tools": {}}, "tools: must be a list"),
        ({"messages": [USER], "tool_choice": {"type": "any"}}, "tool_choice: no tool is left"),
        (block("document", source={}), "messages.0.content.0: a block of type document can't be said"),
        (block("<b>\n"), "messages.0.content.0: a block of type unnamed can't be said"),
        (block("text"), "messages.0.content.0.text: must be a text"),
        (block("image", source={"type": "file", "file_id": "f"}), "an image of source file isn't there"),
        (block("image", source="x"), "messages.0.content.0.source: must be a JSON object"),
        (block("tool_result", content="x"), "messages.0.content.0.tool_use_id: must be a text"),
        (block("tool_result", tool_use_id="c", content=["x"]), "messages.0.content.0.content.0: must be a JSON object"),
    ],
)
def test_what_a_chat_completion_can_not_say_is_refused_with_its_place(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(Untranslatable) as refused:
        messages_to_chat({"max_tokens": 9, **fields})
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"input": []}, "input: must say something"),
        ({"input": 7}, "input: must be a list"),
        ({"input": ["go"]}, "input.0: must be a JSON object"),
        ({"input": "go", "previous_response_id": "r"}, "previous_response_id: topcoat keeps no responses"),
        ({"input": "go", "conversation": "c"}, "conversation: topcoat keeps no conversations"),
        ({"input": "go", "background": True}, "background: topcoat answers"),
        ({"input": "go", "tool_choice": "required"}, "tool_choice: no tool is left"),
        ({"input": "go", "tools": 7}, "tools: must be a list"),
        ({"input": "go", "text": 7}, "text: must be a JSON object"),
        ({"input": [{"type": "item_reference", "id": "i"}]}, "input.0: an item of type item_reference can't be said"),
        ({"input": [{"role": "user", "content": [{"type": "input_file"}]}]}, "a part of type input_file can't be said"),
        ({"input": [{"role": "robot", "content": "x"}]}, "input.0.role: must be user"),
        ({"input": [{"type": "function_call", "name": "f"}]}, "input.0.call_id: must be a text"),
        ({"input": [{"type": "reasoning", "summary": ["x"]}]}, "input.0.summary.0: must be a JSON object"),
        (
            {"input": [{"role": "developer", "content": [{"type": "input_image", "image_url": "u"}]}]},
            "input.0.content: only a user's message can hold an image",
        ),
    ],
)
def test_what_a_chat_completion_can_not_say_is_refused_as_an_item(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(Untranslatable) as refused:
        responses_to_chat(fields)
    assert said in str(refused.value)


@pytest.mark.parametrize("arguments", ["", "{", "[1]", '"x"', "NaN"])
def test_arguments_that_are_no_object_become_one(arguments: str) -> None:
    """A model's server reads the arguments of earlier calls. A broken call must not end the dialogue."""
    items = [USER, {"type": "function_call", "call_id": "c", "name": "f", "arguments": arguments}]
    items += [{"type": "function_call_output", "call_id": "c", "output": "no JSON"}]
    asked = responses_to_chat({"input": items})
    (call,) = asked.body["messages"][1]["tool_calls"]
    read = json.loads(call["function"]["arguments"])
    assert read == ({"arguments": arguments} if arguments else {})
    assert bool(asked.notes) == bool(arguments)


def _asked(unit: str) -> Sequence[Any]:
    blocks = [{"type": "text", "text": "x" * 20}] * len(unit)
    messages = [{"role": "user", "content": "x"}, {"role": "assistant", "content": blocks}, USER]
    return messages_to_chat({"max_tokens": 9, "messages": [*messages, *([USER] * len(unit))]}).body["messages"]


def test_joining_is_linear() -> None:
    assert growth(_asked, "x", 40_000) < 1.5
