"""Heat maps: from the cells of a match map to a point, to boxes, and to scores under named protocols.

A map is an array `[h, w]`: row y from the top, column x from the left. A point is (x, y), as boxes are. The heat of a
pixel is the bilinear reading of the map at the pixel's centre, cells being centred in their boxes; outside the outer
cells' centres it stays constant (OpenCV's and PyTorch's convention without aligned corners).

    pointing_heatmap             the hottest pixel's centre lies strictly inside any gold box; share of mentions, in
                                 percent
    pointing_heatmap_per_box     the same for each gold box by itself, averaged within a caption, then over captions
                                 (the protocol of Das et al. 2019, with its axes in order: see below)
    heat_inside                  share of the heat inside the gold boxes together (attention correctness), mean over
                                 mentions, in percent

The code released with Das et al. 2019 compares (row, column) with (x, y), and leaves batch norm in training mode while
it evaluates. Neither is followed here, so its numbers do not compare with these.

Edge cases: of several pixels that are equally hot, the first in reading order points. A mention without a gold box is
not counted; one without a map is wrong and holds no heat.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import isqrt

import numpy as np
import numpy.typing as npt

from unboxed.boxes import area, contains
from unboxed.errors import EvaluationError
from unboxed.types import Array

__all__ = [
    "BoxReadOut",
    "HeatMention",
    "HeatScores",
    "heat_boxes",
    "heat_inside",
    "hottest_point",
    "phrase_maps",
    "positive_heat",
    "rank_by_heat",
    "score_heat",
    "upsampled",
]

Floats = npt.NDArray[np.floating]


@dataclass(frozen=True)
class BoxReadOut:
    """How boxes are read off a heat map.

    Attributes:
        thresholds: shares of the peak's heat, each in (0, 1). A connected region that is at least that hot becomes the
            box around it; the best box is the first threshold's region around the peak.
        proposal_alpha: where proposals are given, they are ranked by the heat inside over the area to this power.
    """

    thresholds: tuple[float, ...] = (0.5, 0.35, 0.65, 0.2, 0.8)
    proposal_alpha: float = 0.5

    def __post_init__(self) -> None:
        object.__setattr__(self, "thresholds", tuple(self.thresholds))  # a list, when read from JSON
        if not self.thresholds or not all(0 < share < 1 for share in self.thresholds):
            raise EvaluationError(f"thresholds are shares of the peak between 0 and 1, not {self.thresholds}.")


def phrase_maps(map_QR: Floats, phrase_PQ: npt.NDArray[np.bool_], content_Q: npt.NDArray[np.bool_]) -> Array:
    """The map `[P, h, w]` of each phrase: the mean of its nouns' and adjectives' maps, of all words where it has none.

    Args:
        map_QR: of each word, the cells of a square grid row by row.
        phrase_PQ: True where word q belongs to phrase p; each phrase has at least one.
        content_Q: True for nouns and adjectives.
    """
    of_content_PQ = phrase_PQ & content_Q
    weight_PQ = np.where(of_content_PQ.any(axis=1, keepdims=True), of_content_PQ, phrase_PQ).astype(np.float32)
    side = isqrt(map_QR.shape[1])
    map_PR = weight_PQ @ map_QR / weight_PQ.sum(axis=1, keepdims=True)
    return np.asarray(map_PR, dtype=np.float32).reshape(len(phrase_PQ), side, side)


def upsampled(map_YX: Floats, width: int, height: int) -> Array:
    """The map read bilinearly at the centre of every pixel: `[height, width]`."""
    rows, columns = map_YX.shape
    heat = _readings(height, rows) @ map_YX @ _readings(width, columns).T
    return np.asarray(heat, dtype=np.float32)


def positive_heat(heat_HW: Floats) -> Array:
    """Heat from any map of products: what rises above the map's median, as shares of the peak, in [0, 1].

    Most of an image is not what a phrase means, so the median is what the map says where it says nothing. A map
    without any rise is 1 everywhere.
    """
    floor, peak = float(np.median(heat_HW)), float(heat_HW.max())
    if peak <= floor:
        return np.ones(heat_HW.shape, dtype=np.float32)
    return np.asarray(np.clip((heat_HW - floor) / (peak - floor), 0, 1), dtype=np.float32)


def hottest_point(heat_HW: Floats) -> tuple[float, float]:
    """The centre (x, y) of the hottest pixel, in pixels."""
    row, column = np.unravel_index(int(heat_HW.argmax()), heat_HW.shape)
    return float(column) + 0.5, float(row) + 0.5


def heat_boxes(heat_HW: Floats, read_out: BoxReadOut = BoxReadOut()) -> tuple[Array, Array]:
    """Boxes around the hot regions of a map, best first, and their scores.

    Args:
        heat_HW: heat >= 0 of every pixel, some of it positive.
        read_out: the thresholds.

    Returns:
        `[N, 4]` pixels, no two equal, and `[N]` the highest heat in each region, not increasing; N >= 1. Regions of
        one peak come in the order of the thresholds.
    """
    peak = float(heat_HW.max())
    found: dict[tuple[float, ...], float] = {}
    for share in read_out.thresholds:
        for box, highest in _hot_regions(heat_HW, share * peak):
            found.setdefault(box, highest)
    boxes, scores = np.array(list(found), dtype=np.float32), np.array(list(found.values()), dtype=np.float32)
    order = np.argsort(-scores, kind="stable")
    return boxes[order], scores[order]


def rank_by_heat(heat_HW: Floats, boxes: Array, alpha: float = 0.5) -> tuple[npt.NDArray[np.intp], Array]:
    """Proposals by the heat that they hold, divided by `area ** alpha`: the order `[R]`, best first, and scores `[R]`.

    Args:
        heat_HW: heat >= 0 of every pixel.
        boxes: `[R, 4]` pixels of the map; edges are rounded to whole pixels.
        alpha: 0 favours the whole image, 1 the hottest spot.
    """
    total = np.zeros((heat_HW.shape[0] + 1, heat_HW.shape[1] + 1))
    total[1:, 1:] = heat_HW.cumsum(axis=0, dtype=np.float64).cumsum(axis=1)
    x1, y1, x2, y2 = _whole_pixels(boxes, heat_HW).T
    held_R = total[y2, x2] - total[y1, x2] - total[y2, x1] + total[y1, x1]
    score_R = held_R / np.maximum(area(boxes), 1.0) ** alpha
    return np.argsort(-score_R, kind="stable"), np.asarray(score_R, dtype=np.float32)


def heat_inside(heat_HW: Floats, boxes: Array) -> float:
    """The share in [0, 1] of the heat that lies inside the boxes `[N, 4]` together; edges are rounded to pixels."""
    inside = np.zeros(heat_HW.shape, dtype=bool)
    for x1, y1, x2, y2 in _whole_pixels(boxes, heat_HW):
        inside[y1:y2, x1:x2] = True
    return float(heat_HW[inside].sum(dtype=np.float64) / max(heat_HW.sum(dtype=np.float64), 1e-12))


@dataclass(frozen=True, eq=False)
class HeatMention:
    """A phrase of a caption, its gold boxes, and what its heat map says of it.

    Attributes:
        image_id: the image; intervals resample images.
        caption: the caption's number in the image.
        gold_boxes: `[N, 4]` pixels; N = 0 where annotators drew none.
        point: (x, y) of the hottest pixel; None without a map.
        inside: share in [0, 1] of the heat inside the gold boxes.
    """

    image_id: str
    caption: int
    gold_boxes: Array
    point: tuple[float, float] | None
    inside: float = 0.0


@dataclass(frozen=True)
class HeatScores:
    """Scores of heat maps in percent; see the head of this module.

    Attributes:
        phrases: mentions counted.
        pointing_heatmap, pointing_heatmap_per_box, heat_inside: the three protocols.
        interval: low and high percent of the 95 % bootstrap interval of `pointing_heatmap`, over images.
    """

    phrases: int
    pointing_heatmap: float
    pointing_heatmap_per_box: float
    heat_inside: float
    interval: tuple[float, float]

    def __str__(self) -> str:
        low, high = self.interval
        return (
            f"pointing_heatmap {self.pointing_heatmap:.1f} ({low:.1f}–{high:.1f}), pointing_heatmap_per_box "
            f"{self.pointing_heatmap_per_box:.1f}, heat_inside {self.heat_inside:.1f}"
        )

    def to_dict(self) -> dict[str, object]:
        """The plain dictionary that `unboxed evaluate --json` prints under `heatmap`."""
        return {
            "pointing_heatmap": round(self.pointing_heatmap, 3),
            "pointing_heatmap_per_box": round(self.pointing_heatmap_per_box, 3),
            "heat_inside": round(self.heat_inside, 3),
            "interval": {"pointing_heatmap": [round(bound, 3) for bound in self.interval]},
        }


def score_heat(mentions: Iterable[HeatMention], *, seed: int = 0, resamples: int = 1000) -> HeatScores:
    """Scores heat maps under every protocol of this module at once.

    Args:
        mentions: in any order; those without gold box are left out.
        seed: of the bootstrap.
        resamples: how many times the images are drawn anew.

    Raises:
        EvaluationError: not one mention has a gold box.
    """
    given = list(mentions)
    counted = [mention for mention in given if len(mention.gold_boxes)]
    if not counted:
        raise EvaluationError(
            f"None of the {len(given)} phrases has a gold box, so no heat map can be scored; evaluate on a split whose "
            "annotations have boxes."
        )
    hits = [_held_by(mention) for mention in counted]
    right_M = np.array([hit.any() for hit in hits])
    of_caption: dict[tuple[str, int], list[npt.NDArray[np.bool_]]] = {}
    for mention, hit in zip(counted, hits, strict=True):
        of_caption.setdefault((mention.image_id, mention.caption), []).append(hit)
    return HeatScores(
        phrases=len(counted),
        pointing_heatmap=100 * float(right_M.mean()),
        pointing_heatmap_per_box=100 * float(np.mean([np.concatenate(own).mean() for own in of_caption.values()])),
        heat_inside=100 * float(np.mean([mention.inside for mention in counted])),
        interval=_interval(right_M, [mention.image_id for mention in counted], seed, resamples),
    )


def _hot_regions(heat_HW: Floats, least: float) -> Iterator[tuple[tuple[float, ...], float]]:
    """The box around each connected region of at least this heat, and the highest heat in it."""
    from skimage.measure import label, regionprops

    labels = label(heat_HW >= least, connectivity=1)  # type: ignore[no-untyped-call]
    for region in regionprops(labels, intensity_image=heat_HW):  # type: ignore[no-untyped-call]
        top, left, bottom, right = region.bbox
        yield (float(left), float(top), float(right), float(bottom)), float(region.intensity_max)


def _held_by(mention: HeatMention) -> npt.NDArray[np.bool_]:
    """`[N]`: which of its gold boxes hold the point."""
    if mention.point is None:
        return np.zeros(len(mention.gold_boxes), dtype=bool)
    return contains(mention.gold_boxes, np.array([mention.point], dtype=np.float32))[:, 0]


def _interval(
    right_M: npt.NDArray[np.bool_], image_ids: Sequence[str], seed: int, resamples: int
) -> tuple[float, float]:
    """Percentile bootstrap over images, each drawn with all of its mentions."""
    _, image_of_M = np.unique(image_ids, return_inverse=True)
    rights_I, counts_I = np.bincount(image_of_M, weights=right_M), np.bincount(image_of_M)
    images = len(counts_I)
    drawn_SI = np.random.default_rng(seed).multinomial(images, np.full(images, 1 / images), size=resamples)
    low, high = np.percentile(100 * (drawn_SI @ rights_I) / (drawn_SI @ counts_I), [2.5, 97.5])
    return float(low), float(high)


def _readings(pixels: int, cells: int) -> npt.NDArray[np.float64]:
    """`[pixels, cells]`: how much each cell counts at each pixel's centre; rows sum to 1."""
    place = np.clip((np.arange(pixels) + 0.5) * cells / pixels - 0.5, 0, cells - 1)
    low = np.minimum(place.astype(np.intp), max(cells - 2, 0))
    weights = np.zeros((pixels, cells))
    weights[np.arange(pixels), np.minimum(low + 1, cells - 1)] = place - low
    weights[np.arange(pixels), low] += 1 - (place - low)
    return weights


def _whole_pixels(boxes: Array, heat_HW: Floats) -> npt.NDArray[np.intp]:
    height, width = heat_HW.shape
    return np.clip(np.rint(boxes), 0, [width, height, width, height]).astype(np.intp)
