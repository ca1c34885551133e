"""Claims: verdicts on hand-made intervals, and the table."""

from __future__ import annotations

import numpy as np
import pytest

from unboxed.errors import EvaluationError
from unboxed.evaluation.bootstrap import PairedDifference, PerImageMetric
from unboxed.experiments import claims
from unboxed.experiments.claims import BASELINE, CLAIMS, Claim, claims_markdown, judge, tried_notes, verdict

CLAIM = Claim("name", "A paper", "one beats the other", "ckd", "ckd --distillation 0", "recall_any@1")


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0.1, 2, "reproduced"), (-2, -0.1, "not reproduced"), (-1, 3, "not decided"), (0, 3, "not decided"),
     (-3, 0, "not decided")],
)  # fmt: skip
def test_the_interval_decides(low: float, high: float, expected: str) -> None:
    assert verdict(PairedDifference((low + high) / 2, low, high, 0.5)) == expected


def metric(share: float, images: int = 30) -> PerImageMetric:
    hits = (np.arange(images * 2) % 10 < share * 10).astype(float).reshape(images, 2).sum(axis=1, keepdims=True)
    return PerImageMetric(tuple(map(str, range(images))), hits, np.full((images, 1), 2.0))


def test_a_claim_is_judged_by_its_metric_on_the_same_images() -> None:
    skill = {"ckd": 0.9, "ckd --distillation 0": 0.4}
    good = judge(CLAIM, "data", lambda side, other: {"recall_any@1": metric(skill[side])}, "a note")
    assert good.verdict == "reproduced"
    assert good.first == pytest.approx(90)
    assert good.second == pytest.approx(40)
    assert good.difference is not None
    assert good.difference.low > 0
    bad = judge(CLAIM, "data", lambda side, other: {"recall_any@1": metric(1.3 - skill[side])})
    assert bad.verdict == "not reproduced"
    table = claims_markdown([good, bad])
    assert "| one beats the other | A paper | data | `recall_any@1` | `ckd` 90.0 |" in table
    assert "| reproduced | a note |" in table
    assert len({line.count("|") for line in table.splitlines()}) == 1


def test_a_claim_with_a_missing_side_is_not_run_and_has_a_reason() -> None:
    def not_trained(side: str, other: str) -> dict[str, PerImageMetric]:
        raise EvaluationError(f"{side} was not trained")

    assert "was not trained" in judge(CLAIM, "data", not_trained).reason
    other = judge(CLAIM, "data", lambda side, other: {"rsum": metric(0.5)})
    assert (other.verdict, other.difference) == ("not run", None)
    assert "recall_any@1" in claims_markdown([other])


def test_the_centre_points_where_its_box_does() -> None:
    claim = next(claim for claim in CLAIMS if claim.metric == "pointing_heatmap")
    found = {"npair": {"pointing_heatmap": metric(0.9)}, f"{BASELINE}image centre": {"pointing_any": metric(0.2)}}
    assert judge(claim, "data", lambda side, other: found[side]).verdict == "reproduced"


def test_names_of_claims_are_unique_and_every_note_has_its_claim() -> None:
    assert len({claim.name for claim in CLAIMS}) == len(CLAIMS)
    assert set(tried_notes()) <= {claim.name for claim in CLAIMS}
    constrained = {claim.second.split()[0] for claim in CLAIMS if claim.metric == "attention_f1"}
    assert constrained == {"scan", "bfan", "pfan", "sgr"}


def test_a_note_without_its_claim_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "CLAIMS", (CLAIM,))
    with pytest.raises(EvaluationError, match="not the name of a claim"):
        tried_notes()
