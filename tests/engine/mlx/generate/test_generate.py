from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import mlx.core as mx
import pytest
from mlx_lm import stream_generate
from mlx_lm.models import base, qwen3
from mlx_lm.models.cache import KVCache

from tests.support.mlx.kinds import KINDS, PROMPTS, SHARED, model_of
from tests.support.mlx.models import MakeModel
from tests.support.recorder import Recorder
from topcoat.demo import TEMPLATE
from topcoat.engine.mlx.compute import Compute
from topcoat.engine.mlx.engine import MlxEngine
from topcoat.engine.mlx.generate import generate as module
from topcoat.engine.mlx.generate import shared_keys
from topcoat.engine.mlx.generate.sampling import draw
from topcoat.engine.mlx.generate.shared_keys import OwnKeys, shared_attention
from topcoat.engine.mlx.model.folder import load
from topcoat.engine.mlx.numbers import scalar
from topcoat.engine.protocol import GenerateJob, Sampling
from topcoat.errors import InvalidInput
from topcoat.progress import Advanced, Note, Silent
from topcoat.store.records import Completion


def one_after_another(folder: Path, prompts: Sequence[Sequence[int]], limits: Sequence[int]) -> list[str]:
    """The texts that mlx-lm gives, a prompt at a time."""
    loaded = load(folder, Compute.DEQUANTIZED)
    wrapper = loaded.tokenizer.wrapper
    answers = []
    for prompt, limit in zip(prompts, limits, strict=True):
        responses = list(stream_generate(loaded.model, wrapper, list(prompt), max_tokens=limit))
        tokens = [int(response.token) for response in responses if response.token not in wrapper.eos_token_ids]
        answers.append(loaded.tokenizer.decode(tokens))
    return answers


