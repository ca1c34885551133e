"""Retrieval: hand-made cases with known ranks, and naive loops beside the fast path."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unboxed.errors import EvaluationError
from unboxed.evaluation.retrieval import KS, RetrievalScores, score_retrieval
from unboxed.inference import ranks
from unboxed.inference.ranks import rsum


def naive_ranks(score_BC: np.ndarray, image_of_C: np.ndarray) -> tuple[list[int], list[int]]:
    """Ranks from 1; ties and NaN count against the model."""
    of_images, of_captions = [], []
    for b, row in enumerate(score_BC):
        best = max(row[c] for c in range(len(row)) if image_of_C[c] == b)
        of_images.append(1 + sum(1 for c, score in enumerate(row) if image_of_C[c] != b and not score < best))
    for c, true in enumerate(image_of_C):
        of_captions.append(
            1 + sum(1 for b in range(len(score_BC)) if b != true and not score_BC[b, c] < score_BC[true, c])
        )
    return of_images, of_captions


@st.composite
def scored_pairs(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Scores of few values, so with many ties; one caption or more per image, in any order."""
    images = draw(st.integers(1, 12))
    more = draw(st.lists(st.integers(0, images - 1), max_size=12))
    image_of_C = np.array(draw(st.permutations([*range(images), *more])))
    values = st.sampled_from([-2.0, -1.5, -1.0, 0.0, 0.5, np.inf, -np.inf])
    rows = st.lists(values, min_size=len(image_of_C), max_size=len(image_of_C))
    return np.array(draw(st.lists(rows, min_size=images, max_size=images))), image_of_C


def random_pairs(seed: int, images: int = 12, captions: int = 32) -> tuple[np.ndarray, np.ndarray]:
    """Negative scores with many ties; captions of one image are anywhere, one to several each."""
    rng = np.random.default_rng(seed)
    image_of_C = rng.permutation(np.concatenate([np.arange(images), rng.integers(0, images, captions - images)]))
    return np.round(rng.normal(-2, 1, (images, captions)), 1), image_of_C


def assert_equals_the_loop(score_BC: np.ndarray, image_of_C: np.ndarray) -> None:
    scores = score_retrieval(score_BC, image_of_C)
    of_images, of_captions = naive_ranks(score_BC, image_of_C)
    assert scores.rank_B.tolist() == of_images
    assert scores.rank_C.tolist() == of_captions
    for k in KS:
        assert scores.image_to_caption[k] == pytest.approx(100 * sum(r <= k for r in of_images) / len(of_images))
        assert scores.caption_to_image[k] == pytest.approx(100 * sum(r <= k for r in of_captions) / len(of_captions))
    assert scores.median_rank == (int(np.median(of_images)), int(np.median(of_captions)))
    assert scores.mean_rank == pytest.approx((np.mean(of_images), np.mean(of_captions)))
    assert scores.rsum == pytest.approx(scores.rsum_per_image().value)
    assert scores.rsum == pytest.approx(rsum(score_BC, image_of_C))


@given(scored_pairs())
def test_every_metric_equals_the_loop(pairs: tuple[np.ndarray, np.ndarray]) -> None:
    assert_equals_the_loop(*pairs)


def test_several_blocks_of_rows_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranks, "_BLOCK", 3 * 32)
    for seed in range(5):
        assert_equals_the_loop(*random_pairs(seed))


def test_two_images_by_hand() -> None:
    #                    paired paired other
    score_BC = np.array([[-1.0, -3.0, -2.0], [-5.0, -2.5, -2.0]])
    scores = score_retrieval(score_BC, np.array([0, 0, 1]))
    assert scores.rank_B.tolist() == [1, 1]  # the second: the paired -2.0 beats -2.5
    assert scores.rank_C.tolist() == [1, 2, 2]  # -3.0 against -2.5; -2.0 against an equal -2.0
    assert scores.protocol == "full, 2 images and 3 captions"
    assert str(scores).startswith("captions R@1/5/10 100.0 / 100.0 / 100.0, images 33.3 / 100.0 / 100.0, rsum 533.3 (")


def test_ties_and_what_is_not_a_number_count_against_the_model() -> None:
    for value in (0.0, np.nan, -np.inf):
        scores = score_retrieval(np.full((20, 20), value), np.arange(20))
        assert scores.rsum == 0.0
        assert scores.mean_rank == (20, 20)


def test_folds_are_searched_apart_and_averaged() -> None:
    score_BC, image_of_C = random_pairs(7, images=20, captions=60)
    scores = score_retrieval(score_BC, image_of_C, folds=5)
    parts = []
    for fold in range(5):
        images = np.arange(4 * fold, 4 * fold + 4)
        captions = np.flatnonzero(np.isin(image_of_C, images))
        parts.append(score_retrieval(score_BC[np.ix_(images, captions)], image_of_C[captions] - images[0]))
    assert scores.rsum == pytest.approx(np.mean([part.rsum for part in parts]))
    assert scores.mean_rank == pytest.approx(np.mean([part.mean_rank for part in parts], axis=0))
    assert scores.median_rank == pytest.approx(np.mean([part.median_rank for part in parts], axis=0))
    assert scores.rsum_per_image().value == pytest.approx(scores.rsum)
    assert scores.rsum > score_retrieval(score_BC, image_of_C).rsum  # a part is easier than the whole
    assert scores.protocol == "mean of 5 folds of 4 images"
    assert f"rsum {scores.rsum:.1f} (mean of 5 folds" in str(scores)
    with pytest.raises(EvaluationError, match="3 folds"):
        score_retrieval(score_BC, image_of_C, folds=3)


def test_the_interval_draws_images_with_all_their_captions() -> None:
    score_BC, image_of_C = random_pairs(1, images=15, captions=40)
    scores = score_retrieval(score_BC, image_of_C)
    generator, sums = np.random.default_rng(3), []
    for counts_B in generator.multinomial(15, np.full(15, 1 / 15), size=200):
        images = np.repeat(np.arange(15), counts_B)
        captions = np.concatenate([np.flatnonzero(image_of_C == b) for b in images])
        shares = [(rank[chosen] <= k).mean() for rank, chosen in
                  ((scores.rank_B, images), (scores.rank_C, captions)) for k in KS]  # fmt: skip
        sums.append(100 * sum(shares))
    assert scores.rsum_per_image().interval(seed=3, resamples=200) == pytest.approx(
        tuple(np.percentile(sums, [2.5, 97.5]))
    )


def test_an_image_without_caption_and_other_shapes_are_refused() -> None:
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
