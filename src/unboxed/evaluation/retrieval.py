"""How often the right photograph is found by its caption, and the right caption by its photograph.

Protocol: R@k is the share of queries, in per cent, whose right answer (for a photograph: the best of its captions) has
a rank of k or less. The rank counts every wrong candidate that scores as high or higher, so ties count against the
model. `rsum` is the sum of the six R@{1,5,10}.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["RetrievalScores", "score_retrieval"]

KS = (1, 5, 10)


@dataclass(frozen=True)
class RetrievalScores:
    """R@k in per cent by k, in both directions.

    Attributes:
        image_to_caption: photographs as queries.
        caption_to_image: captions as queries.
    """

    image_to_caption: dict[int, float]
    caption_to_image: dict[int, float]

    @property
    def rsum(self) -> float:
        """The sum of the six recalls, in [0, 600]."""
        return sum(self.image_to_caption.values()) + sum(self.caption_to_image.values())


def score_retrieval(score_BC: npt.NDArray[np.floating], image_of_C: npt.NDArray[np.integer]) -> RetrievalScores:
    """Recalls of all B photographs against all C captions.

    Args:
        score_BC: higher is better; any sign.
        image_of_C: index of each caption's photograph; every photograph has at least one caption.
    """
    own_BC = image_of_C[None, :] == np.arange(len(score_BC))[:, None]
    true_C = score_BC[image_of_C, np.arange(len(image_of_C))]
    rank_C = ((score_BC >= true_C) & ~own_BC).sum(axis=0)
    best_B = np.where(own_BC, score_BC, -np.inf).max(axis=1)
    rank_B = ((score_BC >= best_B[:, None]) & ~own_BC).sum(axis=1)
    return RetrievalScores(_recalls(rank_B), _recalls(rank_C))


def _recalls(rank: npt.NDArray[np.integer]) -> dict[int, float]:
    return {k: 100.0 * float((rank < k).mean()) for k in KS}
