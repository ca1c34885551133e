"""Attention precision, recall and F1: does a word attend to the regions that show what it means?

For one word, with weights over the R regions of its own photograph:

    attended   the regions whose weight is above a threshold
    relevant   the regions whose IoU with a gold box of the word's phrase reaches a threshold
    precision  the share of the attended regions that are relevant; 0 when nothing is attended
    recall     the share of the relevant regions that are attended
    F1         2 P R / (P + R); 0 when both are

The three numbers were introduced by Chen et al., WACV 2023. Their protocol could not be checked, so **these numbers
are not comparable with theirs**; every choice is named in `AttentionProtocol` and printed with the result. Two F1 are
given, since they differ: that of the mean precision and mean recall, and the mean of the words' own.

A word without a relevant region is unreachable: no attention can be right about it. A word without gold box says
nothing about attention and is left out. Both are counted. All values are percentages.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from unboxed.boxes import enclosing, iou
from unboxed.errors import EvaluationError
from unboxed.types import Array

__all__ = [
    "ATTENTION_METRICS",
    "AttendedWord",
    "AttentionProtocol",
    "AttentionScores",
    "CurvePoint",
    "score_attention",
]

ATTENTION_METRICS = ("precision", "recall", "f1_of_means", "mean_f1")

_Floats = npt.NDArray[np.float64]
_RESAMPLES_AT_ONCE = 256
_ROUNDING = (
    1e-6  # relative: weights that are uniform but for single precision's rounding are not above the uniform level
)

ThresholdUnit = Literal["uniform", "absolute"]
GoldReading = Literal["any", "union"]
CountedWords = Literal["all", "last", "nouns"]
AveragedOver = Literal["words", "phrases", "photos"]
Unreachable = Literal["left out", "counted as 0"]


@dataclass(frozen=True)
class AttentionProtocol:
    """Every choice that the numbers depend on.

    Attributes:
        attention_threshold: a region is attended when its weight is above it (strictly).
        threshold_unit: `uniform`, the threshold is in units of 1/R, what each region has when none is preferred;
            `absolute`, it is a weight in [0, 1].
        iou_threshold: a region is relevant from this IoU on.
        gold: relevant to `any` of the gold boxes, or to the one that encloses all of them (`union`).
        words: which words of a phrase count: `all`, the `last`, or `nouns`.
        average_over: `words`, each weighs the same; `phrases` or `photos`, whose own means weigh the same.
        unreachable: words without relevant region are `left out`, or `counted as 0`.
        thresholds: of the precision–recall curve, in the same unit.

    Raises:
        EvaluationError: an unknown choice, or a curve without threshold.
    """

    attention_threshold: float = 1.0
    threshold_unit: ThresholdUnit = "uniform"
    iou_threshold: float = 0.5
    gold: GoldReading = "any"
    words: CountedWords = "all"
    average_over: AveragedOver = "words"
    unreachable: Unreachable = "left out"
    thresholds: tuple[float, ...] = (0, 0.25, 0.5, 0.75, 1, 1.25, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10, 15)

    def __post_init__(self) -> None:
        for name, options in (
            ("threshold_unit", ThresholdUnit),
            ("gold", GoldReading),
            ("words", CountedWords),
            ("average_over", AveragedOver),
            ("unreachable", Unreachable),
        ):
            if getattr(self, name) not in get_args(options):
                raise EvaluationError(
                    f"AttentionProtocol.{name} is one of {get_args(options)}, not {getattr(self, name)!r}."
                )
        if not self.thresholds:
            raise EvaluationError("AttentionProtocol.thresholds is empty; a curve needs at least one threshold.")

    def __str__(self) -> str:
        unit = " / R" if self.threshold_unit == "uniform" else ""
        gold = "any gold box" if self.gold == "any" else "the box around all gold boxes"
        words = {"all": "all words", "last": "the last word", "nouns": "the nouns"}[self.words]
        return (
            f"attention > {self.attention_threshold:g}{unit}, IoU ≥ {self.iou_threshold:g} with {gold}, {words} of "
            f"each phrase, mean over {self.average_over}, unreachable words {self.unreachable}"
        )


@dataclass(frozen=True, eq=False)
class AttendedWord:
    """One word of a phrase and what it attends to.

    Attributes:
        image_id: of the image, for the bootstrap.
        phrase: of the word, for averages over phrases; different for different mentions of one image.
        weights_R: attention over the photograph's R regions.
        boxes_R4: the regions.
        gold_boxes_N4: of the phrase; N may be 0.
        is_last, is_noun: for protocols that count such words only.

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
        weights_R = np.asarray(self.weights_R, dtype=np.float32)
        boxes_R4 = np.asarray(self.boxes_R4, dtype=np.float32).reshape(-1, 4)
        gold_boxes_N4 = np.asarray(self.gold_boxes_N4, dtype=np.float32).reshape(-1, 4)
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
    """What one attention threshold gives, in percent; see `ATTENTION_METRICS`."""

    threshold: float
    precision: float
    recall: float
    f1_of_means: float
    mean_f1: float


