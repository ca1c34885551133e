"""Body parts of detected persons.

Captions mention hats, shirts and trousers; detectors of everyday classes box none of them. A segmenter of parts runs on
the crop of each person, and gives a box around each part. Without one, head, torso and legs are fractions of the box.

The network has an output [n, K, h, w] of K parts, the largest of which a cell shows, and one [n, 1, h, w], the logit
that the cell shows a person at all (BodyPix: `float_part_heatmaps` and `float_segments`). The metadata `part_classes`
name the K parts; those of BodyPix are known. The input is RGB, (x - 127.5) / 127.5 unless `mean` and `std` are given.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from unboxed import boxes as box_arithmetic
from unboxed.errors import RegionsError
from unboxed.regions.base import Detected, Proposals, RegionSource
from unboxed.regions.image_view import View
from unboxed.regions.networks import Network, check_channels, class_list
from unboxed.regions.settings import RegionSettings
from unboxed.types import Array

__all__ = ["BODY_PARTS", "PartSegmenter", "PersonParts", "part_boxes", "person_thirds"]

BODY_PARTS: dict[str, tuple[tuple[str, ...], ...]] = {
    "head": (("face",),),
    "torso": (("torso", "upper_arm"),),
    "legs": (("upper_leg", "lower_leg"),),
    "face": (("face",),),
    "arms": (("upper_arm", "lower_arm", "hand"),),
    "hand": (("left_hand",), ("right_hand",)),
    "feet": (("foot",),),
}
"""The proposed parts, each of the segmenter's parts whose names contain one of the words. `hand` gives two boxes."""

_CROP_HEIGHT, _CROP_WIDTH = 353, 257  # BodyPix: a multiple of 16, plus 1
_MARGIN = 0.08  # of the person's box on each side
_FINER = 4  # heat maps are interpolated to this many times their rows and columns
_FEWEST = 6  # cells of the finer map that a part covers
_ABOVE_FACE = 0.3  # of the face's height: hair and hats


class PersonParts(RegionSource):
    """Parts of the highest-scored persons: segmented ones, or head, torso and legs as fractions of the person's box."""

    names = tuple(BODY_PARTS)
    settings = ("parts",)
    needs = "a detector of persons; better with a segmenter of parts (`part_segmenter`)"
    finds = "hats, shirts, trousers, hands, shoes"
    ranked = True
    one_thing = False

    def __init__(self, settings: RegionSettings) -> None:
        super().__init__(settings)
        self._segmenter = PartSegmenter(settings.part_segmenter) if settings.part_segmenter else None

    def propose(self, view: View, outputs: Sequence[Any], detected: Detected) -> Proposals:
        """The parts of one person after the other."""
        options = self.options
        best = np.argsort(-detected.person_scores, kind="stable")[: options.parts]
        persons = best[detected.person_scores[best] >= options.member_score]
        boxes, scores = detected.boxes[persons], detected.person_scores[persons]
        if self._segmenter is None or not len(persons):
            shape = (view.original_size[0] / view.size[0], view.original_size[1] / view.size[1])
            return person_thirds(boxes, scores, shape)
        found = [
            Proposals(parts, np.full(len(parts), score, np.float32), names)
            for (parts, names), score in zip(self._segmenter(view, boxes), scores, strict=True)
        ]
        return Proposals.joined(found)


