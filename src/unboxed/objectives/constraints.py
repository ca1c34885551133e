"""Contrastive constraints on attention itself: CCR and CCS, for any host that tells its attention (`MatchedAttention`).

After Chen et al., WACV 2023, "More Than Just Attention". **Both are reconstructions**: the paper's abstract says that
content is re-sourced (CCR) and swapped (CCS) in a contrastive way without annotated attention, and no more than that
could be checked; formulas, sampling, margins and means are this library's reading.

* CCR: a query must be closer to what it attended than to what it would find if the weights were turned round.
* CCS: what a query attended must be closer to the query than to one of the same kind that belongs to another image.

Only matched pairs are looked at, so the cost grows with the batch and not with its square; cosines with contents come
from `s` and `G` alone (see `attention_scorer`), in a few more sums over the contexts.
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
    """`[margin + S(q, ã) - S(q, a)]₊`: the attended content a must beat ã, made of what was not attended.

    `reversed`: ã has the weights (1 - w) / (n - 1) over the query's n real contexts. `topk`: a and ã are the plain
    means of the `keys` contexts with the largest and the smallest weights (of half of the contexts each, when there are
    not as many); the weights then choose, and have no gradient.

    Args:
        matched: the host's directions; their losses are averaged.
        margin: in cosine.
        variant: how the two contents are made.
        keys: of `topk`.

    Returns:
        The mean over queries of each pair, then over pairs, then over directions. A pair with one context does not
        count: nothing is left when its weight is turned round. 0 with a gradient where nothing counts.
    """
    if variant not in ("reversed", "topk"):
        raise ValueError(f"variant is 'reversed' or 'topk', not {variant!r}.")
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
    """`[margin + S(q', a) - S(q, a)]₊`: what q attended must be closer to q than to a query q' of another image.

    The other reading, `content`, keeps the query and swaps what is attended: `[margin + S(q, a') - S(q, a)]₊`, a' being
    what the host gives the swapped queries, put all together in the place of the pair's own.

    Args:
        matched: the host's directions; their losses are averaged.
        swaps: for each direction `[C, Q]`, of `sample_swaps`.
        margin: in cosine.
        variant: what is swapped.

    Returns:
        The mean over queries of each pair, then over pairs, then over directions. A query without swap does not count.
        0 with a gradient where nothing counts.
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
    said_BN: torch.Tensor | None = None,
) -> tuple[torch.Tensor, ...]:
    """For every query one of another image, drawn at random from the batch.

    Args:
        matched: the host's directions.
        image_of_C: index of each caption's own image.
        generator: the draw's; the same state gives the same draw.
        word_ids_CQ: what each word (or phrase) is. A word is never swapped for one that a caption of its image says.
        eligible_CQ: the words that may be drawn, when not all (no markers, no punctuation).
        said_BN: ids of further words said of each image, by captions that are not in the batch; -1 is padding.

    Returns:
        For each direction indices `[C, Q]` into the batch's C · Q queries; -1 at padded queries, and where there is
        none to be drawn. Regions as queries know no words: theirs are of any other image.
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
            allowed_CCQ = allowed_CCQ & ~_said(word_ids_CQ.to(generator.device), mask_CQ, image_of_C, said_BN)
        possible_C = allowed_CCQ.flatten(1).any(dim=1)
        weight = allowed_CCQ.flatten(1) | ~possible_C[:, None]
        drawn_CQ = torch.multinomial(weight.float(), queries, replacement=True, generator=generator)
        drawn_CQ = drawn_CQ.masked_fill(~(mask_CQ & possible_C[:, None]), -1)
        swaps.append(drawn_CQ.to(attention.query_mask_CQ.device))
    return tuple(swaps)


def _said(
    word_ids_CQ: torch.Tensor, mask_CQ: torch.Tensor, image_of_C: torch.Tensor, said_BN: torch.Tensor | None
) -> torch.Tensor:
    """`[C, C, Q]`: is word q of caption c' said of the image of caption c?"""
    images = int(image_of_C.max()) + 1
    image_of_word, said = image_of_C[:, None].expand_as(word_ids_CQ)[mask_CQ], word_ids_CQ[mask_CQ]
    if said_BN is not None:
        said_BN = said_BN.to(said.device)
        images = max(images, len(said_BN))
        image_of_more = torch.arange(len(said_BN), device=said.device)[:, None].expand_as(said_BN)
        image_of_word = torch.cat([image_of_word, image_of_more[said_BN >= 0]])
        said = torch.cat([said, said_BN[said_BN >= 0]])
    ids, place = torch.unique(torch.cat([said, word_ids_CQ.flatten()]), return_inverse=True)
    says_BU = torch.zeros(images, len(ids), dtype=torch.bool, device=said.device)
    says_BU[image_of_word, place[: len(said)]] = True
    return says_BU[image_of_C][:, place[len(said) :]].view(-1, *word_ids_CQ.shape)


def _cosine_with_reversed(attention: MatchedAttention) -> torch.Tensor:
    """`[C, Q]` cosines of queries with the content of reversed weights, (1 - w) / (n - 1).

    With `σ = Σ s`, `g = G 1` and `γ = 1ᵀ G 1`, that content's product with the query is `(σ - a·s) / (n - 1)`, and its
    squared length `(γ - 2 a·g + aᵀ G a) / (n - 1)²`. Padded contexts are zero vectors, so that their reversed weight
    weighs nothing.
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
    """Plain means, as weights, over the `keys` real contexts of the largest and of the smallest weight."""
    last_CQN = weights_CQN.detach().masked_fill(~mask_CN[:, None], -1)  # padded contexts come last of all
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
