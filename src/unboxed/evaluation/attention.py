"""Attention precision, recall and F1: does a word attend to the regions that show what it means?

For one word, with attention weights over the R regions of its image:

    attended   the regions whose weight is above a threshold
    relevant   the regions whose IoU with a gold box of the word's phrase reaches a threshold
    precision  the share of the attended regions that are relevant; 0 when no region is attended
    recall     the share of the relevant regions that are attended
    F1         2 P R / (P + R); 0 when both are 0

Chen et al., WACV 2023, introduced the three metrics. Their protocol could not be checked, so **these numbers are not
comparable with theirs**. Every parameter is in `AttentionProtocol`, which is printed with the result. Two F1 scores are
reported because they differ: the F1 of the mean precision and the mean recall, and the mean of the F1 of the words.

A word without a relevant region is *unreachable*: no attention can be correct. A word without a gold box cannot be
scored. Both are counted. All values are percentages.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from unboxed.boxes import enclosing
from unboxed.errors import EvaluationError
from unboxed.evaluation.attention_protocol import AttentionProtocol, AveragedOver, ThresholdUnit
from unboxed.evaluation.bootstrap import (
    Floats,
    PerImageMetric,
    bootstrap,
    images_of,
    percentile_interval,
    sums_per_image,
)
from unboxed.evaluation.box_rules import BoxRule
from unboxed.types import Array, float32_array

__all__ = [
    "ATTENTION_METRICS",
    "AttendedWord",
    "AttentionScores",
    "CurvePoint",
    "NoScoredWordError",
    "attention_per_image",
    "score_attention",
]

ATTENTION_METRICS = ("precision", "recall", "f1_of_means", "mean_f1")
"""The names of the attention metrics, as defined at the top of this module."""

# Relative. In single precision, uniform weights may be this far above the uniform level; they are not attended.
_TOLERANCE = 1e-6


@dataclass(frozen=True, eq=False)
class AttendedWord:
    """One word of a phrase and its attention weights.

    Attributes:
        image_id: the image; the bootstrap resamples images.
        phrase: identifies the word's phrase among the phrases of all captions of the image, for means over phrases.
        weights_R: attention weights over the R regions of the image, at least 0.
        boxes_R4: the regions.
        gold_boxes_N4: gold boxes of the phrase; N may be 0.
        is_last, is_noun: for protocols that score such words only.

    Raises:
        EvaluationError: shapes that do not agree, or weights that are negative or not finite.
    """

    image_id: str
    phrase: Hashable
    weights_R: Array
    boxes_R4: Array
    gold_boxes_N4: Array
    is_last: bool = True
    is_noun: bool = True

    def __post_init__(self) -> None:
        weights_R = float32_array(self.weights_R)
        boxes_R4 = float32_array(self.boxes_R4).reshape(-1, 4)
        gold_boxes_N4 = float32_array(self.gold_boxes_N4).reshape(-1, 4)
        if weights_R.shape != (len(boxes_R4),):
            raise EvaluationError(
                f"A word of {self.image_id!r} has weights of shape {list(weights_R.shape)} for {len(boxes_R4)} "
                "regions; give one weight for each region, without padding."
            )
        if not (np.isfinite(weights_R).all() and (weights_R >= 0).all()):
            raise EvaluationError(
                f"A word of {self.image_id!r} has weights that are negative or not finite; give attention, not logits."
            )
        for name, array in (("weights_R", weights_R), ("boxes_R4", boxes_R4), ("gold_boxes_N4", gold_boxes_N4)):
            object.__setattr__(self, name, array)


@dataclass(frozen=True)
class CurvePoint:
    """The metrics at one attention threshold, in percent; see `ATTENTION_METRICS`."""

    threshold: float
    precision: float
    recall: float
    f1_of_means: float
    mean_f1: float


@dataclass(frozen=True, eq=False)
class AttentionScores:
    """Attention precision, recall and F1 under one protocol, in percent.

    Attributes:
        protocol: all parameters.
        estimates: percentage by metric of `ATTENTION_METRICS`, at the protocol's threshold.
        intervals: low and high percentage of the 95 % bootstrap interval over images, by metric.
        curve: one point for each of the protocol's thresholds.
        words: number of scored words.
        images: number of images with a scored word.
        unreachable: number of words with a gold box and without a relevant region.
        without_gold: number of words without a gold box.
        attending_to_nothing: number of scored words without a weight above the threshold; their precision is 0.
    """

    protocol: AttentionProtocol
    estimates: Mapping[str, float]
    intervals: Mapping[str, tuple[float, float]]
    curve: tuple[CurvePoint, ...] = field(repr=False)
    words: int
    images: int
    unreachable: int
    without_gold: int
    attending_to_nothing: int

    def __getitem__(self, metric: str) -> float:
        """Percentage of one of `ATTENTION_METRICS`."""
        return self.estimates[metric]

    def __str__(self) -> str:
        return (
            f"precision {self['precision']:.1f} %, recall {self['recall']:.1f} %, mean F1 {self['mean_f1']:.1f} % "
            f"({self.protocol})"
        )

    @property
    def best(self) -> CurvePoint:
        """The point of the curve with the largest F1 of means; the lowest threshold of equal ones.

        The threshold is selected on the words that it is evaluated on, so the value is an upper limit for this
        attention, not an estimate for other images.
        """
        return max(self.curve, key=lambda point: point.f1_of_means)

    def to_dict(self) -> dict[str, object]:
        """A plain dictionary for JSON; percentages are 0–100."""
        return {
            "protocol": asdict(self.protocol),
            **{metric: round(value, 3) for metric, value in self.estimates.items()},
            "interval": {metric: [round(bound, 3) for bound in both] for metric, both in self.intervals.items()},
            "curve": [{name: round(value, 3) for name, value in asdict(point).items()} for point in self.curve],
            "best_f1_of_means": {name: round(value, 3) for name, value in asdict(self.best).items()},
            "words": self.words,
            "photos": self.images,
            "unreachable": self.unreachable,
            "without_gold": self.without_gold,
            "attending_to_nothing": self.attending_to_nothing,
        }


class NoScoredWordError(EvaluationError):
    """No word has a gold box that a region covers, so that attention has no scores."""


def score_attention(
    words: Iterable[AttendedWord],
    protocol: AttentionProtocol | None = None,
    *,
    seed: int = 0,
    resamples: int = 1000,
) -> AttentionScores:
    """Scores the attention of words to the regions of the images that their captions are paired with.

    Args:
        words: in any order.
        protocol: all parameters; the default ones when None.
        seed: of the bootstrap; the same seed gives the same intervals.
        resamples: number of random samples of the bootstrap.

    Raises:
        NoScoredWordError: no word can be scored.
    """
    protocol = protocol if protocol is not None else AttentionProtocol()
    scored = _scored(words, protocol, np.array([protocol.attention_threshold, *protocol.thresholds]))
    if not scored.words:
        raise NoScoredWordError(
            f"None of {scored.given} words can be scored: {scored.without_gold} have no gold box and for "
            f"{scored.given - scored.without_gold} no region has an IoU of {protocol.iou_threshold:g} with one; "
            "evaluate on a split whose annotations have boxes, with regions that cover them."
        )
    values_NT3, image_of_N = _averaged(scored, protocol.average_over)
    means_TX = _metrics(values_NT3.mean(axis=0))
    low_X, high_X = percentile_interval(_resampled(values_NT3[:, 0], image_of_N, seed, resamples))
    return AttentionScores(
        protocol=protocol,
        estimates={metric: float(means_TX[0, x]) for x, metric in enumerate(ATTENTION_METRICS)},
        intervals={metric: (float(low_X[x]), float(high_X[x])) for x, metric in enumerate(ATTENTION_METRICS)},
        curve=tuple(
            CurvePoint(threshold, *(float(value) for value in means_X))
            for threshold, means_X in zip(protocol.thresholds, means_TX[1:], strict=True)
        ),
        words=len(scored.words),
        images=len(scored.image_ids),
        unreachable=scored.unreachable,
        without_gold=scored.without_gold,
        attending_to_nothing=int((scored.attended_MT[:, 0] == 0).sum()),
    )


def attention_per_image(
    words: Iterable[AttendedWord], protocol: AttentionProtocol | None = None
) -> dict[str, PerImageMetric]:
    """`attention_precision`, `attention_recall` and `attention_f1` (the mean F1 of words), image by image.

    Empty where no word can be scored.

    Raises:
        EvaluationError: a protocol that does not average over words.
    """
    protocol = protocol if protocol is not None else AttentionProtocol()
    if protocol.average_over != "words":
        raise EvaluationError(f"A metric per image is an average over words, not over {protocol.average_over}.")
    scored = _scored(words, protocol, np.array([protocol.attention_threshold]))
    if not scored.words:
        return {}
    sums_I3 = sums_per_image(scored.values_MT3[:, 0], scored.image_of_M)
    counts_I1 = np.bincount(scored.image_of_M).astype(np.float64)[:, None]
    return {
        f"attention_{name}": PerImageMetric(scored.image_ids, sums_I3[:, x : x + 1], counts_I1)
        for x, name in enumerate(("precision", "recall", "f1"))
    }


class _Scored(NamedTuple):
    """The M scored words at T thresholds.

    Attributes:
        words: the scored ones.
        values_MT3: precision, recall and F1 in [0, 1].
        attended_MT: number of attended regions.
        image_ids, image_of_M: the images in order of appearance, and the index of each word's image.
        given: number of words that the protocol selects.
        without_gold, unreachable: see `AttentionScores`.
    """

    words: list[AttendedWord]
    values_MT3: Floats
    attended_MT: npt.NDArray[np.intp]
    image_ids: tuple[str, ...]
    image_of_M: npt.NDArray[np.intp]
    given: int
    without_gold: int
    unreachable: int


def _scored(words: Iterable[AttendedWord], protocol: AttentionProtocol, thresholds_T: Floats) -> _Scored:
    given = without_gold = unreachable = 0
    scored, values, attended = [], [], []
    for word in words:
        if not _is_selected(word, protocol):
            continue
        given += 1
        if not len(word.gold_boxes_N4):
            without_gold += 1
            continue
        relevant_R = _relevant(word, protocol)
        if not relevant_R.any():
            unreachable += 1
            if protocol.unreachable == "left out":
                continue
        values_T3, attended_T = _outcome(word.weights_R, relevant_R, thresholds_T, protocol.threshold_unit)
        scored.append(word)
        values.append(values_T3)
        attended.append(attended_T)
    image_ids, image_of_M = images_of(word.image_id for word in scored)
    return _Scored(
        scored,
        np.array(values).reshape(len(scored), len(thresholds_T), 3),
        np.array(attended).reshape(len(scored), len(thresholds_T)),
        image_ids,
        image_of_M,
        given,
        without_gold,
        unreachable,
    )


def _is_selected(word: AttendedWord, protocol: AttentionProtocol) -> bool:
    return {"all": True, "last": word.is_last, "nouns": word.is_noun}[protocol.words]


def _relevant(word: AttendedWord, protocol: AttentionProtocol) -> npt.NDArray[np.bool_]:
    """`[R]`: is the region relevant to the word?"""
    gold = word.gold_boxes_N4 if protocol.gold == "any" else enclosing(word.gold_boxes_N4)
    overlap = BoxRule(protocol.boxes).intersection_over_union(word.boxes_R4, gold)
    least = protocol.iou_threshold
    relevant_R: npt.NDArray[np.bool_] = np.any(
        overlap >= least if protocol.overlap == "at-least" else overlap > least, axis=1
    )
    return relevant_R


def _outcome(
    weights_R: Array, relevant_R: npt.NDArray[np.bool_], thresholds_T: Floats, unit: ThresholdUnit
) -> tuple[Floats, npt.NDArray[np.intp]]:
    """Precision, recall and F1 `[T, 3]` of one word, and its number of attended regions `[T]`, at each threshold."""
    level_T = thresholds_T / len(weights_R) if unit == "uniform" and len(weights_R) else thresholds_T
    attended_TR = weights_R[None] > level_T[:, None] * (1 + _TOLERANCE)
    hits_T = (attended_TR & relevant_R).sum(axis=1)
    attended_T, relevant = attended_TR.sum(axis=1), relevant_R.sum()
    precision_T = hits_T / np.maximum(attended_T, 1)
    recall_T = hits_T / max(relevant, 1)
    f1_T = 2 * hits_T / np.maximum(attended_T + relevant, 1)  # equals 2 P R / (P + R), and is 0 without hits
    return np.stack([precision_T, recall_T, f1_T], axis=1), attended_T


def _averaged(scored: _Scored, over: AveragedOver) -> tuple[Floats, npt.NDArray[np.intp]]:
    """Values `[N, T, 3]` of the N words, phrases or images that are averaged, and the index `[N]` of their images."""
    if over == "words":
        return scored.values_MT3, scored.image_of_M
    keys = [
        (image, word.phrase if over == "phrases" else None)
        for image, word in zip(scored.image_of_M.tolist(), scored.words, strict=True)
    ]
    position = {key: n for n, key in enumerate(dict.fromkeys(keys))}
    group_of_M = np.array([position[key] for key in keys], dtype=np.intp)
    sums_NT3 = np.zeros((len(position), *scored.values_MT3.shape[1:]))
    np.add.at(sums_NT3, group_of_M, scored.values_MT3)
    means_NT3: Floats = sums_NT3 / np.bincount(group_of_M)[:, None, None]
    return means_NT3, np.array([image for image, _ in position], dtype=np.intp)


def _metrics(means: Floats) -> Floats:
    """Mean precision, recall and F1 `[..., 3]` to the percentages of `ATTENTION_METRICS` `[..., 4]`."""
    precision, recall, mean_f1 = means[..., 0], means[..., 1], means[..., 2]
    f1_of_means = 2 * precision * recall / np.maximum(precision + recall, np.finfo(np.float64).tiny)
    metrics: Floats = 100 * np.stack([precision, recall, f1_of_means, mean_f1], axis=-1)
    return metrics


def _resampled(values_N3: Floats, image_of_N: npt.NDArray[np.intp], seed: int, resamples: int) -> Floats:
    """`[S, 4]`, `ATTENTION_METRICS` on S random samples of the images."""
    sums_I4 = sums_per_image(np.column_stack([values_N3, np.ones(len(values_N3))]), image_of_N)

    def metrics(times_SI: npt.NDArray[np.int64]) -> Floats:
        totals_S4 = times_SI @ sums_I4
        return _metrics(totals_S4[:, :3] / totals_S4[:, 3:])

    return bootstrap(metrics, len(sums_I4), seed=seed, resamples=resamples)
