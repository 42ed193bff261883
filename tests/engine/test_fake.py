from __future__ import annotations

import os
import subprocess
import sys

ANSWERS = """
import hashlib, json
from topcoat.demo import TEMPLATE
from topcoat.engine.fake import _Memory

rows = [json.loads(line)["messages"] for line in (TEMPLATE / "data" / "phase33b.jsonl").read_text().splitlines()]
memory = _Memory([(row[1]["content"], row[2]["content"]) for row in rows])
cases = [json.loads(line) for line in (TEMPLATE / "suites" / "routing.jsonl").read_text().splitlines()]
answers = [memory.answer(case.get("prompt") or "") for case in cases]
print(hashlib.sha256(json.dumps(answers).encode()).hexdigest())
"""


def test_the_fake_answers_alike_in_every_process() -> None:
    said = {
        subprocess.run(
            [sys.executable, "-c", ANSWERS],
            env={**os.environ, "PYTHONHASHSEED": str(seed)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in range(6)
    }
    assert len(said) == 1
