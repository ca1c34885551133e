"""Scores of all pairs by a fused GPU kernel: cosines stay on the chip, and only scores are stored.

The kernels compute tile by tile what `CrossAttention.align` computes with tensors of all queries and contexts:

* **One kernel for both directions.** Rows of a tile are queries, columns contexts: words and regions for "t2i", regions
  and words for "i2t", whose scores come out transposed. The sum of both is "both".
* **Hardly any padding.** The queries of whole captions (or the regions of whole images) are laid end to end in bins of
  rows (`plan_bins`); a program takes one bin of queries and one of contexts, up to 16 captions x 16 images. Groups
  never straddle bins, and are packed longest first: three images of 36 regions fill 108 rows of 128, captions of 8 to
  20 words about nineteen rows in twenty (the worst case, images of 65 regions, fills half). Padding 36 regions to 64
  and 13 words to 16 would more than double the product. Rows left over are zero vectors of no group.
* **Registers.** A program holds a tile of 128 x 128 cosines in float32, accumulated over D in steps of 64 (bf16) or 32
  (float32), and two more tiles of that size (weights; weights times Gram matrix): 192 KB of the 256 KB of registers of
  a multiprocessor, over 8 warps. Larger tiles do not fit. Smaller ones read more from the L2 cache: 128 x 128 does 64
  multiply-adds for each number read, 64 x 128 does 43. The backward pass holds about twice as many tiles, so in
  training captions of up to 64 words go into bins of 64.
* **Sums over the words of a caption or the regions of an image are matrix products** with the 0/1 matrix of rows and
  their slots, of which a bin has 16: each at most a 64th of the main product. Values are split into two bfloat16 that
  add up to them (to 2^-17, far below the error of such cosines), in the exact modes into three (to 2^-24, as float32).
  These leave the registers as packed pairs; TF32 in three passes spilled several times as much.
* **No running maximum.** A logit is at most the sharpness; with `sharpness · (1 + slope) <= 40` neither the weights nor
  their squares leave the range of float32. `cos(query, attended) = a·s / √(aᵀ G a)` does not depend on the sum of `a`;
  only one number for each query and image is divided by it, at the end. G is computed outside the kernel, once for each
  bin, by a batched product; it is 0 between different images of a bin.
* **The backward pass** recomputes the tile. It stores the gradient `dS` of the cosines, the attention `A`, and `A`
  times the gradient `q` of `aᵀ G a`, for as many bins of contexts as `block_bytes` hold. Three products by cuBLAS
  follow: `dS K` for queries, `dSᵀ Q` for contexts, `(q A)ᵀ A` for G. The gradient of `G = K Kᵀ` is left to autograd.
  There are no atomic additions: two runs give the same bits.

Vectors are read in bf16 or float32. Cosines are accumulated in float32, and everything after them is float32.
"""

from __future__ import annotations

import importlib.metadata
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt
import torch

from unboxed.attention.cosine_attention import AttentionScorer

__all__ = ["LONGEST", "Precision", "fused_scores", "has_triton", "runs_on", "supports", "why_not"]

Precision = Literal["ieee", "tf32x3", "tf32", "bf16"]

SLOTS = 16  # groups of a bin; sums over them are matrix products of this width
LONGEST = 128  # words of a caption, regions of an image: a bin
_STEEPEST = 40.0  # exp(-2 · 40) is still a normal float32
_SMALLEST = 4 * torch.finfo(torch.float32).eps  # as in `cosine_to_attended`
_NEAR = 8
_OLDEST = (3, 9)  # Triton
# The number of bfloat16 terms of a value in the sums, and in the products with G.
_TERMS: dict[Precision, int] = {"ieee": 3, "tf32x3": 3, "tf32": 2, "bf16": 2}
_GRAM_TERMS: dict[Precision, int] = {"ieee": 3, "tf32x3": 3, "tf32": 2, "bf16": 1}


