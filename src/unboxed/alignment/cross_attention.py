"""Cross attention of words and regions whose evidence is a cosine: SCAN, BFAN and PFAN.

One matrix product gives the cosines of all words with all regions; everything else is done on them and on the regions'
(or words') cosines among themselves. No attended content is built and no caption looped over; see `attention_scorer`.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol, cast

import torch
from torch import nn

from unboxed.alignment.aligner import Alignment, QueryCodes, RegionCodes, pair_products
from unboxed.alignment.attention_scorer import AttentionScorer
from unboxed.alignment.matched import MatchedAttention, match
from unboxed.alignment.unit import cosine_to_content, unit

__all__ = ["CrossAttention", "ProjectedQueries", "ProjectedRegions", "RegionEncoder", "xavier"]


class RegionEncoder(Protocol):
    """Anything that turns regions into unit vectors `[B, R, D]`, zero where padded."""

    def __call__(self, inputs_BRV: torch.Tensor, edges_BR4: torch.Tensor, mask_BR: torch.Tensor) -> torch.Tensor:
        """See `Aligner.regions`."""


def xavier(input_width: int, output_width: int) -> nn.Linear:
    """A linear map that starts Xavier-uniform with a bias of 0, as all maps of SCAN and its successors do."""
    linear = nn.Linear(input_width, output_width)
    nn.init.xavier_uniform_(linear.weight)
    nn.init.zeros_(linear.bias)
    return linear


class ProjectedRegions(nn.Module):
    """One linear map and a unit length: SCAN's regions."""

    def __init__(self, region_width: int, joint_width: int) -> None:
        super().__init__()
        self.map = xavier(region_width, joint_width)

    def forward(self, inputs_BRV: torch.Tensor, edges_BR4: torch.Tensor, mask_BR: torch.Tensor) -> torch.Tensor:
        """Unit vectors `[B, R, D]`, zero where padded; the boxes are not looked at."""
        return unit(self.map(inputs_BRV)).masked_fill(~mask_BR[..., None], 0)


class ProjectedQueries(nn.Module):
    """One linear map and a unit length, for the contextual states of words or phrases.

    SCAN takes the mean of its recurrent states' two directions instead, and no map; states here may have any width.
    """

    def __init__(self, word_width: int, joint_width: int) -> None:
        super().__init__()
        self.map = xavier(word_width, joint_width)

    def forward(self, states_CQH: torch.Tensor, mask_CQ: torch.Tensor) -> torch.Tensor:
        """Unit vectors `[C, Q, D]`, zero where padded."""
        return unit(self.map(states_CQH)).masked_fill(~mask_CQ[..., None], 0)


