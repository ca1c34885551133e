"""Phrases that are in an image and phrases that are not, from captions alone: what presence is calibrated on.

Each of some held-out images is grounded with captions of its own, and with captions of another image. What
its own captions say is there. What the other's say is not, unless its own captions speak of the same kind of thing:
then nobody knows, and the phrase is left out, as pronouns are. Captions do not say all that an image shows, so a
few phrases that count as absent are there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from unboxed.inference.calibration import PresenceCalibration, fit_presence
from unboxed.inference.grounder import Grounder
from unboxed.priors.person_words import GROUPS, PERSONS
from unboxed.regions.store.region_store import RegionStore
from unboxed.runtime.seeds import generator
from unboxed.text.inflection import noun_key
from unboxed.text.lexicon import PRONOUNS
from unboxed.text.phrases import head_noun
from unboxed.text.tokens import words
from unboxed.types import Caption, Example

__all__ = ["SwappedPhrases", "calibrated", "swapped_phrases"]

_CALIBRATION_PHOTOS = 200


class SwappedPhrases(NamedTuple):
    """N phrases of photographs' own and of others' captions.

    Attributes:
        evidence_N: how well each fits.
        present_N: True for those of the photograph's own captions.
        photos: how many images were asked.
    """

    evidence_N: npt.NDArray[np.float64]
    present_N: npt.NDArray[np.bool_]
    images: int


def swapped_phrases(
    grounder: Grounder, examples: Sequence[Example], store: RegionStore, *, images: int, captions: int = 2
) -> SwappedPhrases:
    """Ground images, chosen at random, with captions of their own and of others.

    Args:
        grounder: the model.
        examples: images with captions; those without regions are passed over.
        store: their regions.
        photos: at most so many.
        captions: so many of each image, at most.
    """
    stored = [example for example in examples if example.image_id in store]
    order = generator(0, "swapped").permutation(len(stored))[:images]
    chosen = [stored[i] for i in order] if len(order) > 1 else []
    evidence: list[float] = []
    present: list[bool] = []
    for example, other in zip(chosen, chosen[1:] + chosen[:1], strict=True):
        said = {_kind(word.text) for caption in example.captions for word in words(caption.text)}
        own, foreign = example.captions[:captions], other.captions[:captions]
        groundings = grounder.ground_regions(store[example.image_id], [*own, *foreign])
        for number, (caption, grounding) in enumerate(zip([*own, *foreign], groundings, strict=True)):
            for kind, phrase in zip(_kinds(caption), grounding.phrases, strict=True):
                if kind is None or (number >= len(own) and kind in said) or phrase.evidence is None:
                    continue
                evidence.append(phrase.evidence)
                present.append(number < len(own))
    return SwappedPhrases(np.array(evidence, dtype=np.float64), np.array(present, dtype=bool), len(chosen))


def calibrated(grounder: Grounder, examples: Sequence[Example], store: RegionStore) -> PresenceCalibration | None:
    """How a phrase's evidence tells whether it is there, learned on held-out images without a box; or None."""
    found = swapped_phrases(grounder, examples, store, images=_CALIBRATION_PHOTOS)
    return fit_presence(found.evidence_N, found.present_N)


def _kinds(caption: Caption) -> list[str | None]:
    """What kind of thing each phrase names; None for a pronoun."""
    heads = [head_noun(phrase.text).lower() for phrase in caption.phrases]
    return [None if not head or head in PRONOUNS else _kind(head) for head in heads]


def _kind(word: str) -> str:
    """A key that nouns for one kind of thing share: “dogs” and “dog”, and all words for persons."""
    key = noun_key(word.lower())
    return "person" if key in PERSONS or key in GROUPS else key
