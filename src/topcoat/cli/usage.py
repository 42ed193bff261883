"""What extraction and review show on the terminal."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape

from topcoat.cli.console import print_line
from topcoat.examples.checks.codes import CODES
from topcoat.quantity import counted
from topcoat.usage.extraction.extract import REJECTIONS, Extraction
from topcoat.usage.extraction.rules import REASONS

__all__ = ["show_extraction"]


def show_extraction(console: Console, found: Extraction) -> None:
    """What was found, what was rejected, and why."""
    reasons = CODES | REASONS | REJECTIONS
    total = sum(found.examples.values())
    sessions = f"{counted(found.sessions, 'session')}, {found.held_out} of them held out"
    print_line(console, f"{sessions}: {counted(found.candidates, 'candidate')}")
    for category in {**found.asked, **found.examples}:
        asked = f" of {found.asked[category]}" if category in found.asked else ""
        print_line(console, f"  {escape(category)}: {found.examples.get(category, 0)}{asked}")
    if found.kinds:
        print_line(console, "  of kind " + ", ".join(f"{kind} {count}" for kind, count in found.kinds.items()))
    if found.rejected:
        print_line(console, f"rejected: {sum(found.rejected.values())}")
    for code, count in found.rejected.items():
        print_line(console, f"  {count:4} {code}: {escape(reasons[code])}")
    if total:
        print_line(console, f"wrote {escape(found.path)}: {counted(total, 'example')}")
    else:
        print_line(console, f"no example is left: {escape(found.path)} was not written")
    if found.cases:
        print_line(console, f"wrote {escape(found.suite)}: {counted(found.cases, 'case')}")
