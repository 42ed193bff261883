"""How many right answers extraction takes for guesses, and how many slips it finds.

    python -m benchmarks.visible_values bfcl_eval-2026.3.23-py3-none-any.whl

The right answers are the ground truth of the Berkeley Function Calling Leaderboard's single-turn cases: of the values
that it accepts, the first. The slips are the same answers with one letter of a text dropped, or one number written
backwards, if the question has that text or number.
"""

from __future__ import annotations

import argparse
import json
import random
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from topcoat.calls.parsing import parse
from topcoat.spec.agent import Agent
from topcoat.spec.tools.tool_list import own_catalog
from topcoat.suites.bfcl.files import ANSWERS, Files, open_files
from topcoat.suites.bfcl.tools import tools_of
from topcoat.usage.extraction.visible import Shown

CATEGORIES = ("simple_python", "multiple", "parallel", "parallel_multiple")
LIVE = ("live_simple", "live_multiple", "live_parallel", "live_parallel_multiple")
SHORTEST_TEXT, SMALLEST_NUMBER = 6, 11
RNG = random.Random(17)

Calls = list[tuple[str, dict[str, Any]]]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("source", type=Path, help="the leaderboard's wheel, or its folder")
    files = open_files(parser.parse_args().source)
    counted: Counter[str] = Counter()
    for category in (*CATEGORIES, *LIVE):
        for question, agent, calls in cases(files, category):
            counted["answers"] += 1
            counted["shown"] += shows(question, agent, calls)
            for kind, slipped in (("text", one_letter_less(calls, question)), ("number", backwards(calls, question))):
                if slipped is not None:
                    counted[f"{kind} slips"] += 1
                    counted[f"{kind} slips found"] += not shows(question, agent, slipped)
    print(f"{counted['shown']} of {counted['answers']} right answers pass")
    for kind in ("text", "number"):
        print(f"{counted[f'{kind} slips found']} of {counted[f'{kind} slips']} slips in a {kind} are found")


def cases(files: Files, category: str) -> Iterator[tuple[str, Agent, Calls]]:
    """The question, the agent and the right calls of each case."""
    asked = {line["id"]: line for line in lines(files, f"BFCL_v4_{category}.json")}
    for truth in lines(files, f"{ANSWERS}/BFCL_v4_{category}.json"):
        line = asked[truth["id"]]
        question = "\n".join(message["content"] for turn in line["question"] for message in turn)
        agent = Agent(own_catalog(tools_of(line["function"]), Path("tools.json")), "", "native")
        yield question, agent, [call for given in truth["ground_truth"] for call in calls_of(given)]


def lines(files: Files, name: str) -> list[dict[str, Any]]:
    folder, _, file = name.rpartition("/")
    place = files.folder / folder / file if folder else files.folder / file
    return [json.loads(line) for line in place.read_bytes().decode().splitlines() if line.strip()]


def calls_of(given: Mapping[str, Mapping[str, list[Any]]]) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, accepted in given.items():
        chosen = {key: next((value for value in values if value != ""), None) for key, values in accepted.items()}
        yield name, {key: value for key, value in chosen.items() if value is not None}


def shows(question: str, agent: Agent, calls: Calls) -> bool:
    written = [json.dumps({"name": name, "arguments": arguments}) for name, arguments in calls]
    answer = "\n".join(f"<tool_call>{call}</tool_call>" for call in written)
    assert len(parse(answer, agent).calls) == len(calls), answer
    return Shown(question, agent).shows_all(answer, first=True)


def one_letter_less(calls: Calls, question: str) -> Calls | None:
    """The calls with a letter dropped in the first text that stands in the question as it is."""

    def slip(value: object) -> object:
        if not isinstance(value, str) or len(value) < SHORTEST_TEXT or " " in value or value not in question:
            return None
        place = RNG.randrange(1, len(value) - 1)
        shorter = value[:place] + value[place + 1 :]
        return None if shorter in question else shorter

    return changed(calls, slip)


def backwards(calls: Calls, question: str) -> Calls | None:
    """The calls with the digits of the first number that stands in the question in the other order."""

    def slip(value: object) -> object:
        if not isinstance(value, int) or isinstance(value, bool) or value < SMALLEST_NUMBER:
            return None
        turned = int(str(value)[::-1])
        return turned if str(value) in question and turned != value else None

    return changed(calls, slip)


def changed(calls: Calls, slip: Any) -> Calls | None:
    """The calls with the first value replaced for which `slip` has another."""
    for place, (name, arguments) in enumerate(calls):
        for key, value in arguments.items():
            if (other := slip(value)) is not None:
                return [*calls[:place], (name, {**arguments, key: other}), *calls[place + 1 :]]
    return None


if __name__ == "__main__":
    main()
