"""Which images and captions meet in each batch of an epoch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

__all__ = ["epoch_batches"]


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
