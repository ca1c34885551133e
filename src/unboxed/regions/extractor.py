"""One image in, its regions out: sources propose, repetitions go, evidence and features are added."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from unboxed import boxes as box_arithmetic
from unboxed.errors import RegionsError
from unboxed.regions.features.backbone import Backbone, OnnxBackbone
from unboxed.regions.features.colour import colour_features
from unboxed.regions.features.pixels import pixel_features
from unboxed.regions.features.pooling import pool
from unboxed.regions.features.texture import texture_features
from unboxed.regions.image_view import View
from unboxed.regions.proposals import Detections, FeatureMap, Proposals
from unboxed.regions.settings import RegionSettings
from unboxed.regions.sources.derived import person_parts, person_scores, unions
from unboxed.regions.sources.detectors import Detector, OnnxDetector
from unboxed.regions.sources.grid import grid_cells, whole_image
from unboxed.regions.sources.segmenter import OnnxSegmenter, class_boxes, class_evidence
from unboxed.regions.sources.segments import segment_boxes
from unboxed.regions.sources.transformers import TransformersBackbone, TransformersDetector
from unboxed.types import Array, Regions

__all__ = ["SOURCE_NAMES", "RegionExtractor"]

SOURCE_NAMES = ("detector", "image", "segmenter", "head", "torso", "legs", "union", "segments", "grid")
"""What a region's source can be called, in the order in which sources are listed."""

_EVIDENCE_IOU = 0.6
_CANDIDATES = 300  # of a detector, before suppression
_SMALL = 112  # longest side of the picture that colours and textures are taken from
_SEGMENTS = 160


