"""The interface of an importer: precomputed region features of other software, one image at a time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from unboxed.data.images import without_suffix
from unboxed.types import Array

__all__ = ["FeatureImporter", "PrecomputedImage", "join_id"]


@dataclass(frozen=True, eq=False)
class PrecomputedImage:
    """The regions of one image as they are in a file.

    Attributes:
        image_id: as in the file.
        features: `[R, V]`.
        boxes: `[R, 4]` in pixels of `size`, or in shares of the image if none is above 1; None: the file has none.
        size: (width, height) of the image from which they were computed; None: unknown.
        scores: `[R]` in [0, 1]; None: none.
        labels: `[R]` class numbers; None: none.
    """

    image_id: str
    features: Array
    boxes: Array | None = None
    size: tuple[int, int] | None = None
    scores: Array | None = None
    labels: npt.NDArray[np.int64] | None = None


class FeatureImporter(ABC):
    """Reads one format of precomputed features. An importer is a subclass, listed in `importers.IMPORTERS`.

    It yields one image at a time, so a file of tens of gigabytes takes the memory of a few images.

    Args:
        path: the file or folder; it exists.

    Attributes:
        format: the value of `--format` that chooses it, and what stores made by it remember.
        reads: what `--features` names, for the documentation.
        boxes: which of its files have boxes, for the documentation.
        has_boxes: whether the regions read from `path` have boxes.

    Raises:
        RegionsError: nothing of this format in `path`.
    """

    format: ClassVar[str]
    reads: ClassVar[str]
    boxes: ClassVar[str] = "yes"
    has_boxes: bool = True

    @abstractmethod
    def __init__(self, path: Path) -> None: ...

    @abstractmethod
    def images(self, wanted: Collection[str]) -> Iterator[PrecomputedImage]:
        """The images whose `join_id` is among `wanted`, in the order of the file.

        Raises:
            RegionsError: a malformed file.
        """


def join_id(image_id: str) -> str:
    """The part of an image id by which images are joined: without the suffix of a file and leading zeros of a number.

    >>> join_id("000000391895.jpg"), join_id("391895"), join_id("a/b.png")
    ('391895', '391895', 'a/b')
    """
    name = without_suffix(image_id)
    return str(int(name)) if name.isascii() and name.isdecimal() and len(name) < 1000 else name
