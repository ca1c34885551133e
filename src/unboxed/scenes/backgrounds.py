"""Backgrounds of scenes: sky, ground and rooms, painted in pixels from the back to the front."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from PIL import Image, ImageDraw

from unboxed.scenes.canvas import Colour, shade
from unboxed.scenes.palette import COLOURS, chance, paint_of, pick, pick_colour

__all__ = ["Background", "Zone", "paint_background"]

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Zone:
    """Where things may stand: with their base between y1 and y2 in pixels. Things further down are larger."""

    name: str
    y1: float
    y2: float


@dataclass
class Background:
    """A painted background.

    Attributes:
        setting: meadow, farm, lake, street, beach, snow, sea, hedge, yard, room or portrait.
        surfaces: kind, attributes and box in pixels of each surface, from back to front.
        zones: where things may stand.
        horizon: y in pixels where the ground begins.
        night: whether the sky is dark.
    """

    setting: str
    surfaces: list[tuple[str, dict[str, str], Box]] = field(default_factory=list)
    zones: dict[str, Zone] = field(default_factory=dict)
    horizon: float = 0.0
    night: bool = False


class _Painter:
    """Paints on the enlarged canvas, in pixels of the final image."""

    def __init__(self, canvas: Image.Image, fine: int, rng: np.random.Generator) -> None:
        self.canvas, self.fine, self.rng = canvas, fine, rng
        self.draw = ImageDraw.Draw(canvas, "RGBA")
        self.width, self.height = canvas.width / fine, canvas.height / fine

    def gradient(self, y1: float, y2: float, top: Colour, bottom: Colour) -> None:
        rows = max(1, round((y2 - y1) * self.fine))
        steps = np.linspace(0, 1, rows)[:, None]
        column = (np.array(top[:3]) * (1 - steps) + np.array(bottom[:3]) * steps).astype(np.uint8)
        picture = np.broadcast_to(column[:, None], (rows, self.canvas.width, 3))
        self.canvas.paste(Image.fromarray(np.ascontiguousarray(picture)), (0, round(y1 * self.fine)))

    def polygon(self, points: list[tuple[float, float]], fill: Colour) -> None:
        self.draw.polygon([(x * self.fine, y * self.fine) for x, y in points], fill=fill)

    def box(self, x1: float, y1: float, x2: float, y2: float, fill: Colour) -> None:
        self.draw.rectangle([x1 * self.fine, y1 * self.fine, x2 * self.fine, y2 * self.fine], fill=fill)

    def line(self, points: list[tuple[float, float]], fill: Colour, width: float) -> None:
        self.draw.line(
            [(x * self.fine, y * self.fine) for x, y in points], fill=fill, width=max(1, round(width * self.fine))
        )

    def spot(self, x: float, y: float, rx: float, ry: float, fill: Colour) -> None:
        f = self.fine
        self.draw.ellipse([(x - rx) * f, (y - ry) * f, (x + rx) * f, (y + ry) * f], fill=fill)

    def tufts(self, y1: float, y2: float, colour: Colour, count: int) -> None:
        """Draws small strokes that turn a green plane into grass."""
        xs, ys = self.rng.uniform(0, self.width, count), self.rng.uniform(y1 + 2, y2, count)
        for x, y in zip(xs.tolist(), ys.tolist(), strict=True):
            h = 1.5 + 3.0 * (y - y1) / (y2 - y1)
            self.line([(x - 1, y - h), (x, y), (x + 1.2, y - h * 0.8)], colour, 0.6)


_SKIES: dict[str, tuple[Colour, Colour]] = {
    "blue": ((92, 164, 232), (206, 232, 250)),
    "gray": ((150, 160, 172), (204, 210, 216)),
    "orange": ((238, 128, 84), (252, 214, 142)),
    "dark": ((18, 24, 62), (58, 70, 120)),
}


def _sky(p: _Painter, ground: Background, bottom: float) -> None:
    name = pick(p.rng, ("blue", "blue", "blue", "gray", "orange", "dark"))
    p.gradient(0, bottom, *_SKIES[name])
    ground.night = name == "dark"
    if ground.night:
        for x, y in zip(p.rng.uniform(0, p.width, 24).tolist(), p.rng.uniform(0, bottom, 24).tolist(), strict=True):
            p.spot(x, y, 0.8, 0.8, (250, 250, 220))
    ground.surfaces.append(("sky", {"colour": name}, (0, 0, p.width, bottom)))


def _mountains(p: _Painter, ground: Background, base: float) -> None:
    rng, height = p.rng, base * float(p.rng.uniform(0.45, 0.7))
    rock: Colour = pick(rng, ((112, 120, 142), (128, 112, 108), (92, 112, 122)))
    snowy = chance(rng, 0.5)
    top = base
    for k in range(4):
        x = p.width * (k - 0.1 + float(rng.uniform(-0.1, 0.1))) / 2.8
        peak = base - height * float(rng.uniform(0.6, 1.0))
        half = p.width * float(rng.uniform(0.24, 0.34))
        p.polygon([(x - half, base), (x, peak), (x + half, base)], shade(rock, 0.85 + 0.1 * (k % 3)))
        p.polygon([(x, peak), (x + half, base), (x + half * 0.2, base)], shade(rock, 0.72 + 0.1 * (k % 3)))
        if snowy:
            cut = (base - peak) * 0.28
            slope = half / (base - peak) * cut
            p.polygon(
                [(x - slope, peak + cut), (x, peak), (x + slope, peak + cut), (x, peak + cut * 0.7)], (248, 250, 254)
            )
        top = min(top, peak)
    ground.surfaces.append(("mountains", {"snowy": "yes" if snowy else "no"}, (0, top, p.width, base)))


def _hills(p: _Painter, base: float) -> None:
    """Low hills far away, which captions do not mention."""
    for k, green in enumerate(((126, 176, 120), (106, 162, 102))):
        xs = np.linspace(0, p.width, 24)
        phase, high = float(p.rng.uniform(0, 6.3)), base * (0.16 - 0.06 * k)
        ys = base - high * (0.6 + 0.4 * np.sin(xs / p.width * 5 + phase))
        p.polygon([(0, base), *zip(xs.tolist(), ys.tolist(), strict=True), (p.width, base)], green)


def _grass(p: _Painter, ground: Background, y1: float, y2: float) -> None:
    tone = float(p.rng.uniform(0.85, 1.05))
    dim = 0.6 if ground.night else 1.0
    top, bottom = shade((146, 198, 92), tone * dim), shade((84, 150, 62), tone * dim)
    p.gradient(y1, y2, top, bottom)
    p.tufts(y1, y2, shade(bottom, 0.8), 70)
    ground.surfaces.append(("grass", {"colour": "green"}, (0, y1, p.width, y2)))


def _water(p: _Painter, ground: Background, kind: str, y1: float, y2: float) -> None:
    dim = 0.6 if ground.night else 1.0
    p.gradient(y1, y2, shade((92, 172, 214), dim), shade((40, 116, 182), dim))
    for x, y in zip(p.rng.uniform(0, p.width, 26).tolist(), p.rng.uniform(y1 + 2, y2 - 1, 26).tolist(), strict=True):
        w = 3 + 7 * (y - y1) / (y2 - y1)
        p.line([(x - w, y), (x, y - 1), (x + w, y)], (214, 238, 250, 150), 0.8)
    ground.surfaces.append((kind, {"colour": "blue"}, (0, y1, p.width, y2)))


def _meadow(p: _Painter, ground: Background) -> None:
    h = ground.horizon
    _sky(p, ground, h)
    far = pick(p.rng, ("mountains", "hills", "none", "hills"))
    if far == "mountains":
        _mountains(p, ground, h)
    elif far == "hills":
        _hills(p, h)
    _grass(p, ground, h, p.height)
    if chance(p.rng, 0.25):
        x, w = p.width * float(p.rng.uniform(0.2, 0.8)), p.width * 0.16
        lean = p.width * float(p.rng.uniform(-0.3, 0.3))
        points = [(x - 3, h), (x + 3, h), (x + lean + w, p.height), (x + lean - w, p.height)]
        p.polygon(points, (206, 178, 130))
        ground.surfaces.append(
            ("path", {}, (max(0, min(q[0] for q in points)), h, min(p.width, max(q[0] for q in points)), p.height))
        )
    ground.zones["back"] = Zone("back", h + 2, h + 8)
    ground.zones["ground"] = Zone("ground", h + 0.12 * p.height, 0.97 * p.height)


def _lake(p: _Painter, ground: Background) -> None:
    h = ground.horizon = p.height * float(p.rng.uniform(0.3, 0.4))
    _sky(p, ground, h)
    if chance(p.rng, 0.5):
        _mountains(p, ground, h)
    else:
        _hills(p, h)
    shore = p.height * float(p.rng.uniform(0.6, 0.68))
    _water(p, ground, "lake", h, shore)
    _grass(p, ground, shore, p.height)
    ground.zones["water"] = Zone("water", h + 0.12 * p.height, shore - 4)
    ground.zones["ground"] = Zone("ground", shore + 0.06 * p.height, 0.97 * p.height)


def _street(p: _Painter, ground: Background) -> None:
    h = ground.horizon
    _sky(p, ground, h)
    dim = 0.65 if ground.night else 1.0
    kerb = h + p.height * float(p.rng.uniform(0.14, 0.2))
    p.gradient(h, kerb, shade((190, 186, 178), dim), shade((206, 202, 194), dim))
    for k in range(12):
        x = p.width * k / 11
        p.line([(x, h), (x + (x - p.width / 2) * 0.1, kerb)], shade((160, 156, 150), dim), 0.7)
    p.box(0, kerb, p.width, kerb + 3, shade((150, 148, 144), dim))
    p.gradient(kerb + 3, p.height, shade((112, 114, 120), dim), shade((82, 84, 90), dim))
    y = (kerb + p.height) / 2 + 4
    for k in range(6):
        x = p.width * (k + 0.2) / 5.5
        p.polygon([(x, y), (x + 18, y), (x + 20, y + 3), (x + 1, y + 3)], (240, 236, 214))
    ground.surfaces.append(("sidewalk", {}, (0, h, p.width, kerb)))
    ground.surfaces.append(("street", {}, (0, kerb, p.width, p.height)))
    ground.zones["back"] = Zone("back", h + 1, h + 3)
    ground.zones["walk"] = Zone("walk", h + 0.08 * p.height, kerb - 2)
    ground.zones["road"] = Zone("road", kerb + 0.14 * p.height, 0.96 * p.height)
    ground.zones["ground"] = Zone("ground", h + 0.1 * p.height, 0.97 * p.height)


def _beach(p: _Painter, ground: Background) -> None:
    h = ground.horizon = p.height * float(p.rng.uniform(0.3, 0.42))
    _sky(p, ground, h)
    shore = h + p.height * float(p.rng.uniform(0.16, 0.24))
    _water(p, ground, "sea", h, shore)
    dim = 0.65 if ground.night else 1.0
    p.gradient(shore, p.height, shade((240, 220, 164), dim), shade((226, 194, 128), dim))
    p.polygon(
        [(0, shore - 2), *[(p.width * k / 8, shore + (2.5 if k % 2 else -1)) for k in range(9)], (p.width, shore - 2)],
        (250, 252, 252),
    )
    for x, y in zip(
        p.rng.uniform(0, p.width, 50).tolist(), p.rng.uniform(shore + 4, p.height, 50).tolist(), strict=True
    ):
        p.spot(x, y, 0.8, 0.5, shade((206, 170, 104), dim))
    ground.surfaces.append(("sand", {}, (0, shore, p.width, p.height)))
    ground.zones["water"] = Zone("water", h + 0.08 * p.height, shore - 4)
    ground.zones["ground"] = Zone("ground", shore + 0.1 * p.height, 0.97 * p.height)


def _sea(p: _Painter, ground: Background) -> None:
    h = ground.horizon = p.height * float(p.rng.uniform(0.35, 0.5))
    _sky(p, ground, h)
    if chance(p.rng, 0.4):
        _mountains(p, ground, h)
    _water(p, ground, "sea", h, p.height)
    ground.zones["water"] = Zone("water", h + 0.1 * p.height, 0.95 * p.height)


def _snow(p: _Painter, ground: Background) -> None:
    h = ground.horizon
    _sky(p, ground, h)
    if chance(p.rng, 0.6):
        _mountains(p, ground, h)
    dim = 0.75 if ground.night else 1.0
    p.gradient(h, p.height, shade((226, 234, 246), dim), shade((250, 252, 255), dim))
    for _ in range(4):
        x, y = float(p.rng.uniform(0, p.width)), float(p.rng.uniform(h + 10, p.height))
        p.spot(x, y, p.width * 0.16, 5, shade((212, 224, 242), dim))
    ground.surfaces.append(("snow", {}, (0, h, p.width, p.height)))
    ground.zones["back"] = Zone("back", h + 2, h + 8)
    ground.zones["ground"] = Zone("ground", h + 0.12 * p.height, 0.97 * p.height)


def _bricks(p: _Painter, y2: float) -> str:
    name = pick(p.rng, ("red", "gray", "brown"))
    brick = {"red": (186, 92, 72), "gray": (166, 164, 162), "brown": (158, 118, 88)}[name]
    p.gradient(0, y2, shade(brick, 1.05), brick)
    joint, row, y = shade(brick, 0.8), 0, 0.0
    while y < y2:
        p.line([(0, y), (p.width, y)], joint, 0.7)
        x = 0.0 if row % 2 else 8.0
        while x < p.width:
            p.line([(x, y), (x, min(y2, y + 8))], joint, 0.7)
            x += 16
        y, row = y + 8, row + 1
    return name


def _yard(p: _Painter, ground: Background) -> None:
    """A yard in front of a brick wall, without sky."""
    h = ground.horizon = p.height * float(p.rng.uniform(0.5, 0.62))
    name = _bricks(p, h)
    ground.surfaces.append(("brick wall", {"colour": name}, (0, 0, p.width, h)))
    if chance(p.rng, 0.5):
        _grass(p, ground, h, p.height)
    else:
        p.gradient(h, p.height, (196, 192, 186), (172, 168, 162))
        for k in range(1, 4):
            y = h + (p.height - h) * k / 4
            p.line([(0, y), (p.width, y)], (150, 146, 140), 0.7)
        ground.surfaces.append(("sidewalk", {}, (0, h, p.width, p.height)))
    ground.zones["ground"] = Zone("ground", h + 0.12 * p.height, 0.97 * p.height)


def _hedge(p: _Painter, ground: Background) -> None:
    """Grass in front of dense trees, without sky."""
    h = ground.horizon = p.height * float(p.rng.uniform(0.45, 0.58))
    p.gradient(0, h, (30, 84, 48), (58, 116, 62))
    for x, y in zip(p.rng.uniform(0, p.width, 60).tolist(), p.rng.uniform(0, h - 6, 60).tolist(), strict=True):
        p.spot(x, y, 9, 7, pick(p.rng, ((44, 104, 56), (70, 134, 70), (36, 92, 52))))
    for x in p.rng.uniform(0, p.width, 6).tolist():
        p.box(x - 2.5, h - 34, x + 2.5, h, (84, 60, 42))
    ground.surfaces.append(("forest", {}, (0, 0, p.width, h)))
    _grass(p, ground, h, p.height)
    ground.zones["ground"] = Zone("ground", h + 0.12 * p.height, 0.97 * p.height)


_WALLS: dict[str, Colour] = {
    "yellow": (244, 224, 160), "blue": (166, 200, 226), "green": (178, 208, 172), "pink": (240, 200, 204),
    "gray": (198, 200, 204), "purple": (204, 190, 224), "orange": (242, 200, 156),
}  # fmt: skip


def _wall(p: _Painter, ground: Background, y2: float) -> None:
    name = pick_colour(p.rng, tuple(_WALLS))
    paper = _WALLS[name]
    p.gradient(0, y2, shade(paper, 1.15), shade(paper, 0.94))
    if chance(p.rng, 0.35):
        for k in range(0, round(p.width), 14):
            p.box(k, 0, k + 6, y2, (*shade(paper, 0.9), 120))
    ground.surfaces.append(("wall", {"colour": name}, (0, 0, p.width, y2)))


def _room(p: _Painter, ground: Background) -> None:
    h = ground.horizon = p.height * float(p.rng.uniform(0.5, 0.62))
    _wall(p, ground, h)
    floor = pick(p.rng, ("wooden", "tiled", "carpet"))
    tone: Colour = {
        "wooden": (186, 134, 84),
        "tiled": (214, 212, 206),
        "carpet": paint_of(p.rng, pick_colour(p.rng, ("red", "blue", "purple", "gray"))),
    }[floor]
    p.gradient(h, p.height, shade(tone, 0.85), tone)
    if floor != "carpet":
        for k in range(-8, 18):
            x = p.width * k / 9
            p.line([(p.width / 2 + (x - p.width / 2) * 0.6, h), (x, p.height)], shade(tone, 0.75), 0.7)
    if floor == "tiled":
        for k in range(1, 5):
            y = h + (p.height - h) * (k / 5) ** 1.4
            p.line([(0, y), (p.width, y)], shade(tone, 0.75), 0.7)
    p.box(0, h - 2.5, p.width, h + 1, (246, 242, 236))
    kind = "carpet" if floor == "carpet" else "floor"
    ground.surfaces.append((kind, {"material": floor}, (0, h, p.width, p.height)))
    if floor != "carpet" and chance(p.rng, 0.4):
        name = pick_colour(p.rng, ("red", "blue", "green", "purple", "orange", "pink"))
        rug, y1, y2 = COLOURS[name], h + (p.height - h) * 0.35, h + (p.height - h) * 0.92
        x1, x2 = p.width * float(p.rng.uniform(0.08, 0.25)), p.width * float(p.rng.uniform(0.7, 0.92))
        p.polygon([(x1 + 12, y1), (x2 - 12, y1), (x2, y2), (x1, y2)], shade(rug, 0.9))
        p.polygon([(x1 + 18, y1 + 4), (x2 - 18, y1 + 4), (x2 - 9, y2 - 5), (x1 + 9, y2 - 5)], shade(rug, 1.25))
        ground.surfaces.append(("rug", {"colour": name}, (x1, y1, x2, y2)))
    ground.zones["wall"] = Zone("wall", p.height * 0.16, h - p.height * 0.2)
    ground.zones["back"] = Zone("back", h + 4, h + 0.1 * p.height)
    ground.zones["ground"] = Zone("ground", h + 0.14 * p.height, 0.97 * p.height)


def _portrait(p: _Painter, ground: Background) -> None:
    """The background of people seen from near."""
    ground.horizon = p.height
    behind = pick(p.rng, ("wall", "bricks", "sky", "grass"))
    if behind == "wall":
        _wall(p, ground, p.height)
    elif behind == "bricks":
        ground.surfaces.append(("brick wall", {"colour": _bricks(p, p.height)}, (0, 0, p.width, p.height)))
    else:
        h = p.height * float(p.rng.uniform(0.45, 0.65))
        _sky(p, ground, h)
        if behind == "grass":
            _grass(p, ground, h, p.height)
        else:
            _water(p, ground, "sea", h, p.height)
    ground.zones["near"] = Zone("near", p.height * 1.25, p.height * 1.35)


_SETTINGS: dict[str, Callable[[_Painter, Background], None]] = {
    "meadow": _meadow, "farm": _meadow, "lake": _lake, "street": _street, "beach": _beach, "sea": _sea,
    "snow": _snow, "yard": _yard, "hedge": _hedge, "room": _room, "portrait": _portrait,
}  # fmt: skip
_WEIGHTS = {
    "meadow": 5, "farm": 3, "lake": 2, "street": 6, "beach": 3, "sea": 1, "snow": 2, "yard": 2, "hedge": 2, "room": 6,
    "portrait": 4,
}  # fmt: skip
_DECK = tuple(name for name, weight in _WEIGHTS.items() for _ in range(weight))


def paint_background(canvas: Image.Image, fine: int, rng: np.random.Generator) -> Background:
    """Paint a random background on a canvas that is enlarged `fine` times."""
    painter = _Painter(canvas, fine, rng)
    ground = Background(pick(rng, _DECK))
    ground.horizon = painter.height * float(rng.uniform(0.4, 0.52))
    _SETTINGS[ground.setting](painter, ground)
    return ground
