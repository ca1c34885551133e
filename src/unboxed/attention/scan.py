"""Stacked cross attention: SCAN, BFAN and PFAN, which score a query by its cosine with what it attends to.

Lee et al., ECCV 2018 (SCAN); Liu et al., ACM MM 2019 (BFAN); Wang et al., IJCAI 2019 (PFAN).

One matrix product gives the cosines of all words with all regions. Everything else is computed from them and from the
Gram matrices of the regions (or words): no attended vector is built, and there is no loop over captions
(`cosine_attention`). Where only scores are needed, `chunked_scores` computes them block by block.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol, cast

import torch
from torch import nn

from unboxed.attention.base import Aligner, Alignment, QueryEmbeddings, RegionEmbeddings, pair_mask
from unboxed.attention.chunked_scores import score_matrix
from unboxed.attention.cosine_attention import Attended, AttentionScorer, attend, scaled_to_one
from unboxed.attention.dual_encoder import over_real_rows
from unboxed.attention.matched import MatchedAttention, matched_attention
from unboxed.attention.normalize import l2_normalize

__all__ = [
    "CrossAttention",
    "PairCosines",
    "ProjectedQueries",
    "ProjectedRegions",
    "RegionEncoder",
    "align_words",
    "map_rows",
    "pair_cosines",
    "query_map",
    "xavier_linear",
]


class RegionEncoder(Protocol):
    """A module that maps regions to vectors `[B, R, D]`, zero where padded; of unit length but for `products`."""

    def __call__(self, inputs_BRV: torch.Tensor, edges_BR4: torch.Tensor, mask_BR: torch.Tensor) -> torch.Tensor:
        """The arguments are those of `Aligner.embed_regions`."""


def xavier_linear(input_width: int, output_width: int) -> nn.Linear:
    """A linear layer with Xavier-uniform weights and zero bias, the initialization of SCAN and its successors."""
    linear = nn.Linear(input_width, output_width)
    nn.init.xavier_uniform_(linear.weight)
    nn.init.zeros_(linear.bias)
    return linear


class ProjectedRegions(nn.Module):
    """SCAN's regions: a linear layer, and then unit length.

    Args:
        region_width: width V of a region's input.
        joint_width: width D of the result.
        unit: scale the vectors to unit length; SCAN's `no_imgnorm` does not (`AttentionScorer.products`).
    """

    def __init__(self, region_width: int, joint_width: int, unit: bool = True) -> None:
        super().__init__()
        self.map = xavier_linear(region_width, joint_width)
        self.unit = unit

    def forward(self, inputs_BRV: torch.Tensor, edges_BR4: torch.Tensor, mask_BR: torch.Tensor) -> torch.Tensor:
        """Vectors `[B, R, D]`, zero where padded. The boxes are not used."""
        return map_rows(self.map, inputs_BRV, mask_BR, self.unit)


class ProjectedQueries(nn.Module):
    """The contextual states of words or phrases in the joint space: a linear layer, and then unit length.

    Args:
        word_width: width H of a state; None: H is D, and there is no layer (SCAN).
        joint_width: width D of the result.
        unit: scale the vectors to unit length; SCAN's `no_txtnorm` does not (`AttentionScorer.products`).
    """

    def __init__(self, word_width: int | None, joint_width: int, unit: bool = True) -> None:
        super().__init__()
        self.map = query_map(word_width, joint_width)
        self.unit = unit

    def forward(self, states_CQH: torch.Tensor, mask_CQ: torch.Tensor) -> torch.Tensor:
        """Vectors `[C, Q, D]`, zero where padded."""
        return map_rows(self.map, states_CQH, mask_CQ, self.unit)


def query_map(word_width: int | None, joint_width: int) -> nn.Module:
    """The linear layer from the states of words to the joint space; the identity for None."""
    return nn.Identity() if word_width is None else xavier_linear(word_width, joint_width)


def map_rows(
    layer: Callable[[torch.Tensor], torch.Tensor], rows: torch.Tensor, mask: torch.Tensor, unit: bool
) -> torch.Tensor:
    """The real rows mapped by a layer and, with `unit`, scaled to unit length; zero where padded.

    Args:
        layer: from `[N, V]` to `[N, D]`.
        rows: `[..., V]`.
        mask: `[...]`, True for real rows.
        unit: scale the results to unit length.
    """
    return over_real_rows(lambda real: l2_normalize(layer(real)) if unit else layer(real), rows, mask)


class CrossAttention(Aligner):
    """SCAN, BFAN or PFAN, depending on the scorer (and, for PFAN, on the region encoder).

    Args:
        region_width: width V of a region's input.
        word_width: width H of a contextual word; None: H is D, and words are not mapped (SCAN).
        joint_width: width D of the joint space (the papers: 1024).
        scorer: how words and regions attend and score; by default SCAN t2i.
        region_encoder: a `RegionEncoder`; by default `ProjectedRegions`.
        query_encoder: by default `ProjectedQueries`.
    """

    exports_to_onnx = True
    uses_prior = True

    def __init__(
        self,
        region_width: int,
        word_width: int | None,
        joint_width: int = 1024,
        scorer: AttentionScorer | None = None,
        region_encoder: nn.Module | None = None,
        query_encoder: ProjectedQueries | None = None,
    ) -> None:
        super().__init__()
        self.scorer = scorer if scorer is not None else AttentionScorer()
        self.region_encoder = (
            region_encoder if region_encoder is not None else ProjectedRegions(region_width, joint_width)
        )
        self.query_encoder = query_encoder if query_encoder is not None else ProjectedQueries(word_width, joint_width)

    def embed_regions(
        self, inputs_BRV: torch.Tensor, edges_BR4: torch.Tensor, mask_BR: torch.Tensor
    ) -> RegionEmbeddings:
        """One tensor: the vectors `[B, R, D]` of the region encoder, of unit length but for `products`."""
        return RegionEmbeddings((cast(RegionEncoder, self.region_encoder)(inputs_BRV, edges_BR4, mask_BR),), mask_BR)

    def embed_queries(self, states_CQH: torch.Tensor, mask_CQ: torch.Tensor) -> QueryEmbeddings:
        """One tensor: the vectors `[C, Q, D]` of the query encoder, of unit length but for `products`."""
        return QueryEmbeddings((self.query_encoder(states_CQH, mask_CQ),), mask_CQ)

    def align(
        self,
        regions: RegionEmbeddings,
        queries: QueryEmbeddings,
        *,
        paired: bool = False,
        prior_BCQR: torch.Tensor | None = None,
    ) -> Alignment:
        """Attention and score of every pair. A caption without queries, or an image without regions, scores 0.

        The attention of the result is always that of words over regions. With direction "i2t" it is the softmax over
        regions of the logits of regions over words, although the score uses their softmax over words; a word is then
        matched by its mean cosine under that attention. The value is the cosine. A prior is added to the logits of
        words over regions, and does not change those of regions over words. With a focal rule, the similarity is the
        logits before the rule, and the attention the weights after it.
        """
        return _align(self.scorer, pair_cosines(regions, queries, paired, self.scorer.products), prior_BCQR)

    def cosines(
        self, regions: RegionEmbeddings, queries: QueryEmbeddings, paired: bool
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The cosines of all pairs; those of vectors of any length too."""
        pairs = pair_cosines(regions, queries, paired, self.scorer.products)
        return pairs.to_BCQR(pairs.cosine_BRQC), pair_mask(regions.mask_BR, paired)

    def fast_scores(
        self, regions: RegionEmbeddings, queries: QueryEmbeddings, budget_bytes: int
    ) -> torch.Tensor | None:
        """`chunked_scores.score_matrix`; None for `products`."""
        if self.scorer.products:
            return None
        embeddings = regions.tensors[0], regions.mask_BR, queries.tensors[0], queries.mask_CQ
        return score_matrix(self.scorer, *embeddings, budget_bytes=budget_bytes)

    def matched(self, regions: RegionEmbeddings, queries: QueryEmbeddings) -> tuple[MatchedAttention, ...]:
        """The attention of each caption and its image, in each direction of the scorer; see `Constrainable`.

        Raises:
            ValueError: a scorer with `products`; constraints on attention need unit vectors.
        """
        if self.scorer.products:
            raise ValueError("Attention by products cannot be constrained; use vectors of unit length.")
        return matched_attention(self.scorer, regions.tensors[0], regions.mask_BR, queries.tensors[0], queries.mask_CQ)


