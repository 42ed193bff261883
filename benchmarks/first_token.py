"""The time to the first token with a long prompt of tools, through the front: python -m benchmarks.first_token

Three servers of one model are asked in turns, streamed:

- `plain`: mlx_lm.server, asked directly.
- `front`: the same process through `topcoat serve --upstream`. What it takes longer, the front takes.
- `serve`: `topcoat serve` with the model server of its own.

In the series `cold` every prompt is another one from its first words on. In `warm` all begin with the same tools, so
that mlx_lm.server's own cache of prompts helps. The reported ratio is that of the medians. In `restart` each request is
the first one of a new `topcoat serve`: with the file of what was computed of the tools before (`kept`), or without one.

The embedded model knows 2,048 tokens and no tools but those in its system prompt, so its prompts have some 1,800. The
larger model is random, 2 layers 512 wide in float32, and its chat template writes the request's tools: some 4,000
tokens. `plain` gets the BLAS that topcoat loads; `--installed` measures it as pip installs it on Linux.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import os
import platform
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import ClientError, ClientSession

from tests.support.usage.serving import serving
from tests.support.usage.swaps import add_model
from topcoat.demo import TEMPLATE
from topcoat.engine.mlx import open_engine
from topcoat.progress import Silent
from topcoat.project.session import open_session
from topcoat.project.starting import copy_demo
from topcoat.store.paths import ProjectPaths

CHAT = "/v1/chat/completions"
BASE = TEMPLATE / "models" / "phase33b"
LARGE = "large"
MOST = 1.05
"""No first token may come later through the front than this many times what it takes directly."""
PAUSE = 0.3
"""Seconds before each request. A server tidies up after an answer."""
WORDS = ("file", "branch", "commit", "symbol", "module", "test", "range", "line", "path", "name", "rule", "report")
TOOLS_TEMPLATE = (
    "{% if tools %}<|im_start|>system\n# Tools\n{% for tool in tools %}{{ tool | tojson }}\n{% endfor %}<|im_end|>\n"
    "{% endif %}{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@dataclass(frozen=True)
class Beginning:
    """What a prompt begins with: the request's tools, and a system prompt."""

    system: str
    tools: list[dict[str, Any]] = field(default_factory=list)

    def body(self, task: str, *, max_tokens: int = 4) -> dict[str, Any]:
        turns = [{"role": "system", "content": self.system}, {"role": "user", "content": f"Task {task}: rename it."}]
        asked = {"messages": turns, "stream": True, "max_tokens": max_tokens, "temperature": 0.0}
        return {**asked, "stream_options": {"include_usage": True}, **({"tools": self.tools} if self.tools else {})}


@dataclass(frozen=True)
class Came:
    """An answer: seconds to its first token, and the tokens of its prompt, of which some were in a cache."""

    seconds: float
    tokens: int
    cached: int


@dataclass
class Series:
    """The answers of one series by server, in the order in which they were asked."""

    name: str
    model: str
    came: dict[str, list[Came]]

    def report(self) -> dict[str, Any]:
        medians = {side: statistics.median(one.seconds for one in came) for side, came in self.came.items()}
        beside = {side: seconds / medians["plain"] for side, seconds in medians.items() if side != "plain"}
        return {
            "series": self.name,
            "model": self.model,
            "rounds": len(self.came["plain"]),
            "prompt_tokens": statistics.median(one.tokens for came in self.came.values() for one in came),
            "cached_tokens": {side: statistics.median(one.cached for one in came) for side, came in self.came.items()},
            "seconds": {side: [round(one.seconds, 5) for one in came] for side, came in self.came.items()},
            "median_seconds": medians,
            "ratios": beside,
        }


def tool(name: str, number: int) -> dict[str, Any]:
    """One tool of the size that agents' tools have."""
    words = [WORDS[(number * 7 + step) % len(WORDS)] for step in range(14)]
    properties = {
        f"{word}_{step}": {"type": "string", "description": f"the {word}"} for step, word in enumerate(words[:3])
    }
    parameters = {"type": "object", "properties": properties, "required": list(properties)[:1]}
    function = {"name": name, "description": f"{name}: finds the {' '.join(words)}", "parameters": parameters}
    return {"type": "function", "function": function}


