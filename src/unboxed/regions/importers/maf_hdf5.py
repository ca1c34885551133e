"""Importer of the files of MAF (Wang et al., EMNLP 2020), which SPRM reads: three files for each split.

    {split}_features_compress.hdf5      features [N, V] of all images, and the rows [first, end) of each image
    {split}_imgid2idx.pkl               image id -> the image's number, a pickle of plain values
    {split}_detection_dict.json         image id -> {"bboxes": [[x1, y1, x2, y2], …], "classes": [names], …}, in pixels

The features are called `features` or `image_features`, their rows `pos_bboxes` or `pos_boxes`. Scores of the detections
are optional.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from unboxed.data.restricted_pickle import read_plain_pickle
from unboxed.errors import DatasetError, RegionsError, plain_reason
from unboxed.regions.base import FeatureImporter, PrecomputedImage, join_id
from unboxed.regions.importers.hdf5 import numbers_of, open_hdf5, require_h5py
from unboxed.types import float32_array

__all__ = ["MAFFeatures"]

_FEATURES, _NUMBERS, _DETECTIONS = "_features_compress.hdf5", "_imgid2idx.pkl", "_detection_dict.json"
_DAMAGED = (OSError, LookupError, TypeError, ValueError, OverflowError, RuntimeError, ArithmeticError, MemoryError)


class MAFFeatures(FeatureImporter):
    """The features of a folder with these files; needs h5py. The names of the classes are those of the detections."""

    format = "maf"
    reads = (
        "the folder of `train_features_compress.hdf5`, `train_imgid2idx.pkl`, `train_detection_dict.json` of MAF, SPRM"
    )

    def __init__(self, path: Path) -> None:
        require_h5py()
        self._folder = path
        self._splits = [file.name.removesuffix(_FEATURES) for file in sorted(path.glob(f"*{_FEATURES}"))]
        if not self._splits:
            raise RegionsError(
                f"{path} has no files such as train{_FEATURES}; --features names the folder that has them."
            )
        self._detections = {split: self._read_detections(split) for split in self._splits}
        images = [image for found in self._detections.values() for image in found.values()]
        self.class_names = tuple(sorted({name for image in images for name in image["classes"]}))

    def images(self, wanted: Collection[str]) -> Iterator[PrecomputedImage]:
        """The images of one split after the other."""
        number_of = {name: number for number, name in enumerate(self.class_names)}
        for split in self._splits:
            path = self._folder / f"{split}{_FEATURES}"
            try:
                with open_hdf5(path) as arrays:
                    features = "features" if "features" in arrays else "image_features"
                    rows = "pos_bboxes" if "pos_bboxes" in arrays else "pos_boxes"
                    for image_id, number in self._read_numbers(split).items():
                        if join_id(str(image_id)) in wanted:
                            first, end = (int(row) for row in numbers_of(arrays, rows, number))
                            found = numbers_of(arrays, features, slice(first, end))
                            yield self._image(split, str(image_id), found, number_of)
            except _DAMAGED as error:
                raise RegionsError(f"{path} cannot be read ({plain_reason(error)}); fetch it again.") from None

    def _image(
        self, split: str, image_id: str, features: np.ndarray[Any, Any], number_of: dict[str, int]
    ) -> PrecomputedImage:
        found = self._detections[split].get(image_id)
        path = self._folder / f"{split}{_DETECTIONS}"
        if found is None:
            raise RegionsError(f"{path} has no detections of the image {image_id}; fetch the files of one release.")
        boxes = float32_array(found["bboxes"]).reshape(-1, 4)
        scores = float32_array(found.get("scores", np.ones(len(boxes))))
        labels = np.array([number_of[name] for name in found["classes"]], np.int64)
        counts = (len(features), len(boxes), len(labels), len(scores))
        if len(set(counts)) != 1:
            raise RegionsError(
                f"{path}: {image_id} has {counts[1]} boxes, {counts[2]} classes and {counts[3]} scores for {counts[0]} "
                "features; expected one of each for each region."
            )
        return PrecomputedImage(image_id, float32_array(features), boxes, None, scores, labels)

    def _read_detections(self, split: str) -> dict[str, Any]:
        path = self._folder / f"{split}{_DETECTIONS}"
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            for image in found.values():
                if not all(isinstance(name, str) for name in image["classes"]) or "bboxes" not in image:
                    raise ValueError("an image without `bboxes`, or with other `classes` than names")
        except (OSError, ValueError, OverflowError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise RegionsError(
                f"{path} cannot be read as detections ({plain_reason(error)}); put it beside the features."
            ) from None
        return dict(found)

    def _read_numbers(self, split: str) -> dict[Any, int]:
        path = self._folder / f"{split}{_NUMBERS}"
        try:
            numbers = read_plain_pickle(path)
        except DatasetError as error:
            raise RegionsError(str(error)) from None
        if not isinstance(numbers, dict) or not all(type(number) is int for number in numbers.values()):
            raise RegionsError(f"{path} is no dictionary of image numbers; fetch it again.")
        return numbers
