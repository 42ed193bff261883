"""Exports in their own runtimes: llama.cpp's server, transformers, PEFT and mlx-lm, beside the fused model.

SmolLM2-135M with a chat template that shows tools, and two coats of small random deltas: what they teach doesn't matter
here, only that the export has them.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
from functools import cached_property
from pathlib import Path

import httpx2
import mlx.core as mx
import pytest
from mlx.utils import tree_flatten

from tests.support.mlx.families import TEMPLATES, TOOLS
from tests.support.wheels import smollm2_gguf
from topcoat.engine.mlx.compute import Compute
from topcoat.engine.mlx.engine import MlxEngine
from topcoat.engine.mlx.gguf.convert import convert
from topcoat.engine.mlx.model.folder import load
from topcoat.engine.mlx.model.lora import adapter_config, adapter_weights, attach
from topcoat.engine.protocol import ExportForm, ExportJob, FuseJob, GenerateJob, Numbers
from topcoat.engine.registry import ENGINES
from topcoat.export.runtimes import LLAMA_VARIABLE, runtime_of, serving
from topcoat.progress import Silent
from topcoat.spec.phase import FuseSpec, LoraSpec, TrainSpec
from topcoat.store.records import Completion, ExportRecord
from topcoat.suites.endpoint import Endpoint
from topcoat.suites.source import Question

pytestmark = pytest.mark.slow

TOKENS = 16
SCALE = 2.0
NEAR = 0.15
"""Logits this close are a tie to a runtime that rounds otherwise."""
ASKED = [
    *("What is the capital of France?", "Name three colours.", "Say hello.", "What is 2 + 2?", "Who wrote Hamlet?"),
    *("Translate 'good morning' into Spanish.", "What do bees make?", "Spell the word cat.", "Is water wet?"),
    *("Write a short poem about rain.", "What is the opposite of hot?", "List two planets.", "How are you?"),
    *("Finish: once upon a", "What month follows May?"),
]
LAMPS = [
    *("Switch on the lamp in the den.", "Turn off the kitchen lamp.", "Lights on in the hall!"),
    *("Dim the bedroom.", "Lamp off, attic."),
]
QUESTIONS = [
    *(Question(f"q{n}", [{"role": "user", "content": text}], TOKENS) for n, text in enumerate(ASKED)),
    *(Question(f"t{n}", [{"role": "user", "content": text}], TOKENS, tools=TOOLS) for n, text in enumerate(LAMPS)),
]


class Fused:
    """The root, its two coats and the fused model; and what it answers."""

    def __init__(self, engine: MlxEngine, folder: Path) -> None:
        self.engine, self.folder = engine, folder
        self.root = convert(smollm2_gguf(folder), folder / "root", Silent()).folder
        shutil.copyfile(TEMPLATES / "hermes.jinja", self.root / "chat_template.jinja")
        self.adapters = [self._coat(1, 4), self._coat(2, 2)]
        self.model = self.root
        for number in (1, 2):
            output = folder / f"fused-{number}"
            spec = FuseSpec(max_kl=10.0)
            engine.fuse(FuseJob(self.model, self.root, self.adapters[:number], spec, [], output), Silent())
            self.model = output
        tokenizer = engine.tokenizer(self.model)
        self.prompts = [tokenizer.chat(q.messages, tools=q.tools, add_generation_prompt=True) for q in QUESTIONS]
        self.answers = self.answers_of(self.model)

    def answers_of(self, model: Path) -> list[Completion]:
        return self.engine.generate(GenerateJob(model, self.prompts, [TOKENS] * len(QUESTIONS)), Silent())

    @cached_property
    def coated(self) -> Path:
        """The root in 32 bits with the coats' products added: what an adapter on the root computes.

        The fused model isn't that. Fusing quantized the sum, which moves these logits by up to 0.5.
        """
        folder = self.folder / "coated"
        folder.mkdir()
        weights: dict[str, mx.array] = dict(tree_flatten(load(self.root, Compute.DEQUANTIZED).model.parameters()))
        for adapter in self.adapters:
            own = mx.load(str(adapter / "adapters.safetensors"))
            assert isinstance(own, dict)
            for name in {name.removesuffix(".lora_a") for name in own if name.endswith(".lora_a")}:
                added = SCALE * (own[f"{name}.lora_a"] @ own[f"{name}.lora_b"]).T
                weights[f"{name}.weight"] = weights[f"{name}.weight"].astype(mx.float32) + added
        mx.save_safetensors(str(folder / "model.safetensors"), weights, metadata={"format": "mlx"})
        for path in self.root.iterdir():
            if path.name != "config.json" and not path.name.startswith("model"):
                shutil.copyfile(path, folder / path.name)
        config = json.loads((self.root / "config.json").read_text())
        (folder / "config.json").write_text(
            json.dumps({k: v for k, v in config.items() if not k.startswith("quantization")})
        )
        return folder

    def _coat(self, seed: int, layers: int) -> Path:
        spec = TrainSpec(num_layers=layers, lora=LoraSpec(rank=4, scale=SCALE))
        loaded = load(self.root, Compute.AS_STORED, lazy=True).model
        mx.random.seed(seed)
        attach(loaded, spec)
        weights = adapter_weights(loaded)
        weights = {n: mx.random.normal(v.shape) * 0.02 if n.endswith("lora_b") else v for n, v in weights.items()}
        folder = self.folder / f"coat-{seed}"
        folder.mkdir()
        mx.save_safetensors(str(folder / "adapters.safetensors"), weights)
        (folder / "adapter_config.json").write_text(json.dumps(adapter_config(spec, 30)))
        return folder

    def export(self, form: ExportForm, numbers: Numbers = "as-stored") -> ExportRecord:
        output = self.folder / f"{form}-{numbers}"
        report = self.engine.export(
            ExportJob(self.model, form, output, "coat", numbers, self.root, self.adapters), Silent()
        )
        weights = "coat.gguf" if form == "gguf" else "."
        return ExportRecord(model="coat", digest="", root="root", to=form, weights=weights, report=report)

    def asked(self, record: ExportRecord, folder: Path, root: Path) -> list[Completion]:
        runtime = runtime_of(record, folder, root, ENGINES["mlx"], {}, 1)
        with serving(runtime):
            endpoint = Endpoint(
                runtime.url,
                "default_model",
                key=runtime.key,
                headers=runtime.process.headers,
                concurrency=1,
                timeout=300,
            )
            replies = endpoint.ask(QUESTIONS, Silent())
        assert all(isinstance(reply, Completion) for reply in replies)
        return [reply for reply in replies if isinstance(reply, Completion)]

    def differing(self, answers: list[Completion], model_folder: Path | None = None) -> list[str]:
        """The questions whose answer isn't the fused model's, or another one's, though no near tie explains it."""
        folder = model_folder or self.model
        model = load(folder, Compute.DEQUANTIZED).model
        reference = self.answers if folder == self.model else self.answers_of(folder)
        tokenizer = self.engine.tokenizer(self.model)
        other = []
        for question, prompt, own, theirs in zip(QUESTIONS, self.prompts, reference, answers, strict=True):
            if own.text.split() == theirs.text.split():
                continue
            assert own.ids is not None
            ids = tokenizer.encode(theirs.text)
            place = next((n for n, (a, b) in enumerate(zip(own.ids, ids, strict=False)) if a != b), None)
            if place is None:
                other.append(question.id)
                continue
            logits = model(mx.array([[*prompt, *own.ids[:place]]]))[0, -1]
            if abs(float(logits[own.ids[place]].item()) - float(logits[ids[place]].item())) > NEAR:
                other.append(question.id)
        return other


