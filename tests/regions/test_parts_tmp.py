"""Pooling against a loop over pixels, colours by name, evidence and boxes against hand-made cases."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from unboxed.regions.features.pooling import box_sums, pool

from unboxed.regions.features.colour import COLOUR_NAMES, COLOUR_WIDTH, colour_features, name_colours
from unboxed.regions.features.texture import TEXTURE_WIDTH, texture_features
from unboxed.regions.image_view import View
from unboxed.regions.proposals import FeatureMap
from unboxed.regions.sources.derived import person_parts, unions
from unboxed.regions.sources.grid import grid_cells, whole_image
from unboxed.regions.sources.segmenter import class_boxes, class_evidence
from unboxed.regions.sources.segments import segment_boxes


def test_pooled_means_of_a_hand_made_map() -> None:
    plane = FeatureMap("m", np.arange(4, dtype=np.float32).reshape(1, 2, 2), (0, 0, 20, 20))
    boxes = np.array([[0, 0, 20, 20], [0, 0, 10, 10], [5, 0, 15, 10], [10, 5, 20, 20], [12, 12, 13, 13]], np.float32)
    expected = [1.5, 0.0, 0.5, (1 * 5 + 3 * 10) / 15, 3.0]  # the last is smaller than a cell
    np.testing.assert_allclose(pool(plane, boxes)[:, 0], expected, rtol=1e-5)


@given(st.integers(0, 2**32 - 1))
def test_pooling_equals_the_mean_over_the_pixels_of_each_cell(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(2, 3, 5)).astype(np.float32)
    x1, y1 = rng.integers(0, 45), rng.integers(0, 25)
    x2, y2 = rng.integers(x1 + 1, 51), rng.integers(y1 + 1, 31)
    pixels = values.repeat(10, axis=1).repeat(10, axis=2)  # every cell drawn as 10 x 10 pixels
    naive = pixels[:, y1:y2, x1:x2].mean(axis=(1, 2))
    pooled = pool(FeatureMap("m", values, (0, 0, 50, 30)), np.array([[x1, y1, x2, y2]], np.float32))[0]
    np.testing.assert_allclose(pooled, naive, atol=1e-4)


@given(st.integers(0, 2**32 - 1))
def test_pooling_adds_in_the_order_of_a_cumulative_sum(seed: int) -> None:
    """Not one bit may differ: regions found before would no longer be those found now."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(rng.integers(1, 6), rng.integers(1, 8), rng.integers(1, 8))).astype(np.float32)
    _, rows, columns = values.shape
    table = np.pad(values.astype(np.float64).cumsum(axis=1).cumsum(axis=2), ((0, 0), (1, 0), (1, 0)))
    left, top = rng.integers(0, columns, 9), rng.integers(0, rows, 9)
    right, bottom = rng.integers(left + 1, columns + 1), rng.integers(top + 1, rows + 1)
    naive = table[:, bottom, right] - table[:, bottom, left] - table[:, top, right] + table[:, top, left]
    cells = np.stack([left, top, right, bottom], axis=1).astype(np.float64)
    np.testing.assert_array_equal(box_sums(values, cells), naive.T)


def test_a_box_outside_the_window_takes_the_nearest_cell() -> None:
    plane = FeatureMap("m", np.array([[[1, 2]]], np.float32), (0, 0, 2, 1))
    boxes = np.array([[5, 0, 6, 1], [-3, 0, -2, 1], [1, 0, 1, 0]], np.float32)
    np.testing.assert_allclose(pool(plane, boxes)[:, 0], [2, 1, 2])


@pytest.mark.parametrize(
    ("rgb", "name"),
    [
        ((5, 5, 5), "black"),
        ((128, 128, 128), "grey"),
        ((250, 250, 250), "white"),
        ((220, 20, 30), "red"),
        ((255, 140, 0), "orange"),
        ((110, 70, 35), "brown"),
        ((250, 230, 40), "yellow"),
        ((40, 150, 50), "green"),
        ((30, 60, 200), "blue"),
        ((25, 30, 80), "blue"),
        ((130, 40, 180), "purple"),
        ((250, 150, 190), "pink"),
    ],
)
def test_colours_have_their_everyday_names(rgb: tuple[int, int, int], name: str) -> None:
    assert COLOUR_NAMES[int(name_colours(np.array([[rgb]], np.uint8))[0, 0])] == name


