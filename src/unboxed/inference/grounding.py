"""Captions of many images grounded together: one pass of the model, one ranking, one gathering of boxes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from unboxed.attention.base import Alignment
from unboxed.attention.heatmaps import heat_boxes, phrase_maps, positive_heat, upsampled
from unboxed.attention.ranking import phrase_scores, ranked_scores
from unboxed.boxes import iou
from unboxed.inference.batching import Inputs
from unboxed.inference.calibration import phrase_match
from unboxed.inference.results import GroundedPhrase, Grounding
from unboxed.runtime.prefetch import ordered_map
from unboxed.text.encoding import EncodedCaption
from unboxed.types import Array, Batch, Caption, Regions

if TYPE_CHECKING:
    from unboxed.inference.grounder import Grounder

__all__ = ["ground_stream", "ground_together"]

_CAPTIONS = 128  # that share a batch: enough that the steps of Python between the products cost little

Mask = npt.NDArray[np.bool_]
_Image = tuple[Regions, Sequence[Caption]]


def ground_stream(grounder: Grounder, images: Iterable[tuple[Regions, Sequence[Caption]]]) -> Iterator[list[Grounding]]:
    """The groundings of each photograph's captions, image by image, however many there are.

    While the model works on one batch, a thread of its own makes the next ones.

    Args:
        grounder: the model.
        photos: regions and captions of each; they are taken a few batches ahead of what is given back.

    Raises:
        RegionsError: regions of other features or classes than the model was trained on.
    """
    for prepared in ordered_map(partial(_prepared, grounder.inputs), _groups(images), 1):
        yield from _grounded(grounder, prepared)


def ground_together(
    grounder: Grounder, regions_B: Sequence[Regions], captions_B: Sequence[Sequence[Caption]]
) -> list[list[Grounding]]:
    """The groundings of the captions of each of B images, as `Grounder.ground_regions` gives them.

    Raises:
        RegionsError: regions of other features or classes than the model was trained on.
    """
    return _grounded(grounder, _prepared(grounder.inputs, list(zip(regions_B, captions_B, strict=True))))


def _groups(images: Iterable[_Image]) -> Iterator[list[_Image]]:
    """Images with enough captions together to fill a batch."""
    group: list[_Image] = []
    for photo in images:
        group.append(photo)
        if sum(len(captions) for _, captions in group) >= _CAPTIONS:
            yield group
            group = []
    if group:
        yield group


class _Prepared(NamedTuple):
    """B images, their C captions, and the batch that they make; None without captions."""

    images: list[_Image]
    encoded: list[EncodedCaption]
    batch: Batch | None


def _prepared(inputs: Inputs, images: list[_Image]) -> _Prepared:
    for regions, _ in images:
        inputs.check(regions)
    encoded = inputs.encoded([caption for _, own in images for caption in own])
    image_of_C = [number for number, (_, own) in enumerate(images) for _ in own]
    batch = inputs.batch([regions for regions, _ in images], encoded, image_of_C) if encoded else None
    return _Prepared(images, encoded, batch)


@torch.inference_mode()
def _grounded(grounder: Grounder, prepared: _Prepared) -> list[list[Grounding]]:
    images, encoded, batch = prepared
    if batch is None:
        return [[] for _ in images]
    regions_B, image_of_C = [regions for regions, _ in images], batch.image_of_C.tolist()
    captions = [arrays.caption for arrays in encoded]
    alignment, attention_CWR, prior_CPR = grounder.model.read(batch)
    asked = _asked(batch, captions, grounder.config.options.units == "phrases")
    matched_CQ = np.where(asked.real_CQ, alignment.matched_BCQ[0].numpy(), 0)
    matched_CP = phrase_match(matched_CQ, asked.member_CPQ, asked.content_CQ)
    told = [[_told(grounder, evidence) for evidence in row] for row in matched_CP.tolist()]
    attention = attention_CWR.numpy()
    found: list[Grounding] = []
    if grounder.config.options.reads_heat:
        map_CQR = alignment.similarity_BCQR[0].numpy()
        for c, arrays in enumerate(encoded):
            regions, (phrase_count, queries) = regions_B[image_of_C[c]], asked.shape(c)
            own = (asked.member_CPQ[c, :phrase_count, :queries], asked.content_CQ[c, :queries])
            attention_WR = attention[c, : len(arrays), : len(regions)]
            found.append(
                _read_heat(grounder, regions, arrays, map_CQR[c, :queries, : len(regions)], *own, attention_WR, told[c])
            )
    else:
        if grounder.config.options.prior == "none":
            prior_CPR = None
        answers = _answers(grounder, regions_B, batch, asked, alignment, prior_CPR)
        for c, (caption, arrays) in enumerate(zip(captions, encoded, strict=True)):
            regions = regions_B[image_of_C[c]]
            phrases = tuple(
                GroundedPhrase(p.text, p.start, p.end, *answer, *its)
                for p, answer, its in zip(caption.phrases, answers, told[c], strict=False)  # answers go on
            )
            attention_WR = attention[c, : len(arrays), : len(regions)]
            size = (regions.width, regions.height)
            found.append(Grounding(caption.text, phrases, arrays.spans, regions, attention_WR, *size))
    ends = [0, *accumulate(len(own) for _, own in images)]
    return [found[first:last] for first, last in pairwise(ends)]


def _told(grounder: Grounder, evidence: float) -> tuple[float, float | None]:
    """A phrase's evidence, and how sure it makes that the phrase is in the image."""
    presence = grounder.config.presence
    return evidence, None if presence is None else presence.confidence(evidence)


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


