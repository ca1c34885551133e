"""SCAN, BFAN and PFAN beside loops over captions, queries and contexts that build every attended vector."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Literal

import pytest
import torch

from unboxed.attention.base import QueryEmbeddings, RegionEmbeddings
from unboxed.attention.cosine_attention import AttentionScorer, focal_mask
from unboxed.attention.normalize import l2_normalize
from unboxed.attention.scan import CrossAttention, ProjectedQueries, ProjectedRegions


def normalized(norm: str, row: torch.Tensor) -> torch.Tensor:
    """The cosines of one context with all queries, as `raw_feature_norm` of SCAN's code replaces them."""
    if norm == "softmax":
        return row.softmax(dim=0)
    if norm.endswith("l1norm"):
        return row / row.abs().sum()
    return row / row.square().sum().sqrt().clamp(min=1e-8) if norm.endswith("l2norm") else row


def attend(scorer: AttentionScorer, queries: torch.Tensor, contexts: torch.Tensor) -> torch.Tensor:
    """Weights `[q, k]`, as SCAN's steps 1 to 3 and BFAN's focal rule describe them."""
    rows = []
    for context in contexts:
        row = torch.stack([context @ query for query in queries])
        row = torch.where(row > 0, row, scorer.slope * row) if "clipped" in scorer.norm else row
        rows.append(normalized(scorer.norm, row))
    weights = (scorer.sharpness * torch.stack(rows).T).softmax(dim=1)
    if scorer.focal == "none":
        return weights
    kept = []
    for a in weights:
        g = torch.ones_like(a) if scorer.focal == "equal" else a.sqrt()
        focal = ((a[:, None] - a[None, :]) * g[None, :]).sum(dim=1)  # the outer-product form
        mask = (focal > 1e-12).to(a.dtype) if (focal > 1e-12).any() else torch.ones_like(a)
        kept.append(mask.detach() * a / (mask.detach() * a).sum())
    return torch.stack(kept)


def cosines(queries: torch.Tensor, attended: torch.Tensor) -> torch.Tensor:
    return torch.stack([q @ c / (q.norm() * c.norm()).clamp(min=1e-8) for q, c in zip(queries, attended, strict=True)])


def aggregate(scorer: AttentionScorer, values: torch.Tensor) -> torch.Tensor:
    if scorer.aggregation == "lse":
        return (scorer.lse_sharpness * values).exp().sum().log() / scorer.lse_sharpness
    return {"mean": values.mean, "sum": values.sum, "max": values.max}[scorer.aggregation]()


def score(scorer: AttentionScorer, regions: torch.Tensor, words: torch.Tensor) -> torch.Tensor:
    """The score of one image and one caption, given without padding."""
    total = words.new_zeros(())
    if scorer.direction in ("t2i", "both"):
        weights = attend(scorer, words, regions)
        total = total + aggregate(scorer, cosines(words, weights @ regions))
        if scorer.bonus:
            total = total + scorer.bonus * aggregate(scorer, weights.max(dim=1).values)
    if scorer.direction in ("i2t", "both"):
        weights = attend(scorer, regions, words)
        total = total + aggregate(scorer, cosines(regions, weights @ words))
    return total


SCORERS = {
    "scan t2i mean": AttentionScorer.scan("t2i"),
    "scan t2i lse": AttentionScorer.scan("t2i", "lse"),
    "scan t2i max": AttentionScorer.scan("t2i", "max"),
    "scan i2t mean": AttentionScorer.scan("i2t"),
    "scan i2t lse": AttentionScorer.scan("i2t", "lse"),
    "scan i2t sum": AttentionScorer.scan("i2t", "sum"),
    "scan softmax": AttentionScorer("both", norm="softmax"),
    "scan l2norm": AttentionScorer("both", norm="l2norm"),
    "scan l1norm": AttentionScorer("both", norm="l1norm"),
    "scan clipped l1norm": AttentionScorer("both", norm="clipped_l1norm"),
    "scan no norm": AttentionScorer("both", norm="no_norm"),
    "scan clipped": AttentionScorer("both", norm="clipped"),
    "bfan equal": AttentionScorer.bfan("equal"),
    "bfan prob": AttentionScorer.bfan("prob"),
    "pfan t2i": AttentionScorer.pfan("t2i"),
    "pfan t2i lse": replace(AttentionScorer.pfan("t2i"), aggregation="lse"),
    "pfan i2t": AttentionScorer.pfan("i2t"),
}
REGIONS, WORDS = [5, 2, 1], [6, 3, 1, 4]
every_scorer = pytest.mark.parametrize("scorer", SCORERS.values(), ids=SCORERS.keys())


