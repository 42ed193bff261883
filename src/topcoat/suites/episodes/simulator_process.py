"""The process of a simulator: `python simulator_process.py FILE CLASS SECONDS MEMORY`. Imports nothing of topcoat.

It loads the user's file once, and makes a process for each episode from it by forking. So episodes can't touch each
other's state, and one that crashes or hangs costs itself alone. It reads one JSON object a line and answers with one:

    {"begin": ID, "start": {...}, "methods": [...]}   {}
    {"call": ID, "tool": "order", "args": {...}}      {"value": ...} or {"error": "...", "line": 12}
    {"state": ID}                                     {"value": {...}} or {"error": "...", "line": 12}
    {"end": ID}                                       {}

`line` is that of the simulator's file. Each request has SECONDS; then it fails, and a process that can't even do that
is killed a second later. MEMORY is the address space of an episode's process, in bytes above that of the loaded file
(macOS doesn't enforce it). Connections are refused: a simulator is no client. What the code prints goes to stderr.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import resource
import select
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import asdict, is_dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

_GRACE = 1.0
_LONGEST = 2**24
"""The most bytes of one answer."""
_DEEPEST = 20


class OutOfTime(BaseException):
    """The time of a request is up. No `Exception`, so that the simulator's own handlers don't catch it."""


class NoNetwork(OSError):
    """A simulator tried to connect."""


def document(value: object, depth: int = 0) -> Any:
    """A value as JSON: objects as their public attributes, sets sorted, anything else as Python shows it."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if value - value == 0.0 else repr(value)
    if depth > _DEEPEST:
        raise ValueError("the value is nested too deeply, or holds itself")
    if isinstance(value, dict):
        return {str(name): document(item, depth + 1) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [document(item, depth + 1) for item in value]
    if isinstance(value, set | frozenset):
        return sorted((document(item, depth + 1) for item in value), key=repr)
    if is_dataclass(value) and not isinstance(value, type):
        return document(asdict(value), depth + 1)
    if hasattr(value, "__dict__") and not isinstance(value, type) and not callable(value):
        return public(value, depth + 1)
    return repr(value)


def public(value: object, depth: int = 0) -> dict[str, Any]:
    """The attributes of an object that don't begin with an underscore."""
    return {name: document(item, depth) for name, item in vars(value).items() if not name.startswith("_")}


def failure(error: BaseException, file: str) -> dict[str, Any]:
    """What an error says, and the last line of the simulator's file that it came through."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == file]
    if isinstance(error, SyntaxError) and error.filename == file:
        lines.append(error.lineno)
    try:
        text = str(error)
    except Exception:  # an error of the simulator's own class may fail to say what it is
        text = ""
    said = "the time is up" if isinstance(error, OutOfTime) else f"{type(error).__name__}: {text}".removesuffix(": ")
    return {"error": said[:2000], "line": lines[-1] if lines else None}


def load(path: Path, name: str) -> type:
    """The class `name` of the file at `path`, which may import its neighbours."""
    sys.path.insert(0, str(path.parent))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    found = getattr(module, name)
    if not isinstance(found, type):
        raise TypeError(f"{name} is no class")
    return found


@contextlib.contextmanager
def timed(seconds: float) -> Iterator[None]:
    """Raises OutOfTime inside the block when the time is up."""

    def stop(signum: int, frame: object) -> None:
        raise OutOfTime

    signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def answer(request: dict[str, Any], simulator: Any) -> dict[str, Any]:
    """What the simulator says to a call, or its state."""
    if "state" in request:
        state = simulator.state() if callable(getattr(simulator, "state", None)) else public(simulator)
        if not isinstance(state, dict):
            raise TypeError("state() returns no dict")
        return {"value": document(state)}
    return {"value": document(getattr(simulator, request["tool"])(**request["args"]))}


def serve_episode(
    kind: type, file: str, begin: dict[str, Any], seconds: float, reading: BinaryIO, writing: BinaryIO
) -> None:
    """The loop of an episode's process: one request a line, one answer a line."""
    reply = _guarded(lambda: _begun(kind, begin), seconds, file)
    simulator = reply.pop("made", None)
    _write(writing, reply)
    own = os.getpid()
    for raw in reading:
        reply = _guarded(partial(answer, json.loads(raw), simulator), seconds, file)
        if os.getpid() != own:  # a process that the simulator forked came back, too
            os._exit(0)
        _write(writing, reply)


def _limit_memory(more: int) -> None:
    """Let this process take `more` bytes beside those that it has, where the system can tell and limit them."""
    if sys.platform == "linux":
        has = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (has + more, has + more))


