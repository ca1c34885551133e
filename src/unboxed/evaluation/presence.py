"""Detection of phrases that are not in the image, evaluated with captions swapped between images.

A phrase is predicted absent when the calibrated probability that it is present is below one half. Phrases of the
captions that an image is paired with count as present, phrases of another image's captions as absent.
`absent_precision` is the share of absent phrases among those predicted absent, `absent_recall` the share predicted
absent among the absent ones; the same for `present`. Both classes weigh the same, whatever their sizes. `auc` is the
share of pairs of a present and an absent phrase in which the present one is more probable. No box is used.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from unboxed.inference.embedded_split import EmbeddedSplit
from unboxed.inference.ranks import area_under_curve
from unboxed.training.calibration import swapped_phrases
from unboxed.types import Example

__all__ = ["PresenceScores", "score_presence"]

_IMAGES = 500


@dataclass(frozen=True)
class PresenceScores:
    """Metrics in percent, as defined at the top of this module.

    Attributes:
        images: number of images.
        present, absent: number of phrases of each class.
        absent_precision, absent_recall: of the prediction that a phrase is absent.
        present_precision, present_recall: of the prediction that a phrase is present.
        auc: area under the ROC curve, of the calibrated probability.
    """

    images: int
    present: int
    absent: int
    absent_precision: float
    absent_recall: float
    present_precision: float
    present_recall: float
    auc: float

    def __str__(self) -> str:
        return (
            f"precision {self.absent_precision:.1f} %, recall {self.absent_recall:.1f} %, AUC {self.auc:.1f} % "
            f"(captions swapped among {self.images:,} images: {self.absent:,} phrases absent, {self.present:,} present)"
        )

    def to_dict(self) -> dict[str, object]:
        """The dictionary that `unboxed evaluate --json` prints under `presence`."""
        values = {name: round(value, 3) if isinstance(value, float) else value for name, value in vars(self).items()}
        return {"photos": values.pop("images"), **values}


def score_presence(split: EmbeddedSplit, examples: Sequence[Example]) -> PresenceScores | None:
    """Scores phrases of captions that are swapped among at most 500 of the images, sampled at random.

    Returns:
        The scores; None if the model is not calibrated, or if there are no phrases of one of the two classes.
    """
    calibration = split.grounder.config.presence
    if calibration is None:
        return None
    found = swapped_phrases(split, examples, images=_IMAGES)
    present = found.present_N
    if present.all() or not present.any():
        return None
    logit_N = found.logits(calibration)
    predicted_present = logit_N >= 0
    hit, false_alarm = float(predicted_present[present].mean()), float(predicted_present[~present].mean())
    return PresenceScores(
        images=found.images,
        present=int(present.sum()),
        absent=int((~present).sum()),
        absent_precision=100 * (1 - false_alarm) / max(2 - hit - false_alarm, 1e-12),
        absent_recall=100 * (1 - false_alarm),
        present_precision=100 * hit / max(hit + false_alarm, 1e-12),
        present_recall=100 * hit,
        auc=100 * area_under_curve(logit_N, present),
    )
