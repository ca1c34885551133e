"""Contrastive constraints on attention weights, CCR and CCS, for any attention that is `Constrainable`.

After Chen et al., WACV 2023, "More Than Just Attention". **Both are reconstructions**: the paper's abstract states that
content is re-sourced (CCR) and swapped (CCS) contrastively without annotated attention. No more than that could be
checked; formulas, sampling, margins and means are this library's reconstruction.

* CCR: a query must be closer to its attended vector than to the vector that the reversed weights make.
* CCS: the attended vector must be closer to its query than to a query of another image.

Only matched pairs are used, so the cost grows with the batch and not with its square. Cosines with attended vectors are
computed from cosines `s` and Gram matrices `G` alone (see `cosine_attention`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch

from unboxed.attention.matched import MatchedAttention
from unboxed.attention.normalize import cosine_to_attended

__all__ = ["CcrVariant", "CcsVariant", "ccr_loss", "ccs_loss", "sample_swaps"]

CcrVariant = Literal["reversed", "topk"]
CcsVariant = Literal["query", "content"]


def ccr_loss(
    matched: Sequence[MatchedAttention], margin: float = 0.2, variant: CcrVariant = "reversed", keys: int = 5
) -> torch.Tensor:
    """`[margin + S(q, ã) - S(q, a)]₊`: the attended vector a must be closer to q than ã, made of ignored contexts.

    `reversed`: ã has the weights (1 - w) / (n - 1) over the n real contexts. `topk`: a and ã are the plain means of the
    `keys` contexts with the largest and the smallest weights (of half of the contexts each, where there are fewer); the
    weights get no gradient then.

    Args:
        matched: the attention in each direction; the losses of the directions are averaged.
        margin: in cosine.
        variant: how the two vectors are made.
        keys: of `topk`.

    Returns:
        The mean over the queries of each pair, then over pairs, then over directions. A pair with one context does not
        count: its reversed weight is 0. 0 with a gradient where nothing counts.

    Raises:
        ValueError: an unknown variant, or no keys.
    """
    if variant not in ("reversed", "topk"):
        raise ValueError(f"variant is 'reversed' or 'topk', not {variant!r}.")
    if keys < 1:
        raise ValueError(f"keys is {keys}; it must be at least 1.")
    losses = []
    for attention in matched:
        if variant == "reversed":
            attended_CQ = attention.cosine(attention.similarity_CQN, attention.weights_CQN)
            ignored_CQ = _cosine_with_reversed(attention)
        else:
            top_CQN, bottom_CQN = _extremes(attention.weights_CQN, attention.context_mask_CN, keys)
            attended_CQ = attention.cosine(attention.similarity_CQN, top_CQN)
            ignored_CQ = attention.cosine(attention.similarity_CQN, bottom_CQN)
        counts_CQ = attention.query_mask_CQ & (attention.context_mask_CN.sum(dim=1) > 1)[:, None]
        losses.append(_mean_over_pairs((margin + ignored_CQ - attended_CQ).clamp(min=0), counts_CQ))
    return torch.stack(losses).mean()


def ccs_loss(
    matched: Sequence[MatchedAttention],
    swaps: Sequence[torch.Tensor],
    margin: float = 0.2,
    variant: CcsVariant = "query",
) -> torch.Tensor:
    """`[margin + S(q', a) - S(q, a)]₊`: the attended vector a must be closer to q than to a query q' of another image.

    The variant `content` keeps the query and swaps the attended vector: `[margin + S(q, a') - S(q, a)]₊`, where a' is
    the attended vector of the swapped query, computed with all queries of the pair swapped.

    Args:
        matched: the attention in each direction; the losses of the directions are averaged.
        swaps: for each direction `[C, Q]`, of `sample_swaps`.
        margin: in cosine.
        variant: what is swapped.

    Returns:
        The mean over the queries of each pair, then over pairs, then over directions. A query without a swap does not
        count. 0 with a gradient where nothing counts.

    Raises:
        ValueError: an unknown variant.
    """
    if variant not in ("query", "content"):
        raise ValueError(f"variant is 'query' or 'content', not {variant!r}.")
    losses = []
    for attention, swap_CQ in zip(matched, swaps, strict=True):
        counts_CQ = attention.query_mask_CQ & (swap_CQ >= 0)
        swapped_CQD = attention.queries_CQD.flatten(0, 1)[swap_CQ.clamp(min=0)] * counts_CQ[..., None]
        similarity_CQN = swapped_CQD @ attention.contexts_CND.transpose(1, 2)
        if variant == "query":
            swapped_CQ = attention.cosine(similarity_CQN, attention.weights_CQN)
        else:
            swapped_CQ = attention.cosine(attention.similarity_CQN, attention.weigh(similarity_CQN))
        attended_CQ = attention.cosine(attention.similarity_CQN, attention.weights_CQN)
        losses.append(_mean_over_pairs((margin + swapped_CQ - attended_CQ).clamp(min=0), counts_CQ))
    return torch.stack(losses).mean()


def sample_swaps(
    matched: Sequence[MatchedAttention],
    image_of_C: torch.Tensor,
    generator: torch.Generator,
    word_ids_CQ: torch.Tensor | None = None,
    eligible_CQ: torch.Tensor | None = None,
) -> tuple[torch.Tensor, ...]:
    """For every query, a query of another image of the batch, sampled at random.

    Args:
        matched: the attention in each direction.
        image_of_C: index of the image that each caption is paired with.
        generator: of the random numbers; the same state gives the same samples.
        word_ids_CQ: id of each word (or phrase). A word is never swapped for one that a caption of its image contains.
        eligible_CQ: True for the words that may be sampled; None: all.

    Returns:
        For each direction indices `[C, Q]` into the C · Q queries of the batch; -1 at padded queries, and where no
        query can be sampled. In direction "i2t" the queries are regions: words and eligibility do not apply to them.
    """
    swaps = []
    image_of_C = image_of_C.to(generator.device)
    for attention in matched:
        mask_CQ = attention.query_mask_CQ.to(generator.device)
        queries = mask_CQ.shape[1]
        allowed = mask_CQ
        elsewhere_CC = image_of_C[:, None] != image_of_C
        if attention.direction == "t2i" and eligible_CQ is not None:
            allowed = allowed & eligible_CQ.to(generator.device)
        allowed_CCQ = allowed & elsewhere_CC[..., None]
        if attention.direction == "t2i" and word_ids_CQ is not None:
            allowed_CCQ = allowed_CCQ & ~_in_captions_of_image(word_ids_CQ.to(generator.device), mask_CQ, image_of_C)
        possible_C = allowed_CCQ.flatten(1).any(dim=1)
        weight = allowed_CCQ.flatten(1) | ~possible_C[:, None]
        sampled_CQ = torch.multinomial(weight.float(), queries, replacement=True, generator=generator)
        sampled_CQ = sampled_CQ.masked_fill(~(mask_CQ & possible_C[:, None]), -1)
        swaps.append(sampled_CQ.to(attention.query_mask_CQ.device))
    return tuple(swaps)


def _in_captions_of_image(word_ids_CQ: torch.Tensor, mask_CQ: torch.Tensor, image_of_C: torch.Tensor) -> torch.Tensor:
    """`[C, C, Q]`: whether a caption of the image of caption c contains word q of caption c'."""
    ids, index_CQ = torch.unique(word_ids_CQ, return_inverse=True)
    image_CQ = image_of_C[:, None].expand_as(word_ids_CQ)
    contains_BU = torch.zeros(int(image_of_C.max()) + 1, len(ids), dtype=torch.bool, device=ids.device)
    contains_BU[image_CQ[mask_CQ], index_CQ[mask_CQ]] = True
    return contains_BU[image_of_C][:, index_CQ]


