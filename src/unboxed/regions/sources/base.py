"""The interface of a region source, and the joint class names of several sources."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from unboxed.regions.image_view import View
from unboxed.regions.proposals import Detected, FeatureMap, Proposals
from unboxed.types import Array

if TYPE_CHECKING:
    from unboxed.regions.settings import RegionSettings

__all__ = ["RegionSource", "distinct_class_names"]


class RegionSource(ABC):
    """Proposes boxes of an image. A source is a subclass in a file of its own, listed in `sources.SOURCES`.

    A source has to define the class attributes without a default, `open` and `propose`. The other methods are for
    sources with networks, which may score classes for the boxes of every source.

    Attributes:
        names: what its regions are called in `Regions.sources`.
        settings: the fields of `RegionSettings` that turn it on.
        needs: what the user has to provide, for the documentation.
        finds: what it is good for, for the documentation.
        ranked: its scores rank its regions; otherwise they are constant, or not comparable.
        one_thing: each of its boxes is meant to hold one whole thing.
        always_kept: its boxes are kept where they repeat boxes of an earlier source.
        class_names: the K_s classes that it scores; none by default.
    """

    names: ClassVar[tuple[str, ...]]
    settings: ClassVar[tuple[str, ...]]
    needs: ClassVar[str] = "nothing"
    finds: ClassVar[str]
    ranked: ClassVar[bool] = False
    one_thing: ClassVar[bool] = True
    always_kept: ClassVar[bool] = False
    class_names: tuple[str, ...] = ()

    @classmethod
    @abstractmethod
    def open(cls, settings: RegionSettings) -> Self | None:
        """The source that the settings describe, or None if they turn it off.

        Raises:
            RegionsError: a model that cannot be used.
        """

    @abstractmethod
    def propose(self, view: View, outputs: Sequence[Any], detected: Detected) -> Proposals:
        """Boxes in pixels of the image; they may reach beyond it.

        Args:
            view: the image.
            outputs: what `networks` returned for it, in their order.
            detected: the boxes of the detectors; empty for the detectors themselves.
        """

    def networks(self) -> Sequence[Callable[[View], Any]]:
        """Functions of an image that take long and do not depend on each other; they may run in parallel."""
        return ()

    def class_scores(self, view: View, outputs: Sequence[Any], proposals: Proposals) -> Array:
        """`[R, K_s]` in [0, 1]: how well each of R boxes, proposed by any source, shows each class of this source."""
        return np.zeros((len(proposals), 0), np.float32)

    def feature_maps(self, outputs: Sequence[Any]) -> Sequence[FeatureMap]:
        """Feature maps among the outputs, from which region features can be pooled."""
        return ()


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