def test_colour_features_tell_shirt_from_trousers() -> None:
    pixels = np.zeros((20, 20, 3), np.uint8)
    pixels[:10], pixels[10:] = (220, 20, 30), (30, 60, 200)
    features = colour_features(pixels, np.array([[0, 0, 40, 40]], np.float32), 40, 40)[0]
    whole, upper, lower = features.reshape(3, 12)
    assert features.shape == (COLOUR_WIDTH,)
    red, blue = COLOUR_NAMES.index("red"), COLOUR_NAMES.index("blue")
    np.testing.assert_allclose([whole[red], whole[blue], upper[red], lower[blue]], [0.5, 0.5, 1, 1], atol=1e-5)
    np.testing.assert_allclose(features.reshape(3, 12)[:, :11].sum(axis=1), 1, atol=1e-5)


def test_texture_knows_upright_from_level_stripes() -> None:
    stripes = np.zeros((32, 32, 3), np.uint8)
    stripes[:, ::4] = stripes[:, 1::4] = 255
    boxes = np.array([[0, 0, 32, 32]], np.float32)
    upright, level = (texture_features(p, boxes, 32, 32)[0] for p in (stripes, stripes.transpose(1, 0, 2).copy()))
    assert upright.shape == (TEXTURE_WIDTH,)
    assert np.isfinite(upright).all()
    edges_upright, edges_level = upright[:128].reshape(16, 8), level[:128].reshape(16, 8)
    assert (edges_upright.argmax(axis=1) == 0).all()
    assert (edges_level.argmax(axis=1) == 4).all()


@given(st.integers(0, 2**32 - 1))
def test_flat_and_noisy_pictures_have_finite_descriptors(seed: int) -> None:
    rng = np.random.default_rng(seed)
    pixels = np.full((24, 31, 3), rng.integers(0, 256, 3), np.uint8)
    pixels[5:9, 3:20] = rng.integers(0, 256, 3)
    low = rng.uniform(0, 40, (20, 2))
    boxes = np.concatenate([low, low + rng.uniform(0, 30, (20, 2))], axis=1).astype(np.float32)
    texture, colour = texture_features(pixels, boxes, 62, 48), colour_features(pixels, boxes, 62, 48)
    assert np.isfinite(texture).all()
    assert (colour >= 0).all() and (colour <= 1).all()


def test_the_outline_of_a_disc_is_in_the_middle() -> None:
    y, x = np.mgrid[:36, :36]
    pixels = np.full((36, 36, 3), 255, np.uint8)
    pixels[(x - 17.5) ** 2 + (y - 17.5) ** 2 < 100] = (200, 0, 0)
    outline = texture_features(pixels, np.array([[0, 0, 36, 36]], np.float32), 36, 36)[0, -36:].reshape(6, 6)
    assert outline[2:4, 2:4].min() > 0.9
    assert outline[0].max() < 0.1


def test_segment_boxes_find_drawn_things() -> None:
    pixels = np.full((120, 160, 3), (200, 220, 240), np.uint8)
    pixels[20:60, 30:70], pixels[70:110, 100:150] = (200, 30, 30), (30, 120, 40)
    found = segment_boxes(pixels, 320, 240, count=10, threshold=0.7)
    for thing in ([60, 40, 140, 120], [200, 140, 300, 220]):
        assert np.abs(found.boxes - thing).max(axis=1).min() <= 6


def test_one_colour_has_one_segment() -> None:
    found = segment_boxes(np.full((40, 40, 3), 90, np.uint8), 40, 40, count=10, threshold=0.7)
    np.testing.assert_allclose(found.boxes, [[0, 0, 40, 40]])


def test_grid_and_whole_image() -> None:
    np.testing.assert_allclose(whole_image(40, 20).boxes, [[0, 0, 40, 20]])
    np.testing.assert_allclose(
        grid_cells(40, 20, 2).boxes, [[0, 0, 20, 10], [20, 0, 40, 10], [0, 10, 20, 20], [20, 10, 40, 20]]
    )


