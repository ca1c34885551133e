"""Grounding scores under named protocols: recall, pointing and upper bound, in one pass.

A **mention** is one phrase of one caption. Every score is the share of mentions answered rightly, in percent (a micro
average: an image with more phrases weighs more). A mention's gold is read in two ways, and a number always carries
the name of its reading:

    any     the answer is right when it matches any one of the gold boxes
    union   the gold is the one box that encloses all of them

    recall_any@k, recall_union@k             one of the k best boxes has IoU >= 0.5 with the gold
    pointing_any, pointing_union             the centre of the best box lies strictly inside the gold
    upper_bound_any, upper_bound_union       one of all proposals has IoU >= 0.5 with the gold: what no ranking can pass

Edge cases, decided here and nowhere else:

* **Edges.** Boxes have continuous edges (see `types`): gold `xmin..xmax` of inclusive pixels is `xmin - 1, xmax`, so
  its width `x2 - x1` is the `xmax - xmin + 1` of codes with the "+ 1" convention. Nothing is added here.
* **IoU of exactly 0.5 is right.** Sums run in float64, so boxes of whole pixels meet it without rounding.
* **A centre on the edge of a gold box is wrong** (strictly inside); so is the common edge of two that touch.
* **A mention without gold box is not counted**; their number is reported as `without_gold`.
* **A mention without an answer is wrong, never dropped**: no ranked box, or an image whose regions are missing.
  Their number is reported as `without_answer`. Without proposals the upper bound is wrong too.
* **Fewer than k boxes**: those there are count; nothing is padded.
* **Ties** keep the order in which the boxes are given. **Duplicates** each take up a rank.
* **A box without area** has IoU 0 with everything and holds no point, yet it has a centre that may point rightly.
* **A mention with two entity types** counts once in all, and in both of its types; one without types, in all only.
* **Intervals** are 95 % percentile bootstraps over images, not mentions: mentions of one image err together.
  Images with at least one counted mention are drawn with replacement, each bringing all of its mentions.
  One image alone gives an interval without width: it says nothing about others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from unboxed.errors import EvaluationError
from unboxed.types import Array

if TYPE_CHECKING:
    from rich.console import Group

__all__ = [
    "METRICS",
    "RANKS",
    "GroundedMention",
    "GroundingScores",
    "PairedDifference",
    "mean_of_runs",
    "mention_outcomes",
    "paired_bootstrap",
    "score_grounding",
]

RANKS = (1, 5, 10)
METRICS = (
    *(f"recall_any@{k}" for k in RANKS),
    *(f"recall_union@{k}" for k in RANKS),
    "pointing_any",
    "pointing_union",
    "upper_bound_any",
    "upper_bound_union",
)
_IOU = 0.5
_CHUNK = 512  # mentions scored at once, resamples drawn at once: bounds the memory, not the result

Outcomes = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class GroundedMention:
    """A phrase of a caption, its gold boxes and the answer to it. Boxes are in pixels of the same image.

    Attributes:
        image_id: the image; intervals resample images.
        types: its entity types, none, one or several.
        gold_boxes: `[N, 4]`, N = 0 where annotators drew none.
        ranked_boxes: `[M, 4]`, best first; M = 0 for no answer.
        proposal_boxes: `[R, 4]`, all regions that could have been answered.

    Raises:
        EvaluationError: boxes of another shape, or values that are not finite.
    """

    image_id: str
    types: tuple[str, ...]
    gold_boxes: Array
    ranked_boxes: Array
    proposal_boxes: Array

    def __post_init__(self) -> None:
        for name in ("gold_boxes", "ranked_boxes", "proposal_boxes"):
            boxes = np.asarray(getattr(self, name), dtype=np.float32)
            if boxes.size == 0:
                boxes = boxes.reshape(0, 4)
            if boxes.ndim != 2 or boxes.shape[1] != 4 or not np.isfinite(boxes).all():
                raise EvaluationError(
                    f"{name} of a phrase in {self.image_id!r} has shape {list(boxes.shape)}, expected finite [any, 4]."
                )
            object.__setattr__(self, name, boxes)


@dataclass(frozen=True, eq=False)
class GroundingScores:
    """Scores of M mentions of I images in the X metrics of `METRICS`, in percent.

    Attributes:
        estimates: percent per metric.
        intervals: low and high percent of the 95 % interval per metric.
        by_type: percent per entity type and metric, most frequent type first.
        phrases_by_type: mentions per entity type, in the same order.
        image_ids: the I images with a counted mention, in order of appearance.
        image_of_M: `[M]` which image each mention is of.
        types_of_M: M tuples of entity types.
        outcomes_MX: `[M, X]` was the mention answered rightly?
        without_gold: mentions that have no gold box and are not counted.
        without_answer: counted mentions that got no box and are wrong.
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

    @staticmethod
    def of_outcomes(
        image_ids: tuple[str, ...],
        image_of_M: npt.NDArray[np.intp],
        types_of_M: tuple[tuple[str, ...], ...],
        outcomes_MX: Outcomes | Floats,
    ) -> GroundingScores:
        """The scores that follow from outcomes alone: all but intervals, and what was not counted."""
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
    def photos(self) -> int:
        """The number of images with at least one counted mention."""
        return len(self.image_ids)

    @property
    def phrases(self) -> int:
        """The number of counted mentions."""
        return len(self.types_of_M)

    def __getitem__(self, metric: str) -> float:
        """The percentage of one of `METRICS`."""
        return self.estimates[metric]

    def to_dict(self) -> dict[str, object]:
        """The plain dictionary that `unboxed evaluate --json` prints; percentages are 0-100."""

        def recall(reading: str) -> dict[str, float]:
            return {str(k): _rounded(self.estimates[f"recall_{reading}@{k}"]) for k in RANKS}

        def interval(metric: str) -> list[float]:
            return [_rounded(bound) for bound in self.intervals[metric]]

        plain = ("pointing_any", "pointing_union", "upper_bound_any", "upper_bound_union")
        return {
            "photos": self.photos,
            "phrases": self.phrases,
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

    def to_markdown(self) -> str:
        """Two Markdown tables: every metric with its interval, and the entity types."""
        counted = f"{self.phrases:,} phrases of {self.photos:,} photos"
        lines = [f"| metric | {counted} | 95 % interval |", "| --- | ---: | ---: |"]
        for metric, (low, high) in self.intervals.items():
            lines.append(f"| `{metric}` | {self.estimates[metric]:.1f} | {low:.1f} – {high:.1f} |")
        if self.by_type:
            lines += ["", "| type | phrases | `recall_any@1` | `pointing_any` |", "| --- | ---: | ---: | ---: |"]
        for name, percent in self.by_type.items():
            recall, pointing = percent["recall_any@1"], percent["pointing_any"]
            lines.append(f"| {name} | {self.phrases_by_type[name]:,} | {recall:.1f} | {pointing:.1f} |")
        return "\n".join(lines) + "\n"

    def table(self) -> Group:
        """Every metric with its interval, and the entity types, as two tables for the terminal."""
        from rich import box
        from rich.console import Group
        from rich.table import Table

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
            types.add_row(name, f"{self.phrases_by_type[name]:,}", *shown)
        counted = f"{self.phrases:,} phrases of {self.photos:,} images{uncounted}{unanswered}"
        return Group(counted, metrics, *([types] if self.by_type else []))


@dataclass(frozen=True)
class PairedDifference:
    """How much better one grounder does than another on the same mentions.

    Attributes:
        difference: first minus second, in points.
        low, high: the 95 % interval of the difference, in points.
        share_better: in [0, 1], the share of resamples in which the first is better; ties count half.
    """

    difference: float
    low: float
    high: float
    share_better: float


def score_grounding(mentions: Iterable[GroundedMention], *, seed: int = 0, resamples: int = 1000) -> GroundingScores:
    """Scores mentions under every protocol of this module at once.

    Args:
        mentions: in any order; those without gold box are left out and counted.
        seed: of the bootstrap; the same seed gives the same intervals.
        resamples: how many times the images are drawn anew.

    Raises:
        EvaluationError: not one mention has a gold box.
    """
    given = list(mentions)
    counted = [mention for mention in given if len(mention.gold_boxes)]
    if not counted:
        raise EvaluationError(
            f"None of the {len(given)} phrases has a gold box, so nothing can be scored; "
            "evaluate on a split whose annotations have boxes."
        )
    outcomes_MX = mention_outcomes(counted)
    image_ids = tuple(dict.fromkeys(mention.image_id for mention in counted))
    position = {image_id: i for i, image_id in enumerate(image_ids)}
    image_of_M = np.array([position[mention.image_id] for mention in counted], dtype=np.intp)

    resampled_SX = _resampled_means(_sums_per_image(outcomes_MX, image_of_M), seed, resamples)
    low_X, high_X = np.percentile(resampled_SX, [2.5, 97.5], axis=0)
    types_of_M = tuple(mention.types for mention in counted)
    return replace(
        GroundingScores.of_outcomes(image_ids, image_of_M, types_of_M, outcomes_MX),
        intervals={metric: (float(low_X[x]), float(high_X[x])) for x, metric in enumerate(METRICS)},
        without_gold=len(given) - len(counted),
        without_answer=sum(len(mention.ranked_boxes) == 0 for mention in counted),
    )


def mention_outcomes(mentions: Sequence[GroundedMention]) -> Outcomes:
    """`[M, X]`: is mention m right in metric x of `METRICS`? A mention without gold box is wrong in all of them."""
    chunks = [_chunk_outcomes(mentions[start : start + _CHUNK]) for start in range(0, len(mentions), _CHUNK)]
    return np.concatenate(chunks) if chunks else np.zeros((0, len(METRICS)), dtype=np.bool_)


def mean_of_runs(runs: Sequence[GroundingScores], *, seed: int = 0, resamples: int = 1000) -> GroundingScores:
    """Several runs (seeds) on the same mentions as one whose outcomes are their means, in [0, 1].

    The intervals are over images, as everywhere; how the runs differ among themselves is not in them.

    Raises:
        EvaluationError: the scores are of different mentions, or there are none.
    """
    if not runs:
        raise EvaluationError("There are no scores to take the mean of; give at least one run's.")
    first = runs[0]
    for other in runs[1:]:
        _require_same_mentions(first, other)
    outcomes_MX = np.mean([run.outcomes_MX for run in runs], axis=0)
    resampled_SX = _resampled_means(_sums_per_image(outcomes_MX, first.image_of_M), seed, resamples)
    low_X, high_X = np.percentile(resampled_SX, [2.5, 97.5], axis=0)
    return replace(
        first,
        estimates=_percent(outcomes_MX),
        intervals={metric: (float(low_X[x]), float(high_X[x])) for x, metric in enumerate(METRICS)},
        by_type={name: _percent(outcomes_MX[[name in types for types in first.types_of_M]]) for name in first.by_type},
        outcomes_MX=outcomes_MX,
    )


def paired_bootstrap(
    first: GroundingScores, second: GroundingScores, *, seed: int = 0, resamples: int = 1000
) -> dict[str, PairedDifference]:
    """Compares two grounders on the same mentions: per metric the difference and its 95 % interval over images.

    The same images are drawn for both, so what is hard for both cancels out and small differences show.

    Raises:
        EvaluationError: the scores are of different mentions, or of the same ones in another order.
    """
    _require_same_mentions(first, second)
    change_MX = first.outcomes_MX.astype(np.float64) - second.outcomes_MX
    resampled_SX = _resampled_means(_sums_per_image(change_MX, first.image_of_M), seed, resamples)
    low_X, high_X = np.percentile(resampled_SX, [2.5, 97.5], axis=0)
    better_X = (resampled_SX > 0).mean(axis=0) + (resampled_SX == 0).mean(axis=0) / 2
    return {
        metric: PairedDifference(
            difference=first[metric] - second[metric],
            low=float(low_X[x]),
            high=float(high_X[x]),
            share_better=float(better_X[x]),
        )
        for x, metric in enumerate(METRICS)
    }


def _require_same_mentions(first: GroundingScores, second: GroundingScores) -> None:
    same_images = [first.image_ids[i] for i in first.image_of_M] == [second.image_ids[i] for i in second.image_of_M]
    if not same_images or first.types_of_M != second.types_of_M:
        raise EvaluationError(
            f"A paired comparison needs the same phrases in the same order; the first has {first.phrases} of "
            f"{first.photos} images, the second {second.phrases} of {second.photos}. Evaluate both on the same split."
        )


def _chunk_outcomes(mentions: Sequence[GroundedMention]) -> Outcomes:
    """`mention_outcomes` of a few mentions: boxes padded with empty ones, which match nothing."""
    gold_MN4 = _padded([mention.gold_boxes for mention in mentions])
    union_M14 = _padded([_enclosing(mention.gold_boxes) for mention in mentions])
    ranked_MK4 = _padded([mention.ranked_boxes[: max(RANKS)] for mention in mentions])
    proposals_MR4 = _padded([mention.proposal_boxes for mention in mentions])

    answered_M = np.array([len(mention.ranked_boxes) > 0 for mention in mentions])
    columns = {}
    for reading, target in (("any", gold_MN4), ("union", union_M14)):
        hit_MK = _overlaps(ranked_MK4, target)
        for k in RANKS:
            columns[f"recall_{reading}@{k}"] = hit_MK[:, :k].any(axis=1)
        columns[f"pointing_{reading}"] = answered_M & _holds_centre(target, ranked_MK4[:, 0])
        columns[f"upper_bound_{reading}"] = _overlaps(proposals_MR4, target).any(axis=1)
    return np.stack([columns[metric] for metric in METRICS], axis=1)


def _padded(boxes: Sequence[Array]) -> Floats:
    """`[M, longest, 4]`; padding is the empty box 0, 0, 0, 0."""
    padded = np.zeros((len(boxes), max(1, *(len(own) for own in boxes)), 4))
    for row, own in zip(padded, boxes, strict=True):
        row[: len(own)] = own
    return padded


def _enclosing(boxes: Array) -> Array:
    return np.concatenate([boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)])[None] if len(boxes) else boxes


