"""What `topcoat serve` adds to a request: python benchmarks/serve.py

A server that answers at once, asked directly and through the front, in turns: the medians and their difference, for
whole answers and for streams. Then fifty streams at a time, and whether everything was recorded. The dialogue has 20
turns, as an agent's has in the middle of its work.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from aiohttp import ClientSession, web

PIECES = 50
SYSTEM = "You are a coding agent with tools. " * 200
TURNS = [{"role": ("user", "assistant")[n % 2], "content": f"turn {n}: " + "some words " * 60} for n in range(19)]
CHAT = "/v1/chat/completions"


async def answer(request: web.Request) -> web.StreamResponse:
    body = await request.json()
    if not body.get("stream"):
        said = {"role": "assistant", "content": "word " * PIECES}
        return web.json_response({"choices": [{"index": 0, "message": said, "finish_reason": "stop"}]})
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    for _ in range(PIECES):
        await asyncio.sleep(body.get("pause", 0))
        piece = json.dumps({"choices": [{"index": 0, "delta": {"content": "word "}}]})
        await response.write(f"data: {piece}\n\n".encode())
    await response.write(b"data: [DONE]\n\n")
    return response


async def upstream() -> None:
    app = web.Application(client_max_size=1 << 30)
    app.router.add_post(CHAT, answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(f"at http://127.0.0.1:{runner.addresses[0][1]};", flush=True)
    await asyncio.Event().wait()


def body(number: int, *, stream: bool, pause: float = 0.0) -> bytes:
    messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": f"task {number}"}, *TURNS[1:]]
    return json.dumps({"messages": messages, "stream": stream, "pause": pause}).encode()


async def seconds(client: ClientSession, url: str, data: bytes) -> float:
    started = time.perf_counter()
    async with client.post(url + CHAT, data=data) as got:
        await got.read()
        assert got.status == 200
    return time.perf_counter() - started


async def measure(direct: str, front: str, rounds: int) -> None:
    async with ClientSession() as client:
        for stream in (False, True):
            times: dict[str, list[float]] = {direct: [], front: []}
            for number in range(rounds):
                for url in (direct, front) if number % 2 else (front, direct):
                    times[url].append(await seconds(client, url, body(number, stream=stream)))
            medians = {url: statistics.median(found) * 1000 for url, found in times.items()}
            what = f"a stream of {PIECES} pieces" if stream else "a whole answer"
            added = medians[front] - medians[direct]
            print(f"{what}: {medians[direct]:.2f} ms directly, {medians[front]:.2f} ms through: {added:.2f} ms more")
        for name, url in (("directly", direct), ("through the front", front)):
            asked = [seconds(client, url, body(n, stream=True, pause=0.02)) for n in range(50)]
            each = sorted(await asyncio.gather(*asked))
            print(
                f"50 streams of {PIECES} pieces 20 ms apart, {name}: median {each[25]:.2f} s, slowest {each[-1]:.2f} s"
            )
        async with client.get(front + "/health") as got:
            print((await got.json())["capture"])


def start(*command: str) -> tuple[subprocess.Popen[str], str]:
    process = subprocess.Popen([sys.executable, *command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if found := re.search(r"at (http://[\w.:]+)\S*;", line):
            return process, found[1]
    raise SystemExit(f"{command} did not start")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--upstream", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.upstream:
        asyncio.run(upstream())
        return
    with tempfile.TemporaryDirectory() as folder:
        from topcoat.project.starting import copy_demo

        project = Path(folder) / "demo"
        copy_demo(project)
        server, direct = start(__file__, "--upstream")
        arguments = ("serve", "--port", "0", "--upstream", direct)
        front, url = start("-m", "topcoat", "--project", str(project), *arguments)
        try:
            asyncio.run(measure(direct, url, options.rounds))
            front.send_signal(signal.SIGINT)
            print((front.stdout.read() if front.stdout else "").strip())
        finally:
            front.kill()
            server.kill()


if __name__ == "__main__":
    main()