@pytest.mark.parametrize("kind", KINDS)
def test_answers_are_those_of_one_prompt_after_another(
    engine: MlxEngine, make_model: MakeModel, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BATCH", 4)
    monkeypatch.setattr(module, "PREFILL", 16)
    folder = model_of(make_model, kind)
    limits = [1 + i % 6 for i in range(len(PROMPTS))]
    answers = engine.generate(GenerateJob(folder, PROMPTS, limits), Silent())
    assert [answer.text for answer in answers] == one_after_another(folder, PROMPTS, limits)


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_has_the_logits_of_one_prompt_after_another(make_model: MakeModel, kind: str) -> None:
    """Texts can agree by chance, where every logit is a little wrong."""
    model = load(model_of(make_model, kind), Compute.DEQUANTIZED).model
    with shared_attention(model):
        prefix = module.Prefix(model, PROMPTS)
        way, prefix.way = prefix.way, "alone"
        alone = mx.concatenate([prefix._logits([prompt]) for prompt in PROMPTS])
        prefix.way = way
        if way == "alone":
            assert prefix.problem
            return
        together = prefix._logits(PROMPTS)
    assert scalar(mx.abs(together - alone).max() / mx.abs(alone).max()) < 1e-4


@pytest.mark.parametrize(("kind", "apart"), [("qwen3", True), ("qwen3_moe", True), ("gemma3_text", False)])
def test_shared_keys_are_kept_once_where_the_layers_allow_it(make_model: MakeModel, kind: str, apart: bool) -> None:
    model = load(model_of(make_model, kind), Compute.DEQUANTIZED).model
    with shared_attention(model):
        caches = module.Prefix(model, PROMPTS).read([prompt[:-1] for prompt in PROMPTS])
    assert all(isinstance(cache, OwnKeys) for cache in caches) == apart


def grown(prompt: list[int], tokens: int = 0) -> module.Answer:
    return module.Answer(0, 99, Sampling(), prompt, tokens=[7] * tokens)


def test_a_batch_keeps_a_bounded_number_of_keys(make_model: MakeModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEPT", 100)
    model = load(model_of(make_model, "qwen3"), Compute.DEQUANTIZED).model
    with shared_attention(model):
        assert module.Prefix(model, PROMPTS).batch([grown(PROMPTS[4])]) == 100 // 13
        assert module.Prefix(model, PROMPTS).batch([grown(PROMPTS[0]), grown(PROMPTS[4], 7)]) == 100 // 20
        assert module.Prefix(model, [[1], [2] * 200]).batch([grown([2] * 200)]) == 1


LONG = [[1, 2, 3, *range(4, 300)], [1, 2, 3, 9], [1, 2, 3, 8, 7], [1, 2, 3, 5, 6, 7]]


@pytest.mark.parametrize(("kind", "cut"), [("qwen3", True), ("gemma3_text", False)])
def test_a_long_prompt_is_tried_only_as_far_as_no_window_ends(
    make_model: MakeModel, monkeypatch: pytest.MonkeyPatch, kind: str, cut: bool
) -> None:
    monkeypatch.setattr(module, "TRIED", 20)
    widths: list[int] = []
    model = load(model_of(make_model, kind), Compute.DEQUANTIZED).model
    stock = type(model).__call__

    def counted(self: object, inputs: mx.array, *arguments: Any, **options: Any) -> mx.array:
        widths.append(inputs.shape[1])
        return cast(mx.array, stock(self, inputs, *arguments, **options))

    monkeypatch.setattr(type(model), "__call__", counted)
    with shared_attention(model):
        prefix = module.Prefix(model, LONG)
    assert prefix.way != "alone"
    assert max(widths) == (19 if cut else len(LONG[0]) - prefix.length - 1)


@pytest.mark.parametrize("given", [{"sliding_window": 64}, {"text_config": {"attention_chunk_size": 8}}])
def test_a_window_anywhere_in_the_configuration_is_seen(given: dict[str, object]) -> None:
    assert module._has_window(given)
    assert not module._has_window({"sliding_window": None, "hidden_size": 8, "text_config": {"window": 0}})


def test_an_attention_that_does_not_see_shared_keys_is_noticed(make_model: MakeModel) -> None:
    model = load(model_of(make_model, "qwen3"), Compute.DEQUANTIZED).model
    caches = module.Prefix(model, PROMPTS).read(PROMPTS)  # outside shared_attention
    assert not any(isinstance(cache, OwnKeys) for cache in caches)


@pytest.mark.parametrize("on_cpu", [True, False])
@pytest.mark.parametrize("dtype", [mx.float32, mx.bfloat16, mx.float16])
def test_attention_in_two_parts_is_attention_over_all_keys(
    monkeypatch: pytest.MonkeyPatch, dtype: mx.Dtype, on_cpu: bool
) -> None:
    monkeypatch.setattr(shared_keys, "on_cpu", lambda: on_cpu)
    mx.random.seed(3)
    q, k, v = (mx.random.normal((2, heads, length, 16)).astype(dtype) for heads, length in ((4, 3), (2, 9), (2, 9)))
    k, v = (mx.concatenate([mx.broadcast_to(x[:1, :, :6], x[:, :, :6].shape), x[:, :, 6:]], axis=2) for x in (k, v))
    before = KVCache()
    before.update_and_fetch(k[:1, :, :6], v[:1, :, :6])
    mask = mx.array([[[[True, True, keep] for keep in (False, True, True)]]] * 2)
    parts = shared_keys._attention(q, k[:, :, 6:], v[:, :, 6:], OwnKeys(before, 2), 0.25, mask)
    seen = mx.concatenate([mx.ones((2, 1, 3, 6), mx.bool_), mask], axis=-1)
    whole = mx.fast.scaled_dot_product_attention(*(x.astype(mx.float32) for x in (q, k, v)), scale=0.25, mask=seen)
    assert parts.dtype == dtype
    assert scalar(mx.abs(parts.astype(mx.float32) - whole).max()) < {mx.float32: 1e-5}.get(dtype, 3e-2)


@pytest.mark.parametrize(("kind", "way"), [("qwen3", "apart"), ("gemma3_text", "copies"), ("gemma2", "alone")])
def test_the_quickest_way_that_gives_the_same_is_taken_and_the_slowest_is_said(
    engine: MlxEngine, make_model: MakeModel, kind: str, way: str
) -> None:
    folder, sink = model_of(make_model, kind), Recorder()
    engine.generate(GenerateJob(folder, PROMPTS, [2] * len(PROMPTS)), sink)
    said = [event.text for event in sink.events if isinstance(event, Note)]
    assert len(said) == (way == "alone")
    model = load(folder, Compute.DEQUANTIZED).model
    with shared_attention(model):
        assert module.Prefix(model, PROMPTS).way == way


@pytest.mark.parametrize("broken", ["raises", "wrong"])
def test_a_batch_that_fails_or_answers_otherwise_is_not_trusted(
    engine: MlxEngine, make_model: MakeModel, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    folder = model_of(make_model, "qwen3")
    expected = engine.generate(GenerateJob(folder, PROMPTS, [3] * len(PROMPTS)), Silent())
    fresh = module.Prefix._fresh

    def spoiled(self: module.Prefix, rows: int) -> module.Caches:
        if broken == "raises":
            raise AttributeError("no merge")
        caches = fresh(self, rows)
        for cache in caches:
            cache.offset = cache.offset + 5
        return caches

    monkeypatch.setattr(module.Prefix, "_fresh", spoiled)
    sink = Recorder()
    assert engine.generate(GenerateJob(folder, PROMPTS, [3] * len(PROMPTS)), sink) == expected
    assert any("one after another" in event.text for event in sink.events if isinstance(event, Note))


def test_prompts_may_share_nothing_or_all_but_the_last_token(engine: MlxEngine, make_model: MakeModel) -> None:
    folder = model_of(make_model, "qwen3")
    for prompts in ([[7], [8, 9]], [SHARED, SHARED], [SHARED[:9], SHARED]):
        answers = engine.generate(GenerateJob(folder, prompts, [5, 5]), Silent())
        assert [answer.text for answer in answers] == one_after_another(folder, prompts, [5, 5])


@pytest.mark.slow
def test_the_embedded_model_answers_as_in_mlx_lm(engine: MlxEngine) -> None:
    folder = TEMPLATE / "models" / "phase33b"
    tokenizer = engine.tokenizer(folder)
    asked = ["Show me src/app.py.", "Run the tests.", "What changed since the last commit? I mean in git, please."]
    prompts = [tokenizer.chat([{"role": "user", "content": text}], add_generation_prompt=True) for text in asked]
    answers = engine.generate(GenerateJob(folder, prompts, [24, 3, 24]), Silent())
    for limit, text, answer in zip([24, 3, 24], one_after_another(folder, prompts, [24, 3, 24]), answers, strict=True):
        assert answer.text == text
        assert answer.tokens == len(tokenizer.encode(text))
        assert answer.finish == ("length" if answer.tokens == limit else "stop")


def test_an_empty_prompt_is_refused(engine: MlxEngine, make_model: MakeModel) -> None:
    with pytest.raises(InvalidInput, match="prompt 1 has no tokens"):
        engine.generate(GenerateJob(make_model(), [[1, 2], []], [4, 4]), Silent())


def test_no_prompts_have_no_answers(engine: MlxEngine, make_model: MakeModel) -> None:
    assert engine.generate(GenerateJob(make_model(), [], []), Silent()) == []


def test_the_attention_of_mlx_lm_is_back_afterwards(make_model: MakeModel) -> None:
    with shared_attention(load(model_of(make_model, "qwen3"), Compute.DEQUANTIZED).model):
        assert qwen3.scaled_dot_product_attention is not base.scaled_dot_product_attention
    assert qwen3.scaled_dot_product_attention is base.scaled_dot_product_attention


def token_by_token(model: object, prompt: list[int], limit: int, stop: set[int], sampling: Sampling) -> list[int]:
    """One token after another, without a cache or a batch."""
    tokens: list[int] = []
    while len(tokens) < limit:
        logits = model(mx.array([prompt + tokens]))[:, -1]  # type: ignore[operator]
        token = int(scalar(draw(logits, [sampling], [len(tokens)])))
        if token in stop:
            break
        tokens.append(token)
    return tokens


@pytest.mark.parametrize("kind", ["qwen3", "gemma3_text", "jamba"])
def test_rows_that_end_make_room_and_change_no_answer(
    engine: MlxEngine, make_model: MakeModel, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Answers of 1 to 24 tokens, four rows at a time: prompts join a batch whose rows are at other places."""
    monkeypatch.setattr(module, "BATCH", 4)
    folder = model_of(make_model, kind)
    limits = [1 + 23 * (i % 3 == 0) + i % 5 for i in range(len(PROMPTS))]
    sampling = [Sampling(0.8 * (i % 2), i) for i in range(len(PROMPTS))]
    told: dict[int, Completion] = {}
    together = engine.generate(GenerateJob(folder, PROMPTS, limits, sampling), Silent(), told.__setitem__)
    jobs = [GenerateJob(folder, [PROMPTS[i]], [limits[i]], [sampling[i]]) for i in range(len(PROMPTS))]
    assert together == [engine.generate(job, Silent())[0] for job in jobs]
    assert [told[i] for i in range(len(PROMPTS))] == together


def test_a_waiting_prompt_joins_before_the_longest_answer_ends(
    engine: MlxEngine, make_model: MakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BATCH", 2)
    ended: list[int] = []
    prompts = [[9, 8, 7, 6], [5, 4, 3], [2, 1], [3]]
    engine.generate(GenerateJob(make_model(), prompts, [40, 2, 2, 2]), Silent(), lambda index, _: ended.append(index))
    assert ended == [1, 2, 3, 0]


def test_progress_shows_tokens_before_the_first_answer_ends(engine: MlxEngine, make_model: MakeModel) -> None:
    recorder = Recorder()
    engine.generate(GenerateJob(make_model(), [[4, 5, 6], [7, 8]], [40, 40]), recorder)
    shown = [event for event in recorder.events if isinstance(event, Advanced)]
    assert (shown[0].done, shown[0].detail) == (0, "3 tokens read")
    assert (shown[1].done, shown[1].detail) == (0, "3 tokens read, 32 drawn")
    assert shown[-1].done == 2


def test_more_prompts_than_a_batch_are_all_answered_in_order(engine: MlxEngine, make_model: MakeModel) -> None:
    prompts = [[i + 5] * (1 + i % 7) for i in range(40)]
    together = engine.generate(GenerateJob(make_model(), prompts, [4] * 40), Silent())
    alone = engine.generate(GenerateJob(make_model(), prompts[17:18], [4]), Silent())
    assert len(together) == 40
    assert together[17].text == alone[0].text


def test_a_sampled_answer_is_the_same_every_time_and_in_any_company(engine: MlxEngine, make_model: MakeModel) -> None:
    prompts = [[i + 5] * (1 + i % 7) for i in range(40)]
    sampling = [Sampling(1.0, seed) if seed % 2 else Sampling() for seed in range(40)]
    together = engine.generate(GenerateJob(make_model(), prompts, [6] * 40, sampling), Silent())
    for index in (0, 17, 39):
        alone = GenerateJob(make_model(), [prompts[index]], [6], [sampling[index]])
        assert engine.generate(alone, Silent()) == [together[index]]
    greedy_ones = engine.generate(GenerateJob(make_model(), prompts[::2], [6] * 20), Silent())
    assert greedy_ones == together[::2]


def test_sampled_answers_equal_one_after_another(engine: MlxEngine, make_model: MakeModel) -> None:
    prompts, sampling = [[7, 8, 9], [11] * 5, [4]], [Sampling(1.0, 1), Sampling(0.5, 2), Sampling(2.0, 3)]
    answers = engine.generate(GenerateJob(make_model(), prompts, [8] * 3, sampling), Silent())
    loaded = load(make_model(), Compute.DEQUANTIZED)
    stop = set(loaded.tokenizer.wrapper.eos_token_ids)
    for prompt, one, answer in zip(prompts, sampling, answers, strict=True):
        assert answer.text == loaded.tokenizer.decode(token_by_token(loaded.model, prompt, 8, stop, one))


def test_other_seeds_give_other_answers(engine: MlxEngine, make_model: MakeModel) -> None:
    sampling = [Sampling(1.5, seed) for seed in range(8)]
    answers = engine.generate(GenerateJob(make_model(), [[7, 8, 9]] * 8, [6] * 8, sampling), Silent())
    assert len({answer.text for answer in answers}) == 8
