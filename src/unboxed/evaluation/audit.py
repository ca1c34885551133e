"""Audit of captions: which captions, and which of their phrases, are probably not about their image.

A caption that was swapped with another one, is wrong or outdated has phrases that are not in the image. Each phrase
has a calibrated probability of being there; their log odds add up, as if phrases were independent. Further evidence is
how the caption matches other images, and how it agrees with the other captions of the image (`caption_evidence`).
Captions are ranked by all of it, the most suspicious first. No box is used.

How well that works is measured by swapping a share of the captions among images on purpose: `precision` is the share of
swapped ones among the first captions, at the rank at which half of the swapped ones are found.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil, exp, log
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from unboxed.data.dataset import load_dataset
from unboxed.errors import EvaluationError
from unboxed.evaluation.caption_evidence import EvidenceWeights, agreement, relative_match
from unboxed.evaluation.options import EvaluationOptions
from unboxed.evaluation.pair_scores import score_pairs
from unboxed.evaluation.split_regions import chosen_split, embedded_split
from unboxed.inference.calibration_notes import refusal_note
from unboxed.inference.embedded_split import EmbeddedSplit
from unboxed.inference.results import GroundedPhrase
from unboxed.inference.run_config import RunConfig
from unboxed.runtime.progress import Show
from unboxed.runtime.seeds import generator
from unboxed.text.lexicon import PRONOUNS
from unboxed.text.phrases import head_noun
from unboxed.types import Caption, Example

__all__ = ["Audit", "AuditedCaption", "CaptionRanking", "audit_dataset", "swapped_captions"]

_EDGE = 1e-4  # keeps log odds finite
_RECALL = 0.5
_PRACTICE = 0.1  # share of captions that are swapped to weight the evidence


@dataclass(frozen=True)
class AuditedCaption:
    """A caption with the probabilities of its phrases.

    Attributes:
        image_id: of its image.
        path: the image's file.
        caption: the text.
        phrases: (phrase, probability in [0, 1] that it is in the image), in reading order, without pronouns.
        log_odds: that the caption is about the image.
    """

    image_id: str
    path: Path
    caption: str
    phrases: tuple[tuple[GroundedPhrase, float], ...]
    log_odds: float

    @property
    def wrong(self) -> float:
        """The probability in [0, 1] that the caption is not about the image."""
        return 1 / (1 + exp(min(max(self.log_odds, -30.0), 30.0)))

    @property
    def absent(self) -> tuple[str, ...]:
        """The phrases that are probably not in the image, the least probable first."""
        listed = sorted((probability, phrase.text) for phrase, probability in self.phrases if probability < 0.5)
        return tuple(text for _, text in listed)

    def to_dict(self) -> dict[str, Any]:
        """A line of the file that `unboxed audit` writes."""
        phrases = [
            {"text": phrase.text, "start": phrase.start, "end": phrase.end, "probability": round(probability, 4)}
            for phrase, probability in self.phrases
        ]
        return {
            "image": str(self.path),
            "caption": self.caption,
            "log_odds": round(self.log_odds, 4),
            "wrong": round(self.wrong, 4),
            "absent": list(self.absent),
            "phrases": phrases,
        }


@dataclass(frozen=True)
class Audit:
    """The captions of a split, the most suspicious first.

    Attributes:
        captions: each with its phrases.
        images: the number of images.
        swapped: the number of captions that were swapped on purpose.
        precision: the share in [0, 1] of swapped captions among the first ones, where half of the swapped are found.
        at_swapped: the share of swapped captions among as many first captions as were swapped.
    """

    captions: tuple[AuditedCaption, ...]
    images: int
    swapped: int
    precision: float
    at_swapped: float

    def __str__(self) -> str:
        doubtful = sum(caption.log_odds < 0 for caption in self.captions)
        return (
            f"{len(self.captions):,} captions of {self.images:,} images, {doubtful:,} of them more probably wrong than "
            f"right. Of {self.swapped:,} captions swapped on purpose, half are found with a precision of "
            f"{100 * self.precision:.0f} % (by chance {100 * self.swapped / len(self.captions):.0f} %)"
        )


def audit_dataset(data: Path, run: Path, split: str = "all", swapped: float = 0.05, *, show: Show = print) -> Audit:
    """Audit the captions of a dataset.

    Args:
        data: images with captions: a table (CSV, JSONL, JSON), a folder, a dataset's TOML file, or tar or Parquet
            files, also at URLs.
        run: folder of the run.
        split: of the dataset; `all` for every image.
        swapped: the share of captions that are swapped to measure the precision.
        show: called with lines of text.

    Raises:
        UnboxedError: the run, the dataset or the split is unusable.
        EvaluationError: a run without calibration, fewer than two images, captions that are all the same, or a share
            outside of (0, 1).
    """
    if not 0 < swapped < 1:
        raise EvaluationError(f"The share of swapped captions is {swapped}; expected one in (0, 1), such as 0.05.")
    run, options = Path(run), EvaluationOptions(split=split)
    if RunConfig.load(run).presence is None:
        raise EvaluationError(
            f"{run} was not calibrated, because its held-out captions do not tell present phrases from absent ones; "
            "train on more images, or with a detector."
        )
    chosen = chosen_split(load_dataset(data), options, show)
    embedded = embedded_split(run, chosen, options, show)
    examples = [example for example in chosen.examples if example.image_id in embedded]
    if len(examples) < 2:
        raise EvaluationError("Fewer than two images have regions; captions are swapped between images.")
    ranking = CaptionRanking(embedded, examples, swapped)
    captions = ranking(examples)
    phrases = (phrase for caption in captions for phrase, _ in caption.phrases)
    if (note := refusal_note(run, embedded.grounder.config, data, phrases)) is not None:
        show(note)
    mixed, moved = swapped_captions(examples, swapped)
    found = [(caption.image_id, caption.caption) in moved for caption in ranking(mixed)]
    hits = np.flatnonzero(found)
    if not len(hits):
        raise EvaluationError(
            f"The captions of {len(examples)} images are too few or too much alike to be swapped; audit a split whose "
            "captions differ."
        )
    needed = ceil(_RECALL * len(hits))
    return Audit(
        tuple(captions),
        len(examples),
        len(hits),
        precision=needed / (int(hits[needed - 1]) + 1),
        at_swapped=float(np.mean(found[: len(hits)])),
    )


class CaptionRanking:
    """Ranks the captions of images by all evidence, weighted on captions that are swapped for practice.

    Args:
        split: the model and the regions.
        examples: the images, at least two, with regions.
        wrong: the share of captions that is assumed to be wrong, in (0, 1).
    """

    def __init__(self, split: EmbeddedSplit, examples: Sequence[Example], wrong: float) -> None:
        self._split, self._wrong = split, wrong
        self._score_BC = score_pairs(split, examples).score_BC
        # Captions are moved, not copied, so that they are known by their identity.
        self._column = {id(c): i for i, c in enumerate(caption for e in examples for caption in e.captions)}
        practice, moved = swapped_captions(examples, max(wrong, _PRACTICE), seed=1)
        captions, evidence_C3 = self._evidence(practice)
        right = np.array([(caption.image_id, caption.caption) not in moved for caption in captions])
        self._weights = EvidenceWeights(evidence_C3, right)

    def __call__(self, mixed: Sequence[Example]) -> list[AuditedCaption]:
        """The captions, the most suspicious first.

        Args:
            mixed: the images, with captions that may have been moved among them.
        """
        captions, evidence_C3 = self._evidence(mixed)
        odds_C = self._weights(evidence_C3, self._wrong).tolist()
        weighed = [replace(caption, log_odds=odds) for caption, odds in zip(captions, odds_C, strict=True)]
        return sorted(weighed, key=lambda caption: caption.log_odds)

    def _evidence(self, mixed: Sequence[Example]) -> tuple[list[AuditedCaption], npt.NDArray[np.float64]]:
        """The captions in the order of the images, and their evidence, as `EvidenceWeights` takes it."""
        captions = _grounded(self._split, mixed)
        column_C = np.array([self._column[id(caption)] for example in mixed for caption in example.captions])
        image_of_C = np.repeat(np.arange(len(mixed)), [len(example.captions) for example in mixed])
        match_C = relative_match(self._score_BC[:, column_C], image_of_C)
        return captions, np.stack([[c.log_odds for c in captions], match_C, agreement(mixed)], axis=1)


def _grounded(split: EmbeddedSplit, examples: Sequence[Example]) -> list[AuditedCaption]:
    """The captions in the order of the images, with the log odds of their phrases alone, 0 without any."""
    found: list[AuditedCaption] = []
    asked = ((example.image_id, example.captions) for example in examples)
    for example, groundings in zip(examples, split.ground(asked), strict=True):
        for grounding in groundings:
            phrases = tuple(
                (phrase, phrase.confidence)
                for phrase in grounding.phrases
                if phrase.confidence is not None and head_noun(phrase.text) not in PRONOUNS
            )
            odds = sum(_log_odds(probability) for _, probability in phrases)
            found.append(AuditedCaption(example.image_id, example.path, grounding.caption, phrases, odds))
    return found


def swapped_captions(
    examples: Sequence[Example], share: float, seed: int = 0
) -> tuple[list[Example], set[tuple[str, str]]]:
    """A copy of the images in which a share of the captions, at least two, stand at other images.

    Returns:
        The images, and the image id and text of each caption that was moved, without those that the image had as well:
        a caption such as the name of a class is right for many images.
    """
    places = [(i, c) for i, example in enumerate(examples) for c in range(len(example.captions))]
    count = min(max(round(share * len(places)), 2), len(examples))
    order = generator(seed, "audit").permutation(len(places))
    images: dict[int, int] = {}  # one caption of an image at most, so that a cycle moves each to another image
    for place in order:
        images.setdefault(*places[place])
    cycle = list(images.items())[:count]
    captions: list[list[Caption]] = [list(example.captions) for example in examples]
    moved: set[tuple[str, str]] = set()
    for (image, c), (source, other) in zip(cycle, cycle[1:] + cycle[:1], strict=True):
        captions[image][c] = caption = examples[source].captions[other]
        if caption.text not in {paired.text for paired in examples[image].captions}:
            moved.add((examples[image].image_id, caption.text))
    return [replace(e, captions=tuple(swapped)) for e, swapped in zip(examples, captions, strict=True)], moved


def _log_odds(probability: float) -> float:
    bounded = min(max(probability, _EDGE), 1 - _EDGE)
    return log(bounded / (1 - bounded))
