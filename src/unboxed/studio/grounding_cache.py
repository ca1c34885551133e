"""Grounding of captions in images whose regions are found once and kept in memory."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

from unboxed.data.images import open_image
from unboxed.inference.grounder import Grounder
from unboxed.inference.results import Grounding
from unboxed.regions.cache import image_key
from unboxed.regions.cached_extractor import CachedExtractor
from unboxed.studio.concurrency import LRUCache
from unboxed.studio.image_library import ImageLibrary
from unboxed.studio.options import Limits
from unboxed.text.phrases import noun_phrases
from unboxed.types import Caption, Regions

__all__ = ["ExtractedImage", "GroundingCache", "UnknownImageError"]


_UPLOADED = "The image"


class UnknownImageError(Exception):
    """No image has this id, or the uploaded image is no longer cached."""


@dataclass(frozen=True, eq=False)
class ExtractedImage:
    """An image with its regions.

    Attributes:
        image_id: id in the image library, or the sha256 of an uploaded file.
        name: display name.
        regions: its regions, in pixels of the upright image.
        shape: width and height to show the image in.
    """

    image_id: str
    name: str
    regions: Regions
    shape: tuple[int, int]


class GroundingCache:
    """Grounds captions and caches the regions of images. Several threads may use it.

    Args:
        grounder: the model of the run.
        limits: limits of images, and the number of images to cache.
        library: images that requests can name by id.
    """

    def __init__(self, grounder: Grounder, limits: Limits, library: ImageLibrary) -> None:
        self.grounder, self.library = grounder, library
        self._limits = limits
        several = limits.workers > 1
        self.extractor = CachedExtractor(grounder.config.regions, side_by_side=several, device=grounder.device)
        self._extracted: LRUCache[str, ExtractedImage] = LRUCache(limits.cached)

    def extract(self, content: bytes | None, image_id: str | None, name: str = _UPLOADED) -> ExtractedImage:
        """The regions of an uploaded image, or of the image of an id.

        Args:
            content: the uploaded file; None for an image that is named by its id.
            image_id: id of a library image or of an earlier upload.
            name: name of the uploaded file.

        Raises:
            UnknownImageError: neither was given, or no image has the id.
            ImageError: the image cannot be read.
            NoRegionsError: no source proposes a region in it.
        """
        if content is not None:
            image_id = hashlib.sha256(content).hexdigest()
        if image_id is None:
            raise UnknownImageError
        cached = self.get(image_id)
        if cached is not None:
            return cached if content is None else replace(cached, name=name)
        if content is not None:
            image = open_image(content, max_pixels=self._limits.pixels, name=name)
            # Others may send the same file, or name it by its hash: the name that it has here is not theirs to see.
            regions = self.extractor(image)
            return replace(self.put(ExtractedImage(image_id, _UPLOADED, regions, image.size)), name=name)
        entry = self.library.get(image_id)
        if entry is None:
            raise UnknownImageError
        content, opened = self.library.read(entry)
        key = image_key(content, entry.shape)
        regions = self.extractor.of_bytes(content, f"{entry.path}", key, entry.shape, opened)
        return self.put(ExtractedImage(image_id, entry.name, regions, entry.shape or opened.size))

    def put(self, image: ExtractedImage) -> ExtractedImage:
        """Cache the regions of an image and return it."""
        self._extracted.put(image.image_id, image)
        return image

    def get(self, image_id: str) -> ExtractedImage | None:
        """The cached regions of an image; None when they are not cached."""
        return self._extracted.get(image_id)

    def ground(self, image: ExtractedImage, caption: str) -> Grounding:
        """Ground the noun phrases of a caption.

        Raises:
            CaptionError: the caption has no words.
        """
        return self.grounder.ground_regions(image.regions, [Caption(caption, noun_phrases(caption))])[0]
