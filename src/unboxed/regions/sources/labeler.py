"""A labeler: a classifier that looks at the crop of every region.

A detector knows few classes, but sees where they are. A labeler knows hundreds, and names what a given box shows. The
network has the outputs `scores` [n, K] in 0..1, of classes that do not exclude each other, and `embedding` [n, V].
The input is RGB, (x - 127.5) / 127.5 unless the metadata give `mean` and `std`. A folder is an image-text encoder, and
its classes are the queries.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import numpy as np

from unboxed.errors import RegionsError
from unboxed.regions.base import Detected, FeatureBlock, FeatureMap, Proposals, RegionFeature, RegionSource
from unboxed.regions.image_view import View
from unboxed.regions.networks import Network, check_channels, checked_probabilities, class_list
from unboxed.regions.settings import RegionSettings
from unboxed.regions.sources.image_text import ImageTextEncoder
from unboxed.runtime.devices import current_device
from unboxed.types import LABELER, Array

__all__ = ["LABELER", "Labeler", "LabelerFeatures", "OnnxClassifier"]

_BATCH = 32
_OUTPUTS = ("scores", "embedding")


class Labeler(RegionSource):
    """Scores of the labeler's classes for the regions of every source; it proposes none."""

    names = (LABELER,)
    settings = ("labeler",)
    needs = "an ONNX file, or the folder of CLIP or SigLIP"
    finds = "nothing by itself; it names what every region shows"

    def __init__(self, settings: RegionSettings) -> None:
        super().__init__(settings)
        self._classifier = _opened(settings)
        self.class_names = tuple(f"{LABELER}:{name}" for name in self._classifier.class_names)

    def propose(self, view: View, outputs: Sequence[Any], detected: Detected) -> Proposals:
        """Nothing."""
        return Proposals.none()

    def class_scores(self, view: View, outputs: Sequence[Any], proposals: Proposals) -> Array:
        """`[R, K]`.

        Raises:
            RegionsError: scores outside [0, 1].
        """
        return checked_probabilities(_on_crops(self._classifier, view, proposals.boxes)[0], self._classifier.path)


class LabelerFeatures(RegionFeature):
    """The labeler's embedding of the crop of each region."""

    settings = ("labeler",)
    describes = "with `crops`, the labeler's embedding of the crop"

    @classmethod
    def open(cls, settings: RegionSettings) -> LabelerFeatures | None:
        """Turned on by a labeler together with `crops`."""
        return cls(settings) if settings.labeler and settings.crops else None

    def __init__(self, settings: RegionSettings) -> None:
        super().__init__(settings)
        self._classifier = _opened(settings)

    def blocks(
        self, view: View, outputs: Sequence[Any], maps: Sequence[FeatureMap], boxes: Array
    ) -> Sequence[FeatureBlock]:
        """One block, `labeler`, `[R, V]`."""
        return [FeatureBlock(LABELER, _on_crops(self._classifier, view, boxes)[1])]


class OnnxClassifier:
    """A classifier of crops, read from an ONNX file.

    Args:
        path: the file.
        side: of the crops in pixels, where the graph does not fix it.

    Attributes:
        path: the file.
        class_names: the K class names.

    Raises:
        RegionsError: an unreadable file, other outputs, or no class names.
    """

    def __init__(self, path: Path, side: int) -> None:
        self.path, self._side, self._network = path, side, Network(path)
        shapes = dict(self._network.outputs)
        if any(len(shapes.get(name, ())) != 2 for name in _OUTPUTS):
            raise RegionsError(
                f"{path} has the outputs {self._network.describe_outputs()}; a labeler needs `scores` [n, K] and "
                "`embedding` [n, V]."
            )
        self.class_names = class_list(self._network, None, shapes["scores"][1])

    def run_on_crops(self, view: View, boxes: Array) -> tuple[Array, Array]:
        """The scores `[R, K]` and embeddings `[R, V]` of crops."""
        width, height = self._network.input_size or (self._side, self._side)
        crops = np.stack([view.crop(box, width, height) for box in boxes])
        scores, embeddings = self._network.run_normalized(crops, list(_OUTPUTS), _BATCH)
        check_channels(self._network, scores.shape[1], self.class_names)
        return scores, embeddings


Classifier = OnnxClassifier | ImageTextEncoder

_in_use: WeakValueDictionary[tuple[RegionSettings, str, int], Classifier] = WeakValueDictionary()


def _opened(settings: RegionSettings) -> Classifier:
    """The classifier of the settings on the current device; the scores and the features of an extractor share one."""
    path = settings.labeler
    assert path is not None
    key = (settings, current_device().name, path.stat().st_mtime_ns if path.exists() else 0)
    classifier = _in_use.get(key)
    if classifier is None:
        is_folder = path.is_dir()
        classifier = ImageTextEncoder(path, settings.queries) if is_folder else OnnxClassifier(path, settings.crop_size)
        _in_use[key] = classifier
    return classifier


def _on_crops(classifier: Classifier, view: View, boxes: Array) -> tuple[Array, Array]:
    """The scores `[R, K]` and embeddings `[R, V]` of crops, computed once for an image and its boxes."""
    key = (classifier, boxes.tobytes())
    if key not in view.computed:
        view.computed[key] = classifier.run_on_crops(view, boxes)
    scores, embeddings = view.computed[key]
    return scores, embeddings
