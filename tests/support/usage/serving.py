"""`topcoat serve` as a process."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Running", "is_alive", "serving"]


@dataclass
class Running:
    process: subprocess.Popen[str]
    url: str = ""
    printed: list[str] = field(default_factory=list)

    def end(self, number: int = signal.SIGINT) -> int:
        self.process.send_signal(number)
        return self.process.wait(30)

    def children(self) -> list[int]:
        """The processes of the model servers."""
        listed = subprocess.run(["ps", "-eo", "pid,ppid"], capture_output=True, text=True, check=True).stdout
        return [int(a) for a, b in re.findall(r"(\d+)\s+(\d+)", listed) if int(b) == self.process.pid]

    def child(self) -> int:
        """The process of the only model server."""
        (child,) = self.children()
        return child


def is_alive(process: int) -> bool:
    """Whether a process runs. One that has ended and is listed still doesn't."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{process}/stat")
    return not (state.exists() and state.read_text().rpartition(")")[2].split()[0] == "Z")


@contextmanager
def serving(project: Path, *arguments: str, engine: str = "mlx") -> Iterator[Running]:
    topcoat = [sys.executable, "-m", "topcoat", "--engine", engine, "--project", str(project)]
    command = [*topcoat, "serve", "--port", "0", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        running, ready = Running(process), threading.Event()

        def read() -> None:
            assert process.stdout is not None
            for line in process.stdout:
                running.printed.append(line)
                if found := re.search(r"at (http://\S+);", line):
                    running.url = found[1]
                    ready.set()
            ready.set()

        reading = threading.Thread(target=read)
        reading.start()
        try:
            assert ready.wait(120)
            assert running.url, "".join(running.printed)
            yield running
        finally:
            process.kill()
            reading.join()
