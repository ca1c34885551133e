"""The baseline: nouns at random instead of by a language model.

A substitute is drawn from all nouns of the training captions, as often as they occur there. The paper's random
baseline takes captions of other images as negatives; drawing their nouns into the caption at hand leaves the rest of
the sentence the same, so that a comparison with `substitution` shows what the language model's choice is worth.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

import numpy as np

from unboxed.negatives.base import Negatives
from unboxed.negatives.substitution import Exclusions

__all__ = ["random_fingerprint", "random_substitutes"]

_VERSION = "random words 2"
_BATCH = 512


def random_substitutes(
    captions: Sequence[str],
    positions: Sequence[Sequence[int]],
    image_ids: Sequence[str],
    *,
    count: int = 25,
    exclude_seen: bool = True,
    seed: int = 0,
) -> Negatives:
    """Substitutes for nouns of captions at random, weighted by how often each noun occurs.

    Args:
        captions, positions, image_ids: as in `find_substitutes`.
        count: substitutes of each noun, without repeats; fewer where there are not so many nouns.
        exclude_seen: as in `SubstitutionSettings`. The noun itself is always left out.
        seed: of the lot.

    Raises:
        ValueError: lengths that differ, or a position that is not a word of its caption.
    """
    exclusions = Exclusions(captions, positions, image_ids, exclude_seen)
    frequency_V = np.bincount(exclusions.noun_of_S, minlength=len(exclusions.nouns)).astype(np.float32)
    found_SN = np.full((len(exclusions.positions), count), -1, dtype=np.int32)
    drawn = min(count, len(frequency_V))
    for start in range(0, len(found_SN), _BATCH):
        rows = np.arange(start, min(start + _BATCH, len(found_SN)))
        random = np.random.default_rng((seed, start))
        # The smallest of exponential times of rates f are a draw without repeats in proportion to f.
        time_NV = random.standard_exponential((len(rows), len(frequency_V)), dtype=np.float32) / frequency_V
        time_NV[exclusions.mask(rows)] = np.inf
        first_NK = np.argpartition(time_NV, drawn - 1, axis=1)[:, :drawn]
        first_NK = np.take_along_axis(first_NK, np.take_along_axis(time_NV, first_NK, axis=1).argsort(axis=1), axis=1)
        possible_NK = np.isfinite(np.take_along_axis(time_NV, first_NK, axis=1))
        found_SN[rows, :drawn] = np.where(possible_NK, first_NK, -1)
    fingerprint = random_fingerprint(captions, positions, image_ids, count, exclude_seen, seed)
    return Negatives(exclusions.nouns, exclusions.offsets, exclusions.positions, found_SN, fingerprint)


def random_fingerprint(
    captions: Sequence[str],
    positions: Sequence[Sequence[int]],
    image_ids: Sequence[str],
    count: int,
    exclude_seen: bool,
    seed: int,
) -> str:
    """Equal for equal negatives."""
    digest = hashlib.sha256(json.dumps([_VERSION, count, exclude_seen, seed]).encode())
    for caption, places, image_id in zip(captions, positions, image_ids, strict=True):
        digest.update(json.dumps([caption, [int(place) for place in places], image_id]).encode())
    return digest.hexdigest()
