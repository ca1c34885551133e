"""How well a model tells phrases that are not in the photograph: on captions swapped between images.

A phrase counts as called absent when its confidence is below one half. `absent_precision` is the share of phrases of
others' captions among those called absent, `absent_recall` the share called absent among them; the same for `present`.
Both kinds weigh the same, whatever their numbers. `auc` is the chance that a phrase of the photograph's own captions
has more evidence than one of another's. No box is looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from unboxed.inference.grounder import Grounder
from unboxed.regions.store.region_store import RegionStore
from unboxed.training.calibration import swapped_phrases
from unboxed.types import Example

__all__ = ["PresenceScores", "score_presence"]

_PHOTOS = 500


@dataclass(frozen=True)
class PresenceScores:
    """Scores in percent; see the head of this module.

    Attributes:
        images, present, absent: how many images, and phrases of either kind, were asked.
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
            f"(captions swapped among {self.images:,} photos: {self.absent:,} phrases absent, {self.present:,} present)"
        )

    def to_dict(self) -> dict[str, object]:
        """The plain dictionary that `unboxed evaluate --json` prints under `presence`."""
        return {name: round(value, 3) if isinstance(value, float) else value for name, value in vars(self).items()}


def score_presence(grounder: Grounder, examples: Sequence[Example], store: RegionStore) -> PresenceScores | None:
    """Swap captions among at most 500 of the images, chosen at random.

    Returns:
        None of a model that was not calibrated, or where there is no phrase of either kind.
    """
    if grounder.config.presence is None:
        return None
    found = swapped_phrases(grounder, examples, store, images=_PHOTOS)
    present = found.present_N
    if present.all() or not present.any():
        return None
    confidence = np.array([grounder.config.presence.confidence(e) for e in found.evidence_N.tolist()])
    kept = confidence >= 0.5
    right, wrong = float(kept[present].mean()), float(kept[~present].mean())
    return PresenceScores(
        images=found.images,
        present=int(present.sum()),
        absent=int((~present).sum()),
        absent_precision=100 * (1 - wrong) / max(2 - right - wrong, 1e-12),
        absent_recall=100 * (1 - wrong),
        present_precision=100 * right / max(right + wrong, 1e-12),
        present_recall=100 * right,
        auc=100 * _auc(found.evidence_N, present),
    )


def _auc(evidence_N: npt.NDArray[np.float64], present_N: npt.NDArray[np.bool_]) -> float:
    """The share of pairs, one of either kind, in which the present phrase has more evidence; ties count half."""
    absent = np.sort(evidence_N[~present_N])
    below = np.searchsorted(absent, evidence_N[present_N], side="left")
    not_above = np.searchsorted(absent, evidence_N[present_N], side="right")
    return float((below + not_above).mean() / 2 / len(absent))