def stuff_with_two_patches() -> np.ndarray:
    """Class 0 (of one, and background) on two patches of an 8 x 10 map, one of 12 and one of 4 cells."""
    named = np.zeros((8, 10), np.float32)
    named[1:5, 1:4] = named[6:8, 8:10] = 1
    return np.stack([named, 1 - named])


def test_segmenter_boxes_are_components_and_whole_classes() -> None:
    found = class_boxes(stuff_with_two_patches(), width=100, height=80, count=12)
    np.testing.assert_allclose(found.boxes, [[10, 10, 100, 80], [10, 10, 40, 50], [80, 60, 100, 80]])
    np.testing.assert_allclose(found.scores, 1)


def test_class_evidence_is_the_harmonic_mean_of_purity_and_share() -> None:
    boxes = np.array([[10, 10, 40, 50], [0, 0, 100, 80], [50, 0, 60, 10], [10, 10, 40, 30]], np.float32)
    purity, share = np.array([1, 16 / 80, 0, 1]), np.array([12 / 16, 1, 0, 6 / 16])
    expected = 2 * purity * share / np.maximum(purity + share, 1e-9)
    np.testing.assert_allclose(class_evidence(stuff_with_two_patches(), boxes, 100, 80)[:, 0], expected, atol=1e-5)


def test_parts_of_a_standing_person_lie_in_order_inside_it() -> None:
    boxes = np.array([[10, 0, 50, 100], [0, 0, 10, 10]], np.float32)
    found = person_parts(boxes, np.array([0.9, 0.1], np.float32), (1.0, 1.0), count=3, threshold=0.3)
    assert found.sources == ("head", "torso", "legs")
    head, torso, legs = found.boxes
    assert (head[0] + head[2]) / 2 == 30
    assert head[1] == 0 and head[3] < 0.25 * 100
    assert head[1] < torso[1] < legs[1] and legs[3] == 100
    # The same person stored squashed to half the width has the same parts, half as wide.
    half = boxes * np.array([0.5, 1, 0.5, 1], np.float32)
    squashed = person_parts(half, np.array([0.9, 0.1], np.float32), (2.0, 1.0), count=3, threshold=0.3)
    np.testing.assert_allclose(squashed.boxes, found.boxes * [0.5, 1, 0.5, 1], rtol=1e-5)


def test_only_the_best_persons_have_parts() -> None:
    boxes = np.tile(np.array([[0, 0, 40, 90]], np.float32), (3, 1))
    found = person_parts(boxes, np.array([0.4, 0.2, 0.9], np.float32), (1, 1), count=3, threshold=0.3)
    np.testing.assert_allclose(found.scores, [0.9] * 3 + [0.4] * 3, rtol=1e-6)
    assert len(person_parts(boxes, np.ones(3, np.float32), (1, 1), count=1, threshold=0.3)) == 3


def test_unions_are_of_one_class() -> None:
    boxes = np.array([[0, 0, 10, 10], [20, 0, 30, 10], [40, 0, 50, 10], [60, 60, 70, 70]], np.float32)
    scores = np.array([[0.9, 0], [0.8, 0], [0.5, 0], [0, 0.9]], np.float32)
    found, members = unions(boxes, scores, count=4, threshold=0.3)
    np.testing.assert_allclose(found.boxes, [[0, 0, 50, 10], [0, 0, 30, 10]])
    np.testing.assert_allclose(found.scores, 0.8)  # as sure as the second best is
    assert members == [(0, 1, 2), (0, 1)]


def test_a_view_maps_boxes_back_through_resizing_and_padding() -> None:
    view = View(Image.new("RGB", (224, 224)), (500, 375))
    padded = view.fitted(448, 64, pad=114)
    assert padded.pixels.shape == (384, 448, 3)  # 448 x 336, padded to multiples of 64
    assert (padded.pixels[336:] == 114).all() and (padded.pixels[:336] == 0).all()
    np.testing.assert_allclose(padded.to_image(np.array([[0, 0, 448, 336]], np.float32)), [[0, 0, 224, 224]])
    stretched = view.fitted(352, 32)
    assert stretched.pixels.shape == (256, 352, 3)
    assert stretched.window == (0, 0, 224, 224)
