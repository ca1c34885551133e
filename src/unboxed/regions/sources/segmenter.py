"""Semantic segmentation as a source: boxes of the street, the grass, the wall, which no object detector has.

The graph puts out `logits` [n, K, h, w]; input RGB, (x - 127.5) / 127.5 unless its metadata give `mean` and `std`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unboxed.errors import RegionsError
from unboxed.regions.features.pooling import box_sums
from unboxed.regions.image_view import View
from unboxed.regions.onnx_network import Network, class_list
from unboxed.regions.proposals import Proposals
from unboxed.regions.sources.components import components
from unboxed.types import Array

__all__ = ["OnnxSegmenter", "class_boxes", "class_evidence"]

_BACKGROUND = frozenset({"background", "__background__", "unlabeled", "void"})
_SMALLEST = 0.01  # of the image; below this a component of a rough segmenter is noise


@dataclass(frozen=True, eq=False)
class OnnxSegmenter:
    """A segmenter read from an ONNX file.

    Attributes:
        network: the opened graph.
        output: the name of its output.
        class_names: the classes, background left out.
        columns: which channels they are.
        longest: pixels of the longest side of the input, where the graph does not fix it.
    """

    network: Network
    output: str
    class_names: tuple[str, ...]
    columns: tuple[int, ...]
    longest: int

    @staticmethod
    def open(path: Path, longest: int) -> OnnxSegmenter:
        """Opens a segmenter.

        Raises:
            RegionsError: an unreadable file, no output [n, K, h, w], no class names.
        """
        network = Network.open(path)
        maps = [(name, shape) for name, shape in network.outputs if len(shape) == 4]
        named = [item for item in maps if item[0] == "logits"] or maps
        if len(named) != 1:
            raise RegionsError(
                f"{path} has the outputs {network.describe_outputs()}; a segmenter needs one, named "
                "`logits`, [n, K, h, w]."
            )
        name, shape = named[0]
        every = class_list(network, None, shape[1])
        columns = tuple(k for k, label in enumerate(every) if label.lower() not in _BACKGROUND)
        return OnnxSegmenter(network, name, tuple(every[k] for k in columns), columns, longest)

    def probabilities(self, view: View) -> Array:
        """Class probabilities `[K + 1, h, w]` over the whole image; the last is everything that has no name."""
        fit = view.resized(*self.network.input_size) if self.network.input_size else view.fitted(self.longest, 32)
        mean, scale = self.network.normalisation()
        (logits,) = self.network.run(fit.pixels, mean, scale, [self.output])
        exponent = np.exp(logits[0] - logits[0].max(axis=0, keepdims=True))
        exponent /= exponent.sum(axis=0, keepdims=True)
        named = exponent[list(self.columns)]
        return np.concatenate([named, np.clip(1 - named.sum(axis=0, keepdims=True), 0, 1)])


def class_boxes(probabilities: Array, width: int, height: int, count: int) -> Proposals:
    """Boxes of whole classes and of their largest connected components, largest first.

    Args:
        probabilities: `[K + 1, h, w]`, the last class is background.
        width, height: of the image in pixels.
        count: at most so many.

    Returns:
        Boxes scored by the mean probability of their class on their own cells.
    """
    classes, rows, columns = probabilities.shape
    winner = probabilities.argmax(axis=0)
    component_YX = components(winner)
    by_class: dict[int, list[tuple[float, tuple[int, int, int, int], float]]] = {}
    for number in np.flatnonzero(np.bincount(component_YX.ravel()) >= _SMALLEST * rows * columns):
        y, x = np.nonzero(component_YX == number)
        k = int(winner[y[0], x[0]])
        if k == classes - 1:
            continue
        edges = (int(y[0]), int(x.min()), int(y[-1]) + 1, int(x.max()) + 1)
        by_class.setdefault(k, []).append((float(len(y)), edges, float(probabilities[k][y, x].mean())))

    candidates: list[tuple[float, tuple[int, int, int, int], float]] = []
    for members in by_class.values():
        candidates += members
        if len(members) > 1:
            total = sum(member[0] for member in members)
            top, left = (min(member[1][i] for member in members) for i in (0, 1))
            bottom, right = (max(member[1][i] for member in members) for i in (2, 3))
            sure = sum(member[0] * member[2] for member in members) / total
            candidates.append((total, (top, left, bottom, right), sure))
    candidates = sorted(candidates, key=lambda item: -item[0])[:count]
    if not candidates:
        return Proposals.none()
    factors = np.array([width / columns, height / rows] * 2, np.float32)
    boxes = np.array([[left, top, right, bottom] for _, (top, left, bottom, right), _ in candidates], np.float32)
    scores = np.array([sure for _, _, sure in candidates], np.float32)
    return Proposals(boxes * factors, scores, ("segmenter",) * len(candidates))


def class_evidence(probabilities: Array, boxes: Array, width: int, height: int) -> Array:
    """How well each box is each class, `[R, K]` in [0, 1]: 2pq / (p + q).

    p is the mean probability of the class inside the box, q the share of all its probability that lies inside: a box in
    the middle of the grass has p = 1 and a small q, the whole image q = 1 and a small p.

    Args:
        probabilities: `[K + 1, h, w]`, the last class is background and left out.
        boxes: `[R, 4]` pixels, within an image of `width` x `height`.
    """
    named = probabilities[:-1]
    _, rows, columns = named.shape
    cells = boxes.astype(np.float64) * ([columns / width, rows / height] * 2)
    mass_RK = box_sums(named, cells)
    cells_R1 = np.maximum((cells[:, 2:] - cells[:, :2]).prod(axis=1), 1e-6)[:, None]
    # A class with less than a thousandth of the mass is not in the picture: no share of it to speak of.
    total_K = np.maximum(named.sum(axis=(1, 2)), 1e-3 * rows * columns)
    p_RK, q_RK = mass_RK / cells_R1, mass_RK / total_K
    return np.asarray(2 * p_RK * q_RK / np.maximum(p_RK + q_RK, 1e-9), dtype=np.float32).clip(0, 1)
