"""A training row's prompt, an evaluation's and the server's are the same tokens, for each family's chat template."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from transformers.utils import chat_template_utils

from tests.support.mlx.families import FAMILIES, TOOLS, make_family
from tests.support.mlx.models import MakeModel
from tests.support.mlx.prompt_server import PromptServer, prompt_server
from topcoat.engine.fake import FakeEngine
from topcoat.engine.mlx.engine import MlxEngine
from topcoat.engine.mlx.model.tokenizer import MlxTokenizer
from topcoat.engine.mlx.serve.rendering import render_as_trained
from topcoat.engine.protocol import Ended, GenerateJob, ignore
from topcoat.errors import InvalidInput
from topcoat.examples.masks import render_example
from topcoat.progress import Silent, Sink
from topcoat.spec.example import Example
from topcoat.store.records import Completion
from topcoat.suites.endpoint import Endpoint
from topcoat.suites.source import EngineSource, Question

pytestmark = pytest.mark.slow

Turns = list[dict[str, Any]]
TODAY = datetime(2026, 2, 3)
ONE_CALL = ("llama3", "gpt_oss")
"""These templates refuse two calls in a turn."""
TAKES_TEXT = ("deepseek",)
"""The template joins a call's arguments as text, and the stock server hands over an object."""


def called(*calls: dict[str, Any], content: str | None = None, first: int = 0) -> dict[str, Any]:
    made = [
        {"id": f"call{number:05}", "type": "function", "function": {"name": "set_lamp", "arguments": arguments}}
        for number, arguments in enumerate(calls, first)
    ]
    return {"role": "assistant", "content": content, "tool_calls": made}


def result(content: str, number: int = 0) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": f"call{number:05}", "name": "set_lamp", "content": content}


def user(content: str) -> dict[str, Any]:
    return {"role": "user", "content": content}


def said(content: str, **keys: str) -> dict[str, Any]:
    return {"role": "assistant", "content": content, **keys}


