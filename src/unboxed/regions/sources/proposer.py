"""A class-agnostic proposer: boxes of things that no detector has a class for.

The network has the outputs `boxes` [1, N, 4] and `scores` [1, N, 1] of a detector (see `detector_models`), whose scores
rank boxes and need not be probabilities of anything.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from unboxed import boxes as box_arithmetic
from unboxed.errors import RegionsError
from unboxed.regions.base import Detected, Detections, Proposals, RegionSource
from unboxed.regions.image_view import View
from unboxed.regions.networks import checked_probabilities
from unboxed.regions.settings import RegionSettings
from unboxed.regions.sources.detector_models import OnnxDetector

__all__ = ["Proposer"]


class Proposer(RegionSource):
    """The boxes of a proposer that repeat neither each other nor those of the detectors, best first."""

    names = ("proposal",)
    settings = ("proposer",)
    needs = "an ONNX file"
    finds = "things that no detector has a class for"
    ranked = True

    def __init__(self, settings: RegionSettings) -> None:
        super().__init__(settings)
        assert settings.proposer is not None
        self._network = OnnxDetector(settings.proposer, settings.detector_size, clip=False)
        if len(self._network.class_names) != 1:
            raise RegionsError(
                f"{settings.proposer} has {len(self._network.class_names)} classes, and a proposer has one; name it "
                "as a detector (--detector)."
            )

    def networks(self) -> Sequence[Callable[[View], Detections]]:
        """The proposer."""
        return [self._network.detect]

    def propose(self, view: View, outputs: Sequence[Detections], detected: Detected) -> Proposals:
        """At most `proposals` boxes, after a suppression together with the detectors' boxes, which come first.

        Raises:
            RegionsError: scores outside [0, 1].
        """
        assert self.options.proposer is not None
        score_N = checked_probabilities(outputs[0].class_scores[:, 0], self.options.proposer)
        boxes = box_arithmetic.clip(outputs[0].boxes, *view.size)
        rows = np.flatnonzero(box_arithmetic.area(boxes) > 0)
        together = np.concatenate([detected.boxes, boxes[rows]])
        ranks = np.concatenate([np.full(len(detected), 2, np.float32), score_N[rows]])
        keep = box_arithmetic.nms(together, ranks, self.options.nms)
        kept = rows[keep[keep >= len(detected)] - len(detected)][: self.options.proposals]
        return Proposals.of(boxes[kept], "proposal", score_N[kept])
