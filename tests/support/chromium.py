"""A real Chromium without a screen, driven through its DevTools protocol by Playwright."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

__all__ = ["AXE", "browser", "faults_of", "page_of"]

AXE = Path(__file__).parent / "axe" / "axe.min.js"
"""axe-core, which finds what hinders people with disabilities (its licence stands beside it)."""
_NAMES = ("chromium", "chromium-browser", "google-chrome")
_QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@contextmanager
def browser() -> Iterator[Any]:
    """Chromium, or the test is skipped with what is missing."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright isn't installed")
    path = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, _NAMES)), None)
    if path is None:
        pytest.skip("there is no Chromium: apt-get install chromium, or CHROMIUM=/path/to/it")
    with playwright.sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=path, args=[*_QUIET])
        try:
            yield running
        finally:
            running.close()


@contextmanager
def page_of(running: Any, link: str, **options: Any) -> Iterator[Any]:
    """A page in a new profile that opened a studio's link. Everything that it complains about is in its `said`.

    What the pages' content policy forbids is among that.
    """
    context = running.new_context(**options)
    page = context.new_page()
    page.said = []
    page.on("console", lambda message: page.said.append(message.text) if message.type != "log" else None)
    page.on("pageerror", lambda error: page.said.append(str(error)))
    page.on("dialog", lambda dialog: (page.said.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    page.goto(link)
    try:
        yield page
    finally:
        context.close()


def faults_of(page: Any) -> list[str]:
    """What axe-core finds on the page, each with its first places. The page's context has to bypass its policy."""
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate("axe.run(document)")
    return [f"{fault['id']}: {[node['target'] for node in fault['nodes']][:3]}" for fault in found["violations"]]