SYSTEM = {"role": "system", "content": "You keep the lamps."}
DEN = {"room": "den", "on": True}
ODD = {"room": 'Küche "2"\n<tool_call>', "on": False, "level": 0.5, "parts": ["a", {"b": None}]}
DIALOGUES: dict[str, Turns] = {
    "call, result, words": [
        SYSTEM, user("Lamp on in the den"), called(DEN), result("ok"), said("It is on."), user("Off"),
        called(ODD, content="I switch it off.", first=1), result('{"ok": "né"}', 1), said("Off.\n\nAnything else?"),
    ],
    "parallel calls": [user("Both"), called(DEN, ODD), result("ok"), result("no", 1), said("One is on.")],
    "a thought in an earlier turn": [
        SYSTEM, user("On"), said("<think>\nWhich one?\n</think>\n\nWhich one?"), user("Den"), called(DEN),
        result("ok"), said("Done."),
    ],
    "a thought in a key of its own": [
        user("On"), said("Which one?", reasoning_content="Several."), user("Den"), called(DEN), result("ok"),
        said("Done."),
    ],
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def one_day() -> Iterator[None]:
    """The project's day and the server's are the same: gpt-oss, Llama 3 and SmolLM3 print it."""

    class Clock(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
            return TODAY

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(chat_template_utils, "datetime", Clock)
        yield


@dataclass(frozen=True)
class Model:
    """A small random model with a family's tokenizer."""

    folder: Path
    tokenizer: MlxTokenizer


@pytest.fixture(scope="module")
def models(make_model: MakeModel, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Model]:
    tiny = make_model(bits=None, num_hidden_layers=1)
    made = {}
    for family in FAMILIES:
        folder = tmp_path_factory.mktemp(family)
        shutil.copy(tiny / "config.json", folder)
        (folder / "model.safetensors").symlink_to(tiny / "model.safetensors")
        made[family] = Model(folder, make_family(folder, family))
    return made


@pytest.fixture(scope="module")
def stock(engine: MlxEngine) -> Iterator[PromptServer]:
    """mlx-lm's own, after the engine has configured MLX."""
    with prompt_server() as running:
        yield running


@pytest.fixture(scope="module")
def ours(engine: MlxEngine) -> Iterator[PromptServer]:
    """The server as `topcoat serve` runs it."""
    with prompt_server(prepare=render_as_trained) as running:
        yield running


class Asked(FakeEngine):
    """Keeps the prompts of an evaluation."""

    def __init__(self) -> None:
        self.prompts: list[list[int]] = []

    def generate(self, job: GenerateJob, sink: Sink, ended: Ended = ignore) -> list[Completion]:
        self.prompts = [[*prompt] for prompt in job.prompts]
        return [Completion(text="", tokens=0, finish="stop") for _ in job.prompts]


def trained_prompts(tokenizer: MlxTokenizer, messages: Turns) -> list[list[int]]:
    """The tokens before each answer of the rows that are made of the dialogue, the shortest first."""
    example = Example.model_validate({"messages": messages, "tools": TOOLS})
    rendered = render_example(example, tokenizer, last_only=False)
    return sorted((one.tokens[:begin] for one in rendered for begin, _ in one.spans), key=len)


def evaluated_prompts(tokenizer: MlxTokenizer, beginnings: list[Turns]) -> list[list[int]]:
    engine = Asked()
    questions = [Question(f"case{n}", turns, 1, tools=TOOLS) for n, turns in enumerate(beginnings)]
    EngineSource(engine, Path("m"), tokenizer).ask(questions, Silent())
    return sorted(engine.prompts, key=len)


def as_request(messages: Turns) -> Turns:
    """The turns as OpenAI's clients send them: arguments as JSON text."""
    turns = json.loads(json.dumps(messages))
    for turn in turns:
        for call in turn.get("tool_calls") or ():
            call["function"]["arguments"] = json.dumps(call["function"]["arguments"], ensure_ascii=False)
    return list(turns)


def require_equal(server: PromptServer, folder: Path, tokenizer: MlxTokenizer, messages: Turns, **body: Any) -> None:
    """The prompts of all assistant turns, as trained, as evaluated and as served. Two of them never have one prompt."""
    beginnings = [messages[:index] for index, turn in enumerate(messages) if turn["role"] == "assistant"]
    trained = trained_prompts(tokenizer, messages)
    served = [server.prompt(folder, as_request(turns), tools=TOOLS, **body) for turns in beginnings]
    served.sort(key=len)
    assert len(trained) == len({tuple(prompt) for prompt in trained}) == len(beginnings)
    assert [tokenizer.decode(prompt) for prompt in served] == [tokenizer.decode(prompt) for prompt in trained]
    assert trained == evaluated_prompts(tokenizer, beginnings) == served


@pytest.mark.parametrize("family", FAMILIES)
def test_an_evaluation_over_the_server_asks_with_the_engine_s_prompt(
    family: str, models: dict[str, Model], ours: PromptServer
) -> None:
    """The dialogue as data sets have it, without ids. topcoat's client and its engine give it the same ones."""
    model, messages = models[family], json.loads(json.dumps(DIALOGUES["call, result, words"]))
    for turn in messages:
        turn.pop("tool_call_id", None)
        for call in turn.get("tool_calls", ()):
            call.pop("id")
    beginnings = [messages[:index] for index, turn in enumerate(messages) if turn["role"] == "assistant"]
    ours.prompts.clear()
    endpoint = Endpoint(ours.url, str(model.folder), concurrency=1)
    replies = endpoint.ask(
        [Question(f"case{n}", turns, 1, tools=TOOLS) for n, turns in enumerate(beginnings)], Silent()
    )
    assert all(isinstance(reply, Completion) for reply in replies)
    evaluated = evaluated_prompts(model.tokenizer, beginnings)
    assert sorted(ours.prompts, key=len) == evaluated == trained_prompts(model.tokenizer, messages)


@pytest.mark.parametrize("dialogue", DIALOGUES)
@pytest.mark.parametrize("family", FAMILIES)
def test_a_turn_is_trained_evaluated_and_served_with_one_prompt(
    family: str, dialogue: str, models: dict[str, Model], stock: PromptServer, ours: PromptServer
) -> None:
    model, messages = models[family], DIALOGUES[dialogue]
    several = any(len(turn.get("tool_calls", ())) > 1 for turn in messages)
    refusal = "concatenate str" if family in TAKES_TEXT else r"(?i)single|one call"
    if family in TAKES_TEXT or (several and family in ONE_CALL):
        with pytest.raises(ValueError, match=refusal):
            stock.prompt(model.folder, as_request(messages[:-1]), tools=TOOLS)
    else:
        require_equal(stock, model.folder, model.tokenizer, messages)
    if several and family in ONE_CALL:
        with pytest.raises(InvalidInput, match=refusal):
            trained_prompts(model.tokenizer, messages)
    else:
        require_equal(ours, model.folder, model.tokenizer, messages)


OPTIONS: dict[str, dict[str, object]] = {
    "qwen3": {"enable_thinking": False},
    "smollm3": {"enable_thinking": False},
    "llama3": {"date_string": "1 Jan 2030"},
}


@pytest.mark.parametrize("family", OPTIONS)
def test_template_options_are_the_same_from_the_server_s_arguments_and_from_a_request(
    family: str, models: dict[str, Model], ours: PromptServer
) -> None:
    model, options, messages = models[family], OPTIONS[family], DIALOGUES["call, result, words"]
    tokenizer = make_family(model.folder, family, options=options)
    require_equal(ours, model.folder, tokenizer, messages, chat_template_kwargs=options)
    asked = [user("Lamp on")]
    prompt = tokenizer.chat(asked, add_generation_prompt=True)
    assert prompt != model.tokenizer.chat(asked, add_generation_prompt=True)
    with prompt_server("--chat-template-args", json.dumps(options), prepare=render_as_trained) as configured:
        assert configured.prompt(model.folder, asked) == prompt
        require_equal(configured, model.folder, tokenizer, messages)
