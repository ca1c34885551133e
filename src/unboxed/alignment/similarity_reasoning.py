"""Similarity as a vector, reasoned about: SGR and SAF (Diao et al., AAAI 2021; together SGRAF).

A word and what it attends to are compared entry by entry, not by one cosine, and so are the whole image and the whole
caption. A graph or a gate makes one vector of these vectors, and a last map the score. Unlike a cosine, a map of
squared differences cannot be had from cosines alone, so here the attended contents are built, in blocks of captions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, cast

import torch
from torch import nn
from torch.nn.functional import batch_norm
from torch.utils.checkpoint import checkpoint

from unboxed.alignment.aligner import Alignment, QueryCodes, RegionCodes
from unboxed.alignment.attention_scorer import AttentionScorer
from unboxed.alignment.blocks import ScoredInBlocks
from unboxed.alignment.cross_attention import (
    ProjectedQueries,
    ProjectedRegions,
    RegionEncoder,
    align_pairs,
    pair_cosines,
    xavier,
)
from unboxed.alignment.matched import MatchedAttention, match
from unboxed.alignment.reasoning_heads import AttentionFilter, GraphReasoning, SharedBatchNorm
from unboxed.alignment.unit import unit

__all__ = ["GlobalVector", "Reasoning", "SimilarityReasoning"]

Reasoning = Literal["graph", "filter"]


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


class SimilarityReasoning(ScoredInBlocks, nn.Module):
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

    def regions(self, inputs_BRV: torch.Tensor, edges_BR4: torch.Tensor, mask_BR: torch.Tensor) -> RegionCodes:
        """Two codes: unit vectors of the regions `[B, R, D]`, and one of the whole image `[B, 1, D]`."""
        codes_BRD = cast(RegionEncoder, self.region_encoder)(inputs_BRV, edges_BR4, mask_BR)
        return RegionCodes((codes_BRD, self.whole_image(codes_BRD, mask_BR)[:, None]), mask_BR)

    def queries(self, states_CQH: torch.Tensor, mask_CQ: torch.Tensor) -> QueryCodes:
        """Two codes: unit vectors of the queries `[C, Q, D]`, and one of the whole caption `[C, 1, D]`."""
        codes_CQD = self.query_encoder(states_CQH, mask_CQ)
        return QueryCodes((codes_CQD, self.whole_caption(codes_CQD, mask_CQ)[:, None]), mask_CQ)

    def align(
        self,
        regions: RegionCodes,
        queries: QueryCodes,
        *,
        own: bool = False,
        prior_BCQR: torch.Tensor | None = None,
    ) -> Alignment:
        """Scores in (0, 1). Attention and evidence are those of SCAN's words over regions, the value is the cosine.

        A prior is added to the attention's logits.
        """
        pairs = pair_cosines(regions.codes[0], regions.mask_BR, queries.codes[0], queries.mask_CQ, own)
        alignment = align_pairs(self.scorer, pairs, prior_BCQR)

        def nodes(start: int, stop: int) -> torch.Tensor:
            return self._nodes(
                alignment.attention_BCQR[:, start:stop],
                RegionCodes((pairs.regions_BRD, regions.codes[1]), regions.mask_BR),
                QueryCodes((pairs.queries_CQD, queries.codes[1]), queries.mask_CQ),
                slice(start, stop),
                own,
            )

        def score(nodes_BCNS: torch.Tensor, start: int, stop: int) -> torch.Tensor:
            mask_CN = nn.functional.pad(queries.mask_CQ[start:stop], (1, 0), value=True)
            return self.score(self.head(nodes_BCNS, mask_CN))[..., 0].sigmoid()  # type: ignore[no-any-return]

        blocks = self._blocks(alignment.attention_BCQR.shape, pairs.queries_CQD)
        if self.training and isinstance(self.head, AttentionFilter):
            # The statistics of the gates' batch norm are those of all pairs: their nodes must be there together.
            nodes_BCNS = torch.cat([_again(nodes, *block, keep=len(blocks) == 1) for block in blocks], dim=1)
            score_BC = score(nodes_BCNS, 0, len(queries.mask_CQ))
        else:

            def scores(start: int, stop: int) -> torch.Tensor:
                return score(nodes(start, stop), start, stop)

            score_BC = torch.cat([_again(scores, *block, keep=len(blocks) == 1) for block in blocks], dim=1)
        return alignment._replace(score_BC=score_BC)

    def matched(self, regions: RegionCodes, queries: QueryCodes) -> tuple[MatchedAttention, ...]:
        """The attention of each caption on its own image; see `CrossAttention.matched`."""
        return match(self.scorer, regions.codes[0], regions.mask_BR, queries.codes[0], queries.mask_CQ)

    def _nodes(
        self, attention_BCQR: torch.Tensor, regions: RegionCodes, queries: QueryCodes, block: slice, own: bool
    ) -> torch.Tensor:
        """Similarity vectors `[B, C, 1 + Q, S]` of a block of captions with all images, the global one first."""
        words_CQD, caption_CD = queries.codes[0][block], queries.codes[1][block, 0]
        if own:
            content_BCQD = (attention_BCQR[0] @ regions.codes[0][block])[None]
            image_BCD = regions.codes[1][block, 0][None]
        else:
            rows = attention_BCQR.flatten(1, 2) @ regions.codes[0]
            content_BCQD = rows.view(len(rows), *words_CQD.shape)
            image_BCD = regions.codes[1]
        local_BCQS = unit(self.compare_local((unit(content_BCQD) - words_CQD).square()))
        whole_BCS = unit(self.compare_whole((image_BCD - caption_CD).square()))
        return torch.cat([whole_BCS[:, :, None], local_BCQS], dim=2)

    def _blocks(self, shape: torch.Size, words_CQD: torch.Tensor) -> list[tuple[int, int]]:
        """First and last (exclusive) caption of each block; three tensors of the contents' size exist at once."""
        images, captions, queries, _ = shape
        caption_bytes = 3 * images * queries * words_CQD.shape[2] * words_CQD.element_size()
        size = max(1, self.block_bytes // max(1, caption_bytes))
        return [(start, min(start + size, captions)) for start in range(0, captions, size)]


def _again(function: Callable[[int, int], torch.Tensor], start: int, stop: int, keep: bool) -> torch.Tensor:
    """`function(start, stop)`, computed again for the gradient instead of kept, unless `keep`."""
    if keep or not torch.is_grad_enabled():
        return function(start, stop)
    result: torch.Tensor = checkpoint(function, start, stop, use_reentrant=False, preserve_rng_state=False)
    return result
