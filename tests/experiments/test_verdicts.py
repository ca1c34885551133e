"""Verdicts on hand-made intervals, and the tables of claims and grids."""

from __future__ import annotations

import numpy as np
import pytest

from unboxed.errors import EvaluationError
from unboxed.evaluation.bootstrap import PairedDifference, PerImageMetric, mean_metric
from unboxed.experiments.claims import BASELINE, CLAIMS, Claim
from unboxed.experiments.verdicts import GridRow, Side, claims_markdown, grid_markdown, judge, verdict

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
    good = judge(CLAIM, "data", lambda name, other: Side({"recall_any@1": metric(skill[name])}, 3), "a note")
    assert good.verdict == "reproduced"
    assert good.first == pytest.approx(90)
    assert good.second == pytest.approx(40)
    assert good.difference is not None
    assert good.difference.low > 0
    bad = judge(CLAIM, "data", lambda name, other: Side({"recall_any@1": metric(1.3 - skill[name])}))
    assert bad.verdict == "not reproduced"
    table = claims_markdown([good, bad])
    assert "| one beats the other | A paper | data | `recall_any@1` | `ckd` 90.0 |" in table
    assert "| 3 | +50.0 (" in table
    assert "| reproduced | a note |" in table
    assert len({line.count("|") for line in table.splitlines()}) == 1


def test_a_claim_with_a_missing_side_is_not_run_and_has_a_reason() -> None:
    def not_trained(name: str, other: str) -> Side:
        raise EvaluationError(f"{name} was not trained")

    assert "was not trained" in judge(CLAIM, "data", not_trained).reason
    other = judge(CLAIM, "data", lambda name, other: Side({"rsum": metric(0.5)}))
    assert (other.verdict, other.difference) == ("not run", None)
    assert len(claims_markdown([other]).splitlines()) == 2  # a table without rows


def test_the_centre_points_where_its_box_does() -> None:
    claim = next(claim for claim in CLAIMS if claim.metric == "pointing_heatmap")
    found = {"npair": {"pointing_heatmap": metric(0.9)}, f"{BASELINE}image centre": {"pointing_any": metric(0.2)}}
    assert judge(claim, "data", lambda name, other: Side(found[name])).verdict == "reproduced"


def test_a_side_that_was_still_improving_decides_nothing() -> None:
    def side(name: str, other: str) -> Side:
        return Side({"recall_any@1": metric(0.9 if name == "ckd" else 0.4)}, 3, still_rising=name == "ckd")

    found = judge(CLAIM, "data", side)
    assert (found.verdict, found.reason) == ("not decided", "the validation curve of `ckd` was still rising")
    assert found.difference is not None
    assert "| not decided: the validation curve of `ckd` was still rising |" in claims_markdown([found])


def test_seeds_that_differ_more_than_the_sides_decide_nothing() -> None:
    """Each side has the higher mean in the other seed; over images alone the second seed would decide."""
    first, second = (mean_metric([metric(share) for share in shares]) for shares in ((0.2, 0.9), (0.5, 0.4)))
    sides = {"ckd": first, "ckd --distillation 0": second}
    found = judge(CLAIM, "data", lambda name, other: Side({"recall_any@1": sides[name]}, 2))
    assert found.verdict == "not decided"
    assert found.difference is not None and found.difference.difference == pytest.approx(10)


def test_a_grid_shows_what_was_chosen() -> None:
    rows = [
        GridRow("scan --a 1", {"rsum": 300.04, "attention_f1": 20.0}, chosen=True),
        GridRow("scan --a 2", {"rsum": 200.0, "attention_f1": 30.0}, still_rising=True),
    ]
    assert grid_markdown(rows).splitlines()[2:] == [
        "| `scan --a 1` | 300.0 | 20.0 | chosen |",
        "| `scan --a 2` | 200.0 | 30.0 | rising |",
    ]
