"""A zero-shot detector as a baseline: it is asked for the phrases themselves, and nothing is trained."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from unboxed import boxes as box_arithmetic
from unboxed.data.images import open_image
from unboxed.errors import EvaluationError, ImageError
from unboxed.evaluation.grounding import GroundedMention, GroundingScores, score_grounding
from unboxed.regions.base import Detections
from unboxed.regions.image_view import View
from unboxed.regions.sources.zero_shot import ZeroShotModel, open_zero_shot
from unboxed.types import Array, Example

__all__ = ["named_detector", "zero_shot_baseline"]

_PREFIX = "hf:"
_CANDIDATES, _NMS = 300, 0.6  # boxes of a phrase that enter the suppression, and the IoU above which one is removed


def named_detector(baseline: str) -> ZeroShotModel:
    """The model that `hf:FOLDER_OR_HUB_NAME` names.

    Raises:
        EvaluationError: another text.
        RegionsError: no such model, or it is no zero-shot detector.
    """
    name = baseline.removeprefix(_PREFIX)
    if not baseline.startswith(_PREFIX) or not name:
        raise EvaluationError(
            f"The baseline {baseline!r} is not known; name a zero-shot detector of transformers by its folder or hub "
            "name: hf:FOLDER. The untrained baselines without a model are always computed."
        )
    return open_zero_shot(name)


def zero_shot_baseline(model: ZeroShotModel, examples: Iterable[Example]) -> GroundingScores:
    """Scores of a zero-shot detector on the phrases that have gold boxes, each answered with its own boxes.

    It is asked for all phrases of an image at once. Phrases of an image that cannot be read are wrong.

    Args:
        model: asked for the phrases.
        examples: images with gold phrases.

    Raises:
        EvaluationError: no phrase has a gold box.
    """
    mentions = []
    for example in examples:
        phrases = [phrase for caption in example.captions for phrase in caption.phrases]
        texts = list(dict.fromkeys(phrase.text for phrase in phrases))
        found = _detected(model, example, texts)
        for phrase in phrases:
            answer = _ranked(found, texts.index(phrase.text))
            mentions.append(GroundedMention(example.image_id, phrase.types, phrase.boxes, answer, found.boxes))
    return score_grounding(mentions)


def _detected(model: ZeroShotModel, example: Example, texts: list[str]) -> Detections:
    """The boxes of an image in its pixels; none without texts, or where it cannot be read."""
    nothing = Detections(np.zeros((0, 4), np.float32), np.zeros((0, len(texts)), np.float32))
    if not texts:
        return nothing
    try:
        image = open_image(example.path)
    except ImageError:
        return nothing
    found = model.detect(View(image, example.original_size or image.size), texts)
    boxes = box_arithmetic.clip(found.boxes, *image.size)
    seen = box_arithmetic.area(boxes) > 0
    return Detections(boxes[seen], found.class_scores[seen])


def _ranked(found: Detections, k: int) -> Array:
    """The boxes of a text, best first, without those that repeat a better one."""
    score_N = found.class_scores[:, k]
    best = np.argsort(-score_N, kind="stable")[:_CANDIDATES]
    keep = box_arithmetic.nms(found.boxes[best], score_N[best], _NMS)
    return found.boxes[best][keep]
