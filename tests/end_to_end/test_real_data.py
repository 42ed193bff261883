"""The whole way with a real agent's data, as docs/your-data.md describes it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest
from mlx_lm.tuner.datasets import ChatDataset
from mlx_lm.tuner.trainer import default_loss

from tests.support.mlx.models import MakeModel
from tests.support.real_data import DATA, ROOT
from tests.support.recorder import Recorder
from topcoat.engine.mlx.compute import Compute
from topcoat.engine.mlx.engine import MlxEngine
from topcoat.engine.mlx.model.folder import load
from topcoat.engine.mlx.train.loss import batch_arrays, weighted_loss
from topcoat.errors import InvalidInput
from topcoat.examples.checks import execution as check_runs
from topcoat.examples.rows import encode_all
from topcoat.phases.preparation import prepare
from topcoat.phases.run import run_phase
from topcoat.project.session import Session, open_session
from topcoat.spec.example import load_examples
from topcoat.spec.phase import TrainSpec

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not DATA.is_dir(), reason=f"the data set is not here: {DATA} (set TOPCOAT_REAL_DATA)"),
]

ALLOW = frozenset({"system-prompt"})


def make_project(folder: Path, model: Path) -> Path:
    """Runs the page's own code, with its first lines set to this machine."""
    page = (ROOT / "docs" / "your-data.md").read_text()
    found = re.search(r"```python\n(.*?)```", page, re.DOTALL)
    assert found is not None
    code = found[1]
    for old, new in (
        ('Path("punie-phase33")', f"Path({str(DATA)!r})"),
        ('Path("punie")', f"Path({str(folder)!r})"),
        ('"models/Qwen3-Coder-5bit"', repr(str(model))),
    ):
        assert code.count(old) == 1
        code = code.replace(old, new)
    exec(code, {})
    # A random model never stops by itself: 1,024 tokens of noise prove no more than 48.
    suite = folder / "suites" / "prompts27.jsonl"
    suite.write_text(re.sub(r'"max_tokens": \d+', '"max_tokens": 48', suite.read_text()))
    return folder


@pytest.mark.parametrize("kind", ["qwen3", "qwen3_moe"])
def test_check_train_and_evaluate(
    engine: MlxEngine, make_model: MakeModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(check_runs, "MOST_RUN", 50)  # the same data is checked three times
    project = make_project(tmp_path / "punie", make_model(kind))
    path = project / "phases" / "first.toml"
    with open_session(project, engine, Recorder(), "test") as session:
        with pytest.raises(InvalidInput, match="1282 errors in the data"):
            run_phase(session, path)
        report = prepare(session, path, allow=ALLOW).report
        assert report.errors == []
        assert (report.budget.examples, report.budget.valid, report.budget.updates) == (1159, 123, 10)
        assert sum(finding.code == "valid-overlap" for finding in report.findings) == repeated_questions()
        outcome = run_phase(session, path, allow=ALLOW)
        _check_outcome(session, outcome.last.model)
    train, after = outcome.last.train, outcome.last.after
    assert train is not None
    assert after is not None
    assert train.trained_tokens == report.budget.trained_tokens
    assert all(np.isfinite(step.loss) for step in train.steps)
    assert len(after.scores) == 27
    assert after.headline is not None
    assert after.headline.n == 27


def _check_outcome(session: Session, name: str) -> None:
    model = session.model(name)
    assert model.parent is not None
    assert (model.path / "model.safetensors").is_file()


def repeated_questions() -> int:
    """Counted on the files themselves."""

    def questions(name: str) -> list[str]:
        rows = [json.loads(line)["messages"] for line in (DATA / name).read_text().splitlines()]
        texts = [next(m["content"] for m in messages if m["role"] == "user") for messages in rows]
        return [" ".join(text.lower().split()).rstrip(".?! ") for text in texts]

    trained = set(questions("train.jsonl"))
    return sum(question in trained for question in questions("valid.jsonl"))


@pytest.mark.parametrize("kind", ["qwen3", "qwen3_moe"])
def test_tokens_and_losses_are_mlx_lm_s_where_both_train_the_same(
    engine: MlxEngine, make_model: MakeModel, kind: str
) -> None:
    folder = make_model(kind)
    tokenizer = engine.tokenizer(folder)
    examples = load_examples(DATA / "train.jsonl")[::29]
    encoded = encode_all(examples, tokenizer, TrainSpec(mask="last"))
    stock = ChatDataset([{"messages": e.example.dialogue()} for e in examples], tokenizer.wrapper, mask_prompt=True)
    model = load(folder, Compute.DEQUANTIZED).model
    assert len(encoded.rows) == len(examples) == 40
    for index, row in enumerate(encoded.rows):
        tokens, offset = stock.process(stock[index])
        assert row.tokens.tolist() == tokens
        assert tokenizer.decode(tokens[-2:]) == "<|im_end|>\n"  # mlx-lm trains the newline behind the end too
        assert np.flatnonzero(row.trained).tolist() == list(range(offset, len(tokens) - 1))
        ours, weight = weighted_loss(model, *batch_arrays([row]))
        # The last number is inclusive in mlx-lm's mask. Two less leave out the newline and the padding token.
        theirs, count = default_loss(model, mx.array([tokens]), mx.array([[offset, len(tokens) - 2]]))
        assert weight.item() == count.item()
        assert (ours / weight).item() == pytest.approx(theirs.item(), rel=1e-5)
