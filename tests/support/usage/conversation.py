"""Sessions of an agent that uses code, as capture keeps them."""

from __future__ import annotations

from topcoat.usage.events import Event, ToolResult

__all__ = ["Conversation", "code_answer"]


def code_answer(code: str) -> str:
    """An answer that runs `code`."""
    return f"<tool_call><function=execute_code>\n<parameter=code>\n{code}\n</parameter>\n</function></tool_call>"


class Conversation:
    """Builds the events of one session, turn by turn."""

    def __init__(self, session: str = "s") -> None:
        self.session = session
        self.events: list[Event] = []
        self._at = ""
        self._query: str | None = None

    def user(self, text: str) -> Conversation:
        self._query = text
        return self

    def anew(self) -> Conversation:
        """What comes next begins a dialogue of its own."""
        self._at = ""
        return self

    def answer(self, text: str) -> Conversation:
        return self._add("request", query=self._query, answer=text)

    def runs(self, code: str, *, works: bool = True, shape: str = "text, 3 lines") -> Conversation:
        """The model answers with code, and the agent sends back how it went."""
        self.answer(code_answer(code))
        result = ToolResult(success=works, shape=shape if works else "")
        return self._add("tool_call", tool="execute_code", code=code, result=result, errors=[] if works else ["E"])

    def reports(self, kind: str, **fields: object) -> Conversation:
        """An event without turns."""
        self.events.append(
            Event.model_validate({"session": self.session, "kind": kind, "id": self._next_id(), **fields})
        )
        return self

    def _add(self, kind: str, **fields: object) -> Conversation:
        before, self._at = self._at, f"{len(self.events) + 1}"
        self._query = None
        return self.reports(kind, before=before, after=self._at, **fields)

    def _next_id(self) -> str:
        return f"{self.session}-{len(self.events) + 1}"
