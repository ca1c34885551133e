"""What a lower precision costs: the scores of a run minus those of the same run in single precision."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unboxed.evaluation.bootstrap import PairedDifference, paired_difference

if TYPE_CHECKING:
    from unboxed.evaluation.evaluated_run import EvaluatedRun

__all__ = ["differences_of_precision"]


def differences_of_precision(run: EvaluatedRun, single: EvaluatedRun) -> dict[str, PairedDifference]:
    """The scores of `run` minus those of `single`, in percentage points, by metric.

    Args:
        run: evaluated in a lower precision.
        single: the same run on the same split in single precision.
    """
    found: dict[str, PairedDifference] = {}
    if run.scores is not None and single.scores is not None:
        found |= run.scores.minus(single.scores)
    if run.retrieval is not None and single.retrieval is not None:
        found["rsum"] = paired_difference(run.retrieval.rsum_per_image(), single.retrieval.rsum_per_image())
    return found