def _overlaps(boxes_MK4: Floats, gold_MN4: Floats) -> Outcomes:
    """`[M, K]`: has the box IoU >= 0.5 with one of its mention's gold boxes?"""
    low = np.maximum(boxes_MK4[:, :, None, :2], gold_MN4[:, None, :, :2])
    high = np.minimum(boxes_MK4[:, :, None, 2:], gold_MN4[:, None, :, 2:])
    intersection_MKN = np.clip(high - low, 0, None).prod(axis=3)
    union_MKN = _area(boxes_MK4)[:, :, None] + _area(gold_MN4)[:, None, :] - intersection_MKN
    hit_MKN: Outcomes = (intersection_MKN >= _IOU * union_MKN) & (union_MKN > 0)
    hit_MK: Outcomes = np.any(hit_MKN, axis=2)
    return hit_MK


def _area(boxes: Floats) -> Floats:
    area: Floats = np.clip(boxes[..., 2:] - boxes[..., :2], 0, None).prod(axis=-1)
    return area


def _holds_centre(gold_MN4: Floats, best_M4: Floats) -> Outcomes:
    """`[M]`: does the centre of the best box lie strictly inside one of the gold boxes?"""
    centre_M12 = (best_M4[:, None, :2] + best_M4[:, None, 2:]) / 2
    inside_MN2: Outcomes = (centre_M12 > gold_MN4[..., :2]) & (centre_M12 < gold_MN4[..., 2:])
    inside_M: Outcomes = np.any(inside_MN2.all(axis=2), axis=1)
    return inside_M


