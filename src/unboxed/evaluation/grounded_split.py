"""The groundings of a split, and the metrics of grounding, heat maps and attention computed from them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import tee

import numpy as np

from unboxed.attention.heatmaps import heat_inside, hottest_point, positive_heat, rank_by_heat, upsampled
from unboxed.data.images import UNKNOWN_SIZE
from unboxed.errors import EvaluationError, RegionsError
from unboxed.evaluation.attention import (
    AttendedWord,
    AttentionScores,
    NoScoredWordError,
    attention_per_image,
    score_attention,
)
from unboxed.evaluation.attention_protocol import AttentionProtocol
from unboxed.evaluation.bootstrap import PerImageMetric
from unboxed.evaluation.box_rules import CONTINUOUS_RULE, BoxRule
from unboxed.evaluation.box_sets import SetMention, SetScores, score_sets
from unboxed.evaluation.grounding import RANKS, GroundedMention, GroundingScores, score_grounding
from unboxed.evaluation.heatmap import HeatMention, HeatScores, heat_per_image, score_heat
from unboxed.inference.embedded_split import EmbeddedSplit
from unboxed.inference.phrase_sets import phrase_set
from unboxed.inference.results import Grounding
from unboxed.regions.settings import ImportedRegions
from unboxed.regions.store import RegionStore
from unboxed.text.phrases import head_noun
from unboxed.text.plurals import phrase_number
from unboxed.types import Array, Caption, Example

__all__ = [
    "GroundedExample",
    "answer_with_proposals",
    "attended_words",
    "attention_metrics",
    "can_be_grounded",
    "ground_split",
    "has_gold_boxes",
    "heatmap_metrics",
    "score_box_sets",
    "score_groundings",
    "score_heat_maps",
    "score_word_attention",
]


@dataclass(frozen=True, eq=False)
class GroundedExample:
    """An image with one grounding per caption; without groundings if the image has no regions."""

    example: Example
    groundings: tuple[Grounding, ...]

    @property
    def pairs(self) -> list[tuple[Caption, Grounding | None]]:
        """Each caption with its grounding, or None if the image has no regions."""
        groundings: tuple[Grounding | None, ...] = self.groundings or (None,) * len(self.example.captions)
        return list(zip(self.example.captions, groundings, strict=True))


def can_be_grounded(examples: Sequence[Example], store: RegionStore) -> bool:
    """Do any phrases have gold boxes, and do the regions have boxes to compare with them?"""
    if isinstance(store.settings, ImportedRegions) and not store.settings.boxes:
        return False
    return has_gold_boxes(examples)


def has_gold_boxes(examples: Sequence[Example]) -> bool:
    """Does any phrase have a gold box?"""
    return any(len(p.boxes) for example in examples for caption in example.captions for p in caption.phrases)


def ground_split(split: EmbeddedSplit, examples: Iterable[Example]) -> Iterator[GroundedExample]:
    """Grounds all captions of all images; an image without regions has no groundings.

    Args:
        split: the model and the regions.
        examples: the images with their captions.

    Raises:
        EvaluationError: the regions were imported without boxes.
        RegionsError: the regions of an image belong to an image of another size.
    """
    settings = split.store.settings
    if isinstance(settings, ImportedRegions) and not settings.boxes:
        raise EvaluationError(
            f"{split.store.path} was imported from {settings.imported} features without boxes: retrieval can be "
            "scored, grounding cannot. Import features that have boxes."
        )
    to_ground, examples = tee(examples)
    groundings = split.ground((item.image_id, item.captions) for item in to_ground if item.image_id in split)
    for example in examples:
        found = tuple(next(groundings)) if example.image_id in split else ()
        _require_same_size(example, found)
        yield GroundedExample(example, found)


def _require_same_size(example: Example, groundings: Sequence[Grounding]) -> None:
    for grounding in groundings[:1]:
        size = (example.width, example.height)
        if size not in ((grounding.width, grounding.height), UNKNOWN_SIZE):
            raise RegionsError(
                f"{example.image_id} has {example.width} x {example.height} pixels, its regions are of an image of "
                f"{grounding.width} x {grounding.height}; extract them again from these images."
            )


def answer_with_proposals(
    grounded: Iterable[GroundedExample], proposals: RegionStore, alpha: float
) -> Iterator[GroundedExample]:
    """Replaces the boxes read off the heat maps by the boxes of a store, ranked by the heat maps.

    Args:
        grounded: groundings; those without heat maps are unchanged.
        proposals: regions of any settings; groundings of an image that it does not contain are unchanged.
        alpha: see `attention.heatmaps.rank_by_heat`.
    """
    for item in grounded:
        if item.example.image_id not in proposals:
            yield item
            continue
        boxes = proposals[item.example.image_id].boxes
        yield GroundedExample(item.example, tuple(_ranked(grounding, boxes, alpha) for grounding in item.groundings))


def _ranked(grounding: Grounding, boxes: Array, alpha: float) -> Grounding:
    if grounding.heat_PYX is None:
        return grounding
    phrases = []
    for phrase, map_YX in zip(grounding.phrases, grounding.heat_PYX, strict=True):
        heat_HW = positive_heat(upsampled(map_YX, grounding.width, grounding.height))
        order, scores = rank_by_heat(heat_HW, boxes, alpha)
        set_ranks = phrase_set(boxes[order], scores[order], phrase_number(phrase.text))
        phrases.append(replace(phrase, boxes=boxes[order], scores=scores[order], set_ranks=set_ranks, point=None))
    return replace(grounding, phrases=tuple(phrases))


def score_groundings(grounded: Iterable[GroundedExample], rule: BoxRule = CONTINUOUS_RULE) -> GroundingScores:
    """Scores all phrases that have gold boxes; those of an image without regions are wrong."""
    return score_grounding((mention for item in grounded for mention in _mentions(item)), rule=rule)


def _mentions(item: GroundedExample) -> Iterator[GroundedMention]:
    none = np.zeros((0, 4), np.float32)
    for caption, grounding in item.pairs:
        for number, phrase in enumerate(caption.phrases):
            yield GroundedMention(
                image_id=item.example.image_id,
                types=phrase.types,
                gold_boxes=phrase.boxes,
                ranked_boxes=grounding.phrases[number].boxes[: max(RANKS)] if grounding else none,
                proposal_boxes=_proposals(grounding, number) if grounding else none,
                point=grounding.phrases[number].point if grounding else None,
            )


def _proposals(grounding: Grounding, number: int) -> Array:
    """The boxes that the answer to a phrase was chosen from: the regions, or the boxes read off its heat map."""
    return grounding.regions.boxes if grounding.heat_PYX is None else grounding.phrases[number].boxes


def score_box_sets(grounded: Iterable[GroundedExample], rule: BoxRule = CONTINUOUS_RULE) -> SetScores | None:
    """Scores the sets of boxes of all phrases that have gold boxes; None if no phrase has several."""
    return score_sets((mention for item in grounded for mention in _set_mentions(item)), rule)


def _set_mentions(item: GroundedExample) -> Iterator[SetMention]:
    none = np.zeros((0, 4), np.float32)
    for caption, grounding in item.pairs:
        for number, phrase in enumerate(caption.phrases):
            answer = grounding.phrases[number] if grounding else None
            chosen, best = (none, none) if answer is None else (answer.set_boxes, answer.boxes[:1])
            yield SetMention(item.example.image_id, phrase.boxes, chosen, best)


def score_heat_maps(grounded: Sequence[GroundedExample], rule: BoxRule = CONTINUOUS_RULE) -> HeatScores | None:
    """Scores the heat maps of all phrases that have gold boxes; None if the groundings have no heat maps."""
    if not _have_heat_maps(grounded):
        return None
    return score_heat((mention for item in grounded for mention in _heat_mentions(item)), rule=rule)


def heatmap_metrics(grounded: Sequence[GroundedExample]) -> dict[str, PerImageMetric]:
    """`heat_per_image` of all phrases; empty if the groundings have no heat maps."""
    if not _have_heat_maps(grounded):
        return {}
    return heat_per_image(mention for item in grounded for mention in _heat_mentions(item))


def _have_heat_maps(grounded: Sequence[GroundedExample]) -> bool:
    return any(grounding.heat_PYX is not None for item in grounded for grounding in item.groundings)


def _heat_mentions(item: GroundedExample) -> Iterator[HeatMention]:
    for number, (caption, grounding) in enumerate(item.pairs):
        for p, phrase in enumerate(caption.phrases):
            if len(phrase.boxes) == 0:
                continue
            point, inside = None, 0.0
            if grounding is not None and grounding.heat_PYX is not None:
                heat_HW = positive_heat(upsampled(grounding.heat_PYX[p], grounding.width, grounding.height))
                point, inside = hottest_point(heat_HW), heat_inside(heat_HW, phrase.boxes)
            yield HeatMention(item.example.image_id, number, phrase.boxes, point, inside)


def score_word_attention(
    grounded: Iterable[GroundedExample], protocol: AttentionProtocol | None = None
) -> AttentionScores | None:
    """Attention precision, recall and F1 of all words of phrases; None if no word can be scored."""
    try:
        return score_attention((word for item in grounded for word in attended_words(item)), protocol)
    except NoScoredWordError:
        return None


def attention_metrics(grounded: Iterable[GroundedExample]) -> dict[str, PerImageMetric]:
    """`attention_per_image` of all words of phrases."""
    return attention_per_image(word for item in grounded for word in attended_words(item))


def attended_words(item: GroundedExample) -> Iterator[AttendedWord]:
    """All words of all phrases of an image. A noun is the head noun of a phrase."""
    for number, (caption, grounding) in enumerate(item.pairs):
        for place, phrase in enumerate(caption.phrases if grounding is not None else ()):
            assert grounding is not None
            inside = [w for w, (start, end) in enumerate(grounding.words) if start < phrase.end and end > phrase.start]
            head = head_noun(phrase.text).lower()
            for w in inside:
                start, end = grounding.words[w]
                yield AttendedWord(
                    image_id=item.example.image_id,
                    phrase=(number, place),
                    weights_R=grounding.attention_WR[w],
                    boxes_R4=grounding.regions.boxes,
                    gold_boxes_N4=phrase.boxes,
                    is_last=w == inside[-1],
                    is_noun=caption.text[start:end].lower() == head,
                )
