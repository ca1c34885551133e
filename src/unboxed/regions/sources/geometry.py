"""Sources of plain geometry, without weights: the whole image, a grid, and boxes derived from detected ones.

Captions mention hats, shirts and trousers, and “two men”; detectors of everyday classes box neither. So the parts of
persons, and unions of several things of one class, are derived from their boxes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from unboxed import boxes as box_arithmetic
from unboxed.regions.base import Detected, Proposals, RegionSource
from unboxed.regions.image_view import View
from unboxed.types import Array

__all__ = [
    "PERSON_CLASSES",
    "Grid",
    "Unions",
    "WholeImage",
    "grid_cells",
    "person_scores",
    "unions",
]

PERSON_CLASSES = frozenset(
    [
        *("person", "people", "man", "men", "woman", "women", "boy", "girl", "child", "kid", "baby"),
        *("player", "pedestrian", "human", "guy", "lady"),
    ]
)


class WholeImage(RegionSource):
    """One box: the whole image."""

    names = ("image",)
    settings = ("whole_image",)
    finds = "scenes, crowds, close-ups"
    one_thing = False
    always_kept = True

    def propose(self, view: View, outputs: Sequence[Any], detected: Detected) -> Proposals:
        """One box."""
        return Proposals.of([(0, 0, *view.size)], "image")


class Grid(RegionSource):
    """The n x n equal cells of the image."""

    names = ("grid",)
    settings = ("grid",)
    finds = "anything, roughly"

    def propose(self, view: View, outputs: Sequence[Any], detected: Detected) -> Proposals:
        """The cells, row by row."""
        return Proposals.of(grid_cells(*view.size, self.options.grid), "grid")


class Unions(RegionSource):
    """Boxes around several detected things of one class."""

    names = ("union",)
    settings = ("unions",)
    needs = "a detector"
    finds = "two men, a group of people"
    ranked = True
    one_thing = False

    def propose(self, view: View, outputs: Sequence[Any], detected: Detected) -> Proposals:
        """The unions of the best members first, see `unions`."""
        return unions(detected.boxes, detected.class_scores, self.options.unions, self.options.member_score)


def grid_cells(width: int, height: int, cells: int) -> Array:
    """The `cells` x `cells` equal boxes that tile an image, row by row, `[cells², 4]`."""
    y, x = np.mgrid[:cells, :cells].reshape(2, -1)
    corners = np.stack([x, y, x + 1, y + 1], axis=1) / cells
    return np.asarray(corners * np.array([width, height, width, height]), dtype=np.float32)


def person_scores(class_scores: Array, class_names: tuple[str, ...]) -> Array:
    """`[N]`: the best score of each of N boxes in a class that is a kind of person; 0 without such a class.

    Args:
        class_scores: `[N, K]`.
        class_names: the K names.
    """
    columns = [k for k, name in enumerate(class_names) if name.lower() in PERSON_CLASSES]
    if not columns:
        return np.zeros(len(class_scores), np.float32)
    return np.asarray(class_scores[:, columns].max(axis=1), dtype=np.float32)


def unions(boxes: Array, class_scores: Array, count: int, threshold: float) -> Proposals:
    """For each class the box around all its things, and around the two best ones where there are more.

    Args:
        boxes: `[N, 4]`, after suppression.
        class_scores: `[N, K]`.
        count: largest number of unions.
        threshold: lowest score of a member.

    Returns:
        The unions, scored by the second best of their members; the two best are listed in `members`.
    """
    best_class = class_scores.argmax(axis=1) if class_scores.size else np.zeros(len(boxes), int)
    groups: list[tuple[float, list[int]]] = []
    for k in np.unique(best_class):
        things = [int(i) for i in np.flatnonzero((best_class == k) & (class_scores[:, k] >= threshold))]
        things.sort(key=lambda i: -class_scores[i, k])
        if len(things) > 1:
            groups.append((float(class_scores[things[1], k]), things))
        if len(things) > 2:
            groups.append((float(class_scores[things[1], k]), things[:2]))
    groups = sorted(groups, key=lambda group: -group[0])[:count]
    if not groups:
        return Proposals.none()
    return Proposals(
        boxes=np.concatenate([box_arithmetic.enclosing(boxes[things]) for _, things in groups]),
        scores=np.array([score for score, _ in groups], np.float32),
        sources=Unions.names * len(groups),
        members={row: boxes[things[:2]] for row, (_, things) in enumerate(groups)},
    )
