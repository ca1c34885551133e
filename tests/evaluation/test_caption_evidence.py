"""Evidence of captions: the agreement among captions, the match relative to other images, and their weights."""

from __future__ import annotations

from math import log
from pathlib import Path

import numpy as np
import pytest

from unboxed.evaluation.caption_evidence import EvidenceWeights, agreement, relative_match
from unboxed.types import Caption, Example


def _example(name: str, *captions: str) -> Example:
    return Example(name, Path(name), tuple(Caption(text, ()) for text in captions), 10, 10)


def test_a_caption_agrees_with_those_of_its_image_by_rare_words() -> None:
    examples = [
        _example("1", "A dog runs.", "Two dogs play.", "A boat in a harbour."),
        _example("2", "A boat in a harbour.", "Boats at a pier."),
        _example("3", "A man runs."),
    ]
    found = agreement(examples)
    assert found.shape == (6,) and ((found >= 0) & (found <= 1 + 1e-9)).all()
    assert found[0] > found[2] and found[3] > found[2]  # "a" alone is in common
    assert found[5] == 0  # alone at its image


def test_the_match_is_compared_with_a_loop_over_images() -> None:
    score_BC = np.random.default_rng(0).normal(size=(4, 3))
    image_of_C = np.array([0, 2, 3])
    for c, found in enumerate(relative_match(score_BC, image_of_C)):
        column = [float(score_BC[b, c]) for b in range(4)]
        mean = sum(column) / 4
        spread = (sum((value - mean) ** 2 for value in column) / 4) ** 0.5
        assert found == pytest.approx((column[image_of_C[c]] - mean) / spread)
    assert not relative_match(np.ones((4, 3)), image_of_C).any()


def test_evidence_that_tells_gets_weight_and_other_evidence_none() -> None:
    rng = np.random.default_rng(0)
    right = rng.random(2_000) < 0.9
    evidence = np.stack([rng.normal(2 * right), -1.0 * right, rng.normal(size=2_000)], axis=1)
    weights = EvidenceWeights(evidence, right)
    assert weights.weight_4[0] > 1 and weights.weight_4[1] == 0 and abs(weights.weight_4[2]) < 0.2
    few, many = weights(evidence, 0.05), weights(evidence, 0.5)
    np.testing.assert_allclose(few - many, log(19))
    assert few[right].mean() > few[~right].mean()


def test_without_swapped_captions_the_phrases_count_alone() -> None:
    evidence = np.array([[1.0, 5.0, 0.0], [-2.0, 9.0, 1.0]])
    np.testing.assert_allclose(EvidenceWeights(evidence, np.array([True, True]))(evidence, 0.5), [1, -2])
