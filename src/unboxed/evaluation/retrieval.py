"""Image-text retrieval: how often an image is found by its caption, and a caption by its image.

The **rank** of a query's correct answer is 1 + the number of wrong candidates that score at least as high, so ties
count against the model, and so does a score that is NaN. An image may have any number of captions; as a query it is
answered by the best of them, and its other captions are not wrong candidates.

    R@k            percentage of queries whose correct answer has a rank of k or less
    rsum           sum of the six R@{1, 5, 10} of both directions, in [0, 600]
    median rank    rounded down to an integer
    mean rank

Protocols, by the candidates of a query:

    full           all images, or all captions, of the split ("1K" on a split of 1,000 images, "5K" of 5,000)
    N folds        N consecutive parts of equal size, each evaluated separately; the values are means over the parts.
                   Five folds of 1,000 are the "1K" of MS-COCO. A part is easier than the whole: never compare across
                   protocols.

Intervals are 95 % bootstraps over images as queries, each with all of its captions; the candidates stay the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from unboxed.errors import EvaluationError
from unboxed.evaluation.bootstrap import PerImageMetric
from unboxed.inference.ranks import retrieval_ranks
from unboxed.runtime.progress import counted

__all__ = ["RetrievalScores", "require_folds", "score_retrieval"]

KS = (1, 5, 10)
"""The k of R@k."""

Index = npt.NDArray[np.integer]


@dataclass(frozen=True, eq=False)
class RetrievalScores:
    """The ranks of B images and C captions, and the metrics that follow from them.

    Attributes:
        rank_B: `[B]`, rank of the best caption of each image, from 1.
        rank_C: `[C]`, rank of the image of each caption, from 1.
        image_of_C: `[C]`, index of the image of each caption.
        fold_of_B: `[B]`, fold of each image, from 0.
    """

    rank_B: Index
    rank_C: Index
    image_of_C: Index
    fold_of_B: Index

    @property
    def protocol(self) -> str:
        """The candidates that were searched, in words."""
        sizes = np.bincount(self.fold_of_B)
        if len(sizes) == 1:
            return f"full, {counted(len(self.rank_B), 'image')} and {counted(len(self.rank_C), 'caption')}"
        return f"mean of {len(sizes)} folds of {sizes[0]:,} images"

    @cached_property
    def image_to_caption(self) -> dict[int, float]:
        """R@k in percent by k, with images as queries."""
        return {k: self._mean_over_folds(self.rank_B <= k, self.fold_of_B) * 100 for k in KS}

    @cached_property
    def caption_to_image(self) -> dict[int, float]:
        """R@k in percent by k, with captions as queries."""
        return {k: self._mean_over_folds(self.rank_C <= k, self._caption_folds) * 100 for k in KS}

    @property
    def rsum(self) -> float:
        """Sum of the six recalls, in [0, 600]."""
        return sum(self.image_to_caption.values()) + sum(self.caption_to_image.values())

    @property
    def median_rank(self) -> tuple[float, float]:
        """With images and with captions as queries; rounded down in each fold, then averaged over folds."""
        both = ((self.rank_B, self.fold_of_B), (self.rank_C, self._caption_folds))
        of_images, of_captions = (
            np.mean([np.floor(np.median(rank[fold == f])) for f in range(self._folds)]) for rank, fold in both
        )
        return float(of_images), float(of_captions)

    @property
    def mean_rank(self) -> tuple[float, float]:
        """With images and with captions as queries."""
        return (
            self._mean_over_folds(self.rank_B, self.fold_of_B),
            self._mean_over_folds(self.rank_C, self._caption_folds),
        )

    def __str__(self) -> str:
        to_caption, to_image = (
            " / ".join(f"{recall[k]:.1f}" for k in KS) for recall in (self.image_to_caption, self.caption_to_image)
        )
        return f"captions R@1/5/10 {to_caption}, images {to_image}, rsum {self.rsum:.1f} ({self.protocol})"

    def rsum_per_image(self, image_ids: Sequence[str] | None = None) -> PerImageMetric:
        """The rsum image by image, for its interval and for paired comparisons.

        Args:
            image_ids: names of the B images; their indices by default.
        """
        hits, counts = [], []
        for fold in range(self._folds):
            inside_B, inside_C = self.fold_of_B == fold, self._caption_folds == fold
            captions_B = np.bincount(self.image_of_C, weights=inside_C, minlength=len(self.rank_B))
            for k in KS:
                hits.append((self.rank_B <= k) & inside_B)
                counts.append(inside_B)
                found_C = (self.rank_C <= k) & inside_C
                hits.append(np.bincount(self.image_of_C, weights=found_C, minlength=len(self.rank_B)))
                counts.append(captions_B)
        ids = tuple(image_ids) if image_ids is not None else tuple(str(b) for b in range(len(self.rank_B)))
        return PerImageMetric(ids, np.stack(hits, axis=1) / self._folds, np.stack(counts, axis=1).astype(np.float64))

    def to_dict(self) -> dict[str, object]:
        """The dictionary that `unboxed evaluate --json` prints under `retrieval`; recalls are 0–100, ranks from 1."""
        low, high = self.rsum_per_image().interval()

        def direction(recalls: dict[int, float], index: int) -> dict[str, object]:
            named = {str(k): round(recall, 3) for k, recall in recalls.items()}
            return {"recall": named, "median_rank": self.median_rank[index], "mean_rank": self.mean_rank[index]}

        return {
            "protocol": self.protocol,
            "image_to_caption": direction(self.image_to_caption, 0),
            "caption_to_image": direction(self.caption_to_image, 1),
            "rsum": round(self.rsum, 3),
            "interval": {"rsum": [round(low, 3), round(high, 3)]},
        }

    @property
    def _folds(self) -> int:
        return int(self.fold_of_B.max()) + 1

    @property
    def _caption_folds(self) -> Index:
        return self.fold_of_B[self.image_of_C]

    def _mean_over_folds(self, values: npt.NDArray[np.generic], folds: Index) -> float:
        return float((np.bincount(folds, weights=values) / np.bincount(folds)).mean())


def require_folds(images: int, folds: int) -> None:
    """Raise an `EvaluationError` unless this number of images makes so many folds of equal size."""
    if folds < 1 or images % folds:
        raise EvaluationError(f"{images} images do not make {folds} folds of equal size; use --folds 1.")


def score_retrieval(score_BC: npt.NDArray[np.floating], image_of_C: Index, *, folds: int = 1) -> RetrievalScores:
    """Ranks all B images and all C captions by their scores. Nothing is sorted: wrong candidates are counted.

    Args:
        score_BC: higher is better; any sign, infinite values allowed.
        image_of_C: index of the image of each caption, in any order; every image has at least one caption.
        folds: number of consecutive parts of the images that are evaluated separately.

    Raises:
        EvaluationError: shapes that do not agree, an image without caption, or folds that are not of equal size.
    """
    image_of_C = np.asarray(image_of_C)
    images = len(score_BC)
    captions_B = np.bincount(image_of_C, minlength=images)
    if score_BC.shape != (len(captions_B), len(image_of_C)) or not captions_B.all():
        raise EvaluationError(
            f"Scores {list(score_BC.shape)} for {len(image_of_C)} captions of {int((captions_B > 0).sum())} "
            "images; give one row an image, one column a caption, and each image at least one caption."
        )
    require_folds(images, folds)
    fold_of_B = np.arange(images) // (images // folds)
    rank_B, rank_C = np.ones(images, dtype=np.int64), np.ones(len(image_of_C), dtype=np.int64)
    for fold in range(folds):
        of_fold_B = np.flatnonzero(fold_of_B == fold)
        of_fold_C = np.flatnonzero(fold_of_B[image_of_C] == fold)
        part_BC = score_BC if folds == 1 else score_BC[np.ix_(of_fold_B, of_fold_C)]
        rank_B[of_fold_B], rank_C[of_fold_C] = retrieval_ranks(part_BC, image_of_C[of_fold_C] - of_fold_B[0])
    return RetrievalScores(rank_B, rank_C, image_of_C, fold_of_B)
