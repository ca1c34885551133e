"""The interfaces of what makes regions, and the values that they exchange.

A region source proposes boxes of an image, and a region feature describes them. A feature importer reads regions that
other software computed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from unboxed.data.images import without_suffix
from unboxed.regions.image_view import View
from unboxed.regions.settings import RegionSettings
from unboxed.types import Array

__all__ = [
    "BACKBONE",
    "BLOCKS",
    "Detected",
    "Detections",
    "FeatureBlock",
    "FeatureImporter",
    "FeatureMap",
    "PrecomputedImage",
    "Proposals",
    "RegionFeature",
    "RegionSource",
    "distinct_class_names",
    "join_id",
]

BACKBONE = "backbone/"
"""What the names of blocks of features begin with that are pooled from the maps of a backbone."""

BLOCKS = "blocks"
"""Name of the feature columns with the blocks that each region covers, and then their shares; no model input."""


@dataclass(frozen=True, eq=False)
class Proposals:
    """Candidate boxes of one image.

    Attributes:
        boxes: `[N, 4]` pixels of the image.
        scores: `[N]` in [0, 1]; 1 where the source has no score.
        sources: N names of the sources.
        members: for a box around several detected boxes, its row and these boxes `[M, 4]`.
    """

    boxes: Array
    scores: Array
    sources: tuple[str, ...]
    members: Mapping[int, Array] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.sources)

    @classmethod
    def none(cls) -> Self:
        """No boxes."""
        return cls(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), ())

    @staticmethod
    def of(
        boxes: Sequence[Sequence[float]] | Array, name: str, scores: Sequence[float] | Array | None = None
    ) -> Proposals:
        """Boxes of one source.

        Args:
            boxes: N rows x1, y1, x2, y2; there may be none.
            name: the source's name.
            scores: N scores; None: 1 each.
        """
        array = np.asarray(boxes, np.float32).reshape(-1, 4)
        known = np.ones(len(array), np.float32) if scores is None else np.asarray(scores, np.float32)
        return Proposals(array, known, (name,) * len(array))

    @staticmethod
    def joined(parts: Sequence[Proposals]) -> Proposals:
        """All boxes of `parts`, in order."""
        parts = [Proposals.none(), *parts]
        starts = np.cumsum([0, *(len(part) for part in parts)]).tolist()
        return Proposals(
            boxes=np.concatenate([part.boxes for part in parts]),
            scores=np.concatenate([part.scores for part in parts]),
            sources=tuple(name for part in parts for name in part.sources),
            members={
                start + row: boxes
                for start, part in zip(starts, parts, strict=False)
                for row, boxes in part.members.items()
            },
        )

    def take(self, rows: Sequence[int]) -> Proposals:
        """The boxes of these rows, in their order."""
        return Proposals(
            boxes=self.boxes[rows],
            scores=self.scores[rows],
            sources=tuple(self.sources[row] for row in rows),
            members={new: self.members[row] for new, row in enumerate(rows) if row in self.members},
        )


@dataclass(frozen=True, eq=False)
class Detected(Proposals):
    """The boxes of the detectors after non-maximum suppression, best first.

    Attributes:
        class_scores: `[N, K]` in [0, 1], over the classes of all detectors.
        person_scores: `[N]` in [0, 1], the best score of a class that is a kind of person.
    """

    class_scores: Array = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    person_scores: Array = field(default_factory=lambda: np.zeros(0, np.float32))


@dataclass(frozen=True, eq=False)
class FeatureMap:
    """A network's feature map of one image.

    Attributes:
        name: the name of the network's output.
        values: `[V, h, w]`.
        window: x1, y1, x2, y2 in pixels of the image: what the h x w grid covers. It reaches beyond the image where
            the input of the network was padded.
    """

    name: str
    values: Array
    window: tuple[float, float, float, float]


@dataclass(frozen=True, eq=False)
class Detections:
    """All outputs of a detector for one image, before any suppression.

    Attributes:
        boxes: `[N, 4]` pixels of the image.
        class_scores: `[N, K]` in [0, 1].
        maps: feature maps among the outputs, often none.
    """

    boxes: Array
    class_scores: Array
    maps: tuple[FeatureMap, ...] = ()


class FeatureBlock(NamedTuple):
    """Consecutive columns of the features: a unique name, and values `[R, width]`."""

    name: str
    values: Array


class _Part(ABC):
    """What region sources and features have in common: both open themselves from the region settings."""

    settings: ClassVar[tuple[str, ...]]

    def __init__(self, settings: RegionSettings) -> None:
        self.options = settings

    @classmethod
    def open(cls, settings: RegionSettings) -> Self | None:
        """The part that the settings describe, or None if they turn it off: by default, if all its fields are empty.

        Raises:
            RegionsError: a model that cannot be used.
        """
        return cls(settings) if any(getattr(settings, name) for name in cls.settings) else None

    def networks(self) -> Sequence[Callable[[View], Any]]:
        """Slow functions of an image that do not depend on each other, so that they can run in parallel."""
        return ()


class RegionSource(_Part):
    """Proposes boxes of an image. A source is a subclass that is listed in `sources.SOURCES`.

    A source has to define the class attributes without a default, and `propose`. The other methods are for sources
    with networks, which may score classes for the boxes of every source.

    Attributes:
        names: what its regions are called in `Regions.sources`.
        settings: the fields of `RegionSettings` that turn it on.
        needs: what the user has to provide, for the documentation.
        finds: what it finds well, for the documentation.
        ranked: its scores rank its regions; otherwise they are constant, or not comparable.
        one_thing: each of its boxes should contain one whole thing.
        always_kept: its boxes are kept where they repeat boxes of an earlier source.
        class_names: the K_s classes that it scores; none by default.
        options: the region settings from which it was opened.
    """

    names: ClassVar[tuple[str, ...]]
    needs: ClassVar[str] = "nothing"
    finds: ClassVar[str]
    ranked: ClassVar[bool] = False
    one_thing: ClassVar[bool] = True
    always_kept: ClassVar[bool] = False
    class_names: tuple[str, ...] = ()

    @abstractmethod
    def propose(self, view: View, outputs: Sequence[Any], detected: Detected) -> Proposals:
        """Boxes in pixels of the image; they may reach beyond it.

        Args:
            view: the image.
            outputs: what `networks` returned for it, in their order.
            detected: the boxes of the detectors; empty for the detectors themselves.
        """

    def class_scores(self, view: View, outputs: Sequence[Any], proposals: Proposals) -> Array:
        """`[R, K_s]` in [0, 1]: how well each of R boxes, proposed by any source, shows each class of this source."""
        return np.zeros((len(proposals), 0), np.float32)

    def feature_maps(self, outputs: Sequence[Any]) -> Sequence[FeatureMap]:
        """Feature maps among the outputs, from which region features can be pooled."""
        return ()


class RegionFeature(_Part):
    """Describes the regions of an image by numbers. A feature is a subclass that is listed in `features.FEATURES`.

    Attributes:
        settings: the fields of `RegionSettings` that turn it on.
        describes: what its numbers are, for the documentation.
        options: the region settings from which it was opened.
    """

    describes: ClassVar[str]

    @abstractmethod
    def blocks(
        self, view: View, outputs: Sequence[Any], maps: Sequence[FeatureMap], boxes: Array
    ) -> Sequence[FeatureBlock]:
        """The numbers that describe R regions; the widths must not depend on the image.

        Args:
            view: the image.
            outputs: what `networks` returned for it, in their order.
            maps: feature maps of the region sources.
            boxes: `[R, 4]` pixels of the image.
        """


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

    def first(self, count: int) -> PrecomputedImage:
        """The first regions, at most `count`."""
        return replace(
            self,
            features=self.features[:count],
            boxes=None if self.boxes is None else self.boxes[:count],
            scores=None if self.scores is None else self.scores[:count],
            labels=None if self.labels is None else self.labels[:count],
        )


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
        class_names: names of the classes of the labels, where the files have them.
        extra_columns: (name, width) of the last feature columns that are no features, such as `BLOCKS`.

    Raises:
        RegionsError: nothing of this format in `path`.
    """

    format: ClassVar[str]
    reads: ClassVar[str]
    boxes: ClassVar[str] = "yes"
    has_boxes: bool = True
    class_names: tuple[str, ...] = ()
    extra_columns: tuple[tuple[str, int], ...] = ()

    @abstractmethod
    def __init__(self, path: Path) -> None: ...

    @abstractmethod
    def images(self, wanted: Collection[str]) -> Iterator[PrecomputedImage]:
        """The images whose `join_id` is among `wanted`, in the order of the file.

        Raises:
            RegionsError: a malformed file.
        """


def distinct_class_names(lists: Iterable[tuple[str, tuple[str, ...]]]) -> tuple[str, ...]:
    """The class names of several (source, names), one list after the other, without confusion.

    A name that an earlier list has gets its source as a prefix, such as `segmenter:person`. So the scores of two
    sources for one class stay apart, and a prior can trust one of them more.
    """
    joined: list[str] = []
    for source, names in lists:
        earlier = set(joined)
        joined += [f"{source}:{name}" if name in earlier else name for name in names]
    return tuple(joined)


def join_id(image_id: str) -> str:
    """The part of an image id by which images are joined: without the suffix of a file and leading zeros of a number.

    >>> join_id("000000391895.jpg"), join_id("391895"), join_id("a/b.png")
    ('391895', '391895', 'a/b')
    """
    name = without_suffix(image_id)
    return str(int(name)) if name.isascii() and name.isdecimal() and len(name) < 1000 else name