def why_not(scorer: AttentionScorer) -> str:
    """The reason why the kernel does not support this scorer; empty if it does."""
    if scorer.focal != "none":
        return f"focal={scorer.focal!r} needs each weight twice"
    if scorer.bonus:
        return "a bonus needs the largest weight"
    if scorer.products:
        return "products need the lengths of vectors"
    if scorer.norm not in ("clipped_l2norm", "l2norm"):
        return f"norm={scorer.norm!r}; only 'clipped_l2norm' and 'l2norm' are there"
    if scorer.aggregation not in ("mean", "lse"):
        return f"aggregation={scorer.aggregation!r}; only 'mean' and 'lse' are there"
    if not 0 < (steepness := scorer.sharpness * (1 + scorer.negative_slope)) <= _STEEPEST:
        return f"sharpness · (1 + slope) is {steepness:g}, outside (0, {_STEEPEST:g}]"
    if scorer.aggregation == "lse" and not 0 < scorer.lse_sharpness <= _STEEPEST:
        return f"lse_sharpness is {scorer.lse_sharpness:g}, outside (0, {_STEEPEST:g}]"
    return ""


def supports(scorer: AttentionScorer) -> bool:
    """Whether the kernel supports this scorer: SCAN in either direction or both, by mean or log-sum-exp."""
    return not why_not(scorer)


def runs_on(regions_BRD: torch.Tensor, queries_CQD: torch.Tensor) -> bool:
    """Whether `score_matrix` leaves these tensors to `fused_scores`.

    `UNBOXED_TRITON=1` must be set: the kernel has not been compared with PyTorch on a GPU yet. The tensors must
    be on a GPU with bf16, with Triton 3.9 or newer, of at most 128 rows.
    """
    return (
        os.environ.get("UNBOXED_TRITON") == "1"
        and regions_BRD.is_cuda
        and torch.version.hip is None
        and torch.cuda.get_device_capability(regions_BRD.device) >= (8, 0)
        and torch.float64 not in (regions_BRD.dtype, queries_CQD.dtype)
        and max(regions_BRD.shape[1], queries_CQD.shape[1]) <= LONGEST
        and has_triton()
    )


@cache
def has_triton() -> bool:
    """Whether a Triton is installed in which the kernel was tested; PyTorch 2.5 for CUDA brings an older one."""
    try:
        version = importlib.metadata.version("triton")
    except importlib.metadata.PackageNotFoundError:
        return False
    return tuple(int(part) for part in version.split(".")[:2]) >= _OLDEST


