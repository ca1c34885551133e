"""The options of the recipes of image-text matching reach the attention and the loss."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any, Literal

import pytest
import torch

from unboxed.attention import AttentionScorer, CrossAttention, PooledEmbedding, PoolingSettings, SimilarityReasoning
from unboxed.attention.sgraf_heads import AttentionFilter
from unboxed.errors import RunError
from unboxed.experiments.cells import parse_recipe
from unboxed.objectives import triplet_loss
from unboxed.recipes import BFAN, PFAN, SAF, SCAN, SGR, VSE, ConstraintConfig, MatchingConfig, ScoringConfig

IMAGE_OF_C = torch.tensor([1, 0, 0, 2])


def parsed(text: str) -> Any:
    return parse_recipe(text).config


def scorer_of(text: str) -> AttentionScorer:
    aligner = parsed(text).aligner(7, 9)
    assert isinstance(aligner, CrossAttention)
    return aligner.scorer


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("scan", AttentionScorer.scan("t2i")),
        ("scan --direction i2t --aggregation lse", AttentionScorer.scan("i2t", "lse")),
        (
            "scan --direction i2t --aggregation lse --lambda-lse 20 --lambda-softmax 5",
            AttentionScorer("i2t", sharpness=5, aggregation="lse", lse_sharpness=20),
        ),
        ("scan --aggregation max --raw-feature-norm softmax", AttentionScorer(aggregation="max", norm="softmax")),
        ("scan --aggregation sum --no-imgnorm", AttentionScorer(aggregation="sum", products=True)),
        ("bfan", AttentionScorer.bfan("equal")),
        ("bfan --focal prob --lambda-softmax 10", replace(AttentionScorer.bfan("prob"), sharpness=10)),
        ("bfan --aggregation max", replace(AttentionScorer.bfan("equal"), aggregation="max")),
        ("pfan --direction i2t --aggregation lse", AttentionScorer.scan("i2t", "lse")),
        ("pfan --raw-feature-norm no_norm", replace(AttentionScorer.pfan("t2i"), norm="no_norm")),
        ("pfan --direction i2t --no-txtnorm", replace(AttentionScorer.pfan("i2t"), products=True)),
    ],
)
def test_the_options_of_cross_attention_are_those_of_its_scorer(text: str, expected: AttentionScorer) -> None:
    assert scorer_of(text) == expected


def test_encoders_scale_to_unit_length_unless_told_otherwise() -> None:
    for recipe in (SCAN(), BFAN(), PFAN()):
        for imgnorm in (True, False):
            aligner: Any = replace(recipe, scoring=ScoringConfig(imgnorm=imgnorm, txtnorm=not imgnorm)).aligner(7, 9)
            assert (aligner.region_encoder.unit, aligner.query_encoder.unit) == (imgnorm, not imgnorm)


@pytest.mark.parametrize("recipe", [SCAN, BFAN, PFAN])
def test_constraints_need_vectors_of_unit_length(recipe: type[SCAN]) -> None:
    with pytest.raises(RunError, match="leave out --no-imgnorm"):
        recipe(constraint=ConstraintConfig("ccr"), scoring=ScoringConfig(txtnorm=False))


@pytest.mark.parametrize("name", ["scan", "bfan", "pfan", "sgr", "saf", "vse"])
def test_states_in_the_joint_space_are_not_mapped(name: str) -> None:
    aligner: Any = parsed(f"{name} --word-state mean --hidden-width 8 --joint-width 8").aligner(7, 8)
    assert isinstance(aligner.word_map if name == "vse" else aligner.query_encoder.map, torch.nn.Identity)
    assert parsed(f"{name} --word-state mean").hidden_width == 256  # by default the joint width
    assert parsed(f"{name} --word-state mean --joint-width 8").hidden_width == 8
    with pytest.raises(RunError, match="set --hidden-width 16"):
        parsed(f"{name} --word-state mean --hidden-width 8 --joint-width 16")


def test_options_of_reasoning_reach_the_layers() -> None:
    graph: Any = parsed("sgr --region-channels 36 --steps 2 --lambda-softmax 4 --similarity-width 5").aligner(7, 9)
    assert graph.whole_image.local_norm.num_features == 36 and len(graph.head.steps) == 2
    assert (graph.scorer.sharpness, graph.score.in_features) == (4, 5)
    gates: Any = parsed("saf --gates-by-caption").aligner(7, 9)
    assert isinstance(gates, SimilarityReasoning) and isinstance(gates.head, AttentionFilter)
    assert gates.head.by_caption and gates.whole_image.channels is None
    assert SGR().aligner(7, 9).head.steps[2] is not None and not SAF().aligner(7, 9).head.by_caption  # type: ignore[union-attr, index, operator]


def test_options_of_pooled_embeddings_are_their_settings() -> None:
    order: Any = parsed("vse --measure order --use-abs --text-pooling last").aligner(7, 9)
    assert order.settings == PoolingSettings("last", "order", absolute=True)
    vse0 = VSE(imgnorm=False).aligner(7, 9)
    assert isinstance(vse0, PooledEmbedding) and vse0.settings == PoolingSettings(unit_images=False)


def hinge(config: MatchingConfig, epoch: int = 0) -> float:
    """The hinge of a batch with four captions of three images."""
    score_BC = torch.randn(3, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    pairs: Any = SimpleNamespace(
        score_BC=score_BC,
        image_of_C=IMAGE_OF_C,
        image_count=3,
        training_step=SimpleNamespace(epoch=epoch),
    )
    (loss,) = config.objective(pairs).values()
    return float(loss)


@pytest.mark.parametrize("negatives", ["all", "hardest"])
def test_the_hinge_of_the_originals_is_a_sum_over_the_batch(negatives: Literal["all", "hardest"]) -> None:
    score_BC = torch.randn(3, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    total = float(triplet_loss(score_BC, IMAGE_OF_C, 0.2, negatives))
    warm_up = 1.0 if negatives == "all" else 0.0
    recipe = SCAN(hinge="sum", warm_up=warm_up)
    assert hinge(recipe) == pytest.approx(total)
    others = 1 if negatives == "hardest" else 2
    assert hinge(replace(recipe, hinge="mean")) == pytest.approx(total / 4 / others)


def test_constraints_keep_their_share_of_a_caption_under_the_sum(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MatchingConfig, "_constraints", lambda *_: {"ccr": torch.tensor(0.25)})
    pairs: Any = SimpleNamespace(
        score_BC=torch.eye(3),
        image_of_C=torch.arange(3),
        image_count=3,
        training_step=SimpleNamespace(epoch=0),
    )
    mean, total = (SCAN(hinge=hinge, warm_up=0, margin=1.5).objective(pairs) for hinge in ("mean", "sum"))
    for name in ("hinge", "ccr"):
        assert float(total[name]) == pytest.approx(3 * float(mean[name]))


def test_the_warm_up_ends_with_its_epoch() -> None:
    for recipe in (SCAN(hinge="sum", warm_up=1), VSE(hinge="sum", warm_up=9)):
        losses = [hinge(recipe, epoch) for epoch in (0, 1)]
        assert (losses[0] == losses[1]) == (recipe.warm_up == 9)
    assert hinge(SCAN(hinge="sum", warm_up=0)) == hinge(SCAN(hinge="sum", warm_up=1), epoch=1)
