"""The pooled baseline beside its formula, image by image and caption by caption."""

from __future__ import annotations

import pytest
import torch

from unboxed.attention.vse import PooledEmbedding, PoolingSettings, TextPooling

REGIONS, WORDS = [4, 2], [5, 1, 3]


def _inputs() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    inputs_BRV, states_CQH = torch.randn(2, 4, 7).double(), torch.randn(3, 5, 9).double()
    region_mask_BR = torch.arange(4) < torch.tensor(REGIONS)[:, None]
    word_mask_CQ = torch.arange(5) < torch.tensor(WORDS)[:, None]
    return inputs_BRV, torch.zeros(2, 4, 4).double(), region_mask_BR, states_CQH, word_mask_CQ


@pytest.mark.parametrize("pooling", ["mean", "last"])
def test_scores_are_cosines_of_pooled_vectors_and_words_still_find_regions(pooling: TextPooling) -> None:
    inputs_BRV, edges_BR4, region_mask_BR, states_CQH, word_mask_CQ = _inputs()
    model = PooledEmbedding(7, 9, joint_width=8, settings=PoolingSettings(pooling)).double()
    regions, queries = (
        model.embed_regions(inputs_BRV, edges_BR4, region_mask_BR),
        model.embed_queries(states_CQH, word_mask_CQ),
    )
    alignment = model.align(regions, queries)
    for b, r in enumerate(REGIONS):
        for c, w in enumerate(WORDS):
            mapped_RD, mapped_WD = model.region_map(inputs_BRV[b, :r]), model.word_map(states_CQH[c, :w])
            caption_D = mapped_WD.mean(dim=0) if pooling == "mean" else mapped_WD[-1]
            expected = torch.cosine_similarity(mapped_RD.mean(dim=0), caption_D, dim=0)
            torch.testing.assert_close(alignment.score_BC[b, c], expected)
            cosine_WR = torch.cosine_similarity(mapped_WD[:, None], mapped_RD[None], dim=2)
            torch.testing.assert_close(alignment.value_BCQR[b, c, :w, :r], cosine_WR)
            torch.testing.assert_close(alignment.attention_BCQR[b, c, :w, :r], (9 * cosine_WR).softmax(dim=1))
    image_of_C = torch.tensor([1, 1, 0])
    paired = model.align(regions.of(image_of_C), queries, paired=True)
    for alone, among in zip(paired, alignment, strict=True):
        torch.testing.assert_close(alone[0], among[image_of_C, torch.arange(3)])


OTHERS = {
    "cosine, no_imgnorm": PoolingSettings("last", unit_images=False),
    "cosine, use_abs": PoolingSettings("last", absolute=True),
    "order": PoolingSettings("last", "order"),
    "order, use_abs": PoolingSettings("last", "order", absolute=True),
    "order, no_imgnorm": PoolingSettings("last", "order", unit_images=False),
}


@pytest.mark.parametrize("settings", OTHERS.values(), ids=OTHERS.keys())
def test_other_settings_are_their_formulas(settings: PoolingSettings) -> None:
    inputs_BRV, edges_BR4, region_mask_BR, states_CQH, word_mask_CQ = _inputs()
    model = PooledEmbedding(7, 9, joint_width=8, settings=settings).double()
    regions, queries = (
        model.embed_regions(inputs_BRV, edges_BR4, region_mask_BR),
        model.embed_queries(states_CQH, word_mask_CQ),
    )
    score_BC = model.scores(regions, queries)
    for b, r in enumerate(REGIONS):
        for c, w in enumerate(WORDS):
            image_D, caption_D = model.region_map(inputs_BRV[b, :r]).mean(dim=0), model.word_map(states_CQH[c, w - 1])
            caption_D = caption_D / caption_D.norm()
            image_D = image_D / image_D.norm() if settings.unit_images else image_D
            if settings.absolute:
                image_D, caption_D = image_D.abs(), caption_D.abs()
            if settings.measure == "cosine":
                expected = image_D @ caption_D
            else:
                expected = -(sum(max(0, y - x) ** 2 for x, y in zip(image_D, caption_D, strict=True)) ** 0.5)
            torch.testing.assert_close(score_BC[b, c], expected)
    image_of_C = torch.tensor([1, 1, 0])
    paired_1C = model.align(regions.of(image_of_C), queries, paired=True).score_BC
    torch.testing.assert_close(paired_1C[0], score_BC[image_of_C, torch.arange(3)])


def test_an_unknown_option_is_refused() -> None:
    with pytest.raises(ValueError, match="not 'max'"):
        PoolingSettings(text_pooling="max")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="not 'euclid'"):
        PoolingSettings(measure="euclid")  # type: ignore[arg-type]


@pytest.mark.parametrize("settings", OTHERS.values(), ids=OTHERS.keys())
def test_nothing_but_zeros_gives_scores_of_zero_and_finite_gradients(settings: PoolingSettings) -> None:
    model = PooledEmbedding(7, 9, joint_width=8, settings=settings)
    regions = model.embed_regions(torch.zeros(1, 2, 7), torch.zeros(1, 2, 4), torch.tensor([[True, False]]))
    queries = model.embed_queries(torch.zeros(2, 3, 9), torch.tensor([[True, True, False], [False, False, False]]))
    score_BC = model.align(regions, queries).score_BC
    score_BC.sum().backward()
    torch.testing.assert_close(score_BC, torch.zeros(1, 2))
    assert all(torch.isfinite(weight.grad).all() for weight in model.parameters() if weight.grad is not None)
