from __future__ import annotations

import pytest

from topcoat.store.records import CategoryScore, EvalResult
from topcoat.suites.evidence.matrix import Stage, score_matrix


def scores(suite: str = "s", /, **means: float) -> EvalResult:
    categories = [CategoryScore(category=name, n=10, mean=mean, solved=0) for name, mean in means.items()]
    return EvalResult(model="m", suite_digest=suite, categories=categories, scores=[], seconds=0, generated_tokens=0)


ROOT = Stage("root", None, [], scores(git=0.9, domain=0.2, multi=0.1, lsp=0.5))
FIRST = Stage("p1-1", "p1", ["domain"], scores(git=0.8, domain=0.8, multi=0.2, lsp=0.6))
SECOND = Stage("p2-1", "p2", ["multi"], scores(git=0.85, domain=0.7, multi=0.6, lsp=0.4))
THIRD = Stage("p3-2", "p3", ["lsp", "domain"], scores(git=0.7, domain=0.75, multi=0.5, lsp=0.9))


def test_the_figures_by_hand() -> None:
    matrix = score_matrix([ROOT, FIRST, SECOND, THIRD])
    assert matrix is not None
    assert matrix.columns == ["git", "domain", "multi", "lsp"]
    assert [(row.model, row.phase) for row in matrix.rows] == [
        ("root", None), ("p1-1", "p1"), ("p2-1", "p2"), ("p3-2", "p3"),
    ]  # fmt: skip
    assert matrix.rows[1].scores == [0.8, 0.8, 0.2, 0.6]
    assert matrix.taught == [0, 3, 2, 3]
    assert matrix.average == pytest.approx((0.7 + 0.75 + 0.5 + 0.9) / 4)
    # git since the root, multi since p2; domain and lsp were just taught.
    assert matrix.backward_transfer == pytest.approx(((0.7 - 0.9) + (0.5 - 0.6)) / 2)
    # multi before p2 and lsp before p3, against the root; domain was taught first of all.
    assert matrix.forward_transfer == pytest.approx(((0.2 - 0.1) + (0.4 - 0.5)) / 2)
    # git was best at the root, multi after p2.
    assert matrix.forgetting == pytest.approx(((0.9 - 0.7) + (0.6 - 0.5)) / 2)


def test_forgetting_is_measured_from_the_best_ever() -> None:
    matrix = score_matrix([ROOT, FIRST, SECOND])
    assert matrix is not None
    # git 0.9 at the root, domain 0.8 and lsp 0.6 after p1.
    assert matrix.forgetting == pytest.approx(((0.9 - 0.85) + (0.8 - 0.7) + (0.6 - 0.4)) / 3)
    assert matrix.backward_transfer == pytest.approx(((0.85 - 0.9) + (0.7 - 0.8) + (0.4 - 0.5)) / 3)


def test_the_root_alone_has_an_average_only() -> None:
    matrix = score_matrix([ROOT])
    assert matrix is not None
    assert matrix.average == pytest.approx(0.425)
    assert (matrix.backward_transfer, matrix.forward_transfer, matrix.forgetting) == (None, None, None)


def test_what_was_measured_on_another_suite_is_left_out() -> None:
    other = Stage("p1-1", "p1", ["domain"], scores("t", git=0.1, domain=0.1))
    matrix = score_matrix([ROOT, other, SECOND])
    assert matrix is not None
    assert matrix.rows[1].scores == [None] * 4
    assert matrix.taught == [0, 1, 2, 0]
    # domain has no score from right after it was taught: it is in forgetting, not in backward transfer.
    assert matrix.backward_transfer == pytest.approx(((0.85 - 0.9) + (0.4 - 0.5)) / 2)
    assert matrix.forgetting == pytest.approx(((0.9 - 0.85) + (0.2 - 0.7) + (0.5 - 0.4)) / 3)
    assert matrix.forward_transfer is None


def test_models_that_were_never_evaluated() -> None:
    assert score_matrix([]) is None
    assert score_matrix([Stage("root", None, [], None)]) is None
    matrix = score_matrix([ROOT, Stage("p1-1", "p1", ["domain"], None)])
    assert matrix is not None
    assert (matrix.average, matrix.backward_transfer, matrix.forgetting) == (None, None, None)
    assert matrix.columns == ["git", "domain", "multi", "lsp"]