@dataclass(frozen=True, eq=False)
class AttentionScores:
    """Attention precision, recall and F1 under one protocol, in percent.

    Attributes:
        protocol: all choices.
        estimates: percent per metric of `ATTENTION_METRICS`, at the protocol's threshold.
        intervals: low and high percent of the 95 % bootstrap interval over images, per metric.
        curve: one point for each of the protocol's thresholds.
        words: that count.
        photos: with a word that counts.
        unreachable: words with gold box but without relevant region.
        without_gold: words without gold box.
        attending_to_nothing: counted words without a weight above the threshold; their precision is 0.
    """

    protocol: AttentionProtocol
    estimates: Mapping[str, float]
    intervals: Mapping[str, tuple[float, float]]
    curve: tuple[CurvePoint, ...] = field(repr=False)
    words: int
    photos: int
    unreachable: int
    without_gold: int
    attending_to_nothing: int

    def __getitem__(self, metric: str) -> float:
        """The percentage of one of `ATTENTION_METRICS`."""
        return self.estimates[metric]

    @property
    def best(self) -> CurvePoint:
        """The point of the curve with the largest F1 of means; the lowest threshold of equal ones.

        The threshold is chosen on the words it is measured on, so this is what attention could reach, not a forecast.
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
            "photos": self.photos,
            "unreachable": self.unreachable,
            "without_gold": self.without_gold,
            "attending_to_nothing": self.attending_to_nothing,
        }

    def to_markdown(self) -> str:
        """A Markdown table of the metrics with their intervals, and the protocol beneath it."""
        lines = [
            f"| attention | {self.words:,} words of {self.photos:,} images | 95 % interval |",
            "| --- | ---: | ---: |",
        ]
        for metric, (low, high) in self.intervals.items():
            lines.append(f"| `{metric}` | {self.estimates[metric]:.1f} | {low:.1f} – {high:.1f} |")
        unit = " / R" if self.protocol.threshold_unit == "uniform" else ""
        lines += [
            "",
            f"Protocol: {self.protocol}. Best `f1_of_means` of the curve: {self.best.f1_of_means:.1f} at "
            f"{self.best.threshold:g}{unit}. Unreachable words: {self.unreachable:,}; without gold box: "
            f"{self.without_gold:,}; attending to nothing: {self.attending_to_nothing:,}.",
        ]
        return "\n".join(lines)


def score_attention(
    words: Iterable[AttendedWord],
    protocol: AttentionProtocol | None = None,
    *,
    seed: int = 0,
    resamples: int = 1000,
) -> AttentionScores:
    """Scores words' attention to the regions of their own images.

    Args:
        words: of matched pairs, in any order.
        protocol: all choices; the default ones when not given.
        seed: of the bootstrap; the same seed gives the same intervals.
        resamples: how many times the images are drawn anew.

    Raises:
        EvaluationError: no word counts.
    """
    protocol = protocol if protocol is not None else AttentionProtocol()
    asked = [word for word in words if _is_asked(word, protocol)]
    with_gold = [word for word in asked if len(word.gold_boxes_N4)]
    relevant = [_relevant(word, protocol) for word in with_gold]
    reachable = [bool(own.any()) for own in relevant]
    counted = [
        (word, own)
        for word, own, reached in zip(with_gold, relevant, reachable, strict=True)
        if reached or protocol.unreachable == "counted as 0"
    ]
    if not counted:
        raise EvaluationError(
            f"None of {len(asked)} words can be scored: {len(asked) - len(with_gold)} have no gold box and for "
            f"{len(with_gold)} no region has IoU ≥ {protocol.iou_threshold:g} with one; evaluate on a split whose "
            "annotations have boxes, with regions that cover them."
        )
    thresholds_T = np.array([protocol.attention_threshold, *protocol.thresholds])
    outcomes = [_outcome(word.weights_R, own, thresholds_T, protocol.threshold_unit) for word, own in counted]
    values_MT3, attended_MT = np.stack([o[0] for o in outcomes]), np.stack([o[1] for o in outcomes])

    images = {image_id: i for i, image_id in enumerate(dict.fromkeys(word.image_id for word, _ in counted))}
    values_UT3, image_of_U = _units([word for word, _ in counted], values_MT3, images, protocol.average_over)
    means_TX = _metrics(values_UT3.mean(axis=0))
    low_X, high_X = np.percentile(_resampled(values_UT3[:, 0], image_of_U, seed, resamples), [2.5, 97.5], axis=0)
    return AttentionScores(
        protocol=protocol,
        estimates={metric: float(means_TX[0, x]) for x, metric in enumerate(ATTENTION_METRICS)},
        intervals={metric: (float(low_X[x]), float(high_X[x])) for x, metric in enumerate(ATTENTION_METRICS)},
        curve=tuple(
            CurvePoint(threshold, *(float(value) for value in means_X))
            for threshold, means_X in zip(protocol.thresholds, means_TX[1:], strict=True)
        ),
        words=len(counted),
        photos=len(images),
        unreachable=reachable.count(False),
        without_gold=len(asked) - len(with_gold),
        attending_to_nothing=int((attended_MT[:, 0] == 0).sum()),
    )


def _is_asked(word: AttendedWord, protocol: AttentionProtocol) -> bool:
    return {"all": True, "last": word.is_last, "nouns": word.is_noun}[protocol.words]


def _relevant(word: AttendedWord, protocol: AttentionProtocol) -> npt.NDArray[np.bool_]:
    """`[R]`: is the region relevant to the word?"""
    gold = word.gold_boxes_N4 if protocol.gold == "any" else enclosing(word.gold_boxes_N4)
    relevant_R: npt.NDArray[np.bool_] = np.any(iou(word.boxes_R4, gold) >= protocol.iou_threshold, axis=1)
    return relevant_R


def _outcome(
    weights_R: Array, relevant_R: npt.NDArray[np.bool_], thresholds_T: _Floats, unit: ThresholdUnit
) -> tuple[_Floats, npt.NDArray[np.intp]]:
    """One word's precision, recall and F1 `[T, 3]`, and its number of attended regions `[T]`, at each threshold."""
    level_T = thresholds_T / len(weights_R) if unit == "uniform" and len(weights_R) else thresholds_T
    attended_TR = weights_R[None] > level_T[:, None] * (1 + _ROUNDING)
    hits_T = (attended_TR & relevant_R).sum(axis=1)
    attended_T, relevant = attended_TR.sum(axis=1), relevant_R.sum()
    precision_T = hits_T / np.maximum(attended_T, 1)
    recall_T = hits_T / max(relevant, 1)
    f1_T = 2 * hits_T / np.maximum(attended_T + relevant, 1)  # 2 P R / (P + R), and 0 where nothing is hit
    return np.stack([precision_T, recall_T, f1_T], axis=1), attended_T


