"""Line charts as data for SVG: paths, points and ticks of training curves and precision-recall curves."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

__all__ = ["Chart", "Curve", "Tick", "epoch_charts", "precision_recall_chart", "training_charts"]

WIDTH, HEIGHT = 520, 240  # of a whole chart; a page scales it
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 12, 10, 30


@dataclass(frozen=True)
class Tick:
    """A grid line: its position in the chart and its label."""

    at: float
    label: str


@dataclass(frozen=True)
class Curve:
    """One curve of a chart.

    Attributes:
        name: of the quantity, as in the log.
        path: the `d` attribute of an SVG path.
        points: (x, y, label) of each value; empty for a curve of more than 40 values.
        last: the last value as text.
    """

    name: str
    path: str
    points: tuple[tuple[float, float, str], ...]
    last: str


@dataclass(frozen=True)
class Chart:
    """Curves that share their axes, in a chart of `width` x `height`; y grows downwards."""

    title: str
    curves: tuple[Curve, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = _LEFT
    right: int = WIDTH - _RIGHT
    bottom: int = HEIGHT - _BOTTOM


def training_charts(log: Iterable[Mapping[str, object]]) -> tuple[Chart, ...]:
    """One chart of `loss` and `val_loss`, and one of each other validation metric (`val_…`), over `step`.

    Entries without a `step` and values that are not finite numbers are left out. A quantity with fewer than two values
    gets no curve.

    Args:
        log: the entries of a training log.
    """
    series: dict[str, list[tuple[float, float]]] = {}
    for entry in log:
        step = _number(entry.get("step"))
        for name, value in entry.items():
            number = _number(value)
            if step is not None and number is not None and (name == "loss" or name.startswith("val_")):
                series.setdefault(name, []).append((step, number))
    series = {name: points for name, points in series.items() if len(points) >= 2}
    losses: dict[str, list[tuple[float, float]]] = {
        name: series[name] for name in ("loss", "val_loss") if name in series
    }
    charts = [_chart("Loss", losses)] if losses else []
    charts += [_chart(name, {name: points}) for name, points in series.items() if name not in losses]
    return tuple(charts)


def epoch_charts(title: str, series: Mapping[str, Sequence[float]]) -> tuple[Chart, ...]:
    """One chart of values by epoch, counted from 1; no chart where no curve has two finite values.

    Args:
        title: of the chart.
        series: the value of each epoch, by the name of the curve.
    """
    points = {
        name: [(epoch, value) for epoch, value in enumerate(values, start=1) if math.isfinite(value)]
        for name, values in series.items()
    }
    curves = {name: placed for name, placed in points.items() if len(placed) >= 2}
    return (_chart(title, curves, "epoch"),) if curves else ()


def precision_recall_chart(title: str, points: Iterable[tuple[float, float]]) -> Chart:
    """Precision over recall.

    Args:
        title: of the chart.
        points: (recall, precision) in percent, one for each threshold, in any order.
    """
    return _chart(title, {"precision": sorted(points)}, "recall")


def _chart(title: str, series: Mapping[str, Sequence[tuple[float, float]]], across_name: str = "step") -> Chart:
    xs = [x for points in series.values() for x, _ in points]
    ys = [y for points in series.values() for _, y in points]
    x_ticks, y_ticks = _round_steps(0, max(xs), 6), _round_steps(min(ys), max(ys), 5)
    x_low, x_high = 0.0, max(xs) or 1.0
    y_low, y_high = min(y_ticks[0], *ys), max(y_ticks[-1], *ys)
    if y_high == y_low:
        y_high = y_low + 1

    def across(x: float) -> float:
        return round(_LEFT + (x - x_low) / (x_high - x_low) * (WIDTH - _LEFT - _RIGHT), 1)

    def up(y: float) -> float:
        return round(HEIGHT - _BOTTOM - (y - y_low) / (y_high - y_low) * (HEIGHT - _TOP - _BOTTOM), 1)

    curves = []
    for name, points in series.items():
        placed = [(across(x), up(y), f"{name} {y:.4g} at {across_name} {x:,.0f}") for x, y in points]
        path = "M" + "L".join(f"{x},{y}" for x, y, _ in placed)
        curves.append(
            Curve(name, path, tuple(placed) if len(placed) <= 40 else (), f"{points[-1][1]:#.4g}".removesuffix("."))
        )
    return Chart(
        title=title,
        curves=tuple(curves),
        x_ticks=tuple(Tick(across(x), f"{x:,.0f}") for x in x_ticks if x <= x_high),
        y_ticks=tuple(Tick(up(y), f"{y:.10g}") for y in y_ticks if y_low <= y <= y_high),
    )


def _round_steps(low: float, high: float, count: int) -> list[float]:
    """About `count` round numbers from below `low` to above `high`, in steps of 1, 2 or 5 times a power of ten."""
    span = max(high - low or abs(high) or 1.0, 1e-300)  # never zero, also for subnormal values
    power = 10.0 ** math.floor(math.log10(span / count))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor * count >= span * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


def _number(value: object) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and math.isfinite(value) else None  # type: ignore[arg-type]
