"""Options of an evaluation."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from unboxed.evaluation.box_rules import BoxRule

__all__ = ["EvaluationOptions"]


@dataclass(frozen=True)
class EvaluationOptions:
    """Options of an evaluation.

    Attributes:
        split: name of the split; `val` of a dataset without one is the part that training holds out.
        regions: store with regions of the split; by default they are extracted with the settings of the run.
        proposals: store with boxes to rank by the heat map of a run of npair, instead of the boxes it predicts.
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
    report: bool = True
    retrieval: bool = True
    ensemble: tuple[Path, ...] = ()
    folds: int = 1
    strict: bool = False
    rule: BoxRule = field(default_factory=BoxRule)