def _units(
    words: Sequence[AttendedWord], values_MT3: _Floats, images: Mapping[str, int], over: AveragedOver
) -> tuple[_Floats, npt.NDArray[np.intp]]:
    """The values `[U, T, 3]` of what is averaged over, and the image of each."""
    if over == "words":
        return values_MT3, np.array([images[word.image_id] for word in words], dtype=np.intp)
    keys = [(word.image_id, word.phrase if over == "phrases" else None) for word in words]
    place = {key: i for i, key in enumerate(dict.fromkeys(keys))}
    unit_of_M = np.array([place[key] for key in keys], dtype=np.intp)
    sums_UT3 = np.zeros((len(place), *values_MT3.shape[1:]))
    np.add.at(sums_UT3, unit_of_M, values_MT3)
    means_UT3: _Floats = sums_UT3 / np.bincount(unit_of_M)[:, None, None]
    return means_UT3, np.array([images[image_id] for image_id, _ in place], dtype=np.intp)


def _metrics(means: _Floats) -> _Floats:
    """Mean precision, recall and F1 `[…, 3]` as percentages of `ATTENTION_METRICS` `[…, 4]`."""
    precision, recall, mean_f1 = means[..., 0], means[..., 1], means[..., 2]
    f1_of_means = 2 * precision * recall / np.maximum(precision + recall, np.finfo(np.float64).tiny)
    metrics: _Floats = 100 * np.stack([precision, recall, f1_of_means, mean_f1], axis=-1)
    return metrics


def _resampled(values_U3: _Floats, image_of_U: npt.NDArray[np.intp], seed: int, resamples: int) -> _Floats:
    """`[S, 4]` metrics of S draws of the images with replacement, each with all it has."""
    images = int(image_of_U.max()) + 1
    sums_I4 = np.zeros((images, 4))
    np.add.at(sums_I4, image_of_U, np.concatenate([values_U3, np.ones((len(values_U3), 1))], axis=1))
    generator, metrics = np.random.default_rng(seed), []
    for start in range(0, resamples, _RESAMPLES_AT_ONCE):
        size = min(_RESAMPLES_AT_ONCE, resamples - start)
        totals_S4 = generator.multinomial(images, np.full(images, 1 / images), size=size) @ sums_I4
        metrics.append(_metrics(totals_S4[:, :3] / totals_S4[:, 3:]))
    return np.concatenate(metrics)