class RegionExtractor:
    """Makes `Regions` from images as `settings` say; safe to call from several threads at once.

    Regions come best first: detector boxes by score, then the whole image, the segmenter's boxes, parts of persons,
    unions, segments, the grid. `class_probs` holds what every detector and the segmenter say of every region, whoever
    proposed it: for a detector the best score of its raw boxes that overlap the region with an IoU above 0.6, in the
    mean over the sizes at which it looks, for the segmenter 2pq / (p + q) (see `segmenter.class_evidence`).

    Args:
        settings: sources and features.
        side_by_side: run the networks of one image at the same time, for an answer sooner; an extraction, which
            has several images at hand, is better without. The regions are the same.

    Raises:
        RegionsError: a model that cannot be used.
    """

    def __init__(self, settings: RegionSettings, *, side_by_side: bool = False) -> None:
        settings.require_extractable()
        self.settings = settings
        self.source_names = SOURCE_NAMES
        self._pool = ThreadPoolExecutor(4, thread_name_prefix="networks") if side_by_side else None
        self._detectors: list[Detector] = [
            OnnxDetector.open(path, settings.detector_size, settings.class_names) for path in settings.detectors
        ]
        self._again = [
            (number, detector.at(size))
            for number, detector in enumerate(self._detectors)
            if isinstance(detector, OnnxDetector) and detector.any_size
            for size in settings.evidence_sizes
        ]
        self._segmenter = (
            OnnxSegmenter.open(settings.segmenter, settings.segmenter_size) if settings.segmenter else None
        )
        self._backbones: list[Backbone] = []
        self._cropper: OnnxBackbone | None = None
        if settings.backbone:
            backbone = OnnxBackbone.open(settings.backbone, settings.backbone_size, settings.feature_maps)
            self._backbones.append(backbone)
            self._cropper = backbone if settings.crops else None
        if settings.detector_hf:
            self._detectors.append(TransformersDetector.open(settings.detector_hf))
        if settings.backbone_hf:
            self._backbones.append(TransformersBackbone.open(settings.backbone_hf, settings.backbone_size))
        self.class_names = _class_names(self._detectors, self._segmenter)

    def __call__(self, image: Image.Image, original_size: tuple[int, int] | None = None) -> Regions:
        """The regions of one image, boxes in its pixels.

        Args:
            image: upright RGB image.
            original_size: (width, height) before it was stored, when its shape was another; the networks look at it in
                that shape.
        """
        regions, _ = self._regions(image, original_size)
        return regions

    def look(self, view: View) -> tuple[list[list[Detections]], Array | None, list[FeatureMap]]:
        """What every network says of the image.

        Returns:
            Detections of each detector, at the size that proposes boxes first; class probabilities of the segmenter;
            feature maps.
        """
        jobs: list[Callable[[View], Any]] = [detector.detect for detector in self._detectors]
        jobs += [detector.detect for _, detector in self._again]
        jobs += [backbone.maps for backbone in self._backbones]
        jobs += [self._segmenter.probabilities] if self._segmenter else []
        if self._pool:
            answers = iter([future.result() for future in [self._pool.submit(job, view) for job in jobs]])
        else:
            answers = iter([job(view) for job in jobs])
        detections = [[next(answers)] for _ in self._detectors]
        for number, _ in self._again:
            detections[number].append(next(answers))
        maps = [plane for _ in self._backbones for plane in next(answers)]
        if self.settings.detector_features:
            maps += [plane for first, *_ in detections for plane in first.maps]
        return detections, next(answers, None), maps

    @cached_property
    def feature_blocks(self) -> tuple[tuple[str, int], ...]:
        """(name, width) of each run of columns of the features, in order."""
        _, blocks = self._regions(Image.new("RGB", (64, 64), (128, 128, 128)), None)
        return tuple((name, values.shape[1]) for name, values in blocks)

    @property
    def feature_width(self) -> int:
        """V, the width of the features."""
        return sum(width for _, width in self.feature_blocks)

    def _regions(
        self, image: Image.Image, original_size: tuple[int, int] | None
    ) -> tuple[Regions, list[tuple[str, Array]]]:
        if image.mode != "RGB":
            image = image.convert("RGB")
        view = View(image, original_size or image.size)
        detections, stuff, maps = self.look(view)
        proposals, members = self._propose(view, [first for first, *_ in detections], stuff)
        class_probs = self._evidence(view, detections, stuff, proposals.boxes, members)
        blocks = self._features(view, maps, proposals.boxes)
        width, height = view.size
        nothing = np.zeros((len(proposals), 0), np.float32)
        features = np.concatenate([nothing, *(values for _, values in blocks)], axis=1)
        regions = Regions(
            boxes=proposals.boxes,
            scores=np.clip(proposals.scores, 0, 1),
            features=features,
            class_probs=class_probs,
            class_names=self.class_names,
            sources=proposals.sources,
            width=width,
            height=height,
        )
        return regions, blocks

    def _propose(
        self, view: View, detections: list[Detections], stuff: Array | None
    ) -> tuple[Proposals, dict[int, tuple[int, ...]]]:
        """All sources' boxes without repetitions, and for each union the indices of its members."""
        settings, (width, height) = self.settings, view.size
        detected, class_scores, best_person = self._detected(view, detections)
        sources = [detected]
        if settings.whole_image:
            sources.append(whole_image(width, height))
        if stuff is not None:
            sources.append(class_boxes(stuff, width, height, settings.stuff))
        shape = (view.original_size[0] / width, view.original_size[1] / height)
        sources.append(person_parts(detected.boxes, best_person, shape, settings.parts, settings.member_score))
        union, members = unions(detected.boxes, class_scores, settings.unions, settings.member_score)
        before_unions = sum(len(source) for source in sources)
        sources.append(union)
        if settings.segments:
            pixels = view.fitted(_SEGMENTS).pixels
            sources.append(segment_boxes(pixels, width, height, settings.top_k, settings.nms))
        if settings.grid:
            sources.append(grid_cells(width, height, settings.grid))
        every = Proposals.joined(sources)
        boxes = box_arithmetic.clip(every.boxes, width, height)
        keep = _without_repetitions(boxes, len(detected), every.sources, settings.duplicate)
        if not keep:
            raise RegionsError("No source proposed a region for this image; turn on whole_image in the settings.")
        place = {old: new for new, old in enumerate(keep)}
        of_union = {
            place[before_unions + i]: tuple(place[m] for m in group)
            for i, group in enumerate(members)
            if before_unions + i in place
        }
        return Proposals(boxes, every.scores, every.sources).take(keep), of_union

    def _detected(self, view: View, detections: list[Detections]) -> tuple[Proposals, Array, Array]:
        """The detectors' boxes after suppression, best first, with class scores `[N, K]` and person scores `[N]`."""
        settings = self.settings
        boxes, scores, rank, class_scores, person = [], [], [], [], []
        for number, (detector, found) in enumerate(zip(self._detectors, detections, strict=True)):
            best = found.class_scores.max(axis=1)
            inside = box_arithmetic.clip(found.boxes, *view.size)
            usable = (best >= settings.score_threshold) & (box_arithmetic.area(inside) > 0)
            order = np.flatnonzero(usable)[np.argsort(-best[usable], kind="stable")][:_CANDIDATES]
            boxes.append(inside[order])
            scores.append(best[order])
            # Scores of two detectors do not compare, ranks do: the first of each comes before the second of any.
            rank.append(np.arange(len(order)) * len(self._detectors) + number)
            padded = np.zeros((len(order), len(self.class_names)), np.float32)
            padded[:, self._columns[number]] = found.class_scores[order]
            class_scores.append(padded)
            person.append(person_scores(found.class_scores[order], detector.class_names))
        if not boxes:
            return Proposals.none(), np.zeros((0, len(self.class_names)), np.float32), np.zeros(0, np.float32)
        all_boxes = np.concatenate(boxes)
        keep = box_arithmetic.nms(all_boxes, -np.concatenate(rank).astype(np.float32), settings.nms)[: settings.top_k]
        best_first = keep[np.argsort(-np.concatenate(scores)[keep], kind="stable")]
        found_scores = np.concatenate(scores)[best_first].astype(np.float32)
        proposals = Proposals(all_boxes[best_first], found_scores, ("detector",) * len(best_first))
        return proposals, np.concatenate(class_scores)[best_first], np.concatenate(person)[best_first]

    @cached_property
    def _columns(self) -> list[slice]:
        """Where each detector's classes lie among all; the segmenter's follow."""
        ends = np.cumsum([0, *(len(detector.class_names) for detector in self._detectors)])
        return [slice(int(a), int(b)) for a, b in pairwise(ends)]

    def _evidence(
        self,
        view: View,
        detections: list[list[Detections]],
        stuff: Array | None,
        boxes: Array,
        members: dict[int, tuple[int, ...]],
    ) -> Array:
        """Class evidence `[R, K]` of every source for every region."""
        parts = [
            np.mean([detector_evidence(found, boxes) for found in sizes], axis=0, dtype=np.float32)
            for sizes in detections
        ]
        if stuff is not None:
            parts.append(class_evidence(stuff, boxes, *view.size))
        if not parts:
            return np.zeros((len(boxes), 0), np.float32)
        evidence = np.concatenate(parts, axis=1)
        detector_width = self._columns[-1].stop if self._columns else 0
        for union, group in members.items():
            # No raw box of a detector covers two things, but both being horses makes the union one of horses.
            shared = evidence[list(group[:2]), :detector_width].min(axis=0)
            evidence[union, :detector_width] = np.maximum(evidence[union, :detector_width], shared)
        return evidence

    def _features(self, view: View, maps: list[FeatureMap], boxes: Array) -> list[tuple[str, Array]]:
        """The feature blocks, each `[R, width]` under its name."""
        settings, (width, height) = self.settings, view.size
        blocks = [("pixels", pixel_features(view, boxes, settings.pixels))] if settings.pixels else []
        blocks += [(plane.name, pool(plane, boxes)) for plane in maps]
        if self._cropper:
            blocks.append(("crop", self._cropper.crops(view, boxes)))
        pixels: npt.NDArray[np.uint8] | None = None
        if settings.colour or settings.with_texture:
            pixels = view.fitted(_SMALL).pixels
        if settings.colour and pixels is not None:
            blocks.append(("colour", colour_features(pixels, boxes, width, height)))
        if settings.with_texture and pixels is not None:
            blocks.append(("texture", texture_features(pixels, boxes, width, height)))
        return blocks


