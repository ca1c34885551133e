"""The object detectors as one region source: joint suppression, and class scores for the boxes of every source."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np

from unboxed import boxes as box_arithmetic
from unboxed.regions.base import Detected, Detections, FeatureMap, Proposals, RegionSource, distinct_class_names
from unboxed.regions.image_view import View
from unboxed.regions.queries import is_zero_shot
from unboxed.regions.settings import RegionSettings
from unboxed.regions.sources.detector_models import OnnxDetector, TransformersDetector
from unboxed.regions.sources.geometry import person_scores
from unboxed.regions.sources.zero_shot import ZeroShotDetector
from unboxed.types import Array

__all__ = ["Detectors"]

_SCORED_IOU = 0.6
_CANDIDATES = 300  # boxes of a detector that enter the suppression


class Detectors(RegionSource):
    """The boxes of all detectors, and the scores of their classes for the boxes of every source.

    A region's score of a class is the best one among the detector's raw boxes that overlap it with an IoU above 0.6.
    Detectors that accept any input size run at several sizes, and their scores are averaged.
    """

    names = ("detector",)
    settings = ("detectors", "detector_hf")
    needs = "an ONNX file, or a model of transformers"
    finds = "things"
    ranked = True
    always_kept = True

    def __init__(self, settings: RegionSettings) -> None:
        super().__init__(settings)
        detectors: list[OnnxDetector | TransformersDetector | ZeroShotDetector] = []
        for path in settings.detectors:
            others = [detector.class_names for detector in detectors]
            detectors.append(OnnxDetector(path, settings.detector_size, settings.class_names, others=others))
        if settings.detector_hf:
            detectors.append(
                ZeroShotDetector(settings.detector_hf, settings.queries)
                if is_zero_shot(settings.detector_hf)
                else TransformersDetector(settings.detector_hf)
            )
        self._detectors = detectors
        self._other_sizes = [
            (number, detector.at(size))
            for number, detector in enumerate(detectors)
            if isinstance(detector, OnnxDetector) and detector.any_size
            for size in settings.evidence_sizes
        ]
        self.class_names = distinct_class_names(
            (f"detector{number + 1}" if number else "detector", detector.class_names)
            for number, detector in enumerate(detectors)
        )
        ends = np.cumsum([0, *(len(detector.class_names) for detector in detectors)]).tolist()
        self._columns = [slice(start, end) for start, end in pairwise(ends)]

    def networks(self) -> Sequence[Callable[[View], Detections]]:
        """Each detector at the size of its proposals, then those that run at further sizes."""
        return [detector.detect for detector in (*self._detectors, *(again for _, again in self._other_sizes))]

    def propose(self, view: View, outputs: Sequence[Detections], detected: Detected) -> Detected:
        """The best `top_k` boxes after a suppression of the boxes of all detectors without regard to class."""
        options = self.options
        boxes, scores, ranks, class_scores, persons = [], [], [], [], []
        for number, (detector, found) in enumerate(zip(self._detectors, outputs, strict=False)):
            best = found.class_scores.max(axis=1)
            inside = box_arithmetic.clip(found.boxes, *view.size)
            usable = (best >= options.score_threshold) & (box_arithmetic.area(inside) > 0)
            order = np.flatnonzero(usable)[np.argsort(-best[usable], kind="stable")][:_CANDIDATES]
            boxes.append(inside[order])
            scores.append(best[order])
            # Scores of two detectors are not comparable, but ranks are: the best box of each precedes all second ones.
            ranks.append(np.arange(len(order)) * len(self._detectors) + number)
            padded = np.zeros((len(order), len(self.class_names)), np.float32)
            padded[:, self._columns[number]] = found.class_scores[order]
            class_scores.append(padded)
            persons.append(person_scores(found.class_scores[order], detector.class_names))
        all_boxes, all_scores = np.concatenate(boxes), np.concatenate(scores)
        keep = box_arithmetic.nms(all_boxes, -np.concatenate(ranks).astype(np.float32), options.nms)[: options.top_k]
        best_first = keep[np.argsort(-all_scores[keep], kind="stable")]
        return Detected(
            boxes=all_boxes[best_first],
            scores=all_scores[best_first].astype(np.float32),
            sources=self.names * len(best_first),
            class_scores=np.concatenate(class_scores)[best_first],
            person_scores=np.concatenate(persons)[best_first],
        )

    def class_scores(self, view: View, outputs: Sequence[Detections], proposals: Proposals) -> Array:
        """`[R, K]`; the scores of a union are at least those that its members have in common."""
        members = list(proposals.members.values())
        ends = np.cumsum([len(proposals), *(len(boxes) for boxes in members)])[:-1]
        every = self._mean_scores(outputs, np.concatenate([proposals.boxes, *members]))
        scores_RK, *member_scores = np.split(every, ends)
        for row, scores_MK in zip(proposals.members, member_scores, strict=True):
            # No raw box covers several things. Where all members are horses, their union shows horses.
            scores_RK[row] = np.maximum(scores_RK[row], scores_MK.min(axis=0))
        return scores_RK

    def feature_maps(self, outputs: Sequence[Detections]) -> Sequence[FeatureMap]:
        """The feature maps of each detector at the size of its proposals, if `detector_features` is on."""
        if not self.options.detector_features:
            return ()
        return [plane for found in outputs[: len(self._detectors)] for plane in found.maps]

    def _mean_scores(self, outputs: Sequence[Detections], boxes: Array) -> Array:
        """`[R, K]` over the classes of all detectors, averaged over the sizes at which each ran."""
        sizes = [[found] for found in outputs[: len(self._detectors)]]
        for (number, _), found in zip(self._other_sizes, outputs[len(self._detectors) :], strict=True):
            sizes[number].append(found)
        scores = [[_scores_at(found, boxes) for found in outputs_of] for outputs_of in sizes]
        return np.concatenate([np.mean(of_sizes, axis=0, dtype=np.float32) for of_sizes in scores], axis=1)


def _scores_at(found: Detections, boxes: Array) -> Array:
    """The best score of each class among raw boxes that overlap each of R boxes with IoU > 0.6, else 0: `[R, K]`."""
    scores_RK = np.zeros((len(boxes), found.class_scores.shape[1]), np.float32)
    region, raw = box_arithmetic.overlapping(boxes, found.boxes, _SCORED_IOU)
    if len(region):
        starts = np.flatnonzero(np.diff(region, prepend=-1))
        scores_RK[region[starts]] = np.maximum.reduceat(found.class_scores[raw], starts)
    return scores_RK
