"""A project whose model calls tools natively: from `topcoat init` to a promoted phase, served, captured and trained on.

The model is the embedded one behind a chat template that renders tools. It has never seen a native call, so that
everything it makes right afterwards was learned in the phase.
"""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from openai import OpenAI

from tests.support.command import topcoat
from tests.support.usage.serving import serving
from topcoat.demo import TEMPLATE
from topcoat.engine.registry import ENGINES
from topcoat.examples.rows import encode
from topcoat.progress import Silent
from topcoat.spec.example import load_examples
from topcoat.spec.phase import TrainSpec

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

HERMES = Path(__file__).parents[1] / "support" / "templates" / "hermes.jinja"
SYSTEM = "You help with files."
WORDS = [
    "proxy",
    "style",
    "trade",
    "claim",
    "card",
    "song",
    "figure",
    "summer",
    "table",
    "lamp",
    "river",
    "stone",
    "cloud",
    "paper",
    "glass",
    "wheel",
    "bread",
    "chair",
    "door",
    "garden",
    "house",
    "horse",
    "island",
    "jacket",
    "knife",
    "letter",
    "market",
    "night",
    "ocean",
    "pencil",
    "queen",
    "rabbit",
    "school",
    "train",
    "uncle",
    "valley",
]


def tool(name: str, required: str, **properties: dict[str, Any]) -> dict[str, Any]:
    schema = {"type": "object", "properties": properties, "required": [required]}
    return {"type": "function", "function": {"name": name, "description": f"{name}.", "parameters": schema}}


TOOLS = [
    tool("read_file", "path", path={"type": "string"}),
    tool("file.count-lines", "path", path={"type": "string"}, blank={"type": "boolean", "default": False}),
    tool("find_files", "folder", folder={"type": "string"}, limit={"type": "integer"}),
]
RESULT = '{"ok": true}'
Asked = tuple[str, str, list[tuple[str, dict[str, Any]]]]
"""A category, a question and the calls that answer it."""


WORDINGS = {
    "read": ("Show me {0}.", "Could you open the text of {0} for me now?"),
    "count": ("How many lines does {0} have?", "I wonder whether {0} is long: count it, please."),
    "find": ("Find {2} files under {1}.", "In {1} there must be something; list {2} of it."),
    "both": ("Show me {0} and {3}.", "Could you open the texts of {0} and then {3} for me now?"),
}
"""The suite asks in the first wording, users in the second; the phase trains both."""


def questions(seed: int, each: int, *wordings: int) -> list[Asked]:
    """Different questions: `each` of every category, in turns in these wordings."""
    rng = random.Random(seed)
    asked: list[Asked] = []
    for number in range(each):
        one, other = ("/".join(rng.sample(WORDS, 3)) + ".py" for _ in range(2))
        folder, limit = "/".join(rng.sample(WORDS, 2)), rng.randrange(3, 10)
        calls: dict[str, list[tuple[str, dict[str, Any]]]] = {
            "read": [("read_file", {"path": one})],
            "count": [("file.count-lines", {"path": one})],
            "find": [("find_files", {"folder": folder, "limit": limit})],
            "both": [("read_file", {"path": one}), ("read_file", {"path": other})],
        }
        wording = wordings[number % len(wordings)]
        asked += [
            (category, WORDINGS[category][wording].format(one, folder, limit, other), made)
            for category, made in calls.items()
        ]
    return asked


def example(asked: Asked) -> dict[str, Any]:
    category, question, calls = asked
    made = [{"type": "function", "function": {"name": name, "arguments": arguments}} for name, arguments in calls]
    turns = [
        {"role": "system", "content": SYSTEM},
        {"role": "user", "content": question},
        {"role": "assistant", "content": None, "tool_calls": made},
        *({"role": "tool", "content": RESULT} for _ in made),
        {"role": "assistant", "content": "Done."},
    ]
    return {"messages": turns, "category": category}


def case(number: int, asked: Asked) -> dict[str, Any]:
    category, question, calls = asked
    expected = [{"tool": name, "args": arguments} for name, arguments in calls]
    return {"id": f"c{number}", "category": category, "prompt": question, "expect": {"calls": expected}}


def write_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


