"""Body parts: fractions of a person's box, boxes around segmented parts on a hand-made map, and files that are none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from unboxed.errors import RegionsError
from unboxed.regions.base import Detected
from unboxed.regions.image_view import View
from unboxed.regions.settings import RegionSettings
from unboxed.regions.sources import PersonParts
from unboxed.regions.sources.body_parts import PartSegmenter, part_boxes, person_thirds

PARTS = ("left_face", "right_face", "torso_front", "left_hand", "right_hand", "left_foot")


def persons(scores: list[float], box: tuple[int, int, int, int] = (0, 0, 40, 90)) -> Detected:
    count = len(scores)
    return Detected(
        boxes=np.tile(np.array([box], np.float32), (count, 1)),
        scores=np.array(scores, np.float32),
        sources=("detector",) * count,
        class_scores=np.array(scores, np.float32)[:, None],
        person_scores=np.array(scores, np.float32),
    )


def heat_maps(cells: dict[str, tuple[slice, slice]], rows: int = 10, columns: int = 8) -> tuple[np.ndarray, np.ndarray]:
    """Heat maps of `PARTS` that are hot in the given cells, and the person's logit, which is positive there alone."""
    heat = np.full((len(PARTS), rows, columns), -1, np.float32)
    person = np.full((rows, columns), -5, np.float32)
    for name, where in cells.items():
        heat[PARTS.index(name)][where] = 5
        person[where] = 5
    return heat, person


def test_thirds_of_a_standing_person_lie_in_order_inside_it() -> None:
    boxes = np.array([[10, 0, 50, 100]], np.float32)
    found = person_thirds(boxes, np.array([0.9], np.float32), (1.0, 1.0))
    assert found.sources == ("head", "torso", "legs")
    head, torso, legs = found.boxes
    assert (head[0] + head[2]) / 2 == 30
    assert head[1] == 0 and head[3] < 0.25 * 100
    assert head[1] < torso[1] < legs[1] and legs[3] == 100
    # The same person stored squashed to half the width has the same parts, half as wide.
    squashed = person_thirds(boxes * np.array([0.5, 1, 0.5, 1], np.float32), np.array([0.9], np.float32), (2.0, 1.0))
    np.testing.assert_allclose(squashed.boxes, found.boxes * [0.5, 1, 0.5, 1], rtol=1e-5)


def test_only_the_best_persons_have_parts() -> None:
    view = View(Image.new("RGB", (100, 100)), (100, 100))
    source = PersonParts.open(RegionSettings(parts=3, member_score=0.3))
    assert source is not None and PersonParts.open(RegionSettings(parts=0)) is None
    np.testing.assert_allclose(source.propose(view, (), persons([0.4, 0.2, 0.9])).scores, [0.9] * 3 + [0.4] * 3)
    assert len(PersonParts(RegionSettings(parts=1)).propose(view, (), persons([1.0, 1.0, 1.0]))) == 3


def test_boxes_around_segmented_parts() -> None:
    heat, person = heat_maps(
        {
            "left_face": (slice(2, 4), slice(2, 4)),
            "right_face": (slice(2, 4), slice(4, 6)),
            "torso_front": (slice(4, 8), slice(1, 7)),
            "right_hand": (slice(7, 8), slice(7, 8)),
        }
    )
    boxes, names = part_boxes(heat, person, PARTS)
    assert names == ("head", "torso", "face", "arms", "hand")  # no legs, one hand, no feet; the hand is all of the arms
    of = dict(zip(names, boxes, strict=True))
    cell = np.array([1 / 8, 1 / 10, 1 / 8, 1 / 10])
    np.testing.assert_allclose(of["face"], [2, 2, 6, 4] * cell, atol=0.07)
    np.testing.assert_allclose(of["torso"], [1, 4, 7, 8] * cell, atol=0.07)
    assert of["head"][1] < of["face"][1] and np.array_equal(of["head"][[0, 2, 3]], of["face"][[0, 2, 3]])
    nobody = part_boxes(heat, np.full_like(person, -5), PARTS)
    assert nobody[0].shape == (0, 4) and nobody[1] == ()


def test_segmented_parts_lie_in_the_box_of_their_person(tmp_path: Path, graphs: Any) -> None:
    heat, person = heat_maps({"torso_front": (slice(2, 8), slice(2, 6))})
    path = graphs.constant(
        tmp_path / "parts.onnx",
        {"part_heatmaps": heat[None], "segments": person[None, None]},
        size=(160, 128),
        metadata={"part_classes": ",".join(PARTS)},
    )
    source = PersonParts(RegionSettings(part_segmenter=path, parts=1))
    found = source.propose(View(Image.new("RGB", (100, 100)), (100, 100)), (), persons([0.8], (20, 10, 60, 90)))
    assert found.sources == ("torso",) and found.scores.tolist() == pytest.approx([0.8])
    # The crop has a margin of 8 % of the box on each side: 16.8 to 63.2, and 3.6 to 96.4.
    x1, y1, x2, y2 = found.boxes[0]
    assert x1 == pytest.approx(16.8 + 46.4 * 2 / 8, abs=3) and x2 == pytest.approx(16.8 + 46.4 * 6 / 8, abs=3)
    assert y1 == pytest.approx(3.6 + 92.8 * 2 / 10, abs=5) and y2 == pytest.approx(3.6 + 92.8 * 8 / 10, abs=5)
    assert not len(source.propose(View(Image.new("RGB", (9, 9)), (9, 9)), (), Detected.none()))


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("", "carries no class names; give them as `part_classes` in its metadata or in a file parts.toml beside it"),
        ("left_face,torso_front", "puts out 6 classes, but the metadata of .*parts.onnx names 2"),
        ("a,b,c,d,e,f", "has the parts a, b, c, d, e, f; none of their names contains one of face, foot"),
    ],
)
def test_parts_that_do_not_match_their_list(tmp_path: Path, graphs: Any, names: str, message: str) -> None:
    heat, person = heat_maps({})
    outputs = {"part_heatmaps": heat[None], "segments": person[None, None]}
    path = graphs.constant(tmp_path / "parts.onnx", outputs, metadata={"part_classes": names})
    with pytest.raises(RegionsError, match=message):
        PartSegmenter(path)


def test_a_file_beside_the_network_names_its_parts(tmp_path: Path, graphs: Any) -> None:
    heat, person = heat_maps({"left_foot": (slice(0, 4), slice(0, 4))})
    outputs = {"part_heatmaps": heat[None], "segments": person[None, None]}
    path = graphs.constant(tmp_path / "parts.onnx", outputs, size=(160, 128))
    (tmp_path / "parts.toml").write_text(f"part_classes = {list(PARTS)}", encoding="utf-8")
    view = View(Image.new("RGB", (50, 50)), (50, 50))
    ((_, names),) = PartSegmenter(path)(view, np.array([[0, 0, 50, 50]], np.float32))
    assert names == ("feet",)


def test_a_network_without_parts_is_named(tmp_path: Path, graphs: Any) -> None:
    path = graphs.constant(tmp_path / "other.onnx", {"logits": np.zeros((1, 4, 8, 8))})
    with pytest.raises(RegionsError, match=r"other.onnx has the outputs logits \[1, 4, 8, 8\]; a segmenter of parts"):
        RegionSettings(part_segmenter=path) and PartSegmenter(path)
