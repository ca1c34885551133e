"""Importer of SCAN's precomputed features: `{split}_ims.npy`, mapped into memory, and optionally `{split}_boxes.npy`.

SCAN's released files have no boxes. A file of boxes has four columns, x1, y1, x2, y2, and the rows of the features.
PFAN's file of the same name has thirty columns: 15 blocks of a 16 x 16 grid (256: none), and the share of each. Boxes
cannot be computed from them. They are stored as the last feature columns, which only `pfan` reads. Stores hold float16:
blocks are exact, shares have a relative error of at most 2^-11 (absolute 2^-25 below 2^-14).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

import numpy as np

from unboxed.data.readers.scan import ScanFolder, open_rows
from unboxed.errors import DatasetError, RegionsError
from unboxed.regions.base import BLOCKS, FeatureImporter, PrecomputedImage, join_id
from unboxed.types import Array, float32_array

__all__ = ["ScanFeatures"]

_SLOTS, _NO_BLOCK = 15, 256


class ScanFeatures(FeatureImporter):
    """The features of a SCAN directory."""

    format = "scan"
    reads = "the directory of SCAN: `train_ims.npy`, …"
    boxes = "none in the released files; `train_boxes.npy` with four columns (boxes) or thirty (PFAN's blocks)"

    def __init__(self, path: Path) -> None:
        try:
            self._folder = ScanFolder(path)
            self._splits = [name for name in self._folder.stems if self._folder.features(name).is_file()]
            columns = {self._box_columns(name) for name in self._splits}
        except DatasetError as error:
            raise RegionsError(str(error)) from None
        if not self._splits:
            raise RegionsError(f"{path} has captions but no features such as train_ims.npy; put them beside them.")
        if not columns <= {0, 4, 2 * _SLOTS}:
            raise RegionsError(
                f"The *_boxes.npy of {path} have {sorted(columns - {0})} columns; expected 4 (boxes) or 30 (PFAN's "
                "blocks and shares)."
            )
        self.has_boxes = columns == {4}
        self.extra_columns = ((BLOCKS, 2 * _SLOTS),) if columns == {2 * _SLOTS} else ()

    def images(self, wanted: Collection[str]) -> Iterator[PrecomputedImage]:
        """The images of one split after the other; each once, although a release may have it five times."""
        for split in self._splits:
            try:
                features = open_rows(self._folder.features(split), 3)
                boxes = open_rows(self._boxes(split), 3) if self.has_boxes or self.extra_columns else None
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
                    features_RV = np.array(float32_array(features[image.row]))
                    rows = None if boxes is None else np.array(float32_array(boxes[image.row]))
                    if rows is not None and self.extra_columns:
                        _check_blocks(rows, f"{self._boxes(split)}, row {image.row}")
                        features_RV, rows = np.concatenate([features_RV, rows], axis=1), None
                    yield PrecomputedImage(image.image_id, features_RV, rows)

    def _boxes(self, split: str) -> Path:
        features = self._folder.features(split)
        return features.with_name(features.name.replace("_ims.npy", "_boxes.npy"))

    def _box_columns(self, split: str) -> int:
        return open_rows(self._boxes(split), 3).shape[2] if self._boxes(split).is_file() else 0


def _check_blocks(rows: Array, where: str) -> None:
    """Raises `RegionsError` where rows `[R, 30]` are not blocks and shares."""
    block, share = rows[:, :_SLOTS], rows[:, _SLOTS:]
    if not ((block >= 0) & (block <= _NO_BLOCK) & (block == np.round(block))).all():
        raise RegionsError(f"{where}: blocks are whole numbers in 0..{_NO_BLOCK}; fetch the file again.")
    total = share.sum(axis=1)
    if not (share >= 0).all() or not ((abs(total - 1) < 0.01) | (total == 0)).all():
        raise RegionsError(f"{where}: shares are not negative and sum to 1 or 0 in each region; fetch the file again.")
