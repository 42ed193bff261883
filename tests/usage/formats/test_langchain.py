from __future__ import annotations

from typing import Any

import pytest

from tests.support.usage.reading import dialogues_of, lines_read

CALL = {"name": "set_lamp", "args": {"room": "den"}, "id": "c1", "type": "tool_call"}
MESSAGES: list[tuple[str, dict[str, Any]]] = [
    ("System", {"content": "You help."}),
    ("Human", {"content": "Lamps on"}),
    ("AI", {"content": "Yes.", "tool_calls": [CALL]}),
    ("Tool", {"content": "no such room", "tool_call_id": "c1", "status": "error"}),
    ("AI", {"content": "No."}),
]


def dumped(name: str, fields: dict[str, Any]) -> dict[str, Any]:
    """As langchain_core.load.dumpd writes it."""
    kwargs = {**fields, "type": name.lower()}
    return {
        "lc": 1,
        "type": "constructor",
        "id": ["langchain", "schema", "messages", f"{name}Message"],
        "kwargs": kwargs,
    }


def flat(name: str, fields: dict[str, Any]) -> dict[str, Any]:
    """As a message's model_dump gives it."""
    return {**fields, "type": name.lower(), "additional_kwargs": {}, "response_metadata": {}}


def run(asked: list[Any], outputs: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A run of LangSmith."""
    tools = [{"type": "function", "function": {"name": "set_lamp", "parameters": {"type": "object"}}}]
    extra = {"invocation_params": {"model": "coat", "tools": tools}, "metadata": {"thread_id": "talk"}}
    base = {"run_type": "llm", "trace_id": "t", "start_time": "2026-11-01T10:00:00", "extra": extra}
    return {**base, "inputs": {"messages": asked}, "outputs": outputs, **more}


DUMPED = [dumped(*message) for message in MESSAGES]
OPENAI_CALL = {"id": "c1", "type": "function", "function": {"name": "set_lamp", "arguments": '{"room": "den"}'}}
OPENAI = [
    {"role": "system", "content": "You help."},
    {"role": "user", "content": "Lamps on"},
    {"role": "assistant", "content": "Yes.", "tool_calls": [OPENAI_CALL]},
    {"role": "tool", "tool_call_id": "c1", "content": "Error: no such room"},
]
GENERATED = {"generations": [[{"text": "No.", "type": "ChatGeneration", "message": DUMPED[-1]}]]}


@pytest.mark.parametrize(
    "document",
    [
        DUMPED,
        {"messages": DUMPED},
        {"messages": [flat(*message) for message in MESSAGES]},
        run([DUMPED[:-1]], GENERATED),
        run(OPENAI, {"choices": [{"message": {"role": "assistant", "content": "No."}, "finish_reason": "stop"}]}),
        run(OPENAI, {"messages": [*OPENAI, {"role": "assistant", "content": "No."}]}),
    ],
)
def test_a_dialogue_in_each_form(document: Any) -> None:
    form, (dialogue,), report = lines_read([document])
    assert (form, report.mistakes) == ("langchain", [])
    turns = dialogue.turns
    assert [turn.role for turn in turns] == ["system", "user", "assistant", "tool", "assistant"]
    assert (turns[1].content, turns[2].content, turns[4].content) == ("Lamps on", "Yes.", "No.")
    assert [(call.id, call.name, call.meant) for call in turns[2].calls] == [("c1", "set_lamp", {"room": "den"})]
    assert turns[3].failed is True or str(turns[3].content).startswith("Error")


def test_a_run_names_its_thread_its_model_and_its_tools() -> None:
    (dialogue,) = dialogues_of(run([DUMPED[:-1]], GENERATED))
    assert (dialogue.session, dialogue.trace, dialogue.model) == ("talk", "t", "coat")
    assert dialogue.tools == [{"type": "function", "function": {"name": "set_lamp", "parameters": {"type": "object"}}}]
    assert dialogue.time is not None


def test_runs_that_ask_no_model_are_passed_over_and_a_prompt_as_text_is_named() -> None:
    chain = run([], {}, run_type="chain")
    text = {**run([], {}), "inputs": {"prompts": ["Human: hello"]}}
    _, dialogues, report = lines_read([chain, text, run([DUMPED[:2]], {})])
    assert len(dialogues) == 1
    assert report.passed == {"run of type chain": 1}
    assert report.mistakes[0].message == "not langchain: inputs: has no messages; its keys are prompts"
