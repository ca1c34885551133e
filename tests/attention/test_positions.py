"""PFAN's blocks beside a loop over the blocks of the grid, and its positions beside the formulas."""

from __future__ import annotations

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from unboxed.attention.positions import PositionFocusedRegions, cover_blocks


def test_a_box_over_two_and_a_half_blocks_by_hand() -> None:
    # In a 4 x 4 grid: columns 1, 2 and half of 3, row 2. Blocks are counted down the columns.
    block, share = cover_blocks(torch.tensor([0.25, 0.5, 0.875, 0.75], dtype=torch.float64), grid=4, slots=5)
    assert block.tolist() == [1 * 4 + 2, 2 * 4 + 2, 3 * 4 + 2, 16, 16]
    assert share.tolist() == pytest.approx([0.4, 0.4, 0.2, 0, 0])


def test_the_whole_image_takes_the_first_blocks_in_equal_shares() -> None:
    block, share = cover_blocks(torch.tensor([0.0, 0.0, 1.0, 1.0]))
    assert block.tolist() == list(range(15))
    assert share.tolist() == pytest.approx([1 / 15] * 15)


def test_a_box_without_area_has_no_block() -> None:
    block, share = cover_blocks(torch.tensor([[0.5, 0.5, 0.5, 0.5], [0.9, 0.1, 0.3, 0.2]]))
    assert (block == 256).all() and (share == 0).all()


edge = st.floats(0, 1, width=32)


@given(edge, edge, edge, edge)
@example(0.0, 0.0, 1.0, 1e-9)  # a line across the image
@example(0.0, 0.49999, 0.50001, 1.0)  # slivers of blocks beside whole ones
def test_shares_are_those_of_a_loop_over_the_grid(x1: float, y1: float, x2: float, y2: float) -> None:
    (x1, x2), (y1, y2) = sorted((x1, x2)), sorted((y1, y2))
    area = {}
    for column in range(16):
        for row in range(16):
            across = max(0.0, min(x2, (column + 1) / 16) - max(x1, column / 16))
            down = max(0.0, min(y2, (row + 1) / 16) - max(y1, row / 16))
            if across * down > 0:
                area[column * 16 + row] = across * down
    best = sorted(area.values(), reverse=True)[:15]
    block, share = cover_blocks(torch.tensor([x1, y1, x2, y2], dtype=torch.float64))
    real = block < 256
    assert int(real.sum()) == len(best)
    # Which of equally covered blocks is kept is a matter of order; how much they cover is not.
    assert share[real].tolist() == pytest.approx([a / sum(best) for a in best], abs=1e-4)
    assert share[~real].tolist() == [0.0] * (15 - len(best))
    total = sum(area[int(b)] for b in block[real])
    assert share[real].tolist() == pytest.approx([area[int(b)] / total for b in block[real]])


@pytest.mark.parametrize("masked", [False, True])
def test_positions_equal_the_formulas_region_by_region(masked: bool) -> None:
    torch.manual_seed(0)
    encoder = PositionFocusedRegions(7, 8, position_width=6, masked=masked).double()
    inputs_BRV = torch.randn(2, 3, 7, dtype=torch.float64)
    corners = torch.rand(2, 3, 2, 2, dtype=torch.float64).sort(dim=2).values
    corners[1, 2] = 0.5  # no area
    edges_BR4 = corners.flatten(2)
    block_BRL, share_BRL = cover_blocks(edges_BR4)
    positions_BRE = encoder.positions(inputs_BRV, edges_BR4)
    for b in range(2):
        for r in range(3):
            vectors = encoder.embedding(block_BRL[b, r])
            suits = torch.tanh(vectors @ encoder.content(inputs_BRV[b, r]))
            real = block_BRL[b, r] < 256 if masked and bool((block_BRL[b, r] < 256).any()) else torch.ones(15).bool()
            content = suits[real].softmax(dim=0)
            mixed = (share_BRL[b, r][real] * content).softmax(dim=0)
            torch.testing.assert_close(positions_BRE[b, r], mixed @ vectors[real])


def test_regions_are_unit_vectors_that_depend_on_their_boxes_and_zero_where_padded() -> None:
    torch.manual_seed(0)
    encoder = PositionFocusedRegions(7, 8)
    inputs_BRV = torch.randn(1, 1, 7).expand(1, 3, 7)
    edges_BR4 = torch.tensor([[[0.0, 0.0, 0.2, 0.2], [0.7, 0.7, 1.0, 1.0], [0.0, 0.0, 0.0, 0.0]]])
    regions_BRD = encoder(inputs_BRV, edges_BR4, torch.tensor([[True, True, False]]))
    torch.testing.assert_close(regions_BRD.norm(dim=-1), torch.tensor([[1.0, 1.0, 0.0]]))
    assert not torch.allclose(regions_BRD[0, 0], regions_BRD[0, 1], atol=1e-3)
