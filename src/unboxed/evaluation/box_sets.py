"""Sets of boxes under the protocol `all`: precision, recall and F1 of phrases with several gold boxes.

The protocols `any` and `union` ask for one box. Under `all` the answer to a phrase is a set of boxes, and the gold is
the set of all its gold boxes. Boxes with IoU >= 0.5 can be matched; as many as possible are matched one to one.

    precision_all    matched boxes / boxes of the answers
    recall_all       matched boxes / gold boxes
    f1_all           their harmonic mean, 2 * matched / (boxes of the answers + gold boxes)

All are sums over the phrases, in percent: a phrase with more gold boxes weighs more. Phrases with one gold box are left
out of these metrics, which would hide the others; `f1_all_phrases` is the F1 of all phrases with a gold box, and falls
where single things are answered with several boxes. The best box alone is the baseline. Intervals are over images.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from unboxed.evaluation.bootstrap import (
    Floats,
    PairedDifference,
    PerImageMetric,
    images_of,
    paired_difference,
    sums_per_image,
)
from unboxed.evaluation.box_rules import CONTINUOUS_RULE, BoxRule
from unboxed.types import Array

__all__ = ["SET_METRICS", "SetMention", "SetScores", "matched_boxes", "score_sets"]

SET_METRICS = ("precision_all", "recall_all", "f1_all", "f1_all_phrases")
"""The names of the metrics, as defined at the top of this module."""


@dataclass(frozen=True, eq=False)
class SetMention:
    """A phrase with gold boxes, and the boxes that it was answered with.

    Attributes:
        image_id: the image; the bootstrap resamples images.
        gold_boxes: `[N, 4]` pixels.
        set_boxes: `[M, 4]`, in any order; M = 0 for no answer.
        best_box: `[1, 4]`, or `[0, 4]` for no answer.
    """

    image_id: str
    gold_boxes: Array
    set_boxes: Array
    best_box: Array


@dataclass(frozen=True, eq=False)
class SetScores:
    """Scores of sets of boxes and of the best box alone.

    Attributes:
        phrases: number of phrases with several gold boxes.
        sets: each of `SET_METRICS` image by image.
        best: the same where every answer is its best box.
    """

    phrases: int
    sets: Mapping[str, PerImageMetric]
    best: Mapping[str, PerImageMetric]

    def __getitem__(self, metric: str) -> float:
        """Percentage of one of `SET_METRICS`."""
        return self.sets[metric].value

    @property
    def gain(self) -> PairedDifference:
        """`f1_all` of the sets minus that of the best boxes, on the same images."""
        return paired_difference(self.sets["f1_all"], self.best["f1_all"])

    def __str__(self) -> str:
        gain, best = self.gain, self.best["f1_all"].value
        return (
            f"{self.phrases:,} phrases with several gold boxes: precision_all {self['precision_all']:.1f}, recall_all "
            f"{self['recall_all']:.1f}, f1_all {self['f1_all']:.1f}; the best box alone {best:.1f} "
            f"({gain.difference:+.1f}, 95 % interval {gain.low:+.1f} to {gain.high:+.1f}). f1_all_phrases "
            f"{self['f1_all_phrases']:.1f}, the best box alone {self.best['f1_all_phrases'].value:.1f}"
        )

    def to_dict(self) -> dict[str, object]:
        """The dictionary that `unboxed evaluate --json` prints under `sets`; percentages are 0-100."""
        return {
            "phrases": self.phrases,
            **{name: round(metric.value, 3) for name, metric in self.sets.items()},
            "interval": {name: [round(end, 3) for end in metric.interval()] for name, metric in self.sets.items()},
            "best_box": {name: round(metric.value, 3) for name, metric in self.best.items()},
        }


def score_sets(mentions: Iterable[SetMention], rule: BoxRule = CONTINUOUS_RULE) -> SetScores | None:
    """Scores the sets of mentions under the protocol `all`.

    Args:
        mentions: in any order; those without a gold box are not scored.
        rule: the convention of boxes.

    Returns:
        None if no mention has several gold boxes.
    """
    scored = [mention for mention in mentions if len(mention.gold_boxes)]
    several = [mention for mention in scored if len(mention.gold_boxes) > 1]
    if not several:
        return None
    sets = _metrics(scored, [mention.set_boxes for mention in scored], rule)
    best = _metrics(scored, [mention.best_box for mention in scored], rule)
    return SetScores(len(several), sets, best)


def _metrics(mentions: Sequence[SetMention], answers: Sequence[Array], rule: BoxRule) -> dict[str, PerImageMetric]:
    image_ids, image_of_M = images_of(mention.image_id for mention in mentions)
    matched_M = [
        matched_boxes(rule.overlaps(answer, mention.gold_boxes))
        for mention, answer in zip(mentions, answers, strict=True)
    ]
    counts_M3 = np.column_stack([matched_M, list(map(len, answers)), [len(mention.gold_boxes) for mention in mentions]])
    every_I3 = sums_per_image(counts_M3, image_of_M)
    several_I3 = sums_per_image(counts_M3 * (counts_M3[:, 2:] > 1), image_of_M)  # of several gold boxes

    def metric(matched_I: Floats, counted_I: Floats) -> PerImageMetric:
        counted_I = counted_I if counted_I.any() else np.ones_like(counted_I)  # no answer at all: nothing is right
        return PerImageMetric(image_ids, matched_I[:, None], counted_I[:, None])

    matched_I, answered_I, gold_I = several_I3.T
    all_matched_I, all_answered_I, all_gold_I = every_I3.T
    return {
        "precision_all": metric(matched_I, answered_I),
        "recall_all": metric(matched_I, gold_I),
        "f1_all": metric(2 * matched_I, answered_I + gold_I),
        "f1_all_phrases": metric(2 * all_matched_I, all_answered_I + all_gold_I),
    }


def matched_boxes(overlaps_MN: npt.NDArray[np.bool_]) -> int:
    """The most pairs of M boxes and N gold boxes that overlap and share no box."""
    answer_of: dict[int, int] = {}

    def find(m: int, tried: set[int]) -> bool:
        for n in np.flatnonzero(overlaps_MN[m]).tolist():
            if n not in tried:
                tried.add(n)
                if n not in answer_of or find(answer_of[n], tried):
                    answer_of[n] = m
                    return True
        return False

    return sum(find(m, set()) for m in range(len(overlaps_MN)))
