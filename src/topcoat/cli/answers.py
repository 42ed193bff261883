"""How an evaluation's answers are shown: those in the format of calls, and those that can't be used as they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rich.console import Console
from rich.markup import escape

from topcoat.cli.console import print_line
from topcoat.quantity import counted
from topcoat.spec.suite import MOST_TOKENS
from topcoat.store.records import AnswerFault, EvalResult

__all__ = ["show_faults", "show_formats", "show_passes", "show_servers"]

_MOST_CASES: Final = 5
"""Cases named in one line."""

_FORMATS: Final = {
    "code": "call tools through execute_code alone",
    "native": "call known tools, with arguments that fit their JSON Schema",
}
_FAULTS: Final = {
    "cut": "cut at max_tokens",
    "unread": "with a call or a thought that can't be read",
    "unknown tool": "with a call of a tool that the catalog lacks",
    "empty": "empty",
}


def show_formats(console: Console, result: EvalResult) -> None:
    """At each temperature, the share of answers that keep to the format, and the cases that don't."""
    for found in result.formats:
        line = f"format: {found.share:.1%} of {found.answers} answers {_FORMATS[found.calls]}"
        line += f" at temperature {found.temperature:g}"
        line += f", {found.errors} without an answer" if found.errors else ""
        print_line(console, escape(line + (f"; not those of {_named(found.wrong)}" if found.wrong else "")))


def show_passes(console: Console, result: EvalResult) -> None:
    """At each temperature, the share of episodes that are solved in every sample, and those that aren't."""
    for found in result.passes:
        line = f"pass^{found.samples}: {found.share:.1%} of {counted(found.episodes, 'episode')} solved in all of "
        line += f"{counted(found.samples, 'sample')} at temperature {found.temperature:g}"
        line += f" ({found.mean:.1%} of the samples)"
        line += f", {found.errors} without an answer" if found.errors else ""
        print_line(console, escape(line + (f"; not {_named(found.failed)}" if found.failed else "")))


def show_faults(console: Console, result: EvalResult) -> None:
    """The answers that are cut, empty, unreadable or call unknown tools, and the limit that would let cut ones end."""
    for fault in result.faults:
        line = f"{counted(len(fault.cases), 'answer')} {_FAULTS[fault.kind]}: {_named(fault.cases)}"
        print_line(console, f"[yellow]{escape(line)}[/]" if fault.failed else escape(line))
        if hint := _hint(fault):
            print_line(console, f"  [cyan]hint:[/] {escape(hint)}")


def show_servers(console: Console, result: EvalResult) -> None:
    """Who answered how much, where several servers were asked, and who was left out."""
    if len(result.servers) < 2:
        return
    for server in result.servers:
        line = f"{server.server} answered {counted(server.cases, 'case')}"
        if server.left_out:
            line += f" and was left out: {server.left_out}"
        print_line(console, f"[yellow]{escape(line)}[/]" if server.left_out else escape(line))


def _hint(fault: AnswerFault) -> str:
    """How to let cut answers end, where being cut costs score."""
    if fault.kind != "cut" or not fault.failed:
        return ""
    cost = f"{fault.failed} of them scored less than 1"
    if fault.max_tokens >= MOST_TOKENS:
        return f"{cost}, at the largest limit that a case can have: the model doesn't end its answers"
    more = min(2 * fault.max_tokens, MOST_TOKENS)
    return f'{cost}: max_tokens = {more} in these cases, "max_tokens": {more} in their lines'


def _named(cases: Sequence[str]) -> str:
    return ", ".join(cases[:_MOST_CASES]) + (", ..." if len(cases) > _MOST_CASES else "")
