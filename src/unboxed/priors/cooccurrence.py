"""Co-occurrence of nouns and detected classes, learned from training images and their captions.

The detector gives the classes of an image, the captions give its nouns: a noun that occurs where a class is seen
probably means it. This is IBM's translation model 1 (Brown et al. 1993) from classes to nouns, with class scores in
place of words, and an empty class for nouns that mean nothing the detector has a class for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from unboxed.errors import ModelError, plain_reason
from unboxed.runtime.array_file import read_arrays
from unboxed.runtime.atomic import atomic_path
from unboxed.types import Array

__all__ = ["Cooccurrence"]

_EMPTY = 0.2  # the score of the empty class in every image
_STEPS = 15


class Cooccurrence:
    """The probabilities of K classes given each of N nouns.

    Args:
        nouns: N keys of nouns, see `unboxed.text.lexicon.noun_key`.
        weight_NK: probabilities; a row sums to at most 1, the rest belongs to the empty class.
    """

    def __init__(self, nouns: Sequence[str], weight_NK: Array) -> None:
        self.nouns = tuple(nouns)
        self.weight_NK = np.asarray(weight_NK, dtype=np.float32)
        self._rows = {noun: row for row, noun in enumerate(self.nouns)}

    @classmethod
    def fit(cls, images: Iterable[tuple[Sequence[str], Array]], min_count: int = 5) -> Cooccurrence:
        """Learn from I images by expectation-maximization of `Π_image Π_noun Σ_k P(noun | k) score_k`.

        Args:
            images: of each image the nouns of its captions, with repetitions, and the score `[K]` in [0, 1] of each
                class.
            min_count: a noun that occurs less often is left out.
        """
        nouns_I, scores_I = [], []
        for nouns, score_K in images:
            nouns_I.append(Counter(nouns))
            scores_I.append(score_K)
        counts = sum(nouns_I, Counter[str]())
        kept = sorted((noun for noun, n in counts.items() if n >= min_count), key=lambda noun: (-counts[noun], noun))
        if not kept:
            return cls((), np.zeros((0, len(scores_I[0]) if scores_I else 0), np.float32))
        ids = {noun: i for i, noun in enumerate(kept)}
        count_IN = np.zeros((len(nouns_I), len(kept)), np.float32)
        for row, image_counts in zip(count_IN, nouns_I, strict=True):
            for noun, n in image_counts.items():
                if noun in ids:
                    row[ids[noun]] = n
        empty_I1 = np.full((len(scores_I), 1), _EMPTY)
        score_IK = np.concatenate([np.stack(scores_I), empty_I1], axis=1).astype(np.float32)
        noun_KN = np.tile(count_IN.sum(axis=0) / count_IN.sum(), (score_IK.shape[1], 1)).astype(np.float32)
        expected_KN = noun_KN
        for _ in range(_STEPS):
            expected_KN = noun_KN * (score_IK.T @ (count_IN / np.maximum(score_IK @ noun_KN, 1e-9)))
            noun_KN = expected_KN / np.maximum(expected_KN.sum(axis=1, keepdims=True), 1e-9)
        class_KN = expected_KN / np.maximum(expected_KN.sum(axis=0, keepdims=True), 1e-9)
        return cls(kept, np.ascontiguousarray(class_KN[:-1].T))

    def of(self, noun: str) -> Array | None:
        """`[K]` probabilities of the classes given a noun key; None for a noun that was left out."""
        row = self._rows.get(noun)
        return None if row is None else self.weight_NK[row]

    def save(self, path: Path) -> None:
        """Write a NumPy archive, atomically."""
        with atomic_path(path) as partial:
            np.savez_compressed(partial, weights=self.weight_NK, nouns=np.array(self.nouns, dtype=np.str_))

    @classmethod
    def load(cls, path: Path) -> Cooccurrence:
        """The probabilities that `save` wrote.

        Raises:
            ModelError: a file that is missing or damaged.
        """
        try:
            arrays = read_arrays(path)
            nouns, weight_NK = arrays["nouns"], arrays["weights"]
            if weight_NK.ndim != 2 or weight_NK.dtype.kind != "f" or nouns.shape != weight_NK.shape[:1]:
                raise ValueError(f"nouns {list(nouns.shape)} with weights {list(weight_NK.shape)}")
            if not ((weight_NK >= 0) & (weight_NK <= 1)).all():
                raise ValueError("weights outside 0..1")
            return cls([str(noun) for noun in nouns], weight_NK)
        except (OSError, ValueError, KeyError) as error:
            raise ModelError(f"{path} cannot be read ({plain_reason(error)}); train the run anew.") from error