def _sums_per_image(values_MX: Floats | Outcomes, image_of_M: npt.NDArray[np.intp]) -> Floats:
    """`[I, X + 1]`: each photograph's sum of values, and last its number of mentions."""
    with_count = np.concatenate([values_MX.astype(np.float64), np.ones((len(values_MX), 1))], axis=1)
    sums: Floats = np.zeros((int(image_of_M.max()) + 1, with_count.shape[1]))
    np.add.at(sums, image_of_M, with_count)
    return sums


def _resampled_means(sums_IX: Floats, seed: int, resamples: int) -> Floats:
    """`[S, X]` percentages of S draws of I images with replacement: a draw is how often each was drawn."""
    generator, images = np.random.default_rng(seed), len(sums_IX)
    totals = []
    for start in range(0, resamples, _CHUNK):
        drawn_SI = generator.multinomial(images, np.full(images, 1 / images), size=min(_CHUNK, resamples - start))
        totals.append(drawn_SI @ sums_IX)
    totals_SX = np.concatenate(totals)
    percent_SX: Floats = 100 * totals_SX[:, :-1] / totals_SX[:, -1:]
    return percent_SX


def _percent(outcomes_MX: Outcomes | Floats) -> dict[str, float]:
    return {metric: 100 * float(mean) for metric, mean in zip(METRICS, outcomes_MX.mean(axis=0), strict=True)}


def _most_frequent(names: Iterable[str]) -> list[tuple[str, int]]:
    return sorted(Counter(names).items(), key=lambda item: (-item[1], item[0]))


def _rounded(percent: float) -> float:
    return round(percent, 3)