def _asked(batch: Batch, captions: Sequence[Caption], by_phrases: bool) -> _Asked:
    own_CPW = batch.phrase_CPW.numpy()
    real_CP = np.arange(own_CPW.shape[1]) < np.array([[len(caption.phrases)] for caption in captions])
    if by_phrases:
        itself_CPP = np.broadcast_to(np.eye(real_CP.shape[1], dtype=bool), (*real_CP.shape, real_CP.shape[1]))
        return _Asked(real_CP, real_CP, itself_CPP, np.ones_like(real_CP))
    # A phrase without a word of its own (punctuation only) goes by all words of its caption.
    real_CW = batch.word_mask_CW.numpy()
    member_CPW = np.where(own_CPW.any(axis=2, keepdims=True), own_CPW, real_CW[:, None])
    return _Asked(real_CP, real_CW, member_CPW, batch.content_CW.numpy())


def _answers(
    grounder: Grounder,
    regions_B: Sequence[Regions],
    batch: Batch,
    asked: _Asked,
    alignment: Alignment,
    prior_CPR: torch.Tensor | None,
) -> Iterator[tuple[Array, Array]]:
    """Boxes and scores, best first, of one phrase after the other."""
    ranking, image_of_C = grounder.config.options.ranking, batch.image_of_C
    member_CPQ, content_CQ = (torch.from_numpy(np.array(part)) for part in asked[2:])
    score_CPR = phrase_scores(alignment.attention_BCQR[0], alignment.value_BCQR[0], member_CPQ, content_CQ, ranking)
    count = batch.region_mask_BR.shape[1]
    boxes_BR4 = np.zeros((len(regions_B), count, 4), dtype=np.float32)
    overlap_BRR = np.zeros((len(regions_B), count, count), dtype=np.float32)
    sure_BR = np.zeros((len(regions_B), count), dtype=np.float32)
    for b, regions in enumerate(regions_B):
        boxes_BR4[b, : len(regions)] = regions.boxes
        overlap_BRR[b, : len(regions), : len(regions)] = iou(regions.boxes, regions.boxes)
        sure_BR[b, : len(regions)] = regions.class_probs.max(axis=1, initial=0)
    mask_CR = batch.region_mask_BR[image_of_C]
    sure_CR = torch.from_numpy(sure_BR)[image_of_C] if grounder.config.class_names else None
    ranked_CPR = ranked_scores(
        score_CPR,
        torch.from_numpy(overlap_BRR)[image_of_C],
        ranking,
        sure_CR,
        prior_CPR,
        torch.from_numpy(asked.real_CP),
        mask_CR,
    ).masked_fill(~mask_CR[:, None], -1)
    caption_N = np.repeat(np.arange(len(asked.real_CP)), asked.real_CP.sum(axis=1))
    image_N = image_of_C.numpy()[caption_N]
    ranked_NR = ranked_CPR.numpy()[asked.real_CP]
    order_NR = np.argsort(-ranked_NR, axis=1, kind="stable")
    best_NR, best_NR4 = np.take_along_axis(ranked_NR, order_NR, axis=1), boxes_BR4[image_N[:, None], order_NR]
    best_NR.setflags(write=False)
    best_NR4.setflags(write=False)
    for boxes_R4, scores_R, image in zip(best_NR4, best_NR, image_N.tolist(), strict=True):
        own = len(regions_B[image])
        yield boxes_R4[:own], scores_R[:own]


def _read_heat(
    grounder: Grounder,
    regions: Regions,
    arrays: EncodedCaption,
    map_QR: Array,
    phrase_PQ: Mask,
    content_Q: Mask,
    attention_WR: Array,
    told: Sequence[tuple[float, float | None]],
) -> Grounding:
    """Boxes around the hot regions of each phrase's map of cells."""
    caption = arrays.caption
    heat_PYX = phrase_maps(map_QR, phrase_PQ, content_Q)
    phrases = []
    for phrase, map_YX, its in zip(caption.phrases, heat_PYX, told, strict=False):
        heat_HW = positive_heat(upsampled(map_YX, regions.width, regions.height))
        boxes, scores = heat_boxes(heat_HW, grounder.config.options.read_out)  # type: ignore[attr-defined]
        phrases.append(GroundedPhrase(phrase.text, phrase.start, phrase.end, boxes, scores, *its))
    size = (regions.width, regions.height)
    return Grounding(caption.text, tuple(phrases), arrays.spans, regions, attention_WR, *size, heat_PYX)
