"""The ranked boxes of the phrases of a batch: regions ranked by attention, or boxes read off a heat map."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from unboxed.attention.base import Alignment
from unboxed.attention.consensus import agreed
from unboxed.attention.heatmaps import BoxReadOut, heat_boxes, phrase_maps, positive_heat, upsampled
from unboxed.attention.points import covered_points
from unboxed.attention.ranking import Ranking, RegionTerms, expected_overlaps, phrase_scores, region_probabilities
from unboxed.boxes import area, iou
from unboxed.inference.batching import CaptionsOfImages
from unboxed.inference.phrase_sets import phrase_set
from unboxed.text.lexicon import noun_key
from unboxed.text.phrases import head_noun
from unboxed.text.plurals import phrase_number
from unboxed.types import Array, Regions

if TYPE_CHECKING:
    from unboxed.inference.run_config import RunConfig
    from unboxed.recipes.model import PhraseAttention

__all__ = ["PhraseBoxes", "PhraseQueries", "boxes_of_heat", "phrase_probabilities", "ranked_boxes"]

_HARDLY = 0.25  # probability below which a plural phrase gets one box
_LARGEST = 1 << 25  # numbers of phrases, queries and regions at a time
_BITS = 16  # of a score that decide, of the 24 that single precision has

Mask = npt.NDArray[np.bool_]


class PhraseBoxes(NamedTuple):
    """The ranked boxes of a phrase.

    Attributes:
        ranked: boxes and scores, best first.
        regions: the ranked regions' places in the image's regions, and those; None for boxes of a heat map.
        point: see `GroundedPhrase.point`.
    """

    ranked: tuple[Array, Array]
    regions: tuple[npt.NDArray[np.intp], Regions] | None = None
    point: tuple[float, float] | None = None

    def set_ranks(self, phrase: str, confidence: float | None) -> tuple[int, ...]:
        """The ranks of the boxes that the phrase refers to: the best one alone if it is hardly in the image."""
        number = phrase_number(phrase)
        if number == 1 or (confidence is not None and confidence < _HARDLY):
            return (0,)
        class_probs = None
        if self.regions is not None:
            order, regions = self.regions
            class_probs = regions.class_probs[order]
        return phrase_set(*self.ranked, number, class_probs)


class PhraseQueries(NamedTuple):
    """Which queries make up which phrases.

    Attributes:
        real_CP, real_CQ: True for real phrases and queries.
        member_CPQ: True where query q belongs to phrase p; each phrase, padded ones too, has at least one.
        content_CQ: True for nouns and adjectives, and for phrases.
    """

    real_CP: Mask
    real_CQ: Mask
    member_CPQ: Mask
    content_CQ: Mask

    def shape(self, c: int) -> tuple[int, int]:
        """The numbers of phrases and queries of a caption."""
        return int(self.real_CP[c].sum()), int(self.real_CQ[c].sum())

    @staticmethod
    def of(captions: CaptionsOfImages, by_phrases: bool) -> PhraseQueries:
        """The queries of captions: phrases or words."""
        batch = captions.batch
        words_CPW = batch.phrase_CPW.numpy()
        count_C = np.array([len(encoded.caption.phrases) for encoded in captions.encoded])
        real_CP = np.arange(words_CPW.shape[1]) < count_C[:, None]
        if by_phrases:
            itself_CPP = np.broadcast_to(np.eye(real_CP.shape[1], dtype=bool), (*real_CP.shape, real_CP.shape[1]))
            return PhraseQueries(real_CP, real_CP, itself_CPP, np.ones_like(real_CP))
        # A phrase without a word of its own (punctuation only) uses all words of its caption.
        real_CW = batch.mask_CW.numpy()
        member_CPW = np.where(words_CPW.any(axis=2, keepdims=True), words_CPW, real_CW[:, None])
        return PhraseQueries(real_CP, real_CW, member_CPW, batch.content_CW.numpy())


def ranked_boxes(
    config: RunConfig,
    regions_B: Sequence[Regions],
    captions: CaptionsOfImages,
    queries: PhraseQueries,
    found: PhraseAttention,
    mask_CR: torch.Tensor,
) -> Iterator[PhraseBoxes]:
    """The regions of one phrase after the other, ranked by `attention.ranking`.

    Args:
        config: of the run.
        regions_B: the regions of B images.
        captions: their C captions.
        queries: of the captions.
        found: the attention of the captions, each with its image.
        mask_CR: True for real regions of the image of each caption.
    """
    ranking = config.ranking
    boxes_BR4, terms = _region_terms(config, regions_B, captions.image_of_C, mask_CR)
    probability_CPR = _agreed_probabilities(config, terms, captions, queries, found)
    ranked_CPR = expected_overlaps(probability_CPR, terms.overlap_RR, ranking).masked_fill(~mask_CR[:, None], -1)
    image_N = np.repeat(captions.image_of_C, queries.real_CP.sum(axis=1))
    ranked_NR = ranked_CPR.numpy()[queries.real_CP]
    order_NR = _order(ranked_NR, boxes_BR4, image_N)
    best_NR, best_NR4 = np.take_along_axis(ranked_NR, order_NR, axis=1), boxes_BR4[image_N[:, None], order_NR]
    np.minimum.accumulate(best_NR, axis=1, out=best_NR)  # the scores of a tie may rise by its rounding
    best_NR.setflags(write=False)
    best_NR4.setflags(write=False)
    probability_NR = probability_CPR.numpy()[queries.real_CP]
    for n, (boxes_R4, scores_R, order_R) in enumerate(zip(best_NR4, best_NR, order_NR, strict=True)):
        regions = regions_B[image_N[n]]
        count, point = len(regions), None
        if ranking.point == "covered" and count:
            x, y = covered_points(probability_NR[n : n + 1, :count], regions.boxes)[0].tolist()
            point = (x, y)
        yield PhraseBoxes((boxes_R4[:count], scores_R[:count]), (order_R[:count], regions), point)


def phrase_probabilities(
    config: RunConfig,
    regions_B: Sequence[Regions],
    captions: CaptionsOfImages,
    queries: PhraseQueries,
    found: PhraseAttention,
    mask_CR: torch.Tensor,
) -> torch.Tensor:
    """The probability `[C, P, R]` that a region is the one that a phrase refers to, from which `ranked_boxes` ranks.

    The arguments are those of `ranked_boxes`.
    """
    _, terms = _region_terms(config, regions_B, captions.image_of_C, mask_CR)
    return _agreed_probabilities(config, terms, captions, queries, found)


def _agreed_probabilities(
    config: RunConfig, terms: RegionTerms, captions: CaptionsOfImages, queries: PhraseQueries, found: PhraseAttention
) -> torch.Tensor:
    """`_probabilities`, shared by the phrases of an image with one head noun where the ranking says so."""
    ranking = config.ranking
    prior_CPR = found.prior_CPR if config.ranks_with_prior else None
    probability_CPR = _probabilities(ranking, terms, queries, found.alignment, prior_CPR)
    if not ranking.consensus:
        return probability_CPR
    real_CP = torch.from_numpy(queries.real_CP)
    caption_N = torch.arange(len(real_CP)).repeat_interleave(real_CP.sum(dim=1))
    head_N = torch.tensor(_heads(captions), dtype=torch.long)
    shared_NR = agreed(probability_CPR[real_CP], head_N, caption_N, ranking.consensus)
    return probability_CPR.masked_scatter(real_CP[..., None], shared_NR)


def _region_terms(
    config: RunConfig, regions_B: Sequence[Regions], image_of_C: Sequence[int], mask_CR: torch.Tensor
) -> tuple[npt.NDArray[np.float32], RegionTerms]:
    """The padded boxes `[B, R, 4]` of B images, and the terms of the regions of the image of each caption."""
    has_confidence = bool(config.class_names and config.ranking.confidence_weight)
    count = mask_CR.shape[1]
    boxes_BR4 = np.zeros((len(regions_B), count, 4), dtype=np.float32)
    overlap_BRR = np.zeros((len(regions_B), count, count), dtype=np.float32)
    confidence_BR = np.zeros((len(regions_B), count), dtype=np.float32)
    for b, regions in enumerate(regions_B):
        boxes_BR4[b, : len(regions)] = regions.boxes
        overlap_BRR[b, : len(regions), : len(regions)] = iou(regions.boxes, regions.boxes)
        if has_confidence:
            confidence_BR[b, : len(regions)] = regions.confidence
    overlap_CRR, confidence_CR, area_CR = (
        torch.from_numpy(part[image_of_C]) for part in (overlap_BRR, confidence_BR, area(boxes_BR4))
    )
    return boxes_BR4, RegionTerms(overlap_CRR, confidence_CR if has_confidence else None, area_CR, mask_CR)


def _probabilities(
    ranking: Ranking,
    terms: RegionTerms,
    queries: PhraseQueries,
    alignment: Alignment,
    prior_CPR: torch.Tensor | None,
) -> torch.Tensor:
    """The probability `[C, P, R]` that each region is the one that a phrase refers to."""
    content_CQ = torch.tensor(queries.content_CQ)
    attention_CQR, value_CQR = alignment.attention_BCQR[0], alignment.value_BCQR[0]
    phrases = max(_LARGEST // attention_CQR.numel(), 1)
    scores = []
    for member_CPQ in torch.split(torch.tensor(queries.member_CPQ), phrases, dim=1):
        # Of a long caption, the queries of these phrases alone: all phrases with all queries would fill the memory.
        used_Q = member_CPQ.any(dim=(0, 1)) if member_CPQ.shape[1] < queries.member_CPQ.shape[1] else slice(None)
        of_used = attention_CQR[:, used_Q], value_CQR[:, used_Q]
        scores.append(phrase_scores(*of_used, member_CPQ[..., used_Q], content_CQ[:, used_Q], ranking))
    score_CPR = torch.cat(scores, dim=1)
    return region_probabilities(score_CPR, terms, ranking, prior_CPR, torch.from_numpy(queries.real_CP))


def _order(score_NR: Array, boxes_BR4: Array, image_N: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    """The regions of each phrase, best first. Of scores that are equal but for rounding, the box decides.

    The rounding of a score depends on which captions and images share the batch, and the box does not.
    """
    mantissa_NR, exponent_NR = np.frexp(score_NR)
    coarse_NR = np.ldexp(np.rint(mantissa_NR * 2.0**_BITS), exponent_NR - _BITS)
    place_BR = np.lexsort(boxes_BR4.transpose(2, 0, 1)[::-1], axis=1).argsort(axis=1)
    return np.lexsort((place_BR[image_N], -coarse_NR), axis=1)


def _heads(captions: CaptionsOfImages) -> list[int]:
    """A number for each phrase of the captions: equal for phrases of one image with the same head noun."""
    numbers: dict[tuple[int, str], int] = {}
    return [
        numbers.setdefault((image, noun_key(head_noun(phrase.text))), len(numbers))
        for encoded, image in zip(captions.encoded, captions.image_of_C, strict=True)
        for phrase in encoded.caption.phrases
    ]


def boxes_of_heat(
    read_out: BoxReadOut,
    regions_B: Sequence[Regions],
    captions: CaptionsOfImages,
    queries: PhraseQueries,
    alignment: Alignment,
) -> Iterator[tuple[list[PhraseBoxes], Array]]:
    """The boxes of each caption's phrases, read off the hot regions of their maps, and the maps `[P, h, w]`."""
    map_CQR = alignment.similarity_BCQR[0].numpy()
    for c, (encoded, b) in enumerate(zip(captions.encoded, captions.image_of_C, strict=True)):
        regions, (phrase_count, query_count) = regions_B[b], queries.shape(c)
        heat_PYX = phrase_maps(
            map_CQR[c, :query_count, : len(regions)],
            queries.member_CPQ[c, :phrase_count, :query_count],
            queries.content_CQ[c, :query_count],
        )
        boxes = []
        for _, map_YX in zip(encoded.caption.phrases, heat_PYX, strict=False):
            heat_HW = positive_heat(upsampled(map_YX, regions.width, regions.height))
            boxes.append(PhraseBoxes(heat_boxes(heat_HW, read_out)))
        yield boxes, heat_PYX
