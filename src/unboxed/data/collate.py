"""From photographs' regions and encoded captions to the padded tensors of a batch, and which of them meet in one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from unboxed.text.encoding import EncodedCaption
from unboxed.types import Array, Batch

__all__ = ["GEOMETRY_WIDTH", "collate", "epoch_batches", "region_inputs"]

GEOMETRY_WIDTH = 9


def region_inputs(
    boxes: npt.NDArray[np.floating],
    features: npt.NDArray[np.floating],
    class_probs: npt.NDArray[np.floating],
    width: int,
    height: int,
) -> Array:
    """What a model is given of R regions, `[R, V + K + 9]`: features, square roots of class probabilities, geometry.

    The root spreads the small probabilities, where most of them lie. The geometry is the box's edges, size, area and
    its root as shares of the image, and its position's distance from the centre.
    """
    scale = np.array([width, height, width, height], dtype=np.float32)
    edges = np.asarray(boxes, dtype=np.float32) / scale
    size = np.clip(edges[:, 2:] - edges[:, :2], 0, None)
    area = size.prod(axis=1, keepdims=True)
    distance = np.linalg.norm((edges[:, :2] + edges[:, 2:]) / 2 - 0.5, axis=1, keepdims=True)
    probs = np.sqrt(np.clip(class_probs, 0, 1).astype(np.float32))
    return np.concatenate([features, probs, edges, size, area, np.sqrt(area), distance], axis=1, dtype=np.float32)


def collate(
    regions_B: Sequence[Array],
    captions: Sequence[EncodedCaption],
    image_of_C: Sequence[int],
    slots: Sequence[int] | None = None,
    substitutes: Sequence[npt.NDArray[np.int64]] | None = None,
    evidence_B: Sequence[npt.NDArray[np.floating]] | None = None,
) -> Batch:
    """Pad the inputs of B images and C captions to one batch.

    Args:
        regions_B: B arrays `[R_b, V]` of region inputs, R_b >= 1.
        captions: C encoded captions of at least one word.
        image_of_C: index of each caption's image.
        slots, substitutes: for each caption the word to replace (-1: none) and the ids that replace it.
        evidence_B: B arrays `[R_b, K]` of the semantic prior, whose affinities the captions then bring along.
    """
    region_count = max(len(regions) for regions in regions_B)
    word_count = max(len(caption) for caption in captions)
    phrase_count = max(max(len(caption.phrase_PW) for caption in captions), 1)
    features_BRV = np.zeros((len(regions_B), region_count, regions_B[0].shape[1]), dtype=np.float32)
    region_mask_BR = np.zeros(features_BRV.shape[:2], dtype=bool)
    for b, regions in enumerate(regions_B):
        features_BRV[b, : len(regions)] = regions
        region_mask_BR[b, : len(regions)] = True

    tokens_CW = np.zeros((len(captions), word_count), dtype=np.int64)
    word_mask_CW = np.zeros(tokens_CW.shape, dtype=bool)
    content_CW = np.zeros(tokens_CW.shape, dtype=bool)
    phrase_CPW = np.zeros((len(captions), phrase_count, word_count), dtype=bool)
    for c, caption in enumerate(captions):
        tokens_CW[c, : len(caption)] = caption.tokens_W
        word_mask_CW[c, : len(caption)] = True
        content_CW[c, : len(caption)] = caption.content_W
        phrase_CPW[c, : len(caption.phrase_PW), : len(caption)] = caption.phrase_PW

    substitutes_CN = np.zeros((len(captions), max((len(s) for s in substitutes or ()), default=0)), dtype=np.int64)
    for c, ids in enumerate(substitutes or ()):
        substitutes_CN[c, : len(ids)] = ids
    names = evidence_B[0].shape[1] if evidence_B else 0
    affinity_CPK = np.zeros((len(captions), phrase_count, names), dtype=np.float32)
    evidence_BRK = np.zeros((len(regions_B), region_count, names), dtype=np.float32)
    for c, caption in enumerate(captions):
        if names and caption.affinity_PK is not None:
            affinity_CPK[c, : len(caption.affinity_PK)] = caption.affinity_PK
    for b, evidence in enumerate(evidence_B or ()):
        evidence_BRK[b, : len(evidence)] = evidence
    return Batch(
        features_BRV=torch.from_numpy(features_BRV),
        region_mask_BR=torch.from_numpy(region_mask_BR),
        tokens_CW=torch.from_numpy(tokens_CW),
        word_mask_CW=torch.from_numpy(word_mask_CW),
        content_CW=torch.from_numpy(content_CW),
        phrase_CPW=torch.from_numpy(phrase_CPW),
        image_of_C=torch.as_tensor(np.asarray(image_of_C, dtype=np.int64)),
        words_C=tuple(caption.words for caption in captions),
        slot_C=torch.as_tensor(np.asarray(slots if slots is not None else [-1] * len(captions), dtype=np.int64)),
        substitutes_CN=torch.from_numpy(substitutes_CN),
        affinity_CPK=torch.from_numpy(affinity_CPK),
        evidence_BRK=torch.from_numpy(evidence_BRK),
    )


def epoch_batches(
    captions_of_image: Sequence[int], images_per_batch: int, captions_per_image: int, rng: np.random.Generator
) -> list[list[tuple[int, list[int]]]]:
    """One epoch: the captions of every image, each once, in batches of distinct images.

    Args:
        captions_of_image: number of captions of each image.
        images_per_batch: images that meet in a batch, the last batches may have fewer.
        captions_per_image: captions that an image brings along at most.
        rng: decides the order.

    Returns:
        Batches of (image, its captions' numbers). A single image has nothing to contrast: at the end it joins the batch
        before; where only one image has captions left, these sit the epoch out.
    """
    shares: list[list[tuple[int, list[int]]]] = []
    for image, count in enumerate(captions_of_image):
        order = rng.permutation(count).tolist()
        for turn, first in enumerate(range(0, count, captions_per_image)):
            if turn == len(shares):
                shares.append([])
            shares[turn].append((image, order[first : first + captions_per_image]))
    batches: list[list[tuple[int, list[int]]]] = []
    for turn_shares in shares:
        shuffled = [turn_shares[i] for i in rng.permutation(len(turn_shares))]
        turn_batches = [shuffled[i : i + images_per_batch] for i in range(0, len(shuffled), images_per_batch)]
        if len(turn_batches) > 1 and len(turn_batches[-1]) == 1:
            lone = turn_batches.pop()
            turn_batches[-1] += lone
        batches += [batch for batch in turn_batches if len(batch) > 1]
    return [batches[i] for i in rng.permutation(len(batches))]
