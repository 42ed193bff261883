"""The documentation site. `make docs` builds it, and fails for a link that leads nowhere."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


def pages(navigation: list[dict[str, Any]]) -> Iterator[str]:
    for entry in navigation:
        for place in entry.values():
            yield from [place] if isinstance(place, str) else pages(place)


def test_every_page_stands_in_the_navigation_once() -> None:
    navigation = tomllib.loads((ROOT / "zensical.toml").read_text())["project"]["nav"]
    docs = ROOT / "docs"
    assert sorted(pages(navigation)) == sorted(str(path.relative_to(docs)) for path in docs.rglob("*.md"))
