"""Executes the programs of training answers in the sandbox: a program without visible mistakes may still fail.

A program takes some 17 ms, so 100,000 of them would take half an hour. Reading (`programs`) checks all programs. Only
those of new examples are executed, and only the first `MOST_RUN` different ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from topcoat.calls.block import Code
from topcoat.calls.programs import problems_in_program
from topcoat.calls.sandbox import Sandbox
from topcoat.errors import Where
from topcoat.examples.checks.codes import finding
from topcoat.examples.checks.templates import call_blocks
from topcoat.spec.agent import Agent
from topcoat.spec.example import LocatedExample
from topcoat.store.records import Finding

__all__ = ["MOST_RUN", "check_runs", "runnable_programs"]

MOST_RUN = 500


def runnable_programs(examples: Sequence[LocatedExample], agent: Agent) -> dict[str, list[Where]]:
    """The different programs without a mistake that reading finds, each with the places of its examples."""
    programs: dict[str, list[Where]] = {}
    for located in examples:
        for place in located.example.trained_turns:  # others are context, which no model learns
            for block in call_blocks(located.example.messages[place], agent):
                if isinstance(block, Code) and not block.cut and block.text.strip():
                    programs.setdefault(block.text.strip(), []).append(located.where)
    return {code: places for code, places in programs.items() if not problems_in_program(code, agent.catalog)}


def check_runs(programs: Mapping[str, Sequence[Where]], sandbox: Sandbox) -> list[Finding]:
    """A finding for each of the first `MOST_RUN` programs that doesn't finish, at its first place.

    They are warnings, because results are made up and the sandbox's Python is a part of Python.
    """
    findings = []
    for code, places in list(programs.items())[:MOST_RUN]:
        problem = sandbox.run([code]).problem
        if problem:
            others = f" ({len(places)} examples have this code)" if len(places) > 1 else ""
            hint = "mend the code, unless only a real result would do"
            findings.append(finding("sandbox", "warning", places[0], f"{problem}{others}", hint))
    return findings
