"""Builds a chat completion's request out of what another API's request says."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from topcoat.usage.capture.apis.tools import GivenTools

__all__ = ["ChatRequest", "Dialogue", "Json", "Untranslatable", "for_our_model", "list_at", "named", "object_at"]
__all__ += ["object_in", "text_at"]

Json = Mapping[str, Any]

_PLAIN = re.compile(r"[A-Za-z0-9_.-]{1,60}", re.ASCII)


class Untranslatable(ValueError):
    """A request that chat completions can't say. `at` is the place in it, such as "messages.0.content.2"."""

    def __init__(self, at: str, message: str) -> None:
        super().__init__(f"{at}: {message}")
        self.at = at


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A translated request. `notes` count what the translation leaves out or says in another way, each in words."""

    body: dict[str, Any]
    notes: Counter[str]
    tools: GivenTools = field(default_factory=GivenTools)


@dataclass(slots=True)
class _Turn:
    """A turn whose pieces are joined once, at the end. `said` has texts, and images in chat completions' form."""

    role: str
    said: list[str | Json] = field(default_factory=list)
    thoughts: list[str] = field(default_factory=list)
    calls: list[dict[str, Any]] = field(default_factory=list)
    call_id: str | None = None

    def message(self) -> dict[str, Any]:
        made: dict[str, Any] = {"role": self.role, "content": self._content()}
        if self.call_id is not None:
            made = {"role": self.role, "tool_call_id": self.call_id, "content": self._content()}
        if self.thoughts:
            made["reasoning_content"] = "".join(self.thoughts)
        if self.calls:
            made["tool_calls"] = self.calls
        return made

    def _content(self) -> str | list[Json] | None:
        if all(isinstance(part, str) for part in self.said):
            return "".join(map(str, self.said)) if self.said or self.role != "assistant" else None
        return [{"type": "text", "text": part} if isinstance(part, str) else part for part in self.said]


@dataclass(slots=True)
class Dialogue:
    """The messages of a chat completion, as they are added turn by turn.

    Templates of many models refuse two turns of the user in a row, and a system prompt elsewhere than at the beginning.
    So neighbouring turns of one role become one, and a later system prompt is given as the user's reminder.
    """

    notes: Counter[str]
    _turns: list[_Turn] = field(default_factory=list)

    @property
    def messages(self) -> list[dict[str, Any]]:
        return [turn.message() for turn in self._turns]

    def system(self, text: str) -> None:
        """Add a system prompt."""
        if not text:
            return
        if not self._turns or self._turns[-1].role == "system":
            self._join("system", [text])
            return
        self.notes["system message within the dialogue sent as the user's reminder"] += 1
        self._join("user", [f"<system-reminder>\n{text}\n</system-reminder>"])

    def user(self, parts: Sequence[str | Json]) -> None:
        """Add what the user says: texts, and images in the form of chat completions."""
        self._join("user", parts)

    def words(self, text: str) -> None:
        """Add to the words of an answer."""
        self._answer().said.append(text)

    def thought(self, text: str) -> None:
        """Add to the thoughts of an answer, under the name that chat templates read."""
        if text:
            self._answer().thoughts.append(text)

    def call(self, call_id: str, name: str, arguments: str) -> None:
        """Add a call to an answer. Arguments that are no JSON object become one, because templates read them."""
        function = {"name": name, "arguments": self._readable(arguments)}
        self._answer().calls.append({"id": call_id, "type": "function", "function": function})

    def result(self, call_id: str, text: str) -> None:
        """Add what a call returned."""
        self._turns.append(_Turn("tool", [text], call_id=call_id))

    def _answer(self) -> _Turn:
        if not self._turns or self._turns[-1].role != "assistant":
            self._turns.append(_Turn("assistant"))
        return self._turns[-1]

    def _join(self, role: str, said: Sequence[str | Json]) -> None:
        if self._turns and self._turns[-1].role == role:
            self._turns[-1].said += ["\n\n", *said]
        else:
            self._turns.append(_Turn(role, list(said)))

    def _readable(self, arguments: str) -> str:
        try:
            if isinstance(json.loads(arguments), dict):
                return arguments
        except (ValueError, RecursionError):
            pass
        if not arguments.strip():
            return "{}"
        self.notes["arguments of a call that are no JSON object wrapped in one"] += 1
        return json.dumps({"arguments": arguments}, ensure_ascii=False)


def named(value: object) -> str:
    """A name of a client's, for a note. A note stands in a header and in the log, so it holds only plain names."""
    return str(value) if isinstance(value, str) and _PLAIN.fullmatch(value) else "unnamed"


def text_at(found: Json, key: str, at: str) -> str:
    """The text under `key`. Raises `Untranslatable`."""
    value = found.get(key)
    if not isinstance(value, str):
        raise Untranslatable(f"{at}.{key}".lstrip("."), "must be a text")
    return value


def list_at(found: Json, key: str, at: str = "") -> list[Any]:
    """The list under `key`, empty if there is none. Raises `Untranslatable`."""
    value = found.get(key)
    if value is None:
        return []
    if not isinstance(value, list):
        raise Untranslatable(f"{at}.{key}".lstrip("."), "must be a list")
    return value


def object_at(value: object, at: str) -> Json:
    """`value`, if it is an object. Raises `Untranslatable`."""
    if not isinstance(value, dict):
        raise Untranslatable(at, "must be a JSON object")
    return value


def object_in(body: bytes) -> Json:
    """The JSON object of a request. Raises `Untranslatable`."""
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError):
        asked = None
    return object_at(asked, "body")


def for_our_model(body: bytes) -> bytes:
    """A chat completion's request with the name of the loaded model. Raises `ValueError` if it isn't a JSON object.

    Raises `RecursionError` if it is nested too deeply.
    """
    document: Any = json.loads(body)
    if not isinstance(document, dict):
        raise ValueError
    if document.get("model") in (None, "default_model") and not document.keys() & {"adapters", "draft_model"}:
        return body
    kept = {key: value for key, value in document.items() if key not in ("adapters", "draft_model")}
    return json.dumps({**kept, "model": "default_model"}).encode()
