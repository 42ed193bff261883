from __future__ import annotations

import io

from rich.console import Console

from topcoat.cli.console import print_line


def test_a_place_in_a_file_is_no_emoji() -> None:
    printed = io.StringIO()
    print_line(Console(file=printed), "data/valid.jsonl:100: [bold]near[/]")
    assert printed.getvalue() == "data/valid.jsonl:100: near\n"
