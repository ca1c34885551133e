"""Evidence that a caption is about its image: its phrases, its rank among other images, the image's other captions.

    phrases      sum of the log odds that each phrase is in the image
    match        how much better the caption matches its image than other images of the dataset, in standard deviations
    agreement    cosine of the caption's words with those of the image's other captions, rare words counting more;
                 0 for a caption that is alone

The three are weighted by a logistic regression on captions that were swapped on purpose. No box is used.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import log, sqrt

import numpy as np
import numpy.typing as npt

from unboxed.inference.calibration import rising_logistic
from unboxed.text.lexicon import noun_key
from unboxed.text.tokens import words
from unboxed.types import Example

__all__ = ["EvidenceWeights", "agreement", "relative_match"]

_RIDGE = 1.0


def agreement(examples: Sequence[Example]) -> npt.NDArray[np.float64]:
    """`[C]` in [0, 1]: the agreement of each caption with the others of its image, in the order of `examples`."""
    counted = [[_words(caption.text) for caption in example.captions] for example in examples]
    images_of = Counter(word for captions in counted for word in {word for caption in captions for word in caption})
    rarity = {word: log(1 + len(examples) / count) - log(2) + 1e-3 for word, count in images_of.items()}
    found: list[float] = []
    for captions in counted:
        for number, caption in enumerate(captions):
            others: Counter[str] = Counter()
            for other in (*captions[:number], *captions[number + 1 :]):
                others.update(other)
            found.append(_cosine(caption, others, rarity))
    return np.array(found, dtype=np.float64)


def _words(text: str) -> Counter[str]:
    return Counter({noun_key(word.text.lower()) for word in words(text)})


def _cosine(one: Counter[str], other: Counter[str], rarity: dict[str, float]) -> float:
    def length(counts: Counter[str]) -> float:
        return sqrt(sum((count * rarity[word]) ** 2 for word, count in counts.items()))

    product = sum(count * other[word] * rarity[word] ** 2 for word, count in one.items())
    return float(product) / max(length(one) * length(other), 1e-12)


def relative_match(score_BC: npt.NDArray[np.floating], image_of_C: npt.NDArray[np.integer]) -> npt.NDArray[np.float64]:
    """`[C]`: the score of each caption with an image, minus its mean over the images, in standard deviations.

    Args:
        score_BC: how well image and caption match.
        image_of_C: the image of each caption.
    """
    score = np.asarray(score_BC, dtype=np.float64)
    given_C = score[image_of_C, np.arange(score.shape[1])]
    spread_C = score.std(axis=0)
    return np.asarray((given_C - score.mean(axis=0)) / np.where(spread_C > 0, spread_C, 1), dtype=np.float64)


class EvidenceWeights:
    """The weights of the evidence, fitted on captions of which some were swapped on purpose.

    Args:
        evidence_C3: the phrases, the match and the agreement of each caption.
        right_C: False for swapped captions. If all are of one kind, only the phrases count.
    """

    def __init__(self, evidence_C3: npt.NDArray[np.float64], right_C: npt.NDArray[np.bool_]) -> None:
        self.mean_3, spread_3 = evidence_C3.mean(axis=0), evidence_C3.std(axis=0)
        self.spread_3 = np.where(spread_3 > 0, spread_3, 1)
        inputs_C4 = self._inputs(evidence_C3)
        used_4 = np.array([*(spread_3 > 0), True])
        rising_4 = np.array([True, True, True, False])
        self.weight_4 = np.array([self.spread_3[0], 0, 0, self.mean_3[0]])
        if right_C.any() and not right_C.all():
            self.weight_4 = rising_logistic(inputs_C4, right_C, np.zeros(4), np.full(4, _RIDGE), used_4, rising_4)

    def __call__(self, evidence_C3: npt.NDArray[np.float64], wrong: float) -> npt.NDArray[np.float64]:
        """`[C]`: the log odds that each caption is about its image, if a share `wrong` of the captions is not."""
        odds_C = self._inputs(evidence_C3) @ self.weight_4 + log((1 - wrong) / wrong)
        return np.asarray(odds_C, dtype=np.float64)

    def _inputs(self, evidence_C3: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        standard_C3 = (evidence_C3 - self.mean_3) / self.spread_3
        return np.concatenate([standard_C3, np.ones((len(evidence_C3), 1))], axis=1)
