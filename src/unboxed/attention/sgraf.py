"""Similarity as a vector, reasoned about: SGR and SAF (Diao et al., AAAI 2021; together SGRAF).

A word and what it attends to are compared entry by entry, not by one cosine, and so are the whole image and the whole
caption. A graph or a gate makes one vector of these vectors, and a last map the score. Unlike a cosine, a map of
squared differences cannot be had from cosines alone, so here the attended contents are built, in blocks of captions.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Literal, cast

import torch
from torch import nn
from torch.nn.functional import batch_norm
from torch.utils.checkpoint import checkpoint

from unboxed.attention.base import Alignment, QueryEmbeddings, RegionEmbeddings
from unboxed.attention.cosine_attention import AttentionScorer, attend
from unboxed.attention.matched import MatchedAttention, match
from unboxed.attention.memory_budget import BUDGET_BYTES, block_scores
from unboxed.attention.normalize import unit
from unboxed.attention.pair_blocks import BlockPlan, CaptionBlock, ImageBlock
from unboxed.attention.scan import (
    ProjectedQueries,
    ProjectedRegions,
    RegionEncoder,
    align_words,
    pair_cosines,
    xavier,
)
from unboxed.attention.sgraf_heads import AttentionFilter, GraphReasoning, SharedBatchNorm

__all__ = ["GlobalVector", "Reasoning", "SimilarityReasoning"]

Reasoning = Literal["graph", "filter"]

_NUMBERS = 2**20  # of the contents that are worked on at a time where no gradient is asked


class GlobalVector(nn.Module):
    """One unit vector for all rows: their weighted mean, the weights from how each row suits the plain mean.

    The reference normalises regions with one channel of batch norm for each of exactly 36 regions; here one channel is
    shared by all real regions, so that there may be any number of them.

    Args:
        width: D.
        normalised: with batch norm, as for regions; words go without.
        dropout: probability in [0, 1).
    """

    def __init__(self, width: int, normalised: bool, dropout: float = 0.4) -> None:
        super().__init__()
        self.local, self.whole, self.weigh = xavier(width, width), xavier(width, width), xavier(width, 1)
        self.local_norm = SharedBatchNorm() if normalised else nn.Identity()
        self.whole_norm = _BatchNorm(width) if normalised else nn.Identity()
        self.dropout = nn.Dropout(dropout)

    def forward(self, rows_NRD: torch.Tensor, mask_NR: torch.Tensor) -> torch.Tensor:
        """`[N, D]` of rows that are zero where padded."""
        mean_ND = rows_NRD.sum(dim=1) / mask_NR.sum(dim=1, keepdim=True).clamp(min=1)
        local_NRD = torch.zeros_like(rows_NRD)
        local_NRD[mask_NR] = self.local_norm(self.local(rows_NRD[mask_NR]))
        local_NRD = self.dropout(local_NRD.tanh())
        whole_ND = self.dropout(self.whole_norm(self.whole(mean_ND)).tanh())
        logit_NR = self.weigh(local_NRD * whole_ND[:, None])[..., 0]
        logit_NR = logit_NR.masked_fill(~mask_NR, torch.finfo(logit_NR.dtype).min)
        return unit((logit_NR.softmax(dim=1)[:, None] @ rows_NRD)[:, 0])


class _BatchNorm(nn.BatchNorm1d):
    """Batch norm that normalises a single row by the running statistics, also in training."""

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        if self.training and len(rows) < 2:
            return batch_norm(
                rows, self.running_mean, self.running_var, self.weight, self.bias, training=False, eps=self.eps
            )
        return super().forward(rows)


class SimilarityReasoning(nn.Module):
    """SGR (`graph`) or SAF (`filter`); the two are trained apart, and SGRAF is the mean of their scores.

    Args:
        region_width: width V of a region's input.
        word_width: width H of a contextual word.
        joint_width: width D of the space that words and regions share (the paper's: 1024).
        reasoning: how similarity vectors become one.
        similarity_width: width S of a similarity vector.
        steps: of the graph.
        dropout: of the global vectors while training. The reference's dropout of word vectors is the text encoder's.
        sharpness: λ of the words' attention to regions.
        block_bytes: about how much memory the contents of a block of captions with all images may take.
        region_encoder: a module; `ProjectedRegions` when none is given.

    Raises:
        ValueError: an unknown kind of reasoning.
    """

    def __init__(
        self,
        region_width: int,
        word_width: int,
        joint_width: int = 1024,
        reasoning: Reasoning = "graph",
        similarity_width: int = 256,
        steps: int = 3,
        dropout: float = 0.4,
        sharpness: float = 9.0,
        block_bytes: int = 2**28,
        region_encoder: nn.Module | None = None,
    ) -> None:
        super().__init__()
        if reasoning not in ("graph", "filter"):
            raise ValueError(f"reasoning is 'graph' or 'filter', not {reasoning!r}.")
        self.scorer = AttentionScorer("t2i", sharpness=sharpness)
        self.region_encoder = (
            region_encoder if region_encoder is not None else ProjectedRegions(region_width, joint_width)
        )
        self.query_encoder = ProjectedQueries(word_width, joint_width)
        self.whole_image = GlobalVector(joint_width, normalised=True, dropout=dropout)
        self.whole_caption = GlobalVector(joint_width, normalised=False, dropout=dropout)
        self.compare_local = xavier(joint_width, similarity_width)
        self.compare_whole = xavier(joint_width, similarity_width)
        self.head: nn.Module = (
            GraphReasoning(similarity_width, steps) if reasoning == "graph" else AttentionFilter(similarity_width)
        )
        self.score = xavier(similarity_width, 1)
        self.block_bytes = block_bytes

    def embed_regions(
        self, inputs_BRV: torch.Tensor, edges_BR4: torch.Tensor, mask_BR: torch.Tensor
    ) -> RegionEmbeddings:
        """Two tensors: unit vectors of the regions `[B, R, D]`, and one of the whole image `[B, 1, D]`."""
        regions_BRD = cast(RegionEncoder, self.region_encoder)(inputs_BRV, edges_BR4, mask_BR)
        return RegionEmbeddings((regions_BRD, self.whole_image(regions_BRD, mask_BR)[:, None]), mask_BR)

    def embed_queries(self, states_CQH: torch.Tensor, mask_CQ: torch.Tensor) -> QueryEmbeddings:
        """Two tensors: unit vectors of the queries `[C, Q, D]`, and one of the whole caption `[C, 1, D]`."""
        queries_CQD = self.query_encoder(states_CQH, mask_CQ)
        return QueryEmbeddings((queries_CQD, self.whole_caption(queries_CQD, mask_CQ)[:, None]), mask_CQ)

    def align(
        self,
        regions: RegionEmbeddings,
        queries: QueryEmbeddings,
        *,
        paired: bool = False,
        prior_BCQR: torch.Tensor | None = None,
    ) -> Alignment:
        """Scores in (0, 1). Attention and evidence are those of SCAN's words over regions, the value is the cosine.

        A prior is added to the attention's logits.
        """
        pairs = pair_cosines(regions.tensors[0], regions.mask_BR, queries.tensors[0], queries.mask_CQ, paired)
        alignment, words = align_words(self.scorer, pairs, prior_BCQR)
        shares_BRQC, image_BD, caption_CD = words.unit_shares(), regions.tensors[1][:, 0], queries.tensors[1][:, 0]
        mask_CN = nn.functional.pad(queries.mask_CQ, (1, 0), value=True)

        def nodes(start: int, stop: int) -> torch.Tensor:
            block = slice(start, stop)
            return self._nodes(
                shares_BRQC[..., : stop - start] if paired else shares_BRQC[..., block],
                pairs.regions_BRD,
                pairs.queries_CQD[:, :, None] if paired else pairs.queries_CQD[block].transpose(0, 1)[None],
                image_BD,
                caption_CD[:, None] if paired else caption_CD[None, block],
            )

        def score(nodes_BCNS: torch.Tensor, start: int, stop: int) -> torch.Tensor:
            return self._score(nodes_BCNS, mask_CN[:, None] if paired else mask_CN[start:stop])

        blocks = [(0, 1)] if paired else self._blocks(shares_BRQC.shape, pairs.queries_CQD)
        if self.training and isinstance(self.head, AttentionFilter):
            # The statistics of the gates' batch norm are those of all pairs: their nodes must be there together.
            nodes_BCNS = torch.cat([_again(nodes, *block, keep=len(blocks) == 1) for block in blocks], dim=1)
            score_BC = score(nodes_BCNS, 0, len(queries.mask_CQ))
        else:

            def scores(start: int, stop: int) -> torch.Tensor:
                return score(nodes(start, stop), start, stop)

            score_BC = torch.cat([_again(scores, *block, keep=len(blocks) == 1) for block in blocks], dim=1)
        return alignment._replace(score_BC=score_BC.T if paired else score_BC)

    def scores(
        self,
        regions: RegionEmbeddings,
        queries: QueryEmbeddings,
        *,
        prior_BCQR: torch.Tensor | None = None,
        budget_bytes: int = BUDGET_BYTES,
    ) -> torch.Tensor:
        """The scores alone, `[B, C]`. Without a gradient, words are packed and contents stay in the core's cache."""
        if torch.is_grad_enabled() or self.training or prior_BCQR is not None:
            return block_scores(self.align, regions, queries, prior_BCQR, budget_bytes)
        score_BC = regions.tensors[0].new_zeros(len(regions.mask_BR), len(queries.mask_CQ))
        apart = not torch.is_autocast_enabled(score_BC.device.type)
        plan = BlockPlan(regions.tensors[0], regions.mask_BR, queries.tensors[0], queries.mask_CQ, budget_bytes, apart)
        with self._merged():
            plan.fill(score_BC, partial(self._scores_of_block, regions, queries), grams=False)
        without_C = ~queries.mask_CQ.any(dim=1)
        if without_C.any():  # they are in no block: their score is that of the whole image and caption alone
            none = QueryEmbeddings(tuple(tensor[without_C] for tensor in queries.tensors), queries.mask_CQ[without_C])
            score_BC[:, without_C] = block_scores(self.align, regions, none, None, budget_bytes)
        return score_BC

    def matched(self, regions: RegionEmbeddings, queries: QueryEmbeddings) -> tuple[MatchedAttention, ...]:
        """The attention of each caption on its own image; see `CrossAttention.matched`."""
        return match(self.scorer, regions.tensors[0], regions.mask_BR, queries.tensors[0], queries.mask_CQ)

    def _scores_of_block(
        self, regions: RegionEmbeddings, queries: QueryEmbeddings, images: ImageBlock, captions: CaptionBlock
    ) -> torch.Tensor:
        """Scores `[b, c]`, a few images at a time."""
        cosine_BRQC, caption_1CD = images.cosines(captions), queries.tensors[1][captions.number_C, 0][None]
        words_1QCD, image_BD = captions.queries_QCD[None], regions.tensors[1][images.number_B, 0]
        mask_CN = queries.mask_CQ.new_ones(len(captions.number_C), len(captions.queries_QCD) + 1)
        size = max(1, _NUMBERS // captions.queries_QCD.numel())
        parts = []
        for first in range(0, len(cosine_BRQC), size):
            some = slice(first, first + size)
            mask_BR = None if images.mask_BR is None else images.mask_BR[some]
            words = attend(self.scorer, cosine_BRQC[some], images.gram_BRR[some], mask_BR)
            nodes_BCNS = self._nodes(
                words.unit_shares(), images.regions_BRD[some], words_1QCD, image_BD[some], caption_1CD
            )
            parts.append(self._score(nodes_BCNS, mask_CN))
        return torch.cat(parts)

    def _nodes(
        self,
        shares_KNQJ: torch.Tensor,
        regions_KND: torch.Tensor,
        words_QJD: torch.Tensor,
        image_KD: torch.Tensor,
        caption_JD: torch.Tensor,
    ) -> torch.Tensor:
        """Similarity vectors `[K, J, 1 + Q, S]` of K images and J captions, the global one first.

        Args:
            shares_KNQJ: of each region in what a word attends to, a content of unit length.
            regions_KND: unit vectors.
            words_QJD: `[1, Q, J, D]`, or `[K, Q, J, D]` where each image has captions of its own.
            image_KD: of the whole images.
            caption_JD: of the whole captions, `[1, J, D]` or `[K, J, D]`.
        """
        apart_KMD = torch.baddbmm(
            words_QJD.flatten(1, 2).expand(len(regions_KND), -1, -1),
            shares_KNQJ.flatten(2).transpose(1, 2),
            regions_KND,
            beta=-1,
        )
        local_KMS = unit(self.compare_local(apart_KMD.square()))
        local_KQJS = local_KMS.view(len(local_KMS), *shares_KNQJ.shape[2:], -1)
        whole_KJS = unit(self.compare_whole((image_KD[:, None] - caption_JD).square()))
        return torch.cat([whole_KJS[:, :, None], local_KQJS.transpose(1, 2)], dim=2)

    def _score(self, nodes_BCNS: torch.Tensor, mask_CN: torch.Tensor) -> torch.Tensor:
        """Scores `[B, C]` in (0, 1) of similarity vectors."""
        return self.score(self.head(nodes_BCNS, mask_CN))[..., 0].sigmoid()  # type: ignore[no-any-return]

    def _merged(self) -> AbstractContextManager[None]:
        """While it is open, the graph's maps are not merged anew for every block."""
        return self.head.merged() if isinstance(self.head, GraphReasoning) else nullcontext()

    def _blocks(self, shape: torch.Size, words_CQD: torch.Tensor) -> list[tuple[int, int]]:
        """First and last (exclusive) caption of each block; three tensors of the contents' size exist at once."""
        images, _, queries, captions = shape
        caption_bytes = 3 * images * queries * words_CQD.shape[2] * words_CQD.element_size()
        size = max(1, self.block_bytes // max(1, caption_bytes))
        return [(start, min(start + size, captions)) for start in range(0, captions, size)]


def _again(function: Callable[[int, int], torch.Tensor], start: int, stop: int, keep: bool) -> torch.Tensor:
    """`function(start, stop)`, computed again for the gradient instead of kept, unless `keep`."""
    if keep or not torch.is_grad_enabled():
        return function(start, stop)
    result: torch.Tensor = checkpoint(function, start, stop, use_reentrant=False, preserve_rng_state=False)
    return result
