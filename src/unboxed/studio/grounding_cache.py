"""Where the work is done: images are looked at once, and captions are grounded in what was seen."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from unboxed.data.images import open_image
from unboxed.inference.grounder import Grounder
from unboxed.inference.results import Grounding
from unboxed.regions.extractor import RegionExtractor
from unboxed.studio.image_store import ImageLibrary
from unboxed.studio.limits import Limits, Recent
from unboxed.text.phrases import noun_phrases
from unboxed.types import Caption, Regions

__all__ = ["GroundingCache", "Seen", "UnknownImageError"]


class UnknownImageError(Exception):
    """An id that names no photograph: never given out, or sent so long ago that it is forgotten."""


@dataclass(frozen=True, eq=False)
class Seen:
    """An image whose regions are known.

    Attributes:
        photo_id: of the shelf, or the sha256 of what was sent.
        name: what people call it.
        regions: in pixels of the upright image.
        shape: width and height that it is to be shown in.
    """

    photo_id: str
    name: str
    regions: Regions
    shape: tuple[int, int]


class GroundingCache:
    """A grounder with a memory for images; safe from several threads.

    Args:
        grounder: the run.
        limits: of images, and of the memory.
        shelf: images that are named by id.
    """

    def __init__(self, grounder: Grounder, limits: Limits, shelf: ImageLibrary) -> None:
        self.grounder, self.shelf = grounder, shelf
        self._limits = limits
        self.extractor = RegionExtractor(grounder.config.regions, side_by_side=limits.workers > 1)
        self._seen: Recent[str, Seen] = Recent(limits.remembered)

    def look(self, content: bytes | None, photo_id: str | None, name: str = "The image") -> Seen:
        """The regions of an image that was sent, or that has an id.

        Raises:
            UnknownImageError: neither was given, or the id names nothing.
            ImageError: it cannot be read.
        """
        if content is not None:
            photo_id = hashlib.sha256(content).hexdigest()
        if photo_id is None:
            raise UnknownImageError
        known = self._seen.get(photo_id)
        if known is not None:
            return known
        if content is not None:
            image, shape = open_image(content, max_pixels=self._limits.pixels, name=name), None
        else:
            photo = self.shelf.get(photo_id)
            if photo is None:
                raise UnknownImageError
            image, shape, name = self.shelf.open(photo), photo.shape, photo.name
        regions = self.extractor(image, shape)
        return self.remember(Seen(photo_id, name, regions, shape or image.size))

    def remember(self, seen: Seen) -> Seen:
        """Keep the regions of an image at hand."""
        self._seen.put(seen.photo_id, seen)
        return seen

    def recall(self, photo_id: str) -> Seen | None:
        """What is at hand of an image."""
        return self._seen.get(photo_id)

    def ground(self, seen: Seen, caption: str) -> Grounding:
        """Box a caption's phrases.

        Raises:
            CaptionError: no words.
        """
        return self.grounder.ground_regions(seen.regions, [Caption(caption, noun_phrases(caption))])[0]
