"""Segments as a region source: selective search (Uijlings et al. 2013) in its fast form, without weights.

The graph segmentation of Felzenszwalb and Huttenlocher (2004) gives the first segments. The two most similar
neighbours, by colour histogram, size and fit, are merged until one segment is left. Every segment and every merge is a
box. This finds things in drawings, and the larger things in images.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from unboxed import boxes as box_arithmetic
from unboxed.regions.base import Detected, Proposals, RegionSource
from unboxed.regions.image_view import View
from unboxed.types import Array

__all__ = ["Segments"]

_LONGEST = 160  # pixels of the longest side of the image that is segmented
_BINS = 8
_SMALLEST = 0.002  # share of the image


class Segments(RegionSource):
    """Segments of similar colour and their merges, at most `top_k`, those of the highest contrast first.

    The score of a box is its contrast in [0, 1]: how much its colours differ from those of the segments that touch it.
    """

    names = ("segments",)
    settings = ("segments",)
    finds = "things, when there is no detector"

    def propose(self, view: View, outputs: Sequence[Any], detected: Detected) -> Proposals:
        """Boxes of segments and of their merges, without those of an IoU above `nms` with a better one."""
        from skimage.segmentation import felzenszwalb

        pixels = view.fitted(_LONGEST).pixels
        labels = felzenszwalb(pixels, scale=80, sigma=0.6, min_size=max(12, pixels[..., 0].size // 1000))
        tree = _MergeTree(labels, _histograms(pixels, labels))
        tree.merge_all()
        (width, height), (rows, columns) = view.size, labels.shape
        large = [i for i in range(len(tree.sizes)) if tree.sizes[i] >= _SMALLEST * rows * columns]
        factors = np.array([width / columns, height / rows] * 2, np.float32)
        boxes = np.array([tree.boxes[i] for i in large], np.float32) * factors
        scores = np.array([tree.contrasts[i] for i in large], np.float32)
        keep = box_arithmetic.nms(boxes, scores, self.options.nms)[: self.options.top_k]
        return Proposals.of(boxes[keep], "segments", scores[keep])


class _MergeTree:
    """The segments and their merges, in the order in which they are made."""

    def __init__(self, labels: npt.NDArray[np.intp], histograms: Array) -> None:
        self.sizes: list[int] = np.bincount(labels.ravel()).tolist()
        self.histograms: list[Array] = list(histograms)
        self.boxes: list[tuple[int, int, int, int]] = _label_boxes(labels)
        self.total = labels.size
        self.neighbours = _borders(labels)
        self.similarity = {
            (i, j): self._similar(i, j) for i, others in self.neighbours.items() for j in others if i < j
        }
        self.contrasts: list[float] = [self._contrast(i) for i in range(len(self.sizes))]

    def merge_all(self) -> None:
        """Merge the most similar neighbours until no two segments touch."""
        while self.similarity:
            i, j = max(self.similarity, key=self.similarity.__getitem__)
            self._merge(i, j)

    def _merge(self, i: int, j: int) -> None:
        new = len(self.sizes)
        size = self.sizes[i] + self.sizes[j]
        share = self.sizes[i] / size
        self.histograms.append((self.histograms[i] * share + self.histograms[j] * (1 - share)).astype(np.float32))
        self.sizes.append(size)
        self.boxes.append(_around(self.boxes[i], self.boxes[j]))
        first, second = self.neighbours.pop(i), self.neighbours.pop(j)
        borders = {
            other: first.get(other, 0) + second.get(other, 0)
            for other in first.keys() | second.keys()
            if other not in (i, j)
        }
        self.similarity.pop((i, j))
        for other in borders:
            for old in (i, j):
                self.neighbours[other].pop(old, None)
                self.similarity.pop((min(old, other), max(old, other)), None)
            self.neighbours[other][new] = borders[other]
            self.similarity[other, new] = self._similar(other, new)
        self.neighbours[new] = borders
        self.contrasts.append(self._contrast(new))

    def _similar(self, i: int, j: int) -> float:
        """Colour intersection, plus smallness and fit, all in 0..1 (Uijlings et al., equations 1, 5 and 6)."""
        colour = float(np.minimum(self.histograms[i], self.histograms[j]).sum())
        small = 1 - (self.sizes[i] + self.sizes[j]) / self.total
        left, top, right, bottom = _around(self.boxes[i], self.boxes[j])
        fit = 1 - ((right - left) * (bottom - top) - self.sizes[i] - self.sizes[j]) / self.total
        return colour + small + fit

    def _contrast(self, i: int) -> float:
        """One minus the mean colour intersection with the neighbours, weighted by the length of the border."""
        borders = self.neighbours.get(i)
        if not borders:
            return 0.0
        shared = sum(
            length * float(np.minimum(self.histograms[i], self.histograms[j]).sum()) for j, length in borders.items()
        )
        return min(1.0, max(0.0, 1 - shared / sum(borders.values())))


def _histograms(pixels: npt.NDArray[np.uint8], labels: npt.NDArray[np.intp]) -> Array:
    """Colour histogram of each segment, 8 bins for each channel of L, a, b, summing to 1, `[N, 24]`."""
    from skimage.color import rgb2lab

    lab = (rgb2lab(pixels) + np.array([0, 64, 64])) / np.array([100, 128, 128])
    bins = np.clip((lab * _BINS).astype(np.intp), 0, _BINS - 1) + np.arange(3) * _BINS
    count = int(labels.max()) + 1
    flat = (labels[:, :, None] * (3 * _BINS) + bins).ravel()
    histogram = np.bincount(flat, minlength=count * 3 * _BINS).reshape(count, -1).astype(np.float32)
    return np.asarray(histogram / histogram.sum(axis=1, keepdims=True), dtype=np.float32)


def _borders(labels: npt.NDArray[np.intp]) -> dict[int, dict[int, int]]:
    """For each segment its neighbours and the length of their border in pixels."""
    count = int(labels.max()) + 1
    across = (labels[:, :-1].ravel(), labels[:, 1:].ravel())
    down = (labels[:-1].ravel(), labels[1:].ravel())
    first, second = (np.concatenate(side) for side in zip(across, down, strict=True))
    low, high = np.minimum(first, second), np.maximum(first, second)
    pairs, lengths = np.unique((low * count + high)[low != high], return_counts=True)
    neighbours: dict[int, dict[int, int]] = {i: {} for i in range(count)}
    for pair, length in zip(pairs.tolist(), lengths.tolist(), strict=True):
        i, j = divmod(pair, count)
        neighbours[i][j] = neighbours[j][i] = length
    return neighbours


def _label_boxes(labels: npt.NDArray[np.intp]) -> list[tuple[int, int, int, int]]:
    rows, columns = np.indices(labels.shape)
    count = int(labels.max()) + 1
    left, top = np.full(count, labels.size), np.full(count, labels.size)
    right, bottom = np.zeros(count, np.intp), np.zeros(count, np.intp)
    flat = labels.ravel()
    np.minimum.at(left, flat, columns.ravel())
    np.minimum.at(top, flat, rows.ravel())
    np.maximum.at(right, flat, columns.ravel() + 1)
    np.maximum.at(bottom, flat, rows.ravel() + 1)
    return list(zip(left.tolist(), top.tolist(), right.tolist(), bottom.tolist(), strict=True))


def _around(first: tuple[int, int, int, int], second: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    return (min(first[0], second[0]), min(first[1], second[1]), max(first[2], second[2]), max(first[3], second[3]))
