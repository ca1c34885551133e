"""The baseline: nouns by lot instead of by a language model.

A substitute is drawn from all nouns of the training captions, as often as they occur there. The paper's random
baseline takes captions of other images as negatives; drawing their nouns into the caption at hand leaves the rest of the
sentence the same, so that a comparison with `substitution` shows what the language model's choice is worth.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

import numpy as np

from unboxed.negatives.substitution import Exclusions
from unboxed.negatives.types import Negatives

__all__ = ["random_fingerprint", "random_substitutes"]

_VERSION = "random words 1"


def random_substitutes(
    captions: Sequence[str],
    positions: Sequence[Sequence[int]],
    image_ids: Sequence[str],
    *,
    count: int = 25,
    exclude_seen: bool = True,
    seed: int = 0,
) -> Negatives:
    """Substitutes for nouns of captions by lot, weighted by how often each noun occurs.

    Args:
        captions, positions, image_ids: as in `find_substitutes`.
        count: substitutes of each noun, without repeats; fewer where there are not so many nouns.
        exclude_seen: as in `SubstitutionSettings`. The noun itself is always left out.
        seed: of the lot; each slot's depends on it and on nothing that was drawn before.

    Raises:
        ValueError: lengths that differ, or a position that is not a word of its caption.
    """
    exclusions = Exclusions(captions, positions, image_ids, exclude_seen)
    frequency_V = np.bincount(exclusions.noun_of_S, minlength=len(exclusions.nouns)).astype(np.float64)
    found_SN = np.full((len(exclusions.positions), count), -1, dtype=np.int32)
    for row in range(len(found_SN)):
        # The smallest of exponential times of rate f are a draw without repeats in proportion to f.
        time_V = np.random.default_rng((seed, row)).exponential(size=len(frequency_V)) / frequency_V
        time_V[exclusions.mask(np.array([row]))[0]] = np.inf
        order = np.argsort(time_V, kind="stable")[:count]
        order = order[np.isfinite(time_V[order])]
        found_SN[row, : len(order)] = order
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