class PairCosines(NamedTuple):
    """What scores and attention are computed from, in the axis order of `attend` for words over regions.

    With `paired`, B counts the captions, one image each, and the axis of the captions has length 1.

    Attributes:
        cosine_BRQC: of regions and queries; 0 where either is padded.
        region_mask_BR: True for real regions.
        query_mask: True for real queries, `[1, Q, C]` or, with `paired`, `[B, Q, 1]`.
        regions_BRD: unit vectors of regions; with `paired` a row for each caption.
        queries_CQD: unit vectors of queries.
        paired: each caption with the image of its row only.
        region_length_BR, query_length: with `AttentionScorer.products`, the lengths of the vectors before they were
            scaled to unit length; the latter in the shape of `query_mask`.
    """

    cosine_BRQC: torch.Tensor
    region_mask_BR: torch.Tensor
    query_mask: torch.Tensor
    regions_BRD: torch.Tensor
    queries_CQD: torch.Tensor
    paired: bool
    region_length_BR: torch.Tensor | None = None
    query_length: torch.Tensor | None = None

    @property
    def product_BRQC(self) -> torch.Tensor:
        """What the logits are computed from: the cosines, or the products of vectors with lengths."""
        if self.region_length_BR is None or self.query_length is None:
            return self.cosine_BRQC
        return self.cosine_BRQC * self.region_length_BR[:, :, None, None] * self.query_length[:, None]

    def to_BCQR(self, pairs_BRQC: torch.Tensor) -> torch.Tensor:
        """A view `[B, C, Q, R]`, with `paired` `[1, C, Q, R]`, of a tensor in the axis order of the cosines."""
        return pairs_BRQC.permute(3, 0, 2, 1) if self.paired else pairs_BRQC.permute(0, 3, 2, 1)

    def from_BCQR(self, pairs_BCQR: torch.Tensor) -> torch.Tensor:
        """The inverse of `to_BCQR`."""
        return pairs_BCQR.permute(1, 3, 2, 0) if self.paired else pairs_BCQR.permute(0, 3, 2, 1)


