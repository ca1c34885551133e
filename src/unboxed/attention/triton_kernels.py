"""The Triton kernels of `triton_scores`, where their design is described. Importing this module needs triton.

Axis letters: M rows of the tile, queries; N columns, contexts; P slots, the groups (captions, images) of a bin. The
functions are compiled for the GPU, or run by Triton's interpreter if TRITON_INTERPRET=1 is set before the import.
"""

from __future__ import annotations

import os

import triton
import triton.language as tl

__all__ = ["INTERPRETED", "backward_kernel", "forward_kernel"]

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"


@triton.jit
def _times(left, right, total, WIDEN: tl.constexpr):
    """`total + left @ right` of bfloat16 in float32."""
    if WIDEN:  # the interpreter multiplies bfloat16 as if it were integers; these products are exact in float32
        return tl.dot(left.to(tl.float32), right.to(tl.float32), total, input_precision="ieee")
    return tl.dot(left, right, total)


@triton.jit
def _over_contexts(value_MN, member_NP, M: tl.constexpr, P: tl.constexpr, TERMS: tl.constexpr, WIDEN: tl.constexpr):
    """Sums over the contexts of each group, `[M, P]`; the values as TERMS bfloat16 that add up to them."""
    sum_MP = tl.zeros((M, P), tl.float32)
    for term in tl.static_range(TERMS):
        part_MN = value_MN.to(tl.bfloat16)
        sum_MP = _times(part_MN, member_NP, sum_MP, WIDEN)
        if term < TERMS - 1:
            value_MN -= part_MN.to(tl.float32)
    return sum_MP


@triton.jit
def _over_queries(value_MN, member_PM, P: tl.constexpr, N: tl.constexpr, TERMS: tl.constexpr, WIDEN: tl.constexpr):
    """Sums over the queries of each group, `[P, N]`."""
    sum_PN = tl.zeros((P, N), tl.float32)
    for term in tl.static_range(TERMS):
        part_MN = value_MN.to(tl.bfloat16)
        sum_PN = _times(member_PM, part_MN, sum_PN, WIDEN)
        if term < TERMS - 1:
            value_MN -= part_MN.to(tl.float32)
    return sum_PN


@triton.jit
def _to_queries(value_PN, member_MP, M: tl.constexpr, N: tl.constexpr, WIDEN: tl.constexpr):
    """Each group's value at all of its queries, `[M, N]`: exact, for three bfloat16 hold a float32."""
    value_MN = tl.zeros((M, N), tl.float32)
    for _ in tl.static_range(3):
        part_PN = value_PN.to(tl.bfloat16)
        value_MN = _times(member_MP, part_PN, value_MN, WIDEN)
        value_PN -= part_PN.to(tl.float32)
    return value_MN


@triton.jit
def _to_contexts(value_MP, member_PN, M: tl.constexpr, N: tl.constexpr, WIDEN: tl.constexpr):
    """Each group's value at all of its contexts, `[M, N]`; exact."""
    value_MN = tl.zeros((M, N), tl.float32)
    for _ in tl.static_range(3):
        part_MP = value_MP.to(tl.bfloat16)
        value_MN = _times(part_MP, member_PN, value_MN, WIDEN)
        value_MP -= part_MP.to(tl.float32)
    return value_MN


@triton.jit
def _spread(weight_MN, gram_ptr, context_bin, M: tl.constexpr, N: tl.constexpr, TERMS: tl.constexpr,
            WIDEN: tl.constexpr):  # fmt: skip
    """Weights times the Gram matrix, both as TERMS bfloat16; products of two small terms are below rounding."""
    column_N = tl.arange(0, N)
    # Symmetric: read with the inner axis next to each other, as the matrix units want it.
    gram_ptrs = gram_ptr + context_bin.to(tl.int64) * TERMS * N * N + column_N[:, None] + column_N[None, :] * N
    spread_MN = tl.zeros((M, N), tl.float32)
    for term in tl.static_range(TERMS):
        part_MN = weight_MN.to(tl.bfloat16)
        for other in tl.static_range(TERMS - term):
            spread_MN = _times(part_MN, tl.load(gram_ptrs + other * N * N), spread_MN, WIDEN)
        if term < TERMS - 1:
            weight_MN -= part_MN.to(tl.float32)
    return spread_MN