def _cosine_with_reversed(attention: MatchedAttention) -> torch.Tensor:
    """Cosines `[C, Q]` of queries and the vectors that the reversed weights, (1 - w) / (n - 1), make of the contexts.

    With `σ = Σ s`, `g = G 1` and `γ = 1ᵀ G 1`, the product of that vector and the query is `(σ - a·s) / (n - 1)`, and
    its squared length is `(γ - 2 a·g + aᵀ G a) / (n - 1)²`. Padded contexts are zero vectors, so their reversed weights
    have no effect.
    """
    weights_CQN, similarity_CQN, gram_CNN = attention.weights_CQN, attention.similarity_CQN, attention.gram_CNN
    others_C1 = (attention.context_mask_CN.sum(dim=1, keepdim=True) - 1).clamp(min=1)
    sum_C1N = gram_CNN.sum(dim=1, keepdim=True)
    square_CQ = (
        sum_C1N.sum(dim=2)
        - 2 * (weights_CQN * sum_C1N).sum(dim=2)
        + (weights_CQN * (weights_CQN @ gram_CNN)).sum(dim=2)
    )
    product_CQ = ((1 - weights_CQN) * similarity_CQN).sum(dim=2)
    return cosine_to_attended(product_CQ / others_C1, square_CQ / others_C1.square())


def _extremes(weights_CQN: torch.Tensor, mask_CN: torch.Tensor, keys: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The weights of the plain means over the `keys` real contexts with the largest and with the smallest weights."""
    last_CQN = weights_CQN.detach().masked_fill(~mask_CN[:, None], -1)  # padded contexts come last
    rank_CQN = last_CQN.argsort(dim=2, descending=True, stable=True).argsort(dim=2)
    count_C11 = mask_CN.sum(dim=1)[:, None, None]
    taken_C11 = (count_C11 // 2).clamp(max=keys)
    top_CQN = rank_CQN < taken_C11
    bottom_CQN = (rank_CQN >= count_C11 - taken_C11) & mask_CN[:, None]
    share_C11 = 1 / taken_C11.clamp(min=1).to(weights_CQN.dtype)
    return top_CQN * share_C11, bottom_CQN * share_C11


def _mean_over_pairs(loss_CQ: torch.Tensor, counts_CQ: torch.Tensor) -> torch.Tensor:
    """Mean over the queries that count of each pair, then over the pairs that have any."""
    loss_C = (loss_CQ * counts_CQ).sum(dim=1) / counts_CQ.sum(dim=1).clamp(min=1)
    return loss_C.sum() / counts_CQ.any(dim=1).sum().clamp(min=1)
