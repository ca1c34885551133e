"""Key–value attention beside the paper's formulas written as loops."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
import torch

from unboxed.attention.base import QueryEmbeddings, RegionEmbeddings
from unboxed.attention.key_value import KeyValueAttention


@pytest.fixture(autouse=True)
def _no_gradients() -> Iterator[None]:
    with torch.no_grad():
        yield


def _inputs(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(seed)
    features_BRV = torch.randn(3, 5, 7, generator=rng, dtype=torch.float64)
    words_CWH = torch.randn(4, 6, 9, generator=rng, dtype=torch.float64)
    region_mask_BR = torch.arange(5) < torch.tensor([5, 2, 1])[:, None]
    word_mask_CW = torch.arange(6) < torch.tensor([6, 3, 1, 4])[:, None]
    return features_BRV, region_mask_BR, words_CWH, word_mask_CW


def test_attention_and_matches_equal_the_formulas_word_by_word() -> None:
    features_BRV, region_mask_BR, words_CWH, word_mask_CW = _inputs()
    model = KeyValueAttention(7, 9, joint_width=8).double()
    regions_embedded, words_embedded = _encoded(model, features_BRV, region_mask_BR, words_CWH, word_mask_CW)
    similarity, attention, value, matched, score = model.align(regions_embedded, words_embedded)
    regions, words = regions_embedded.tensors, words_embedded.tensors
    for b in range(3):
        for c in range(4):
            for w in range(int(word_mask_CW[c].sum())):
                count = int(region_mask_BR[b].sum())
                e = [float(words[0][c, w] @ regions[0][b, r]) / math.sqrt(8) for r in range(count)]
                total = sum(math.exp(x) for x in e)
                a = [math.exp(x) / total for x in e]
                attended = sum(a[r] * regions[1][b, r] for r in range(count))
                assert similarity[b, c, w, :count].tolist() == pytest.approx(e)
                assert attention[b, c, w].tolist() == pytest.approx(a + [0.0] * (5 - count))
                t = [float(words[1][c, w] @ regions[1][b, r]) for r in range(count)]
                assert value[b, c, w, :count].tolist() == pytest.approx(t)
                assert float(matched[b, c, w]) == pytest.approx(float(attended @ words[1][c, w]))
            real = matched[b, c, word_mask_CW[c]]
            assert float(score[b, c]) == pytest.approx(float(real.mean()))


def test_paired_captions_and_images_equal_the_diagonal_of_all_pairs() -> None:
    features_BRV, region_mask_BR, words_CWH, word_mask_CW = _inputs()
    model = KeyValueAttention(7, 9, joint_width=8).double().eval()
    regions, words = _encoded(model, features_BRV, region_mask_BR, words_CWH, word_mask_CW)
    image_of_C = torch.tensor([2, 0, 0, 1])
    everything = model.align(regions, words)
    paired = model.align(regions.of(image_of_C), words, paired=True)
    for of_paired, of_all in zip(paired, everything, strict=True):
        torch.testing.assert_close(of_paired[0], of_all[image_of_C, torch.arange(4)])


def test_matches_without_attention_are_those_of_the_alignment_gradients_included() -> None:
    features_BRV, region_mask_BR, words_CWH, word_mask_CW = _inputs()
    results = []
    for direct in (True, False):
        torch.manual_seed(0)
        model = KeyValueAttention(7, 9, joint_width=8).double().train()
        with torch.enable_grad():
            regions, words = _encoded(model, features_BRV, region_mask_BR, words_CWH, word_mask_CW)
            alignment = model.align(regions, words)
            matched_BCQ, score_BC = (
                model.match(regions, words) if direct else (alignment.matched_BCQ, alignment.score_BC)
            )
            loss = (matched_BCQ * word_mask_CW).square().sum() + score_BC.square().sum()
            results.append(
                (matched_BCQ[:, word_mask_CW], score_BC, *torch.autograd.grad(loss, list(model.parameters())))
            )
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other)


def test_padding_changes_nothing() -> None:
    features_BRV, region_mask_BR, words_CWH, word_mask_CW = _inputs()
    model = KeyValueAttention(7, 9, joint_width=8).double()
    outputs = []
    for filler in (0.0, 1e3):
        model.load_state_dict(KeyValueAttention(7, 9, joint_width=8).double().state_dict() | _weights(model))
        filled = torch.where(region_mask_BR[..., None], features_BRV, filler)
        filled_CWH = torch.where(word_mask_CW[..., None], words_CWH, filler)
        regions, words = _encoded(model, filled, region_mask_BR, filled_CWH, word_mask_CW)
        outputs.append(model.align(regions, words).score_BC)
    torch.testing.assert_close(outputs[0], outputs[1], rtol=0, atol=0)


def test_hidden_layers_are_as_wide_as_the_joint_space_or_as_their_input() -> None:
    default, released = KeyValueAttention(7, 9, joint_width=8), KeyValueAttention(7, 9, joint_width=8, hidden="input")
    assert default.region_key.map[0].weight.shape == (8, 7) and default.word_value.map[0].weight.shape == (8, 9)
    assert released.region_key.map[0].weight.shape == (7, 7) and released.word_value.map[0].weight.shape == (9, 9)
    with pytest.raises(ValueError, match="hidden is one of"):
        KeyValueAttention(7, 9, hidden="wide")  # type: ignore[arg-type]


def _encoded(
    model: KeyValueAttention,
    features_BRV: torch.Tensor,
    region_mask_BR: torch.Tensor,
    words_CWH: torch.Tensor,
    word_mask_CW: torch.Tensor,
) -> tuple[RegionEmbeddings, QueryEmbeddings]:
    edges_BR4 = torch.zeros(*region_mask_BR.shape, 4)
    return model.embed_regions(features_BRV, edges_BR4, region_mask_BR), model.embed_queries(words_CWH, word_mask_CW)


def _weights(model: KeyValueAttention) -> dict[str, torch.Tensor]:
    """The learned weights without the running statistics that each pass of training moves."""
    return {name: value for name, value in model.state_dict().items() if "running" not in name and "num_b" not in name}
