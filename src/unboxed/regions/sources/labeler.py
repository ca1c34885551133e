"""A labeler: a classifier that looks at the crop of every region.

A detector knows few classes, but sees where they are. A labeler knows hundreds, and names what a given box shows. The
network has the outputs `scores` [n, K] in 0..1, of classes that do not exclude each other, and `embedding` [n, V].
The input is RGB, (x - 127.5) / 127.5 unless the metadata give `mean` and `std`. A folder is an image-text encoder, and
its classes are the queries.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from unboxed.errors import RegionsError
from unboxed.regions.base import Detected, FeatureBlock, FeatureMap, Proposals, RegionFeature, RegionSource
from unboxed.regions.image_view import View
from unboxed.regions.networks import Network, check_channels, checked_probabilities, class_list
from unboxed.regions.settings import RegionSettings
from unboxed.regions.sources.image_text import ImageTextEncoder
from unboxed.types import LABELER, Array

__all__ = ["LABELER", "Labeler", "LabelerFeatures"]

_BATCH = 32


class Labeler(RegionSource):
    """Scores of the labeler's classes for the regions of every source; it proposes none."""

    names = (LABELER,)
    settings = ("labeler",)
    needs = "an ONNX file, or the folder of CLIP or SigLIP"
    finds = "nothing by itself; it names what every region shows"

    def __init__(self, settings: RegionSettings) -> None:
        super().__init__(settings)
        self._network = network = _open(settings)
        if isinstance(network, ImageTextEncoder):
            names = network.class_names
        else:
            names = class_list(network, None, dict(network.outputs)["scores"][1])
        self.class_names = tuple(f"{LABELER}:{name}" for name in names)

    def propose(self, view: View, outputs: Sequence[Any], detected: Detected) -> Proposals:
        """Nothing."""
        return Proposals.none()

    def class_scores(self, view: View, outputs: Sequence[Any], proposals: Proposals) -> Array:
        """`[R, K]`.

        Raises:
            RegionsError: scores outside [0, 1].
        """
        score_RK = _run_on_crops(self._network, view, proposals.boxes, self.options.crop_size)[0]
        if isinstance(self._network, Network):
            check_channels(self._network, score_RK.shape[1], self.class_names)
        return checked_probabilities(score_RK, self._network.path)


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
        self._network = _open(settings)

    def blocks(
        self, view: View, outputs: Sequence[Any], maps: Sequence[FeatureMap], boxes: Array
    ) -> Sequence[FeatureBlock]:
        """One block, `labeler`, `[R, V]`."""
        return [FeatureBlock(LABELER, _run_on_crops(self._network, view, boxes, self.options.crop_size)[1])]


def _open(settings: RegionSettings) -> Network | ImageTextEncoder:
    assert settings.labeler is not None
    if settings.labeler.is_dir():
        return ImageTextEncoder(settings.labeler, settings.queries)
    network = Network(settings.labeler)
    shapes = dict(network.outputs)
    if any(len(shapes.get(name, ())) != 2 for name in ("scores", "embedding")):
        raise RegionsError(
            f"{network.path} has the outputs {network.describe_outputs()}; a labeler needs `scores` [n, K] and "
            "`embedding` [n, V]."
        )
    return network


def _run_on_crops(network: Network | ImageTextEncoder, view: View, boxes: Array, side: int) -> tuple[Array, Array]:
    """The scores `[R, K]` and embeddings `[R, V]` of crops, computed once for an image and its boxes."""
    if isinstance(network, ImageTextEncoder):
        return network.run_on_crops(view, boxes)
    key = (network.path, side, boxes.tobytes())
    if key not in view.computed:
        width, height = network.input_size or (side, side)
        mean, scale = network.normalization()
        crops = np.stack([view.crop(box, width, height) for box in boxes])
        parts = [
            network.run(crops[start : start + _BATCH], mean, scale, ["scores", "embedding"])
            for start in range(0, len(crops), _BATCH)
        ]
        view.computed[key] = tuple(np.concatenate(columns) for columns in zip(*parts, strict=True))
    scores, embeddings = view.computed[key]
    return scores, embeddings
