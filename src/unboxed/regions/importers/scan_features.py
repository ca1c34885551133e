"""Importer of SCAN's precomputed features: `{split}_ims.npy`, mapped into memory, and optionally `{split}_boxes.npy`.

The released files have no boxes. A file of boxes has four columns, x1, y1, x2, y2, and the rows of the features. PFAN's
file of the same name has thirty columns. They name blocks of the image, from which boxes cannot be computed, so it is
ignored.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

import numpy as np

from unboxed.data.readers.scan import ScanFolder, open_rows
from unboxed.errors import DatasetError, RegionsError
from unboxed.regions.base import FeatureImporter, PrecomputedImage, join_id

__all__ = ["ScanFeatures"]


class ScanFeatures(FeatureImporter):
    """The features of a SCAN directory."""

    format = "scan"
    reads = "the directory of SCAN: `train_ims.npy`, …"
    boxes = "none in the released files; `train_boxes.npy` with four columns, if you have one"

    def __init__(self, path: Path) -> None:
        try:
            self._folder = ScanFolder(path)
            self._splits = [name for name in self._folder.stems if self._folder.features(name).is_file()]
            self.has_boxes = all(self._box_columns(name) == 4 for name in self._splits)
        except DatasetError as error:
            raise RegionsError(str(error)) from None
        if not self._splits:
            raise RegionsError(f"{path} has captions but no features such as train_ims.npy; put them beside them.")

    def images(self, wanted: Collection[str]) -> Iterator[PrecomputedImage]:
        """The images of one split after the other; each once, although a release may have it five times."""
        for split in self._splits:
            try:
                features = open_rows(self._folder.features(split), 3)
                boxes = open_rows(self._boxes(split), 3) if self.has_boxes else None
                images = self._folder.images(split)
            except DatasetError as error:
                raise RegionsError(str(error)) from None
            if boxes is not None and boxes.shape[:2] != features.shape[:2]:
                raise RegionsError(
                    f"{self._boxes(split)} has boxes {list(boxes.shape)} for features {list(features.shape)}; expected "
                    "one box for each region."
                )
            for image in images:
                if join_id(image.image_id) in wanted:
                    yield PrecomputedImage(
                        image.image_id,
                        np.array(features[image.row], np.float32),
                        None if boxes is None else np.array(boxes[image.row], np.float32),
                    )

    def _boxes(self, split: str) -> Path:
        features = self._folder.features(split)
        return features.with_name(features.name.replace("_ims.npy", "_boxes.npy"))

    def _box_columns(self, split: str) -> int:
        return open_rows(self._boxes(split), 3).shape[2] if self._boxes(split).is_file() else 0