class PartSegmenter:
    """A segmenter of body parts, read from an ONNX file.

    Args:
        path: the file.

    Raises:
        RegionsError: no such outputs, or parts that are unnamed or unknown.
    """

    def __init__(self, path: Path) -> None:
        self._network = network = Network(path)
        maps = {name: shape[1] for name, shape in network.outputs if len(shape) == 4}
        parts = [name for name in maps if "part" in name]
        persons = [name for name, count in maps.items() if "segment" in name and count in (1, None)]
        if len(parts) != 1 or len(persons) != 1:
            raise RegionsError(
                f"{path} has the outputs {network.describe_outputs()}; a segmenter of parts needs one named `…part…` "
                "[n, K, h, w] and one named `…segment…` [n, 1, h, w]."
            )
        self._outputs = [parts[0], persons[0]]
        self._names = class_list(network, None, maps[parts[0]], keys=("part_classes", "parts"))
        known = sorted({word for groups in BODY_PARTS.values() for words in groups for word in words})
        if not any(word in name for word in known for name in self._names):
            raise RegionsError(
                f"{path} has the parts {', '.join(self._names[:8])}; none of their names contains one of "
                f"{', '.join(known)}."
            )

    def __call__(self, view: View, boxes: Array) -> list[tuple[Array, tuple[str, ...]]]:
        """The boxes `[N, 4]` of the parts of each person, in pixels of the image, and their names in `BODY_PARTS`."""
        height, width = self._network.input_size[::-1] if self._network.input_size else (_CROP_HEIGHT, _CROP_WIDTH)
        margin = _MARGIN * np.tile(boxes[:, 2:] - boxes[:, :2], 2) * np.array([-1, -1, 1, 1], np.float32)
        windows = box_arithmetic.clip(np.asarray(boxes + margin, np.float32), *view.size)
        crops = np.stack([view.crop(window, width, height) for window in windows])
        heat_NKYX, person_N1YX = self._network.run_normalized(crops, self._outputs)
        check_channels(self._network, heat_NKYX.shape[1], self._names)
        found = []
        for window, heat_KYX, person_1YX in zip(windows, heat_NKYX, person_N1YX, strict=True):
            parts, names = part_boxes(heat_KYX, person_1YX[0], self._names)
            extent = np.tile(window[2:] - window[:2], 2)
            found.append((np.asarray(np.tile(window[:2], 2) + parts * extent, np.float32), names))
        return found


def part_boxes(heat_KYX: Array, person_YX: Array, part_names: Sequence[str]) -> tuple[Array, tuple[str, ...]]:
    """The boxes around the parts of one person, in shares of the crop, and their names in `BODY_PARTS`.

    Args:
        heat_KYX: how well each cell shows each of K parts.
        person_YX: the logit that a cell shows a person.
        part_names: the K names.

    Returns:
        `[N, 4]` and N names; a part that the crop does not show is left out.
    """
    heat_KYX = np.stack([_interpolated(plane_YX) for plane_YX in heat_KYX])
    part_YX = np.where(_interpolated(person_YX) > 0, heat_KYX.argmax(axis=0), -1)
    rows, columns = part_YX.shape
    boxes: list[tuple[float, float, float, float]] = []
    names: list[str] = []
    for name, groups in BODY_PARTS.items():
        for words in groups:
            members = [k for k, part in enumerate(part_names) if any(word in part for word in words)]
            shown_YX = np.isin(part_YX, members)
            if shown_YX.sum() < _FEWEST:
                continue
            y, x = np.nonzero(shown_YX)
            top, bottom = y.min() / rows, (y.max() + 1) / rows
            if name == "head":
                top = max(0.0, top - _ABOVE_FACE * (bottom - top))
            boxes.append((x.min() / columns, top, (x.max() + 1) / columns, bottom))
            names.append(name)
    return np.array(boxes, np.float32).reshape(-1, 4), tuple(names)


def person_thirds(boxes: Array, scores: Array, shape: tuple[float, float]) -> Proposals:
    """Head, torso and legs of persons, as fractions of their boxes.

    The shoulders are as wide as the box, but at most six tenths of its height, since spread arms are wider. The head is
    a little less than half as high as the shoulders are wide, so the rule holds for whole and for half bodies. The legs
    are the lower half of the box.

    Args:
        boxes: `[N, 4]` pixels of the image.
        scores: `[N]` of the persons.
        shape: (x, y) factors from pixels of the stored image to pixels of its original shape.
    """
    parts: list[list[float]] = []
    for x1, y1, x2, y2 in boxes.tolist():
        height = y2 - y1
        # The width in the unit of the height: the image may have been stored in another shape.
        shoulders = min((x2 - x1) * shape[0] / shape[1], 0.6 * height)
        head = 0.45 * shoulders
        centre, half_head = (x1 + x2) / 2, 0.24 * shoulders * shape[1] / shape[0]
        parts.append([centre - half_head, y1, centre + half_head, y1 + head])
        parts.append([x1, y1 + 0.8 * head, x2, min(y1 + 0.8 * head + 1.05 * shoulders, y2)])
        parts.append([x1, y1 + 0.5 * height, x2, y2])
    names = ("head", "torso", "legs") * len(boxes)
    return Proposals(np.array(parts, np.float32).reshape(-1, 4), np.repeat(scores, 3).astype(np.float32), names)


def _interpolated(plane_YX: Array) -> Array:
    rows, columns = plane_YX.shape
    size = (columns * _FINER, rows * _FINER)
    return np.asarray(Image.fromarray(plane_YX.astype(np.float32)).resize(size, Image.Resampling.BILINEAR))
