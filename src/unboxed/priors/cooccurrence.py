"""Which classes a noun goes with, learned from training images and their captions alone.

The detector says which classes an image shows, its captions say which nouns: a noun that is said where a class is
seen probably means it. This is IBM's first model of translation (Brown et al. 1993) from classes to nouns, with soft
presence of the classes and an empty class for nouns that mean nothing the detector knows.
"""

from __future__ import annotations

import zipfile
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from unboxed.errors import ModelError
from unboxed.types import Array

__all__ = ["Cooccurrence"]

_EMPTY = 0.2
_STEPS = 15


class Cooccurrence:
    """The probabilities of classes given a noun.

    Args:
        nouns: N keys of nouns.
        weight_NK: each row at most 1 in sum; what is missing belongs to the empty class.
    """

    def __init__(self, nouns: Sequence[str], weight_NK: Array) -> None:
        self.nouns = tuple(nouns)
        self.weight_NK = np.asarray(weight_NK, dtype=np.float32)
        self._rows = {noun: row for row, noun in enumerate(self.nouns)}

    @classmethod
    def fit(cls, images: Iterable[tuple[Sequence[str], Array]], min_count: int = 5) -> Cooccurrence:
        """Learns from photographs: the nouns of each one's captions, with repetitions, and how sure its classes are.

        The likelihood `Π_image Π_noun Σ_k P(noun | k) presence_k` is climbed by expectation-maximisation.

        Args:
            photographs: nouns, and the presence `[K]` in [0, 1] of each class.
            min_count: nothing is learned of a noun that is said less often.
        """
        said, shown = [], []
        for nouns, presence_K in images:
            said.append(Counter(nouns))
            shown.append(presence_K)
        counts = sum(said, Counter[str]())
        kept = sorted((noun for noun, n in counts.items() if n >= min_count), key=lambda noun: (-counts[noun], noun))
        if not kept:
            return cls((), np.zeros((0, len(shown[0]) if shown else 0), np.float32))
        ids = {noun: i for i, noun in enumerate(kept)}
        count_IN = np.zeros((len(said), len(kept)), np.float32)
        for row, own in zip(count_IN, said, strict=True):
            for noun, n in own.items():
                if noun in ids:
                    row[ids[noun]] = n
        presence_IK = np.concatenate([np.stack(shown), np.full((len(shown), 1), _EMPTY)], axis=1).astype(np.float32)
        noun_KN = np.tile(count_IN.sum(axis=0) / count_IN.sum(), (presence_IK.shape[1], 1)).astype(np.float32)
        expected_KN = noun_KN
        for _ in range(_STEPS):
            expected_KN = noun_KN * (presence_IK.T @ (count_IN / np.maximum(presence_IK @ noun_KN, 1e-9)))
            noun_KN = expected_KN / np.maximum(expected_KN.sum(axis=1, keepdims=True), 1e-9)
        class_KN = expected_KN / np.maximum(expected_KN.sum(axis=0, keepdims=True), 1e-9)
        return cls(kept, np.ascontiguousarray(class_KN[:-1].T))

    def of(self, noun: str) -> Array | None:
        """`[K]` probabilities of the classes given a noun key, or None when nothing was learned of it."""
        row = self._rows.get(noun)
        return None if row is None else self.weight_NK[row]

    def save(self, path: Path) -> None:
        """Writes a NumPy archive."""
        np.savez_compressed(path, weights=self.weight_NK.astype(np.float32), nouns=np.array(self.nouns, dtype=np.str_))

    @classmethod
    def load(cls, path: Path) -> Cooccurrence:
        """What `save` wrote.

        Raises:
            ModelError: a file that is missing or damaged.
        """
        try:
            with path.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
                return cls([str(noun) for noun in archive["nouns"]], archive["weights"])
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise ModelError(f"{path} cannot be read ({error}); train the run anew.") from error
