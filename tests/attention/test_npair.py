"""The match map beside loops over its formulas; the cells' order, receptive fields and independence in evaluation."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import get_args

import pytest
import torch

from unboxed.attention.base import QueryEmbeddings, RegionEmbeddings
from unboxed.attention.dual_encoder import MaskedMLP
from unboxed.attention.npair import FeatureCells, MatchMap, PixelCells, Reduction, pixels_of
from unboxed.errors import RegionsError
from unboxed.regions.sources.geometry import grid_cells

B, C, Q, R, D = 3, 4, 5, 9, 8  # R: 3 x 3 cells
SIDE, PATCH = 4, 8


@pytest.fixture(autouse=True)
def _no_gradients() -> Iterator[None]:
    with torch.no_grad():
        yield


def _embeddings(reduction: Reduction) -> tuple[MatchMap, RegionEmbeddings, QueryEmbeddings]:
    torch.manual_seed(0)
    aligner = MatchMap(MaskedMLP(7, D, D, layers=1), 9, D, reduction).double()
    region_mask_BR = torch.arange(R) < torch.tensor([R, 2, 1])[:, None]
    query_mask_CQ = torch.arange(Q) < torch.tensor([Q, 3, 1, 4])[:, None]
    inputs_BRV = torch.randn(B, R, 7, dtype=torch.float64)
    edges_BR4 = torch.zeros(B, R, 4, dtype=torch.float64)
    regions = aligner.embed_regions(inputs_BRV, edges_BR4, region_mask_BR)
    return aligner, regions, aligner.embed_queries(torch.randn(C, Q, 9, dtype=torch.float64), query_mask_CQ)


def naive_score(cells: list[torch.Tensor], queries: list[torch.Tensor], reduction: Reduction) -> float:
    """The definitions over lists without padding."""
    products = [[float(query @ cell) for cell in cells] for query in queries]
    if reduction == "mean":
        return sum(sum(row) for row in products) / len(cells) / len(queries)
    if reduction == "max-cells":
        return sum(max(row) for row in products) / len(queries)
    if reduction == "max-rows":  # cells are listed row by row; of a row that is cut short, the real ones count
        columns = range(min(3, len(cells)))
        return sum(max(row[x::3]) for row in products for x in columns) / len(columns) / len(queries)
    if reduction == "max-words":
        return sum(max(row[r] for row in products) for r in range(len(cells))) / len(cells)
    return sum(math.log(sum(math.exp(x) for x in row) / len(cells)) for row in products) / len(queries)


@pytest.mark.parametrize("reduction", get_args(Reduction))
def test_every_reduction_equals_its_loops(reduction: Reduction) -> None:
    aligner, regions, queries = _embeddings(reduction)
    score_BC = aligner.align(regions, queries).score_BC
    for b in range(B):
        for c in range(C):
            cells = [regions.tensors[0][b, r] for r in range(R) if regions.mask_BR[b, r]]
            words = [queries.tensors[0][c, q] for q in range(Q) if queries.mask_CQ[c, q]]
            assert float(score_BC[b, c]) == pytest.approx(naive_score(cells, words, reduction))


@pytest.mark.parametrize("reduction", get_args(Reduction))
def test_own_rows_equal_the_diagonal_of_all_pairs(reduction: Reduction) -> None:
    aligner, regions, queries = _embeddings(reduction)
    image_of_C = torch.tensor([2, 0, 0, 1])
    everything, paired = aligner.align(regions, queries), aligner.align(regions.of(image_of_C), queries, paired=True)
    for all_pairs, of_paired in zip(everything, paired, strict=True):
        torch.testing.assert_close(of_paired[0], all_pairs[image_of_C, torch.arange(C)])


def test_the_mean_factorises() -> None:
    aligner, regions, queries = _embeddings("mean")
    (cells_BRD,), (queries_CQD,) = regions.tensors, queries.tensors
    image_BD = cells_BRD.sum(dim=1) / regions.mask_BR.sum(dim=1, keepdim=True)
    caption_CD = queries_CQD.sum(dim=1) / queries.mask_CQ.sum(dim=1, keepdim=True)
    torch.testing.assert_close(image_BD @ caption_CD.T, aligner.align(regions, queries).score_BC)


@pytest.mark.parametrize("reduction", get_args(Reduction))
def test_padding_changes_nothing(reduction: Reduction) -> None:
    aligner, regions, queries = _embeddings(reduction)
    before = aligner.align(regions, queries)
    filled = RegionEmbeddings((regions.tensors[0].masked_fill(~regions.mask_BR[..., None], 50.0),), regions.mask_BR)
    stranger = QueryEmbeddings((queries.tensors[0].masked_fill(~queries.mask_CQ[..., None], 50.0),), queries.mask_CQ)
    after = aligner.align(filled, stranger)
    torch.testing.assert_close(after.score_BC, before.score_BC)
    real = queries.mask_CQ[None].expand(B, C, Q)
    torch.testing.assert_close(after.attention_BCQR[real], before.attention_BCQR[real])


def test_attention_is_the_softmax_of_the_map_over_real_cells() -> None:
    aligner, regions, queries = _embeddings("mean")
    found = aligner.align(regions, queries)
    torch.testing.assert_close(found.attention_BCQR.sum(dim=-1), torch.ones(B, C, Q, dtype=torch.float64))
    assert float(found.attention_BCQR[1, :, :, 2:].abs().max()) == 0
    weights = found.value_BCQR[0, 1, 2].exp()
    torch.testing.assert_close(found.attention_BCQR[0, 1, 2], weights / weights.sum())


def test_the_best_cell_is_sought_over_both_axes_of_the_map() -> None:
    """A 2 x 2 map [[1, 5], [2, 3]] scores 5, not the mean (5 + 3) / 2 of its rows' best."""
    aligner = MatchMap(torch.nn.Identity(), 1, 1, "max-cells")
    regions = RegionEmbeddings((torch.tensor([[[1.0], [5.0], [2.0], [3.0]]]),), torch.ones(1, 4, dtype=torch.bool))
    queries = QueryEmbeddings((torch.ones(1, 1, 1),), torch.ones(1, 1, dtype=torch.bool))
    assert float(aligner.align(regions, queries).score_BC) == 5