PHASE = """\
[data]
train = ["data/phase1.jsonl"]
valid = "10%"
replay = 0.0

[train]
iters = 100
batch_size = 8
learning_rate = 8e-4
optimizer = "adam"
warmup = 8
num_layers = -1
grad_accumulation_steps = 1
patience = 0

[train.lora]
rank = 16

[gate]
evidence = "mean"

[gate.target]
read = 0.5
find = 0.5
"""


@pytest.fixture(scope="module")
def promoted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The project after its first phase, and what `topcoat run --json` said."""
    folder = tmp_path_factory.mktemp("native")
    shutil.copytree(TEMPLATE / "models" / "phase33b", folder / "model")
    shutil.copy(HERMES, folder / "model" / "chat_template.jinja")
    begun = topcoat("init", "project", "--base", "model", cwd=folder)
    assert begun.returncode == 0, begun.stderr
    project = folder / "project"
    settings = (project / "topcoat.toml").read_text()
    (project / "topcoat.toml").write_text(settings.replace("tools.pyi", "tools.json"))
    (project / "tools.json").write_text(json.dumps(TOOLS))
    (project / "prompts" / "system.md").write_text(SYSTEM)
    (project / "phases" / "phase1.toml").write_text(PHASE)
    write_lines(project / "data" / "phase1.jsonl", [example(asked) for asked in questions(1, 24, 0, 1)])
    write_lines(project / "suites" / "routing.jsonl", [case(i, asked) for i, asked in enumerate(questions(2, 8, 0))])
    ran = topcoat("run", "phase1", "--json", cwd=project, timeout=900)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return project, json.loads(ran.stdout)


def test_native_calls_are_learned_and_promoted(promoted: tuple[Path, dict[str, Any]]) -> None:
    project, said = promoted
    assert said["promoted"] is True
    before = topcoat("eval", "model", "--json", cwd=project)
    after = topcoat("eval", "--json", cwd=project)
    means = [{c["category"]: c["mean"] for c in json.loads(one.stdout)["categories"]} for one in (before, after)]
    assert set(means[0].values()) == {0.0}
    assert means[1]["read"] >= 0.5
    assert means[1]["find"] >= 0.5


def test_served_calls_are_structured_and_what_is_captured_trains_with_the_same_prompt(
    promoted: tuple[Path, dict[str, Any]],
) -> None:
    project, _ = promoted
    sent: dict[str, list[Any]] = {}
    with serving(project) as running:
        client: Any = OpenAI(base_url=running.url, api_key="none")
        ask = {"model": "default_model", "tools": TOOLS, "temperature": 0, "max_tokens": 200}
        for _, question, _ in questions(3, 4, 1):
            messages: list[Any] = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": question}]
            sent[question] = [*messages]
            choice = client.chat.completions.create(messages=messages, **ask).choices[0]
            if choice.finish_reason == "tool_calls":
                messages.append(choice.message.model_dump(exclude_none=True))
                ids = [call.id for call in choice.message.tool_calls]
                messages += [{"role": "tool", "tool_call_id": id, "content": RESULT} for id in ids]
                client.chat.completions.create(messages=messages, **ask)
        running.end()
    (project / "phases" / "next.toml").write_text('[data]\ntrain = ["data/next.jsonl"]\n\n[gate.target]\nread = 0.5\n')
    extracted = topcoat("extract", "--phase", "next", "--held-out", "0", cwd=project)
    assert extracted.returncode == 0, extracted.stdout + extracted.stderr
    examples = [one.example for one in load_examples(project / "data" / "next.jsonl")]
    assert len(examples) >= 4
    production = next((project / ".topcoat" / "models").iterdir())
    tokenizer = ENGINES["mlx"].open(Silent()).tokenizer(production)
    for one in examples:
        question = str(one.messages[1].content)
        assert one.tools is None  # the client's tools are the catalog's
        assert one.messages[2].tool_calls
        prompt = tokenizer.chat(sent[question], tools=TOOLS, add_generation_prompt=True)
        row = encode(one.shown(TOOLS), tokenizer, TrainSpec())[0]
        begin = int(np.flatnonzero(row.trained)[0])
        assert row.tokens[:begin].tolist() == prompt
