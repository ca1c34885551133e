"""Claims of the papers as data, and the verdict of a paired comparison on each.

A claim states that the first of two sides scores higher than the second in one metric. Each side is a recipe with its
options, as on the command line, or an untrained baseline: `baseline: image centre`, or `baseline: best`, the best one
in that metric. The 95 % interval over images of the difference between the means over seeds gives the verdict:

    reproduced        the whole interval is above 0
    not reproduced    the whole interval is below 0: the second side scores higher
    not decided       the interval contains 0
    not run           one side could not be run; the reason is given

A verdict is about these data, features and reconstructions, not about the numbers in the papers. `claims.json` maps
names of claims to notes on further experiments.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Literal

from unboxed.errors import EvaluationError
from unboxed.evaluation.bootstrap import PairedDifference, PerImageMetric, paired_difference

__all__ = [
    "BASELINE",
    "CLAIMS",
    "Claim",
    "ClaimResult",
    "DatasetKind",
    "Verdict",
    "claims_markdown",
    "judge",
    "tried_notes",
    "verdict",
]

BASELINE = "baseline: "
"""Prefix of a side that is an untrained baseline."""
Verdict = Literal["reproduced", "not reproduced", "not decided", "not run"]
DatasetKind = Literal["drawn", "real"]
"""Images of `unboxed scenes`, or any others."""


@dataclass(frozen=True)
class Claim:
    """One claim of a paper.

    Attributes:
        name: short and unique; the key of its note.
        paper: the paper that makes it.
        text: the claim in words.
        first, second: recipes with options, or baselines; the claim is that the first scores higher.
        metric: the metric to compare.
        kinds: the kinds of datasets to test it on.
    """

    name: str
    paper: str
    text: str
    first: str
    second: str
    metric: str
    kinds: tuple[DatasetKind, ...] = ("drawn", "real")

    @property
    def recipes(self) -> tuple[str, ...]:
        """The sides that are trained."""
        return tuple(side for side in (self.first, self.second) if not side.startswith(BASELINE))


_CONSTRAINED = tuple(
    Claim(
        f"{constraints}-{recipe}-{metric}",
        "Chen et al., WACV 2023 (reconstruction)",
        f"{' and '.join(constraints.upper().split('+'))} on {recipe.upper()}: better {quality}",
        f"{recipe} --contrast npair --constraints {'both' if '+' in constraints else constraints}",
        f"{recipe} --contrast npair",
        metric,
    )
    for recipe in ("scan", "bfan", "pfan", "sgr")
    for constraints in ("ccr", "ccs", "ccr+ccs")
    for metric, quality in (("attention_f1", "attention F1"), ("rsum", "retrieval"))
)

_ATTENTION = tuple(
    Claim(
        f"{recipe}-vse",
        paper,
        f"{recipe.upper()} retrieves better than one vector per image and caption",
        f"{recipe}{' --focal prob' if recipe == 'bfan' else ''} --contrast npair",
        "vse --contrast npair",
        "rsum",
    )
    for recipe, paper in (
        ("scan", "SCAN (ECCV 2018)"),
        ("bfan", "BFAN (ACM MM 2019)"),
        ("pfan", "PFAN (IJCAI 2019)"),
        ("sgr", "SGR (AAAI 2021)"),
        ("saf", "SAF (AAAI 2021)"),
    )
)

_MAP_OPTIONS: tuple[tuple[DatasetKind, str], ...] = (
    ("drawn", "--cells 20"),
    ("real", "--cells 10 --train-fraction 1"),
)

CLAIMS: tuple[Claim, ...] = (
    Claim(
        "infoground-negatives",
        "InfoGround (ECCV 2020)",
        "negatives of a language model are better than random nouns",
        "infoground --negatives lm",
        "infoground --negatives random",
        "pointing_any",
    ),
    Claim(
        "infoground-negatives-recall",
        "InfoGround (ECCV 2020)",
        "negatives of a language model are better than random nouns",
        "infoground --negatives lm",
        "infoground --negatives random",
        "recall_any@1",
    ),
    Claim(
        "ckd-distillation",
        "CKD (CVPR 2021)",
        "distillation from the detector is better than training without it",
        "ckd",
        "ckd --distillation 0",
        "recall_any@1",
    ),
    Claim(
        "ckd-without-classes",
        "CKD (CVPR 2021)",
        "distillation is better without class inputs too, so no classes are needed at test time",
        "ckd --no-class-inputs",
        "ckd --no-class-inputs --distillation 0",
        "recall_any@1",
    ),
    Claim(
        "sprm-prior",
        "SPRM (BMVC 2023)",
        "the untrained semantic prior alone is better than the best baseline",
        "sprm --untrained",
        f"{BASELINE}best",
        "recall_any@1",
    ),
    Claim(
        "sprm-refinement",
        "SPRM (BMVC 2023)",
        "the refined prior is better than the prior alone",
        "sprm",
        "sprm --untrained",
        "recall_any@1",
    ),
    Claim(
        "sprm-tenth",
        "SPRM (BMVC 2023)",
        "the refined prior is better with a tenth of the training images too",
        "sprm --train-fraction 0.1",
        "sprm --untrained",
        "recall_any@1",
    ),
    Claim(
        "sprm-hundredth",
        "SPRM (BMVC 2023)",
        "the refined prior is better with a hundredth of the training images too",
        "sprm --train-fraction 0.01",
        "sprm --untrained",
        "recall_any@1",
    ),
    Claim(
        "npair-pixels",
        "Das et al. 2019",
        "trained from pixels, the hottest pixel of the match map is better than the centre of the image",
        "npair",
        f"{BASELINE}image centre",
        "pointing_heatmap",
        kinds=("drawn",),
    ),
    *(
        Claim(
            f"npair-map-{kind}",
            "Das et al. 2019",
            "on a frozen feature map, the hottest pixel of the match map is better than the centre of the image",
            f"npair --map features --half --epochs 8 {options}",
            f"{BASELINE}image centre",
            "pointing_heatmap",
            kinds=(kind,),
        )
        for kind, options in _MAP_OPTIONS
    ),
    *_ATTENTION,
    *_CONSTRAINED,
)
"""All claims, in the order of the page."""


@dataclass(frozen=True)
class ClaimResult:
    """The verdict on a claim on one dataset.

    Attributes:
        claim: the claim.
        dataset: its name.
        verdict: as defined at the top of this module.
        first, second: the metric of both sides, in percent or in points of rsum; None where not run.
        difference: first minus second with its interval; None where not run.
        reason: why it was not run.
        tried: the note on further experiments.
    """

    claim: Claim
    dataset: str
    verdict: Verdict
    first: float | None = None
    second: float | None = None
    difference: PairedDifference | None = None
    reason: str = ""
    tried: str = ""


def verdict(difference: PairedDifference) -> Verdict:
    """The verdict on the claim that a difference is positive."""
    if difference.low > 0:
        return "reproduced"
    return "not reproduced" if difference.high < 0 else "not decided"


def judge(
    claim: Claim, dataset: str, metrics: Callable[[str, str], Mapping[str, PerImageMetric]], tried: str = ""
) -> ClaimResult:
    """Compares the two sides of a claim.

    Args:
        claim: the claim.
        dataset: its name, for the table.
        metrics: called with one side and the other, returns the metrics of the one, as means over the seeds that both
            were run with; raises `EvaluationError` where it was not run.
        tried: the note on further experiments.
    """
    try:
        first = _metric(metrics(claim.first, claim.second), claim.first, claim.metric)
        second = _metric(metrics(claim.second, claim.first), claim.second, claim.metric)
        difference = paired_difference(first, second)
    except EvaluationError as error:
        return ClaimResult(claim, dataset, "not run", reason=str(error), tried=tried)
    return ClaimResult(claim, dataset, verdict(difference), first.value, second.value, difference, tried=tried)


def _metric(metrics: Mapping[str, PerImageMetric], side: str, metric: str) -> PerImageMetric:
    # A baseline has no heat map; it points with the centre of its box.
    name = "pointing_any" if side.startswith(BASELINE) and metric == "pointing_heatmap" else metric
    if name not in metrics:
        raise EvaluationError(f"“{side}” has no {name} here; it has {', '.join(metrics) or 'no metrics'}.")
    return metrics[name]


def claims_markdown(results: Iterable[ClaimResult]) -> str:
    """A Markdown table with one row for each claim and dataset."""
    lines = [
        "| claim | paper | dataset | metric | first | second | difference (95 %) | verdict | tried |",
        "| --- | --- | --- | --- | ---: | ---: | ---: | --- | --- |",
    ]
    lines += [f"| {' | '.join(_columns(result))} |" for result in results]
    return "\n".join(lines) + "\n"


def _columns(result: ClaimResult) -> Sequence[str]:
    claim, difference = result.claim, result.difference

    def side(text: str, value: float | None) -> str:
        return f"`{text}`" + ("" if value is None else f" {value:.1f}")

    interval = (
        "–" if difference is None else f"{difference.difference:+.1f} ({difference.low:+.1f} to {difference.high:+.1f})"
    )
    # The page may be published, so files are named without their folders.
    reason = re.sub(r"(?<![\w.])/(?:[^\s/]+/)+", "", result.reason)
    verdict = f"{result.verdict}: {reason}" if reason else result.verdict
    return (
        claim.text,
        claim.paper,
        result.dataset,
        f"`{claim.metric}`",
        side(claim.first, result.first),
        side(claim.second, result.second),
        interval,
        verdict.replace("|", "/"),
        result.tried.replace("|", "/"),
    )


def tried_notes() -> dict[str, str]:
    """The notes of `claims.json`, by name of the claim.

    Raises:
        EvaluationError: a note whose claim does not exist.
    """
    notes: dict[str, str] = json.loads(files("unboxed.experiments").joinpath("claims.json").read_text(encoding="utf-8"))
    unknown = sorted(set(notes) - {claim.name for claim in CLAIMS})
    if unknown:
        raise EvaluationError(
            f"claims.json has a note on {unknown[0]!r}, which is not the name of a claim; see CLAIMS."
        )
    return notes
