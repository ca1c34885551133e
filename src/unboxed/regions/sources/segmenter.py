"""Semantic segmentation as a region source: boxes of streets, grass and walls, which object detectors do not find.

The ONNX graph has an output `logits` [n, K, h, w]. Its input is RGB, (x - 127.5) / 127.5 unless its metadata give
`mean` and `std`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from unboxed.errors import RegionsError
from unboxed.regions.base import Detected, Proposals, RegionSource
from unboxed.regions.image_view import View
from unboxed.regions.networks import Network, class_list
from unboxed.regions.pooling import box_sums
from unboxed.regions.settings import RegionSettings
from unboxed.types import Array

__all__ = ["Segmenter", "class_boxes", "components", "coverage_scores"]

_BACKGROUND = frozenset({"background", "__background__", "unlabeled", "void"})
_SMALLEST = 0.01  # share of the image; smaller components of a coarse segmenter are noise


class Segmenter(RegionSource):
    """Boxes of a segmenter's classes, and the scores of these classes for the boxes of every source."""

    names = ("segmenter",)
    settings = ("segmenter",)
    needs = "an ONNX file"
    finds = "the street, the grass, a wall"
    ranked = True

    def __init__(self, settings: RegionSettings) -> None:
        super().__init__(settings)
        assert settings.segmenter is not None
        self._network = network = Network(settings.segmenter)
        maps = [(name, shape) for name, shape in network.outputs if len(shape) == 4]
        named = [item for item in maps if item[0] == "logits"] or maps
        if len(named) != 1:
            raise RegionsError(
                f"{network.path} has the outputs {network.describe_outputs()}; a segmenter needs one, named "
                "`logits`, [n, K, h, w]."
            )
        self._output, shape = named[0]
        every = class_list(network, None, shape[1])
        self._columns = [k for k, name in enumerate(every) if name.lower() not in _BACKGROUND]
        self.class_names = tuple(every[k] for k in self._columns)

    def networks(self) -> Sequence[Callable[[View], Array]]:
        """The segmenter."""
        return [self._probabilities]

    def propose(self, view: View, outputs: Sequence[Array], detected: Detected) -> Proposals:
        """At most `stuff` boxes, see `class_boxes`."""
        return class_boxes(outputs[0], *view.size, self.options.stuff)

    def class_scores(self, view: View, outputs: Sequence[Array], proposals: Proposals) -> Array:
        """`[R, K]`, see `coverage_scores`."""
        return coverage_scores(outputs[0], proposals.boxes, *view.size)

    def _probabilities(self, view: View) -> Array:
        """Class probabilities `[K + 1, h, w]` over the whole image; the last class is the background."""
        sized = view.sized(self._network.input_size, self.options.segmenter_size)
        (logits,) = self._network.run_normalized(sized.pixels, [self._output])
        exponent = np.exp(logits[0] - logits[0].max(axis=0, keepdims=True))
        exponent /= exponent.sum(axis=0, keepdims=True)
        named = exponent[self._columns]
        return np.concatenate([named, np.clip(1 - named.sum(axis=0, keepdims=True), 0, 1)])


def class_boxes(probabilities: Array, width: int, height: int, count: int) -> Proposals:
    """Boxes of the connected components of each class, and of all components of a class together; largest first.

    Args:
        probabilities: `[K + 1, h, w]`, the last class is the background.
        width, height: of the image in pixels.
        count: largest number of boxes.

    Returns:
        Boxes, scored by the mean probability of their class over their components.
    """
    _, rows, columns = probabilities.shape
    found: list[_Patch] = []
    for patches in _patches_by_class(probabilities).values():
        found += patches
        if len(patches) > 1:
            found.append(_together(patches))
    found = sorted(found, key=lambda patch: -patch.cells)[:count]
    factors = np.array([width / columns, height / rows] * 2, np.float32)
    boxes = np.array([patch.box for patch in found], np.float32).reshape(-1, 4)
    return Proposals.of(boxes * factors, "segmenter", [patch.score for patch in found])


class _Patch(NamedTuple):
    """Cells of one class: their number, the box left, top, right, bottom around them, and their mean probability."""

    cells: float
    box: tuple[int, int, int, int]
    score: float


