"""Scores of all pairs of images and captions of a split, which retrieval ranks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from unboxed.errors import EvaluationError
from unboxed.inference.embedded_split import EmbeddedSplit
from unboxed.inference.grounder import Grounder
from unboxed.recipes.embeddings import CaptionEmbeddings
from unboxed.runtime.memory import cache_bytes, scoring_bytes
from unboxed.types import Array, Caption, Example

__all__ = ["PairScores", "ensemble", "score_pairs"]

_BATCH = 128  # images, or captions, that are encoded in one batch


@dataclass(frozen=True, eq=False)
class PairScores:
    """Scores of all pairs of B images and C captions.

    Attributes:
        image_ids: the B images, in the order of the split.
        score_BC: higher is better, any sign; -inf in the row of an image without regions, which ranks last.
        image_of_C: index of the image of each caption.
    """

    image_ids: tuple[str, ...]
    score_BC: Array
    image_of_C: npt.NDArray[np.intp]


def ensemble(*score_BC: Array) -> Array:
    """The mean `[B, C]` of the scores of several models, as SCAN, BFAN and SGRAF report it.

    Raises:
        EvaluationError: no scores, or scores of different pairs.
    """
    if len({scores.shape for scores in score_BC}) != 1:
        raise EvaluationError(f"An ensemble needs scores of the same pairs; these are {[s.shape for s in score_BC]}.")
    return np.mean(score_BC, axis=0)  # type: ignore[no-any-return]


@torch.inference_mode()
def score_pairs(split: EmbeddedSplit, examples: Sequence[Example], *, memory: int | None = None) -> PairScores:
    """Scores all pairs. Each caption is encoded once, and each image once while `split` keeps its embeddings.

    Args:
        split: the trained model and the regions.
        examples: the images with their captions.
        memory: approximate limit in bytes of the embeddings of captions; None: a quarter of the budget
            (`runtime.memory`). The scores do not depend on it.

    Raises:
        EvaluationError: no image has regions.
    """
    memory = cache_bytes() if memory is None else memory
    captions = [caption for example in examples for caption in example.captions]
    image_of_C = np.repeat(np.arange(len(examples)), [len(example.captions) for example in examples])
    score_BC = np.full((len(examples), len(captions)), -np.inf, dtype=np.float32)
    present = np.array([b for b, example in enumerate(examples) if example.image_id in split], dtype=np.intp)
    if not len(present):
        raise EvaluationError(
            f"None of the {len(examples)} images has regions in {split.store.path}; extract them with "
            "`unboxed regions`."
        )
    # Images with similar numbers of regions, and captions of similar length, share a batch, which reduces padding.
    counts = np.array([len(split.store.arrays(examples[b].image_id).boxes) for b in present])
    order_B = present[np.argsort(counts, kind="stable")]
    model = split.grounder.model
    for kept in _kept_captions(split.grounder, captions, memory):
        for rows in _blocks(order_B, _BATCH):
            images = split.embeddings([examples[b].image_id for b in rows])
            for columns, encoded in kept:
                scores = model.score(images, encoded, budget_bytes=min(memory // 4, scoring_bytes()))
                score_BC[np.ix_(rows, columns)] = scores.cpu().numpy()
    return PairScores(tuple(example.image_id for example in examples), score_BC, image_of_C)


def _kept_captions(
    grounder: Grounder, captions: Sequence[Caption], memory: int
) -> Iterator[list[tuple[npt.NDArray[np.intp], CaptionEmbeddings]]]:
    """Lists of encoded batches of captions that fit into the memory, each of at least one batch."""
    kept: list[tuple[npt.NDArray[np.intp], CaptionEmbeddings]] = []
    taken = 0
    encoded = grounder.batcher.encode(captions)
    order_C = np.argsort([len(caption) for caption in encoded], kind="stable")
    for columns in _blocks(order_C, _BATCH):
        block = grounder.model.encode_captions(grounder.batcher.captions([encoded[c] for c in columns]))
        if kept and taken + block.nbytes > memory:
            yield kept
            kept, taken = [], 0
        kept.append((columns, block))
        taken += block.nbytes
    yield kept


def _blocks(order: npt.NDArray[np.intp], size: int) -> Iterator[npt.NDArray[np.intp]]:
    for first in range(0, len(order), size):
        yield order[first : first + size]