def detector_evidence(found: Detections, boxes: Array) -> Array:
    """The best score of each class among raw boxes that overlap each region with IoU > 0.6, `[R, K]`; else 0."""
    near_RN = box_arithmetic.iou(boxes, found.boxes) > _EVIDENCE_IOU
    evidence = np.zeros((len(boxes), found.class_scores.shape[1]), np.float32)
    for r in np.flatnonzero(near_RN.any(axis=1)):
        evidence[r] = found.class_scores[near_RN[r]].max(axis=0)
    return evidence


def _without_repetitions(boxes: Array, detected: int, sources: tuple[str, ...], threshold: float) -> list[int]:
    """Indices kept, in order: a box goes when it has no area, or overlaps an earlier source's box above `threshold`.

    The whole image is always kept; detector boxes, the first `detected`, have been through their own suppression.
    """
    overlap = box_arithmetic.iou(boxes, boxes)
    areas = box_arithmetic.area(boxes)
    keep: list[int] = []
    for i, source in enumerate(sources):
        if areas[i] <= 0:
            continue
        if i < detected or source == "image" or not keep or overlap[i, keep].max() <= threshold:
            keep.append(i)
    return keep


def _class_names(detectors: list[Detector], segmenter: OnnxSegmenter | None) -> tuple[str, ...]:
    """All class names, each source's after the other; one that an earlier source has gets its source as a prefix.

    A prefix keeps the evidence of two sources for “person” apart, so that a prior may trust the better one alone.
    """
    lists = [("detector" if i == 0 else f"detector{i + 1}", d.class_names) for i, d in enumerate(detectors)]
    if segmenter:
        lists.append(("segmenter", segmenter.class_names))
    names: list[str] = []
    for source, own in lists:
        earlier = set(names)
        names += [f"{source}:{name}" if name in earlier else name for name in own]
    return tuple(names)
