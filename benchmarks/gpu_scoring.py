"""Cross-attention scores of all pairs on a GPU.

1,000 images of 36 regions against 5,000 captions of 8 to 20 words, width 1024, by the fused kernel: with products in
bf16, in TF32, and in TF32 with three passes, which is as exact as single precision. For comparison: the bare product of
all regions and words in the same precision (in single precision for the three passes), and the largest difference from
double precision on a subset. `coco` is 5,000 x 25,000 in bf16. `step` is the scores and their gradients for a batch of
128 images and 128 captions of 20 words by the kernel in bf16, compared with a loop over captions in single precision
that builds all attended features, as the implementation of SCAN does. Peaks are above the inputs.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import NamedTuple

import torch

from benchmarks.harness import Result, SkippedError, Target, alternate
from unboxed.attention.base import QueryEmbeddings, RegionEmbeddings
from unboxed.attention.cosine_attention import AttentionScorer
from unboxed.attention.normalize import l2_normalize
from unboxed.attention.scan import CrossAttention
from unboxed.attention.triton_scores import Precision, fused_scores, runs_on

TARGETS = (
    Target("t2i, 1,000 x 5,000, bf16", "t2i_bf16.milliseconds", "at most", 60, "ms"),
    Target("i2t, 1,000 x 5,000, bf16", "i2t_bf16.milliseconds", "at most", 60, "ms"),
    Target("t2i: share of the bare product in TF32", "t2i_tf32.product_share", "at least", 0.4),
    Target("i2t: share of the bare product in TF32", "i2t_tf32.product_share", "at least", 0.4),
    Target("5,000 x 25,000: peak above the inputs", "coco.peak_gb", "at most", 4, "GB"),
    Target("scores and gradients, batch 128, against the loop", "step.ratio", "at least", 15),
)

_WIDTH, _REGIONS = 1024, 36
_BLOCK = 250  # images of the bare product at a time; its result is overwritten


class _Pairs(NamedTuple):
    regions_BRD: torch.Tensor
    mask_BR: torch.Tensor
    queries_CQD: torch.Tensor
    mask_CQ: torch.Tensor


def measure(show: Callable[[str], None]) -> Result:
    """Milliseconds, gigabytes and shares.

    Raises:
        SkippedError: no GPU, or no triton.
    """
    if not torch.cuda.is_available():
        raise SkippedError("there is no GPU")
    os.environ["UNBOXED_TRITON"] = "1"  # the kernel is chosen only then
    if not runs_on(torch.empty(1, 1, 1, device="cuda"), torch.empty(1, 1, 1, device="cuda")):
        raise SkippedError("triton is not available for this GPU or this PyTorch")
    show(torch.cuda.get_device_name())
    result: Result = {}
    pairs = _random_pairs(1_000, 5_000, 8, 20)
    for direction in ("t2i", "i2t"):
        scorer = AttentionScorer.scan(direction)
        for precision in ("bf16", "tf32", "tf32x3"):
            result[f"{direction}_{precision}"] = _scoring(scorer, pairs, precision)
            show(f"{direction} {precision}: {result[f'{direction}_{precision}']['milliseconds']:.1f} ms")
    del pairs
    result["coco"] = _coco(AttentionScorer.scan("t2i"), _random_pairs(5_000, 25_000, 8, 20))
    result["step"] = _step(AttentionScorer.scan("t2i"), _random_pairs(128, 128, 20, 20))
    return result


def _scoring(scorer: AttentionScorer, pairs: _Pairs, precision: Precision) -> dict[str, float]:
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    regions_ND = pairs.regions_BRD.flatten(0, 1).to(dtype)
    words_DM = pairs.queries_CQD[pairs.mask_CQ].to(dtype).T.contiguous()
    product_NM = torch.empty(_BLOCK * _REGIONS, words_DM.shape[1], dtype=dtype, device="cuda")

    def product() -> None:
        for rows in torch.split(regions_ND, _BLOCK * _REGIONS):
            torch.matmul(rows, words_DM, out=product_NM[: len(rows)])

    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    try:
        seconds = alternate(
            {
                "fused": lambda: _synchronized(lambda: _fused(scorer, pairs, precision)),
                "product": lambda: _synchronized(product),
            },
            rounds=7,
        )
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before
    part = _Pairs(pairs.regions_BRD[:64], pairs.mask_BR[:64], pairs.queries_CQD[:200], pairs.mask_CQ[:200])
    regions = RegionEmbeddings((part.regions_BRD.double(),), part.mask_BR)
    queries = QueryEmbeddings((part.queries_CQD.double(),), part.mask_CQ)
    exact_BC = CrossAttention(1, 1, 1, scorer).align(regions, queries).score_BC
    return {
        "milliseconds": 1e3 * seconds["fused"],
        "product_milliseconds": 1e3 * seconds["product"],
        "product_share": seconds["product"] / seconds["fused"],
        "peak_gb": _peak_gb(lambda: _fused(scorer, pairs, precision)),
        "max_difference": float((_fused(scorer, part, precision) - exact_BC).abs().max()),
    }


def _coco(scorer: AttentionScorer, pairs: _Pairs) -> dict[str, float]:
    def scored() -> None:
        _synchronized(lambda: _fused(scorer, pairs, "bf16"))

    return {"seconds": alternate({"fused": scored}, rounds=3)["fused"], "peak_gb": _peak_gb(scored)}


def _step(scorer: AttentionScorer, pairs: _Pairs) -> dict[str, float]:
    """Scores and gradients of a batch; the loss is a fixed weighted sum of the scores."""
    pairs.regions_BRD.requires_grad_(), pairs.queries_CQD.requires_grad_()
    weight_BC = torch.randn(len(pairs.mask_BR), len(pairs.mask_CQ), device="cuda")

    def step(score: Callable[[], torch.Tensor]) -> None:
        torch.autograd.grad((score() * weight_BC).sum(), (pairs.regions_BRD, pairs.queries_CQD))

    def fused() -> None:
        step(lambda: fused_scores(scorer, *pairs, precision="bf16"))

    def loop() -> None:
        step(lambda: _loop(scorer, pairs))

    seconds = alternate({"fused": lambda: _synchronized(fused), "loop": lambda: _synchronized(loop)}, rounds=7)
    return {
        "milliseconds": 1e3 * seconds["fused"],
        "loop_milliseconds": 1e3 * seconds["loop"],
        "ratio": seconds["loop"] / seconds["fused"],
        "peak_gb": _peak_gb(fused),
        "loop_peak_gb": _peak_gb(loop),
    }


def _loop(scorer: AttentionScorer, pairs: _Pairs) -> torch.Tensor:
    """t2i scores as in the implementation of SCAN: caption by caption, with attended features of the joint width."""
    columns = []
    for words_QD, mask_Q in zip(pairs.queries_CQD, pairs.mask_CQ, strict=True):
        words_BQD = words_QD[mask_Q].expand(len(pairs.regions_BRD), -1, -1)
        raw_BRQ = torch.nn.functional.leaky_relu(pairs.regions_BRD @ words_BQD.transpose(1, 2), scorer.slope)
        scaled_BRQ = raw_BRQ / (raw_BRQ.norm(dim=2, keepdim=True) + 1e-8)
        attention_BQR = (scorer.sharpness * scaled_BRQ.transpose(1, 2)).softmax(dim=2)
        columns.append(torch.cosine_similarity(words_BQD, attention_BQR @ pairs.regions_BRD, dim=2).mean(dim=1))
    return torch.stack(columns, dim=1)


def _fused(scorer: AttentionScorer, pairs: _Pairs, precision: Precision) -> torch.Tensor:
    return fused_scores(scorer, *pairs, precision=precision)


def _synchronized(work: Callable[[], object]) -> None:
    work()
    torch.cuda.synchronize()


def _peak_gb(work: Callable[[], object]) -> float:
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    _synchronized(work)
    return (torch.cuda.max_memory_allocated() - before) / 1e9


def _random_pairs(images: int, captions: int, shortest: int, longest: int) -> _Pairs:
    """Random unit vectors; regions have no padding, lengths of captions are uniform."""
    rng = torch.Generator("cuda").manual_seed(0)
    regions_BRD = l2_normalize(torch.randn(images, _REGIONS, _WIDTH, generator=rng, device="cuda"))
    queries_CQD = l2_normalize(torch.randn(captions, longest, _WIDTH, generator=rng, device="cuda"))
    length_C = torch.randint(shortest, longest + 1, (captions,), generator=rng, device="cuda")
    mask_CQ = torch.arange(longest, device="cuda") < length_C[:, None]
    return _Pairs(regions_BRD, torch.ones(images, _REGIONS, dtype=torch.bool, device="cuda"), queries_CQD, mask_CQ)
