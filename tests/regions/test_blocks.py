"""PFAN's thirty columns: computed from boxes as a plain loop does, written, and read back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from unboxed.errors import RegionsError
from unboxed.regions.blocks import block_columns, read_blocks


def _naive(box: np.ndarray, width: float, height: float) -> dict[int, float]:
    """Block `column * 16 + row` -> share of the fifteen largest areas that the box has in common with blocks."""
    areas = {}
    for column in range(16):
        for row in range(16):
            left, top = column * width / 16, row * height / 16
            across = min(box[2], left + width / 16) - max(box[0], left)
            down = min(box[3], top + height / 16) - max(box[1], top)
            if across > 0 and down > 0:
                areas[column * 16 + row] = across * down
    largest = sorted(areas.values(), reverse=True)[:15]
    return {block: area / sum(largest) for block, area in areas.items()}


def test_columns_are_blocks_and_their_shares(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    corners = np.sort(rng.uniform(0, 1, (6, 4, 2, 2)), axis=2).reshape(6, 4, 4) * [320, 160, 320, 160]
    corners[0, 0] = [0, 0, 10, 5]  # inside one block
    columns = block_columns(corners, 320, 160)
    assert (columns.shape, columns.dtype) == ((6, 4, 30), np.float64)
    np.save(tmp_path / "dev_boxes.npy", columns)
    blocks = read_blocks(tmp_path / "dev_boxes.npy")
    assert blocks.block[0, 0].tolist() == [0] + [256] * 14 and blocks.share[0, 0].tolist() == [1] + [0] * 14
    np.testing.assert_allclose(blocks.share.sum(axis=-1), 1)
    assert (np.diff(blocks.share, axis=-1) <= 1e-4).all()
    for box, block, share in zip(
        corners.reshape(-1, 4), blocks.block.reshape(-1, 15), blocks.share.reshape(-1, 15), strict=True
    ):
        expected = _naive(box, 320, 160)
        assert (block < 256).sum() == min(len(expected), 15)
        for number, part in zip(block.tolist(), share.tolist(), strict=True):
            assert part == pytest.approx(expected.get(number, 0), abs=1e-5)
    again = read_blocks(tmp_path / "dev_boxes.npy", slice(2, 4))
    np.testing.assert_array_equal(np.concatenate([again.block, again.share], axis=-1), columns[2:4])


def test_other_files_are_refused(tmp_path: Path) -> None:
    for values, message in (
        (np.zeros((2, 3, 4)), "has 4 columns; expected 30. Four columns are boxes"),
        (np.zeros((2, 3, 5)), r"has 5 columns; expected 30\.$"),
        (np.full((2, 3, 30), 257.0), "no blocks"),
        (np.full((2, 3, 30), 0.5), "no blocks"),
        (np.zeros((2, 30)), "expected floating-point numbers with 3 axes"),
    ):
        np.save(tmp_path / "dev_boxes.npy", values)
        with pytest.raises(RegionsError, match=message):
            read_blocks(tmp_path / "dev_boxes.npy")