class CrossAttention(nn.Module):
    """SCAN, BFAN and PFAN: which one the scorer (and for PFAN the region encoder) says.

    Args:
        region_width: width V of a region's input.
        word_width: width H of a contextual word.
        joint_width: width D of the space that words and regions share (the papers': 1024).
        scorer: how they attend and score.
        region_encoder: a module; `ProjectedRegions` when none is given.
    """

    def __init__(
        self,
        region_width: int,
        word_width: int,
        joint_width: int = 1024,
        scorer: AttentionScorer | None = None,
        region_encoder: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.scorer = scorer if scorer is not None else AttentionScorer()
        self.region_encoder = (
            region_encoder if region_encoder is not None else ProjectedRegions(region_width, joint_width)
        )
        self.query_encoder = ProjectedQueries(word_width, joint_width)

    def regions(self, inputs_BRV: torch.Tensor, edges_BR4: torch.Tensor, mask_BR: torch.Tensor) -> RegionCodes:
        """One code: unit vectors `[B, R, D]`."""
        return RegionCodes((cast(RegionEncoder, self.region_encoder)(inputs_BRV, edges_BR4, mask_BR),), mask_BR)

    def queries(self, states_CQH: torch.Tensor, mask_CQ: torch.Tensor) -> QueryCodes:
        """One code: unit vectors `[C, Q, D]`."""
        return QueryCodes((self.query_encoder(states_CQH, mask_CQ),), mask_CQ)

    def align(
        self,
        regions: RegionCodes,
        queries: QueryCodes,
        *,
        own: bool = False,
        prior_BCQR: torch.Tensor | None = None,
    ) -> Alignment:
        """Attention and scores of every pair.

        The result's attention is always that of words over regions. Where only regions attend ("i2t") it is their
        logits read the other way: their softmax over regions, though the score comes from their softmax over words; a
        word's evidence is then the mean cosine under that attention. The value is the cosine. A prior is added to the
        logits of words over regions, and does not touch those of regions over words. With a focal rule the attention is
        that after the rule, and the similarity the logits before it. A caption without queries, or an image without
        regions, has score 0.
        """
        pairs = pair_cosines(regions.codes[0], regions.mask_BR, queries.codes[0], queries.mask_CQ, own)
        return score_pairs(self.scorer, pairs, prior_BCQR)

    def matched(self, regions: RegionCodes, queries: QueryCodes) -> tuple[MatchedAttention, ...]:
        """The attention of each caption on its own image in each direction of the scorer.

        Args:
            regions: one row for each caption (`RegionCodes.of`).
            queries: of the captions.
        """
        return match(self.scorer, regions.codes[0], regions.mask_BR, queries.codes[0], queries.mask_CQ)


class PairCosines(NamedTuple):
    """All that scores are made of, with the axes in the order in which the matrix product leaves them.

    With own pairs, axis B is 1 and there is one set of regions for each caption.

    Attributes:
        cosine_CQBR: of queries and regions; 0 where either is padded.
        query_mask_CQ11: True for real queries.
        region_mask: True for real regions, `[1, 1, B, R]` or, with own pairs, `[C, 1, 1, R]`.
        regions_BRD: unit vectors of regions; with own pairs a row for each caption.
        queries_CQD: unit vectors of queries.
        own: each caption with its own image only.
    """

    cosine_CQBR: torch.Tensor
    query_mask_CQ11: torch.Tensor
    region_mask: torch.Tensor
    regions_BRD: torch.Tensor
    queries_CQD: torch.Tensor
    own: bool


def pair_cosines(
    regions_BRD: torch.Tensor, mask_BR: torch.Tensor, queries_CQD: torch.Tensor, mask_CQ: torch.Tensor, own: bool
) -> PairCosines:
    """The cosines of all queries with all regions (with `own`, of each caption's row), as one matrix product."""
    regions_BRD = regions_BRD.masked_fill(~mask_BR[..., None], 0)
    queries_CQD = queries_CQD.masked_fill(~mask_CQ[..., None], 0)
    cosine_CQBR = pair_products(queries_CQD, regions_BRD, own).permute(1, 2, 0, 3)
    region_mask = mask_BR[:, None, None] if own else mask_BR[None, None]
    return PairCosines(cosine_CQBR, mask_CQ[..., None, None], region_mask, regions_BRD, queries_CQD, own)


def score_pairs(scorer: AttentionScorer, pairs: PairCosines, prior_BCQR: torch.Tensor | None = None) -> Alignment:
    """Attention and scores of every pair; see `CrossAttention.align`."""
    cosine_CQBR, query_mask_CQ11, region_mask = pairs.cosine_CQBR, pairs.query_mask_CQ11, pairs.region_mask
    score_CB = cosine_CQBR.new_zeros(cosine_CQBR.shape[0], cosine_CQBR.shape[2])
    evidence_CQB: torch.Tensor | None = None
    logits_CQBR, attention_CQBR = cosine_CQBR, cosine_CQBR
    if "i2t" in scorer.directions:
        logits_CQBR = scorer.logits(cosine_CQBR, query_dim=3, context_dim=1)
        weights_CQBR = scorer.weights(logits_CQBR, query_mask_CQ11, context_dim=1)
        product_CBR = (weights_CQBR * cosine_CQBR).sum(dim=1)
        found_CBR = cosine_to_content(product_CBR, _squared_words(weights_CQBR, pairs.queries_CQD))
        score_CB = score_CB + scorer.aggregate(found_CBR, region_mask[:, 0], query_dim=2)
    if "t2i" in scorer.directions:
        logits_CQBR = scorer.logits(cosine_CQBR, query_dim=1, context_dim=3)
        logits_CQBR = _with_prior(logits_CQBR, prior_BCQR)
        attention_CQBR = scorer.weights(logits_CQBR, region_mask, context_dim=3)
        product_CQB = (attention_CQBR * cosine_CQBR).sum(dim=3)
        evidence_CQB = cosine_to_content(product_CQB, _squared_regions(attention_CQBR, pairs))
        score_CB = score_CB + scorer.aggregate(evidence_CQB, query_mask_CQ11[..., 0], query_dim=1)
        if scorer.bonus:
            largest_CQB = attention_CQBR.amax(dim=3)
            score_CB = score_CB + scorer.bonus * scorer.aggregate(largest_CQB, query_mask_CQ11[..., 0], query_dim=1)
    else:
        logits_CQBR = _with_prior(logits_CQBR, prior_BCQR)
        attention_CQBR = scorer.weights(logits_CQBR, region_mask, context_dim=3)
        evidence_CQB = (attention_CQBR * cosine_CQBR).sum(dim=3)
    assert evidence_CQB is not None
    something_CB = query_mask_CQ11.any(dim=1)[:, 0] & region_mask.any(dim=3)[:, 0]
    return Alignment(
        similarity_BCQR=logits_CQBR.masked_fill(~region_mask, float("-inf")).permute(2, 0, 1, 3),
        attention_BCQR=attention_CQBR.permute(2, 0, 1, 3),
        value_BCQR=cosine_CQBR.permute(2, 0, 1, 3),
        evidence_BCQ=evidence_CQB.permute(2, 0, 1),
        score_BC=score_CB.masked_fill(~something_CB, 0).T,
    )


def _with_prior(logits_CQBR: torch.Tensor, prior_BCQR: torch.Tensor | None) -> torch.Tensor:
    return logits_CQBR if prior_BCQR is None else logits_CQBR + prior_BCQR.permute(1, 2, 0, 3)


def _squared_regions(weights_CQBR: torch.Tensor, pairs: PairCosines) -> torch.Tensor:
    """`aᵀ G a` of the regions that each query attends to, `[C, Q, B]`: G once for each image."""
    gram_BRR = pairs.regions_BRD @ pairs.regions_BRD.transpose(1, 2)
    if pairs.own:
        spread_CQBR = (weights_CQBR[:, :, 0] @ gram_BRR)[:, :, None]
    else:
        rows = weights_CQBR.permute(2, 0, 1, 3).flatten(1, 2)  # [B, C·Q, R], seen and not copied
        captions, queries, images, regions = weights_CQBR.shape
        spread_CQBR = (rows @ gram_BRR).view(images, captions, queries, regions).permute(1, 2, 0, 3)
    return (weights_CQBR * spread_CQBR).sum(dim=3)


def _squared_words(weights_CQBR: torch.Tensor, queries_CQD: torch.Tensor) -> torch.Tensor:
    """`aᵀ G a` of the words that each region attends to, `[C, B, R]`: G once for each caption."""
    gram_CQQ = queries_CQD @ queries_CQD.transpose(1, 2)
    spread_CQBR = (gram_CQQ @ weights_CQBR.flatten(2)).view_as(weights_CQBR)
    return (weights_CQBR * spread_CQBR).sum(dim=1)
