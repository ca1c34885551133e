"""Heat maps of groundings, image by image."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from unboxed.evaluation.error_analysis import count_errors
from unboxed.evaluation.evaluate import GroundedExample, score_heat_maps
from unboxed.evaluation.heatmap_bootstrap import heatmap_metrics
from unboxed.inference.results import GroundedPhrase, Grounding
from unboxed.types import Caption, Example, Phrase, Regions

CELLS = np.array([[0, 0, 10, 10], [10, 0, 20, 10], [0, 10, 10, 20], [10, 10, 20, 20]], np.float32)


def item(seed: int) -> GroundedExample:
    rng = np.random.default_rng(seed)
    texts = ("a cup", "a cat")[: 1 + seed % 2]
    said = tuple(Phrase(text, 6 * p, 6 * p + 5, ("other",), str(p), CELLS[p : p + 1]) for p, text in enumerate(texts))
    caption = Caption(" ".join(texts), said)
    regions = Regions(CELLS, np.ones(4), np.zeros((4, 0)), np.zeros((4, 0)), (), ("grid",) * 4, 20, 20)
    boxes = tuple(GroundedPhrase(p.text, p.start, p.end, CELLS[3:], np.ones(1)) for p in said)
    heat_PYX = rng.random((len(said), 2, 2)).astype(np.float32)
    grounding = Grounding(caption.text, boxes, ((0, 1),), regions, np.ones((1, 4), np.float32), 20, 20, heat_PYX)
    return GroundedExample(Example(f"image {seed}", Path("photo.jpg"), (caption,), 20, 20), (grounding,))


def test_metrics_per_image_add_up_to_the_scores_of_all_images() -> None:
    items = [item(seed) for seed in range(7)]
    items[3] = replace(items[3], groundings=())  # without regions: wrong, not left out
    whole = score_heat_maps(items)
    assert whole is not None
    metrics = heatmap_metrics(items)
    assert metrics["pointing_heatmap"].value == pytest.approx(whole.pointing_heatmap)
    assert metrics["heat_inside"].value == pytest.approx(whole.heat_inside)
    assert metrics["pointing_heatmap"].interval() == pytest.approx(whole.interval)


def test_without_maps_there_is_no_such_metric() -> None:
    bare = item(1)
    assert heatmap_metrics([replace(bare, groundings=(replace(bare.groundings[0], heat_PYX=None),))]) == {}


def test_cells_of_a_map_are_no_proposals() -> None:
    assert count_errors([item(0)]).total == (0, 1, 0, 0, 0, 0)  # no box that was read off the map is right