@pytest.fixture(scope="module")
def fused(tmp_path_factory: pytest.TempPathFactory) -> Fused:
    return Fused(MlxEngine(Compute.DEQUANTIZED), tmp_path_factory.mktemp("exports"))


def require_llama_cpp() -> None:
    require("gguf")
    if not (os.environ.get(LLAMA_VARIABLE) or shutil.which("llama-server")):
        pytest.skip(f"llama.cpp's server isn't installed: {LLAMA_VARIABLE} names it")


def require(*packages: str) -> None:
    for package in packages:
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} isn't installed")


@pytest.mark.timeout(1200)
def test_llama_cpp_answers_as_the_fused_model(fused: Fused) -> None:
    require_llama_cpp()
    answers = fused.asked(fused.export("gguf", "f32"), fused.folder / "gguf-f32", fused.root)
    assert fused.differing(answers) == []


@pytest.mark.timeout(1200)
def test_llama_cpp_with_the_codes_as_they_are(fused: Fused) -> None:
    """No weight differs, but llama.cpp rounds the inputs of quantized products to 8 bits, and chooses otherwise."""
    require_llama_cpp()
    record = fused.export("gguf")
    assert record.report.rounding == 0.0
    answers = fused.asked(record, fused.folder / "gguf-as-stored", fused.root)
    same = sum(own.text.split() == theirs.text.split() for own, theirs in zip(fused.answers, answers, strict=True))
    assert same >= len(QUESTIONS) // 2


