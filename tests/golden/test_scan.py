"""SCAN, BFAN and PFAN: scores, attention, losses and gradients of the originals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from unboxed.attention import Alignment, AttentionScorer, CrossAttention, QueryEmbeddings, RegionEmbeddings
from unboxed.attention.cosine_attention import attend, focal_mask
from unboxed.attention.normalize import l2_normalize
from unboxed.attention.scan import ProjectedRegions, pair_cosines
from unboxed.objectives import triplet_loss

from .steps import RecordedWords, assert_agree, captions_of, images_of, losses, paper, untrained

pytestmark = pytest.mark.usefixtures("precision")

NORMS: tuple[Any, ...] = ("clipped_l2norm", "l2norm", "clipped", "no_norm", "softmax")
AGGREGATIONS: dict[str, Any] = {"LogSumExp": "lse", "Mean": "mean", "Max": "max", "Sum": "sum"}
DIRECTIONS: dict[str, dict[str, Any]] = {
    "t2i": {"direction": "t2i", "sharpness": 9.0, "lse_sharpness": 6.0},
    "i2t": {"direction": "i2t", "sharpness": 4.0, "lse_sharpness": 5.0},
}


class Pairs:
    """Images and captions of a fixture, as leaves of the graph, and what the library makes of them."""

    def __init__(self, fixture: Any) -> None:
        self.images = fixture["in_images"].requires_grad_()
        self.captions = fixture["in_captions"].requires_grad_()
        counts = fixture["in_region_counts"] if "in_region_counts" in fixture.arrays else torch.full((4,), 36)
        self.mask_BR = torch.arange(self.images.shape[1]) < counts[:, None]
        self.mask_CQ = torch.arange(self.captions.shape[1]) < fixture["in_caption_lengths"][:, None]
        self.regions = RegionEmbeddings((l2_normalize(self.images),), self.mask_BR)
        self.queries = QueryEmbeddings((l2_normalize(self.captions),), self.mask_CQ)

    def scores(self, scorer: AttentionScorer) -> torch.Tensor:
        """Scores by the fast path, after an assertion that `align` and the path without a gradient agree."""
        aligner = CrossAttention(1, 1, 1, scorer)
        score_BC = aligner.scores(self.regions, self.queries)
        assert_agree(aligner.align(self.regions, self.queries).score_BC, score_BC)
        with torch.no_grad():
            assert_agree(aligner.scores(self.regions, self.queries), score_BC)
        return score_BC

    def one(self, scorer: AttentionScorer, image: int = 1, caption: int = 1) -> Alignment:
        """The alignment of one image and one caption of seven words."""
        return CrossAttention(1, 1, 1, scorer).align(*self._embeddings(image, caption))

    def region_weights(self, scorer: AttentionScorer) -> tuple[torch.Tensor, torch.Tensor]:
        """Attention `[word, region]` of image 1's regions over the words of caption 1, and its logits."""
        pairs = pair_cosines(*self._embeddings(1, 1), paired=False)
        gram = pairs.queries_CQD @ pairs.queries_CQD.mT
        words = attend(scorer, pairs.cosine_BRQC.permute(3, 2, 1, 0), gram)
        return (words.raw_KNQJ / words.total_KQJ[:, None])[0, ..., 0], words.logits_KNQJ[0, ..., 0]

    def _embeddings(self, image: int, caption: int) -> tuple[RegionEmbeddings, QueryEmbeddings]:
        """One image and the real words of one caption."""
        words = int(self.mask_CQ[caption].sum())
        queries = QueryEmbeddings((self.queries.tensors[0][[caption], :words],), self.mask_CQ[[caption], :words])
        return self.regions.of(torch.tensor([image])), queries

    def leaves(self, prefix: str, suffix: str) -> dict[str, torch.Tensor]:
        return {f"{prefix}_wrt_images{suffix}": self.images, f"{prefix}_wrt_captions{suffix}": self.captions}


