"""Regions of image files from the cache, and from an extractor where the cache lacks them."""

from __future__ import annotations

import threading
from contextlib import nullcontext
from pathlib import Path

from PIL import Image

from unboxed.data.images import opened_in_turn, read_image
from unboxed.errors import ImageError
from unboxed.regions.cache import RegionCache, image_key
from unboxed.regions.extractor import RegionExtractor
from unboxed.regions.settings import RegionSettings
from unboxed.runtime.devices import current_device
from unboxed.runtime.hub import local_only
from unboxed.types import Regions

__all__ = ["CachedExtractor"]


class CachedExtractor:
    """Finds the regions of image files; networks are opened for the first that the cache lacks, without a download.

    Args:
        settings: sources and features.
        side_by_side, device: as for `RegionExtractor`.
    """

    def __init__(self, settings: RegionSettings, *, side_by_side: bool = False, device: str | None = None) -> None:
        settings.require_extractable()
        self._settings, self._side_by_side = settings, side_by_side
        self._extractor: RegionExtractor | None = None
        self._opening = threading.Lock()
        self._device = device or current_device().name  # read here: other threads do not see the context
        self.cache = RegionCache.of(settings, self._device)

    @property
    def extractor(self) -> RegionExtractor:
        """The extractor, opened when it is first needed."""
        with self._opening, local_only():
            if self._extractor is None:
                self._extractor = RegionExtractor(self._settings, side_by_side=self._side_by_side, device=self._device)
            return self._extractor

    def __call__(self, image: Image.Image, original_size: tuple[int, int] | None = None) -> Regions:
        """The regions of an image in memory, which are not cached; see `RegionExtractor`."""
        return self.extractor(image, original_size)

    def of_file(self, path: Path, original_size: tuple[int, int] | None = None, *, key: str | None = None) -> Regions:
        """The regions of an image file, from the cache or found now.

        Args:
            path: of the image.
            original_size: as for `RegionExtractor`.
            key: of the image that is expected, as `image_key` gives it; None: whatever is in the file.

        Raises:
            ImageError: the file cannot be read as an image, or is another one than expected.
            NoRegionsError: no source proposes a box.
            RegionsError: a model cannot be used.
        """
        content = read_image(path)  # once: the key and the regions are of the same bytes
        if key not in (None, found := image_key(content, original_size)):
            raise ImageError(f"{path} was replaced meanwhile; run the command again.")
        return self.of_bytes(content, f"{path}", found, original_size)

    def of_bytes(
        self,
        content: bytes,
        name: str,
        key: str,
        original_size: tuple[int, int] | None = None,
        image: Image.Image | None = None,
    ) -> Regions:
        """As `of_file`, of the bytes of an image file.

        Args:
            content: of the file.
            name: of the image, for messages.
            key: of the content, as `image_key` gives it.
            original_size: as for `RegionExtractor`.
            image: the image in the bytes, if it is decoded already.
        """
        found = None if self.cache is None else self.cache.get(key)
        if found is None:
            with opened_in_turn(content, name) if image is None else nullcontext(image) as opened:
                found = self(opened, original_size)
            if self.cache is not None:
                self.cache.put(key, found)
        return found
