"""Ticks are round and inside the drawing; curves start left, end right, and leave out what is no number."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unboxed.visualization.curves import _round_steps, epoch_charts, precision_recall_chart, training_charts

LOG = [
    {"step": 10, "epoch": 0, "loss": 3.0, "image": 1.0, "learning_rate": 1e-3},
    {"step": 20, "epoch": 0, "loss": 2.0, "image": 1.0, "learning_rate": 1e-3},
    {"step": 20, "epoch": 0, "val_loss": 2.5, "val_rsum": 200, "best": True},
    {"step": 40, "epoch": 1, "loss": 1.0},
    {"step": 40, "epoch": 1, "val_loss": 1.5, "val_rsum": 300, "best": True},
]


def test_losses_share_a_chart_and_every_other_validation_figure_has_its_own():
    charts = training_charts(LOG)
    assert [[curve.name for curve in chart.curves] for chart in charts] == [["loss", "val_loss"], ["val_rsum"]]
    assert charts[0].curves[1].last == "1.500"
    assert charts[1].curves[0].points[0][2] == "val_rsum 200 at step 20"


def test_a_falling_loss_goes_down_and_right():
    first, second, third = training_charts(LOG)[0].curves[0].points
    assert first[0] < second[0] < third[0] == training_charts(LOG)[0].right
    assert first[1] < second[1] < third[1] <= training_charts(LOG)[0].bottom  # y grows downwards


@pytest.mark.parametrize("log", [[], [{"step": 1, "loss": 2.0}], [{"loss": 1.0}, {"loss": 2.0}]])
def test_nothing_to_draw_is_no_chart(log):
    assert training_charts(log) == ()


def test_what_is_no_finite_number_is_left_out():
    log = [*LOG, {"step": 50, "loss": math.nan}, {"step": "x", "loss": 1.0}, {"step": 60, "val_loss": None}]
    assert training_charts(log) == training_charts(LOG)


@given(st.floats(-1e6, 1e6), st.floats(0, 1e6), st.integers(2, 8))
def test_ticks_are_few_and_enclose_the_values(low, span, count):
    ticks = _round_steps(low, low + span, count)
    slack = 1e-6 * max(1.0, abs(low) + span)
    assert ticks[0] <= low + slack
    assert ticks[-1] >= low + span - slack
    assert len(ticks) <= count + 2


def test_a_constant_can_be_drawn():
    (chart,) = training_charts([{"step": step, "loss": 0.0} for step in (1, 2)])
    assert all(0 <= y <= chart.bottom for _, y, _ in chart.curves[0].points)


def test_precision_over_recall_goes_from_left_to_right_whatever_the_order():
    chart = precision_recall_chart("Phrases", [(100, 20), (0, 100), (50, 60)])
    (curve,) = chart.curves
    assert chart.title == "Phrases" and [label for _, _, label in curve.points] == [
        "precision 100 at recall 0", "precision 60 at recall 50", "precision 20 at recall 100",
    ]  # fmt: skip
    assert [x for x, _, _ in curve.points] == sorted(x for x, _, _ in curve.points)
    assert curve.path.startswith("M") and curve.path.count("L") == 2


def test_curves_by_epoch_share_a_chart_from_epoch_1() -> None:
    (chart,) = epoch_charts("rsum", {"seed 0": (100.0, 200.0), "seed 1": (90.0, math.nan, 300.0), "seed 2": (1.0,)})
    assert [curve.name for curve in chart.curves] == ["seed 0", "seed 1"]
    assert [label for _, _, label in chart.curves[1].points] == ["seed 1 90 at epoch 1", "seed 1 300 at epoch 3"]
    assert epoch_charts("rsum", {"seed 0": (100.0,)}) == ()


def test_a_long_curve_has_no_points_of_its_own():
    (chart,) = training_charts([{"step": step, "loss": 1 / step} for step in range(1, 50)])
    assert chart.curves[0].points == () and chart.curves[0].path.count("L") == 48
