"""Cross-attention scores of all pairs: exact, block by block within a budget of memory, and differentiable.

`attend` makes a score of cosines and Gram matrices alone. What is done here is to make the cosines so that this costs
next to nothing beside the matrix product that no method can do without:

* **No padding.** Captions of one length share a block; their real words, packed, are the columns of one product.
* **Sums add rows to rows.** A block's cosines come out of the product as `[images, regions, words, captions]`. The
  norm over words and the softmax over regions then run along outer axes, whole rows of captions at a time, and the
  quadratic form `aᵀ G a` of all words is one batched product. The same block, turned round, serves regions over words.
* **A core has a block to itself**, from the product to the scores, where no gradient is asked and blocks are many.
* **In the cache.** The element-wise part takes a few images (or captions) of the block at a time, so that what one
  operation writes the next one finds in the core's cache.
* **On a GPU** a kernel that keeps the cosines on the chip takes over, for the scorers that it has (`triton_scores`).
* **Nothing is kept for the gradient but the cosines**; the rest of a piece is computed again on the way back.

No compiler is needed. `torch.compile` of `attend` took a twentieth off the whole, a tenth for BFAN, for some ten
seconds of compilation for every length of caption: on a CPU most of the time is the product's.
"""

from __future__ import annotations

from functools import partial
from typing import Literal

import torch
from torch.utils.checkpoint import checkpoint

from unboxed.attention.base import BUDGET_BYTES
from unboxed.attention.cosine_attention import AttentionScorer, attend
from unboxed.attention.pair_blocks import PIECE, BlockPlan, CaptionBlock, ImageBlock
from unboxed.attention.triton_scores import fused_scores, runs_on, supports

__all__ = ["score_matrix"]


def score_matrix(
    scorer: AttentionScorer,
    regions_BRD: torch.Tensor,
    mask_BR: torch.Tensor,
    queries_CQD: torch.Tensor,
    mask_CQ: torch.Tensor,
    *,
    budget_bytes: int = BUDGET_BYTES,
) -> torch.Tensor:
    """Scores `[B, C]` of every image and caption, as `CrossAttention.align` has them; higher is better.

    Args:
        scorer: how words and regions attend and score.
        regions_BRD: unit vectors; what is padded may be anything.
        mask_BR: True for real regions.
        queries_CQD: unit vectors of words or phrases.
        mask_CQ: True for real ones.
        budget_bytes: what may be taken above the inputs and the result, about; at the least, one image and one caption
            are. It bounds the memory, not the result. A gradient takes the cosines of all pairs besides. The GPU's
            kernel takes as much as the inputs, for their packed copies, whatever the budget.

    Returns:
        Scores in single precision, or the inputs' if higher; 0 for a caption without queries and an image without
        regions.
    """
    if runs_on(regions_BRD, queries_CQD) and supports(scorer):
        return fused_scores(scorer, regions_BRD, mask_BR, queries_CQD, mask_CQ)
    dtype = torch.promote_types(regions_BRD.dtype, torch.float32)
    score_BC = torch.zeros(len(mask_BR), len(mask_CQ), dtype=dtype, device=regions_BRD.device)
    if score_BC.numel() == 0:
        return score_BC
    kept = torch.is_grad_enabled() and (regions_BRD.requires_grad or queries_CQD.requires_grad)
    apart = not (kept or torch.is_autocast_enabled(regions_BRD.device.type))
    plan = BlockPlan(regions_BRD, mask_BR, queries_CQD, mask_CQ, budget_bytes, apart)
    plan.fill(score_BC, partial(_block, scorer, kept), "i2t" in scorer.directions)
    return score_BC


def _block(scorer: AttentionScorer, kept: bool, images: ImageBlock, captions: CaptionBlock) -> torch.Tensor:
    """Scores `[b, c]` of a block of images and a block of captions."""
    cosine_BRQC = images.cosines(captions)
    with torch.autocast(cosine_BRQC.device.type, enabled=False):
        cosine_BRQC = cosine_BRQC.to(torch.promote_types(cosine_BRQC.dtype, torch.float32))
        score_BC = cosine_BRQC.new_zeros(cosine_BRQC.shape[0], cosine_BRQC.shape[3])
        if "t2i" in scorer.directions:
            score_BC = score_BC + _pieces(scorer, "t2i", cosine_BRQC, images.gram_BRR, images.mask_BR, None, kept)
        if captions.gram_CQQ is not None:
            cosine_CQRB = cosine_BRQC.permute(3, 2, 1, 0)
            score_BC = score_BC + _pieces(scorer, "i2t", cosine_CQRB, captions.gram_CQQ, None, images.mask_BR, kept).T
        return score_BC if images.mask_BR is None else score_BC * images.mask_BR.any(dim=1, keepdim=True)


def _pieces(
    scorer: AttentionScorer,
    direction: Literal["t2i", "i2t"],
    cosine_KNQJ: torch.Tensor,
    gram_KNN: torch.Tensor,
    context_mask_KN: torch.Tensor | None,
    query_mask_JQ: torch.Tensor | None,
    kept: bool,
) -> torch.Tensor:
    """Scores `[K, J]` of one direction, a few owners of contexts at a time."""
    mask_1QJ = (
        cosine_KNQJ.new_ones(1, *cosine_KNQJ.shape[2:], dtype=torch.bool)
        if query_mask_JQ is None
        else query_mask_JQ.T[None]
    )

    def score(cosine: torch.Tensor, gram: torch.Tensor, context_mask: torch.Tensor | None = None) -> torch.Tensor:
        return scorer.score(attend(scorer, cosine.contiguous(), gram, context_mask), mask_1QJ, direction)

    size = max(1, PIECE // max(1, cosine_KNQJ[0].numel()))
    parts = [torch.split(whole, size) for whole in (cosine_KNQJ, gram_KNN, context_mask_KN) if whole is not None]
    if not kept:
        return torch.cat([score(*part) for part in zip(*parts, strict=True)])
    again = [
        checkpoint(score, *part, use_reentrant=False, preserve_rng_state=False) for part in zip(*parts, strict=True)
    ]
    return torch.cat(again)
