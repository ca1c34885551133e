"""docs/metrics.md names every metric and baseline, and its example runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from unboxed.evaluation.baselines import BASELINES
from unboxed.evaluation.box_sets import SET_METRICS
from unboxed.evaluation.error_analysis import ERROR_KINDS
from unboxed.evaluation.grounding import METRICS

DOCUMENT = (Path(__file__).resolve().parents[2] / "docs" / "metrics.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "name",
    [
        *sorted({metric.split("@")[0] for metric in METRICS}),
        *SET_METRICS,
        *BASELINES,
        *ERROR_KINDS,
        "rsum",
        "median_rank",
    ],
)
def test_every_name_is_defined(name):
    assert name in DOCUMENT


def test_the_example_runs():
    (code,) = re.findall(r"```python\n(.*?)```", DOCUMENT, flags=re.DOTALL)
    exec(code, {})
