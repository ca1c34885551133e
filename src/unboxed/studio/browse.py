"""A dataset's captions, grounded when they are asked for, with what became of each phrase."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from unboxed.data.dataset import Dataset
from unboxed.errors import ImageError, UnboxedError
from unboxed.evaluation.error_analysis import FAILURES, error_kinds
from unboxed.evaluation.evaluate import GroundedExample
from unboxed.regions.extraction import image_key
from unboxed.regions.store.region_store import RegionStore
from unboxed.studio.grounding_cache import GroundingCache, Seen
from unboxed.studio.limits import Limits, Recent
from unboxed.studio.schemas import (
    BrowsedCaption,
    BrowsedPhrase,
    BrowsePage,
    DataFacts,
    box_rows,
    image_answer,
    phrase_answers,
)
from unboxed.types import Example

__all__ = ["OUTCOMES", "Browser", "Filter"]

OUTCOMES = ("right", "wrong", *FAILURES[1:])
"""What a phrase can be asked to have become: right under `recall_any@1`, wrong, or wrong in one of the ways."""

_TOGETHER = 24  # images whose first captions come before their second ones
_TOP = 5


@dataclass(frozen=True)
class Filter:
    """Which captions are wanted: those with one phrase of this type that became this.

    Attributes:
        type: an entity type; None for any.
        outcome: one of `OUTCOMES`; None for any.
    """

    type: str | None = None
    outcome: str | None = None

    def takes(self, phrase: BrowsedPhrase) -> bool:
        """Is it such a phrase?"""
        if self.type is not None and self.type not in phrase.types:
            return False
        if self.outcome is None:
            return True
        if phrase.outcome is None or self.outcome == "right":
            return phrase.outcome == "ok"
        return phrase.outcome != "ok" if self.outcome == "wrong" else phrase.outcome == self.outcome


class Browser:
    """A split of a dataset.

    Args:
        desk: what grounds.
        dataset: with images.
        split: name of the split.
        run: the run's folder, which may hold regions of these images.
        limits: how many groundings are remembered.

    Raises:
        DatasetError: no such split, or no images.
    """

    def __init__(self, desk: GroundingCache, dataset: Dataset, split: str, run: Path, limits: Limits) -> None:
        dataset.require_images()
        self._desk = desk
        self._examples = dataset.split(split).examples
        self._order = _order(self._examples)
        self._stores = _stores(desk, run)
        self._grounded: Recent[str, GroundedExample] = Recent(limits.remembered)
        phrases = [phrase for example in self._examples for caption in example.captions for phrase in caption.phrases]
        types = Counter(name for phrase in phrases for name in phrase.types)
        has_gold = any(len(phrase.boxes) for phrase in phrases)
        self.facts = DataFacts(
            name=dataset.name,
            split=split,
            photos=len(self._examples),
            captions=len(self._order),
            types=[name for name, _ in types.most_common()],
            outcomes=list(OUTCOMES) if has_gold else [],
            has_gold=has_gold,
        )

    def page(self, start: int, count: int, wanted: Filter, seconds: float) -> BrowsePage:
        """Captions that pass the filter, looked for from place `start` on.

        Args:
            start: a place in the dataset, 0 or `next` of the page before.
            count: captions wanted.
            wanted: the filter.
            seconds: look no longer than this, but at one caption at least; what is found by then is the page.
        """
        begun = time.monotonic()
        items: list[BrowsedCaption] = []
        place = start
        while place < len(self._order) and len(items) < count:
            item = self._item(*self._order[place])
            place += 1
            if item is not None and (wanted == Filter() or any(wanted.takes(phrase) for phrase in item.phrases)):
                items.append(item)
            if time.monotonic() - begun > seconds:
                break
        following = place if place < len(self._order) else None
        return BrowsePage(items=items, next=following, looked_at=place - start, total=len(self._order))

    def _item(self, number: int, caption_number: int) -> BrowsedCaption | None:
        """One caption, grounded; None for an image that cannot be read."""
        example = self._examples[number]
        try:
            seen = self._look(example)
        except ImageError:
            return None
        grounded = self._grounded.get(example.image_id)
        if grounded is None:
            grounder = self._desk.grounder
            grounded = GroundedExample(example, tuple(grounder.ground_regions(seen.regions, example.captions)))
            self._grounded.put(example.image_id, grounded)
        outcomes = dict(error_kinds(grounded))
        caption = example.captions[caption_number]
        answers = phrase_answers(grounded.groundings[caption_number], _TOP)
        return BrowsedCaption(
            photo=image_answer(seen),
            caption=caption.text,
            phrases=[
                BrowsedPhrase(
                    **answer.model_dump(),
                    types=list(phrase.types),
                    gold=box_rows(phrase.boxes),
                    outcome=outcomes.get(phrase),
                )
                for phrase, answer in zip(caption.phrases, answers, strict=True)
            ],
        )

    def _look(self, example: Example) -> Seen:
        photo = self._desk.shelf.add(example.path, example.image_id, example.original_size)
        known = self._desk.recall(photo.photo_id)
        if known is not None:
            return known
        for store in self._stores:
            if store.image_key(example.image_id) == image_key(example.path, example.original_size):
                shape = example.original_size or (example.width, example.height)
                return self._desk.remember(Seen(photo.photo_id, photo.name, store[example.image_id], shape))
        return self._desk.look(None, photo.photo_id)


def _order(examples: tuple[Example, ...]) -> list[tuple[int, int]]:
    """(image, caption) so that one photograph's captions do not follow each other."""
    places = [(number, c) for number, example in enumerate(examples) for c in range(len(example.captions))]
    return sorted(places, key=lambda place: (place[0] // _TOGETHER, place[1], place[0]))


def _stores(desk: GroundingCache, run: Path) -> list[RegionStore]:
    """Stores at hand whose regions are found as the run finds them."""
    settings = desk.grounder.config.regions
    trained_on = desk.grounder.config.facts.get("store")
    stores = []
    for path in (*([Path(trained_on)] if trained_on else []), run / "store"):
        if not (path / "store.json").is_file():
            continue
        try:
            store = RegionStore.open(path)
            if store.settings.fingerprint() == settings.fingerprint():
                stores.append(store)
        except UnboxedError:  # a store is a shortcut here: without it regions are found anew
            continue
    return stores
