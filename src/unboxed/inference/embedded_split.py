"""The images of a region store, each encoded once for everything that is computed from them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import torch

from unboxed.attention.base import RegionEmbeddings
from unboxed.inference.batching import CaptionsOfImages, caption_groups
from unboxed.inference.grounding import ground_encoded
from unboxed.inference.results import Grounding
from unboxed.recipes.embeddings import ImageEmbeddings, pad_images
from unboxed.regions.store import RegionStore
from unboxed.runtime.memory import cache_bytes
from unboxed.runtime.threads import ordered_map
from unboxed.types import Caption, Regions

if TYPE_CHECKING:
    from unboxed.inference.grounder import Grounder

__all__ = ["EmbeddedSplit"]


class EmbeddedSplit:
    """Encodes images of a store when they are first needed, and keeps their embeddings.

    Args:
        grounder: the model.
        store: regions such as the model was trained on.
        memory: bytes of embeddings that are kept, roughly; images beyond this are encoded each time they are needed.
            None: a quarter of the budget (`runtime.memory`).
    """

    def __init__(self, grounder: Grounder, store: RegionStore, memory: int | None = None) -> None:
        self.grounder = grounder
        self.store = store
        self._memory = cache_bytes() if memory is None else memory
        self._kept: dict[str, ImageEmbeddings] = {}

    def __contains__(self, image_id: object) -> bool:
        return image_id in self.store

    def embeddings(self, image_ids: Sequence[str], regions: Sequence[Regions] | None = None) -> ImageEmbeddings:
        """The embeddings of B images of the store, at least one.

        Args:
            image_ids: the images.
            regions: of these images, where they have been read already.

        Raises:
            RegionsError: regions of other features or classes than the model was trained on.
        """
        new = [place for place, image_id in enumerate(image_ids) if image_id not in self._kept]
        found: dict[str, ImageEmbeddings] = {}
        encoded: ImageEmbeddings | None = None
        if new:
            unread = [self.store[image_ids[place]] for place in new] if regions is None else [regions[p] for p in new]
            encoded = self._encode(unread)
            for row, (place, of_image) in enumerate(zip(new, unread, strict=True)):
                found[image_ids[place]] = _row(encoded, row, len(of_image))
        if encoded is None or len(new) < len(image_ids):
            encoded = pad_images([found.get(image_id) or self._kept[image_id] for image_id in image_ids])
        for image_id, one in found.items():
            size = sum(tensor.nbytes for tensor in (*one.regions.tensors, one.class_score_BRE))
            if size <= self._memory:
                self._memory -= size
                self._kept[image_id] = one
        return encoded

    def ground(self, images: Iterable[tuple[str, Sequence[Caption]]]) -> Iterator[list[Grounding]]:
        """The groundings of the captions of each image, image by image.

        Args:
            images: image ids of the store and captions of each; a few batches are read in advance.
        """
        groups = caption_groups(images, lambda image: len(image[1]))
        for image_ids, regions, captions in ordered_map(self._prepared, groups, 1):
            if captions is None:
                yield from ([] for _ in image_ids)
            else:
                yield from ground_encoded(self.grounder.parts, self.embeddings(image_ids, regions), regions, captions)

    def _prepared(
        self, group: list[tuple[str, Sequence[Caption]]]
    ) -> tuple[list[str], list[Regions], CaptionsOfImages | None]:
        regions, captions_B = [self.store[image_id] for image_id, _ in group], [captions for _, captions in group]
        captions = CaptionsOfImages.of(self.grounder.batcher, captions_B) if any(captions_B) else None
        return [image_id for image_id, _ in group], regions, captions

    @torch.inference_mode()
    def _encode(self, regions_B: Sequence[Regions]) -> ImageEmbeddings:
        for regions in regions_B:
            self.grounder.batcher.check(regions)
        return self.grounder.model.encode_images(self.grounder.batcher.images(regions_B))


def _row(images: ImageEmbeddings, row: int, count: int) -> ImageEmbeddings:
    """One image of a batch without padded regions, copied so that the batch can be freed."""
    tensors = (*images.regions.tensors, images.regions.mask_BR, images.class_score_BRE)
    *embeddings, mask_1R, class_score_1RE = (tensor[row : row + 1, :count].clone() for tensor in tensors)
    return ImageEmbeddings(RegionEmbeddings(tuple(embeddings), mask_1R), class_score_1RE)