@triton.jit
def _members(slot_ptr, bin_number, size: tl.constexpr, P: tl.constexpr):
    """The slot of each row of a bin, and the 0/1 matrices of rows and slots and of slots and rows, in bfloat16."""
    slot_S = tl.load(slot_ptr + bin_number * size + tl.arange(0, size))
    member_SP = (slot_S[:, None] == tl.arange(0, P)[None, :]).to(tl.float32).to(tl.bfloat16)
    member_PS = (tl.arange(0, P)[:, None] == slot_S[None, :]).to(tl.float32).to(tl.bfloat16)
    return slot_S, member_SP, member_PS


@triton.jit
def _tile(
    query_ptr, context_ptr, gram_ptr, member_MP, member_PM, context_slot_N, member_NP,
    query_bin, context_bin, width, slope, sharpness,
    M: tl.constexpr, N: tl.constexpr, P: tl.constexpr, BLOCK: tl.constexpr,
    DOT: tl.constexpr, TERMS: tl.constexpr, GRAM_TERMS: tl.constexpr, WIDEN: tl.constexpr,
):  # fmt: skip
    """Cosines, raw attention weights, and the sums that scores and gradients are computed from."""
    inner = tl.arange(0, BLOCK)
    queries = query_ptr + (query_bin.to(tl.int64) * M + tl.arange(0, M))[:, None] * width + inner[None, :]
    contexts = context_ptr + (context_bin.to(tl.int64) * N + tl.arange(0, N))[None, :] * width + inner[:, None]
    cosine_MN = tl.zeros((M, N), tl.float32)
    for _ in range(0, width, BLOCK):
        query = tl.load(queries)
        context = tl.load(contexts)
        if WIDEN:
            query = query.to(tl.float32)
            context = context.to(tl.float32)
        cosine_MN = tl.dot(query, context, cosine_MN, input_precision=DOT)
        queries += BLOCK
        contexts += BLOCK

    # Scale each context's clipped cosines to unit length over the queries of each caption (or image) in the bin.
    clipped_MN = tl.where(cosine_MN > 0, cosine_MN, cosine_MN * slope)
    square_PN = _over_queries(clipped_MN * clipped_MN, member_PM, P, N, TERMS, WIDEN)
    inverse_PN = tl.rsqrt(tl.maximum(square_PN, 1e-16))
    scale_MN = _to_queries(inverse_PN * sharpness, member_MP, M, N, WIDEN)

    # No logit exceeds the sharpness. The cosine of query and attended vector does not depend on the sum of the weights.
    weight_MN = tl.exp(clipped_MN * scale_MN - sharpness)
    weight_MN = tl.where((context_slot_N >= 0)[None, :], weight_MN, 0.0)
    total_MP = _over_contexts(weight_MN, member_NP, M, P, TERMS, WIDEN)
    share_MP = tl.where(total_MP > 0, 1.0 / tl.maximum(total_MP, 1e-37), 0.0)
    product_MP = _over_contexts(weight_MN * cosine_MN, member_NP, M, P, TERMS, WIDEN) * share_MP
    spread_MN = _spread(weight_MN, gram_ptr, context_bin, M, N, GRAM_TERMS, WIDEN)
    length_MP = _over_contexts(weight_MN * spread_MN, member_NP, M, P, TERMS, WIDEN) * share_MP * share_MP
    return cosine_MN, scale_MN, square_PN, inverse_PN, weight_MN, spread_MN, share_MP, product_MP, length_MP


