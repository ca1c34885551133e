"""The GPU kernel beside loops that build every attended vector, and beside `CrossAttention.align`, with gradients.

Where there is a GPU, the kernel runs on it. Elsewhere these tests run once more in their own process, in which Triton
interprets the kernel on the CPU: its arithmetic is tested, its machine code is not. (The interpreter must be chosen
before triton is first imported, which PyTorch may do in other tests.)
"""

from __future__ import annotations

import math
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from unboxed.attention import chunked_scores
from unboxed.attention.base import QueryEmbeddings, RegionEmbeddings
from unboxed.attention.cosine_attention import AttentionScorer
from unboxed.attention.normalize import l2_normalize
from unboxed.attention.scan import CrossAttention
from unboxed.attention.triton_scores import (
    Precision,
    _torch_precision,
    fused_scores,
    has_triton,
    plan_bins,
    runs_on,
    supports,
    why_not,
)

INTERPRETER = os.environ.get("TRITON_INTERPRET") == "1"
DEVICE = "cuda" if torch.cuda.is_available() and not INTERPRETER else "cpu"
HAS_TRITON = has_triton()
on_a_kernel = pytest.mark.skipif(
    not HAS_TRITON or not (INTERPRETER or torch.cuda.is_available()),
    reason="no GPU here: these run in the interpreter, in their own process" if HAS_TRITON else "no triton",
)

SCORERS = {
    "t2i mean": AttentionScorer.scan("t2i"),
    "t2i lse": AttentionScorer.scan("t2i", "lse"),
    "i2t mean": AttentionScorer.scan("i2t"),
    "i2t lse": AttentionScorer("i2t", sharpness=4, aggregation="lse", lse_sharpness=20),
    "both, steep": AttentionScorer("both", sharpness=20),
    "cosines as they are": AttentionScorer("t2i", slope=1),
}
every_scorer = pytest.mark.parametrize("scorer", SCORERS.values(), ids=SCORERS.keys())


