"""`topcoat serve` is ended and begun again: what its model computed of the system prompt is there at once."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

import pytest
from openai import OpenAI

from tests.support.usage.serving import Running, serving
from topcoat.demo import TEMPLATE

pytestmark = pytest.mark.slow
SYSTEM = " ".join(f"Rule {number}: tool {number * 7} reads a file." for number in range(60))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    shutil.copytree(TEMPLATE, tmp_path / "project")
    return tmp_path / "project"


def ask(running: Running, question: str) -> tuple[str, int]:
    """An answer, and how many tokens of its prompt needn't be computed."""
    messages: list[Any] = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": question}]
    with OpenAI(base_url=running.url, api_key="-", max_retries=0) as client:
        answer = client.chat.completions.create(model="any", messages=messages, max_tokens=40, temperature=0.0)
    assert answer.usage is not None
    assert answer.usage.prompt_tokens_details is not None
    return answer.choices[0].message.content or "", answer.usage.prompt_tokens_details.cached_tokens or 0


def told(running: Running, words: str) -> bool:
    return any(words in line for line in running.printed)


def test_the_first_answer_after_a_restart_is_the_same_and_needs_no_system_prompt(project: Path) -> None:
    with serving(project) as running:
        expected, _ = ask(running, "Could you run ruff on src/app.py?")
        ask(running, "Run pytest on tests/app.")
        started = time.monotonic()
        assert running.end() == 0  # before the server is idle for long enough: it is written at the end
        assert time.monotonic() - started < 20
    assert told(running, "tokens of system prompt and tools are kept on disk")
    with serving(project) as running:
        answer, cached = ask(running, "Could you run ruff on src/app.py?")
        running.end()
    assert answer == expected
    assert cached > 500
    assert told(running, f"phase33b: {cached} tokens of system prompt and tools were read from the disk")


def test_nothing_is_kept_if_the_project_says_so(project: Path) -> None:
    with (project / "topcoat.toml").open("a") as settings:
        settings.write("\n[serve]\nkept_mb = 0\n")
    with serving(project) as running:
        ask(running, "Could you run ruff on src/app.py?")
        running.end()
    assert not (project / ".topcoat" / "cache" / "beginnings").exists()
    assert not told(running, "kept")
