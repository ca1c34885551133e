"""An attention of one's own, defined outside the package by three methods, trains and does all that others do."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from unboxed.attention import Aligner, Alignment, Constrainable, QueryEmbeddings, RegionEmbeddings
from unboxed.objectives import caption_image_infonce

IMAGES, REGIONS, WORDS = 6, 5, 4


class SquaredDistance(Aligner):
    """Toy attention: a softmax over negative squared distances; the score is the mean attended distance."""

    def __init__(self, region_width: int, state_width: int, joint_width: int) -> None:
        super().__init__()
        self.region = nn.Linear(region_width, joint_width)
        self.query = nn.Linear(state_width, joint_width)

    def embed_regions(
        self, inputs_BRV: torch.Tensor, edges_BR4: torch.Tensor, mask_BR: torch.Tensor
    ) -> RegionEmbeddings:
        return RegionEmbeddings((self.region(inputs_BRV),), mask_BR)

    def embed_queries(self, states_CQH: torch.Tensor, mask_CQ: torch.Tensor) -> QueryEmbeddings:
        return QueryEmbeddings((self.query(states_CQH),), mask_CQ)

    def align(
        self,
        regions: RegionEmbeddings,
        queries: QueryEmbeddings,
        *,
        paired: bool = False,
        prior_BCQR: torch.Tensor | None = None,
    ) -> Alignment:
        (regions_BRD,), (queries_CQD,) = regions.tensors, queries.tensors
        others_BRD, mask_BR = (regions_BRD[None], regions.mask_BR[None]) if paired else (regions_BRD, regions.mask_BR)
        other_BCRD = others_BRD if paired else others_BRD[:, None]
        value_BCQR = -(queries_CQD[None, :, :, None] - other_BCRD[:, :, None]).square().sum(dim=-1)
        mask_BCQR = (mask_BR if paired else mask_BR[:, None])[:, :, None]
        similarity_BCQR = value_BCQR.masked_fill(~mask_BCQR, float("-inf"))
        attention_BCQR = similarity_BCQR.softmax(dim=-1)
        matched_BCQ = (attention_BCQR * value_BCQR).sum(dim=-1)
        score_BC = (matched_BCQ * queries.mask_CQ).sum(dim=-1) / queries.mask_CQ.sum(dim=-1)
        return Alignment(similarity_BCQR, attention_BCQR, value_BCQR, matched_BCQ, score_BC)


def _batch() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Images of random regions, and two captions each whose words are noisy copies of regions of their image."""
    rng = torch.Generator().manual_seed(0)
    inputs_BRV = torch.randn(IMAGES, REGIONS, 8, generator=rng)
    mask_BR = torch.arange(REGIONS) < torch.tensor([5, 5, 4, 3, 5, 2])[:, None]
    image_of_C = torch.arange(IMAGES).repeat_interleave(2)
    mask_CQ = torch.arange(WORDS) < torch.tensor([4, 1, 3, 2] * 3)[:, None]
    chosen_CQ = torch.randint(2, (2 * IMAGES, WORDS), generator=rng)
    words_CQV = inputs_BRV[image_of_C[:, None], chosen_CQ]
    states_CQH = words_CQV.flip(-1) + 0.1 * torch.randn(words_CQV.shape, generator=rng)
    return inputs_BRV, torch.zeros(IMAGES, REGIONS, 4), mask_BR, states_CQH, mask_CQ, image_of_C


def _trained(steps: int) -> tuple[SquaredDistance, list[float]]:
    """The toy attention after some steps of a plain PyTorch loop, and its losses."""
    torch.manual_seed(0)
    attention = SquaredDistance(8, 8, joint_width=6)
    optimizer = torch.optim.Adam(attention.parameters(), lr=0.02)
    inputs_BRV, edges_BR4, mask_BR, states_CQH, mask_CQ, image_of_C = _batch()
    losses = []
    for _ in range(steps):
        regions = attention.embed_regions(inputs_BRV, edges_BR4, mask_BR)
        queries = attention.embed_queries(states_CQH, mask_CQ)
        loss = caption_image_infonce(attention.scores(regions, queries), image_of_C)
        optimizer.zero_grad()
        loss.backward()
        assert all(parameter.grad is not None and parameter.grad.any() for parameter in attention.parameters())
        optimizer.step()
        losses.append(loss.item())
    return attention, losses


def test_it_learns_in_a_plain_loop() -> None:
    _, losses = _trained(60)
    assert losses[-1] < 0.3 * losses[0]


@torch.no_grad()
@pytest.mark.parametrize("budget_bytes", [1, 2**20])
def test_scores_in_blocks_and_matches_come_with_the_base_class(budget_bytes: int) -> None:
    attention, _ = _trained(0)
    inputs_BRV, edges_BR4, mask_BR, states_CQH, mask_CQ, _ = _batch()
    regions, queries = (
        attention.embed_regions(inputs_BRV, edges_BR4, mask_BR),
        attention.embed_queries(states_CQH, mask_CQ),
    )
    alignment = attention.align(regions, queries)
    torch.testing.assert_close(attention.scores(regions, queries, budget_bytes=budget_bytes), alignment.score_BC)
    matched_BCQ, score_BC = attention.match(regions, queries)
    assert torch.equal(matched_BCQ, alignment.matched_BCQ) and torch.equal(score_BC, alignment.score_BC)


@torch.no_grad()
def test_paired_captions_and_images_are_a_diagonal_of_all_pairs() -> None:
    attention, _ = _trained(0)
    inputs_BRV, edges_BR4, mask_BR, states_CQH, mask_CQ, image_of_C = _batch()
    regions, queries = (
        attention.embed_regions(inputs_BRV, edges_BR4, mask_BR),
        attention.embed_queries(states_CQH, mask_CQ),
    )
    everything = attention.align(regions, queries)
    paired = attention.align(regions.of(image_of_C), queries, paired=True)
    for of_all, of_pairs in zip(everything, paired, strict=True):
        torch.testing.assert_close(of_pairs[0], of_all[image_of_C, torch.arange(len(image_of_C))])


def test_it_declares_what_it_cannot_do() -> None:
    attention, _ = _trained(0)
    assert not attention.exports_to_onnx and not attention.uses_prior
    assert not isinstance(attention, Constrainable)


def test_an_attention_without_align_is_refused() -> None:
    class Unfinished(Aligner):
        embed_regions = SquaredDistance.embed_regions  # type: ignore[assignment]
        embed_queries = SquaredDistance.embed_queries  # type: ignore[assignment]

    with pytest.raises(TypeError, match="align"):
        Unfinished()  # type: ignore[abstract]
