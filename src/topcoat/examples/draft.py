"""A dialogue as a text that is easy to edit: a heading for each turn, and its words below.

# Remarks, up to the first heading.
=== user
Is src/page.py valid, and is it formatted?
=== assistant
I look at both.
=== call check-types
{
  "path": "src/page.py"
}
=== call check-format
{
  "path": "src/page.py"
}
=== result check-types
valid
=== assistant
It is valid.

A call belongs to the assistant's turn before it, which may also say nothing. Its arguments are JSON, in which a text
may go over several lines. A heading may end with a JSON object of the keys that have no place below it, as in
`=== result check-types {"tool_call_id": "call00001"}`. A line of a turn that looks like a heading begins with a
backslash.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from topcoat.errors import InvalidInput, Mistake, Where
from topcoat.spec.example import Example
from topcoat.spec.message import Message
from topcoat.spec.reading.wording import findings

__all__ = ["draft_of", "read_draft"]

_HEADING = re.compile(r"=== *(\w+)(?: +(\S.*))?")
_PLAIN_NAME = re.compile(r"[^\s{\"]\S*")
_LIKE_A_HEADING = re.compile(r"^(?=\\*=== *\w)", re.MULTILINE)
_ESCAPED = re.compile(r"\\(?=\\*=== *\w)")
_DECODER = json.JSONDecoder()
_IN_TEXTS = re.compile(r"\\(?:(n)|.)")
_JSON_HINT = 'write the arguments as a JSON object, such as {"path": "a.py"}'


def draft_of(messages: Sequence[Message]) -> str:
    """The turns of a dialogue as a draft, the opposite of `read_draft`. Arguments that are a JSON text become JSON."""
    return "".join(_turn_text(message.model_dump(mode="json", exclude_unset=True)) for message in messages)


def _turn_text(turn: dict[str, Any]) -> str:
    role, content = turn.pop("role"), turn.get("content")
    calls = turn.pop("tool_calls", None) or []
    name = turn.pop("name") if role == "tool" and turn.get("name") else None
    if isinstance(content, str) and content and content == content.strip() and "\r" not in content:
        del turn["content"]
    else:
        content = ""
    heading = f"result {_quoted(name)}" if name else role
    own = f"=== {heading}{_keys(turn)}\n{_escaped(content)}\n" if content else f"=== {heading}{_keys(turn)}\n"
    return ("" if calls and not content and not turn else own) + "".join(map(_call_text, calls))


def _call_text(call: Mapping[str, Any]) -> str:
    rest = {key: value for key, value in call.items() if (key, value) != ("type", "function")}
    function = rest.pop("function", None)
    named = dict(function) if isinstance(function, Mapping) else rest
    name, arguments = named.pop("name", ""), named.pop("arguments", {})
    rest |= {"function": named} if named and named is not rest else {}
    return f"=== call {_quoted(str(name))}{_keys(rest)}\n{_escaped(_arguments_text(arguments))}\n"


def _arguments_text(arguments: object) -> str:
    """Arguments as indented JSON, with texts of several lines as they are. What is no JSON stays as it is."""
    if isinstance(arguments, str):
        try:
            document: object = json.loads(arguments) if arguments.strip() else {}
        except (ValueError, RecursionError):
            return arguments
        arguments = document
    written = json.dumps(arguments, ensure_ascii=False, indent=2)
    return _IN_TEXTS.sub(lambda escape: "\n" if escape[1] else escape[0], written)


def _quoted(name: str) -> str:
    return name if _PLAIN_NAME.fullmatch(name) else json.dumps(name, ensure_ascii=False)


def _keys(keys: Mapping[str, Any]) -> str:
    return f" {json.dumps(keys, ensure_ascii=False)}" if keys else ""


def _escaped(text: str) -> str:
    return _LIKE_A_HEADING.sub(r"\\", text)


@dataclass(slots=True)
class _Section:
    """A heading with its line, and the lines below it."""

    word: str
    rest: str
    line: int
    lines: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "\n".join(self.lines).strip()


def read_draft(text: str, path: Path, category: str) -> Example:
    """The example in a draft. Raises `InvalidInput` with every mistake and its line. Messages name `path`."""
    sections = _sections(text)
    if not sections:
        raise InvalidInput("the draft holds no turn", where=Where(path), hint='begin a turn with "=== user"')
    reader = _Reader(path)
    for section in sections:
        reader.read(section)
    reader.mistakes += [
        Mistake(f"the {turn['role']} turn is empty", Where(path, line), "write what is said below the heading")
        for turn, line in zip(reader.turns, reader.lines, strict=True)
        if "content" not in turn and not turn.get("tool_calls")
    ]
    if reader.mistakes:
        reader.mistakes.sort(key=lambda mistake: mistake.where.line or 0 if mistake.where else 0)
        raise InvalidInput.collect(str(path), reader.mistakes)
    data = {"messages": reader.turns, "category": category}
    try:
        return Example.model_validate(data)
    except ValidationError as error:
        found = findings(error, data, Example, "json")
    places = [f.path[1] if len(f.path) > 1 and isinstance(f.path[1], int) else 0 for f in found]
    mistakes = [Mistake(f.message, Where(path, reader.lines[i]), f.hint) for f, i in zip(found, places, strict=True)]
    raise InvalidInput.collect(str(path), mistakes)


def _sections(text: str) -> list[_Section]:
    found: list[_Section] = []
    for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), 1):
        heading = _HEADING.fullmatch(line.rstrip())
        if heading and (heading[1] in ("call", "result") or not heading[2] or heading[2].startswith("{")):
            found.append(_Section(heading[1], heading[2] or "", number))
        elif found:
            found[-1].lines.append(line[1:] if _ESCAPED.match(line) else line)
    return found


@dataclass(slots=True)
class _Reader:
    """Makes turns of sections. `lines` are those of the turns' headings."""

    path: Path
    turns: list[dict[str, Any]] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    mistakes: list[Mistake] = field(default_factory=list)

    def read(self, section: _Section) -> None:
        if section.word == "call":
            self._call(section)
        elif section.word == "result":
            name, keys = self._named(section)
            self._turn({"role": "tool", **({"name": name} if name else {}), **keys}, section)
        else:
            keys = self._object(section.rest, section.line) if section.rest else {}
            self._turn({"role": section.word, **keys}, section)

    def _turn(self, turn: dict[str, Any], section: _Section) -> None:
        if section.text and "content" in turn:
            self._mistake("the content stands in the heading and below it", section.line, "keep one of them")
        self.turns.append({**turn, **({"content": section.text} if section.text else {})})
        self.lines.append(section.line)

    def _call(self, section: _Section) -> None:
        name, keys = self._named(section)
        if not name:
            self._mistake("a call without the name of its tool", section.line, "=== call read_file")
        function = {"name": name, "arguments": self._arguments(section), **(keys.pop("function", None) or {})}
        call = {"type": "function", **keys, "function": function}
        if not self.turns or self.turns[-1]["role"] != "assistant":
            self.turns.append({"role": "assistant"})
            self.lines.append(section.line)
        self.turns[-1].setdefault("tool_calls", []).append(call)

    def _named(self, section: _Section) -> tuple[str, dict[str, Any]]:
        """The name and the further keys in a heading."""
        name, rest = "", section.rest
        if rest.startswith('"'):
            try:
                quoted, end = _DECODER.raw_decode(rest)
            except ValueError as error:
                self._mistake(f"the name can't be read: {error}", section.line, '=== call "set thermostat"')
                return rest, {}
            name, rest = str(quoted), rest[end:].strip()
        elif not rest.startswith("{"):
            name, _, rest = rest.partition(" ")
        if rest and not rest.strip().startswith("{"):
            hint = f"=== {section.word} {json.dumps(section.rest, ensure_ascii=False)}"
            self._mistake("a name with spaces stands in quotes", section.line, hint)
            return name, {}
        return name, self._object(rest, section.line) if rest else {}

    def _arguments(self, section: _Section) -> dict[str, Any]:
        if not section.text:
            self._mistake("the call has no arguments", section.line, "write {} if the tool takes none")
            return {}
        above = next(number for number, line in enumerate(section.lines, 1) if line.strip())
        return self._object(section.text, section.line + above)

    def _object(self, text: str, line: int) -> dict[str, Any]:
        """The JSON object of a text that begins in `line`."""
        try:
            document = json.loads(text, strict=False, object_pairs_hook=_once, parse_constant=_refused)
        except json.JSONDecodeError as error:
            before = text[: error.pos].rstrip() if error.msg.startswith("Expecting") else text[: error.pos]
            self._mistake(f"not JSON: {error.msg}", line + before.count("\n"), _JSON_HINT)
        except (ValueError, RecursionError) as error:
            self._mistake(f"not JSON: {error}", line, _JSON_HINT)
        else:
            if isinstance(document, dict):
                return document
            self._mistake("not a JSON object", line, _JSON_HINT)
        return {}

    def _mistake(self, message: str, line: int, hint: str) -> None:
        self.mistakes.append(Mistake(message, Where(self.path, line), hint))


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise ValueError(f'"{twice[:60]}" stands twice')
    return found


def _refused(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON")
