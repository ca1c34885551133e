"""Retrieval ranks, recalls and folds of the originals (SCAN and SGRAF, `evaluation.py`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from unboxed.evaluation.retrieval import RetrievalScores, score_retrieval

CAPTIONS = 5  # of each image, one after the other


def scored(score_BC: Any, folds: int = 1) -> RetrievalScores:
    return score_retrieval(score_BC, np.arange(score_BC.shape[1]) // CAPTIONS, folds=folds)


def metrics(scores: RetrievalScores) -> tuple[list[float], list[float]]:
    """R@1, R@5, R@10, median and mean rank, with images and with captions as queries."""
    return (
        [*scores.image_to_caption.values(), scores.median_rank[0], scores.mean_rank[0]],
        [*scores.caption_to_image.values(), scores.median_rank[1], scores.mean_rank[1]],
    )


def test_ranks_and_metrics_are_the_originals(golden: Callable[[str], Any]) -> None:
    fixture = golden("retrieval_ranks")
    for kind in ("plain", "negative", "sigmoid"):
        scores = scored(fixture.arrays[f"in_score_{kind}"])
        of_images, of_captions = metrics(scores)
        fixture.check(f"out_rank_images_{kind}", scores.rank_B - 1)
        fixture.check(f"out_rank_captions_{kind}", scores.rank_C - 1)
        fixture.check(f"out_metrics_images_{kind}", np.array(of_images))
        fixture.check(f"out_metrics_captions_{kind}", np.array(of_captions))
    tied = scored(fixture.arrays["in_score_ties"])  # ties count against the model: the worst of the possible ranks
    fixture.check("bound_worst_rank_images_ties", tied.rank_B - 1)
    fixture.check("bound_worst_rank_captions_ties", tied.rank_C - 1)
    assert (tied.rank_B - 1 >= fixture.arrays["bound_best_rank_images_ties"]).all()
    assert (tied.rank_C - 1 >= fixture.arrays["bound_best_rank_captions_ties"]).all()

    folds = scored(fixture.arrays["in_score_folds"], folds=5)
    fixture.check("out_mean_metrics_folds", thirteen(folds))
    each = [scored(fixture.arrays["in_score_folds"][10 * f : 10 * f + 10, 50 * f : 50 * f + 50]) for f in range(5)]
    fixture.check("out_metrics_of_each_fold", np.stack([thirteen(fold) for fold in each]))
    # The library does not return the first answer itself, and the originals' order of ties is that of an unstable sort.
    fixture.assert_complete(["out_best_caption_*", "out_best_image_*", "out_rank_*_ties", "bound_best_rank_*"])


def thirteen(scores: RetrievalScores) -> Any:
    """The metrics of images, those of captions, the mean recall of both, and rsum."""
    of_images, of_captions = metrics(scores)
    return np.array([*of_images, *of_captions, np.mean(of_images[:3]), np.mean(of_captions[:3]), scores.rsum])
