"""Grounding metrics under named protocols: recall, pointing accuracy and their upper bound.

A **mention** is one phrase of one caption. Every score is the percentage of mentions that are answered correctly: a
micro average, so an image with more phrases weighs more. The gold boxes of a mention are read in two ways, and the name
of a metric always includes the reading:

    any     the answer is correct when it matches any one of the gold boxes
    union   the gold is the one box that encloses all gold boxes

    recall_any@k, recall_union@k             one of the k best boxes has IoU >= 0.5 with the gold
    pointing_any, pointing_union             the point of the answer is strictly inside the gold: the centre of the best
                                             box, unless the model points elsewhere (`Ranking.point`)
    upper_bound_any, upper_bound_union       one of all proposals has IoU >= 0.5 with the gold, which no ranking exceeds

Edge cases:

* **Edges.** Boxes have continuous edges (see `types`): a gold box of the inclusive pixels `xmin..xmax` is
  `xmin - 1, xmax`, so its width `x2 - x1` is the `xmax - xmin + 1` of implementations with the "+ 1" convention.
  Nothing is added here.
* **IoU of exactly 0.5 is correct.** IoU is computed in float64, so boxes of whole pixels reach it without rounding.
* **A centre on the edge of a gold box is wrong**; so is a centre on the common edge of two gold boxes that touch.
* **A mention without a gold box is not scored**; the number of such mentions is reported as `without_gold`.
* **A mention without an answer is wrong, never dropped**: it has no ranked box, or its image has no regions. The number
  of such mentions is reported as `without_answer`. Without proposals the upper bound counts it as wrong too.
* **Fewer than k boxes**: the boxes that exist are scored; nothing is padded.
* **Ties** keep the order in which the boxes are given. **Duplicates** each take a rank.
* **A box without area** has IoU 0 with every box and contains no point; its centre may still point correctly.
* **A mention with two entity types** counts once in the total and in both of its types; one without types counts in the
  total only.
* **Intervals** are 95 % percentile bootstraps over the images with at least one scored mention (see `bootstrap`). The
  interval of a single image has no width.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from unboxed.boxes import centre, enclosing
from unboxed.errors import EvaluationError
from unboxed.evaluation.bootstrap import (
    Floats,
    PairedDifference,
    PerImageMetric,
    bootstrap,
    images_of,
    paired_difference,
    percentile_interval,
    sums_per_image,
)
from unboxed.evaluation.box_rules import CONTINUOUS_RULE, BoxRule, with_gold
from unboxed.runtime.progress import counted
from unboxed.types import Array, float32_array

if TYPE_CHECKING:
    from rich.console import Group

__all__ = [
    "METRICS",
    "RANKS",
    "GroundedMention",
    "GroundingScores",
    "mean_scores",
    "mention_outcomes",
    "score_grounding",
]

RANKS = (1, 5, 10)
"""The k of recall@k."""
METRICS = (
    *(f"recall_any@{k}" for k in RANKS),
    *(f"recall_union@{k}" for k in RANKS),
    "pointing_any",
    "pointing_union",
    "upper_bound_any",
    "upper_bound_union",
)
"""The names of the grounding metrics, as defined at the top of this module."""
_CHUNK = 512  # mentions scored at once: bounds the memory, not the result

Outcomes = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class GroundedMention:
    """A phrase of a caption, its gold boxes, and the model's answer. Boxes are in pixels of the same image.

    Attributes:
        image_id: the image; the bootstrap resamples images.
        types: entity types of the phrase: none, one or several.
        gold_boxes: `[N, 4]`, N = 0 where annotators drew none.
        ranked_boxes: `[M, 4]`, best first; M = 0 for no answer.
        proposal_boxes: `[R, 4]`, all boxes that the answer was chosen from.
        point: x and y of the answer's point; None: the centre of the best box.

    Raises:
        EvaluationError: boxes of another shape, or values that are not finite.
    """

    image_id: str
    types: tuple[str, ...]
    gold_boxes: Array
    ranked_boxes: Array
    proposal_boxes: Array
    point: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        for name in ("gold_boxes", "ranked_boxes", "proposal_boxes"):
            boxes = float32_array(getattr(self, name))
            if boxes.size == 0:
                boxes = boxes.reshape(0, 4)
            if boxes.ndim != 2 or boxes.shape[1] != 4 or not np.isfinite(boxes).all():
                raise EvaluationError(
                    f"{name} of a phrase in {self.image_id!r} has shape {list(boxes.shape)}, expected finite [any, 4]."
                )
            object.__setattr__(self, name, boxes)
        if self.point is not None and not np.isfinite(self.point).all():
            raise EvaluationError(
                f"The point of a phrase in {self.image_id!r} is {self.point}, expected finite x and y."
            )


@dataclass(frozen=True, eq=False)
class GroundingScores:
    """Scores of M mentions of I images in the X metrics of `METRICS`, in percent.

    Attributes:
        estimates: percentage by metric.
        intervals: low and high percentage of the 95 % interval by metric; empty if not computed.
        by_type: percentages by entity type and metric, most frequent type first.
        phrases_by_type: number of mentions by entity type, in the same order.
        image_ids: the I images with a scored mention, in order of appearance.
        image_of_M: `[M]`, the index of each mention's image.
        types_of_M: the entity types of each mention.
        outcomes_MX: `[M, X]`, is the answer to the mention correct? Of a mean over runs, the share of runs in [0, 1].
        without_gold: number of mentions without a gold box, which are not scored.
        without_answer: number of scored mentions without an answer, which are wrong.
        rule: the convention of boxes.
    """

    estimates: Mapping[str, float]
    intervals: Mapping[str, tuple[float, float]]
    by_type: Mapping[str, Mapping[str, float]]
    phrases_by_type: Mapping[str, int]
    image_ids: tuple[str, ...]
    image_of_M: npt.NDArray[np.intp] = field(repr=False)
    types_of_M: tuple[tuple[str, ...], ...] = field(repr=False)
    outcomes_MX: Outcomes | Floats = field(repr=False)
    without_gold: int = 0
    without_answer: int = 0
    rule: BoxRule = CONTINUOUS_RULE

    @staticmethod
    def of_outcomes(
        image_ids: tuple[str, ...],
        image_of_M: npt.NDArray[np.intp],
        types_of_M: tuple[tuple[str, ...], ...],
        outcomes_MX: Outcomes | Floats,
    ) -> GroundingScores:
        """The scores that outcomes determine: all but `intervals`, `rule`, `without_gold` and `without_answer`."""
        phrases_by_type = dict(_most_frequent(name for types in types_of_M for name in set(types)))
        return GroundingScores(
            estimates=_percent(outcomes_MX),
            intervals={},
            by_type={name: _percent(outcomes_MX[[name in types for types in types_of_M]]) for name in phrases_by_type},
            phrases_by_type=phrases_by_type,
            image_ids=image_ids,
            image_of_M=image_of_M,
            types_of_M=types_of_M,
            outcomes_MX=outcomes_MX,
        )

    @property
    def images(self) -> int:
        """Number of images with at least one scored mention."""
        return len(self.image_ids)

    @property
    def phrases(self) -> int:
        """Number of scored mentions."""
        return len(self.types_of_M)

    def __getitem__(self, metric: str) -> float:
        """Percentage of one of `METRICS`."""
        return self.estimates[metric]

    def per_image(self) -> dict[str, PerImageMetric]:
        """Each of `METRICS` image by image, for paired comparisons."""
        sums_IY = _outcomes_and_counts(self.outcomes_MX, self.image_of_M)
        sums_IX, counts_I1 = sums_IY[:, :-1], sums_IY[:, -1:]
        return {
            metric: PerImageMetric(self.image_ids, sums_IX[:, x : x + 1], counts_I1) for x, metric in enumerate(METRICS)
        }

    def minus(self, other: GroundingScores) -> dict[str, PairedDifference]:
        """The paired differences from other scores on the same images, in percentage points, of the main metrics."""
        ours, others = self.per_image(), other.per_image()
        return {name: paired_difference(ours[name], others[name]) for name in ("recall_any@1", "pointing_any")}

    def to_dict(self) -> dict[str, object]:
        """The dictionary that `unboxed evaluate --json` prints; percentages are 0-100."""

        def recall(reading: str) -> dict[str, float]:
            return {str(k): _rounded(self.estimates[f"recall_{reading}@{k}"]) for k in RANKS}

        def interval(metric: str) -> list[float]:
            return [_rounded(bound) for bound in self.intervals[metric]]

        plain = ("pointing_any", "pointing_union", "upper_bound_any", "upper_bound_union")
        return {
            "photos": self.images,
            "phrases": self.phrases,
            **({} if self.rule == CONTINUOUS_RULE else {"boxes": str(self.rule)}),
            "upper_bound_any": _rounded(self.estimates["upper_bound_any"]),
            "upper_bound_union": _rounded(self.estimates["upper_bound_union"]),
            "recall_any": recall("any"),
            "recall_union": recall("union"),
            "pointing_any": _rounded(self.estimates["pointing_any"]),
            "pointing_union": _rounded(self.estimates["pointing_union"]),
            "by_type": {
                name: {
                    "phrases": self.phrases_by_type[name],
                    "recall_any": _rounded(percent["recall_any@1"]),
                    "pointing_any": _rounded(percent["pointing_any"]),
                }
                for name, percent in self.by_type.items()
            },
            "interval": {
                "recall_any": {str(k): interval(f"recall_any@{k}") for k in RANKS},
                "recall_union": {str(k): interval(f"recall_union@{k}") for k in RANKS},
                **{metric: interval(metric) for metric in plain},
            },
        }

    def table(self) -> Group:
        """Two tables for the terminal: all metrics with their intervals, and the entity types."""
        from rich import box
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        uncounted = f"; {self.without_gold:,} without a gold box are not counted" if self.without_gold else ""
        unanswered = f"; {self.without_answer:,} without an answer count as wrong" if self.without_answer else ""
        metrics = Table("metric", box=box.SIMPLE_HEAD)
        metrics.add_column("percent", justify="right", style="bold")
        metrics.add_column("95 % interval", justify="right", style="dim")
        for metric, (low, high) in self.intervals.items():
            end = metric in (f"recall_any@{RANKS[-1]}", f"recall_union@{RANKS[-1]}", "pointing_union")
            metrics.add_row(metric, f"{self.estimates[metric]:.1f}", f"{low:.1f} – {high:.1f}", end_section=end)
        types = Table("type", box=box.SIMPLE_HEAD)
        for heading in ("phrases", "recall_any@1", "pointing_any", "upper_bound_any"):
            types.add_column(heading, justify="right")
        for name, percent in self.by_type.items():
            shown = (f"{percent[metric]:.1f}" for metric in ("recall_any@1", "pointing_any", "upper_bound_any"))
            types.add_row(Text(name), f"{self.phrases_by_type[name]:,}", *shown)
        ruled = "" if self.rule == CONTINUOUS_RULE else f"; {self.rule}"
        scored = f"{counted(self.phrases, 'phrase')} of {counted(self.images, 'image')}{uncounted}{unanswered}{ruled}"
        return Group(scored, metrics, *([types] if self.by_type else []))


def score_grounding(
    mentions: Iterable[GroundedMention], *, seed: int = 0, resamples: int = 1000, rule: BoxRule = CONTINUOUS_RULE
) -> GroundingScores:
    """Scores mentions under all protocols of this module.

    Args:
        mentions: in any order; those without a gold box are not scored, only counted.
        seed: of the bootstrap; the same seed gives the same intervals.
        resamples: number of random samples of the bootstrap.
        rule: the convention of boxes.

    Raises:
        EvaluationError: no mention has a gold box.
    """
    scored, without_gold = with_gold(mentions)
    outcomes_MX = mention_outcomes(scored, rule)
    image_ids, image_of_M = images_of(mention.image_id for mention in scored)
    types_of_M = tuple(mention.types for mention in scored)
    return replace(
        GroundingScores.of_outcomes(image_ids, image_of_M, types_of_M, outcomes_MX),
        intervals=_intervals(outcomes_MX, image_of_M, seed, resamples),
        without_gold=without_gold,
        without_answer=sum(len(mention.ranked_boxes) == 0 for mention in scored),
        rule=rule,
    )


def mention_outcomes(mentions: Sequence[GroundedMention], rule: BoxRule = CONTINUOUS_RULE) -> Outcomes:
    """`[M, X]`: is mention m correct in metric x of `METRICS`? A mention without a gold box is wrong in all of them."""
    chunks = [_chunk_outcomes(mentions[start : start + _CHUNK], rule) for start in range(0, len(mentions), _CHUNK)]
    return np.concatenate(chunks) if chunks else np.zeros((0, len(METRICS)), dtype=np.bool_)


def mean_scores(runs: Sequence[GroundingScores]) -> GroundingScores:
    """The mean of several runs, such as seeds, on the same mentions; its outcomes are shares in [0, 1].

    The intervals of the mean are over images and do not include how the runs differ among themselves.

    Raises:
        EvaluationError: no runs, or runs on different mentions.
    """
    if not runs:
        raise EvaluationError("There are no scores to take the mean of; give at least one run's.")
    first = runs[0]
    for other in runs[1:]:
        _require_same_mentions(first, other)
    outcomes_MX = np.mean([run.outcomes_MX for run in runs], axis=0)
    return replace(
        GroundingScores.of_outcomes(first.image_ids, first.image_of_M, first.types_of_M, outcomes_MX),
        intervals=_intervals(outcomes_MX, first.image_of_M),
        without_gold=first.without_gold,
        without_answer=first.without_answer,
        rule=first.rule,
    )


def _require_same_mentions(first: GroundingScores, second: GroundingScores) -> None:
    same_images = [first.image_ids[i] for i in first.image_of_M] == [second.image_ids[i] for i in second.image_of_M]
    if not same_images or first.types_of_M != second.types_of_M:
        raise EvaluationError(
            f"Runs are averaged over the same phrases in the same order; the first has {first.phrases} of "
            f"{first.images} images, the second {second.phrases} of {second.images}. Evaluate both on the same split."
        )


def _chunk_outcomes(mentions: Sequence[GroundedMention], rule: BoxRule) -> Outcomes:
    """`mention_outcomes` of at most `_CHUNK` mentions. Boxes are padded with empty ones, which match nothing."""
    gold_MN4 = _padded([mention.gold_boxes for mention in mentions])
    union_M14 = _padded([enclosing(gold) if len(gold := mention.gold_boxes) else gold for mention in mentions])
    ranked_MK4 = _padded([mention.ranked_boxes[: max(RANKS)] for mention in mentions])
    proposals_MR4 = _padded([mention.proposal_boxes for mention in mentions])

    answered_M = np.array([len(mention.ranked_boxes) > 0 for mention in mentions])
    columns = {}
    point_M12 = centre(ranked_MK4[:, :1])
    for row_12, mention in zip(point_M12, mentions, strict=True):
        if mention.point is not None:
            row_12[0] = mention.point
    for reading, target in (("any", gold_MN4), ("union", union_M14)):
        hit_MK: Outcomes = np.any(rule.overlaps(ranked_MK4, target), axis=2)
        for k in RANKS:
            columns[f"recall_{reading}@{k}"] = hit_MK[:, :k].any(axis=1)
        columns[f"pointing_{reading}"] = answered_M & rule.inside(target, point_M12).any(axis=(1, 2))
        columns[f"upper_bound_{reading}"] = rule.overlaps(proposals_MR4, target).any(axis=(1, 2))
    return np.stack([columns[metric] for metric in METRICS], axis=1)


def _padded(boxes: Sequence[Array]) -> Floats:
    """`[M, longest, 4]`; padding is the empty box 0, 0, 0, 0."""
    padded = np.zeros((len(boxes), max(1, *map(len, boxes)), 4))
    for row, some in zip(padded, boxes, strict=True):
        row[: len(some)] = some
    return padded


def _intervals(
    outcomes_MX: Outcomes | Floats, image_of_M: npt.NDArray[np.intp], seed: int = 0, resamples: int = 1000
) -> dict[str, tuple[float, float]]:
    sums_IY = _outcomes_and_counts(outcomes_MX, image_of_M)

    def percent(times_SI: npt.NDArray[np.int64]) -> Floats:
        totals_SY = times_SI @ sums_IY
        return np.asarray(100 * totals_SY[:, :-1] / totals_SY[:, -1:])

    low_X, high_X = percentile_interval(bootstrap(percent, len(sums_IY), seed=seed, resamples=resamples))
    return {metric: (float(low_X[x]), float(high_X[x])) for x, metric in enumerate(METRICS)}


def _outcomes_and_counts(outcomes_MX: Outcomes | Floats, image_of_M: npt.NDArray[np.intp]) -> Floats:
    """`[I, X + 1]`: each image's sums of outcomes, and last its number of mentions."""
    return sums_per_image(np.column_stack([outcomes_MX, np.ones(len(outcomes_MX))]), image_of_M)


def _percent(outcomes_MX: Outcomes | Floats) -> dict[str, float]:
    return {metric: 100 * float(mean) for metric, mean in zip(METRICS, outcomes_MX.mean(axis=0), strict=True)}


def _most_frequent(names: Iterable[str]) -> list[tuple[str, int]]:
    return sorted(Counter(names).items(), key=lambda item: (-item[1], item[0]))


def _rounded(percent: float) -> float:
    return round(percent, 3)