@triton.jit
def _places(query_group_ptr, context_group_ptr, query_bin, context_bin, query_count, P: tl.constexpr):
    """The places of the tile's scores in the matrix [context groups, query groups], and which of them exist."""
    slot_P = tl.arange(0, P)
    query_P = tl.load(query_group_ptr + query_bin * P + slot_P)
    context_P = tl.load(context_group_ptr + context_bin * P + slot_P)
    place_PP = context_P[None, :].to(tl.int64) * query_count + query_P[:, None]
    return place_PP, (query_P >= 0)[:, None] & (context_P >= 0)[None, :]


@triton.jit
def forward_kernel(
    score_ptr, query_ptr, context_ptr, gram_ptr,
    query_slot_ptr, context_slot_ptr, query_group_ptr, context_group_ptr,
    query_bins, context_bins, query_count, width, slope, sharpness, lse_sharpness,
    M: tl.constexpr, N: tl.constexpr, P: tl.constexpr, BLOCK: tl.constexpr, NEAR: tl.constexpr, SMALLEST: tl.constexpr,
    LSE: tl.constexpr, DOT: tl.constexpr, TERMS: tl.constexpr, GRAM_TERMS: tl.constexpr, WIDEN: tl.constexpr,
):  # fmt: skip
    """Stores the scores of one tile. Programs that run together share NEAR bins of queries, which stay in the L2."""
    program = tl.program_id(0)
    strip = program // (NEAR * context_bins)
    height = tl.minimum(query_bins - strip * NEAR, NEAR)
    query_bin = strip * NEAR + (program % (NEAR * context_bins)) % height
    context_bin = (program % (NEAR * context_bins)) // height
    _, member_MP, member_PM = _members(query_slot_ptr, query_bin, M, P)
    context_slot_N, member_NP, _ = _members(context_slot_ptr, context_bin, N, P)
    _, _, _, _, _, _, _, product_MP, length_MP = _tile(
        query_ptr, context_ptr, gram_ptr, member_MP, member_PM, context_slot_N, member_NP,
        query_bin, context_bin, width, slope, sharpness, M, N, P, BLOCK, DOT, TERMS, GRAM_TERMS, WIDEN,
    )  # fmt: skip
    found_MP = product_MP * tl.rsqrt(tl.maximum(length_MP, SMALLEST))
    if LSE:
        power_MP = tl.exp((found_MP - 1) * lse_sharpness)
        sum_PP = _over_queries(power_MP, member_PM, P, P, 3, WIDEN)
        score_PP = tl.log(tl.maximum(sum_PP, 1e-37)) / lse_sharpness + 1
    else:
        count_P = tl.maximum(tl.sum(member_PM.to(tl.float32), axis=1), 1)
        score_PP = _over_queries(found_MP, member_PM, P, P, 3, WIDEN) / count_P[:, None]
    place_PP, there_PP = _places(query_group_ptr, context_group_ptr, query_bin, context_bin, query_count, P)
    tl.store(score_ptr + place_PP, score_PP, mask=there_PP)


