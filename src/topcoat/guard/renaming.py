"""Gives a case other names: in its question, its history, its results and its expectation alike."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from pydantic import JsonValue

from topcoat.guard.shapes import number_of, numbers, with_words
from topcoat.spec.expect import Expect
from topcoat.spec.message import Message
from topcoat.spec.suite import Case

__all__ = ["Renaming"]


@dataclass(frozen=True)
class Renaming:
    """New names for old ones: `words` in lower case, `numbers` and `codes` as they stand in the question."""

    words: Mapping[str, str] = field(default_factory=dict)
    numbers: Mapping[str, str] = field(default_factory=dict)
    codes: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def _values(self) -> dict[float, float]:
        return {number_of(old): number_of(new) for old, new in self.numbers.items()}

    def text(self, text: str) -> str:
        """`text` with the new names."""
        for old, new in self.codes.items():
            text = re.sub(rf"(?<!\w){re.escape(old)}(?!\w)", new, text)
        if self.numbers:
            text = self._with_numbers(text)
        return with_words(text, self.words.get)

    def value(self, value: JsonValue) -> JsonValue:
        """An argument with the new names. The names of an object's properties stay."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            return [self.value(item) for item in value]
        if isinstance(value, dict):
            return {name: self.value(part) for name, part in value.items()}
        if isinstance(value, bool) or value is None:
            return value
        new = self._values.get(value, value)
        return int(new) if isinstance(value, int) and float(new).is_integer() else new

    def case(self, case: Case, **keys: object) -> Case:
        """The case with the new names and further `keys`. Its tools stay. Raises ValueError if it is no valid case."""
        new: dict[str, Any] = {"expect": self._expect(case.expect), **keys}
        for key in ("prompt", "system"):
            text = getattr(case, key)
            if text is not None:
                new[key] = self.text(text)
        if case.messages is not None:
            new["messages"] = [self._message(message) for message in case.messages]
        return Case.model_validate({**_written(case), **new})

    def _with_numbers(self, text: str) -> str:
        parts, end = [], 0
        for match in numbers(text):
            parts += [text[end : match.start()], self.numbers.get(match[0], match[0])]
            end = match.end()
        return "".join([*parts, text[end:]])

    def _message(self, message: Message) -> dict[str, Any]:
        written = message.model_dump(mode="json", exclude_unset=True)
        if message.content is not None:
            written["content"] = self.text(message.content)
        if message.tool_calls:
            written["tool_calls"] = [self._tool_call(call) for call in message.tool_calls]
        return written

    def _tool_call(self, call: Mapping[str, Any]) -> dict[str, Any]:
        function = call.get("function")
        if not isinstance(function, Mapping):
            return dict(call)
        arguments = function.get("arguments")
        if isinstance(arguments, str):
            try:
                arguments = json.dumps(self.value(json.loads(arguments)), ensure_ascii=False)
            except ValueError:
                arguments = self.text(arguments)
        else:
            arguments = self.value(arguments)
        return {**call, "function": {**function, "arguments": arguments}}

    def _expect(self, expect: Expect) -> dict[str, Any]:
        written = expect.model_dump(mode="json", exclude_unset=True)
        for call in written.get("calls", ()):
            if "args" in call:
                call["args"] = {name: self._argument(value) for name, value in call["args"].items()}
            if "match" in call:
                call["match"] = {name: self.text(pattern) for name, pattern in call["match"].items()}
        if "exact" in written:
            written["exact"] = self.text(written["exact"])
        return written

    def _argument(self, value: JsonValue) -> JsonValue:
        """An expected value or a rule, whose schema stays as it is."""
        if isinstance(value, dict) and "json_schema" in value:
            return {key: part if key == "json_schema" else self.value(part) for key, part in value.items()}
        return self.value(value)


def _written(case: Case) -> dict[str, Any]:
    """The case's keys as they are written, without those of no guard case."""
    return case.model_dump(mode="json", exclude_unset=True, exclude={"headline", "reserve"})
