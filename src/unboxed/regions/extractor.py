"""The extractor: finds the regions of one image, with the sources and features that the settings name."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Any

import numpy as np
from PIL import Image

from unboxed import boxes as box_arithmetic
from unboxed.errors import ImageError, NoRegionsError, UnboxedError
from unboxed.regions import features, sources
from unboxed.regions.base import Detected, FeatureBlock, Proposals, distinct_class_names
from unboxed.regions.image_view import View
from unboxed.regions.settings import RegionSettings
from unboxed.runtime.devices import running_on
from unboxed.types import Regions

__all__ = ["RegionExtractor"]


class RegionExtractor:
    """Makes the `Regions` of images according to `settings`; safe to call from several threads at once.

    Regions are ordered by source, as listed in `SOURCES`: the boxes of the detectors come first, best first. A box of a
    later source is removed when it repeats an earlier one. `class_probs` holds the class scores of every source that
    has classes, for the regions of all sources.

    Args:
        settings: sources and features.
        side_by_side: run the networks of one image in parallel, which takes less time for a single image. An extraction
            of many images is faster without. The regions are the same.
        device: that the networks run on, see `runtime.devices`; None: the current one.

    Attributes:
        settings: sources and features.
        class_names: the K classes of `class_probs`.
        source_names: all names that a region's source can have.

    Raises:
        RegionsError: a model that cannot be used.
        DeviceError: a device that is not there, or on which a network cannot run.
    """

    def __init__(self, settings: RegionSettings, *, side_by_side: bool = False, device: str | None = None) -> None:
        settings.require_extractable()
        self.settings = settings
        self._pool = ThreadPoolExecutor(4, thread_name_prefix="networks") if side_by_side else None
        with running_on(device):
            self._sources = [source for kind in sources.SOURCES if (source := kind.open(settings)) is not None]
            self._features = [feature for kind in features.FEATURES if (feature := kind.open(settings)) is not None]
        self.class_names = distinct_class_names((source.names[0], source.class_names) for source in self._sources)
        opened = {type(source) for source in self._sources}
        every = (name for kind in sources.SOURCES if kind in opened for name in kind.names)
        self.source_names = tuple(dict.fromkeys(every))

    def __call__(self, image: Image.Image, original_size: tuple[int, int] | None = None) -> Regions:
        """The regions of one image, boxes in its pixels.

        Args:
            image: upright RGB image.
            original_size: (width, height) before it was stored, if its shape was another; the networks get the image in
                that shape.

        Raises:
            NoRegionsError: no source proposes a box.
            RegionsError: a network cannot run on the image.
            ImageError: anything else that fails on this image.
        """
        try:
            return self._regions(image, original_size)
        except UnboxedError:
            raise
        except Exception as error:  # one image must not stop a folder
            size = f"{image.width} x {image.height} pixels"
            raise ImageError(f"An image of {size} cannot be described ({type(error).__name__}: {error}).") from error

    def run_networks(self, view: View) -> tuple[list[list[Any]], list[list[Any]]]:
        """The outputs of all networks of the sources, and of the features, for one image."""
        parts = [source.networks() for source in self._sources] + [feature.networks() for feature in self._features]
        networks = [network for part in parts for network in part]
        if self._pool:
            found = iter([future.result() for future in [self._pool.submit(network, view) for network in networks]])
        else:
            found = iter([network(view) for network in networks])
        outputs = [[next(found) for _ in part] for part in parts]
        return outputs[: len(self._sources)], outputs[len(self._sources) :]

    @cached_property
    def feature_blocks(self) -> tuple[tuple[str, int], ...]:
        """(name, width) of consecutive feature columns, in order."""
        view = View(Image.new("RGB", (64, 64), (128, 128, 128)), (64, 64))
        whole_image = np.array([[0, 0, 64, 64]], dtype=np.float32)  # no source need find anything in a grey image
        blocks = self._blocks(view, *self.run_networks(view), whole_image)
        return tuple((block.name, block.values.shape[1]) for block in blocks)

    def _regions(self, image: Image.Image, original_size: tuple[int, int] | None) -> Regions:
        if image.mode != "RGB":
            image = image.convert("RGB")
        view = View(image, original_size or image.size)
        source_outputs, feature_outputs = self.run_networks(view)
        proposals = self._propose(view, source_outputs)
        class_scores = [
            source.class_scores(view, outputs, proposals)
            for source, outputs in zip(self._sources, source_outputs, strict=True)
        ]
        blocks = self._blocks(view, source_outputs, feature_outputs, proposals.boxes)
        nothing = np.zeros((len(proposals), 0), np.float32)
        return Regions(
            boxes=proposals.boxes,
            scores=np.clip(proposals.scores, 0, 1),
            features=np.concatenate([nothing, *(block.values for block in blocks)], axis=1),
            class_probs=np.concatenate([nothing, *class_scores], axis=1),
            class_names=self.class_names,
            sources=proposals.sources,
            width=view.size[0],
            height=view.size[1],
        )

    def _blocks(
        self, view: View, sources: Sequence[Sequence[Any]], features: Sequence[Sequence[Any]], boxes: np.ndarray
    ) -> list[FeatureBlock]:
        """The features of boxes, from the outputs of the networks of the sources, and of the features."""
        maps = [
            plane
            for source, outputs in zip(self._sources, sources, strict=True)
            for plane in source.feature_maps(outputs)
        ]
        return [
            block
            for feature, outputs in zip(self._features, features, strict=True)
            for block in feature.blocks(view, outputs, maps, boxes)
        ]

    def _propose(self, view: View, outputs: Sequence[Sequence[Any]]) -> Proposals:
        """The boxes of all sources without repeated ones."""
        detected, found = Detected.none(), []
        for source, output in zip(self._sources, outputs, strict=True):
            proposals = source.propose(view, output, detected)
            detected = proposals if isinstance(proposals, Detected) else detected
            found.append(proposals)
        joined = Proposals.joined(found)
        boxes = box_arithmetic.clip(joined.boxes, *view.size)
        always = [s.always_kept for s, part in zip(self._sources, found, strict=True) for _ in range(len(part))]
        repeats = box_arithmetic.iou(boxes, boxes) > self.settings.duplicate
        repeated = np.zeros(len(boxes), dtype=bool)
        keep: list[int] = []
        for row in np.flatnonzero(box_arithmetic.area(boxes) > 0).tolist():
            if always[row] or not repeated[row]:
                keep.append(row)
                repeated |= repeats[row]
        if not keep:
            raise NoRegionsError("No source proposed a region for this image; turn on whole_image in the settings.")
        return Proposals(boxes, joined.scores, joined.sources, joined.members).take(keep)