def _embeddings(seed: int = 0) -> tuple[RegionEmbeddings, QueryEmbeddings]:
    rng = torch.Generator().manual_seed(seed)
    # A common part makes cosines of both signs and attended vectors that differ.
    regions_BRD = l2_normalize(torch.randn(3, 5, 8, generator=rng, dtype=torch.float64) + 0.5)
    words_CQD = l2_normalize(torch.randn(4, 6, 8, generator=rng, dtype=torch.float64) + 0.3)
    region_mask_BR = torch.arange(5) < torch.tensor(REGIONS)[:, None]
    word_mask_CQ = torch.arange(6) < torch.tensor(WORDS)[:, None]
    return RegionEmbeddings((regions_BRD,), region_mask_BR), QueryEmbeddings((words_CQD,), word_mask_CQ)


def _model(scorer: AttentionScorer) -> CrossAttention:
    return CrossAttention(7, 9, joint_width=8, scorer=scorer).double()


@every_scorer
@pytest.mark.parametrize("way", ["align", "scores"])
def test_scores_and_gradients_equal_loops_that_build_every_content(scorer: AttentionScorer, way: str) -> None:
    regions, words = _embeddings()
    # Gradients are compared where they arrive: before vectors are scaled to unit length, which the fast path relies on.
    inputs = (2 * regions.tensors[0]).requires_grad_(), (3 * words.tensors[0]).requires_grad_()
    regions, words = (
        regions._replace(tensors=(l2_normalize(inputs[0]),)),
        words._replace(tensors=(l2_normalize(inputs[1]),)),
    )
    model = _model(scorer)
    fast_BC = model.scores(regions, words) if way == "scores" else model.align(regions, words).score_BC
    rows = [[score(scorer, regions.tensors[0][b, :r], words.tensors[0][c, :w]) for c, w in enumerate(WORDS)]
            for b, r in enumerate(REGIONS)]  # fmt: skip
    slow_BC = torch.stack([torch.stack(row) for row in rows])
    torch.testing.assert_close(fast_BC, slow_BC, rtol=0, atol=1e-10)
    weight_BC = torch.randn(3, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    for fast, slow in zip(
        torch.autograd.grad((fast_BC * weight_BC).sum(), inputs, retain_graph=True),
        torch.autograd.grad((slow_BC * weight_BC).sum(), inputs),
        strict=True,
    ):
        torch.testing.assert_close(fast, slow, rtol=0, atol=1e-9)


@every_scorer
def test_single_precision_stays_within_a_millionth(scorer: AttentionScorer) -> None:
    regions, words = _embeddings(3)
    exact_BC = _model(scorer).align(regions, words).score_BC
    regions, words = (
        RegionEmbeddings((regions.tensors[0].float(),), regions.mask_BR),
        words._replace(tensors=(words.tensors[0].float(),)),
    )
    torch.testing.assert_close(_model(scorer).align(regions, words).score_BC.double(), exact_BC, rtol=0, atol=2e-6)


@every_scorer
def test_each_caption_with_its_own_image_equals_the_diagonal_of_all_pairs(scorer: AttentionScorer) -> None:
    regions, words = _embeddings()
    image_of_C, caption_C = torch.tensor([2, 0, 0, 1]), torch.arange(4)
    model = _model(scorer)
    prior_BCQR = torch.randn(3, 4, 6, 5, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    everything = model.align(regions, words, prior_BCQR=prior_BCQR)
    paired = model.align(regions.of(image_of_C), words, paired=True, prior_BCQR=prior_BCQR[image_of_C, caption_C][None])
    for alone, among in zip(paired, everything, strict=True):
        torch.testing.assert_close(alone[0], among[image_of_C, caption_C])


@every_scorer
def test_permuting_images_and_captions_permutes_the_matrix(scorer: AttentionScorer) -> None:
    regions, words = _embeddings()
    image_B, caption_C = torch.tensor([1, 2, 0]), torch.tensor([3, 1, 0, 2])
    score_BC = _model(scorer).align(regions, words).score_BC
    permuted = QueryEmbeddings((words.tensors[0][caption_C],), words.mask_CQ[caption_C])
    permuted_BC = _model(scorer).align(regions.of(image_B), permuted).score_BC
    torch.testing.assert_close(permuted_BC, score_BC[image_B][:, caption_C])


@every_scorer
def test_one_image_and_one_caption_of_any_length(scorer: AttentionScorer) -> None:
    regions, words = _embeddings()
    all_BC = _model(scorer).align(regions, words).score_BC
    for b, r in enumerate(REGIONS):
        for c, w in enumerate(WORDS):
            alone = RegionEmbeddings((regions.tensors[0][b : b + 1, :r],), torch.ones(1, r, dtype=torch.bool))
            caption = QueryEmbeddings((words.tensors[0][c : c + 1, :w],), torch.ones(1, w, dtype=torch.bool))
            score_11 = _model(scorer).align(alone, caption).score_BC
            assert score_11.shape == (1, 1)
            torch.testing.assert_close(score_11[0, 0], all_BC[b, c])


@every_scorer
def test_padding_changes_nothing_even_if_it_is_not_a_number(scorer: AttentionScorer) -> None:
    regions, words = _embeddings()
    expected = _model(scorer).align(regions, words).score_BC
    for filler in (1e3, math.nan):
        noisy_regions = regions._replace(tensors=(regions.tensors[0].masked_fill(~regions.mask_BR[..., None], filler),))
        noisy_words = words._replace(tensors=(words.tensors[0].masked_fill(~words.mask_CQ[..., None], filler),))
        torch.testing.assert_close(_model(scorer).align(noisy_regions, noisy_words).score_BC, expected, rtol=0, atol=0)


@every_scorer
def test_rows_of_zeros_identical_regions_and_captions_without_queries_have_finite_gradients(
    scorer: AttentionScorer,
) -> None:
    model = _model(scorer)
    inputs_BRV = torch.zeros(2, 4, 7, dtype=torch.float64)  # with a bias of 0 these are zero vectors
    inputs_BRV[1] = 1.0  # four times the same region: all weights tie
    states_CQH = torch.zeros(3, 2, 9, dtype=torch.float64)
    states_CQH[1] = 1.0
    inputs_BRV.requires_grad_()
    states_CQH.requires_grad_()
    mask_BR = torch.ones(2, 4, dtype=torch.bool)
    mask_CQ = torch.tensor([[True, True], [True, True], [False, False]])
    edges_BR4 = torch.zeros(2, 4, 4, dtype=torch.float64)
    alignment = model.align(
        model.embed_regions(inputs_BRV, edges_BR4, mask_BR), model.embed_queries(states_CQH, mask_CQ)
    )
    assert torch.isfinite(alignment.score_BC).all()
    assert (alignment.score_BC[:, 2] == 0).all()
    alignment.score_BC.sum().backward()
    assert inputs_BRV.grad is not None and torch.isfinite(inputs_BRV.grad).all()
    assert states_CQH.grad is not None and torch.isfinite(states_CQH.grad).all()
    assert all(torch.isfinite(weight.grad).all() for weight in model.parameters() if weight.grad is not None)


@every_scorer
def test_attention_is_over_the_real_regions(scorer: AttentionScorer) -> None:
    regions, words = _embeddings()
    alignment = _model(scorer).align(regions, words)
    padded_BCQR = (~regions.mask_BR)[:, None, None, :].expand_as(alignment.attention_BCQR)
    assert (alignment.attention_BCQR[padded_BCQR] == 0).all()
    assert (alignment.similarity_BCQR[padded_BCQR] == -math.inf).all()
    torch.testing.assert_close(alignment.attention_BCQR.sum(-1), torch.ones(3, 4, 6, dtype=torch.float64))
    if scorer.focal == "none":
        torch.testing.assert_close(alignment.similarity_BCQR.softmax(-1), alignment.attention_BCQR)


@every_scorer
def test_an_image_without_regions_gets_no_attention_and_scores_zero(scorer: AttentionScorer) -> None:
    regions, words = _embeddings()
    regions = regions._replace(mask_BR=regions.mask_BR & torch.tensor([True, False, True])[:, None])
    alignment = _model(scorer).align(regions, words)
    assert (alignment.attention_BCQR[1] == 0).all() and (alignment.matched_BCQ[1] == 0).all()
    assert (alignment.score_BC[1] == 0).all()


def test_words_read_the_logits_of_i2t_the_other_way() -> None:
    scorer = AttentionScorer.scan("i2t")
    regions, words = _embeddings()
    alignment = _model(scorer).align(regions, words)
    for b, r in enumerate(REGIONS):
        for c, w in enumerate(WORDS):
            cosine_WR = words.tensors[0][c, :w] @ regions.tensors[0][b, :r].T
            clipped_WR = torch.where(cosine_WR > 0, cosine_WR, 0.1 * cosine_WR)
            attention_WR = (4 * clipped_WR / clipped_WR.norm(dim=1, keepdim=True)).softmax(dim=1)
            torch.testing.assert_close(alignment.attention_BCQR[b, c, :w, :r], attention_WR)
            torch.testing.assert_close(alignment.matched_BCQ[b, c, :w], (attention_WR * cosine_WR).sum(dim=1))


@pytest.mark.parametrize("rule", ["equal", "prob"])
def test_the_focal_threshold_is_the_outer_product_form(rule: Literal["equal", "prob"]) -> None:
    weights_NK = torch.randn(500, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64).softmax(dim=1)
    mask_NK = torch.arange(7) < 1 + torch.arange(500)[:, None] % 7
    weights_NK = weights_NK * mask_NK / (weights_NK * mask_NK).sum(dim=1, keepdim=True)
    kept_NK = focal_mask(weights_NK, mask_NK, 1, rule)
    for a, mask, kept in zip(weights_NK, mask_NK, kept_NK, strict=True):
        a = a[mask]
        g = torch.ones_like(a) if rule == "equal" else a.sqrt()
        focal = ((a[:, None] - a[None]) * g).sum(dim=1) > 1e-12
        assert kept[mask].tolist() == (focal if focal.any() else torch.ones_like(focal)).tolist()


@every_scorer
def test_matched_attention_is_that_of_the_alignment(scorer: AttentionScorer) -> None:
    regions, words = _embeddings()
    image_of_C = torch.tensor([2, 0, 0, 1])
    found = _model(scorer).matched(regions.of(image_of_C), words)
    assert [paired.direction for paired in found] == list(scorer.directions)
    for paired in found:
        for c, (b, w) in enumerate(zip(image_of_C.tolist(), WORDS, strict=True)):
            real_regions, real_words = regions.tensors[0][b, : REGIONS[b]], words.tensors[0][c, :w]
            sides = (real_words, real_regions) if paired.direction == "t2i" else (real_regions, real_words)
            weights_QN = attend(scorer, *sides)
            rows, columns = weights_QN.shape
            torch.testing.assert_close(paired.weights_CQN[c, :rows, :columns], weights_QN)
            assert paired.query_mask_CQ[c].sum() == rows and paired.context_mask_CN[c].sum() == columns
            cosine_CQ = paired.cosine(paired.similarity_CQN, paired.weights_CQN)
            torch.testing.assert_close(cosine_CQ[c, :rows], cosines(sides[0], weights_QN @ sides[1]))
        torch.testing.assert_close(paired.weigh(paired.similarity_CQN), paired.weights_CQN)


@pytest.mark.parametrize("noise", [0.0, 1e-7, 1e-5, 1e-3])
def test_regions_that_cancel_out_have_no_cosine_above_one_in_single_precision(noise: float) -> None:
    rng = torch.Generator().manual_seed(0)
    region_ND = l2_normalize(torch.randn(200, 64, generator=rng))
    pair_N2D = l2_normalize(
        torch.stack([region_ND, -region_ND], dim=1) + noise * torch.randn(200, 2, 64, generator=rng)
    )
    words_N1D = l2_normalize(torch.randn(200, 1, 64, generator=rng))
    one, two = torch.ones(200, 1, dtype=torch.bool), torch.ones(200, 2, dtype=torch.bool)
    model = CrossAttention(7, 9, joint_width=64, scorer=AttentionScorer(sharpness=0.0))
    score_1N = model.align(RegionEmbeddings((pair_N2D,), two), QueryEmbeddings((words_N1D,), one), paired=True).score_BC
    assert score_1N.abs().max() <= 1


def test_an_unknown_choice_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"aggregation is one of .*'lse'.*not 'median'"):
        AttentionScorer(aggregation="median")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("option", "value"), [("slope", -3.0), ("lse_sharpness", 0.0), ("sharpness", math.nan), ("bonus", math.inf)]
)
def test_a_number_out_of_its_range_is_refused_by_name(option: str, value: float) -> None:
    with pytest.raises(ValueError, match=option):
        AttentionScorer(aggregation="lse", **{option: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["scan t2i lse", "scan i2t mean", "scan no norm", "bfan prob", "pfan t2i"])
def test_vectors_of_any_length_attend_by_products_and_score_by_cosines(name: str) -> None:
    scorer = replace(SCORERS[name], products=True)
    regions, words = _embeddings()
    lengths_BR1 = torch.linspace(0.5, 2, 15, dtype=torch.float64).view(3, 5, 1)
    inputs = (lengths_BR1 * regions.tensors[0]).requires_grad_(), (1.5 * words.tensors[0]).requires_grad_()
    regions, words = regions._replace(tensors=inputs[:1]), words._replace(tensors=inputs[1:])
    model = _model(scorer)
    found_BC = model.align(regions, words).score_BC
    # The loops never scale a vector to unit length, but for the last cosine.
    rows = [[score(scorer, inputs[0][b, :r], inputs[1][c, :w]) for c, w in enumerate(WORDS)]
            for b, r in enumerate(REGIONS)]  # fmt: skip
    expected_BC = torch.stack([torch.stack(row) for row in rows])
    torch.testing.assert_close(found_BC, expected_BC, rtol=0, atol=1e-10)
    weight_BC = torch.randn(3, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    found, expected = (torch.autograd.grad((weight_BC * s_BC).sum(), inputs) for s_BC in (found_BC, expected_BC))
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-9)
    with torch.no_grad():
        torch.testing.assert_close(model.scores(regions, words), found_BC)
    image_of_C = torch.tensor([2, 0, 1, 0])
    paired = model.align(regions.of(image_of_C), words, paired=True).score_BC[0]
    torch.testing.assert_close(paired, found_BC[image_of_C, torch.arange(4)])
    with pytest.raises(ValueError, match="cannot be constrained"):
        model.matched(regions.of(image_of_C), words)


def test_products_of_unit_vectors_are_cosines() -> None:
    regions, words = _embeddings()
    for scorer in SCORERS.values():
        one, other = (_model(replace(scorer, products=products)).align(regions, words) for products in (False, True))
        for left, right in zip(one, other, strict=True):
            torch.testing.assert_close(left, right)


def test_encoders_keep_lengths_and_states_where_they_are_told_to() -> None:
    vectors, mask = torch.randn(2, 3, 8), torch.tensor([[True, True, False], [True, True, True]])
    assert ProjectedQueries(None, 8, unit=False)(vectors, mask).equal(vectors * mask[..., None])
    region = ProjectedRegions(8, 4, unit=False)
    assert region(vectors, torch.zeros(1), mask).equal(region.map(vectors) * mask[..., None])
