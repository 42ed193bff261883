"""Templates of dialogues, with blanks for names, numbers and paths, and the effective number of examples.

A dialogue's template is the wording of the user's questions and the code of the tool calls. Results don't count, and
neither do the assistant's other words, because both follow from the names. If there is no call, its words count.
"""

from __future__ import annotations

import json
import keyword
import math
import re
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Sequence

from topcoat.calls.bare import taken
from topcoat.calls.block import EXECUTE_CODE, Block, Broken, Code, calls_in
from topcoat.calls.markup import blocks
from topcoat.spec.agent import Agent
from topcoat.spec.example import Example
from topcoat.spec.message import Message

__all__ = [
    "call_blocks",
    "code_template",
    "effective_number",
    "names_given",
    "questions",
    "template",
    "text_template",
    "written_turn",
]

_BLANK = "_"
_WORDS = re.compile(
    r"""
    (?P<quoted>`[^`\n]{0,300}` | "[^"\n]{0,300}" | (?<!\w)'[^'\n]{0,300}'(?!\w))
    | (?P<path>[\w.\-~]{0,100}/[\w./\-:*]{0,300}\w/? | \w[\w\-]{0,100}\.\w[\w.:\-]{0,300})     # a/b, a.py:3
    | (?P<word>\w+)
    """,
    re.VERBOSE,
)
"""Bounded, so that the time is linear in the text."""
_NAME = re.compile(r"\w*(?:_|\d|[a-z][A-Z])\w*")
_TOKENS = re.compile(
    r"""
    (?P<comment>\#[^\n]*)
    | (?P<prefix>\b[rbfuRBFU]{1,2})?(?P<string>
        \"{3}(?:[^"\\]|\\.|"(?!""))*+(?:\"{3})? | '{3}(?:[^'\\]|\\.|'(?!''))*+(?:'{3})?
        | "(?:[^"\\\n]|\\.)*+"? | '(?:[^'\\\n]|\\.)*+'?)  # an open one goes on to the end
    | (?P<number>\b\d[\w.]*)
    | (?P<attribute>\.\s*[^\W\d]\w*)
    | (?P<called>[^\W\d]\w*(?=\s*\())
    | (?P<word>[^\W\d]\w*)
    | (?P<mark>[^\s\w])
    """,
    re.VERBOSE | re.DOTALL,
)
_FIELDS = re.compile(r"\{([^{}]*)\}")
_TEXTS = re.compile(r"\"([^\"\s\\]{1,200})\"|'([^'\s\\]{1,200})'")
_TOOL_RESULT = "<tool_response>"


def template(example: Example) -> str:
    """The template of a dialogue. Dialogues that differ only in names, numbers and paths have the same one."""
    calls = [block for message in example.messages for block in call_blocks(message)]
    names = frozenset(name for block in calls for name in names_given(block))
    parts = [text_template(question, names) for question in questions(example)]
    if calls:
        parts += map(_call_template, calls)
    else:
        parts += [text_template(m.content or "", names) for m in example.messages if m.role == "assistant"]
    return "\n".join(parts)


def questions(example: Example) -> Iterator[str]:
    """The user's words in each turn. A tool's result in a user turn doesn't count."""
    for message in example.messages:
        if message.role == "user" and message.content and not message.content.lstrip().startswith(_TOOL_RESULT):
            yield message.content


def call_blocks(message: Message, agent: Agent | None = None) -> list[Block]:
    """The tool calls of an assistant turn, in its text or under `tool_calls`, as the agent's tools take them.

    Other turns have none.
    """
    if message.role != "assistant":
        return []
    found = blocks(message.content, agent) if message.content else []
    for call in message.tool_calls or ():
        function = call.get("function", call) if isinstance(call, dict) else call
        written = calls_in(function) or [Broken("a tool call under tool_calls has no name and arguments")]
        found += [taken(block, agent) for block in written]
    return found


def written_turn(message: Message) -> str:
    """What a turn says and calls, as one text: calls under `tool_calls` stand in tags, where the parser finds them."""
    written = [message.content] if message.content else []
    for block in (block for call in message.tool_calls or () for block in calls_in(call.get("function", call))):
        if not isinstance(block, Broken):
            name = EXECUTE_CODE if isinstance(block, Code) else block.name
            document = json.dumps({"name": name, "arguments": dict(block.arguments)}, ensure_ascii=False)
            written.append(f"<tool_call>{document}</tool_call>")
    return "\n".join(written)


def text_template(text: str, names: frozenset[str] = frozenset()) -> str:
    """Prose in lower case, without punctuation, with a blank for each name, number and path.

    A name is quoted, or looks like an identifier (`snake_case`, `CamelCase`, a digit), or is one of `names`, the
    arguments of the dialogue's calls.
    """
    words = []
    for match in _WORDS.finditer(text):
        word = match["word"]
        blank = word is None or word in names or _NAME.fullmatch(word)
        words.append(_BLANK if blank else word.lower())
    return " ".join(words)


def code_template(code: str) -> str:
    """Python code without comments, layout, texts, numbers and the names of variables.

    It keeps functions, attributes and keywords, and the expressions in f-strings. It reads tokens, so code that doesn't
    parse has a template too.
    """
    return " ".join(_code_words(code))


def effective_number(labels: Iterable[Hashable]) -> float:
    """The number of evenly used labels with the same variety: exp(-Σ p·ln p), where p is each label's share.

    It is 1 if all labels are equal, and their count if all differ. This is the Hill number of order 1 (M. O. Hill,
    Ecology 54, 1973). 0 without labels.
    """
    counts = Counter(labels)
    total = counts.total()
    return math.exp(-math.fsum(n / total * math.log(n / total) for n in counts.values())) if total else 0.0


def _call_template(block: Block) -> str:
    if isinstance(block, Code):
        return code_template(block.text)
    return block.problem if isinstance(block, Broken) else f"{block.name} {' '.join(sorted(block.arguments))}"


def _code_words(code: str) -> Iterator[str]:
    for match in _TOKENS.finditer(code):
        kind, word = match.lastgroup, match[0]
        if kind == "string":
            yield _BLANK
            if "f" in (match["prefix"] or "").lower():
                for field in _FIELDS.findall(match["string"]):
                    yield from _code_words(field)
        elif kind == "number" or (kind == "word" and not keyword.iskeyword(word)):
            yield _BLANK
        elif kind != "comment":
            yield word


def names_given(block: Block) -> Iterator[str]:
    """The names in a call's arguments: texts without spaces."""
    if isinstance(block, Code):
        for double, single in _TEXTS.findall(block.text):
            yield double or single
    elif not isinstance(block, Broken):
        yield from _strings(list(block.arguments.values()))


def _strings(values: Sequence[object]) -> Iterator[str]:
    for value in values:
        if isinstance(value, str) and " " not in value:
            yield value
        elif isinstance(value, list):
            yield from _strings(value)
