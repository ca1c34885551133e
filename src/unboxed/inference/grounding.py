"""Groundings of many captions at once: one pass of the model, one ranking, one gathering of boxes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
import torch

from unboxed.attention.base import Alignment
from unboxed.attention.consensus import agreed
from unboxed.attention.heatmaps import BoxReadOut, heat_boxes, phrase_maps, positive_heat, upsampled
from unboxed.attention.points import covered_points
from unboxed.attention.ranking import expected_overlaps, phrase_scores, region_probabilities
from unboxed.boxes import area, iou
from unboxed.inference.batching import Batcher
from unboxed.inference.calibration import phrase_match
from unboxed.inference.phrase_sets import phrase_set
from unboxed.inference.results import GroundedPhrase, Grounding
from unboxed.recipes.embeddings import ImageEmbeddings
from unboxed.runtime.threads import ordered_map
from unboxed.text.encoding import EncodedCaption
from unboxed.text.lexicon import noun_key
from unboxed.text.phrases import head_noun
from unboxed.text.plurals import phrase_number
from unboxed.types import Array, Caption, CaptionBatch, ImageBatch, Regions

if TYPE_CHECKING:
    from unboxed.inference.grounder import Grounder

__all__ = [
    "CaptionsOfImages",
    "caption_groups",
    "ground_embedded",
    "ground_encoded",
    "ground_stream",
    "ground_together",
]

_CAPTIONS = 128  # that share a batch: enough that the steps of Python between the products cost little

_HARDLY = 0.25  # probability below which a plural phrase gets one box
_BITS = 16  # of a score that decide, of the 24 that single precision has

Mask = npt.NDArray[np.bool_]
T = TypeVar("T")
_Item = tuple[Regions, Sequence[Caption]]


def ground_stream(grounder: Grounder, images: Iterable[_Item]) -> Iterator[list[Grounding]]:
    """The groundings of each image's captions, image by image, for any number of images.

    While the model computes one batch, a thread prepares the next ones.

    Args:
        grounder: the model.
        images: regions and captions of each; a few batches are read in advance.

    Raises:
        RegionsError: regions of other features or classes than the model was trained on.
    """
    prepare = partial(_prepared, grounder.batcher)
    for prepared in ordered_map(prepare, caption_groups(images, lambda image: len(image[1])), 1):
        yield from _grounded(grounder, prepared)


def ground_together(
    grounder: Grounder, regions_B: Sequence[Regions], captions_B: Sequence[Sequence[Caption]]
) -> list[list[Grounding]]:
    """The groundings of the captions of each of B images, as `Grounder.ground_regions` gives them.

    Raises:
        RegionsError: regions of other features or classes than the model was trained on.
    """
    return _grounded(grounder, _prepared(grounder.batcher, list(zip(regions_B, captions_B, strict=True))))


def caption_groups(images: Iterable[T], count: Callable[[T], int]) -> Iterator[list[T]]:
    """Consecutive images with enough captions together to fill a batch.

    Args:
        images: with their captions.
        count: the number of captions of one.
    """
    group: list[T] = []
    captions = 0
    for image in images:
        group.append(image)
        captions += count(image)
        if captions >= _CAPTIONS:
            yield group
            group, captions = [], 0
    if group:
        yield group


class CaptionsOfImages(NamedTuple):
    """The captions of some images, one image after the other.

    Attributes:
        encoded: C captions.
        batch: their batch.
        counts: how many of them each image has.
    """

    encoded: list[EncodedCaption]
    batch: CaptionBatch
    counts: list[int]

    @staticmethod
    def of(batcher: Batcher, captions_B: Sequence[Sequence[Caption]]) -> CaptionsOfImages:
        """The captions of each of B images, at least one in all."""
        encoded = batcher.encode([caption for captions in captions_B for caption in captions])
        return CaptionsOfImages(encoded, batcher.captions(encoded), [len(captions) for captions in captions_B])


def _prepared(batcher: Batcher, group: list[_Item]) -> tuple[list[Regions], ImageBatch | None, CaptionsOfImages | None]:
    """The regions and the batches of some images; no batches where they have no captions."""
    regions_B, captions_B = [regions for regions, _ in group], [captions for _, captions in group]
    for regions in regions_B:
        batcher.check(regions)
    if not any(captions_B):
        return regions_B, None, None
    return regions_B, batcher.images(regions_B), CaptionsOfImages.of(batcher, captions_B)


@torch.inference_mode()
def _grounded(
    grounder: Grounder, prepared: tuple[list[Regions], ImageBatch | None, CaptionsOfImages | None]
) -> list[list[Grounding]]:
    regions_B, batch, captions = prepared
    if batch is None or captions is None:
        return [[] for _ in regions_B]
    return ground_encoded(grounder, grounder.model.encode_images(batch), regions_B, captions)


@torch.inference_mode()
def ground_embedded(
    grounder: Grounder,
    images: ImageEmbeddings,
    regions_B: Sequence[Regions],
    captions_B: Sequence[Sequence[Caption]],
) -> list[list[Grounding]]:
    """The groundings of the captions of each of B images that the model has encoded.

    Args:
        grounder: the model.
        images: the B images.
        regions_B: their regions, whose boxes and classes the groundings contain.
        captions_B: the captions of each image; there may be none.
    """
    if not any(captions_B):
        return [[] for _ in regions_B]
    return ground_encoded(grounder, images, regions_B, CaptionsOfImages.of(grounder.batcher, captions_B))


@torch.inference_mode()
def ground_encoded(
    grounder: Grounder, images: ImageEmbeddings, regions_B: Sequence[Regions], captions: CaptionsOfImages
) -> list[list[Grounding]]:
    """`ground_embedded` for captions that are already batched; at least one."""
    image_of_C = [b for b, count in enumerate(captions.counts) for _ in range(count)]
    paired = images.of(torch.tensor(image_of_C))
    found = grounder.model.ground(paired, captions.batch).to("cpu")
    asked = _asked(captions, grounder.config.options.units == "phrases")
    matched_CQ = np.where(asked.real_CQ, found.alignment.matched_BCQ[0].numpy(), 0)
    matched_CP = phrase_match(matched_CQ, asked.member_CPQ, asked.content_CQ)
    match = _matches(grounder, matched_CP, found.prior_CPR)
    answers: Iterable[tuple[list[_Answer], Array | None]]
    read_out = grounder.config.options.heat_read_out
    if read_out is not None:
        answers = _heat_answers(read_out, regions_B, image_of_C, captions.encoded, asked, found.alignment)
    else:
        prior_CPR = found.prior_CPR if grounder.config.ranks_with_prior else None
        shown = (paired.regions.mask_BR.cpu(), asked, found.alignment, prior_CPR)
        ranked = _answers(grounder, regions_B, image_of_C, captions.encoded, *shown)
        answers = (([next(ranked) for _ in arrays.caption.phrases], None) for arrays in captions.encoded)
    attention_CWR = found.attention_CWR.numpy()
    groundings: list[Grounding] = []
    for c, (arrays, (boxes, heat_PYX)) in enumerate(zip(captions.encoded, answers, strict=True)):
        regions, caption = regions_B[image_of_C[c]], arrays.caption
        phrases = tuple(
            GroundedPhrase(
                phrase.text,
                phrase.start,
                phrase.end,
                *answer.ranked,
                *own[:2],
                set_ranks=answer.set_ranks(phrase.text, own[1]),
                prior=own[2],
                point=answer.point,
            )
            for phrase, answer, own in zip(caption.phrases, boxes, match[c], strict=False)  # padded phrases follow
        )
        attention_WR = attention_CWR[c, : len(arrays), : len(regions)]
        size = (regions.width, regions.height)
        groundings.append(Grounding(caption.text, phrases, arrays.spans, regions, attention_WR, *size, heat_PYX))
    ends = [0, *accumulate(captions.counts)]
    return [groundings[first:last] for first, last in pairwise(ends)]


def _matches(
    grounder: Grounder, matched_CP: npt.NDArray[np.float64], prior_CPR: torch.Tensor | None
) -> list[list[tuple[float, float | None, float | None]]]:
    """Of each phrase how well it matches, the calibrated probability that it is present, and its prior."""
    calibration = grounder.config.presence
    prior_CP = np.zeros_like(matched_CP) if prior_CPR is None else prior_CPR.amax(dim=-1).clamp(min=0).numpy()
    return [
        [
            (
                matched,
                None if calibration is None else calibration.confidence(matched, prior),
                None if prior_CPR is None else prior,
            )
            for matched, prior in zip(*row, strict=True)
        ]
        for row in zip(matched_CP.tolist(), prior_CP.tolist(), strict=True)
    ]


class _Answer(NamedTuple):
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


class _Asked(NamedTuple):
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


def _asked(captions: CaptionsOfImages, by_phrases: bool) -> _Asked:
    batch = captions.batch
    own_CPW = batch.phrase_CPW.numpy()
    real_CP = np.arange(own_CPW.shape[1]) < np.array([[len(arrays.caption.phrases)] for arrays in captions.encoded])
    if by_phrases:
        itself_CPP = np.broadcast_to(np.eye(real_CP.shape[1], dtype=bool), (*real_CP.shape, real_CP.shape[1]))
        return _Asked(real_CP, real_CP, itself_CPP, np.ones_like(real_CP))
    # A phrase without a word of its own (punctuation only) uses all words of its caption.
    real_CW = batch.mask_CW.numpy()
    member_CPW = np.where(own_CPW.any(axis=2, keepdims=True), own_CPW, real_CW[:, None])
    return _Asked(real_CP, real_CW, member_CPW, batch.content_CW.numpy())


def _answers(
    grounder: Grounder,
    regions_B: Sequence[Regions],
    image_of_C: Sequence[int],
    captions: Sequence[EncodedCaption],
    mask_CR: torch.Tensor,
    asked: _Asked,
    alignment: Alignment,
    prior_CPR: torch.Tensor | None,
) -> Iterator[_Answer]:
    """The answers to one phrase after the other."""
    ranking = grounder.config.ranking
    member_CPQ, content_CQ = (torch.from_numpy(np.array(part)) for part in asked[2:])
    score_CPR = phrase_scores(alignment.attention_BCQR[0], alignment.value_BCQR[0], member_CPQ, content_CQ, ranking)
    count = mask_CR.shape[1]
    boxes_BR4 = np.zeros((len(regions_B), count, 4), dtype=np.float32)
    overlap_BRR = np.zeros((len(regions_B), count, count), dtype=np.float32)
    sure_BR = np.zeros((len(regions_B), count), dtype=np.float32)
    for b, regions in enumerate(regions_B):
        boxes_BR4[b, : len(regions)] = regions.boxes
        overlap_BRR[b, : len(regions), : len(regions)] = iou(regions.boxes, regions.boxes)
        sure_BR[b, : len(regions)] = regions.confidence
    sure_CR = torch.from_numpy(sure_BR[image_of_C]) if grounder.config.class_names else None
    overlap_CRR, real_CP = torch.from_numpy(overlap_BRR[image_of_C]), torch.from_numpy(asked.real_CP)
    area_CR = torch.from_numpy(area(boxes_BR4)[image_of_C])
    probability_CPR = region_probabilities(
        score_CPR, overlap_CRR, ranking, sure_CR, prior_CPR, real_CP, mask_CR, area_CR
    )
    caption_N = np.repeat(np.arange(len(asked.real_CP)), asked.real_CP.sum(axis=1))
    if ranking.consensus:
        head_N = torch.tensor(_heads(captions, image_of_C), dtype=torch.long)
        shared_NR = agreed(probability_CPR[real_CP], head_N, torch.from_numpy(caption_N), ranking.consensus)
        probability_CPR = probability_CPR.masked_scatter(real_CP[..., None], shared_NR)
    ranked_CPR = expected_overlaps(probability_CPR, overlap_CRR, ranking).masked_fill(~mask_CR[:, None], -1)
    image_N = np.array(image_of_C)[caption_N]
    ranked_NR = ranked_CPR.numpy()[asked.real_CP]
    order_NR = _order(ranked_NR, boxes_BR4, image_N)
    best_NR, best_NR4 = np.take_along_axis(ranked_NR, order_NR, axis=1), boxes_BR4[image_N[:, None], order_NR]
    np.minimum.accumulate(best_NR, axis=1, out=best_NR)  # the scores of a tie may rise by its rounding
    best_NR.setflags(write=False)
    best_NR4.setflags(write=False)
    probability_NR = probability_CPR.numpy()[asked.real_CP]
    for n, (boxes_R4, scores_R, order_R) in enumerate(zip(best_NR4, best_NR, order_NR, strict=True)):
        regions = regions_B[image_N[n]]
        own, point = len(regions), None
        if ranking.point == "covered" and own:
            x, y = covered_points(probability_NR[n : n + 1, :own], regions.boxes)[0].tolist()
            point = (x, y)
        yield _Answer((boxes_R4[:own], scores_R[:own]), (order_R[:own], regions), point)


def _order(score_NR: Array, boxes_BR4: Array, image_N: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    """The regions of each phrase, best first. Of scores that are equal but for rounding, the box decides.

    The rounding of a score depends on which captions and images share the batch, and the box does not.
    """
    mantissa_NR, exponent_NR = np.frexp(score_NR)
    coarse_NR = np.ldexp(np.rint(mantissa_NR * 2.0**_BITS), exponent_NR - _BITS)
    place_BR = np.lexsort(boxes_BR4.transpose(2, 0, 1)[::-1], axis=1).argsort(axis=1)
    return np.lexsort((place_BR[image_N], -coarse_NR), axis=1)


def _heads(captions: Sequence[EncodedCaption], image_of_C: Sequence[int]) -> list[int]:
    """A number for each phrase of the captions: equal for phrases of one image with the same head noun."""
    numbers: dict[tuple[int, str], int] = {}
    return [
        numbers.setdefault((image, noun_key(head_noun(phrase.text))), len(numbers))
        for arrays, image in zip(captions, image_of_C, strict=True)
        for phrase in arrays.caption.phrases
    ]


def _heat_answers(
    read_out: BoxReadOut,
    regions_B: Sequence[Regions],
    image_of_C: Sequence[int],
    captions: Sequence[EncodedCaption],
    asked: _Asked,
    alignment: Alignment,
) -> Iterator[tuple[list[_Answer], Array]]:
    """The answers to each caption's phrases, read off the hot regions of their maps, and the maps `[P, h, w]`."""
    map_CQR = alignment.similarity_BCQR[0].numpy()
    for c, arrays in enumerate(captions):
        regions, (phrase_count, queries) = regions_B[image_of_C[c]], asked.shape(c)
        heat_PYX = phrase_maps(
            map_CQR[c, :queries, : len(regions)],
            asked.member_CPQ[c, :phrase_count, :queries],
            asked.content_CQ[c, :queries],
        )
        answers = []
        for _, map_YX in zip(arrays.caption.phrases, heat_PYX, strict=False):
            heat_HW = positive_heat(upsampled(map_YX, regions.width, regions.height))
            answers.append(_Answer(heat_boxes(heat_HW, read_out)))
        yield answers, heat_PYX
