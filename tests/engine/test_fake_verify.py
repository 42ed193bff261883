from __future__ import annotations

import math

import pytest

from topcoat.engine.fake_verify import OUTCOMES, SURE, logprobs_of, token_kl
from topcoat.engine.references import Reference

AB = Reference((97, 98), stopped=True, open=False)
UNSURE = (1 - SURE) / (OUTCOMES - 1)


def test_a_model_is_sure_of_its_own_answer_and_of_its_end() -> None:
    assert logprobs_of(AB, b"ab") == [math.log(SURE)] * 3
    assert logprobs_of(AB, b"abc") == [math.log(SURE), math.log(SURE), math.log(UNSURE)]


def test_after_another_token_it_expects_nothing() -> None:
    assert logprobs_of(AB, b"xb") == [math.log(UNSURE), math.log(1 / OUTCOMES), math.log(1 / OUTCOMES)]


def test_equal_models_do_not_diverge() -> None:
    assert token_kl(AB, b"ab", b"ab") == [0.0] * 3


def test_divergence_is_that_of_the_distributions() -> None:
    first, second, end = token_kl(AB, b"ab", b"xb")
    assert first == pytest.approx(SURE * math.log(SURE / UNSURE) + UNSURE * math.log(UNSURE / SURE))
    uniform = 1 / OUTCOMES
    others = (OUTCOMES - 1) * UNSURE * math.log(UNSURE / uniform)
    assert second == end == pytest.approx(SURE * math.log(SURE / uniform) + others)