def pair_cosines(
    regions: RegionEmbeddings, queries: QueryEmbeddings, paired: bool, products: bool = False
) -> PairCosines:
    """The cosines of all queries with all regions (with `paired`, of each caption's row), as one matrix product.

    Args:
        regions, queries: their first tensors are unit vectors; with `products` vectors of any length. Padded ones may
            have any value.
        paired: each caption with the image of its row only.
        products: as in `AttentionScorer`.
    """
    mask_BR, mask_CQ = regions.mask_BR, queries.mask_CQ
    regions_BRD = regions.tensors[0].masked_fill(~mask_BR[..., None], 0)
    queries_CQD = queries.tensors[0].masked_fill(~mask_CQ[..., None], 0)
    region_length_BR = query_length = None
    if products:
        region_length_BR, length_CQ = regions_BRD.norm(dim=-1), queries_CQD.norm(dim=-1)
        query_length = length_CQ[..., None] if paired else length_CQ.T[None]
        regions_BRD, queries_CQD = l2_normalize(regions_BRD), l2_normalize(queries_CQD)
    if paired:
        cosine_BRQC = (regions_BRD @ queries_CQD.transpose(1, 2))[..., None]
        query_mask = mask_CQ[..., None]
    else:
        words_QCD = queries_CQD.transpose(0, 1)
        product = regions_BRD.flatten(0, 1) @ words_QCD.flatten(0, 1).T
        cosine_BRQC = product.view(*regions_BRD.shape[:2], *words_QCD.shape[:2])
        query_mask = mask_CQ.T[None]
    lengths = region_length_BR, query_length
    return PairCosines(cosine_BRQC, mask_BR, query_mask, regions_BRD, queries_CQD, paired, *lengths)


def _align(scorer: AttentionScorer, pairs: PairCosines, prior_BCQR: torch.Tensor | None = None) -> Alignment:
    """Attention and score of every pair; see `CrossAttention.align`."""
    if "t2i" in scorer.directions:
        alignment, _ = align_words(scorer, pairs, prior_BCQR)
        if scorer.direction == "t2i":
            return alignment
        score_BC = _zero_where_empty(pairs, _score_by_regions(scorer, pairs))
        return alignment._replace(score_BC=alignment.score_BC + (score_BC.T if pairs.paired else score_BC))
    cosine_BRQC = pairs.cosine_BRQC
    region_mask_BR11 = pairs.region_mask_BR[:, :, None, None]
    logits_BRQC = scorer.logits(pairs.product_BRQC, query_dim=1, query_mask=region_mask_BR11)
    logits_BRQC = logits_BRQC if prior_BCQR is None else logits_BRQC + pairs.from_BCQR(prior_BCQR)
    attention_BRQC = scorer.weights(logits_BRQC, region_mask_BR11, context_dim=1)
    matched_BQC = (attention_BRQC * cosine_BRQC).sum(dim=1)
    score_BC = _score_by_regions(scorer, pairs)
    return _alignment(pairs, logits_BRQC, attention_BRQC, matched_BQC, score_BC)


