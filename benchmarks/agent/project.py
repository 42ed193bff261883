"""Makes the project: the base, the agent's catalog and data, the suite of both kinds of cases."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from pathlib import Path

from benchmarks.agent.cases import new_cases, taken
from benchmarks.agent.data import FILES, Row, data_folder, lines, new_questions, prompt_cases, trainable
from benchmarks.agent.examples import examples
from benchmarks.agent.tools import CATALOG_FILE, catalog
from benchmarks.real.commands import topcoat
from benchmarks.real.project import write_lines
from benchmarks.real.sources import fetch_model, gguf_file
from benchmarks.real.stages import Figures, Stage, Work
from topcoat.spec.agent import Agent
from topcoat.store.files import write_text

__all__ = ["MAKE", "SUITE", "TIERED", "agent", "project", "suite_rows"]

SUITE = "suites/agent.jsonl"
TIERED = "tiered.jsonl"
"""The 27 prompts as the agent's own evaluation judged them. They are asked once; their answers are scored twice."""
PROMPT = "prompts/system.md"
SETTINGS = """\
[project]
name = "agent"
base = "models/{model}"
catalog = "tools.pyi"
suite = "{suite}"
system_prompt = "{prompt}"
calls = "code"
"""


def project(work: Work) -> Path:
    return work.folder / "project"


def agent(folder: Path) -> Agent:
    """What the project in `folder` asks its models with."""
    return Agent(catalog(), system_prompt=(folder / PROMPT).read_text(encoding="utf-8").strip(), calls="code")


def suite_rows(folder: Path, name: str = SUITE) -> list[Row]:
    return [json.loads(line) for line in (folder / name).read_text(encoding="utf-8").splitlines()]


def _model(work: Work) -> Figures:
    """Begin the project around the base, and clear away what `init` gives as an example."""
    shutil.rmtree(project(work), ignore_errors=True)
    topcoat(work, work.folder, "init", project(work), "--base", gguf_file(work), "--catalog", CATALOG_FILE)
    for name in ("suites/routing.jsonl", "data/phase1.jsonl", "phases/phase1.toml"):
        (project(work) / name).unlink()
    return {"model": gguf_file(work).stem}


def _data(work: Work) -> Figures:
    """The agent's dialogues, and phase 34a's examples, with the one system prompt of its 27 prompts."""
    folder = data_folder()
    prompts = lines(folder, "prompts27.jsonl")
    (system,) = {row["system"] for row in prompts}
    asking = Agent(catalog(), system_prompt=system, calls="code")
    train, valid = ([trainable(row, system, asking) for row in lines(folder, name)] for name in FILES[:2])
    kept = new_questions(valid, train)
    targeted = examples(system)
    write_text(project(work) / PROMPT, f"{system}\n")
    for name, rows in (("phase33b", train), ("phase33b-valid", kept), ("phase34a", targeted)):
        write_lines(project(work) / "data" / f"{name}.jsonl", rows)
    given = lines(folder, "train.jsonl") + lines(folder, "valid.jsonl")
    return {
        "sha256": {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in FILES},
        "train": dict(Counter(row["category"] for row in train)),
        "valid": len(kept),
        "valid_left_out": len(valid) - len(kept),
        "other_system_prompts": sum(row["messages"][0]["content"] != system for row in given),
        "targeted": dict(Counter(row["category"] for row in targeted)),
    }


def _suite(work: Work) -> Figures:
    """The 27 prompts, which are the headline, and the new cases."""
    executed, tiered = prompt_cases(lines(data_folder(), "prompts27.jsonl"), list(catalog().tools))
    new = taken(new_cases(), work.options.cases)
    write_lines(project(work) / SUITE, [*executed, *new])
    write_lines(project(work) / TIERED, tiered)
    write_text(project(work) / "topcoat.toml", SETTINGS.format(model=gguf_file(work).stem, suite=SUITE, prompt=PROMPT))
    return {
        "prompts27": dict(Counter(row["category"] for row in executed)),
        "new": dict(Counter(row["category"] for row in new)),
        "families": len({row["family"] for row in new}),
    }


MAKE = (
    Stage("fetch", fetch_model),
    Stage("model", _model, needs=("fetch",)),
    Stage("data", _data, needs=("model",)),
    Stage("suite", _suite, needs=("data",), options=("cases",)),
)
"""What makes the project, in order."""
