"""A new example as a text that is easy to edit: a heading for each turn, and its words below.

# Remarks, up to the first heading.
=== user
Is src/page.py valid?
=== assistant
...
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from topcoat.errors import InvalidInput, Mistake, Where
from topcoat.spec.example import Example
from topcoat.spec.message import Message
from topcoat.spec.reading.wording import findings

__all__ = ["draft_of", "read_draft", "skeleton"]

_HEADING = re.compile(r"=== *(\w+) *")

_CALL = """\
<tool_call><function=execute_code>
<parameter=code>

</parameter>
</function></tool_call>
"""


def skeleton(category: str, system: str, signatures: Sequence[str]) -> str:
    """A draft to fill in. `signatures` shows the writer the tools that cases of the category expect."""
    tools = "".join(f"#   {signature}\n" for signature in signatures)
    remark = f"# A new example of {category}. Write what the user asks and what the model should answer.\n"
    remark += f"# The tools of this category:\n{tools}" if tools else ""
    opening = f"=== system\n{system.strip()}\n" if system.strip() else ""
    return f"{remark}{opening}=== user\n\n=== assistant\n{_CALL}"


def draft_of(messages: Sequence[Message]) -> str:
    """The turns of a dialogue as a draft, the opposite of `read_draft`."""
    return "".join(f"=== {message.role}\n{message.content or ''}\n" for message in messages)


def read_draft(text: str, path: Path, category: str) -> Example:
    """The example in a draft. Raises `InvalidInput` with every mistake and its line. Messages name `path`."""
    turns: list[tuple[str, int, list[str]]] = []
    for number, line in enumerate(text.splitlines(), 1):
        heading = _HEADING.fullmatch(line)
        if heading:
            turns.append((heading[1], number, []))
        elif turns:
            turns[-1][2].append(line)
    if not turns:
        raise InvalidInput("the draft holds no turn", where=Where(path), hint='begin a turn with "=== user"')
    messages = [{"role": role, "content": "\n".join(lines).strip()} for role, _, lines in turns]
    empty = [
        Mistake(f"the {message['role']} turn is empty", Where(path, line), "write what is said below the heading")
        for message, (_, line, _) in zip(messages, turns, strict=True)
        if not message["content"]
    ]
    if empty:
        raise InvalidInput.collect(str(path), empty)
    data = {"messages": messages, "category": category}
    try:
        return Example.model_validate(data)
    except ValidationError as error:
        found = findings(error, data, Example, "json")
    places = [f.path[1] if len(f.path) > 1 and isinstance(f.path[1], int) else 0 for f in found]
    mistakes = [Mistake(f.message, Where(path, turns[i][1]), f.hint) for f, i in zip(found, places, strict=True)]
    raise InvalidInput.collect(str(path), mistakes)