def hinge(score_BC: torch.Tensor, negatives: Any) -> torch.Tensor:
    return triplet_loss(score_BC, torch.arange(len(score_BC)), 0.2, {"max": "hardest", "sum": "all"}[negatives])


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_scan_scores_attention_and_gradients_are_the_originals(golden: Callable[[str], Any], direction: str) -> None:
    fixture = golden(f"scan_{direction}")
    pairs = Pairs(fixture)
    for norm in NORMS:
        for name, aggregation in AGGREGATIONS.items():
            scorer = AttentionScorer(**DIRECTIONS[direction], norm=norm, aggregation=aggregation)
            score_BC = pairs.scores(scorer)
            fixture.check(f"out_score_{norm}_{name}", score_BC)
            fixture.check_gradients(
                (fixture["in_score_weight"] * score_BC).sum(), pairs.leaves("grad_weighted_score", f"_{norm}_{name}")
            )
        attention = pairs.one(scorer).attention_BCQR[0, 0].T if direction == "t2i" else pairs.region_weights(scorer)[0]
        fixture.check(f"out_attention_{norm}", attention)
    fixture.assert_complete()


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_scan_losses_and_their_gradients_are_the_originals(golden: Callable[[str], Any], direction: str) -> None:
    fixture, pairs = golden(f"scan_{direction}_loss"), Pairs(golden(f"scan_{direction}"))
    for norm in NORMS:
        for name, aggregation in AGGREGATIONS.items():
            scorer = AttentionScorer(**DIRECTIONS[direction], norm=norm, aggregation=aggregation)
            score_BC = pairs.scores(scorer)
            for negatives in ("sum", "max"):
                loss = hinge(score_BC, negatives)
                fixture.check(f"out_loss_{negatives}_{norm}_{name}", loss)
                if norm == "clipped_l2norm" and name in ("LogSumExp", "Mean"):
                    fixture.check_gradients(loss, pairs.leaves(f"grad_loss_{negatives}", f"_{name}"))
    fixture.assert_complete()


def test_scan_of_images_with_different_numbers_of_regions(golden: Callable[[str], Any]) -> None:
    fixture = golden("scan_ragged")
    pairs = Pairs(fixture)
    for direction, options in DIRECTIONS.items():
        for name, aggregation in AGGREGATIONS.items():
            score_BC = pairs.scores(AttentionScorer(**options, aggregation=aggregation))
            fixture.check(f"out_score_{direction}_{name}", score_BC)
            fixture.check_gradients(
                (fixture["in_score_weight"] * score_BC).sum(),
                pairs.leaves("grad_weighted_score", f"_{direction}_{name}"),
            )
    coco = AttentionScorer("i2t", sharpness=4, aggregation="lse", lse_sharpness=20)
    fixture.check("out_score_i2t_coco_LogSumExp", pairs.scores(coco)[:1])
    fixture.assert_complete()


def test_bfan_scores_focal_rule_losses_and_gradients_are_the_originals(golden: Callable[[str], Any]) -> None:
    fixture = golden("bfan")
    pairs = Pairs(fixture)
    rules: tuple[Any, ...] = ("equal", "prob")
    for rule in rules:
        scorer = AttentionScorer.bfan(rule)
        score_BC = pairs.scores(scorer)
        fixture.check(f"out_score_{rule}", score_BC)
        for name, direction in (("words_to_regions", "t2i"), ("regions_to_words", "i2t")):
            one_way = AttentionScorer(direction, sharpness=20, focal=rule)
            fixture.check(f"out_score_{name}_{rule}", pairs.scores(one_way))
        fixture.check_gradients(
            (fixture["in_score_weight"] * score_BC).sum(), pairs.leaves("grad_weighted_score", f"_{rule}")
        )
        for negatives in ("sum", "max"):
            fixture.check(f"out_loss_{negatives}_{rule}", hinge(score_BC, negatives))
        fixture.check_gradients(hinge(score_BC, "max"), pairs.leaves("grad_loss_max", f"_{rule}"))
        before_QR = pairs.one(AttentionScorer(sharpness=20)).attention_BCQR[0, 0]
        fixture.check(f"out_attention_before_of_words_{rule}", before_QR)
        fixture.check(f"out_kept_of_words_{rule}", focal_mask(before_QR, None, 1, rule).bool())
        assert torch.equal(pairs.one(scorer).attention_BCQR[0, 0] > 0, focal_mask(before_QR, None, 1, rule).bool())
        before_RQ = pairs.region_weights(AttentionScorer("i2t", sharpness=20))[0].T
        fixture.check(f"out_attention_before_of_regions_{rule}", before_RQ)
        fixture.check(f"out_kept_of_regions_{rule}", focal_mask(before_RQ, None, 1, rule).bool())
    fixture.assert_complete()


