"""mlx_lm.server itself, with small models of each kind of cache, begun again beside the files of an earlier one."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.support.mlx.models import MakeModel
from tests.support.mlx.prompt_server import prompt_server
from topcoat.engine.beginnings import Kept
from topcoat.engine.mlx.serve import beginnings as beginnings_module
from topcoat.engine.mlx.serve.beginnings import keep_beginnings

SYSTEM = " ".join(f"Rule {number}: file {number * 7} has lines." for number in range(40))
RECURRENT = {"state_size": 4, "conv_kernel": 4, "expand": 2, "intermediate_size": 128, "time_step_rank": 4}
MAMBA = {**RECURRENT, "use_bias": False, "use_conv_bias": True}
WINDOW = {
    "sliding_window": 64,
    "sliding_window_pattern": 2,
    "rope_local_base_freq": 10000.0,
    "query_pre_attn_scalar": 32,
}
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "plain": ("qwen3", {}),
    "rotating": ("gemma3_text", WINDOW),
    "recurrent": ("mamba", MAMBA),
}


@dataclass
class Asking:
    """A server with the model, and what it said to the user."""

    ask: Callable[..., tuple[str, int]]
    said: list[str] = field(default_factory=list)

    def until_said(self, word: str) -> str:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            if found := [line for line in self.said if word in line]:
                return found[0]
            time.sleep(0.02)
        raise AssertionError(self.said)


@contextmanager
def server(model: Path, folder: Path | None, *options: str, most: int = 10**9) -> Iterator[Asking]:
    """mlx_lm.server, which keeps beginnings in `folder`. `ask` gives the answer and how many tokens were in a cache."""
    said: list[str] = []

    def prepare(module: Any) -> None:
        if folder is not None:
            keep_beginnings(module, Kept(folder, most, model.name), "tests", said.append)

    with prompt_server("--model", str(model), *options, prepare=prepare) as running:

        def ask(user: str, system: str = SYSTEM, **body: Any) -> tuple[str, int]:
            turns = [*([{"role": "system", "content": system}] if system else []), {"role": "user", "content": user}]
            asked = {"max_tokens": 12, "temperature": 0.0, **body}
            answer = running.answer(Path("default_model"), turns, **asked)
            usage = answer["usage"]
            return answer["choices"][0]["message"]["content"], usage["prompt_tokens_details"]["cached_tokens"]

        yield Asking(ask, said)


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beginnings_module, "_IDLE_SECONDS", 0.0)


@pytest.fixture(params=KINDS)
def model(request: pytest.FixtureRequest, make_model: MakeModel) -> Path:
    kind, shape = KINDS[request.param]
    return make_model(kind, bits=None, **shape)


@pytest.mark.slow
def test_after_a_restart_the_first_answer_is_the_same_and_the_beginning_is_not_computed(
    model: Path, tmp_path: Path
) -> None:
    with server(model, None) as plain:
        expected, cached = plain.ask("Rename a file.")
    assert cached == 0
    with server(model, tmp_path) as first:
        first.ask("Find a line.")
        assert "kept on disk" in first.until_said("kept")
    with server(model, tmp_path) as again:
        answer, cached = again.ask("Rename a file.")
        assert answer == expected
        assert cached > 400
        assert f"{cached} tokens of system prompt and tools were read" in again.until_said("read")
        assert again.ask("Rename a file.")[0] == expected


@pytest.mark.slow
def test_only_caches_that_can_be_cut_serve_a_prompt_that_shares_a_part(model: Path, tmp_path: Path) -> None:
    other = SYSTEM[: len(SYSTEM) * 4 // 5] + " And now for something else."
    with server(model, None) as plain:
        expected, _ = plain.ask("Rename a file.", other)
    with server(model, tmp_path) as first:
        first.ask("Find a line.")
        first.until_said("kept")
    with server(model, tmp_path) as again:
        answer, cached = again.ask("Rename a file.", other)
        assert answer == expected
        assert (cached > 250) == model.name.startswith("qwen3")


@pytest.mark.slow
def test_a_damaged_file_is_said_and_written_again(make_model: MakeModel, tmp_path: Path) -> None:
    model = make_model(bits=None)
    with server(model, tmp_path) as first:
        expected, _ = first.ask("Find a line.")
        first.until_said("kept")
    (file,) = tmp_path.glob("*/*.safetensors")
    file.write_bytes(file.read_bytes()[:-1])
    with server(model, tmp_path) as again:
        assert again.ask("Find a line.") == (expected, 0)
        assert "damaged" in again.until_said("damaged")
        again.until_said("kept on disk")
    with server(model, tmp_path) as third:
        answer, cached = third.ask("Find a line.")
        assert (answer, cached > 400) == (expected, True)


@pytest.mark.slow
def test_tools_without_a_system_prompt_are_a_beginning_too(make_model: MakeModel, tmp_path: Path) -> None:
    model = make_model("gemma3_text", bits=None, **WINDOW)
    template = (
        "{% for tool in tools or [] %}{{ tool | tojson }}\n{% endfor %}"
        "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
        "{{ message['content'] }}<|im_end|>\n{% endfor %}"
    )
    parameters = {"type": "object", "properties": {"path": {"type": "string", "description": "the file's path"}}}
    tools = [
        {"type": "function", "function": {"name": f"tool_{number}", "description": "reads", "parameters": parameters}}
        for number in range(12)
    ]
    options = ("--chat-template", template)
    with server(model, None, *options) as plain:
        expected, _ = plain.ask("Rename a file.", "", tools=tools)
    with server(model, tmp_path, *options) as first:
        first.ask("Find a line.", "", tools=tools)
        first.until_said("kept")
    with server(model, tmp_path, *options) as again:
        answer, cached = again.ask("Rename a file.", "", tools=tools)
        assert answer == expected
        assert cached > 400


@pytest.mark.slow
@pytest.mark.parametrize(("options", "most", "word"), [(("--kv-bits", "8"), 10**9, "--kv-bits"), ((), 1000, "kept_mb")])
def test_what_cannot_be_kept_is_said_once(
    make_model: MakeModel, tmp_path: Path, options: tuple[str, ...], most: int, word: str
) -> None:
    with server(make_model(bits=None), tmp_path, *options, most=most) as running:
        running.ask("Find a line.")
        running.until_said(word)
        running.ask("Rename a file.", SYSTEM + SYSTEM)
        time.sleep(0.5)
        assert len(running.said) == 1
    assert list(tmp_path.glob("*/*.safetensors")) == []


@pytest.mark.slow
def test_a_beginning_with_a_secret_is_not_kept(make_model: MakeModel, tmp_path: Path) -> None:
    key = "ghp_" + "aB3dE6gH9jK2mN5pQ8sT1vW4yZ7bC0eF3hJ6"
    with server(make_model(bits=None), tmp_path) as running:
        running.ask("Find a line.", f"{SYSTEM} The key is {key} for now.")
        assert "holds a secret" in running.until_said("secret")
        assert key not in running.said[0]
        running.ask("Find a line.")
        running.until_said("kept on disk (")
    assert len(list(tmp_path.glob("*/*.safetensors"))) == 1
