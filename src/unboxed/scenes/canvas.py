"""Recorded vector drawings: shapes in local units, painted later at any place and size.

A `Sketch` records its shapes and the extent of each named thing, so that it can be measured and placed where there is
room before it is painted. Local coordinates have x to the right and y *up*; the origin is on the ground below the
middle of the thing; 1 is the height of an adult.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from PIL import ImageDraw

__all__ = ["Colour", "Mark", "Point", "Sketch", "shade"]

Colour = tuple[int, ...]
Point = tuple[float, float]


def shade(colour: Colour, factor: float) -> Colour:
    """The colour made darker (factor < 1) or mixed with white (factor > 1; 2 is white)."""
    if factor <= 1:
        return tuple(int(c * factor) for c in colour[:3])
    return tuple(int(c + (255 - c) * (factor - 1)) for c in colour[:3])


@dataclass(eq=False)
class Mark:
    """A named thing of a sketch: kind, attributes, the thing that it is a part of, and extent in local units."""

    kind: str
    attributes: dict[str, str]
    parent: Mark | None
    extent: tuple[float, float, float, float] = (math.inf, math.inf, -math.inf, -math.inf)

    def cover(self, x1: float, y1: float, x2: float, y2: float) -> None:
        """Enlarge the extent to include a rectangle in local units."""
        a1, b1, a2, b2 = self.extent
        self.extent = (min(a1, x1), min(b1, y1), max(a2, x2), max(b2, y2))


@dataclass(eq=False)
class _Shape:
    form: str
    points: list[Point]
    fill: Colour | None
    edge: Colour | None
    width: float


@dataclass(eq=False)
class Sketch:
    """Shapes in painting order, marks, relations between marks, and named points, in local units."""

    shapes: list[_Shape] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    relations: list[tuple[Mark, str, Mark]] = field(default_factory=list)
    anchors: dict[str, Point] = field(default_factory=dict)
    _open: list[Mark] = field(default_factory=list)

    @contextmanager
    def thing(self, kind: str, **attributes: str) -> Iterator[Mark]:
        """Shapes of the block belong to a new thing of this kind, a part of the thing of the enclosing block."""
        mark = Mark(kind, attributes, self._open[-1] if self._open else None)
        self.marks.append(mark)
        self._open.append(mark)
        try:
            yield mark
        finally:
            self._open.pop()

    @contextmanager
    def loose(self) -> Iterator[None]:
        """Shapes of the block belong to no thing: shadows, strings, decoration."""
        held, self._open = self._open, []
        try:
            yield
        finally:
            self._open = held

    def _add(self, form: str, points: list[Point], fill: Colour | None, edge: Colour | None, width: float) -> None:
        self.shapes.append(_Shape(form, points, fill, edge, width))
        if self._open:
            margin = width / 2 if form == "line" else 0.0
            xs, ys = [p[0] for p in points], [p[1] for p in points]
            for mark in self._open:
                mark.cover(min(xs) - margin, min(ys) - margin, max(xs) + margin, max(ys) + margin)

    def polygon(self, points: Sequence[Point], fill: Colour, edge: Colour | None = None) -> None:
        """Draw a filled polygon, with an outline in the colour `edge`, by default a darker shade of the fill."""
        self._add("polygon", list(points), fill, edge or shade(fill, 0.72), 0)

    def flat(self, points: Sequence[Point], fill: Colour) -> None:
        """Draw a filled polygon without an outline: shading, patterns, transparent colours (four channels)."""
        self._add("polygon", list(points), fill, None, 0)

    def box(self, x1: float, y1: float, x2: float, y2: float, fill: Colour, edge: Colour | None = None) -> None:
        """Draw a rectangle, outlined as a polygon is."""
        self.polygon([(x1, y1), (x2, y1), (x2, y2), (x1, y2)], fill, edge)

    def ellipse(self, x: float, y: float, rx: float, ry: float, fill: Colour) -> None:
        """Draw an ellipse with centre (x, y) and radii rx and ry, outlined as a polygon is."""
        self._add("ellipse", [(x - rx, y - ry), (x + rx, y + ry)], fill, shade(fill, 0.72), 0)

    def spot(self, x: float, y: float, rx: float, ry: float, fill: Colour) -> None:
        """Draw an ellipse without an outline."""
        self._add("ellipse", [(x - rx, y - ry), (x + rx, y + ry)], fill, None, 0)

    def line(self, points: Sequence[Point], fill: Colour, width: float) -> None:
        """Draw connected lines of a width in local units."""
        self._add("line", list(points), fill, None, width)

    def limb(self, start: Point, end: Point, width: float, fill: Colour) -> None:
        """Draw a rounded bar: arms, legs, handles."""
        (x1, y1), (x2, y2) = start, end
        angle, r = math.atan2(y2 - y1, x2 - x1), width / 2
        outline = [
            (x + r * math.cos(angle + turn + k * math.pi / 5), y + r * math.sin(angle + turn + k * math.pi / 5))
            for x, y, turn in ((x2, y2, -math.pi / 2), (x1, y1, math.pi / 2))
            for k in range(6)
        ]
        self.polygon(outline, fill)

    def half_ellipse(self, x: float, y: float, rx: float, ry: float, start: float, fill: Colour) -> None:
        """Draw the half of an ellipse that begins at an angle in degrees, anticlockwise."""
        steps = 14
        arc = [
            (
                x + rx * math.cos(math.radians(start + 180 * k / steps)),
                y + ry * math.sin(math.radians(start + 180 * k / steps)),
            )
            for k in range(steps + 1)
        ]
        self.polygon(arc, fill)

    def place(self, other: Sketch, x: float, y: float, scale: float = 1.0, flip: bool = False) -> None:
        """Draw another sketch at (x, y); its outermost things become parts of the thing of the block, if any."""
        sign = -scale if flip else scale

        def move(point: Point) -> Point:
            return x + sign * point[0], y + scale * point[1]

        for shape in other.shapes:
            self.shapes.append(
                _Shape(shape.form, [move(p) for p in shape.points], shape.fill, shape.edge, shape.width * scale)
            )
        for mark in other.marks:
            (ax, ay), (bx, by) = move(mark.extent[:2]), move(mark.extent[2:])
            mark.extent = (min(ax, bx), min(ay, by), max(ax, bx), max(ay, by))
            if mark.parent is None and self._open:
                mark.parent = self._open[-1]
            for outer in self._open:
                outer.cover(*mark.extent)
        self.marks.extend(other.marks)
        self.relations.extend(other.relations)
        self.anchors.update({name: move(point) for name, point in other.anchors.items()})

    def relate(self, subject: Mark, relation: str, thing: Mark) -> None:
        """Record a relation, such as a person `holding` a cup."""
        self.relations.append((subject, relation, thing))

    @property
    def extent(self) -> tuple[float, float, float, float]:
        """x1, y1, x2, y2 around all named things, in local units."""
        boxes = [mark.extent for mark in self.marks]
        return (
            min(b[0] for b in boxes),
            min(b[1] for b in boxes),
            max(b[2] for b in boxes),
            max(b[3] for b in boxes),
        )

    def paint(self, draw: ImageDraw.ImageDraw, x: float, y: float, scale: float, flip: bool, fine: int) -> None:
        """Paint with the origin at pixel (x, y) and `scale` pixels per unit, on a canvas enlarged `fine` times."""
        ox, oy, k = x * fine, y * fine, scale * fine
        sign = -k if flip else k
        for shape in self.shapes:
            points = [(ox + sign * px, oy - k * py) for px, py in shape.points]
            if shape.form == "polygon":
                draw.polygon(points, fill=shape.fill, outline=shape.edge, width=fine if shape.edge else 0)
            elif shape.form == "ellipse":
                (x1, y1), (x2, y2) = points
                corners = [(min(x1, x2), min(y1, y2)), (max(x1, x2), max(y1, y2))]
                draw.ellipse(corners, fill=shape.fill, outline=shape.edge, width=fine if shape.edge else 0)
            else:
                draw.line(points, fill=shape.fill, width=max(fine, round(shape.width * k)), joint="curve")
