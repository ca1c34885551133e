"""Phrases that are present and phrases that are absent, from captions alone, for the calibration.

A sample of held-out images is grounded with the paired captions and with the captions of another image. Phrases of the
paired captions are present. Phrases of the other captions are absent, unless the paired captions mention the same kind
of thing; these are left out, as are pronouns. Captions do not mention everything that an image shows, so a few of
the phrases that count as absent are present.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from unboxed.inference.calibration import PresenceCalibration, fit_presence
from unboxed.inference.embedded_split import EmbeddedSplit
from unboxed.priors.noun_sets import GROUPS, PERSONS
from unboxed.runtime.progress import Show, counted
from unboxed.runtime.seeds import generator
from unboxed.text.lexicon import PRONOUNS, noun_key
from unboxed.text.phrases import head_noun
from unboxed.text.tokens import words
from unboxed.types import Caption, Example

__all__ = ["FEW_IMAGES", "SwappedPhrases", "calibrated", "swapped_phrases"]

_CALIBRATION_IMAGES = 200

FEW_IMAGES = 50
"""Below this number of held-out images, `fit` warns that the calibration rests on few."""


class SwappedPhrases(NamedTuple):
    """N phrases of the captions of images, and of captions of other images.

    Attributes:
        match_N: how well each phrase matches the image.
        present_N: True for phrases of captions that are paired with the image.
        images: the number of images.
        prior_N: how well the best region fits by the semantic prior; None of a run without one.
    """

    match_N: npt.NDArray[np.float64]
    present_N: npt.NDArray[np.bool_]
    images: int
    prior_N: npt.NDArray[np.float64] | None = None

    def logits(self, curve: PresenceCalibration) -> npt.NDArray[np.float64]:
        """`[N]`, the log odds by a curve that each phrase is in its image."""
        prior_N = [None] * len(self.match_N) if self.prior_N is None else self.prior_N.tolist()
        return np.array([curve.logit(*given) for given in zip(self.match_N.tolist(), prior_N, strict=True)])


def swapped_phrases(
    split: EmbeddedSplit, examples: Sequence[Example], *, images: int, captions: int = 2
) -> SwappedPhrases:
    """Ground images, sampled at random, with the paired captions and with those of another image.

    Args:
        split: the model and the regions.
        examples: images with captions; those without regions are left out.
        images: maximum number of images.
        captions: maximum number of captions of each image.
    """
    stored = [example for example in examples if example.image_id in split]
    order = generator(0, "swapped").permutation(len(stored))[:images]
    chosen = [stored[i] for i in order] if len(order) > 1 else []
    others = chosen[1:] + chosen[:1]
    asked = [
        (example.image_id, [*example.captions[:captions], *other.captions[:captions]])
        for example, other in zip(chosen, others, strict=True)
    ]
    match: list[float] = []
    prior: list[float | None] = []
    present: list[bool] = []
    for example, (_, both), groundings in zip(chosen, asked, split.ground(asked), strict=True):
        mentioned = {_kind(word.text) for caption in example.captions for word in words(caption.text)}
        paired = len(example.captions[:captions])
        for number, (caption, grounding) in enumerate(zip(both, groundings, strict=True)):
            for kind, phrase in zip(_kinds(caption), grounding.phrases, strict=True):
                if kind is None or (number >= paired and kind in mentioned) or phrase.match is None:
                    continue
                match.append(phrase.match)
                prior.append(phrase.prior)
                present.append(number < paired)
    prior_N = None if None in prior else np.array(prior, dtype=np.float64)
    return SwappedPhrases(np.array(match, dtype=np.float64), np.array(present, dtype=bool), len(chosen), prior_N)


def calibrated(
    split: EmbeddedSplit,
    held_out: Sequence[Example],
    training: Sequence[Example] = (),
    show: Show = lambda line: None,
) -> PresenceCalibration | None:
    """The calibration of a phrase's match to the probability that it is present, without boxes; None if there is none.

    The match of a phrase is trained, so that only held-out images show what it is worth. The prior is not: training
    images calibrate it, and the curve of the held-out images is shrunk towards theirs. Phrases that are whole captions
    have the curve of the training images.

    Args:
        split: the model and the regions.
        held_out: images with captions that the model was not trained on.
        training: images with captions that it was trained on.
        show: called with a line of text if few images calibrate.
    """
    images = sum(example.image_id in split for example in held_out)
    few = images < FEW_IMAGES
    found = swapped_phrases(split, held_out, images=_CALIBRATION_IMAGES, captions=5 if few else 2)
    if few and len(found.match_N):
        show(
            f"The probability that a phrase is in the image is calibrated on {counted(images, 'image')} alone, and may "
            f"be off; more images make it steadier. `label --min-confidence` moves the threshold."
        )
    if found.prior_N is None or not len(found.match_N):
        return fit_presence(found.match_N, found.present_N)
    untrained = swapped_phrases(split, [*held_out, *training], images=_CALIBRATION_IMAGES)
    by_prior = fit_presence(np.zeros_like(untrained.match_N), untrained.present_N, untrained.prior_N)
    curve = fit_presence(found.match_N, found.present_N, found.prior_N, by_prior)
    if curve is None or by_prior is None:
        return curve
    return replace(curve, alone_slope=by_prior.prior_slope, alone_bias=by_prior.bias)


def _kinds(caption: Caption) -> list[str | None]:
    """The kind of thing that each phrase names; None for a pronoun."""
    heads = [head_noun(phrase.text).lower() for phrase in caption.phrases]
    return [None if not head or head in PRONOUNS else _kind(head) for head in heads]


def _kind(word: str) -> str:
    """A key shared by nouns for one kind of thing: “dogs” and “dog”, and all words for persons."""
    key = noun_key(word.lower())
    return "person" if key in PERSONS or key in GROUPS else key
