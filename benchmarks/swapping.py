"""Production changes every ten seconds while 500 requests are asked: python -m benchmarks.swapping

Two models of one project: the embedded one, and one made worse on purpose, which knows two words alone. So an answer
tells who gave it. The requests are asked at 20 at a time through OpenAI's client, which tries nothing again, every
other one streamed. Meanwhile the other model is promoted, rolled back, and so on. It counts the requests that failed,
that two models answered, and that were recorded with another model's name or answer.

`--swap beside` and `--swap wait` choose how; without it both are measured. `--kills N` kills the server N times at a
random moment of a swap instead, and compares what the clients saw with the events. `--memory GB` serves two models that
have their files in common, and says how much memory their servers share (Linux).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import shutil
import signal
import statistics
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.support.usage.serving import is_alive, serving
from tests.support.usage.swaps import Asked, add_model, ask_many, stuck_model
from topcoat.demo import TEMPLATE
from topcoat.engine.mlx import open_engine
from topcoat.engine.registry import ENGINES
from topcoat.progress import Silent
from topcoat.project.session import open_session
from topcoat.project.starting import copy_demo
from topcoat.usage.capture.served.model_server import model_server
from topcoat.usage.importing import open_log

BASE, OTHER = "phase33b", "other"


def make_project(folder: Path) -> Path:
    copy_demo(folder)
    add_model(folder, OTHER, open_engine(Silent()), stuck_model)
    return folder


def change(project: Path) -> str:
    """Promote the other model, or roll back where it is production. Returns what production is then."""
    with open_session(project, open_engine(Silent()), Silent(), "benchmark") as session:
        if session.lineage.production() == BASE:
            session.lineage.promote(OTHER, "benchmark")
        else:
            session.lineage.rollback("benchmark")
        return session.lineage.production() or ""


def questions(first: int, number: int) -> list[str]:
    return [f"Could you run ruff on src/part{n}.py?" for n in range(first, first + number)]


def check(answers: list[Asked], project: Path) -> dict[str, int]:
    with open_log(project) as log:
        recorded = {event.query: (event.answer, event.model) for event in log.events()}
    return {
        "answered by both models": sum(answer.giver == "both" for answer in answers),
        "with another model's header": sum(answer.giver != answer.model for answer in answers),
        "not recorded": sum(answer.question not in recorded for answer in answers),
        "recorded with another model or answer": sum(
            recorded.get(answer.question, (answer.text, answer.model)) != (answer.text, answer.model)
            for answer in answers
        ),
    }


def measure(project: Path, swap: str, options: argparse.Namespace) -> None:
    over, changes = threading.Event(), []

    def change_often() -> None:
        while not over.wait(options.every):
            changes.append(change(project))

    with serving(project, "--swap", swap) as server:
        changing = threading.Thread(target=change_often)
        changing.start()
        started = time.perf_counter()
        answers, failed = ask_many(server.url, questions(0, options.requests), at_a_time=options.at_a_time)
        seconds = time.perf_counter() - started
        over.set()
        changing.join()
        server.end()
    swaps = sum(line.startswith("serving ") and " at http" not in line for line in server.printed)
    taken = sorted(answer.seconds for answer in answers)
    given = {name: sum(answer.model == name for answer in answers) for name in (BASE, OTHER)}
    print(f"--swap {swap}: {options.requests} requests in {seconds:.0f} s, {len(changes)} changes, {swaps} swaps")
    print("\n    ".join([f"  failed: {len(failed)}", *map(str, failed[:3])]))
    print("\n".join(f"  {what}: {number}" for what, number in check(answers, project).items()))
    print(f"  answers by model: {given}")
    print(f"  an answer took {statistics.median(taken):.2f} s (median), the slowest {taken[-1]:.2f} s")


def kill_often(project: Path, options: argparse.Namespace) -> None:
    """Kill the server at a random moment of a swap, and look at what is left."""
    chance = random.Random(1)
    seen: list[Asked] = []
    left = wrong = 0
    for number in range(options.kills):
        with serving(project, "--swap", ("beside", "wait")[number % 2]) as server, ThreadPoolExecutor(1) as pool:
            some = questions(1000 * (number + 1), 200)
            asking = pool.submit(ask_many, server.url, some, at_a_time=options.at_a_time)
            time.sleep(1)
            production = change(project)
            time.sleep(chance.uniform(0, options.every))
            children = server.children()
            server.end(signal.SIGKILL)
            seen += asking.result()[0]
        left += sum(map(is_alive, after_a_while(children)))
        with open_session(project, open_engine(Silent()), Silent(), "benchmark") as session:
            wrong += session.lineage.production() != production or session.lineage.problems() != []
    print(f"{options.kills} servers killed: {left} of their model servers left, {wrong} with another production")
    print(f"  of {len(seen)} answers whose end a client saw:")
    print("\n".join(f"  {what}: {number}" for what, number in check(seen, project).items()))


def after_a_while(processes: list[int]) -> list[int]:
    """The processes, when they have ended or half a minute later: one that is starting looks for its parent late."""
    deadline = time.monotonic() + 30
    while any(map(is_alive, processes)) and time.monotonic() < deadline:
        time.sleep(0.1)
    return processes


async def weigh(folder: Path, gigabytes: float) -> None:
    """Two servers of models whose files are the same on the disk, and what they share in memory."""
    first, second = folder / "first", folder / "second"
    write_large(first, gigabytes)
    shutil.copytree(first, second, copy_function=lambda source, target: Path(target).hardlink_to(source))
    size = sum(file.stat().st_size for file in first.iterdir())
    print(f"two servers of {size / 1e9:.2f} GB of files, which the two models have in common:")
    mlx = ENGINES["mlx"]
    async with model_server(mlx, first, (), {}) as one, model_server(mlx, second, (), {}) as two:
        for server in (one, two):
            text = Path(f"/proc/{server.process.pid}/smaps_rollup").read_text()
            kilobytes = dict(re.findall(r"^(\w+):\s+(\d+) kB", text, re.MULTILINE))
            figures = [f"{name} {int(kilobytes[name]) / 1e6:.2f} GB" for name in ("Rss", "Pss", "Pss_Anon", "Pss_File")]
            print(f"  {server.model.name}: {', '.join(figures)}")


def write_large(folder: Path, gigabytes: float) -> None:
    """The embedded model's kind with more layers, random and in float16."""
    import mlx.core as mx
    from mlx.utils import tree_flatten
    from mlx_lm.models.qwen3 import Model, ModelArgs

    base = TEMPLATE / "models" / BASE
    shutil.copytree(base, folder)
    config = json.loads((base / "config.json").read_text())
    for key in ("quantization", "quantization_config"):
        config.pop(key)
    config |= {"hidden_size": 1024, "intermediate_size": 4096, "num_attention_heads": 16, "num_key_value_heads": 8}
    config |= {"head_dim": 64, "num_hidden_layers": max(1, round(gigabytes * 1e9 / 31.5e6)), "torch_dtype": "float16"}
    (folder / "config.json").write_text(json.dumps(config))
    weights = dict(tree_flatten(Model(ModelArgs.from_dict(config)).parameters()))
    small = {name: value.astype(mx.float16) for name, value in weights.items()}
    mx.save_safetensors(str(folder / "model.safetensors"), small, metadata={"format": "mlx"})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=500)
    parser.add_argument("--at-a-time", type=int, default=20)
    parser.add_argument("--every", type=float, default=10.0, help="seconds between two changes of production")
    parser.add_argument("--swap", choices=("beside", "wait", "auto"))
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--memory", type=float, default=0.0, metavar="GB")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if options.memory:
            asyncio.run(weigh(Path(folder), options.memory))
            return
        if options.kills:
            kill_often(make_project(Path(folder) / "kills"), options)
            return
        for swap in [options.swap] if options.swap else ["beside", "wait"]:
            measure(make_project(Path(folder) / swap), swap, options)


if __name__ == "__main__":
    main()
