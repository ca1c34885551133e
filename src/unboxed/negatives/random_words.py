"""Random nouns as substitutes: the baseline for those of a language model.

A substitute is sampled from all nouns of the training captions, in proportion to how often they occur. The paper's
random baseline takes whole captions of other images as negatives. Replacing one noun keeps the rest of the caption
equal, so that a comparison with `substitution` measures the language model's choice of the word alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unboxed.negatives.base import CaptionNouns, Negatives
from unboxed.negatives.substitution import Exclusions

__all__ = ["RandomWords"]

_VERSION = "random words 2"
_BATCH = 512


@dataclass(frozen=True)
class RandomWords:
    """Substitutes sampled from the nouns of the captions. Implements `NegativeSource`.

    Attributes:
        count: substitutes of each slot, without repeats; fewer where there are not so many nouns.
        exclude_seen: leave out nouns that any caption of the same image contains, see `SubstitutionSettings`.
        seed: of the sampling.
    """

    count: int = 25
    exclude_seen: bool = True
    seed: int = 0

    def fingerprint(self, nouns: CaptionNouns) -> str:
        """See `NegativeSource`."""
        return nouns.digest(_VERSION, self.count, self.exclude_seen, self.seed)

    def find(self, nouns: CaptionNouns, *, progress: bool = False) -> Negatives:
        """See `NegativeSource`; needs no progress bar."""
        exclusions = Exclusions(nouns, self.exclude_seen)
        frequency_V = np.bincount(exclusions.noun_of_S, minlength=len(exclusions.nouns)).astype(np.float32)
        found_SN = np.full((len(nouns.position_S), self.count), -1, dtype=np.int32)
        size = min(self.count, len(frequency_V))
        for start in range(0, len(found_SN), _BATCH):
            rows = np.arange(start, min(start + _BATCH, len(found_SN)))
            random = np.random.default_rng((self.seed, start))
            # The smallest of exponential times of rates f are a sample without repeats in proportion to f.
            time_NV = random.standard_exponential((len(rows), len(frequency_V)), dtype=np.float32) / frequency_V
            time_NV[exclusions.mask(rows)] = np.inf
            first_NK = np.argpartition(time_NV, size - 1, axis=1)[:, :size]
            order_NK = np.take_along_axis(time_NV, first_NK, axis=1).argsort(axis=1)
            first_NK = np.take_along_axis(first_NK, order_NK, axis=1)
            possible_NK = np.isfinite(np.take_along_axis(time_NV, first_NK, axis=1))
            found_SN[rows, :size] = np.where(possible_NK, first_NK, -1)
        return Negatives(exclusions.nouns, nouns.offsets, nouns.position_S, found_SN, self.fingerprint(nouns))
