"""Cells of photographs: their order, what they see, and that evaluation does not depend on the company."""

from __future__ import annotations

import pytest
import torch

from unboxed.attention.cell_encoders import FeatureCells, PixelCells, pixels_of
from unboxed.errors import RegionsError
from unboxed.regions.sources.grid import grid_cells

SIDE, PATCH = 4, 8


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
def test_in_evaluation_a_image_alone_equals_the_same_one_in_company(network: torch.nn.Module) -> None:
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
