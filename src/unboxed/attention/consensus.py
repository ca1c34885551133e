"""Consensus of the captions of an image: phrases with the same head noun share the probabilities of their regions."""

from __future__ import annotations

import torch

__all__ = ["agreed"]


def agreed(probability_NR: torch.Tensor, head_N: torch.Tensor, caption_N: torch.Tensor, weight: float) -> torch.Tensor:
    """Probabilities `[N, R]` averaged with those of the phrases that have the same head noun in other captions.

    A phrase of the same caption is no other mention: "a man" and "another man" are two.

    Args:
        probability_NR: of `ranking.region_probabilities`, for the N phrases of any number of captions.
        head_N: a number for each head noun of each image.
        caption_N: the number of each phrase's caption.
        weight: of each of the other phrases; the phrase itself has the weight 1.
    """
    captions = int(caption_N.max()) + 1 if len(caption_N) else 1
    own_N = (head_N * captions + caption_N).unique(return_inverse=True)[1]  # type: ignore[no-untyped-call]
    one_N1 = probability_NR.new_ones(len(probability_NR), 1)
    others_NR, count_N1 = (_sums(rows, head_N) - _sums(rows, own_N) for rows in (probability_NR, one_N1))
    return (probability_NR + weight * others_NR.clamp(min=0)) / (1 + weight * count_N1)


def _sums(rows_NV: torch.Tensor, group_N: torch.Tensor) -> torch.Tensor:
    """`[N, V]`: the sum over the rows of each row's group."""
    groups = int(group_N.max()) + 1 if len(group_N) else 0
    return rows_NV.new_zeros(groups, rows_NV.shape[1]).index_add(0, group_N, rows_NV)[group_N]
