"""Similarity reasoning: SGR and SAF (Diao et al., AAAI 2021; together SGRAF).

A word and the vector that it attends to are compared entry by entry, by a similarity vector instead of a cosine, and so
are the whole caption and the whole image. A graph (SGR) or a gate (SAF) reduces these vectors to one, and a last linear
layer computes the score from it. A layer over squared differences cannot be computed from cosines alone, so the
attended vectors are built here, in blocks of captions.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from unboxed.attention.base import Alignment, QueryEmbeddings, RegionEmbeddings, block_scores
from unboxed.attention.chunked_scores import BlockPlan, CaptionBlock, ImageBlock
from unboxed.attention.chunks import in_chunks
from unboxed.attention.cosine_attention import AttentionScorer, attend
from unboxed.attention.dual_encoder import over_real_rows
from unboxed.attention.normalize import RowBatchNorm, SharedBatchNorm, l2_normalize
from unboxed.attention.scan import CrossAttention, align_words, pair_cosines, xavier_linear
from unboxed.attention.sgraf_heads import AttentionFilter, GraphReasoning, filtered
from unboxed.errors import RegionsError
from unboxed.runtime.counts import require_literal
from unboxed.runtime.dropout import Dropout

__all__ = ["GlobalVector", "Reasoning", "ReasoningSettings", "SimilarityReasoning", "other_region_counts"]

Reasoning = Literal["graph", "filter"]

_NUMBERS = 2**20  # of the attended vectors that are worked on at a time where no gradient is needed


@dataclass(frozen=True)
class ReasoningSettings:
    """The settings of SGR and SAF. The defaults are those of the paper, but for the batch norms.

    Attributes:
        reasoning: how the similarity vectors of a pair become one: SGR's `graph` or SAF's `filter`.
        similarity_width: width S of a similarity vector.
        steps: of the graph.
        dropout: of the global vectors while training. The reference's dropout of word vectors is the text encoder's.
        sharpness: λ of the attention of words over regions.
        channels: of the batch norm of regions, see `GlobalVector`; 36 in the reference implementation.
        by_caption: the filter's batch norm computes its statistics from one caption at a time, see `AttentionFilter`,
            as in the reference implementation.

    Raises:
        ValueError: an unknown kind of reasoning.
    """

    reasoning: Reasoning = "graph"
    similarity_width: int = 256
    steps: int = 3
    dropout: float = 0.4
    sharpness: float = 9.0
    channels: int | None = None
    by_caption: bool = False

    def __post_init__(self) -> None:
        require_literal("reasoning", self.reasoning, Reasoning)


class GlobalVector(nn.Module):
    """Attention pooling: a weighted mean of rows, scaled to unit length, with weights from the rows and their mean.

    The reference implementation normalizes regions with one channel of batch norm for each of exactly 36 regions. By
    default all real regions share one channel here, so that there may be any number of them.

    Args:
        width: D.
        dropout: probability in [0, 1).
        normalized: with batch norm, as for regions; words have none.
        channels: with `normalized`, the number of regions of every image, each with a channel of its own, as in the
            reference implementation; None: one channel for all.
    """

    def __init__(self, width: int, dropout: float = 0.4, *, normalized: bool, channels: int | None = None) -> None:
        super().__init__()
        self.local, self.whole = xavier_linear(width, width), xavier_linear(width, width)
        self.weigh = xavier_linear(width, 1)
        self.channels = channels if normalized else None
        shared = SharedBatchNorm() if self.channels is None else nn.BatchNorm1d(self.channels)
        self.local_norm = shared if normalized else nn.Identity()
        self.whole_norm = RowBatchNorm(width) if normalized else nn.Identity()
        self.dropout = Dropout(dropout)

    def forward(self, rows_NRD: torch.Tensor, mask_NR: torch.Tensor) -> torch.Tensor:
        """Rows `[N, R, D]`, zero where padded, and their mask `[N, R]` to unit vectors `[N, D]`.

        Raises:
            RegionsError: a number of real rows other than that of the channels.
        """
        mean_ND = rows_NRD.sum(dim=1) / mask_NR.sum(dim=1, keepdim=True).clamp(min=1)
        if self.channels is None:
            local_NRD = over_real_rows(lambda rows: self.local_norm(self.local(rows)), rows_NRD, mask_NR)
        elif mask_NR.shape[1] == self.channels and bool(mask_NR.all()):
            local_NRD = self.local_norm(self.local(rows_NRD))
        else:
            raise other_region_counts(self.channels, set(mask_NR.sum(dim=1).tolist()))
        local_NRD = self.dropout(local_NRD.tanh())
        whole_ND = self.dropout(self.whole_norm(self.whole(mean_ND)).tanh())
        logit_NR = self.weigh(local_NRD * whole_ND[:, None])[..., 0]
        logit_NR = logit_NR.masked_fill(~mask_NR, torch.finfo(logit_NR.dtype).min)
        return l2_normalize((logit_NR.softmax(dim=1)[:, None] @ rows_NRD)[:, 0])


class SimilarityReasoning(CrossAttention):
    """SGR (`graph`) or SAF (`filter`). The two are trained separately; SGRAF is the mean of their scores.

    Attention, matched queries and matched pairs are those of SCAN's words over regions; only the score differs.

    Args:
        region_width: width V of a region's input.
        word_width: width H of a contextual word; None: H is D, and words are not mapped (the paper).
        joint_width: width D of the joint space (the paper: 1024).
        settings: the reasoning and its widths; by default SGR.
    """

    exports_to_onnx = False
    block_bytes = 2**28
    """About how much memory `align` may take for the attended vectors of a block of captions with all images."""

    def __init__(
        self,
        region_width: int,
        word_width: int | None,
        joint_width: int = 1024,
        settings: ReasoningSettings | None = None,
    ) -> None:
        settings = settings if settings is not None else ReasoningSettings()
        scorer = AttentionScorer("t2i", sharpness=settings.sharpness)
        super().__init__(region_width, word_width, joint_width, scorer)
        width = settings.similarity_width
        self.whole_image = GlobalVector(joint_width, settings.dropout, normalized=True, channels=settings.channels)
        self.whole_caption = GlobalVector(joint_width, settings.dropout, normalized=False)
        self.compare_local = xavier_linear(joint_width, width)
        self.compare_whole = xavier_linear(joint_width, width)
        self.head: nn.Module = (
            GraphReasoning(width, settings.steps)
            if settings.reasoning == "graph"
            else AttentionFilter(width, settings.by_caption)
        )
        self.score = xavier_linear(width, 1)

    @property
    def normalizes_pairs(self) -> bool:
        """True for SAF, whose gates have a batch norm."""
        return isinstance(self.head, AttentionFilter)

    def embed_regions(
        self, inputs_BRV: torch.Tensor, edges_BR4: torch.Tensor, mask_BR: torch.Tensor
    ) -> RegionEmbeddings:
        """Two tensors: unit vectors of the regions `[B, R, D]`, and one of the whole image `[B, 1, D]`."""
        (regions_BRD,), _ = super().embed_regions(inputs_BRV, edges_BR4, mask_BR)
        return RegionEmbeddings((regions_BRD, self.whole_image(regions_BRD, mask_BR)[:, None]), mask_BR)

    def embed_queries(self, states_CQH: torch.Tensor, mask_CQ: torch.Tensor) -> QueryEmbeddings:
        """Two tensors: unit vectors of the queries `[C, Q, D]`, and one of the whole caption `[C, 1, D]`."""
        (queries_CQD,), _ = super().embed_queries(states_CQH, mask_CQ)
        return QueryEmbeddings((queries_CQD, self.whole_caption(queries_CQD, mask_CQ)[:, None]), mask_CQ)

    def align(
        self,
        regions: RegionEmbeddings,
        queries: QueryEmbeddings,
        *,
        paired: bool = False,
        prior_BCQR: torch.Tensor | None = None,
    ) -> Alignment:
        """Scores in (0, 1); the rest is `CrossAttention.align` of direction "t2i"."""
        alignment, nodes, blocks = self._compared(regions, queries, paired, prior_BCQR)
        mask_CN = _node_mask(queries.mask_CQ)

        def score(nodes_BCNS: torch.Tensor, start: int, stop: int) -> torch.Tensor:
            mask = mask_CN[:, None] if paired else mask_CN[start:stop]
            if isinstance(self.head, AttentionFilter):
                return self._squashed(self.head(nodes_BCNS, mask, paired))
            return self._squashed(self.head(nodes_BCNS, mask))

        if self.training and isinstance(self.head, AttentionFilter):
            # The statistics of the gates' batch norm are those of all pairs: all their nodes must exist together.
            nodes_BCNS = _of_blocks(nodes, blocks)
            score_BC = score(nodes_BCNS, 0, len(queries.mask_CQ))
        else:

            def scores(start: int, stop: int) -> torch.Tensor:
                return score(nodes(start, stop), start, stop)

            score_BC = _of_blocks(scores, blocks)
        return alignment._replace(score_BC=score_BC.T if paired else score_BC)

    def _compared(
        self, regions: RegionEmbeddings, queries: QueryEmbeddings, paired: bool, prior_BCQR: torch.Tensor | None
    ) -> tuple[Alignment, Callable[[int, int], torch.Tensor], list[tuple[int, int]]]:
        """The alignment, whose score is not SGR's or SAF's, a function from a block to its nodes, and the blocks."""
        pairs = pair_cosines(regions, queries, paired)
        alignment, words = align_words(self.scorer, pairs, prior_BCQR)
        weights_BRQC, image_BD, caption_CD = words.unit_weights(), regions.tensors[1][:, 0], queries.tensors[1][:, 0]

        def nodes(start: int, stop: int) -> torch.Tensor:
            block = slice(start, stop)
            return self._nodes(
                weights_BRQC[..., : stop - start] if paired else weights_BRQC[..., block],
                pairs.regions_BRD,
                pairs.queries_CQD[:, :, None] if paired else pairs.queries_CQD[block].transpose(0, 1)[None],
                image_BD,
                caption_CD[:, None] if paired else caption_CD[None, block],
            )

        return alignment, nodes, [(0, 1)] if paired else self._blocks(weights_BRQC.shape, pairs.queries_CQD)

    def scores_in_chunks(
        self,
        regions: RegionEmbeddings,
        queries: QueryEmbeddings,
        chunk: int,
        prior_of: Callable[[slice], torch.Tensor | None],
    ) -> torch.Tensor:
        """As `Aligner.scores_in_chunks`. SAF first computes the gates of all pairs, one number a node.

        Their batch norm sees all of them, once; the second pass has the normalized gates.
        """
        head = self.head
        if not isinstance(head, AttentionFilter):
            return super().scores_in_chunks(regions, queries, chunk, prior_of)

        def all_pairs(compute: Callable[[slice], torch.Tensor]) -> torch.Tensor:
            return in_chunks(lambda rows: (compute(rows),), len(queries.mask_CQ), chunk)[0]

        def of_nodes(function: Callable[[torch.Tensor, slice], torch.Tensor], rows: slice) -> torch.Tensor:
            _, nodes, blocks = self._compared(regions, queries.part(rows), paired=False, prior_BCQR=prior_of(rows))

            def of_block(start: int, stop: int) -> torch.Tensor:
                return function(nodes(start, stop), slice(rows.start + start, rows.start + stop))

            return _of_blocks(of_block, blocks)

        gate_BCN = all_pairs(partial(of_nodes, lambda nodes, _: head.gate(nodes)[..., 0]))
        opened_BCN = head.opened(gate_BCN, _node_mask(queries.mask_CQ))
        return all_pairs(partial(of_nodes, lambda nodes, rows: self._squashed(filtered(nodes, opened_BCN[:, rows]))))

    def fast_scores(
        self, regions: RegionEmbeddings, queries: QueryEmbeddings, budget_bytes: int
    ) -> torch.Tensor | None:
        """Scores of packed words.

        Without gradient, attended vectors stay in the core's cache. With gradient, they are recomputed in the backward
        pass where those of all pairs would take more than `block_bytes`.
        """
        words_CQD, mask_CQ = queries.tensors[0], queries.mask_CQ
        score_BC = words_CQD.new_zeros(len(regions.mask_BR), len(mask_CQ))
        gradient, empty_C = torch.is_grad_enabled(), ~mask_CQ.any(dim=1)
        parallel = not (gradient or self.training or torch.is_autocast_enabled(score_BC.device.type))
        inputs = regions.tensors[0], regions.mask_BR, words_CQD, mask_CQ
        plan = BlockPlan(*inputs, budget_bytes, parallel, padded=gradient)
        attended_bytes = 3 * len(regions.mask_BR) * int(mask_CQ.sum()) * words_CQD.shape[2] * words_CQD.element_size()
        recomputed = gradient and attended_bytes > self.block_bytes
        of_block = partial(self._of_block, regions, queries, recomputed)
        if self.training and isinstance(self.head, AttentionFilter):
            # The statistics of the gates' batch norm are those of all pairs: all their nodes must exist together.
            if self.head.by_caption or empty_C.any():
                return None
            blocks = list(plan.blocks(grams=False))
            nodes = [of_block(lambda nodes, _: nodes, *block) for block in blocks]
            found = self.head.of_blocks(nodes, [_block_mask(captions) for _, captions in blocks])
            for (images, captions), vectors_BCS in zip(blocks, found, strict=True):
                score_BC[images.number_B[:, None], captions.number_C] = self._squashed(vectors_BCS)
            return score_BC
        with nullcontext() if recomputed else self._merged():
            plan.fill(score_BC, partial(of_block, lambda *nodes: self._squashed(self.head(*nodes))), grams=False)
        if empty_C.any():  # they are in no block: their score is that of the whole image and caption alone
            empty = QueryEmbeddings(tuple(tensor[empty_C] for tensor in queries.tensors), queries.mask_CQ[empty_C])
            score_BC[:, empty_C] = block_scores(self.align, regions, empty, None, budget_bytes)
        return score_BC

    def _of_block(
        self,
        regions: RegionEmbeddings,
        queries: QueryEmbeddings,
        recomputed: bool,
        function: Callable[[torch.Tensor, torch.Tensor | None], torch.Tensor],
        images: ImageBlock,
        captions: CaptionBlock,
    ) -> torch.Tensor:
        """`function` of the similarity vectors `[b, c, 1 + Q, S]` of a block, computed for a few images at a time.

        Its second argument is the mask `[c, 1 + Q]` of the real ones; None: all are.
        """
        cosine_BRQC, caption_1CD = images.cosines(captions), queries.tensors[1][captions.number_C, 0][None]
        words_1QCD, image_BD = captions.queries_QCD[None], regions.tensors[1][images.number_B, 0]
        words_mask_1QC = None if captions.mask_CQ is None else captions.mask_CQ.T[None]
        mask_CN = _block_mask(captions)

        def part(first: int, stop: int) -> torch.Tensor:
            some = slice(first, stop)
            mask_BR = None if images.mask_BR is None else images.mask_BR[some]
            words = attend(
                self.scorer, cosine_BRQC[some], images.gram_BRR[some], mask_BR, query_mask_KQJ=words_mask_1QC
            )
            nodes = self._nodes(words.unit_weights(), images.regions_BRD[some], words_1QCD, image_BD[some], caption_1CD)
            return function(nodes, mask_CN)

        size = max(1, _NUMBERS // captions.queries_QCD.numel())
        starts = range(0, len(cosine_BRQC), size)
        return torch.cat([_recomputed(part, first, first + size, keep=not recomputed) for first in starts])

    def _nodes(
        self,
        weights_KNQJ: torch.Tensor,
        regions_KND: torch.Tensor,
        words_QJD: torch.Tensor,
        image_KD: torch.Tensor,
        caption_JD: torch.Tensor,
    ) -> torch.Tensor:
        """Similarity vectors `[K, J, 1 + Q, S]` of K images and J captions, that of the whole image and caption first.

        Args:
            weights_KNQJ: weights of the regions that make attended vectors of unit length (`Attended.unit_weights`).
            regions_KND: unit vectors.
            words_QJD: unit vectors, `[1, Q, J, D]`, or `[K, Q, J, D]` where each image has other captions.
            image_KD: of the whole images.
            caption_JD: of the whole captions, `[1, J, D]` or `[K, J, D]`.
        """
        difference_KMD = torch.baddbmm(
            words_QJD.flatten(1, 2).expand(len(regions_KND), -1, -1),
            weights_KNQJ.flatten(2).transpose(1, 2),
            regions_KND,
            beta=-1,
        )
        local_KMS = l2_normalize(self.compare_local(difference_KMD.square()))
        local_KQJS = local_KMS.view(len(local_KMS), *weights_KNQJ.shape[2:], -1)
        whole_KJS = l2_normalize(self.compare_whole((image_KD[:, None] - caption_JD).square()))
        return torch.cat([whole_KJS[:, :, None], local_KQJS.transpose(1, 2)], dim=2)

    def _squashed(self, vectors_BCS: torch.Tensor) -> torch.Tensor:
        """Scores `[B, C]` in (0, 1) of what the head makes of similarity vectors."""
        return self.score(vectors_BCS)[..., 0].sigmoid()  # type: ignore[no-any-return]

    def _merged(self) -> AbstractContextManager[None]:
        """A context in which the layers of the graph are merged once, not for every block."""
        return self.head.merged() if isinstance(self.head, GraphReasoning) else nullcontext()

    def _blocks(self, shape: torch.Size, words_CQD: torch.Tensor) -> list[tuple[int, int]]:
        """First caption of each block, and the one after its last. Three tensors of attended vectors exist together."""
        images, _, queries, captions = shape
        caption_bytes = 3 * images * queries * words_CQD.shape[2] * words_CQD.element_size()
        size = max(1, self.block_bytes // max(1, caption_bytes))
        return [(start, min(start + size, captions)) for start in range(0, captions, size)]


def _node_mask(mask_CQ: torch.Tensor) -> torch.Tensor:
    """True for real nodes `[C, 1 + Q]`; that of the whole image and caption, the first, always is."""
    return nn.functional.pad(mask_CQ, (1, 0), value=True)


def _block_mask(captions: CaptionBlock) -> torch.Tensor | None:
    """The mask `[c, 1 + Q]` of the real nodes of a block; None: all are."""
    return None if captions.mask_CQ is None else _node_mask(captions.mask_CQ)


def _of_blocks(function: Callable[[int, int], torch.Tensor], blocks: list[tuple[int, int]]) -> torch.Tensor:
    """The results of a function for blocks of captions, the second axis; of several, each is recomputed."""
    return torch.cat([_recomputed(function, *block, keep=len(blocks) == 1) for block in blocks], dim=1)


def _recomputed(function: Callable[[int, int], torch.Tensor], start: int, stop: int, keep: bool) -> torch.Tensor:
    """`function(start, stop)`, recomputed in the backward pass unless `keep`."""
    if keep or not torch.is_grad_enabled():
        return function(start, stop)
    result: torch.Tensor = checkpoint(function, start, stop, use_reentrant=False, preserve_rng_state=False)
    return result


def other_region_counts(channels: int, counts: Collection[int]) -> RegionsError:
    """The error of images that have other numbers of regions than batch norms have channels."""
    return RegionsError(
        f"With {channels} channels every image has {channels} regions, not {sorted(counts)}; set "
        "--region-channels 0 for any number, or use regions of that number for each image."
    )