@pytest.mark.parametrize("reduction", get_args(Reduction))
def test_a_caption_without_queries_scores_nothing(reduction: Reduction) -> None:
    aligner, regions, queries = _embeddings(reduction)
    scored = aligner.align(regions, queries).score_BC
    mask_CQ = queries.mask_CQ.clone()
    mask_CQ[0] = False
    found = aligner.align(regions, QueryEmbeddings(queries.tensors, mask_CQ)).score_BC
    assert not found[:, 0].any() and torch.equal(found[:, 1:], scored[:, 1:])


def test_an_unknown_reduction_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match="mean"):
        MatchMap(torch.nn.Identity(), 1, 1, "max")  # type: ignore[arg-type]


def test_a_prior_is_added_to_the_map() -> None:
    aligner, regions, queries = _embeddings("max-cells")
    prior_BCQR = torch.rand(B, C, Q, R, dtype=torch.float64)
    plain, with_prior = aligner.align(regions, queries), aligner.align(regions, queries, prior_BCQR=prior_BCQR)
    torch.testing.assert_close(with_prior.value_BCQR, plain.value_BCQR + prior_BCQR)
    best_BCQ = with_prior.value_BCQR.masked_fill(~regions.mask_BR[:, None, None], float("-inf")).amax(dim=-1)
    torch.testing.assert_close(with_prior.matched_BCQ, best_BCQ)


def test_hidden_cells_do_not_count_in_training_and_count_in_evaluation() -> None:
    aligner = MatchMap(MaskedMLP(1, 1, 1, layers=1), 1, 1, "max-cells", hidden=0.5)
    inputs_1R1 = torch.arange(1.0, 101)[None, :, None]
    mask_1R = torch.ones(1, 100, dtype=torch.bool)
    torch.manual_seed(0)
    seen = aligner.train().embed_regions(inputs_1R1, torch.zeros(1, 100, 4), mask_1R).mask_BR
    assert 30 < int(seen.sum()) < 70
    assert bool(aligner.eval().embed_regions(inputs_1R1, torch.zeros(1, 100, 4), mask_1R).mask_BR.all())
    aligner.hidden = 0.999999
    assert bool(aligner.train().embed_regions(inputs_1R1, torch.zeros(1, 100, 4), mask_1R).mask_BR.all())  # never none