def test_bfan_of_images_with_different_numbers_of_regions(golden: Callable[[str], Any]) -> None:
    fixture = golden("bfan_ragged")
    pairs = Pairs(fixture)
    rules: tuple[Any, ...] = ("equal", "prob")
    for rule in rules:
        score_BC = pairs.scores(AttentionScorer.bfan(rule))
        fixture.check(f"out_score_{rule}", score_BC)
        fixture.check_gradients(
            (fixture["in_score_weight"] * score_BC).sum(), pairs.leaves("grad_weighted_score", f"_{rule}")
        )
    fixture.assert_complete()


def test_pfan_scores_bonus_losses_and_gradients_are_the_originals(golden: Callable[[str], Any]) -> None:
    fixture = golden("pfan_score")
    pairs = Pairs(fixture)
    for direction, options in DIRECTIONS.items():
        for name, aggregation in AGGREGATIONS.items():
            bonus = 0.5 if direction == "t2i" else 0.0
            score_BC = pairs.scores(AttentionScorer(**options, aggregation=aggregation, bonus=bonus))
            fixture.check(f"out_score_{direction}_{name}", score_BC)
            fixture.check_gradients(
                (fixture["in_score_weight"] * score_BC).sum(),
                pairs.leaves("grad_weighted_score", f"_{direction}_{name}"),
            )
            for negatives in ("sum", "max"):
                fixture.check(f"out_loss_{negatives}_{direction}_{name}", hinge(score_BC, negatives))
            if name == "Mean":
                assert AttentionScorer.pfan(direction).bonus == bonus
                fixture.check_gradients(hinge(score_BC, "max"), pairs.leaves("grad_loss_max", f"_{direction}"))
    attention_QR = pairs.one(AttentionScorer.pfan()).attention_BCQR[0, 0]
    fixture.check("out_attention_t2i", attention_QR.T)
    fixture.check("out_largest_attention_t2i", attention_QR.amax(dim=1))
    fixture.assert_complete()


STEPS: dict[str, tuple[str, dict[str, Any], str, str]] = {
    "SCAN t2i mean": ("scan", {}, "scan_t2i", "clipped_l2norm_Mean"),
    "SCAN t2i lse": ("scan", {"aggregation": "lse"}, "scan_t2i", "clipped_l2norm_LogSumExp"),
    "SCAN i2t mean": ("scan", {"direction": "i2t"}, "scan_i2t", "clipped_l2norm_Mean"),
    "SCAN i2t lse": ("scan", {"direction": "i2t", "aggregation": "lse"}, "scan_i2t", "clipped_l2norm_LogSumExp"),
    "BFAN equal": ("bfan", {}, "bfan", "equal"),
    "BFAN prob": ("bfan", {"focal": "prob"}, "bfan", "prob"),
    "PFAN t2i": ("pfan", {}, "pfan_score", "t2i_Mean"),
    "PFAN i2t": ("pfan", {"direction": "i2t"}, "pfan_score", "i2t_Mean"),
}


@pytest.mark.parametrize("negatives", ["max", "sum"])
@pytest.mark.parametrize("name", STEPS)
def test_a_step_of_the_recipe_has_the_loss_of_the_original(
    golden: Callable[[str], Any], name: str, negatives: str
) -> None:
    recipe, changed, inputs, array = STEPS[name]
    fixture, recorded = golden(inputs), golden(f"{inputs}_loss" if recipe == "scan" else inputs)
    options = paper(recipe, joint_width=64, hidden_width=64, warm_up=float(negatives == "sum"), **changed)
    model = untrained(options, 64)
    model.text = RecordedWords(fixture["in_captions"])  # type: ignore[assignment]
    model.aligner.region_encoder = ProjectedRegions(64, 64)  # in PFAN's place too, whose own is in test_encoders.py
    model.aligner.region_encoder.map = nn.Identity()
    mask_CW = torch.arange(fixture["in_captions"].shape[1]) < fixture["in_caption_lengths"][:, None]
    found = losses(model, images_of(fixture["in_images"]), captions_of(mask_CW.long(), mask_CW))
    recorded.check(f"out_loss_{negatives}_{array}", found["loss"])
