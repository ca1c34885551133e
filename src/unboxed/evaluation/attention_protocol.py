"""Parameters of attention precision, recall and F1, which are printed with every result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from unboxed.errors import EvaluationError
from unboxed.evaluation.options import BoxEdges, Overlap
from unboxed.runtime.counts import require_literal
from unboxed.runtime.paths import accept_strings

__all__ = ["AttentionProtocol", "AveragedOver", "ThresholdUnit"]

ThresholdUnit = Literal["uniform", "absolute"]
GoldReading = Literal["any", "union"]
CountedWords = Literal["all", "last", "nouns"]
AveragedOver = Literal["words", "phrases", "images"]
Unreachable = Literal["left out", "counted as 0"]


@dataclass(frozen=True)
class AttentionProtocol:
    """All parameters that the numbers depend on.

    Attributes:
        attention_threshold: a region is attended when its weight is above it (strictly).
        threshold_unit: `uniform`, the threshold is in units of 1/R, the weight of each region under uniform attention;
            `absolute`, it is a weight in [0, 1].
        iou_threshold: a region is relevant from this IoU on, or above it: see `overlap`.
        boxes, overlap: as in `BoxRuleOptions`.
        gold: relevant to `any` of the gold boxes, or to the one box that encloses all of them (`union`).
        words: which words of a phrase are scored: `all`, the `last`, or `nouns`.
        average_over: `words`, all words weigh the same; `phrases` or `images`, the means of their words weigh the same.
        unreachable: words without a relevant region are `left out`, or `counted as 0`.
        thresholds: of the precision–recall curve, in the same unit.

    Raises:
        EvaluationError: an unknown value, or a curve without thresholds.
    """

    attention_threshold: float = 1.0
    threshold_unit: ThresholdUnit = "uniform"
    iou_threshold: float = 0.5
    boxes: BoxEdges = "continuous"
    overlap: Overlap = "at-least"
    gold: GoldReading = "any"
    words: CountedWords = "all"
    average_over: AveragedOver = "words"
    unreachable: Unreachable = "left out"
    thresholds: tuple[float, ...] = (0, 0.25, 0.5, 0.75, 1, 1.25, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10, 15)

    def __post_init__(self) -> None:
        accept_strings(self)
        for name, options in (
            ("threshold_unit", ThresholdUnit),
            ("boxes", BoxEdges),
            ("overlap", Overlap),
            ("gold", GoldReading),
            ("words", CountedWords),
            ("average_over", AveragedOver),
            ("unreachable", Unreachable),
        ):
            require_literal(f"AttentionProtocol.{name}", getattr(self, name), options, EvaluationError)
        if not self.thresholds:
            raise EvaluationError("AttentionProtocol.thresholds is empty; a curve needs at least one threshold.")

    def __str__(self) -> str:
        unit = " / R" if self.threshold_unit == "uniform" else ""
        gold = "any gold box" if self.gold == "any" else "the box around all gold boxes"
        words = {"all": "all words", "last": "the last word", "nouns": "the nouns"}[self.words]
        edges = "" if self.boxes == "continuous" else f" of {self.boxes} boxes"
        least = f"IoU{edges} {'≥' if self.overlap == 'at-least' else '>'} {self.iou_threshold:g}"
        return (
            f"attention > {self.attention_threshold:g}{unit}, {least} with {gold}, {words} of "
            f"each phrase, mean over {self.average_over}, unreachable words {self.unreachable}"
        )