def _rows(pixels_BHW3: torch.Tensor) -> torch.Tensor:
    """Each cell's pixels in a row, cut out box by box as the grid proposes them."""
    boxes = grid_cells(SIDE * PATCH, SIDE * PATCH, SIDE).astype(int)
    cells = [pixels_BHW3[:, y1:y2, x1:x2].flatten(1) for x1, y1, x2, y2 in boxes]
    return torch.stack(cells, dim=1)


def _images(count: int) -> torch.Tensor:
    return torch.rand(count, SIDE * PATCH, SIDE * PATCH, 3, generator=torch.Generator().manual_seed(1))


def _all_cells(count: int) -> torch.Tensor:
    return torch.ones(count, SIDE * SIDE, dtype=torch.bool)


def test_pixels_come_back_in_their_places() -> None:
    images = _images(2)
    with_geometry = torch.cat([_rows(images), torch.zeros(2, SIDE * SIDE, 9)], dim=2)
    torch.testing.assert_close(pixels_of(with_geometry, PATCH, SIDE), images.permute(0, 3, 1, 2))


def test_a_mark_is_seen_in_its_own_cell_and_not_across_the_image() -> None:
    """Row 0, column 3: the upper right, not the lower left."""
    network = PixelCells(PATCH, 16, channels=16, blocks=0).eval()
    blank, marked = torch.zeros(1, SIDE * PATCH, SIDE * PATCH, 3), torch.zeros(1, SIDE * PATCH, SIDE * PATCH, 3)
    marked[0, 2:6, 3 * PATCH + 2 : 4 * PATCH - 2] = 5
    with torch.no_grad():
        change_R = (network(_rows(marked), _all_cells(1)) - network(_rows(blank), _all_cells(1))).abs().sum(dim=2)[0]
    change_YX = change_R.reshape(SIDE, SIDE)
    assert float(change_YX[0, 3]) > 0
    assert float(change_YX[3].abs().max()) == 0
    assert float(change_YX[:, 0].abs().max()) == 0


@pytest.mark.parametrize("network", [PixelCells(PATCH, 16, 16), FeatureCells(3 * PATCH**2, 16)])
def test_in_evaluation_an_image_alone_equals_the_same_one_in_company(network: torch.nn.Module) -> None:
    rows, masks = _rows(_images(5)), _all_cells(5)
    network.train()
    network(rows, masks)  # moves the running statistics away from their start
    network.eval()
    with torch.no_grad():
        together, alone = network(rows, masks), network(rows[2:3], masks[2:3])
        torch.testing.assert_close(alone[0], together[2], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(network(rows[2:3], masks[2:3]), alone)  # and looking does not change the network
        network.train()
        assert not torch.allclose(network(rows[2:3], masks[2:3])[0], together[2], atol=1e-3)


def test_a_feature_cell_is_placed_row_by_row() -> None:
    network = FeatureCells(1, 1).eval()
    with torch.no_grad():
        network.reduce.weight.fill_(1)
        network.reduce.bias.zero_()  # type: ignore[union-attr]
        network.stage[0].weight.zero_()
        network.stage[0].weight[0, 0, 1, 2] = 1  # type: ignore[index]  # reads the neighbour on the right
        found = network(torch.arange(SIDE * SIDE).float()[None, :, None], _all_cells(1))
    expected = [[1, 2, 3, 0], [5, 6, 7, 0], [9, 10, 11, 0], [13, 14, 15, 0]]
    assert found.reshape(SIDE, SIDE).round().tolist() == expected


@pytest.mark.parametrize("missing", [1, 2])
def test_anything_but_a_whole_grid_is_refused(missing: int) -> None:
    network = PixelCells(PATCH, 16, 16)
    mask = _all_cells(1)
    if missing == 1:
        mask[0, -1] = False
    else:
        mask = mask[:, :-1]
    with pytest.raises(RegionsError, match="--grid"):
        network(torch.zeros(1, mask.shape[1], 3 * PATCH**2), mask)


def test_a_patch_is_a_power_of_two() -> None:
    with pytest.raises(ValueError, match="power of two"):
        PixelCells(6, 16)
