"""A run on a split of a dataset: its regions, its groundings, its scores."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import tee
from pathlib import Path

import numpy as np

from unboxed.attention.heatmaps import heat_inside, hottest_point, positive_heat, rank_by_heat, upsampled
from unboxed.data.dataset import Dataset, Split
from unboxed.errors import EvaluationError, RegionsError, StoreError
from unboxed.evaluation.grounding import GroundedMention, GroundingScores, score_grounding
from unboxed.evaluation.heatmap import HeatMention, HeatScores, score_heat
from unboxed.inference.embedded_split import EmbeddedSplit
from unboxed.inference.grounder import Grounder
from unboxed.inference.results import Grounding
from unboxed.regions.extraction import extract, image_key
from unboxed.regions.settings import ImportedRegions
from unboxed.regions.store.region_store import RegionStore
from unboxed.types import Array, Caption, Example

__all__ = [
    "GroundedExample",
    "answer_with_proposals",
    "can_be_grounded",
    "ground_split",
    "has_boxes",
    "score_examples",
    "score_heat_maps",
    "store_for",
]


@dataclass(frozen=True, eq=False)
class GroundedExample:
    """An image and the groundings of its captions, one each; none where it has no regions."""

    example: Example
    groundings: tuple[Grounding, ...]


def can_be_grounded(examples: Sequence[Example], store: RegionStore) -> bool:
    """Are there gold boxes, and boxes of regions to hold against them?"""
    if isinstance(store.settings, ImportedRegions) and not store.settings.boxes:
        return False
    return has_boxes(examples)


def has_boxes(examples: Sequence[Example]) -> bool:
    """Has any phrase a gold box?"""
    return any(len(p.boxes) for example in examples for caption in example.captions for p in caption.phrases)


def store_for(
    grounder: Grounder,
    run: Path,
    dataset: Dataset,
    split: Split,
    regions: Path | None = None,
    *,
    strict: bool = False,
    show: Callable[[str], None] = lambda line: None,
) -> RegionStore:
    """Regions of the split's images, found as the run found those it was trained on.

    The store named by `regions` is used as it is; else the one that the run was trained with, when it holds all of the
    images; else they are extracted into `run/store`.

    Raises:
        StoreError: a store that was made with other settings.
    """
    settings = grounder.config.regions
    if regions is not None:
        store = RegionStore.open(regions)
        if store.settings.fingerprint() != settings.fingerprint():
            raise StoreError(
                f"{regions} was made with other settings than the run: "
                f"{'; '.join(store.settings.differences(settings))}. Leave out --regions, and regions are extracted "
                "the run's way."
            )
        return store
    trained_on = Path(str(grounder.config.facts.get("store", "")))
    if trained_on.is_dir():
        store = RegionStore.open(trained_on)
        if isinstance(settings, ImportedRegions) and any(example.image_id in store for example in split.examples):
            return store  # there may be no images to compare it with
        if all(_holds(store, example) for example in split.examples):
            return store
    settings.require_extractable()
    show(f"Finding regions in {len(split.examples):,} images of {dataset.name}")
    for image_id, reason in extract(split.examples, settings, run / "store", strict=strict).skipped:
        show(f"Skipped {image_id}: {reason}")
    return RegionStore.open(run / "store")


def _holds(store: RegionStore, example: Example) -> bool:
    """Does the store hold this very image, and not another one of the same name?"""
    return store.image_key(example.image_id) == image_key(example.path, example.original_size)


def ground_split(split: EmbeddedSplit, examples: Iterable[Example]) -> Iterator[GroundedExample]:
    """Ground every caption of every image; one without regions has no groundings.

    Args:
        split: the model and the regions.
        examples: the images with their captions.

    Raises:
        EvaluationError: the regions were imported without boxes.
        RegionsError: the regions of an image are those of an image of another size.
    """
    settings = split.store.settings
    if isinstance(settings, ImportedRegions) and not settings.boxes:
        raise EvaluationError(
            f"{split.store.path} was imported from {settings.imported} features without boxes: retrieval can be "
            "scored, grounding cannot. Import features that have boxes."
        )
    ahead, examples = tee(examples)
    groundings = split.ground((item.image_id, item.captions) for item in ahead if item.image_id in split)
    for example in examples:
        found = tuple(next(groundings)) if example.image_id in split else ()
        _require_same_size(example, found)
        yield GroundedExample(example, found)


def _require_same_size(example: Example, groundings: Sequence[Grounding]) -> None:
    for grounding in groundings[:1]:
        if (grounding.width, grounding.height) != (example.width, example.height):
            raise RegionsError(
                f"{example.image_id} measures {example.width} x {example.height}, its regions are of an image of "
                f"{grounding.width} x {grounding.height}; extract them anew from these images."
            )


def answer_with_proposals(
    grounded: Iterable[GroundedExample], proposals: RegionStore, alpha: float
) -> Iterator[GroundedExample]:
    """The same heat maps, answered with the boxes of a store instead of boxes read off the map.

    Args:
        grounded: groundings that have heat maps; others stay as they are.
        proposals: of any settings; an image that it does not hold keeps its answers.
        alpha: see `heatmap.rank_by_heat`.
    """
    for item in grounded:
        if item.example.image_id not in proposals:
            yield item
            continue
        boxes = proposals[item.example.image_id].boxes
        yield GroundedExample(item.example, tuple(_answered(own, boxes, alpha) for own in item.groundings))


def _answered(grounding: Grounding, boxes: Array, alpha: float) -> Grounding:
    if grounding.heat_PYX is None:
        return grounding
    phrases = []
    for phrase, map_YX in zip(grounding.phrases, grounding.heat_PYX, strict=True):
        heat_HW = positive_heat(upsampled(map_YX, grounding.width, grounding.height))
        order, scores = rank_by_heat(heat_HW, boxes, alpha)
        phrases.append(replace(phrase, boxes=boxes[order], scores=scores[order]))
    return replace(grounding, phrases=tuple(phrases))


def score_examples(grounded: Iterable[GroundedExample], seed: int = 0) -> GroundingScores:
    """The scores of all phrases that have gold boxes; an image without regions counts as answered wrongly."""
    return score_grounding((mention for item in grounded for mention in _mentions(item)), seed=seed)


def score_heat_maps(grounded: Iterable[GroundedExample], seed: int = 0) -> HeatScores | None:
    """The scores of the phrases' heat maps; None where the groundings have none."""
    examples = list(grounded)
    if not any(grounding.heat_PYX is not None for item in examples for grounding in item.groundings):
        return None
    return score_heat((mention for item in examples for mention in _heat_mentions(item)), seed=seed)


