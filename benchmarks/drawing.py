"""A plot with logarithmic axes as SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from itertools import pairwise
from typing import NamedTuple

__all__ = ["Point", "log_log"]

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 560, 300, 74, 16, 34, 46


class Point(NamedTuple):
    """A point of a plot, and whether it was measured in full or extrapolated."""

    x: float
    y: float
    measured: bool = True


def log_log(title: str, across: str, up: str, points: Sequence[Point]) -> str:
    """Points joined by lines; extrapolated points are hollow and joined by dashed lines."""
    x_low, x_high = _decades([point.x for point in points])
    y_low, y_high = _decades([point.y for point in points])

    def place(point: Point) -> tuple[float, float]:
        x = _LEFT + (math.log10(point.x) - x_low) / (x_high - x_low) * (_WIDTH - _LEFT - _RIGHT)
        y = _HEIGHT - _BOTTOM - (math.log10(point.y) - y_low) / (y_high - y_low) * (_HEIGHT - _TOP - _BOTTOM)
        return round(x, 1), round(y, 1)

    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" '
        f'height="{_HEIGHT}" font-family="system-ui, sans-serif" font-size="12" role="img">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#fff"/>',
        f'<text x="{_LEFT}" y="20" font-size="13" font-weight="600" fill="#222">{escape(title)}</text>',
    ]
    for power in range(x_low, x_high + 1):
        x, _ = place(Point(10.0**power, 10.0**y_low))
        lines.append(f'<path d="M{x},{_TOP}V{_HEIGHT - _BOTTOM}" stroke="#e4e4e4"/>')
        lines.append(
            f'<text x="{x}" y="{_HEIGHT - _BOTTOM + 16}" text-anchor="middle" fill="#555">{_power(power)}</text>'
        )
    for power in range(y_low, y_high + 1):
        _, y = place(Point(10.0**x_low, 10.0**power))
        lines.append(f'<path d="M{_LEFT},{y}H{_WIDTH - _RIGHT}" stroke="#e4e4e4"/>')
        lines.append(f'<text x="{_LEFT - 8}" y="{y + 4}" text-anchor="end" fill="#555">{_power(power)}</text>')
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    lines.append(f'<text x="{middle}" y="{_HEIGHT - 10}" text-anchor="middle" fill="#555">{escape(across)}</text>')
    lines.append(
        f'<text transform="translate(18 {(_TOP + _HEIGHT - _BOTTOM) / 2}) rotate(-90)" text-anchor="middle" '
        f'fill="#555">{escape(up)}</text>'
    )
    for one, other in pairwise(points):
        (x, y), (x2, y2) = place(one), place(other)
        dashes = "" if other.measured else ' stroke-dasharray="5 4"'
        lines.append(f'<path d="M{x},{y}L{x2},{y2}" stroke="#1f6feb" stroke-width="2"{dashes}/>')
    for point in points:
        x, y = place(point)
        lines.append(
            f'<circle cx="{x}" cy="{y}" r="4" fill="{"#1f6feb" if point.measured else "#fff"}" stroke="#1f6feb" '
            f'stroke-width="2"><title>{point.y:.3g} at {point.x:,.0f}</title></circle>'
        )
    return "\n".join([*lines, "</svg>"]) + "\n"


def _decades(values: Sequence[float]) -> tuple[int, int]:
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)) - 1e-9)
    return low, max(high, low + 1)


def _power(power: int) -> str:
    return f'10<tspan dy="-5" font-size="9">{power}</tspan>'
