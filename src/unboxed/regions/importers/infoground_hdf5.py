"""The HDF5 files of InfoGround (Gupta et al., ECCV 2020): `<subset>/{boxes,features,scores,labels}.hdf5`.

Each file has one data set for each image, named by its id: boxes `[T, 4]` in pixels, features `[T, V]`, scores `[T]`
(or of each class `[T, K]`, of which the highest counts) and labels `[T]`. The last two may be absent.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from unboxed.errors import RegionsError
from unboxed.regions.importers.base import FeatureFormat, PrecomputedImage, image_key

__all__ = ["InfoGroundHDF5"]


class InfoGroundHDF5:
    """The features of a folder that holds these files, or a folder for each subset.

    Raises:
        RegionsError: h5py is not installed, or there are no such files.
    """

    format: FeatureFormat = "hdf5"
    has_boxes = True

    def __init__(self, folder: Path) -> None:
        try:
            import h5py
        except ImportError:
            raise RegionsError('HDF5 files need h5py; install it with: pip install "unboxed[hdf5]".') from None
        self._open = h5py.File
        self._subsets = sorted(file.parent for file in (*folder.glob("features.hdf5"), *folder.glob("*/features.hdf5")))
        if not self._subsets:
            raise RegionsError(
                f"{folder} has no features.hdf5, and none of its folders has; --features names the folder of a "
                "detector, with a folder for each subset."
            )

    def images(self, wanted: Collection[str]) -> Iterator[PrecomputedImage]:
        """Subset by subset.

        Raises:
            RegionsError: a damaged file, or arrays that do not fit each other.
        """
        for subset in self._subsets:
            with ExitStack() as stack:
                files = {}
                for name in ("features", "boxes", "scores", "labels"):
                    path = subset / f"{name}.hdf5"
                    if path.is_file():
                        files[name] = stack.enter_context(self._file(path))
                    elif name == "boxes":
                        raise RegionsError(f"{subset} has no boxes.hdf5; put it beside features.hdf5.")
                for image_id in files["features"]:
                    if image_key(image_id) in wanted:
                        yield _image(image_id, files, subset)

    def _file(self, path: Path) -> Any:
        try:
            return self._open(path, "r")
        except OSError as error:
            raise RegionsError(f"{path} cannot be read as HDF5 ({error}); fetch it again.") from None


def _image(image_id: str, files: dict[str, Any], subset: Path) -> PrecomputedImage:
    def array(name: str) -> npt.NDArray[Any] | None:
        if name not in files or image_id not in files[name]:
            return None
        try:
            return np.asarray(files[name][image_id][()])
        except (OSError, TypeError, ValueError, AttributeError) as error:
            raise RegionsError(f"{subset / name}.hdf5: {image_id} cannot be read ({error}); fetch it again.") from None

    features, boxes, scores, labels = (array(name) for name in ("features", "boxes", "scores", "labels"))
    count = None if features is None or features.ndim != 2 else len(features)
    if boxes is None or boxes.shape != (count, 4):
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
        np.asarray(features, np.float32),
        np.asarray(boxes, np.float32),
        None,
        None if scores is None else np.asarray(scores, np.float32),
        # Labels may be names instead of numbers; only numbers can be looked up in a list of classes.
        labels.astype(np.int64) if labels is not None and labels.dtype.kind in "iu" else None,
    )


def _shape(values: npt.NDArray[Any] | None) -> str:
    return "none" if values is None else str(list(values.shape))
