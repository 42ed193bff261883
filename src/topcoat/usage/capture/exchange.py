"""One exchange with a model server, parsed from bytes into turns. Knows the APIs; stores nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from topcoat.usage.capture.apis.chat_stream import joined
from topcoat.usage.capture.apis.recorded import answer_turns, request_turns, session_in
from topcoat.usage.capture.apis.table import ApiName
from topcoat.usage.characters import whole_characters
from topcoat.usage.formats.dialogue import Report
from topcoat.usage.formats.tools import tools_of
from topcoat.usage.messages import system_beside, turns_of
from topcoat.usage.turns import Spoken, spoken

__all__ = ["RECORDED", "Exchange"]

RECORDED = frozenset({"/v1/chat/completions", "/chat/completions", "/v1/completions"})
"""The paths whose exchanges are dialogues in OpenAI's chat completions. `apis.table` has the others."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request and its answer as bytes. `whole` is False if the connection broke before the answer's end.

    `session` and `branch` come from the client's headers; "" if they say nothing. `asked` is the API of the request and
    `answered` that of the answer: a request may be answered in chat completions, and the client gets a translation.
    `model` is the model that answered, "" if another server's did.
    """

    time: datetime
    request: bytes
    response: bytes
    streamed: bool
    whole: bool = True
    session: str = ""
    branch: str = ""
    asked: ApiName = "chat"
    answered: ApiName = "chat"
    model: str = ""

    def question(self) -> tuple[list[Spoken], str, str]:
        """The turns before the answer, and the session and branch that the client named. Raises `ValueError`.

        They are those of the request. Where a provider called its own tools within the answer, they are also those of
        the answer before its last one.
        """
        body = self._body()
        meta = body.get("metadata")
        named: Mapping[str, Any] = meta if isinstance(meta, dict) else {}
        session = whole_characters(self.session) or session_in(self.asked, body)
        session = session or str(named.get("session") or body.get("user") or "")
        branch = whole_characters(self.branch) or str(named.get("branch") or "")
        if self.asked != "chat":
            within = self._answer_turns()[:-1] if self.answered != "chat" else []
            return [*request_turns(self.asked, body), *within], session, branch
        if "messages" in body:
            said = [*system_beside(body), *(turn for message in body["messages"] for turn in turns_of(message))]
            return said, session, branch
        prompt = body.get("prompt")
        return [Spoken("user", prompt if isinstance(prompt, str) else json.dumps(prompt))], session, branch

    def tools(self) -> list[dict[str, Any]] | None:
        """The tools of the request in OpenAI's form; None if it brings none, or something else."""
        body = self._body()
        if self.asked != "chat":
            return tools_of(body.get("tools"), Report())
        tools = body.get("tools")
        return tools if isinstance(tools, list) and tools and all(isinstance(tool, dict) for tool in tools) else None

    def answers(self) -> list[Spoken]:
        """The answers, one for each choice, as the client sees them. Raises `ValueError`."""
        if self.answered != "chat":
            return self._answer_turns()[-1:]
        choices = joined(self.response) if self.streamed else json.loads(self.response).get("choices", [])
        return [self._answer(choice) for choice in whole_characters(choices)]

    def _body(self) -> dict[str, Any]:
        body = whole_characters(json.loads(self.request))
        if not isinstance(body, dict):
            raise ValueError("a request must be a JSON object")
        return body

    def _answer_turns(self) -> list[Spoken]:
        turns = answer_turns(self.answered, self.response, streamed=self.streamed)
        return turns if self.whole or not turns else [*turns[:-1], replace(turns[-1], finish="cut")]

    def _answer(self, choice: Mapping[str, Any]) -> Spoken:
        message = choice.get("message") or {"content": choice.get("text")}
        said = spoken({**message, "role": "assistant"})
        finish = str(choice.get("finish_reason") or "cut") if self.whole else "cut"
        return Spoken("assistant", said.content, said.calls, reasoning=said.reasoning, finish=finish)
