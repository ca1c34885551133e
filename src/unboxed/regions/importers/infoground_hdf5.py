"""Importer of InfoGround's HDF5 files (Gupta et al., ECCV 2020): `<subset>/{boxes,features,scores,labels}.hdf5`.

Each file has one data set for each image, named by its id: boxes `[T, 4]` in pixels, features `[T, V]`, scores `[T]`
(or scores of classes `[T, K]`, of which the highest is taken) and labels `[T]`. Scores and labels are optional.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from unboxed.errors import RegionsError, plain_reason
from unboxed.regions.base import FeatureImporter, PrecomputedImage, join_id
from unboxed.regions.importers.hdf5 import numbers_of, open_hdf5, require_h5py
from unboxed.types import float32_array

__all__ = ["InfoGroundHDF5"]


class InfoGroundHDF5(FeatureImporter):
    """The features of a folder with these files, or with a folder for each subset; needs h5py."""

    format = "hdf5"
    reads = "InfoGround's `<detector>/<subset>/features.hdf5` and `boxes.hdf5`, `scores.hdf5`, `labels.hdf5`"

    def __init__(self, path: Path) -> None:
        require_h5py()
        found = (*path.glob("features.hdf5"), *path.glob("*/features.hdf5"))
        self._subsets = sorted(file.parent for file in found if file.is_file())
        if not self._subsets:
            raise RegionsError(
                f"{path} has no features.hdf5, and none of its folders has; --features names the folder of a "
                "detector, with a folder for each subset."
            )

    def images(self, wanted: Collection[str]) -> Iterator[PrecomputedImage]:
        """The images of one subset after the other."""
        for subset in self._subsets:
            with ExitStack() as stack:
                files = {}
                for name in ("features", "boxes", "scores", "labels"):
                    file = subset / f"{name}.hdf5"
                    if file.is_file():
                        files[name] = stack.enter_context(self._file(file))
                    elif name == "boxes":
                        raise RegionsError(f"{subset} has no boxes.hdf5; put it beside features.hdf5.")
                for image_id in _names(files["features"], subset / "features.hdf5"):
                    if join_id(image_id) in wanted:
                        yield _image(image_id, files, subset)

    def _file(self, path: Path) -> Any:
        try:
            return open_hdf5(path)
        except OSError as error:
            raise RegionsError(f"{path} cannot be read as HDF5 ({plain_reason(error)}); fetch it again.") from None


def _names(file: Any, path: Path) -> list[str]:
    try:
        return list(file)
    except (OSError, RuntimeError, KeyError, ValueError) as error:
        raise RegionsError(f"{path} cannot be read as HDF5 ({plain_reason(error)}); fetch it again.") from None


def _image(image_id: str, files: dict[str, Any], subset: Path) -> PrecomputedImage:
    def array(name: str) -> npt.NDArray[Any] | None:
        try:
            if name not in files or image_id not in files[name]:
                return None
            return numbers_of(files[name], image_id)
        except (OSError, RuntimeError, KeyError, TypeError, ValueError, AttributeError, MemoryError) as error:
            raise RegionsError(
                f"{subset / name}.hdf5: {image_id} cannot be read ({plain_reason(error)}); fetch it again."
            ) from None

    features, boxes, scores, labels = (array(name) for name in ("features", "boxes", "scores", "labels"))
    count = None if features is None or features.ndim != 2 else len(features)
    if features is None or boxes is None or boxes.shape != (count, 4):
        raise RegionsError(
            f"{subset}: {image_id} has features {_shape(features)} and boxes {_shape(boxes)}; expected [T, V] and "
            "[T, 4]."
        )
    if scores is not None and scores.ndim == 2:
        scores = scores.max(axis=1)
    for name, values in (("scores", scores), ("labels", labels)):
        if values is not None and values.shape != (count,):
            raise RegionsError(f"{subset}: {image_id} has {name} {_shape(values)} for {count} boxes; expected [T].")
    return PrecomputedImage(
        image_id,
        float32_array(features),
        float32_array(boxes),
        None,
        None if scores is None else float32_array(scores),
        # Labels may be names; only numbers can be looked up in a list of classes.
        labels.astype(np.int64) if labels is not None and labels.dtype.kind in "iu" else None,
    )


def _shape(values: npt.NDArray[Any] | None) -> str:
    return "none" if values is None else str(list(values.shape))
