"""How well every photograph of a split fits every caption of it: what retrieval ranks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from unboxed.errors import EvaluationError
from unboxed.model import Grounder
from unboxed.regions.store import RegionStore
from unboxed.text.tokens import words
from unboxed.types import Array, Example

__all__ = ["PairScores", "ensemble", "score_pairs"]

_ARRAYS = 8  # arrays [b, c, W, R] of float32 that an attention holds at once, roughly


@dataclass(frozen=True, eq=False)
class PairScores:
    """All pairs of B photographs and C captions.

    Attributes:
        image_ids: the B photographs, in the order of the split.
        score_BC: higher is better, any sign; -inf in the row of a photograph without regions, which is found last.
        image_of_C: index of each caption's photograph.
    """

    image_ids: tuple[str, ...]
    score_BC: Array
    image_of_C: npt.NDArray[np.intp]


def ensemble(*score_BC: Array) -> Array:
    """The mean of several models' scores of the same pairs, as SCAN, BFAN and SGRAF publish theirs.

    Raises:
        EvaluationError: no scores, or scores of different pairs.
    """
    if len({scores.shape for scores in score_BC}) != 1:
        raise EvaluationError(f"An ensemble needs scores of the same pairs; these are {[s.shape for s in score_BC]}.")
    return np.mean(score_BC, axis=0)  # type: ignore[no-any-return]


def score_pairs(
    grounder: Grounder, examples: Sequence[Example], store: RegionStore, *, memory: int = 256 << 20
) -> PairScores:
    """Scores all pairs, in blocks of photographs and captions of like length, so that little is padding.

    Args:
        grounder: the trained model.
        examples: the photographs with their captions.
        store: their regions, found the run's way.
        memory: bytes that one block's attention may take, roughly; it bounds the memory, not the result.

    Raises:
        EvaluationError: not one photograph has regions.
    """
    captions = [caption for example in examples for caption in example.captions]
    image_of_C = np.repeat(np.arange(len(examples)), [len(example.captions) for example in examples])
    score_BC = np.full((len(examples), len(captions)), -np.inf, dtype=np.float32)
    present = np.array([b for b, example in enumerate(examples) if example.image_id in store], dtype=np.intp)
    if not len(present):
        raise EvaluationError(
            f"None of the {len(examples)} photographs has regions in {store.path}; extract them with `unboxed regions`."
        )
    counts = np.array([len(store.arrays(examples[b].image_id).boxes) for b in present])
    order_B = present[np.argsort(counts, kind="stable")]
    length_C = np.array([len(words(caption.text)) for caption in captions])
    order_C = np.argsort(length_C, kind="stable")
    # As near to square as the memory allows: each side is encoded once for each block of the other.
    pairs = max(memory // (4 * _ARRAYS * int(counts.max()) * int(length_C.max())), 1)
    images_a_block = max(min(int(pairs**0.5), len(order_B)), 1)
    captions_a_block = max(pairs // images_a_block, 1)
    for rows in _blocks(order_B, images_a_block):
        regions = [store[examples[b].image_id] for b in rows]
        for columns in _blocks(order_C, captions_a_block):
            score_BC[np.ix_(rows, columns)] = grounder.score(regions, [captions[c] for c in columns])
    return PairScores(tuple(example.image_id for example in examples), score_BC, image_of_C)


def _blocks(order: npt.NDArray[np.intp], size: int) -> Iterator[npt.NDArray[np.intp]]:
    for first in range(0, len(order), size):
        yield order[first : first + size]