def align_words(
    scorer: AttentionScorer, pairs: PairCosines, prior_BCQR: torch.Tensor | None = None
) -> tuple[Alignment, Attended]:
    """The alignment of direction "t2i", words over regions, and the `Attended`, with axes `[B, R, Q, C]`, behind it."""
    gram_BRR = pairs.regions_BRD @ pairs.regions_BRD.transpose(1, 2)
    prior_BRQC = None if prior_BCQR is None else pairs.from_BCQR(prior_BCQR)
    words = attend(
        scorer,
        pairs.cosine_BRQC,
        gram_BRR,
        pairs.region_mask_BR,
        prior_BRQC,
        pairs.query_mask,
        pairs.product_BRQC,
        pairs.region_length_BR,
    )
    attention_BRQC = scaled_to_one(words.raw_KNQJ, context_dim=1)
    score_BC = scorer.score(words, pairs.query_mask, "t2i")
    return _alignment(pairs, words.logits_KNQJ, attention_BRQC, words.matched_KQJ, score_BC), words


def _alignment(
    pairs: PairCosines,
    logits_BRQC: torch.Tensor,
    attention_BRQC: torch.Tensor,
    matched_BQC: torch.Tensor,
    score_BC: torch.Tensor,
) -> Alignment:
    score_BC = _zero_where_empty(pairs, score_BC)
    padded_BR11 = ~pairs.region_mask_BR[:, :, None, None]
    return Alignment(
        similarity_BCQR=pairs.to_BCQR(logits_BRQC.masked_fill(padded_BR11, float("-inf"))),
        attention_BCQR=pairs.to_BCQR(attention_BRQC),
        value_BCQR=pairs.to_BCQR(pairs.cosine_BRQC),
        matched_BCQ=pairs.to_BCQR(matched_BQC[:, None])[..., 0],
        score_BC=score_BC.T if pairs.paired else score_BC,
    )


def _zero_where_empty(pairs: PairCosines, score_BC: torch.Tensor) -> torch.Tensor:
    """0 where an image has no regions, or a caption no queries."""
    filled_BC = pairs.region_mask_BR.any(dim=1, keepdim=True) & pairs.query_mask.any(dim=1)
    return score_BC.masked_fill(~filled_BC, 0)


def _score_by_regions(scorer: AttentionScorer, pairs: PairCosines) -> torch.Tensor:
    """Scores `[B, C]` of direction "i2t": regions attend to words."""
    gram_CQQ = pairs.queries_CQD @ pairs.queries_CQD.transpose(1, 2)

    def turned(pairs_BRQC: torch.Tensor) -> torch.Tensor:  # with axes [C, Q, R, B]
        return pairs_BRQC.transpose(1, 2) if pairs.paired else pairs_BRQC.permute(3, 2, 1, 0).contiguous()

    def of_captions(of_queries: torch.Tensor) -> torch.Tensor:  # to [C, Q]
        return of_queries[..., 0] if pairs.paired else of_queries[0].T

    cosine_KNQJ = turned(pairs.cosine_BRQC)
    product_KNQJ = length_CQ = None
    if pairs.query_length is not None:
        product_KNQJ, length_CQ = turned(pairs.product_BRQC), of_captions(pairs.query_length)
    region_mask_KQJ = pairs.region_mask_BR[..., None] if pairs.paired else pairs.region_mask_BR.T[None]
    attended = attend(
        scorer,
        cosine_KNQJ,
        gram_CQQ,
        of_captions(pairs.query_mask),
        query_mask_KQJ=region_mask_KQJ,
        product_KNQJ=product_KNQJ,
        context_length_KN=length_CQ,
    )
    score_KJ = scorer.score(attended, region_mask_KQJ, "i2t")
    return score_KJ if pairs.paired else score_KJ.T
