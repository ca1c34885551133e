"""Retrieval beside a loop that sorts nothing either but is plain, hand-made cases, and the bootstrap's protocol."""

from __future__ import annotations

import numpy as np
import pytest

from unboxed.errors import EvaluationError
from unboxed.evaluation.retrieval import KS, RetrievalScores, score_retrieval
from unboxed.inference import ranks


def naive_ranks(score_BC: np.ndarray, image_of_C: np.ndarray) -> tuple[list[int], list[int]]:
    """From 1, ties against the model."""
    by_image, by_caption = [], []
    for b, row in enumerate(score_BC):
        best = max(row[c] for c in range(len(row)) if image_of_C[c] == b)
        by_image.append(1 + sum(1 for c, s in enumerate(row) if image_of_C[c] != b and s >= best))
    for c, own in enumerate(image_of_C):
        by_caption.append(1 + sum(1 for b in range(len(score_BC)) if b != own and score_BC[b, c] >= score_BC[own, c]))
    return by_image, by_caption


def drawn(seed: int, images: int = 12, captions: int = 32) -> tuple[np.ndarray, np.ndarray]:
    """Negative scores with many ties; captions of one image lie anywhere, one to several each."""
    rng = np.random.default_rng(seed)
    image_of_C = rng.permutation(np.concatenate([np.arange(images), rng.integers(0, images, captions - images)]))
    return np.round(rng.normal(-2, 1, (images, captions)), 1), image_of_C


@pytest.mark.parametrize("seed", range(5))
def test_every_figure_equals_the_loop_with_negative_scores_and_ties(seed: int, monkeypatch) -> None:
    monkeypatch.setattr(ranks, "_BLOCK", 3 * 32)  # several blocks of rows
    score_BC, image_of_C = drawn(seed)
    scores = score_retrieval(score_BC, image_of_C)
    by_image, by_caption = naive_ranks(score_BC, image_of_C)
    assert scores.rank_B.tolist() == by_image
    assert scores.rank_C.tolist() == by_caption
    for k in KS:
        assert scores.image_to_caption[k] == pytest.approx(100 * sum(r <= k for r in by_image) / len(by_image))
        assert scores.caption_to_image[k] == pytest.approx(100 * sum(r <= k for r in by_caption) / len(by_caption))
    assert scores.median_rank == (int(np.median(by_image)), int(np.median(by_caption)))
    assert scores.mean_rank == pytest.approx((np.mean(by_image), np.mean(by_caption)))
    assert scores.rsum == pytest.approx(scores.tally().value)


def test_two_images_by_hand() -> None:
    #                     own    own   other
    score_BC = np.array([[-1.0, -3.0, -2.0], [-5.0, -2.5, -2.0]])
    scores = score_retrieval(score_BC, np.array([0, 0, 1]))
    assert scores.rank_B.tolist() == [1, 1]  # the second: its own -2.0 beats -2.5
    assert scores.rank_C.tolist() == [1, 2, 2]  # -3.0 against -2.5; -2.0 against an equal -2.0
    assert scores.protocol == "full, 2 images and 3 captions"


def test_ties_and_what_is_not_a_number_count_against_the_model() -> None:
    for value in (0.0, np.nan, -np.inf):
        scores = score_retrieval(np.full((20, 20), value), np.arange(20))
        assert scores.rsum == 0.0
        assert scores.mean_rank == (20, 20)


def test_folds_are_searched_apart_and_averaged() -> None:
    score_BC, image_of_C = drawn(7, images=20, captions=60)
    scores = score_retrieval(score_BC, image_of_C, folds=5)
    parts = []
    for fold in range(5):
        images = np.arange(4 * fold, 4 * fold + 4)
        captions = np.flatnonzero(np.isin(image_of_C, images))
        parts.append(score_retrieval(score_BC[np.ix_(images, captions)], image_of_C[captions] - images[0]))
    assert scores.rsum == pytest.approx(np.mean([part.rsum for part in parts]))
    assert scores.mean_rank == pytest.approx(np.mean([part.mean_rank for part in parts], axis=0))
    assert scores.median_rank == pytest.approx(np.mean([part.median_rank for part in parts], axis=0))
    assert scores.tally().value == pytest.approx(scores.rsum)
    assert scores.rsum > score_retrieval(score_BC, image_of_C).rsum  # a part is easier than the whole
    assert scores.protocol == "mean of 5 folds of 4 images"
    with pytest.raises(EvaluationError, match="3 folds"):
        score_retrieval(score_BC, image_of_C, folds=3)


def test_the_interval_draws_images_with_all_their_captions() -> None:
    score_BC, image_of_C = drawn(1, images=15, captions=40)
    scores = score_retrieval(score_BC, image_of_C)
    generator, sums = np.random.default_rng(3), []
    for counts_B in generator.multinomial(15, np.full(15, 1 / 15), size=200):
        images = np.repeat(np.arange(15), counts_B)
        captions = np.concatenate([np.flatnonzero(image_of_C == b) for b in images])
        shares = [(rank[chosen] <= k).mean() for rank, chosen in
                  ((scores.rank_B, images), (scores.rank_C, captions)) for k in KS]  # fmt: skip
        sums.append(100 * sum(shares))
    assert scores.rsum_interval(seed=3, resamples=200) == pytest.approx(tuple(np.percentile(sums, [2.5, 97.5])))


def test_a_image_without_caption_and_other_shapes_are_refused() -> None:
    with pytest.raises(EvaluationError, match="at least one caption"):
        score_retrieval(np.zeros((3, 2)), np.array([0, 1]))
    with pytest.raises(EvaluationError, match="one column a caption"):
        score_retrieval(np.zeros((2, 3)), np.array([0, 1]))


def test_the_dictionary_holds_what_json_can() -> None:
    import json

    scores: RetrievalScores = score_retrieval(np.eye(12), np.arange(12))
    content = json.loads(json.dumps(scores.to_dict()))
    assert content["rsum"] == 600
    assert content["caption_to_image"] == {"recall": {"1": 100, "5": 100, "10": 100}, "median_rank": 1, "mean_rank": 1}
