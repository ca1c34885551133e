"""Groundings of many captions at once: one pass of the model and one ranking for a batch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from unboxed.inference.batching import Batcher, CaptionsOfImages, caption_groups
from unboxed.inference.calibration import NO_EVIDENCE, phrase_match
from unboxed.inference.phrase_boxes import (
    PhraseBoxes,
    PhraseQueries,
    boxes_of_heat,
    phrase_probabilities,
    ranked_boxes,
)
from unboxed.inference.results import GroundedPhrase, Grounding
from unboxed.recipes.embeddings import ImageEmbeddings
from unboxed.runtime.threads import ordered_map
from unboxed.text.encoding import EncodedCaption
from unboxed.text.phrases import head_noun
from unboxed.text.tokens import UNKNOWN_ID
from unboxed.types import Array, Caption, ImageBatch, Regions

if TYPE_CHECKING:
    from unboxed.inference.run_folder import RunParts
    from unboxed.recipes.model import PhraseAttention

__all__ = ["ground_embedded", "ground_encoded", "ground_stream", "ground_together", "region_answers"]

_Item = tuple[Regions, Sequence[Caption]]


def ground_stream(parts: RunParts, images: Iterable[_Item]) -> Iterator[list[Grounding]]:
    """The groundings of each image's captions, image by image, for any number of images.

    While the model computes one batch, a thread prepares the next ones.

    Args:
        parts: of the run: its model, and what it needs.
        images: regions and captions of each; a few batches are read in advance.

    Raises:
        RegionsError: regions of other features or classes than the model was trained on.
    """
    prepare = partial(_prepared, parts.batcher)
    for prepared in ordered_map(prepare, caption_groups(images, lambda image: len(image[1])), 1):
        yield from _grounded(parts, prepared)


def ground_together(
    parts: RunParts, regions_B: Sequence[Regions], captions_B: Sequence[Sequence[Caption]]
) -> list[list[Grounding]]:
    """The groundings of the captions of each of B images, as `Grounder.ground_regions` gives them.

    Raises:
        RegionsError: regions of other features or classes than the model was trained on.
    """
    return _grounded(parts, _prepared(parts.batcher, list(zip(regions_B, captions_B, strict=True))))


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
    parts: RunParts, prepared: tuple[list[Regions], ImageBatch | None, CaptionsOfImages | None]
) -> list[list[Grounding]]:
    regions_B, batch, captions = prepared
    if batch is None or captions is None:
        return [[] for _ in regions_B]
    return ground_encoded(parts, parts.model.encode_images(batch), regions_B, captions)


@torch.inference_mode()
def ground_embedded(
    parts: RunParts,
    images: ImageEmbeddings,
    regions_B: Sequence[Regions],
    captions_B: Sequence[Sequence[Caption]],
) -> list[list[Grounding]]:
    """The groundings of the captions of each of B images that the model has encoded.

    Args:
        parts: of the run: its model, and what it needs.
        images: the B images.
        regions_B: their regions, whose boxes and classes the groundings contain.
        captions_B: the captions of each image; there may be none.
    """
    if not any(captions_B):
        return [[] for _ in regions_B]
    return ground_encoded(parts, images, regions_B, CaptionsOfImages.of(parts.batcher, captions_B))


@torch.inference_mode()
def ground_encoded(
    parts: RunParts, images: ImageEmbeddings, regions_B: Sequence[Regions], captions: CaptionsOfImages
) -> list[list[Grounding]]:
    """`ground_embedded` for captions that are already batched; at least one."""
    image_of_C = captions.image_of_C
    found, queries, mask_CR = _attention(parts, images, captions)
    boxes: Iterable[tuple[list[PhraseBoxes], Array | None]]
    if (read_out := parts.config.options.heat_read_out) is not None:
        boxes = boxes_of_heat(read_out, regions_B, captions, queries, found.alignment)
    else:
        ranked = ranked_boxes(parts.config, regions_B, captions, queries, found, mask_CR)
        boxes = (([next(ranked) for _ in encoded.caption.phrases], None) for encoded in captions.encoded)
    matches, attention_CWR = _matches(parts, captions, queries, found), found.attention_CWR.numpy()
    groundings: list[Grounding] = []
    for c, (encoded, (boxes_P, heat_PYX)) in enumerate(zip(captions.encoded, boxes, strict=True)):
        regions, caption = regions_B[image_of_C[c]], encoded.caption
        phrases = tuple(
            GroundedPhrase(
                phrase.text,
                phrase.start,
                phrase.end,
                *found_boxes.ranked,
                match=match.value,
                confidence=match.confidence,
                types=phrase.types,
                set_ranks=found_boxes.set_ranks(phrase.text, match.confidence),
                prior=match.prior,
                point=found_boxes.point,
                unknown=_unknown(parts, phrase.text) if match.has_unknown and not match.prior else (),
            )
            for phrase, found_boxes, match in zip(caption.phrases, boxes_P, matches, strict=False)  # of this caption
        )
        attention_WR = attention_CWR[c, : len(encoded), : len(regions)]
        size = (regions.width, regions.height)
        groundings.append(Grounding(caption.text, phrases, encoded.spans, regions, attention_WR, *size, heat_PYX))
    ends = [0, *accumulate(captions.counts)]
    return [groundings[first:last] for first, last in pairwise(ends)]


@torch.inference_mode()
def region_answers(
    parts: RunParts, regions_B: Sequence[Regions], captions_B: Sequence[Sequence[Caption]]
) -> list[list[Array]]:
    """The probabilities `[P, R]` by which regions are chosen for the P phrases of each caption, image by image.

    Args:
        parts: of a run that ranks regions.
        regions_B: the regions of B images.
        captions_B: the captions of each image.

    Raises:
        RegionsError: regions of other features or classes than the model was trained on.
    """
    _, batch, captions = _prepared(parts.batcher, list(zip(regions_B, captions_B, strict=True)))
    if batch is None or captions is None:
        return [[] for _ in regions_B]
    found, queries, mask_CR = _attention(parts, parts.model.encode_images(batch), captions)
    probability_CPR = phrase_probabilities(parts.config, regions_B, captions, queries, found, mask_CR).numpy()
    of_captions = [
        probability_PR[: len(encoded.caption.phrases), : len(regions_B[b])]
        for probability_PR, encoded, b in zip(probability_CPR, captions.encoded, captions.image_of_C, strict=True)
    ]
    ends = [0, *accumulate(captions.counts)]
    return [of_captions[first:last] for first, last in pairwise(ends)]


def _attention(
    parts: RunParts, images: ImageEmbeddings, captions: CaptionsOfImages
) -> tuple[PhraseAttention, PhraseQueries, torch.Tensor]:
    """The attention of captions, each with its image, on the CPU; their queries; and the real regions `[C, R]`."""
    paired = images.of(torch.tensor(captions.image_of_C))
    found = parts.model.ground(paired, captions.batch).to("cpu")
    queries = PhraseQueries.of(captions, parts.config.options.units == "phrases")
    return found, queries, paired.regions.mask_BR.cpu()


def _unknown(parts: RunParts, text: str) -> tuple[str, ...]:
    """The words of a phrase that are not in the vocabulary, if its head noun is one of them and the prior has no class
    for the phrase.
    """
    found = parts.unknown_words(text)
    if not found or head_noun(text) not in found or (parts.prior is not None and parts.prior.affinity(text).any()):
        return ()
    return tuple(found)


class _Match(NamedTuple):
    """How well a phrase matches, the calibrated probability that it is present, its prior, and whether any of its words
    is not in the vocabulary.
    """

    value: float
    confidence: float | None
    prior: float | None
    has_unknown: bool


def _matches(
    parts: RunParts, captions: CaptionsOfImages, queries: PhraseQueries, found: PhraseAttention
) -> Iterator[_Match]:
    """The matches of one phrase after the other."""
    batch, prior_CPR, calibration = captions.batch, found.prior_CPR, parts.config.presence
    matched_CQ = np.where(queries.real_CQ, found.alignment.matched_BCQ[0].numpy(), 0)
    matched_CP = phrase_match(matched_CQ, queries.member_CPQ, queries.content_CQ)
    prior_CP = np.zeros_like(matched_CP) if prior_CPR is None else prior_CPR.amax(dim=-1).clamp(min=0).numpy()
    known_CP = batch.affinity_CPE.any(dim=-1).numpy()  # the prior has a class for the phrase
    prior_CP = np.where(known_CP, np.maximum(prior_CP, NO_EVIDENCE), prior_CP)
    unknown_CP = (batch.phrase_CPW & (batch.tokens_CW == UNKNOWN_ID)[:, None]).any(dim=-1).numpy()
    of_phrases = (values_CP[queries.real_CP].tolist() for values_CP in (matched_CP, prior_CP, unknown_CP))
    whole = (alone for encoded in captions.encoded for alone in _whole_captions(encoded))
    for value, prior, has_unknown, alone in zip(*of_phrases, whole, strict=True):
        confidence = None if calibration is None else calibration.confidence(value, prior, alone=alone)
        yield _Match(value, confidence, None if prior_CPR is None else prior, has_unknown)


def _whole_captions(encoded: EncodedCaption) -> list[bool]:
    """Whether each phrase has all words of its caption, except `<start>` and `<end>`, which have no characters."""
    real = [place for place, (start, end) in enumerate(encoded.spans) if start < end]
    ends = np.array([*real[:1], *real[-1:]], dtype=np.intp)  # a phrase with both has all words between them
    return [bool(phrase_E.all()) for phrase_E in encoded.phrase_PW[:, ends]]
