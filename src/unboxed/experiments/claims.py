"""What the papers claim, as data: two grounders, a metric, and the verdict of a paired comparison on our data.

A claim says that the first of two does better than the second. Each side is a recipe with its options, as on the
command line, or an untrained baseline: `baseline: image centre`, `baseline: best` (the best one in that metric). The
difference is taken between the means over seeds, and its 95 % interval over images decides:

    reproduced        the whole interval is above 0
    not reproduced    the whole interval is below 0: the second does better
    not decided       0 is inside
    not run           a side that could not be run, with the reason

A verdict speaks of our data, features and reconstructions, not of the paper's own figures. What was tried where a claim
did not come out is kept in `claims.json`, by the claim's name.
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
    "Verdict",
    "claims_markdown",
    "judge",
    "tried_notes",
    "verdict",
]

BASELINE = "baseline: "
Verdict = Literal["reproduced", "not reproduced", "not decided", "not run"]


@dataclass(frozen=True)
class Claim:
    """One claim of a paper.

    Attributes:
        name: short and unique; the key of its note.
        paper: who claims it.
        text: what.
        first, second: recipe with options, or baseline; the claim is that the first does better.
        metric: in which.
        kinds: datasets it is tried on, `drawn` or `photographs`.
    """

    name: str
    paper: str
    text: str
    first: str
    second: str
    metric: str
    kinds: tuple[str, ...] = ("drawn", "photographs")

    @property
    def recipes(self) -> tuple[str, ...]:
        """Those of the two sides that are trained."""
        return tuple(side for side in (self.first, self.second) if not side.startswith(BASELINE))


_HOSTS = {host: f"{host} --contrast npair" for host in ("scan", "bfan", "pfan", "sgr")}

_CONSTRAINED = tuple(
    Claim(
        f"{constraints}-{host}-{metric}",
        "Chen et al., WACV 2023 (reconstruction)",
        f"{' and '.join(constraints.upper().split('+'))} on {host.upper()}: better {said}",
        f"{trained} --constraints {'both' if '+' in constraints else constraints}",
        trained,
        metric,
    )
    for host, trained in _HOSTS.items()
    for constraints in ("ccr", "ccs", "ccr+ccs")
    for metric, said in (("attention_f1", "attention F1"), ("rsum", "retrieval"))
)

_ATTENDING = tuple(
    Claim(
        f"{host}-vse",
        paper,
        f"{host.upper()} retrieves better than one vector for each side",
        f"{host}{' --focal prob' if host == 'bfan' else ''} --contrast npair",
        "vse --contrast npair",
        "rsum",
    )
    for host, paper in (
        ("scan", "SCAN (ECCV 2018)"),
        ("bfan", "BFAN (ACM MM 2019)"),
        ("pfan", "PFAN (IJCAI 2019)"),
        ("sgr", "SGR (AAAI 2021)"),
        ("saf", "SAF (AAAI 2021)"),
    )
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
        "a model taught by the detector is better than one that is not",
        "ckd",
        "ckd --distillation 0",
        "recall_any@1",
    ),
    Claim(
        "ckd-without-classes",
        "CKD (CVPR 2021)",
        "no class is needed at test time: without them, taught is better than not taught",
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
        "the prior refined is better than the prior alone",
        "sprm",
        "sprm --untrained",
        "recall_any@1",
    ),
    Claim(
        "sprm-tenth",
        "SPRM (BMVC 2023)",
        "with a tenth of the training images too",
        "sprm --train-fraction 0.1",
        "sprm --untrained",
        "recall_any@1",
    ),
    Claim(
        "sprm-hundredth",
        "SPRM (BMVC 2023)",
        "with a hundredth of the training images too",
        "sprm --train-fraction 0.01",
        "sprm --untrained",
        "recall_any@1",
    ),
    Claim(
        "npair-pixels",
        "Das et al. 2019",
        "trained from pixels, the hottest pixel of the match map is better than the centre of the photograph",
        "npair",
        f"{BASELINE}image centre",
        "pointing_heatmap",
        kinds=("drawn",),
    ),
    *(
        Claim(
            f"npair-map-{kind}",
            "Das et al. 2019",
            "on a frozen map, the hottest pixel of the match map is better than the centre of the photograph",
            f"npair --map features --half --epochs 8 {options}",
            f"{BASELINE}image centre",
            "pointing_heatmap",
            kinds=(kind,),
        )
        for kind, options in (("drawn", "--cells 20"), ("photographs", "--cells 10 --train-fraction 1"))
    ),
    *_ATTENDING,
    *_CONSTRAINED,
)


@dataclass(frozen=True)
class ClaimResult:
    """What became of a claim on one dataset.

    Attributes:
        claim: the claim.
        dataset: its name.
        first, second: the metric of both sides, in per cent or points of rsum; None where not run.
        difference: first minus second with its interval; None where not run.
        verdict: see the module.
        reason: why it was not run.
        tried: what was tried, a free text.
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
    """What the interval of a difference says of the claim that it is positive."""
    if difference.low > 0:
        return "reproduced"
    return "not reproduced" if difference.high < 0 else "not decided"


