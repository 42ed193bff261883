"""Random and mutated answers through the parser of calls and every scorer: none raises, scores are in 0..1."""

from __future__ import annotations

import json
import random
import traceback
from dataclasses import replace

from benchmarks.reliability.tally import Tally
from topcoat.calls.answer import Run
from topcoat.calls.parsing import parse
from topcoat.calls.programs import problems_in_program
from topcoat.demo import TEMPLATE
from topcoat.scoring.scorers import SCORERS
from topcoat.spec.agent import Agent
from topcoat.spec.expect import Expect
from topcoat.spec.tools.loading import load_catalog

__all__ = ["try_answers"]

_CALLS: dict[str, object] = {
    "calls": [{"tool": "read_file", "args": {"path": "a"}}, {"tool": ["git_status", "git_log"], "uses": [0]}]
}
_EXPECTED: dict[str, list[dict[str, object]]] = {
    "tiered": [{"calls": []}, {"calls": [{"tool": "read_file"}]}, _CALLS],
    "calls": [{"calls": []}, {"calls": [{"tool": "read_file", "match": {"path": "^a+$"}}]}, _CALLS],
    "run": [{"calls": []}, _CALLS],
    "exact": [{"exact": "Yes."}],
    "regex": [{"regex": "(?i)(a|aa)+$"}],
    "json_schema": [{"json_schema": {"type": "object", "required": ["a"], "properties": {"a": {"maxLength": 3}}}}],
}
_TOKENS = (
    "<tool_call>", "</tool_call>", "<function=execute_code>", "<function=read_file>", "</function>",
    "<parameter=code>", "<parameter=path>", "</parameter>", "<think>", "</think>", "```json\n", "```\n",
    "~~~\n", "`", "``", "{", "}", "[", "]", '"name": "read_file", ', '"arguments": {"path": "a"}',
    '"arguments": "{}"', ":", ",", '"', "\\", "\n", " ", "    ", "\x00", "\ud800", "\u2028", "é", "👩‍👩‍👧",
    "read_file(", "git_status()", ")", "path=", "'a'", "x = ", "for x in ", "def f(a=1, *b, **c):\n",
    "lambda *a: ", "await ", "class A:\n", "if x:\n", "try:\n", "except* E:\n", "match x:\n",
    "case {'a': b, **c}:\n", "return ", "yield ", "import os\n", "del x\n", "global x\n", "x: int = ", "f'{",
    "}'", '"""', "(" * 300, "[" * 1100, "x." * 400, "-" * 3000, "1" * 5000, "9e999", "\t", "\r\n", ":=", "**",
    "//", "@", "null", "true",
)  # fmt: skip


def try_answers(tally: Tally, seed: int) -> None:
    """A third of the answers are tokens at random, the others are answers of the embedded data with something done."""
    rng = random.Random(seed)
    catalog = load_catalog(TEMPLATE / "tools.pyi")
    rows = (TEMPLATE / "data" / "phase34a.jsonl").read_text().splitlines()
    good = [turn["content"] for row in rows for turn in json.loads(row)["messages"] if turn["role"] == "assistant"]
    expected = [(name, Expect.model_validate(given)) for name, all_ in _EXPECTED.items() for given in all_]
    for number in range(tally.planned):
        text = _answer(rng, good)
        try:
            answer = parse(text, Agent(catalog))
            if answer != parse(text, Agent(catalog)):
                tally.fault(f"answer {number} of seed {seed} is parsed in two ways: {text[:300]!r}")
            ran = replace(answer, run=Run(answer.calls))
            for name, expect in expected:
                value, reason = SCORERS[name](expect, ran, Agent(catalog))
                reason.encode("utf-8", "replace")
                if not 0.0 <= value <= 1.0:
                    tally.fault(f"answer {number} of seed {seed}: {name} gives {value}: {text[:300]!r}")
            for program in answer.programs:
                problems_in_program(program, catalog)
        except Exception:
            tally.fault(f"answer {number} of seed {seed}: {text[:300]!r}: {traceback.format_exc(limit=-3)}")
            answer = None
        what = (
            "faults"
            if answer is None
            else "with calls"
            if answer.calls
            else "with broken calls"
            if answer.blocks
            else "prose"
        )
        tally.note(what)


def _answer(rng: random.Random, good: list[str]) -> str:
    if rng.random() < 0.33:
        return "".join(rng.choice(_TOKENS) for _ in range(rng.randint(1, 40)))
    text = rng.choice(good)
    for _ in range(rng.randint(1, 6)):
        begin = rng.randrange(len(text) + 1)
        end = begin + rng.choice((0, 0, 1, 5, 40, 400))
        text = text[:begin] + rng.choice(_TOKENS) * rng.choice((0, 1, 1, 1, 2, 30)) + text[end:]
    return text