@triton.jit
def backward_kernel(
    cosine_grad_ptr, attention_ptr, scaled_ptr, score_grad_ptr, query_ptr, context_ptr, gram_ptr,
    query_slot_ptr, context_slot_ptr, query_group_ptr, context_group_ptr,
    query_bins, first_context_bin, columns, query_count, width, slope, sharpness, lse_sharpness,
    M: tl.constexpr, N: tl.constexpr, P: tl.constexpr, BLOCK: tl.constexpr, SMALLEST: tl.constexpr,
    LSE: tl.constexpr, DOT: tl.constexpr, TERMS: tl.constexpr, GRAM_TERMS: tl.constexpr, WIDEN: tl.constexpr,
):  # fmt: skip
    """Recomputes the tile and stores three tiles for the products outside the kernel.

    Stored at the tile's place in `[all queries, columns]`: the gradient of the cosines; the attention weights; and the
    attention weights times the gradient of the squared length of the attended vector.
    """
    program = tl.program_id(0)
    query_bin = program % query_bins
    block = program // query_bins
    context_bin = first_context_bin + block
    _, member_MP, member_PM = _members(query_slot_ptr, query_bin, M, P)
    context_slot_N, member_NP, member_PN = _members(context_slot_ptr, context_bin, N, P)
    cosine_MN, scale_MN, square_PN, inverse_PN, weight_MN, spread_MN, share_MP, product_MP, length_MP = _tile(
        query_ptr, context_ptr, gram_ptr, member_MP, member_PM, context_slot_N, member_NP,
        query_bin, context_bin, width, slope, sharpness, M, N, P, BLOCK, DOT, TERMS, GRAM_TERMS, WIDEN,
    )  # fmt: skip
    root_MP = tl.rsqrt(tl.maximum(length_MP, SMALLEST))

    # Gradients of each query's cosine with its attended vector, and of the two sums that it is computed from.
    place_PP, there_PP = _places(query_group_ptr, context_group_ptr, query_bin, context_bin, query_count, P)
    score_grad_PP = tl.load(score_grad_ptr + place_PP, mask=there_PP, other=0.0)
    if LSE:
        power_MP = tl.exp((product_MP * root_MP - 1) * lse_sharpness)
        sum_PP = _over_queries(power_MP, member_PM, P, P, 3, WIDEN)
        found_grad_MP = power_MP * _to_queries(score_grad_PP / tl.maximum(sum_PP, 1e-37), member_MP, M, P, WIDEN)
    else:
        count_P = tl.maximum(tl.sum(member_PM.to(tl.float32), axis=1), 1)
        found_grad_MP = _to_queries(score_grad_PP / count_P[:, None], member_MP, M, P, WIDEN)
    product_grad_MP = found_grad_MP * root_MP
    length_grad_MP = -0.5 * found_grad_MP * product_MP * root_MP * root_MP * root_MP
    length_grad_MP = tl.where(length_MP > SMALLEST, length_grad_MP, 0.0)
    # The mean of the attention's gradient under the attention needs no further sum over contexts.
    mean_MP = product_grad_MP * product_MP + 2 * length_grad_MP * length_MP

    kind = cosine_grad_ptr.dtype.element_ty
    row_M = query_bin.to(tl.int64) * M + tl.arange(0, M)
    place_MN = row_M[:, None] * columns + block * N + tl.arange(0, N)[None, :]
    length_grad_MN = _to_contexts(length_grad_MP * share_MP, member_PN, M, N, WIDEN)
    tl.store(scaled_ptr + place_MN, (weight_MN * length_grad_MN).to(kind))
    attention_grad_MN = 2 * length_grad_MN * spread_MN
    attention_MN = weight_MN * _to_contexts(share_MP, member_PN, M, N, WIDEN)
    tl.store(attention_ptr + place_MN, attention_MN.to(kind))
    product_grad_MN = _to_contexts(product_grad_MP, member_PN, M, N, WIDEN)
    attention_grad_MN += product_grad_MN * cosine_MN
    attention_grad_MN -= _to_contexts(mean_MP, member_PN, M, N, WIDEN)
    logit_grad_MN = attention_MN * attention_grad_MN  # through the softmax

    # Through the scaling to unit length, which involves all queries of a group, and the slope.
    slope_MN = tl.where(cosine_MN > 0, 1.0, slope)
    clipped_MN = cosine_MN * slope_MN
    scale_grad_PN = _over_queries(logit_grad_MN * clipped_MN, member_PM, P, N, TERMS, WIDEN) * sharpness
    square_grad_PN = -0.5 * scale_grad_PN * inverse_PN * inverse_PN * inverse_PN
    square_grad_PN = tl.where(square_PN > 1e-16, square_grad_PN, 0.0)
    clipped_grad_MN = scale_MN * logit_grad_MN + 2 * clipped_MN * _to_queries(square_grad_PN, member_MP, M, N, WIDEN)
    cosine_grad_MN = product_grad_MN * attention_MN + clipped_grad_MN * slope_MN
    tl.store(cosine_grad_ptr + place_MN, cosine_grad_MN.to(kind))
