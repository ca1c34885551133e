"""What every importer of precomputed features gives: images with features, and boxes where the format has them."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from unboxed.data.image_folder import without_suffix
from unboxed.types import Array

__all__ = ["FeatureFormat", "FeatureSource", "PrecomputedImage", "image_key"]

FeatureFormat = Literal["scan", "tsv", "hdf5"]


@dataclass(frozen=True, eq=False)
class PrecomputedImage:
    """The regions of one image as a file has them.

    Attributes:
        image_id: as in the file.
        features: `[R, V]`.
        boxes: `[R, 4]` in pixels of `size`, or shares of the image if none is above 1; None: the file has none.
        size: (width, height) of the image they were computed from; None: the file does not say.
        scores: `[R]` in [0, 1]; None: none.
        labels: `[R]` numbers of classes; None: none.
    """

    image_id: str
    features: Array
    boxes: Array | None = None
    size: tuple[int, int] | None = None
    scores: Array | None = None
    labels: npt.NDArray[np.int64] | None = None


class FeatureSource(Protocol):
    """A file or folder of precomputed features."""

    @property
    def format(self) -> FeatureFormat:
        """What it is."""
        ...

    @property
    def has_boxes(self) -> bool:
        """Are there boxes for its regions?"""
        ...

    def images(self, wanted: Collection[str]) -> Iterator[PrecomputedImage]:
        """The images whose `image_key` is among `wanted`, in the order of the file.

        Raises:
            RegionsError: a malformed file.
        """
        ...


def image_key(image_id: str) -> str:
    """What two names of one image have in common: no ending of an image, no leading zeros of a number.

    Examples:
        >>> image_key("000000391895.jpg"), image_key("391895"), image_key("a/b.png")
        ('391895', '391895', 'a/b')
    """
    name = without_suffix(image_id)
    return str(int(name)) if name.isascii() and name.isdecimal() and len(name) < 1000 else name
