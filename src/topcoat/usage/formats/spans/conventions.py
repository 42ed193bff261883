"""What was said to a model and what it answered, in the conventions of OpenTelemetry's instrumentations.

gen_ai.input.messages, gen_ai.output.messages     GenAI's conventions, in spans and in their event of details
gen_ai.prompt.0.content, ...                      OpenLLMetry's, until 2025
llm.input_messages.0.message.content, ...         OpenInference
gen_ai.user.message, gen_ai.choice, ...           GenAI's earlier conventions: events of a span, or log records
events, all_messages_events                       the same as JSON in an attribute: pydantic-ai, logfire
request_data, response_data                       logfire
ai.prompt.messages, ai.response.toolCalls         Vercel's AI SDK
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from topcoat.usage.events import ToolCall
from topcoat.usage.formats.gathered import Gathered
from topcoat.usage.formats.shapes import Json, as_json, object_of, parts_of, text_in
from topcoat.usage.formats.spans.flat import flat_tools, messages_under
from topcoat.usage.messages import answers_beside, turns_of
from topcoat.usage.turns import Spoken, spoken

__all__ = ["CONVENTIONS", "Exchange", "Failures", "asked_in_events"]

Failures = Mapping[str, str]
"""The errors of failed calls, by their ids."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """The turns of a request, the answers to it, and its tools as they are written."""

    asked: list[Spoken]
    answers: list[list[Spoken]]
    tools: Any = None


def _list(value: object) -> list[Json]:
    """A list of objects, which may be written as JSON text. Raises `ValueError`."""
    value = as_json(value)
    if value is not None and not isinstance(value, list):
        raise ValueError("messages: must be a list")
    return [object_of(item, "a message") for item in value or ()]


def _genai(attributes: Json, failed: Failures) -> Exchange | None:
    asked, output = _list(attributes.get("gen_ai.input.messages")), _list(attributes.get("gen_ai.output.messages"))
    if not asked and not output:
        asked = _list(attributes.get("pydantic_ai.all_messages"))
    if not asked and not output:
        return None
    system = "".join(part.get("content", "") for part in _list(attributes.get("gen_ai.system_instructions")))
    turns = [Spoken("system", system)] if system and (not asked or asked[0].get("role") != "system") else []
    for message in asked:
        turns += _parted(message, failed)
    return Exchange(turns, [_parted(choice, failed) for choice in output], attributes.get("gen_ai.tool.definitions"))


def _parted(message: Json, failed: Failures) -> list[Spoken]:
    """The turns of a message with parts. Results are parts of it, and each becomes a turn of its own."""
    said = Gathered()
    for part in parts_of(message):
        kind = part.get("type")
        if kind == "tool_call_response":
            call, tool = str(part.get("id") or ""), str(part.get("name") or "")
            returned = failed.get(call, part.get("response", part.get("result")))
            said.add(Spoken("tool", returned, call_id=call, tool=tool, failed=True if call in failed else None))
        elif kind == "tool_call":
            said.calls.append(ToolCall.given(part.get("id"), part.get("name"), part.get("arguments")))
        elif kind in ("reasoning", "thinking"):
            said.thoughts.append(str(part.get("content") or ""))
        else:
            said.words.append(str(part.get("content") or "") if kind == "text" else f"[{kind}]")
    said.end(str(message.get("finish_reason") or ""))
    role = spoken({"role": message.get("role")}).role
    return [turn if turn.role == "tool" else replace(turn, role=role) for turn in said.turns]


def _openllmetry(attributes: Json, failed: Failures) -> Exchange | None:
    asked = messages_under(attributes, "gen_ai.prompt") or messages_under(attributes, "llm.prompts")
    output = messages_under(attributes, "gen_ai.completion") or messages_under(attributes, "llm.completions")
    if not asked and not output:
        return None
    return Exchange(_turns(asked, failed), [_answer(choice) for choice in output], flat_tools(attributes))


def _openinference(attributes: Json, failed: Failures) -> Exchange | None:
    asked, output = messages_under(attributes, "llm.input_messages"), messages_under(attributes, "llm.output_messages")
    if not asked and not output:
        return None
    answers = [_answer(choice) for choice in output]
    if '"choices"' not in str(attributes.get("output.value")):  # the messages are the pieces of one answer
        answers = [_one(answers)] if answers else []
    return Exchange(_turns(asked, failed), answers, flat_tools(attributes))


def _one(answers: Sequence[Sequence[Spoken]]) -> list[Spoken]:
    said = Gathered()
    for turn in (turn for answer in answers for turn in answer):
        said.words += [turn.content] if turn.content else []
        said.thoughts += [turn.reasoning] if turn.reasoning else []
        said.calls += turn.calls
        said.finish = turn.finish or said.finish
    said.end()
    return said.turns


def _turns(messages: Sequence[Json], failed: Failures) -> list[Spoken]:
    turns = [turn for message in messages for turn in turns_of(message)]
    return [replace(t, content=failed[t.call_id], failed=True) if t.call_id in failed else t for t in turns]


def _answer(message: Json) -> list[Spoken]:
    turns = turns_of({**message, "role": "assistant"})
    finish = str(message.get("finish_reason") or "")
    return [*turns[:-1], replace(turns[-1], finish=finish)] if turns else []


def asked_in_events(events: Sequence[tuple[str, Json]], failed: Failures) -> Exchange | None:
    """The exchange in events or log records, each with its name and its fields."""
    asked: list[Spoken] = []
    answers: list[list[Spoken]] = []
    found = False
    for name, fields in events:
        known = _EVENTS.get(name)
        if known is None:
            continue
        found = True
        if known == "choice":
            message = as_json(fields.get("message"))
            message = (
                message if isinstance(message, dict) else {"content": fields.get("content", message), **_calls(fields)}
            )
            answers.append(_answer({**_said(message), "finish_reason": fields.get("finish_reason")}))
        elif known in ("prompt", "completion"):
            told = as_json(fields.get(f"gen_ai.{known}"))
            messages = [object_of(m, "a message") for m in (told if isinstance(told, list) else [told])]
            answers += [_answer(m) for m in messages] if known == "completion" else []
            asked += _turns(messages, failed) if known == "prompt" else []
        else:
            asked += _turns([{**_said(fields), "role": fields.get("role") or known}], failed)
    return Exchange(asked, answers) if found else None


_EVENTS = {
    "gen_ai.system.message": "system",
    "gen_ai.user.message": "user",
    "gen_ai.assistant.message": "assistant",
    "gen_ai.tool.message": "tool",
    "gen_ai.choice": "choice",
    "gen_ai.content.prompt": "prompt",
    "gen_ai.content.completion": "completion",
}


def _calls(fields: Json) -> dict[str, Any]:
    return {"tool_calls": fields["tool_calls"]} if fields.get("tool_calls") else {}


def _said(fields: Json) -> dict[str, Any]:
    """The fields of an event as a message in OpenAI's form. A tool's `id` is that of the call."""
    calls = as_json(fields.get("tool_calls"))
    content = fields.get("content")
    if isinstance(content, list):
        content = text_in(content)
    elif content is not None and not isinstance(content, str):
        content = str(content)
    return {
        **fields,
        "content": content,
        "tool_calls": calls,
        "tool_call_id": fields.get("tool_call_id") or fields.get("id"),
    }


def _logfire(attributes: Json, failed: Failures) -> Exchange | None:
    events = as_json(attributes.get("events") or attributes.get("all_messages_events"))
    if isinstance(events, list):
        return asked_in_events([(str(e.get("event.name")), e) for e in events if isinstance(e, dict)], failed)
    request, response = as_json(attributes.get("request_data")), as_json(attributes.get("response_data"))
    if not isinstance(request, dict) or not isinstance(request.get("messages"), list):
        return None
    asked = _turns([object_of(m, "a message") for m in request["messages"]], failed)
    answers = answers_beside({"response": response}) if isinstance(response, dict) else []
    return Exchange(asked, answers, request.get("tools"))


def _vercel(attributes: Json, failed: Failures) -> Exchange | None:
    if "ai.prompt.messages" not in attributes:
        return None
    asked = [turn for message in _list(attributes["ai.prompt.messages"]) for turn in _of_sdk(message)]
    said = Gathered()
    said.words += [str(attributes["ai.response.text"])] if attributes.get("ai.response.text") else []
    said.thoughts += [str(attributes["ai.response.reasoning"])] if attributes.get("ai.response.reasoning") else []
    said.calls += [_call_of_sdk(call) for call in _list(attributes.get("ai.response.toolCalls"))]
    said.end(str(attributes.get("ai.response.finishReason") or ""))
    return Exchange(asked, [said.turns] if said.turns else [], attributes.get("ai.prompt.tools"))


def _of_sdk(message: Json) -> list[Spoken]:
    """The turns of one of the AI SDK's messages."""
    content = message.get("content")
    if not isinstance(content, list):
        return turns_of(message)
    said = Gathered()
    texts = []
    for item in content:
        part = object_of(item, "a part")
        if part.get("type") == "tool-call":
            said.calls.append(_call_of_sdk(part))
        elif part.get("type") == "tool-result":
            said.add(_result_of_sdk(part))
        elif part.get("type") == "reasoning":
            said.thoughts.append(str(part.get("text") or ""))
        else:
            texts.append(text_in([part]))
    if message.get("role") == "assistant":
        said.words += texts
    elif texts:
        said.add(spoken({"role": message.get("role"), "content": "".join(texts)}))
    said.end()
    return said.turns


def _call_of_sdk(call: Json) -> ToolCall:
    return ToolCall.given(call.get("toolCallId"), call.get("toolName"), call.get("input", call.get("args")))


def _result_of_sdk(part: Json) -> Spoken:
    output = part.get("output", part.get("result"))
    wrong = part.get("isError") is True
    if isinstance(output, dict) and "value" in output and "type" in output:
        wrong = wrong or str(output["type"]).startswith(("error", "execution-denied"))
        output = text_in(output["value"]) if output["type"] == "content" else output["value"]
    tool, call = str(part.get("toolName") or ""), str(part.get("toolCallId") or "")
    return Spoken("tool", output, call_id=call, tool=tool, failed=True if wrong else None)


CONVENTIONS: tuple[Callable[[Json, Failures], Exchange | None], ...] = (
    _genai,
    _openllmetry,
    _openinference,
    _vercel,
    _logfire,
)
