"""Options of an evaluation."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from unboxed.errors import EvaluationError
from unboxed.runtime.counts import require_count, require_literals
from unboxed.runtime.paths import accept_strings

__all__ = ["BoxEdges", "BoxRuleOptions", "EvaluationOptions", "Overlap"]

BoxEdges = Literal["continuous", "inclusive"]
Overlap = Literal["at-least", "above"]


@dataclass(frozen=True)
class BoxRuleOptions:
    """When a predicted box is right, and when a point is inside of a gold box.

    The default is this project's. InfoGround's metric is `boxes="inclusive"`; SPRM's has `point_on_edge="inside"` too;
    CKD requires an IoU `above` 0.5.

    Attributes:
        boxes: the edges of predicted boxes are `continuous`, or the first and last pixels of the box (`inclusive`).
        overlap: the IoU with a gold box is `at-least` 0.5, or `above` it.
        point_on_edge: a point on the edge of a gold box is `outside` or `inside`.

    Raises:
        EvaluationError: an unknown rule.
    """

    boxes: BoxEdges = "continuous"
    overlap: Overlap = "at-least"
    point_on_edge: Literal["outside", "inside"] = "outside"

    def __post_init__(self) -> None:
        require_literals(self, EvaluationError)


@dataclass(frozen=True)
class EvaluationOptions:
    """Options of an evaluation.

    Attributes:
        split: name of the split; `val` of a dataset without one is the part that training holds out, and `all` is every
            image, also those that were trained on.
        regions: store with regions of the split; by default they are extracted with the settings of the run.
        proposals: store with boxes to rank by the heat map of a run of npair, instead of the boxes it predicts.
        predictions: boxes of another model to score beside those of the run, or alone without a run: JSON lines, or
            COCO results, in pixels of the original images.
        write_predictions: write the boxes of the run to this file, as JSON lines that `predictions` reads.
        report: write RUN/report-SPLIT.html.
        retrieval: also rank all captions of the split for each image, and all images for each caption.
        ensemble: other runs. Retrieval then ranks by the mean of their scores and those of the run, as the ensembles of
            SCAN, BFAN, PFAN and SGRAF (an SGR and a SAF) do; all else is that of the run alone.
        folds: disjoint subsets of images over which retrieval is averaged: 5 for COCO's five folds of 1,000.
        strict: stop at the first image that cannot be read instead of skipping it.
        rule: when a predicted box is right.
    """

    split: str = "val"
    regions: Path | None = None
    proposals: Path | None = None
    predictions: Path | None = None
    write_predictions: Path | None = None
    report: bool = True
    retrieval: bool = True
    ensemble: tuple[Path, ...] = ()
    folds: int = 1
    strict: bool = False
    rule: BoxRuleOptions = field(default_factory=BoxRuleOptions)

    def __post_init__(self) -> None:
        accept_strings(self)
        require_count("--folds", self.folds, error=EvaluationError)