def _heat_mentions(item: GroundedExample) -> Iterator[HeatMention]:
    for number, (caption, grounding) in enumerate(_paired(item)):
        for p, phrase in enumerate(caption.phrases):
            if len(phrase.boxes) == 0:
                continue
            point, inside = None, 0.0
            if grounding is not None and grounding.heat_PYX is not None:
                heat_HW = positive_heat(upsampled(grounding.heat_PYX[p], grounding.width, grounding.height))
                point, inside = hottest_point(heat_HW), heat_inside(heat_HW, phrase.boxes)
            yield HeatMention(item.example.image_id, number, phrase.boxes, point, inside)


def _mentions(item: GroundedExample) -> Iterator[GroundedMention]:
    nothing = np.zeros((0, 4), np.float32)
    for caption, grounding in _paired(item):
        for number, phrase in enumerate(caption.phrases):
            yield GroundedMention(
                image_id=item.example.image_id,
                types=phrase.types,
                gold_boxes=phrase.boxes,
                ranked_boxes=grounding.phrases[number].boxes[:10] if grounding else nothing,
                proposal_boxes=_proposals(grounding, number) if grounding else nothing,
            )


def _proposals(grounding: Grounding, number: int) -> Array:
    """All that a phrase could have been answered with: the regions, or what was read off its map."""
    return grounding.regions.boxes if grounding.heat_PYX is None else grounding.phrases[number].boxes


def _paired(item: GroundedExample) -> Iterator[tuple[Caption, Grounding | None]]:
    groundings: tuple[Grounding | None, ...] = item.groundings or (None,) * len(item.example.captions)
    yield from zip(item.example.captions, groundings, strict=True)