def _patches_by_class(probabilities: Array) -> dict[int, list[_Patch]]:
    """The connected components of each class but the background, those of one class in reading order."""
    classes, rows, columns = probabilities.shape
    winner_YX = probabilities.argmax(axis=0)
    component_YX = components(winner_YX)
    patches: dict[int, list[_Patch]] = {}
    for number in np.flatnonzero(np.bincount(component_YX.ravel()) >= _SMALLEST * rows * columns):
        y, x = np.nonzero(component_YX == number)
        k = int(winner_YX[y[0], x[0]])
        if k < classes - 1:
            box = (int(x.min()), int(y[0]), int(x.max()) + 1, int(y[-1]) + 1)
            patches.setdefault(k, []).append(_Patch(float(len(y)), box, float(probabilities[k][y, x].mean())))
    return patches


def _together(patches: list[_Patch]) -> _Patch:
    left, top, right, bottom = zip(*(patch.box for patch in patches), strict=True)
    cells = sum(patch.cells for patch in patches)
    score = sum(patch.cells * patch.score for patch in patches) / cells
    return _Patch(cells, (min(left), min(top), max(right), max(bottom)), score)


def coverage_scores(probabilities: Array, boxes: Array, width: int, height: int) -> Array:
    """How well each box covers each class, `[R, K]` in [0, 1]: 2pq / (p + q), the harmonic mean of p and q.

    p is the mean probability of the class inside the box, q the share of its probability mass that lies inside. A box
    in the middle of the grass has p = 1 and a small q, the whole image has q = 1 and a small p.

    Args:
        probabilities: `[K + 1, h, w]`, the last class is the background and has no score.
        boxes: `[R, 4]` pixels, within the image.
        width, height: of the image in pixels.
    """
    named = probabilities[:-1]
    _, rows, columns = named.shape
    cells = boxes.astype(np.float64) * ([columns / width, rows / height] * 2)
    mass_RK = box_sums(named, cells)
    cells_R1 = np.maximum((cells[:, 2:] - cells[:, :2]).prod(axis=1), 1e-6)[:, None]
    # A class with less than a thousandth of the whole mass is not in the image, and its share means nothing.
    total_K = np.maximum(named.sum(axis=(1, 2)), 1e-3 * rows * columns)
    p_RK, q_RK = mass_RK / cells_R1, mass_RK / total_K
    return np.asarray(2 * p_RK * q_RK / np.maximum(p_RK + q_RK, 1e-9), dtype=np.float32).clip(0, 1)


def components(class_YX: npt.NDArray[np.integer]) -> npt.NDArray[np.intp]:
    """The connected component of each cell of a map of classes, `[Y, X]`; cells are connected when they share an edge.

    Components are numbered from 0 in the reading order of their first cells. (SciPy has the same function, but takes
    longer to load than one image takes here.)
    """
    # Runs of equal cells along a row are joined, of which there are far fewer than cells.
    starts_YX = np.ones(class_YX.shape, dtype=bool)
    starts_YX[:, 1:] = class_YX[:, 1:] != class_YX[:, :-1]
    run_YX = (np.cumsum(starts_YX) - 1).reshape(class_YX.shape)
    joined_YX = class_YX[1:] == class_YX[:-1]
    # Two runs that touch in several cells are joined by the first of these.
    joined_YX[:, 1:] &= ~joined_YX[:, :-1] | starts_YX[1:, 1:] | starts_YX[:-1, 1:]
    lower, upper = run_YX[1:][joined_YX], run_YX[:-1][joined_YX]
    first = np.arange(np.count_nonzero(starts_YX))  # of each run, the first one that is known to be connected
    while True:
        before = first.copy()
        lowest = np.minimum(first[lower], first[upper])
        for runs in (lower, upper):
            np.minimum.at(first, runs, lowest)
            np.minimum.at(first, before[runs], lowest)
        first = first[first]
        if np.array_equal(first, before):
            number = np.cumsum(first == np.arange(len(first))) - 1
            return np.asarray(number[first][run_YX], dtype=np.intp)
