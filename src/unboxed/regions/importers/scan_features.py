"""SCAN's precomputed features: `{split}_ims.npy`, mapped into memory, and `{split}_boxes.npy` where somebody has them.

The released files have no boxes. A file of boxes has four columns, x1, y1, x2, y2, and the rows of the features. PFAN's
file of the same name has thirty: they name blocks of the image, from which no box can be told, and are passed over
(see `pfan`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

import numpy as np

from unboxed.data.readers.scan import ScanFolder, open_rows
from unboxed.errors import DatasetError, RegionsError
from unboxed.regions.importers.base import FeatureFormat, PrecomputedImage, image_key

__all__ = ["ScanFeatures"]


class ScanFeatures:
    """The features of a SCAN directory.

    Raises:
        RegionsError: no such directory, or a split without features.
    """

    format: FeatureFormat = "scan"

    def __init__(self, folder: Path) -> None:
        try:
            self._folder = ScanFolder(folder)
        except DatasetError as error:
            raise RegionsError(str(error)) from None
        self._splits = [name for name in self._folder.split_names if self._folder.features(name).is_file()]
        if not self._splits:
            raise RegionsError(f"{folder} has captions but no features such as train_ims.npy; put them beside them.")
        self.has_boxes = all(self._box_columns(name) == 4 for name in self._splits)

    def images(self, wanted: Collection[str]) -> Iterator[PrecomputedImage]:
        """Split by split; each image once, though a release may hold it five times.

        Raises:
            RegionsError: counts that do not fit, or boxes of other regions.
        """
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
                if image_key(image.image_id) in wanted:
                    yield PrecomputedImage(
                        image.image_id,
                        np.array(features[image.row], np.float32),
                        None if boxes is None else np.array(boxes[image.row], np.float32),
                    )

    def _boxes(self, split: str) -> Path:
        features = self._folder.features(split)
        return features.with_name(features.name.replace("_ims.npy", "_boxes.npy"))

    def _box_columns(self, split: str) -> int:
        if not self._boxes(split).is_file():
            return 0
        try:
            return int(open_rows(self._boxes(split), 3).shape[2])
        except DatasetError as error:
            raise RegionsError(str(error)) from None