@pytest.mark.timeout(600)
def test_llama_cpp_shows_tools_as_the_model_was_trained(tmp_path: Path) -> None:
    """The server's prompt is the chat template's, letter by letter, and its tokens are the tokenizer's."""
    require_llama_cpp()
    engine = MlxEngine(Compute.DEQUANTIZED)
    model = convert(smollm2_gguf(tmp_path), tmp_path / "model", Silent()).folder
    shutil.copyfile(TEMPLATES / "hermes.jinja", model / "chat_template.jinja")
    report = engine.export(ExportJob(model, "gguf", tmp_path / "out", "one"), Silent())
    record = ExportRecord(model="one", digest="", root="one", to="gguf", weights="one.gguf", report=report)
    tokenizer = engine.tokenizer(model)
    runtime = runtime_of(record, tmp_path / "out", model, ENGINES["mlx"], {}, 1)
    with serving(runtime) as url, httpx2.Client(headers={"Authorization": f"Bearer {runtime.key}"}) as client:
        for question in QUESTIONS:
            shown = {"messages": list(question.messages), "tools": question.tools}
            wanted = tokenizer.render(question.messages, tools=question.tools, add_generation_prompt=True)
            assert client.post(f"{url}/apply-template", json=shown).json()["prompt"] == wanted
            tokens = client.post(f"{url}/tokenize", json={"content": wanted, "parse_special": True}).json()["tokens"]
            assert tokens == tokenizer.encode(wanted)


@pytest.mark.timeout(1200)
def test_transformers_answers_as_the_fused_model(fused: Fused) -> None:
    require("torch")
    record = fused.export("hf")
    answers = fused.asked(record, fused.folder / "hf-as-stored", fused.root)
    assert fused.differing(answers) == []


@pytest.mark.timeout(1200)
def test_peft_answers_as_root_and_coats(fused: Fused) -> None:
    require("torch", "peft")
    record = fused.export("peft")
    base = fused.folder / "root-hf"
    fused.engine.export(ExportJob(fused.root, "hf", base, "root"), Silent())
    answers = fused.asked(record, fused.folder / "peft-as-stored", base)
    assert fused.differing(answers, fused.coated) == []


@pytest.mark.timeout(1200)
def test_mlx_lm_answers_as_root_and_coats(fused: Fused) -> None:
    record = fused.export("mlx-adapter")
    answers = fused.asked(record, fused.folder / "mlx-adapter-as-stored", fused.root)
    assert fused.differing(answers, fused.coated) == []