@pytest.mark.skipif(not HAS_TRITON, reason='no triton: pip install "unboxed[triton]"')
@pytest.mark.skipif(DEVICE == "cuda" or INTERPRETER, reason="the kernel is tested in this process")
def test_the_kernel_is_right_in_the_interpreter() -> None:
    environment = {**os.environ, "TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__]
    finished = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stdout[-8000:]


def _vectors(
    counts_B: list[int], counts_C: list[int], seed: int = 0, width: int = 24
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Regions and words before they are scaled to unit length, in float64, and masks with holes at any place."""
    rng = torch.Generator().manual_seed(seed)
    most_R, most_W = max(max(counts_B), 1) + 2, max(max(counts_C), 1) + 1
    # A common part makes cosines of both signs and attended vectors that differ.
    inputs_BRV = torch.randn(len(counts_B), most_R, width, generator=rng, dtype=torch.float64) + 0.4
    states_CQH = torch.randn(len(counts_C), most_W, width, generator=rng, dtype=torch.float64) + 0.3

    def mask(counts: list[int], length: int) -> torch.Tensor:
        order = torch.rand(len(counts), length, generator=rng).argsort(dim=1)
        return order < torch.tensor(counts)[:, None]

    return inputs_BRV, mask(counts_B, most_R), states_CQH, mask(counts_C, most_W)


def _fused(
    scorer: AttentionScorer,
    vectors: tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor],
    precision: Precision = "tf32x3",
    block_bytes: int = 2**28,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Scores and the gradients of a weighted sum of them, back in float64 on the CPU."""
    inputs_BRV, mask_BR, states_CQH, mask_CQ = (tensor.to(DEVICE) for tensor in vectors)
    inputs_BRV, states_CQH = inputs_BRV.float().requires_grad_(), states_CQH.float().requires_grad_()
    score_BC = fused_scores(
        scorer,
        l2_normalize(inputs_BRV),
        mask_BR,
        l2_normalize(states_CQH),
        mask_CQ,
        precision=precision,
        block_bytes=block_bytes,
    )
    gradients = torch.autograd.grad((score_BC * _weight(score_BC)).sum(), (inputs_BRV, states_CQH))
    parts = (score_BC.detach(), *gradients)
    return parts[0].double().cpu(), parts[1].double().cpu(), parts[2].double().cpu()


def _core(
    scorer: AttentionScorer, vectors: tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The same of the PyTorch core, in float64."""
    inputs_BRV, mask_BR, states_CQH, mask_CQ = vectors
    inputs_BRV, states_CQH = inputs_BRV.clone().requires_grad_(), states_CQH.clone().requires_grad_()
    regions, queries = (
        RegionEmbeddings((l2_normalize(inputs_BRV),), mask_BR),
        QueryEmbeddings((l2_normalize(states_CQH),), mask_CQ),
    )
    score_BC = CrossAttention(1, 1, 1, scorer).align(regions, queries).score_BC
    gradients = torch.autograd.grad((score_BC * _weight(score_BC)).sum(), (inputs_BRV, states_CQH))
    return score_BC.detach(), gradients[0], gradients[1]


def _weight(score_BC: torch.Tensor) -> torch.Tensor:
    rng = torch.Generator().manual_seed(1)
    return torch.randn(score_BC.shape, generator=rng, dtype=torch.float64).to(score_BC)


def _loop(scorer: AttentionScorer, contexts_KD: torch.Tensor, queries_QD: torch.Tensor) -> float:
    """The score of one pair by SCAN's formulas; for `i2t`, the words are the contexts."""
    rows = []
    for context in contexts_KD:
        row = torch.stack([context @ query for query in queries_QD])
        row = torch.where(row > 0, row, scorer.slope * row)
        rows.append(row / row.norm())
    weights_QK = (scorer.sharpness * torch.stack(rows).T).softmax(dim=1)
    found = [
        query @ (a @ contexts_KD) / (a @ contexts_KD).norm() for query, a in zip(queries_QD, weights_QK, strict=True)
    ]
    if scorer.aggregation == "lse":
        return math.log(sum(math.exp(scorer.lse_sharpness * r) for r in found)) / scorer.lse_sharpness
    return float(sum(found) / len(found))


@on_a_kernel
@every_scorer
def test_scores_equal_a_loop_that_builds_every_attended_vector(scorer: AttentionScorer) -> None:
    inputs_BRV, mask_BR, states_CQH, mask_CQ = vectors = _vectors([5, 2, 1], [6, 3, 1, 4])
    score_BC, _, _ = _fused(scorer, vectors)
    for b, c in np.ndindex(3, 4):
        regions_RD, words_QD = l2_normalize(inputs_BRV[b, mask_BR[b]]), l2_normalize(states_CQH[c, mask_CQ[c]])
        expected = 0.0
        if "t2i" in scorer.directions:
            expected += _loop(scorer, regions_RD, words_QD)
        if "i2t" in scorer.directions:
            expected += _loop(scorer, words_QD, regions_RD)
        assert float(score_BC[b, c]) == pytest.approx(expected, abs=2e-6)


def _assert_near(fused: tuple[torch.Tensor, ...], core: tuple[torch.Tensor, ...]) -> None:
    """Scores to two millionths; gradients to what the core itself reaches in single precision."""
    torch.testing.assert_close(fused[0], core[0], rtol=0, atol=2e-6)
    for gradient, exact in zip(fused[1:], core[1:], strict=True):
        torch.testing.assert_close(gradient, exact, rtol=0, atol=1e-5)


@on_a_kernel
@every_scorer
def test_scores_and_gradients_equal_the_core_over_several_ragged_bins(scorer: AttentionScorer) -> None:
    # 36 regions go three to a bin; 20 captions are more than a bin has slots; one is empty, and one image.
    vectors = _vectors([36, 36, 36, 0, 11], [9, 5, 1, 0, *[3] * 16])
    fused = _fused(scorer, vectors)
    _assert_near(fused, _core(scorer, vectors))
    assert (fused[0][3] == 0).all() and (fused[0][:, 3] == 0).all()


@on_a_kernel
@pytest.mark.parametrize(("counts_B", "counts_C"), [([7], [5]), ([1], [1]), ([128, 4], [64, 65]), ([3], [0])])
def test_one_image_one_caption_one_word_and_the_longest(counts_B: list[int], counts_C: list[int]) -> None:
    inputs_BRV, mask_BR, states_CQH, mask_CQ = _vectors(counts_B, counts_C)
    keep = mask_BR.float().argsort(dim=1, descending=True, stable=True)[:, :128].sort(dim=1).values
    inputs_BRV = inputs_BRV.gather(1, keep[..., None].expand(-1, -1, inputs_BRV.shape[2]))
    vectors = inputs_BRV, mask_BR.gather(1, keep), states_CQH, mask_CQ
    for scorer in (SCORERS["t2i mean"], SCORERS["i2t lse"]):
        _assert_near(_fused(scorer, vectors), _core(scorer, vectors))


@on_a_kernel
def test_padding_may_hold_anything() -> None:
    inputs_BRV, mask_BR, states_CQH, mask_CQ = vectors = _vectors([5, 2], [6, 3])
    noisy = (
        inputs_BRV.masked_fill(~mask_BR[..., None], math.nan), mask_BR,
        states_CQH.masked_fill(~mask_CQ[..., None], math.nan), mask_CQ,
    )  # fmt: skip
    assert torch.equal(_fused(SCORERS["both, steep"], noisy)[0], _fused(SCORERS["both, steep"], vectors)[0])


@on_a_kernel
def test_rows_of_zeros_and_contents_that_cancel_have_finite_gradients() -> None:
    inputs_BRV, mask_BR, states_CQH, mask_CQ = _vectors([4, 4], [3, 3])
    inputs_BRV[0], states_CQH[0] = 0, 0
    inputs_BRV[1, 1::2] = -inputs_BRV[1, ::2]  # with weights that tie, next to nothing is left of them
    for scorer in (SCORERS["t2i mean"], SCORERS["i2t lse"], AttentionScorer("t2i", sharpness=1e-3)):
        fused = _fused(scorer, (inputs_BRV, mask_BR, states_CQH, mask_CQ))
        assert all(torch.isfinite(part).all() for part in fused)


@on_a_kernel
def test_gradients_do_not_depend_on_the_block_of_the_backward_pass() -> None:
    vectors, scorer = _vectors([36, 36, 36, 11], [9, 4]), SCORERS["t2i mean"]
    for whole, blocks in zip(_fused(scorer, vectors), _fused(scorer, vectors, block_bytes=1), strict=True):
        torch.testing.assert_close(whole, blocks, rtol=0, atol=1e-6)


@on_a_kernel
@pytest.mark.parametrize(("precision", "score_error", "gradient_error"), [("tf32", 2e-3, 0.02), ("bf16", 5e-3, 0.04)])
def test_narrow_products_stay_near(precision: Precision, score_error: float, gradient_error: float) -> None:
    vectors = _vectors([36, 20], [9, 12, 4], width=100)
    fused, core = _fused(SCORERS["t2i mean"], vectors, precision), _core(SCORERS["t2i mean"], vectors)
    torch.testing.assert_close(fused[0], core[0], rtol=0, atol=score_error)
    for rough, exact in zip(fused[1:], core[1:], strict=True):
        assert float((rough - exact).norm() / exact.norm()) < gradient_error


@on_a_kernel
def test_all_pairs_are_scored_by_the_kernel_where_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunked_scores, "runs_on", lambda regions_BRD, queries_CQD: True)
    vectors = _vectors([5, 2], [6, 3])
    inputs_BRV, mask_BR, states_CQH, mask_CQ = (tensor.to(DEVICE) for tensor in vectors)
    for scorer, direct in (
        (SCORERS["t2i mean"], _fused(SCORERS["t2i mean"], vectors)[0]),
        (AttentionScorer.bfan("prob"), _core(AttentionScorer.bfan("prob"), vectors)[0]),
    ):
        score_BC = chunked_scores.score_matrix(
            scorer, l2_normalize(inputs_BRV.float()), mask_BR, l2_normalize(states_CQH.float()), mask_CQ
        )
        torch.testing.assert_close(score_BC.double().cpu(), direct, rtol=0, atol=2e-6)


def test_other_choices_are_refused_and_say_why() -> None:
    assert all(supports(scorer) for scorer in SCORERS.values())
    one = torch.ones(1, 1, 4), torch.ones(1, 1, dtype=torch.bool)
    for scorer, reason in (
        (AttentionScorer.bfan("prob"), "focal"),
        (AttentionScorer.pfan("t2i"), "bonus"),
        (AttentionScorer(norm="softmax"), "norm"),
        (AttentionScorer(aggregation="max"), "aggregation"),
        (AttentionScorer(sharpness=100), "sharpness"),
        (replace(SCORERS["t2i lse"], lse_sharpness=100), "lse_sharpness"),
    ):
        assert not supports(scorer) and reason in why_not(scorer)
        with pytest.raises(ValueError, match="score_matrix"):
            fused_scores(scorer, *one, *one)
    assert not runs_on(one[0], one[0])  # on the CPU the core is faster


def test_the_precision_follows_torch_and_the_vectors(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = [torch.zeros(1, 1, 4)]
    for named, expected in (("highest", "tf32x3"), ("high", "tf32"), ("medium", "bf16")):
        monkeypatch.setattr(torch, "get_float32_matmul_precision", lambda named=named: named)
        assert _torch_precision(vectors) == expected
    monkeypatch.undo()
    assert _torch_precision([vectors[0].half()]) == "bf16"
    with torch.autocast("cpu"):
        assert _torch_precision(vectors) == "bf16"


def test_more_rows_than_a_bin_has_are_refused() -> None:
    few, many = torch.ones(1, 3, 4), torch.ones(1, 129, 4)
    masks = torch.ones(1, 3, dtype=torch.bool), torch.ones(1, 129, dtype=torch.bool)
    with pytest.raises(ValueError, match="128 rows a group, not 129"):
        fused_scores(SCORERS["t2i mean"], many, masks[1], few, masks[0])


def test_bins_hold_every_real_row_once_and_whole_groups() -> None:
    lengths = [5, 0, 9, 1, *[2] * 40, 16]
    mask = torch.arange(16) < torch.tensor(lengths)[:, None]
    bins = plan_bins(mask, 16)
    rows = torch.arange(mask.numel(), dtype=torch.float32).view(*mask.shape, 1) + 1
    packed = bins.packed(rows, 3, torch.float32)
    assert packed.shape == (len(bins) * 16, 3) and not packed[:, 1:].any()
    found = {}
    for number, slots in enumerate(bins.slot_NS):
        for slot, group in enumerate(bins.group_NP[number].tolist()):
            if group >= 0:
                found[group] = packed[number * 16 : number * 16 + 16, 0][slots == slot].tolist()
    assert found == {g: rows[g, :length, 0].tolist() for g, length in enumerate(lengths) if length}
    assert int((bins.slot_NS < 0).sum()) == len(bins) * 16 - sum(lengths) == int((packed[:, 0] == 0).sum())
    with pytest.raises(ValueError, match="16 rows; a bin has 8"):
        plan_bins(mask, 8)