def fused_scores(
    scorer: AttentionScorer,
    regions_BRD: torch.Tensor,
    mask_BR: torch.Tensor,
    queries_CQD: torch.Tensor,
    mask_CQ: torch.Tensor,
    *,
    precision: Precision | None = None,
    block_bytes: int = 2**28,
) -> torch.Tensor:
    """Scores `[B, C]` of every image and caption in float32, equal to those of `CrossAttention.align`.

    Args:
        scorer: one that the kernel `supports`.
        regions_BRD: unit vectors, on a CUDA device (on any in Triton's interpreter); padded ones may have any value.
        mask_BR: True for real regions, at most 128 of an image.
        queries_CQD: unit vectors of words or phrases; padded ones may have any value.
        mask_CQ: True for real queries, at most 128 of a caption.
        precision: of the products of vectors: `ieee`, float32 without tensor cores; `tf32x3`, TF32 in three passes, as
            exact as float32; `tf32`, cosines to about 5e-4; `bf16`, to about 2e-3. None follows
            `torch.get_float32_matmul_precision()` (`highest`: tf32x3; `high`: tf32; `medium`: bf16); for half-precision
            vectors and under autocast it is `bf16`.
        block_bytes: memory that the backward pass may take for each of its three blocks of gradients.

    Returns:
        Scores; 0 for a caption without queries and for an image without regions. Differentiable once.

    Raises:
        ValueError: a scorer that the kernel does not support, or more than 128 rows; `chunked_scores.score_matrix`
            computes these.
    """
    if reason := why_not(scorer):
        raise ValueError(f"The GPU kernel does not compute this scorer: {reason}; `chunked_scores.score_matrix` does.")
    precision = precision or _torch_precision((regions_BRD, queries_CQD))
    with torch.autocast(regions_BRD.device.type, enabled=False):
        # The rest of a training step may run in half precision; the products in float32 here must not.
        trains = torch.is_grad_enabled() and (regions_BRD.requires_grad or queries_CQD.requires_grad)
        image_bins = _bins(mask_BR)
        caption_bins = _bins(mask_CQ, LONGEST // 2 if trains and mask_CQ.shape[1] <= LONGEST // 2 else LONGEST)
        block = 64 if precision == "bf16" else 32
        dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        width = -(-regions_BRD.shape[2] // block) * block
        score_BC = torch.zeros(len(mask_BR), len(mask_CQ), device=regions_BRD.device)
        if not len(image_bins) or not len(caption_bins):
            return score_BC + 0 * (regions_BRD.flatten()[:0].sum() + queries_CQD.flatten()[:0].sum())
        region_TD = image_bins.packed(regions_BRD, width, dtype)
        query_TD = caption_bins.packed(queries_CQD, width, dtype)
        for direction in scorer.directions:
            if direction == "t2i":
                plan = _Plan(
                    scorer, caption_bins, image_bins, len(mask_CQ), len(mask_BR), precision, block, block_bytes
                )
                score_BC = score_BC + _scores(plan, query_TD, region_TD)
            else:
                plan = _Plan(
                    scorer, image_bins, caption_bins, len(mask_BR), len(mask_CQ), precision, block, block_bytes
                )
                score_BC = score_BC + _scores(plan, region_TD, query_TD).T
    return score_BC


def _torch_precision(vectors: Sequence[torch.Tensor]) -> Precision:
    half = any(tensor.dtype in (torch.bfloat16, torch.float16) for tensor in vectors)
    if half or torch.is_autocast_enabled(vectors[0].device.type):
        return "bf16"
    named: dict[str, Precision] = {"highest": "tf32x3", "high": "tf32", "medium": "bf16"}
    return named[torch.get_float32_matmul_precision()]


def _bins(mask_GL: torch.Tensor, size: int = LONGEST) -> Bins:
    if mask_GL.shape[1] > LONGEST:
        raise ValueError(f"The GPU kernel takes {LONGEST} rows a group, not {mask_GL.shape[1]}; use `score_matrix`.")
    return plan_bins(mask_GL, size)


@dataclass(frozen=True)
class _Plan:
    """All arguments of the kernels in one direction, except the vectors."""

    scorer: AttentionScorer
    queries: Bins
    contexts: Bins
    query_groups: int
    context_groups: int
    precision: Precision
    block: int
    block_bytes: int

    def options(self) -> dict[str, Any]:
        """The compile-time arguments of both kernels."""
        from unboxed.attention.triton_kernels import INTERPRETED

        return {
            "M": self.queries.size,
            "N": self.contexts.size,
            "P": SLOTS,
            "BLOCK": self.block,
            "SMALLEST": _SMALLEST,
            "LSE": self.scorer.aggregation == "lse",
            "DOT": "tf32" if self.precision == "bf16" else self.precision,
            "TERMS": _TERMS[self.precision],
            "GRAM_TERMS": _GRAM_TERMS[self.precision],
            "WIDEN": INTERPRETED,
            "num_warps": 8,
        }


def _scores(plan: _Plan, query_TD: torch.Tensor, context_TD: torch.Tensor) -> torch.Tensor:
    """Scores `[context groups, query groups]`."""
    bins = plan.contexts
    vectors_NSD = context_TD.view(len(bins), bins.size, -1).float()
    same_NSS = bins.slot_NS[:, :, None] == bins.slot_NS[:, None, :]
    gram_NSS = (vectors_NSD @ vectors_NSD.transpose(1, 2)) * same_NSS
    return cast(torch.Tensor, _FusedScores.apply(plan, query_TD, context_TD, gram_NSS))  # type: ignore[no-untyped-call]


def _stages(query_TD: torch.Tensor) -> int:
    """Number of prefetched steps of the product: three take 100 KB, which only data-centre cards have."""
    large = query_TD.is_cuda and torch.cuda.get_device_capability(query_TD.device) in ((8, 0), (9, 0), (10, 0))
    return 3 if large else 2


def _in_terms(gram_NSS: torch.Tensor, terms: int) -> torch.Tensor:
    """bfloat16 `[N, terms, S, S]` whose sum over terms is the matrix; each term adds 8 bits of precision."""
    parts = []
    for _ in range(terms):
        parts.append(gram_NSS.to(torch.bfloat16))
        gram_NSS = gram_NSS - parts[-1].float()
    return torch.stack(parts, dim=1)


class _FusedScores(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, plan: _Plan, query_TD: torch.Tensor, context_TD: torch.Tensor, gram_NSS: torch.Tensor
    ) -> torch.Tensor:
        from unboxed.attention.triton_kernels import forward_kernel

        gram_NTSS = _in_terms(gram_NSS, _GRAM_TERMS[plan.precision])
        ctx.save_for_backward(query_TD, context_TD, gram_NTSS)
        ctx.plan = plan
        scorer, queries, contexts = plan.scorer, plan.queries, plan.contexts
        scores = torch.zeros(plan.context_groups, plan.query_groups, device=query_TD.device)
        forward_kernel[(len(queries) * len(contexts),)](
            scores, query_TD, context_TD, gram_NTSS,
            queries.slot_NS, contexts.slot_NS, queries.group_NP, contexts.group_NP,
            len(queries), len(contexts), plan.query_groups, query_TD.shape[1],
            float(scorer.negative_slope), float(scorer.sharpness), float(scorer.lse_sharpness),
            NEAR=_NEAR, num_stages=_stages(query_TD), **plan.options(),
        )  # fmt: skip
        return scores

    @staticmethod
    def backward(ctx: Any, score_grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        from unboxed.attention.triton_kernels import backward_kernel

        query_TD, context_TD, gram_NTSS = ctx.saved_tensors
        plan: _Plan = ctx.plan
        scorer, queries, contexts = plan.scorer, plan.queries, plan.contexts
        score_grad = score_grad.float().contiguous()
        rows, size = query_TD.shape[0], contexts.size
        at_once = max(plan.block_bytes // (rows * size * query_TD.element_size()), 1)
        query_grad_TD = torch.zeros_like(query_TD, dtype=torch.float32)
        context_grad_TD = torch.empty_like(context_TD)
        gram_grad_NSS = torch.empty(len(contexts), size, size, device=gram_NTSS.device)
        for first in range(0, len(contexts), at_once):
            count = min(at_once, len(contexts) - first)
            cosine_grad, attention, scaled = query_TD.new_empty(3, rows, count * size)
            backward_kernel[(len(queries) * count,)](
                cosine_grad, attention, scaled, score_grad, query_TD, context_TD, gram_NTSS,
                queries.slot_NS, contexts.slot_NS, queries.group_NP, contexts.group_NP,
                len(queries), first, count * size, plan.query_groups, query_TD.shape[1],
                float(scorer.negative_slope), float(scorer.sharpness), float(scorer.lse_sharpness),
                num_stages=2, **plan.options(),
            )  # fmt: skip
            here = slice(first * size, (first + count) * size)
            query_grad_TD += cosine_grad @ context_TD[here]
            context_grad_TD[here] = cosine_grad.T @ query_TD
            attention_NTS = attention.view(rows, count, size).transpose(0, 1)
            scaled_NTS = scaled.view(rows, count, size).transpose(0, 1)
            gram_grad_NSS[first : first + count] = scaled_NTS.transpose(1, 2) @ attention_NTS
        return None, query_grad_TD.to(query_TD.dtype), context_grad_TD, gram_grad_NSS


@dataclass(frozen=True)
class Bins:
    """Groups of rows (the words of a caption, the regions of an image) laid end to end in bins of one size.

    Attributes:
        size: rows of a bin.
        source_T: indices of the real rows in the flattened groups `[G · L]`.
        target_T: index of each of them in the flattened bins `[N · size]`.
        slot_NS: slot of the group that a row belongs to, `[N, size]`, int32; -1 where there is no row.
        group_NP: group in each slot, `[N, SLOTS]`, int32; -1 where there is none.
    """

    size: int
    source_T: torch.Tensor
    target_T: torch.Tensor
    slot_NS: torch.Tensor
    group_NP: torch.Tensor

    def __len__(self) -> int:
        return len(self.slot_NS)

    def packed(self, rows_GLD: torch.Tensor, width: int, dtype: torch.dtype) -> torch.Tensor:
        """The real rows in their bins, `[N · size, width]`; zero where there is no row, and in columns beyond D."""
        real_TD = rows_GLD.flatten(0, 1).index_select(0, self.source_T).to(dtype)
        if width > real_TD.shape[1]:
            real_TD = torch.nn.functional.pad(real_TD, (0, width - real_TD.shape[1]))
        return real_TD.new_zeros(len(self) * self.size, width).index_copy(0, self.target_T, real_TD)


def plan_bins(mask_GL: torch.Tensor, size: int) -> Bins:
    """Assign the groups to bins of `size` rows, longest first; groups without a real row are in none.

    The mask is read on the CPU, which waits for the device once.

    Args:
        mask_GL: True for real rows, on any device; the tensors of the result are on the same one.
        size: at least the number of rows of the longest group.

    Raises:
        ValueError: a group is longer than a bin.
    """
    mask = mask_GL.cpu().numpy()
    length_G: npt.NDArray[np.int64] = mask.sum(axis=1, dtype=np.int64)
    if len(length_G) and length_G.max() > size:
        raise ValueError(f"A group has {length_G.max()} rows; a bin has {size}.")
    order = np.argsort(-length_G, kind="stable")
    order = order[length_G[order] > 0]
    bin_of, slot_of, first_of = _next_fit(length_G[order].tolist(), size)
    count = bin_of[-1] + 1 if bin_of else 0
    group_NP = np.full((count, SLOTS), -1, np.int32)
    group_NP[bin_of, slot_of] = order
    first_G = np.zeros(len(length_G), np.int64)
    slot_G = np.zeros(len(length_G), np.int32)
    first_G[order] = np.array(bin_of, np.int64) * size + np.array(first_of, np.int64)
    slot_G[order] = slot_of
    group_T, place_T = np.nonzero(mask)
    target_T = first_G[group_T] + (mask.cumsum(axis=1) - 1)[group_T, place_T]
    slot_NS = np.full(count * size, -1, np.int32)
    slot_NS[target_T] = slot_G[group_T]
    device = mask_GL.device
    return Bins(
        size=size,
        source_T=torch.from_numpy(group_T * mask.shape[1] + place_T).to(device),
        target_T=torch.from_numpy(target_T).to(device),
        slot_NS=torch.from_numpy(slot_NS.reshape(count, size)).to(device),
        group_NP=torch.from_numpy(group_NP).to(device),
    )


def _next_fit(lengths: list[int], size: int) -> tuple[list[int], list[int], list[int]]:
    """The bin, the slot and the first row of each group: a new bin begins whenever the next group no longer fits."""
    bin_of, slot_of, first_of = [], [], []
    number, slot, used = -1, SLOTS, size
    for length in lengths:
        if slot == SLOTS or used + length > size:
            number, slot, used = number + 1, 0, 0
        bin_of.append(number)
        slot_of.append(slot)
        first_of.append(used)
        slot, used = slot + 1, used + length
    return bin_of, slot_of, first_of
