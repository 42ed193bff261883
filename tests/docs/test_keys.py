"""The page of keys is what the spec says, whole."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel

from topcoat.spec.case_template import load_templates
from topcoat.spec.example import Example
from topcoat.spec.message import Message
from topcoat.spec.phase import PhaseSpec
from topcoat.spec.project import ProjectSpec
from topcoat.spec.reading.section import Section
from topcoat.spec.rules.rule import RULE_KEYS
from topcoat.spec.suite import Case

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "keys.md").read_text()
READERS = (load_templates, Case)
"""Imported so that every table of the spec is known."""


def tables() -> list[list[str]]:
    """The keys of each table of the page."""
    return [re.findall(r"^\| `(\w+)`", part, re.MULTILINE) for part in PAGE.split("| --- | --- | --- | --- |\n")[1:]]


def sections(of: type[BaseModel] = Section) -> Iterator[type[BaseModel]]:
    """Every table that a user writes. Files, and what reads a part of one, aren't tables."""
    for section in of.__subclasses__():
        own = section.__module__.startswith("topcoat.spec.") and not section.__name__.startswith("_")
        if own and section not in (ProjectSpec, PhaseSpec):
            yield section
        yield from sections(section)


def test_the_page_is_what_its_script_prints() -> None:
    script = [sys.executable, str(ROOT / "docs" / "make_keys.py")]
    assert subprocess.run(script, capture_output=True, text=True, check=True).stdout == PAGE


def test_every_key_of_the_spec_is_on_the_page() -> None:
    shown = tables()
    classes: list[type[BaseModel]] = [*sections(), Example, Message]
    assert len(classes) > 20
    assert [cls.__name__ for cls in classes if list(cls.model_fields) not in shown] == []
    assert list(RULE_KEYS) in shown


def test_every_key_has_a_meaning_that_is_a_sentence() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.+) \| (.+) \| (.+) \|$", PAGE, re.MULTILINE)
    assert len(rows) > 100
    assert [key for key, _, _, meaning in rows if not re.fullmatch(r"[A-Z0-9-].*\.", meaning)] == []
