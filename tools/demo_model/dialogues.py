"""From a phrasing to a dialogue: names are filled in, the call is written, and sometimes its result is discussed."""

import random
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.demo_model.language.names import Names
from tools.demo_model.language.phrasings import ASIDES, expand, slots
from tools.demo_model.language.words import TRAINING
from tools.demo_model.tools import TOOLS
from topcoat.demo import TEMPLATE

Example = dict[str, Any]
"""A line of a data file: ``messages`` in mlx-lm's chat format and ``category``."""

SYSTEM = Path(TEMPLATE, "prompts", "system.md").read_text(encoding="utf-8").strip()
"""The one system prompt of training and evaluation."""


@dataclass(frozen=True)
class Ask:
    """A prompt and the code that answers it, with names filled in."""

    prompt: str
    code: str
    category: str
    tool: str
    values: Mapping[str, str]


def answer(code: str) -> str:
    """The assistant's turn that runs ``code``."""
    return f"<tool_call><function=execute_code>\n<parameter=code>\n{code}\n</parameter>\n</function></tool_call>"


def ask(tool_name: str, template: str, names: Names, rng: random.Random) -> Ask:
    """One prompt for one tool, from one phrasing."""
    tool = TOOLS[tool_name]
    values = dict(tool.defaults)
    values |= {slot: names.draw(slot) for slot in slots(template)}
    code = f"result = {tool.call.format(**values)}\nprint(result)"
    return Ask(expand(template, rng).format(**values), code, tool.category, tool_name, values)


def example(turn: Ask, names: Names, *, goes_on: bool = False) -> Example:
    """The dialogue of one ask; ``goes_on`` adds the tool's response and a short answer."""
    turns = [("system", SYSTEM), ("user", turn.prompt), ("assistant", answer(turn.code))]
    if goes_on:
        tool = TOOLS[turn.tool]
        known = {slot: value for slot, value in turn.values.items() if slot != "line"}
        shown = slots(tool.response + tool.answer)
        known |= {slot: names.draw(slot) for slot in shown if slot not in known or known[slot] == "."}
        response = tool.response.format(**known)
        turns.append(("user", f"<tool_response>\n{response}\n</tool_response>"))
        turns.append(("assistant", tool.answer.format(**known)))
    return {"messages": [{"role": role, "content": content} for role, content in turns], "category": turn.category}


_SAID_AFTER = re.compile(r"(?<=\})(?=[ .?!,]|$)")
_FILLERS = (
    "now",
    "today",
    "again",
    "please",
    "too",
    "first",
    "quickly",
    "properly",
    "somewhere",
    "right away",
    "as well",
)


def with_fillers(template: str, rng: random.Random) -> str:
    """The template with a word after one of its slots: a name ends where a space is, whatever comes next."""
    places = [found.start() for found in _SAID_AFTER.finditer(template)]
    if not places:
        return template
    at = rng.choice(places)
    word = rng.choice(_FILLERS) if rng.random() < 0.4 else rng.choice(TRAINING.others)
    return f"{template[:at]} {word}{template[at:]}"


def with_aside(prompt: str, names: Names, rng: random.Random) -> str:
    """The prompt as a sentence, with a remark before or after it."""
    remark = rng.choice(ASIDES)
    remark = remark.format(**{slot: names.draw(slot) for slot in slots(remark)})
    sentence = prompt if prompt[-1] in ".?" else f"{prompt}."
    return f"{remark} {sentence}" if rng.random() < 0.5 else f"{sentence} {remark}"