def _begun(kind: type, begin: dict[str, Any]) -> dict[str, Any]:
    made = kind(**begin["start"])
    missing = [name for name in begin["methods"] if not callable(getattr(made, name, None))]
    if missing:
        raise AttributeError(f"{kind.__name__} has no method {missing[0]}")
    return {"made": made}


def _guarded(work: Callable[[], dict[str, Any]], seconds: float, file: str) -> dict[str, Any]:
    try:
        with timed(seconds):
            return work()
    except (Exception, OutOfTime, SystemExit) as error:
        return failure(error, file)


def _write(file: BinaryIO, reply: dict[str, Any]) -> None:
    try:
        text = json.dumps(reply) + "\n"
    except ValueError:  # Python writes no more than 4,300
        text = json.dumps({"error": "the result holds an integer of too many digits", "line": None}) + "\n"
    if len(text) > _LONGEST:
        text = json.dumps({"error": f"the result has more than {_LONGEST} characters", "line": None}) + "\n"
    file.write(text.encode())
    file.flush()


class Episodes:
    """The processes of episodes, by id."""

    def __init__(self, kind: type, file: str, seconds: float, memory: int) -> None:
        self.kind, self.file, self.seconds, self.memory = kind, file, seconds, memory
        self.running: dict[str, tuple[int, int, int]] = {}

    def begin(self, request: dict[str, Any]) -> dict[str, Any]:
        to_child, from_child = os.pipe(), os.pipe()
        pid = os.fork()
        if not pid:
            try:
                self._be_episode(request, to_child, from_child)
            finally:
                os._exit(0)
        os.close(to_child[0])
        os.close(from_child[1])
        self.running[request["begin"]] = pid, to_child[1], from_child[0]
        return self.read(request["begin"])

    def _be_episode(self, request: dict[str, Any], to_child: tuple[int, int], from_child: tuple[int, int]) -> None:
        """What the new process does, without the ends of the other ones' pipes."""
        others = [end for _, write, read in self.running.values() for end in (write, read)]
        for end in [to_child[1], from_child[0], *others]:
            os.close(end)
        _limit_memory(self.memory)
        with os.fdopen(to_child[0], "rb") as reading, os.fdopen(from_child[1], "wb") as writing:
            serve_episode(self.kind, self.file, request, self.seconds, reading, writing)

    def ask(self, name: str, request: dict[str, Any]) -> dict[str, Any]:
        if name not in self.running:
            return {"error": "the simulator's process has ended", "line": None}
        try:
            data = json.dumps(request).encode() + b"\n"
            while data:
                data = data[os.write(self.running[name][1], data) :]
        except OSError:
            self.end(name)
            return {"error": "the simulator's process has ended", "line": None}
        return self.read(name)

    def read(self, name: str) -> dict[str, Any]:
        """The episode's answer. A process that gives none in time is killed."""
        reading = self.running[name][2]
        waiting = select.poll()  # `select.select` takes no descriptor above 1023
        waiting.register(reading, select.POLLIN | select.POLLHUP)
        found = bytearray()
        while not found.endswith(b"\n"):
            ready = waiting.poll((self.seconds + _GRACE) * 1000)
            part = os.read(reading, 2**16) if ready else b""
            if not part:
                self.end(name)
                said = "the simulator's process has died" if ready else "the time is up, and its process was ended"
                return {"error": said, "line": None}
            found += part
        reply: dict[str, Any] = json.loads(found)
        return reply

    def end(self, name: str) -> dict[str, Any]:
        if name in self.running:
            pid, write, read = self.running.pop(name)
            os.close(write)
            os.close(read)
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        return {}

    def serve(self, request: dict[str, Any]) -> dict[str, Any]:
        if "begin" in request:
            return self.begin(request)
        if "end" in request:
            return self.end(request["end"])
        return self.ask(request.get("call") or request["state"], request)


def _refuse_connections(event: str, args: tuple[object, ...]) -> None:
    if event in ("socket.connect", "socket.getaddrinfo", "socket.bind"):
        raise NoNetwork("a simulator has no network")


def main() -> None:
    file, name, seconds, memory = sys.argv[1:5]
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    sys.addaudithook(_refuse_connections)
    try:
        with timed(float(seconds) * 10):
            kind = load(Path(file), name)
    except (Exception, OutOfTime, SystemExit) as error:
        _write(answers, failure(error, file))
        return
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):  # two descriptors an episode
        resource.setrlimit(resource.RLIMIT_NOFILE, (2**16 if most < 0 else min(most, 2**16), most))
    episodes = Episodes(kind, file, float(seconds), int(memory))
    _write(answers, {})
    for raw in sys.stdin.buffer:
        _write(answers, episodes.serve(json.loads(raw)))
    for name in [*episodes.running]:
        episodes.end(name)


if __name__ == "__main__":
    main()
