"""Sources that find nothing in the first images of an extraction: a model that gets another input than it was made for.

A network that reads BGR for RGB, or values in 0..1 for 0..255, runs without an error and finds nothing.
"""

from __future__ import annotations

from unboxed.regions.settings import RegionSettings
from unboxed.runtime.progress import Show
from unboxed.types import Regions, detected

__all__ = ["SilentSources"]

_IMAGES = 20
_FAINT = 0.1  # a detector gives boxes at any score
_CAUSES = (
    "Likely causes: an input in another range (0..1 for 0..255, other mean and std), channels in another order (BGR "
    "for RGB), or boxes in another unit; the table of model files of the guide “Regions” has what each kind gets."
)


class SilentSources:
    """Watches the regions of images, and names the sources that found nothing in the first 20.

    Args:
        settings: of the extraction.
        show: called with each warning as soon as it is known.

    Attributes:
        warnings: of the sources that found nothing; none before the 20th image.
    """

    def __init__(self, settings: RegionSettings, show: Show) -> None:
        self.warnings: tuple[str, ...] = ()
        self._show = show
        detectors = [str(path) for path in settings.detectors]
        detectors += [settings.detector_hf] if settings.detector_hf else []
        self._names = {
            "detector": ", ".join(detectors) if settings.top_k else "",
            "segmenter": str(settings.segmenter or "") if settings.stuff else "",
            "proposal": str(settings.proposer or "") if settings.proposals else "",
            "labeler": str(settings.labeler or ""),
        }
        self._silent = {kind for kind, name in self._names.items() if name}
        self._images = 0

    def see(self, regions: Regions) -> None:
        """Watch the regions of one more image."""
        self._images += 1
        if self._images > _IMAGES:
            return
        self._silent -= _found(regions)
        if self._images == _IMAGES:
            self.warnings = self._warnings()
            for warning in self.warnings:
                self._show(warning)

    def _warnings(self) -> tuple[str, ...]:
        kinds = {"proposal": "proposer"}
        return tuple(
            f"The {kinds.get(kind, kind)} {self._names[kind]} found nothing in the first {_IMAGES} images. {_CAUSES}"
            for kind in self._names
            if kind in self._silent
        )


def _found(regions: Regions) -> set[str]:
    """The kinds of sources that found something in an image."""
    found = set(regions.sources) - {"detector"}
    is_found = [source == "detector" for source in regions.sources]
    if regions.scores[is_found].max(initial=0) >= _FAINT:
        found.add("detector")
    if regions.class_probs[:, ~detected(regions.class_names)].max(initial=0) >= _FAINT:
        found.add("labeler")
    return found