def beginning(word: str, tokens: int, count: Callable[[str], int], *, as_tools: bool) -> Beginning:
    """Some `tokens` of tools whose first words are `word`, as the request's tools or in the system prompt."""
    tools: list[dict[str, Any]] = []
    length = 0
    while length < tokens:
        tools.append(tool(f"{word}_{len(tools)}", len(tools)))
        length += count(json.dumps(tools[-1]) + "\n")
    if as_tools:
        return Beginning(f"{word}: you are a coding agent.", tools)
    return Beginning(f"{word}: you are a coding agent with these tools.\n" + "\n".join(map(json.dumps, tools)))


def counter(folder: Path) -> Callable[[str], int]:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    return lambda text: len(tokenizer.encode(text).ids)


def write_large(folder: Path) -> None:
    """A random model with the embedded one's tokenizer, and a chat template that writes tools."""
    import mlx.core as mx
    from mlx.utils import tree_flatten
    from mlx_lm.models.qwen3 import Model, ModelArgs

    shutil.copytree(BASE, folder)
    config = json.loads((BASE / "config.json").read_text())
    for key in ("quantization", "quantization_config"):
        config.pop(key)
    config |= {"hidden_size": 512, "intermediate_size": 2048, "num_hidden_layers": 2, "num_attention_heads": 4}
    config |= {"num_key_value_heads": 2, "head_dim": 64, "max_position_embeddings": 32768}
    mx.random.seed(0)
    weights = dict(tree_flatten(Model(ModelArgs.from_dict(config)).parameters()))
    mx.save_safetensors(str(folder / "model.safetensors"), weights, metadata={"format": "mlx"})
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "chat_template.jinja").write_text(TOOLS_TEMPLATE)
    told = json.loads((folder / "tokenizer_config.json").read_text())
    told |= {"chat_template": TOOLS_TEMPLATE, "model_max_length": 32768}
    (folder / "tokenizer_config.json").write_text(json.dumps(told))


def make_project(folder: Path, *, large: bool) -> Path:
    """The embedded project. With `large`, the large model is its production model."""
    copy_demo(folder)
    if large:
        engine = open_engine(Silent())
        add_model(folder, LARGE, engine, write_large)
        with open_session(folder, engine, Silent(), "benchmark") as session:
            session.lineage.promote(LARGE, "benchmark")
    return folder


async def ask(client: ClientSession, url: str, body: dict[str, Any]) -> Came:
    """Ask, and read the whole answer."""
    usage: dict[str, Any] = {}
    started, first = time.perf_counter(), 0.0
    async with client.post(url + CHAT, json=body) as answer:
        assert answer.status == 200, await answer.text()
        async for line in answer.content:
            if not line.startswith(b"data: {"):
                continue  # also the comments that keep the connection alive
            first = first or time.perf_counter() - started
            usage = json.loads(line[6:]).get("usage") or usage
    details = usage.get("prompt_tokens_details") or {}
    return Came(first, usage["prompt_tokens"], details.get("cached_tokens", 0))


async def in_turns(
    urls: dict[str, str], rounds: int, body: Callable[[str, int], dict[str, Any]]
) -> dict[str, list[Came]]:
    """Ask every server in each round, in every order equally often. `body` makes a request of a server's name."""
    came: dict[str, list[Came]] = {side: [] for side in urls}
    orders = list(itertools.permutations(urls))
    async with ClientSession() as client:
        for number in range(-1, rounds):
            for side in orders[number % len(orders)]:
                await asyncio.sleep(PAUSE)
                found = await ask(client, urls[side], body(side, number))
                if number >= 0:  # the first round warms what is compiled and allocated
                    came[side].append(found)
    return came


