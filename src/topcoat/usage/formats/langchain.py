"""LangChain's serialized messages (`dumpd`), and the runs of LangSmith and of LangChain's tracers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from topcoat.usage.formats.dialogue import Dialogue, Report
from topcoat.usage.formats.shapes import Json, moment_of
from topcoat.usage.formats.tools import tools_of
from topcoat.usage.messages import answers_beside, is_langchain, keys_of, turns_of
from topcoat.usage.turns import Spoken

__all__ = ["is_langchain_dump", "read_langchain"]

_KINDS = {"system": "system", "human": "human", "ai": "ai", "tool": "tool", "function": "function"}


def is_langchain_dump(document: object) -> bool:
    """Whether a document is a run, a list of serialized messages, or has one as its messages."""
    if isinstance(document, list):
        return bool(document) and _message(document[0]) is not None and not is_langchain(document[0])
    if not isinstance(document, dict):
        return False
    messages = document.get("messages")
    if isinstance(messages, list) and messages:
        first = messages[0][0] if isinstance(messages[0], list) and messages[0] else messages[0]
        return _message(first) is not None and not is_langchain(first)
    return "run_type" in document and ("inputs" in document or "outputs" in document)


def read_langchain(document: object, report: Report) -> Iterator[Dialogue]:
    """The dialogue of a run that asks a model, or of serialized messages. Raises `ValueError`."""
    if isinstance(document, list) or (isinstance(document, dict) and "run_type" not in document):
        messages = document if isinstance(document, list) else document["messages"]
        yield Dialogue([turn for message in _flat(messages) for turn in _turns(message)])
        return
    assert isinstance(document, dict)
    if document.get("run_type") not in ("llm", "chat_model"):
        report.passed[f"run of type {document.get('run_type')}"] += 1
        return
    inputs = document.get("inputs") or {}
    if "messages" not in inputs:
        raise ValueError(f"inputs: has no messages; its keys are {keys_of(inputs)}")
    turns = [turn for message in _flat(inputs["messages"]) for turn in _turns(message)]
    answers = list(_answers(document.get("outputs") or {})) or [[]]
    extra = document.get("extra") or {}
    asked = extra.get("invocation_params") or {}
    about = extra.get("metadata") or {}
    model = about.get("ls_model_name") or asked.get("model") or inputs.get("model") or ""
    thread = about.get("session_id") or about.get("thread_id") or about.get("conversation_id")
    for answer in answers:
        yield Dialogue(
            [*turns, *answer],
            session=str(thread or ""),
            trace=str(document.get("trace_id") or ""),
            time=moment_of(document.get("start_time")),
            model=str(model),
            tools=tools_of(inputs.get("tools") or asked.get("tools"), report),
        )


def _answers(outputs: Json) -> Iterator[list[Spoken]]:
    generations = outputs.get("generations")
    if isinstance(generations, list) and generations:
        for each in generations[0] if isinstance(generations[0], list) else generations:
            message = each.get("message")
            yield _turns(message) if message else [Spoken("assistant", str(each.get("text") or ""))]
    elif outputs.get("messages"):
        yield [turn for message in _flat(outputs["messages"])[-1:] for turn in _turns(message)]
    elif outputs:
        yield from answers_beside({"response": outputs.get("output") or outputs})


def _flat(messages: Any) -> list[Any]:
    """The messages of one prompt. LangChain's tracers put them into a list of prompts."""
    if isinstance(messages, list) and messages and isinstance(messages[0], list):
        return list(messages[0])
    return list(messages)


def _message(message: object) -> dict[str, Any] | None:
    """A message in the form of messages_to_dict, from `dumpd`, from a model's dump or from LangSmith. Else None."""
    if not isinstance(message, dict):
        return None
    if is_langchain(message):
        return message
    data = (
        message["kwargs"]
        if message.get("type") == "constructor" and isinstance(message.get("kwargs"), dict)
        else message
    )
    kind = _KINDS.get(str(data.get("type")).removesuffix("MessageChunk").lower())
    if kind is None and isinstance(message.get("id"), list) and message["id"]:
        kind = _KINDS.get(str(message["id"][-1]).removesuffix("Chunk").removesuffix("Message").lower())
    return {"type": kind, "data": data} if kind and "content" in data and "role" not in data else None


def _turns(message: object) -> list[Spoken]:
    found = _message(message)
    if found is not None:
        return turns_of(found)
    if not isinstance(message, dict):
        raise ValueError("a message must be an object")
    return turns_of(message)
