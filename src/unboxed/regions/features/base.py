"""The interface of a region feature: what describes regions by numbers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self

from unboxed.regions.image_view import View
from unboxed.regions.proposals import FeatureMap
from unboxed.types import Array

if TYPE_CHECKING:
    from unboxed.regions.settings import RegionSettings

__all__ = ["FeatureBlock", "RegionFeature"]


class FeatureBlock(NamedTuple):
    """Consecutive columns of the features.

    Attributes:
        name: unique among the blocks.
        values: `[R, width]`.
    """

    name: str
    values: Array


class RegionFeature(ABC):
    """Describes the regions of an image. A feature is a subclass in a file of its own, listed in `features.FEATURES`.

    Attributes:
        settings: the fields of `RegionSettings` that turn it on.
        describes: what its numbers are, for the documentation.
    """

    settings: ClassVar[tuple[str, ...]]
    describes: ClassVar[str]

    @classmethod
    @abstractmethod
    def open(cls, settings: RegionSettings) -> Self | None:
        """The feature that the settings describe, or None if they turn it off.

        Raises:
            RegionsError: a model that cannot be used.
        """

    def networks(self) -> Sequence[Callable[[View], Any]]:
        """Functions of an image that take long and do not depend on each other; they may run in parallel."""
        return ()

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
