"""Browsing of a dataset: its captions, grounded when they are requested, with the outcome of each phrase."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from unboxed.data.dataset import Dataset
from unboxed.errors import ImageError, NoRegionsError, UnboxedError
from unboxed.evaluation.error_analysis import ERROR_KINDS, error_kinds
from unboxed.evaluation.grounded_split import GroundedExample
from unboxed.regions.cache import image_key
from unboxed.regions.store import RegionStore
from unboxed.studio.concurrency import LRUCache
from unboxed.studio.grounding_cache import ExtractedImage, GroundingCache
from unboxed.studio.options import Limits
from unboxed.studio.schemas import (
    BrowsedCaption,
    BrowsedPhrase,
    BrowsePage,
    DatasetInfo,
    box_rows,
    image_info,
    phrase_boxes,
)
from unboxed.types import Example

__all__ = ["OUTCOMES", "DatasetBrowser", "PhraseFilter"]

OUTCOMES = ("right", "wrong", *ERROR_KINDS[1:])
"""Outcomes to filter by: right under `recall_any@1`, wrong, or one kind of error."""

_IMAGES_PER_GROUP = 24  # within a group, the first captions of all images come before their second ones
_TOP = 5  # boxes for each phrase


@dataclass(frozen=True)
class PhraseFilter:
    """Selects captions with a phrase of a type and an outcome.

    Attributes:
        type: an entity type; None for any.
        outcome: one of `OUTCOMES`; None for any.
    """

    type: str | None = None
    outcome: str | None = None

    def matches(self, phrase: BrowsedPhrase) -> bool:
        """Whether the phrase has this type and this outcome."""
        if self.type is not None and self.type not in phrase.types:
            return False
        if self.outcome is None:
            return True
        if phrase.outcome is None or self.outcome == "right":
            return phrase.outcome == "ok"
        return phrase.outcome != "ok" if self.outcome == "wrong" else phrase.outcome == self.outcome


class DatasetBrowser:
    """Pages of the grounded captions of a split.

    Args:
        cache: grounds the captions.
        dataset: a dataset with images.
        split: name of the split.
        run: folder of the run, which may hold a store with regions of these images.
        limits: the number of images whose groundings are cached.

    Raises:
        DatasetError: the dataset has no such split or no images.
    """

    def __init__(self, cache: GroundingCache, dataset: Dataset, split: str, run: Path, limits: Limits) -> None:
        dataset.require_image_files()
        self._cache = cache
        part = dataset.split(split)
        self._examples = part.examples
        self._positions = _caption_order(self._examples)
        self._stores = _matching_stores(cache, run)
        self._grounded: LRUCache[str, GroundedExample] = LRUCache(limits.cached)
        phrases = [phrase for example in self._examples for caption in example.captions for phrase in caption.phrases]
        types = Counter(name for phrase in phrases for name in phrase.types)
        has_gold = any(len(phrase.boxes) for phrase in phrases)
        self.info = DatasetInfo(
            name=dataset.name,
            split=part.name,
            photos=len(self._examples),
            captions=len(self._positions),
            types=[name for name, _ in types.most_common()],
            outcomes=list(OUTCOMES) if has_gold else [],
            has_gold=has_gold,
        )

    def page(self, start: int, count: int, wanted: PhraseFilter, seconds: float) -> BrowsePage:
        """Captions that pass a filter.

        Args:
            start: position in the dataset: 0, or `next` of the previous page.
            count: number of captions on a full page.
            wanted: the filter.
            seconds: time after which the page is returned as it is. At least one caption is examined.
        """
        began = time.monotonic()
        items: list[BrowsedCaption] = []
        position = start
        while position < len(self._positions) and len(items) < count:
            item = self._grounded_caption(*self._positions[position])
            position += 1
            if item is not None and (
                wanted == PhraseFilter() or any(wanted.matches(phrase) for phrase in item.phrases)
            ):
                items.append(item)
            if time.monotonic() - began > seconds:
                break
        following = position if position < len(self._positions) else None
        return BrowsePage(items=items, next=following, looked_at=position - start, total=len(self._positions))

    def _grounded_caption(self, example_index: int, caption_index: int) -> BrowsedCaption | None:
        """A caption of an example, grounded; None for an image that cannot be read, or has no regions."""
        example = self._examples[example_index]
        try:
            image = self._extracted(example)
        except (ImageError, NoRegionsError):
            return None
        grounded = self._grounded.get(example.image_id)
        if grounded is None:
            grounder = self._cache.grounder
            grounded = GroundedExample(example, tuple(grounder.ground_regions(image.regions, example.captions)))
            self._grounded.put(example.image_id, grounded)
        outcomes = dict(error_kinds(grounded))
        caption = example.captions[caption_index]
        return BrowsedCaption(
            photo=image_info(image),
            caption=caption.text,
            phrases=[
                BrowsedPhrase(
                    **phrase_boxes(found, _TOP).model_dump(),
                    types=list(phrase.types),
                    gold=box_rows(phrase.boxes),
                    outcome=outcomes.get(phrase),
                )
                for phrase, found in zip(caption.phrases, grounded.groundings[caption_index].phrases, strict=True)
            ],
        )

    def _extracted(self, example: Example) -> ExtractedImage:
        """The regions of an example: cached, from a store of the run, or extracted."""
        entry = self._cache.library.add(example.path, example.image_id, example.original_size)
        cached = self._cache.get(entry.image_id)
        if cached is not None:
            return cached
        for store in self._stores:
            if store.image_key(example.image_id) == image_key(example.path, example.original_size):
                shape = example.original_size or (example.width, example.height)
                return self._cache.put(ExtractedImage(entry.image_id, entry.name, store[example.image_id], shape))
        return self._cache.extract(None, entry.image_id)


def _caption_order(examples: tuple[Example, ...]) -> list[tuple[int, int]]:
    """Pairs (example, caption) in an order that separates the captions of one image."""
    pairs = [(e, c) for e, example in enumerate(examples) for c in range(len(example.captions))]
    return sorted(pairs, key=lambda pair: (pair[0] // _IMAGES_PER_GROUP, pair[1], pair[0]))


def _matching_stores(cache: GroundingCache, run: Path) -> list[RegionStore]:
    """Stores on this machine whose regions were extracted with the settings of the run."""
    settings = cache.grounder.config.regions
    training_store = cache.grounder.config.facts.get("store")
    stores = []
    for path in (*([Path(training_store)] if training_store else []), run / "store"):
        if not (path / "store.json").is_file():
            continue
        try:
            store = RegionStore.open(path)
            if store.settings.fingerprint() == settings.fingerprint():
                stores.append(store)
        except UnboxedError:  # a damaged store only costs time: the regions are extracted again
            continue
    return stores
