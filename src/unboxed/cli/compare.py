"""`unboxed compare`: recipes side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tyro.conf import OmitArgPrefixes

from unboxed.cli.output import print_json
from unboxed.experiments.options import CompareSettings
from unboxed.runtime.progress import show

if TYPE_CHECKING:
    from unboxed.data.dataset import Dataset

__all__ = ["compare"]


def compare(settings: OmitArgPrefixes[CompareSettings], json: bool = False) -> None:
    """Train recipes on datasets with several seeds, and write one table with confidence intervals and plots.

    Args:
        settings: datasets and recipes to compare.
        json: print one JSON object on standard output at the end.
    """
    from unboxed.experiments.comparison import compare as run_comparison

    comparison = run_comparison(settings, show, is_drawn=_is_drawn)
    if json:
        print_json(comparison.to_dict())


def _is_drawn(dataset: Dataset) -> bool:
    """Whether a dataset was written by `unboxed scenes`: then it contains the detector of drawn images."""
    from unboxed.scenes.writing import DETECTOR

    detector = dataset.regions.detector if dataset.regions is not None else None
    return detector is not None and detector.is_file() and detector.read_bytes() == DETECTOR.read_bytes()
