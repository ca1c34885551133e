"""Verdicts on the claims of the papers, from paired comparisons.

The 95 % interval of the difference between the means over seeds gives the verdict; it is over seeds and images.

    reproduced        the whole interval is above 0
    not reproduced    the whole interval is below 0: the second side scores higher
    not decided       the interval contains 0, or a side was still improving when its training ended
    not run           one side could not be run; the reason is given

A verdict is about these data, features and reconstructions, not about the numbers in the papers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from unboxed.errors import EvaluationError
from unboxed.evaluation.bootstrap import Metric, PairedDifference, paired_difference
from unboxed.experiments.claims import BASELINE, Claim

__all__ = ["ClaimResult", "GridRow", "Side", "Verdict", "claims_markdown", "grid_markdown", "judge", "verdict"]

Verdict = Literal["reproduced", "not reproduced", "not decided", "not run"]


class Side(NamedTuple):
    """One side of a claim.

    Attributes:
        metrics: its metrics by name, means over its seeds.
        seeds: their number; 0 for a baseline.
        still_rising: the validation curve of a seed was still rising when training ended.
    """

    metrics: Mapping[str, Metric]
    seeds: int = 0
    still_rising: bool = False


class GridRow(NamedTuple):
    """Options that were tried for the first side of claims, with one seed, on the validation split.

    Attributes:
        recipe: with these options.
        metrics: some metrics by name, in percent; empty if it was not run.
        still_rising: its validation curve was still rising when training ended.
        chosen: these options have the highest rsum.
    """

    recipe: str
    metrics: Mapping[str, float]
    still_rising: bool = False
    chosen: bool = False


@dataclass(frozen=True)
class ClaimResult:
    """The verdict on a claim on one dataset.

    Attributes:
        claim: the claim.
        dataset: its name.
        verdict: as defined at the top of this module.
        first, second: the metric of both sides, in percent or in points of rsum; None where not run.
        seeds: number of seeds of both sides.
        difference: first minus second with its interval; None where not run.
        reason: why it was not run or not decided, where the interval does not say.
        tried: the note on further experiments.
    """

    claim: Claim
    dataset: str
    verdict: Verdict
    first: float | None = None
    second: float | None = None
    seeds: int = 0
    difference: PairedDifference | None = None
    reason: str = ""
    tried: str = ""


def verdict(difference: PairedDifference) -> Verdict:
    """The verdict on the claim that a difference is positive."""
    if difference.low > 0:
        return "reproduced"
    return "not reproduced" if difference.high < 0 else "not decided"


def judge(claim: Claim, dataset: str, side: Callable[[str, str], Side], tried: str = "") -> ClaimResult:
    """Compares the two sides of a claim.

    Args:
        claim: the claim.
        dataset: its name, for the table.
        side: called with one side and the other, returns the one, over the seeds that both were run with; raises
            `EvaluationError` where it was not run.
        tried: the note on further experiments.
    """
    try:
        sides = side(claim.first, claim.second), side(claim.second, claim.first)
        first, second = _metric(sides[0], claim.first, claim.metric), _metric(sides[1], claim.second, claim.metric)
        difference = paired_difference(first, second)
    except EvaluationError as error:
        return ClaimResult(claim, dataset, "not run", reason=str(error), tried=tried)
    rising = [name for name, found in zip((claim.first, claim.second), sides, strict=True) if found.still_rising]
    return ClaimResult(
        claim,
        dataset,
        "not decided" if rising else verdict(difference),
        first.value,
        second.value,
        max(found.seeds for found in sides),
        difference,
        " and ".join(f"the validation curve of `{name}` was still rising" for name in rising),
        tried,
    )


def _metric(side: Side, name: str, metric: str) -> Metric:
    # A baseline has no heat map; it points with the centre of its box.
    metric = "pointing_any" if name.startswith(BASELINE) and metric == "pointing_heatmap" else metric
    if metric not in side.metrics:
        raise EvaluationError(f"“{name}” has no {metric} here; it has {', '.join(side.metrics) or 'no metrics'}.")
    return side.metrics[metric]


def claims_markdown(results: Iterable[ClaimResult]) -> str:
    """A Markdown table with one row for each claim and dataset that was run."""
    lines = [
        "| claim | paper | dataset | metric | first | second | seeds | difference (95 %) | verdict | tried |",
        "| --- | --- | --- | --- | ---: | ---: | ---: | ---: | --- | --- |",
    ]
    judged = [(result, result.difference) for result in results if result.difference is not None]
    lines += [f"| {' | '.join(_columns(result, difference))} |" for result, difference in judged]
    return "\n".join(lines) + "\n"


def _columns(result: ClaimResult, difference: PairedDifference) -> Sequence[str]:
    claim = result.claim
    verdict = f"{result.verdict}: {result.reason}" if result.reason else result.verdict
    return (
        claim.text,
        claim.paper,
        result.dataset,
        f"`{claim.metric}`",
        f"`{claim.first}` {result.first:.1f}",
        f"`{claim.second}` {result.second:.1f}",
        str(result.seeds or "–"),
        f"{difference.difference:+.1f} ({difference.low:+.1f} to {difference.high:+.1f})",
        verdict.replace("|", "/"),
        result.tried.replace("|", "/"),
    )


def grid_markdown(rows: Sequence[GridRow]) -> str:
    """A Markdown table of what was tried for the claims of one dataset; all rows have the same metrics."""
    names = list(rows[0].metrics)
    lines = [
        f"| options | {' | '.join(f'`{name}`' for name in names)} | |",
        "| --- |" + " ---: |" * len(names) + " --- |",
    ]
    for row in rows:
        values = " | ".join(f"{row.metrics[name]:.1f}" for name in names)
        remarks = [text for text, given in (("chosen", row.chosen), ("rising", row.still_rising)) if given]
        lines.append(f"| `{row.recipe}` | {values} | {', '.join(remarks)} |")
    return "\n".join(lines) + "\n"
