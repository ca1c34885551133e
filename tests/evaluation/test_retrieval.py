"""Retrieval recalls beside a loop that sorts."""

from __future__ import annotations

import numpy as np
import pytest

from unboxed.evaluation.retrieval import score_retrieval


def _naive(score_BC: np.ndarray, image_of_C: np.ndarray) -> tuple[dict[int, float], dict[int, float]]:
    by_image, by_caption = [], []
    for b, row in enumerate(score_BC):
        best = max(row[c] for c in range(len(row)) if image_of_C[c] == b)
        by_image.append(sum(1 for c, s in enumerate(row) if image_of_C[c] != b and s >= best))
    for c, own in enumerate(image_of_C):
        by_caption.append(sum(1 for b in range(len(score_BC)) if b != own and score_BC[b, c] >= score_BC[own, c]))
    return tuple(
        {k: 100 * sum(r < k for r in ranks) / len(ranks) for k in (1, 5, 10)} for ranks in (by_image, by_caption)
    )


@pytest.mark.parametrize("seed", range(5))
def test_recalls_equal_the_loop_with_negative_scores_and_ties(seed: int) -> None:
    rng = np.random.default_rng(seed)
    image_of_C = np.concatenate([np.arange(12), rng.integers(0, 12, 20)])
    score_BC = np.round(rng.normal(-2, 1, (12, 32)), 1)
    scores = score_retrieval(score_BC, image_of_C)
    by_image, by_caption = _naive(score_BC, image_of_C)
    assert scores.image_to_caption == pytest.approx(by_image)
    assert scores.caption_to_image == pytest.approx(by_caption)


def test_ties_count_against_the_model() -> None:
    scores = score_retrieval(np.zeros((20, 20)), np.arange(20))
    assert scores.rsum == 0.0