@contextlib.contextmanager
def plain_server(model: Path, *, installed: bool) -> Iterator[str]:
    """mlx_lm.server on a free port. Gives its URL."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    own = [] if installed else ["--fast-blas"]
    options = ["--model", str(model), "--port", str(port), "--log-level", "ERROR"]
    command = [sys.executable, "-m", "benchmarks.first_token", "--plain", *own, *options]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            asyncio.run(until_ready(f"http://127.0.0.1:{port}"))
            yield f"http://127.0.0.1:{port}"
        finally:
            process.kill()


async def until_ready(url: str) -> None:
    async with ClientSession() as client, asyncio.timeout(300):
        while True:
            with contextlib.suppress(ClientError, OSError):
                await ask(client, url, Beginning("a").body("0", max_tokens=1))
                return
            await asyncio.sleep(0.2)


def run_plain(options: Sequence[str]) -> None:
    """mlx_lm.server with these options, in this process."""
    if "--fast-blas" in options:
        from topcoat.engine.mlx.cpu.blas import load_fast_blas

        load_fast_blas()
    from mlx_lm import server

    sys.argv = ["mlx_lm.server", *(option for option in options if option != "--fast-blas")]
    server.main()


def root_of(url: str) -> str:
    return url.removesuffix("/v1")


def measure(project: Path, model: Path, tokens: int, options: argparse.Namespace) -> list[Series]:
    count, as_tools = counter(model), model.name == LARGE
    same = beginning("same", tokens, count, as_tools=as_tools)

    def cold(side: str, number: int) -> dict[str, Any]:
        other = beginning(f"{side}{number + 1}x{os.getpid()}", tokens, count, as_tools=as_tools)
        return other.body(f"{side} {number}")

    def warm(side: str, number: int) -> dict[str, Any]:
        return same.body(f"{side} {number}")

    with (
        plain_server(model, installed=options.installed) as plain,
        serving(project, "--upstream", plain) as front,
        serving(project) as served,
    ):
        urls = {"plain": plain, "front": root_of(front.url), "serve": root_of(served.url)}
        found = []
        for name, body, rounds in (("cold", cold, options.rounds), ("warm", warm, options.rounds * 3)):
            found.append(Series(name, model.name, asyncio.run(in_turns(urls, rounds, body))))
            show(found[-1].report())
        for running in (front, served):
            running.end()
    return found


def measure_restarts(project: Path, model: Path, tokens: int, rounds: int) -> dict[str, Any]:
    """The first answer of a server that was just started, with the kept beginning and without."""
    same = beginning("kept", tokens, counter(model), as_tools=model.name == LARGE)
    folder = ProjectPaths(project).beginnings
    came: dict[str, list[Came]] = {"none": [], "kept": []}
    for number in range(rounds):
        shutil.rmtree(folder, ignore_errors=True)
        for side, found in came.items():
            with serving(project) as running:
                found.append(asyncio.run(first_answer(root_of(running.url), same.body(f"{side} {number}"))))
                running.end()
    medians = {side: statistics.median(one.seconds for one in found) for side, found in came.items()}
    report = {
        "series": "restart",
        "model": model.name,
        "rounds": rounds,
        "prompt_tokens": came["kept"][0].tokens,
        "cached_tokens": {side: found[0].cached for side, found in came.items()},
        "seconds": {side: [round(one.seconds, 5) for one in found] for side, found in came.items()},
        "median_seconds": medians,
        "ratios": {"kept": medians["kept"] / medians["none"]},
    }
    show(report, "none")
    return report


async def first_answer(url: str, body: dict[str, Any]) -> Came:
    async with ClientSession() as client:
        return await ask(client, url, body)


def show(report: dict[str, Any], beside: str = "plain") -> None:
    print(
        f"{report['model']}, {report['series']}: {report['prompt_tokens']:.0f} tokens of prompt,"
        f" {report['rounds']} rounds; cached of them: {report['cached_tokens']}"
    )
    for side, seconds in report["median_seconds"].items():
        ratio = f", {report['ratios'][side]:.3f} times {beside}" if side != beside else ""
        print(f"  {side:6} {seconds * 1000:9.1f} ms to the first token{ratio}")
    sys.stdout.flush()


def main() -> None:
    if sys.argv[1:2] == ["--plain"]:
        run_plain(sys.argv[2:])
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--restarts", type=int, default=3)
    parser.add_argument("--models", default="embedded,large")
    parser.add_argument("--tokens", type=int, default=4000, help="of the larger model's prompt")
    parser.add_argument("--installed", action="store_true", help="plain mlx_lm.server with the BLAS that pip installs")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    report: dict[str, Any] = {"machine": platform.platform(), "cores": os.cpu_count(), "series": []}
    with tempfile.TemporaryDirectory() as scratch:
        for name in options.models.split(","):
            project = make_project(Path(scratch) / name, large=name == LARGE)
            model = project / ".topcoat" / "models" / LARGE if name == LARGE else project / "models" / BASE.name
            tokens = options.tokens if name == LARGE else 1750
            report["series"] += [one.report() for one in measure(project, model, tokens, options)]
            report["series"].append(measure_restarts(project, model, tokens, options.restarts))
    slower = [one for one in report["series"] if one["ratios"].get("front", 0.0) > MOST]
    print(f"through the front at most {MOST} times plain: {'no' if slower else 'yes'}")
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
