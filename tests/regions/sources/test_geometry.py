"""Geometric sources: cells that tile the image, unions of one class."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from unboxed.regions.base import Detected
from unboxed.regions.image_view import View
from unboxed.regions.settings import RegionSettings
from unboxed.regions.sources import Grid, WholeImage
from unboxed.regions.sources.geometry import grid_cells, person_scores, unions


def test_the_whole_image_is_one_box() -> None:
    source = WholeImage.open(RegionSettings())
    assert source is not None and WholeImage.open(RegionSettings(whole_image=False, grid=1)) is None
    found = source.propose(View(Image.new("RGB", (40, 20)), (40, 20)), (), Detected.none())
    assert (found.boxes.tolist(), found.scores.tolist(), found.sources) == ([[0, 0, 40, 20]], [1], ("image",))


def test_cells_are_listed_row_by_row() -> None:
    source = Grid.open(RegionSettings(grid=2))
    assert source is not None and Grid.open(RegionSettings()) is None
    found = source.propose(View(Image.new("RGB", (40, 20)), (40, 20)), (), Detected.none())
    np.testing.assert_allclose(found.boxes, [[0, 0, 20, 10], [20, 0, 40, 10], [0, 10, 20, 20], [20, 10, 40, 20]])
    assert found.sources == ("grid",) * 4


@given(st.integers(1, 5000), st.integers(1, 5000), st.integers(1, 12))
def test_cells_tile_the_image(width: int, height: int, cells: int) -> None:
    boxes = grid_cells(width, height, cells)
    sizes = boxes[:, 2:] - boxes[:, :2]
    np.testing.assert_allclose(sizes, np.tile([width / cells, height / cells], (cells**2, 1)), rtol=1e-3)
    np.testing.assert_allclose(sizes.prod(axis=1, dtype=np.float64).sum(), width * height, rtol=1e-4)
    assert boxes.min() == 0 and boxes[-1, 2:].tolist() == [width, height]


def test_person_scores_are_the_best_of_all_kinds_of_person() -> None:
    scores = np.array([[0.2, 0.5, 0.9], [0.1, 0.0, 0.3]], np.float32)
    np.testing.assert_allclose(person_scores(scores, ("Person", "woman", "dog")), [0.5, 0.1])
    np.testing.assert_allclose(person_scores(scores, ("cat", "cow", "dog")), [0, 0])


def test_unions_are_of_one_class() -> None:
    boxes = np.array([[0, 0, 10, 10], [20, 0, 30, 10], [40, 0, 50, 10], [60, 60, 70, 70]], np.float32)
    scores = np.array([[0.9, 0], [0.8, 0], [0.5, 0], [0, 0.9]], np.float32)
    found = unions(boxes, scores, count=4, threshold=0.3)
    np.testing.assert_allclose(found.boxes, [[0, 0, 50, 10], [0, 0, 30, 10]])
    np.testing.assert_allclose(found.scores, 0.8)  # as sure as the second best is
    assert {row: members.tolist() for row, members in found.members.items()} == {
        0: [[0, 0, 10, 10], [20, 0, 30, 10]],
        1: [[0, 0, 10, 10], [20, 0, 30, 10]],
    }
    assert len(unions(boxes, scores, count=1, threshold=0.3)) == 1
    assert len(unions(boxes, scores, count=4, threshold=0.85)) == 0