def judge(
    claim: Claim, dataset: str, metrics: Callable[[str, str], Mapping[str, PerImageMetric]], tried: str = ""
) -> ClaimResult:
    """Compare the two sides of a claim.

    Args:
        claim: the claim.
        dataset: its name, for the table.
        metrics: gives every metric of a side, the mean over the seeds that it shares with the other side, which is
            named after it; raises `EvaluationError` where it cannot.
        tried: the note.
    """
    try:
        first, second = (
            _metric(metrics(side, other), side, claim.metric)
            for side, other in ((claim.first, claim.second), (claim.second, claim.first))
        )
        found = paired_difference(first, second)
    except EvaluationError as error:
        return ClaimResult(claim, dataset, "not run", reason=str(error), tried=tried)
    return ClaimResult(claim, dataset, verdict(found), first.value, second.value, found, tried=tried)


def _metric(metrics: Mapping[str, PerImageMetric], side: str, metric: str) -> PerImageMetric:
    # A centre has no heat map: it points where its box's centre lies.
    name = "pointing_any" if side.startswith(BASELINE) and metric == "pointing_heatmap" else metric
    if name not in metrics:
        raise EvaluationError(f"“{side}” has no {name} here; it has {', '.join(metrics) or 'nothing'}.")
    return metrics[name]


def claims_markdown(results: Iterable[ClaimResult]) -> str:
    """A Markdown table, one row for each claim and dataset."""
    lines = [
        "| claim | paper | dataset | metric | first | second | difference (95 %) | verdict | tried |",
        "| --- | --- | --- | --- | ---: | ---: | ---: | --- | --- |",
    ]
    lines += [f"| {' | '.join(_cells(result))} |" for result in results]
    return "\n".join(lines) + "\n"


def _cells(result: ClaimResult) -> Sequence[str]:
    claim, difference = result.claim, result.difference

    def side(text: str, value: float | None) -> str:
        return f"`{text}`" + ("" if value is None else f" {value:.1f}")

    found = (
        "–" if difference is None else f"{difference.difference:+.1f} ({difference.low:+.1f} to {difference.high:+.1f})"
    )
    # A page is read elsewhere: files are named in it without their folders.
    reason = re.sub(r"(?<![\w.])/(?:[^\s/]+/)+", "", result.reason)
    said = f"{result.verdict}: {reason}" if reason else result.verdict
    return (
        claim.text,
        claim.paper,
        result.dataset,
        f"`{claim.metric}`",
        side(claim.first, result.first),
        side(claim.second, result.second),
        found,
        said.replace("|", "/"),
        result.tried.replace("|", "/"),
    )


def tried_notes() -> dict[str, str]:
    """The notes of `claims.json`, by the claims' names.

    Raises:
        EvaluationError: a note of a claim that there is none of.
    """
    notes: dict[str, str] = json.loads(files("unboxed.experiments").joinpath("claims.json").read_text(encoding="utf-8"))
    unknown = sorted(set(notes) - {claim.name for claim in CLAIMS})
    if unknown:
        raise EvaluationError(
            f"claims.json has a note of {unknown[0]!r}, which is no claim; see CLAIMS for their names."
        )
    return notes
