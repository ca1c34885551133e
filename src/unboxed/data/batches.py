"""Batches: the images and captions of each one, and their padded tensors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from unboxed.text.encoding import EncodedCaption
from unboxed.types import Array, CaptionBatch, DescribedRegions, ImageBatch

__all__ = [
    "GEOMETRY_WIDTH",
    "caption_batches",
    "collate_captions",
    "collate_images",
    "epoch_batches",
    "padded_rows",
    "region_edges",
    "region_inputs",
]

GEOMETRY_WIDTH = 9


def epoch_batches(
    captions_of_image: Sequence[int], images_per_batch: int, captions_per_image: int, rng: np.random.Generator
) -> list[list[tuple[int, list[int]]]]:
    """One epoch: the captions of every image, each once, in batches of distinct images.

    Args:
        captions_of_image: number of captions of each image.
        images_per_batch: distinct images in a batch; the last batches may have fewer.
        captions_per_image: maximum number of captions of an image in a batch.
        rng: decides the order.

    Returns:
        Batches of (image, its captions' numbers). A single image has nothing to contrast: at the end it joins the batch
        before; where only one image has captions left, these are left out.
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


def caption_batches(
    captions_of_image: Sequence[int], size: int, rng: np.random.Generator, count: int | None = None
) -> list[list[tuple[int, list[int]]]]:
    """One epoch in batches of pairs of a caption and its image; an image may occur more than once in a batch.

    Args:
        captions_of_image: number of captions of each image.
        size: pairs in a batch; the last batch may have fewer, but has at least two.
        rng: decides the order.
        count: number of batches whose pairs are sampled with replacement; None: every caption occurs once.

    Returns:
        Batches of (image, [number of its caption]).
    """
    pairs = [(image, number) for image, captions in enumerate(captions_of_image) for number in range(captions)]
    order = rng.permutation(len(pairs)) if count is None else rng.integers(len(pairs), size=count * size)
    batches = [order[first : first + size] for first in range(0, len(order), size)]
    return [[(pairs[i][0], [pairs[i][1]]) for i in batch] for batch in batches if len(batch) > 1]


def region_inputs(
    regions: DescribedRegions, features: npt.NDArray[np.floating] | None = None, with_classes: bool = True
) -> Array:
    """The input `[R, V + K + 9]` of R regions: features, square roots of class probabilities, and geometry.

    The root spreads the small probabilities, where most of them lie. The geometry is the box's edges, size, area and
    its root as shares of the image, and its position's distance from the centre.

    Args:
        regions: of one image.
        features: `[R, V]`, those that are part of the input; None: all.
        with_classes: the class probabilities are part of the input; else K is 0.
    """
    features = regions.features if features is None else features
    class_probs = regions.class_probs if with_classes else regions.class_probs[:, :0]
    edges = region_edges(regions.boxes, regions.width, regions.height)
    size = np.clip(edges[:, 2:] - edges[:, :2], 0, None)
    area = size.prod(axis=1, keepdims=True)
    distance = np.linalg.norm((edges[:, :2] + edges[:, 2:]) / 2 - 0.5, axis=1, keepdims=True)
    probs = np.sqrt(np.clip(class_probs, 0, 1).astype(np.float32))
    return np.concatenate([features, probs, edges, size, area, np.sqrt(area), distance], axis=1, dtype=np.float32)


def region_edges(boxes: npt.NDArray[np.floating], width: int, height: int) -> Array:
    """The boxes `[R, 4]` of an image of `width` x `height` pixels, as shares of its width and height."""
    scale = np.array([width, height, width, height], dtype=np.float32)
    edges: Array = np.asarray(boxes, dtype=np.float32) / scale
    return edges


def collate_images(
    inputs_B: Sequence[Array],
    class_scores_B: Sequence[npt.NDArray[np.floating]] | None = None,
    edges_B: Sequence[Array] | None = None,
    labels_B: Sequence[npt.NDArray[np.int64]] | None = None,
) -> ImageBatch:
    """Pad the region inputs of B images to one batch.

    Args:
        inputs_B: B arrays `[R_b, V]`, R_b >= 1.
        class_scores_B: B arrays `[R_b, E]` of the semantic prior; None without a prior.
        edges_B: B arrays `[R_b, 4]` of `region_edges`; None: the inputs are those of `region_inputs`, whose geometry
            contains them.
        labels_B: B arrays `[R_b]` of the vocabulary's ids of the regions' classes; None without them.
    """
    inputs_BRV, mask_BR = _padded_rows(inputs_B)
    if class_scores_B is None:
        class_score_BRE = np.zeros((*mask_BR.shape, 0), dtype=np.float32)
    else:
        class_score_BRE, _ = _padded_rows(class_scores_B)
    inputs = torch.from_numpy(inputs_BRV)
    if edges_B is None:
        edges = inputs[..., -GEOMETRY_WIDTH : 4 - GEOMETRY_WIDTH]
    else:
        edges = torch.from_numpy(_padded_rows(edges_B)[0])
    return ImageBatch(
        inputs_BRV=inputs,
        edges_BR4=edges,
        mask_BR=torch.from_numpy(mask_BR),
        class_score_BRE=torch.from_numpy(class_score_BRE),
        label_BR=None if labels_B is None else _padded_labels(labels_B, mask_BR.shape),
    )


def padded_rows(rows_B: Sequence[Array]) -> torch.Tensor:
    """B arrays `[R_b, M]` as one tensor `[B, R, M]`, 0 where padded."""
    return torch.from_numpy(_padded_rows(rows_B)[0])


def collate_captions(
    captions: Sequence[EncodedCaption],
    *,
    prior_width: int = 0,
    slots: Sequence[int] | None = None,
    substitutes: Sequence[npt.NDArray[np.int64]] | None = None,
) -> CaptionBatch:
    """Pad C captions to one batch.

    Args:
        captions: C encoded captions of at least one word, C >= 1.
        prior_width: E, the columns of the semantic prior's rows of the captions; 0 leaves the rows out.
        slots: of each caption the word to replace, -1 for none; None: no caption has substitutes.
        substitutes: of each caption the ids of the words that replace it.
    """
    word_count = max(len(caption) for caption in captions)
    phrase_count = max(max(len(caption.phrase_PW) for caption in captions), 1)
    tokens_CW = np.zeros((len(captions), word_count), dtype=np.int64)
    mask_CW = np.zeros(tokens_CW.shape, dtype=bool)
    content_CW = np.zeros(tokens_CW.shape, dtype=bool)
    phrase_CPW = np.zeros((len(captions), phrase_count, word_count), dtype=bool)
    affinity_CPE = np.zeros((len(captions), phrase_count, prior_width), dtype=np.float32)
    substitutes_CN = np.zeros((len(captions), max((len(s) for s in substitutes or ()), default=0)), dtype=np.int64)
    for c, caption in enumerate(captions):
        tokens_CW[c, : len(caption)] = caption.tokens_W
        mask_CW[c, : len(caption)] = True
        content_CW[c, : len(caption)] = caption.content_W
        phrase_CPW[c, : len(caption.phrase_PW), : len(caption)] = caption.phrase_PW
        if prior_width and caption.affinities:
            affinity_CPE[c, : len(caption.affinities)] = caption.affinities
    for c, ids in enumerate(substitutes or ()):
        substitutes_CN[c, : len(ids)] = ids
    return CaptionBatch(
        tokens_CW=torch.from_numpy(tokens_CW),
        mask_CW=torch.from_numpy(mask_CW),
        content_CW=torch.from_numpy(content_CW),
        phrase_CPW=torch.from_numpy(phrase_CPW),
        words_C=tuple(caption.words for caption in captions),
        affinity_CPE=torch.from_numpy(affinity_CPE),
        slot_C=torch.as_tensor(np.asarray(slots if slots is not None else [-1] * len(captions), dtype=np.int64)),
        substitutes_CN=torch.from_numpy(substitutes_CN),
    )


def _padded_labels(labels_B: Sequence[npt.NDArray[np.int64]], shape: tuple[int, ...]) -> torch.Tensor:
    label_BR = torch.zeros(shape, dtype=torch.long)
    for row_R, labels in zip(label_BR, labels_B, strict=True):
        row_R[: len(labels)] = torch.from_numpy(labels)
    return label_BR


def _padded_rows(rows_B: Sequence[npt.NDArray[np.floating]]) -> tuple[Array, npt.NDArray[np.bool_]]:
    """Arrays `[R_b, V]` as one `[B, R, V]` of float32, 0 where there is no row, and the mask `[B, R]` of real rows."""
    padded_BRV = np.zeros((len(rows_B), max(len(rows) for rows in rows_B), rows_B[0].shape[1]), dtype=np.float32)
    mask_BR = np.zeros(padded_BRV.shape[:2], dtype=bool)
    for b, rows in enumerate(rows_B):
        padded_BRV[b, : len(rows)] = rows
        mask_BR[b, : len(rows)] = True
    return padded_BRV, mask_BR
