"""How well every image of a split fits every caption of it: what retrieval ranks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from unboxed.errors import EvaluationError
from unboxed.inference.grounder import Grounder
from unboxed.recipes.encoded import EncodedCaptions, EncodedImages, encode_captions, encode_images, score_encoded
from unboxed.regions.store.region_store import RegionStore
from unboxed.text.tokens import words
from unboxed.types import Array, Caption, Example, Regions

__all__ = ["PairScores", "ensemble", "score_pairs"]

_TOGETHER = 128  # images, or captions, that are encoded together


@dataclass(frozen=True, eq=False)
class PairScores:
    """All pairs of B images and C captions.

    Attributes:
        image_ids: the B images, in the order of the split.
        score_BC: higher is better, any sign; -inf in the row of an image without regions, which is found last.
        image_of_C: index of each caption's image.
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


@torch.inference_mode()
def score_pairs(
    grounder: Grounder, examples: Sequence[Example], store: RegionStore, *, memory: int = 1 << 30
) -> PairScores:
    """Scores all pairs; each caption is encoded once, and each image once for all captions that are kept.

    Args:
        grounder: the trained model.
        examples: the images with their captions.
        store: their regions, found the run's way.
        memory: bytes that encoded captions may take, and scoring a quarter as many, roughly; it bounds the memory, not
            the result.

    Raises:
        EvaluationError: not one image has regions.
    """
    captions = [caption for example in examples for caption in example.captions]
    image_of_C = np.repeat(np.arange(len(examples)), [len(example.captions) for example in examples])
    score_BC = np.full((len(examples), len(captions)), -np.inf, dtype=np.float32)
    present = np.array([b for b, example in enumerate(examples) if example.image_id in store], dtype=np.intp)
    if not len(present):
        raise EvaluationError(
            f"None of the {len(examples)} images has regions in {store.path}; extract them with `unboxed regions`."
        )
    # Images with as many regions, and captions as long, go together: little is padding.
    counts = np.array([len(store.arrays(examples[b].image_id).boxes) for b in present])
    order_B = present[np.argsort(counts, kind="stable")]
    order_C = np.argsort([len(words(caption.text)) for caption in captions], kind="stable")
    any_image = store[examples[order_B[0]].image_id]
    for kept in _kept_captions(grounder, captions, order_C, any_image, memory):
        for rows in _blocks(order_B, _TOGETHER):
            images = _encoded_images(grounder, [store[examples[b].image_id] for b in rows], captions[0])
            for columns, encoded in kept:
                found_BC = score_encoded(grounder.model, images, encoded, budget_bytes=memory // 4)
                score_BC[np.ix_(rows, columns)] = found_BC.numpy()
    return PairScores(tuple(example.image_id for example in examples), score_BC, image_of_C)


def _kept_captions(
    grounder: Grounder, captions: Sequence[Caption], order_C: npt.NDArray[np.intp], image: Regions, memory: int
) -> Iterator[list[tuple[npt.NDArray[np.intp], EncodedCaptions]]]:
    """Blocks of captions, encoded, as many at a time as the memory holds; at least one block."""
    kept: list[tuple[npt.NDArray[np.intp], EncodedCaptions]] = []
    taken = 0
    for columns in _blocks(order_C, _TOGETHER):
        encoded = grounder.inputs.encoded([captions[c] for c in columns])
        block = encode_captions(grounder.model, grounder.inputs.batch([image], encoded))
        size = sum(code.nbytes for code in block.queries.tensors) + block.affinity_CPE.nbytes
        if kept and taken + size > memory:
            yield kept
            kept, taken = [], 0
        kept.append((columns, block))
        taken += size
    yield kept


def _encoded_images(grounder: Grounder, regions: Sequence[Regions], caption: Caption) -> EncodedImages:
    for own in regions:
        grounder.inputs.check(own)
    return encode_images(grounder.model, grounder.inputs.batch(regions, grounder.inputs.encoded([caption])))


def _blocks(order: npt.NDArray[np.intp], size: int) -> Iterator[npt.NDArray[np.intp]]:
    for first in range(0, len(order), size):
        yield order[first : first + size]
