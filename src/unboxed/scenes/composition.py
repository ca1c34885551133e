"""Composes scenes: a background, things placed where there is room, and the relations between them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from PIL import Image, ImageDraw

from unboxed.scenes.activities import laid_table, person_doing
from unboxed.scenes.animals import ANIMALS
from unboxed.scenes.backgrounds import Background, Box, Zone, paint_background
from unboxed.scenes.canvas import Mark, Sketch
from unboxed.scenes.furniture import FURNITURE, STREET_FURNITURE, WALL_THINGS, door
from unboxed.scenes.nature import BUILDINGS, PLANTS, SKY_THINGS
from unboxed.scenes.objects import GROUND_THINGS
from unboxed.scenes.palette import chance, pick
from unboxed.scenes.vehicles import VEHICLES

__all__ = ["Scene", "Thing", "compose_scene"]

FINE = 2
SIZES = ((256, 192), (256, 192), (192, 256), (224, 224))


@dataclass(eq=False)
class Thing:
    """Something that is drawn.

    Attributes:
        kind: such as dog or shirt.
        attributes: such as colour, pattern, size, age.
        box: x1, y1, x2, y2 in pixels, inside the picture.
        whole: the thing that it is a part of or worn by, if any.
        visible: fraction of its full extent that is in the picture and not behind something else, 0 to 1.
    """

    kind: str
    attributes: dict[str, str]
    box: Box
    whole: Thing | None = None
    visible: float = 1.0

    @property
    def centre(self) -> tuple[float, float]:
        """The centre of the box, x and y in pixels."""
        return (self.box[0] + self.box[2]) / 2, (self.box[1] + self.box[3]) / 2

    @property
    def clear(self) -> bool:
        """Whether it is large and visible enough to be mentioned and to get a box."""
        x1, y1, x2, y2 = self.box
        return self.visible > 0.6 and min(x2 - x1, y2 - y1) >= 6 and (x2 - x1) * (y2 - y1) >= 70


@dataclass(eq=False)
class Scene:
    """A picture with all its things.

    Attributes:
        picture: RGB.
        setting: see `Background`.
        night: whether the sky is dark.
        things: surfaces of the background first, then in painting order.
        relations: (subject, word, thing), such as a man, holding, a cup.
    """

    picture: Image.Image
    setting: str
    night: bool
    things: list[Thing] = field(default_factory=list)
    relations: list[tuple[Thing, str, Thing]] = field(default_factory=list)


@dataclass(eq=False)
class _Placed:
    sketch: Sketch
    x: float
    y: float
    scale: float
    flip: bool
    shadow: bool

    def pixels(self, extent: Box) -> Box:
        x1, y1, x2, y2 = extent
        sign = -self.scale if self.flip else self.scale
        xs = sorted((self.x + sign * x1, self.x + sign * x2))
        return xs[0], self.y - self.scale * y2, xs[1], self.y - self.scale * y1


def _overlap(a: Box, b: Box) -> float:
    return max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))


def _area(box: Box) -> float:
    return max(0.0, box[2] - box[0]) * max(0.0, box[3] - box[1])


class _Stage:
    """Places sketches one after the other where there is room."""

    def __init__(self, rng: np.random.Generator, ground: Background, width: int, height: int) -> None:
        self.rng, self.ground, self.width, self.height = rng, ground, width, height
        self.placed: list[_Placed] = []

    def put(self, sketch: Sketch, zone: Zone, *, factor: float = 1.0, crowd: float = 0.12, shadow: bool = True) -> bool:
        """Place the sketch in the zone if there is room; `crowd` is the fraction of it that may overlap others."""
        base = self.height * 0.49 if self.height <= self.width else self.height * 0.39
        x1, _, x2, _ = sketch.extent
        for _ in range(10):
            y = float(self.rng.uniform(zone.y1, zone.y2))
            depth = (y - self.ground.horizon) / max(1.0, self.height - self.ground.horizon)
            scale = base * factor * (0.62 + 0.5 * min(1.0, max(0.0, depth)))
            if zone.name in ("sky", "wall"):
                scale = base * factor
            elif zone.name == "near":
                scale = base * factor * 2.0
            flip = chance(self.rng, 0.5)
            half = scale * (x2 - x1) / 2
            x = float(self.rng.uniform(half * 0.96, max(half, self.width - half * 0.96)))
            middle = scale * (x1 + x2) / 2
            candidate = _Placed(sketch, x + (middle if flip else -middle), y, scale, flip, shadow)
            box = candidate.pixels(sketch.extent)
            if zone.name != "near" and (box[1] < -0.04 * self.height or half * 2 > self.width * 1.02):
                continue
            if zone.name == "near" and box[1] < 0.02 * self.height:
                continue
            others = [other.pixels(other.sketch.extent) for other in self.placed]
            if all(_overlap(box, o) <= crowd * min(_area(box), _area(o)) for o in others):
                self.placed.append(candidate)
                return True
        return False


def _sky_things(stage: _Stage) -> None:
    rng, ground = stage.rng, stage.ground
    if not any(kind == "sky" for kind, _, _ in ground.surfaces):
        return
    zone = Zone("sky", stage.height * 0.12, max(stage.height * 0.16, ground.horizon * 0.55))
    names = ["cloud"] * int(rng.integers(0, 3))
    if chance(rng, 0.35):
        names.append("moon" if ground.night else "sun")
    for name in names:
        stage.put(SKY_THINGS[name](rng), zone, crowd=0.05, shadow=False)
    if ground.setting != "portrait":
        for _ in range(pick(rng, (0, 0, 0, 1, 1, 2, 3))):
            stage.put(ANIMALS["bird"](rng), zone, crowd=0.05, shadow=False)
        if chance(rng, 0.16):
            name = pick(rng, ("plane", "hot air balloon"))
            stage.put(VEHICLES[name](rng), zone, factor=0.75, crowd=0.05, shadow=False)


_HABITATS = {
    "meadow": ("dog", "cat", "horse", "cow", "sheep", "rabbit", "elephant", "chicken", "dog"),
    "farm": ("horse", "cow", "sheep", "chicken", "duck", "dog", "cow", "sheep"),
    "lake": ("dog", "duck", "rabbit", "cow", "elephant"),
    "street": ("dog", "cat", "dog", "horse"),
    "beach": ("dog", "horse", "cat"),
    "snow": ("dog", "rabbit", "horse"),
    "yard": ("cat", "dog", "chicken", "rabbit"),
    "hedge": ("rabbit", "dog", "cat", "sheep", "elephant", "chicken"),
    "room": ("cat", "dog", "cat", "rabbit"),
}
_BACKDROPS = {
    "meadow": (*["tree"] * 3, "pine tree", "house", "bush", "fence"),
    "farm": ("barn", "house", "fence", "fence", "tree"),
    "street": ("building", "building", "house", "building", "tree"),
    "snow": ("pine tree", "pine tree", "house", "tree"),
}
_PLANTED = {
    "meadow": ("flowers", "rock", "bush", "tree"),
    "farm": ("fence", "flowers", "rock", "bush"),
    "lake": ("flowers", "rock", "bush", "tree", "pine tree"),
    "street": ("street lamp", "sign", "tree", "street lamp"),
    "beach": ("palm tree", "rock", "palm tree"),
    "snow": ("pine tree", "rock", "fence"),
    "yard": ("bush", "flowers", "sign", "bench"),
    "hedge": ("flowers", "rock", "bush", "bench"),
}
_TRAFFIC = {
    "meadow": ("tractor", "bicycle", "train"),
    "farm": ("tractor", "tractor", "truck", "car"),
    "street": ("car", "car", "truck", "bus", "bicycle", "car"),
    "snow": ("car", "truck", "train"),
    "yard": ("bicycle", "car"),
    "beach": ("bicycle", "car"),
}


def _any(rng: np.random.Generator, name: str) -> Sketch:
    for table in (ANIMALS, VEHICLES, PLANTS, BUILDINGS, FURNITURE, STREET_FURNITURE, GROUND_THINGS, WALL_THINGS):
        if name in table:
            return table[name](rng)
    raise KeyError(name)


def _outdoors(stage: _Stage) -> None:
    rng, zones, setting = stage.rng, stage.ground.zones, stage.ground.setting
    _backdrop(stage)
    if "water" in zones:
        _on_water(stage, zones["water"])
    if "ground" not in zones:
        return
    for _ in range(pick(rng, (0, 1, 1, 2, 2, 2, 3, 3, 4))):
        stage.put(person_doing(rng, setting), zones["ground"])
    repeated = chance(rng, 0.45)
    _traffic(stage, repeated)
    _animals(stage, repeated)
    for _ in range(pick(rng, (0, 1, 1, 2))):
        stage.put(_any(rng, pick(rng, _PLANTED[setting])), zones["ground"], crowd=0.08)
    _objects_on_ground(stage, 0.4)


def _backdrop(stage: _Stage) -> None:
    rng, zones, setting = stage.rng, stage.ground.zones, stage.ground.setting
    for _ in range(int(rng.integers(0, 4))):
        if "back" in zones and setting in _BACKDROPS:
            stage.put(_any(rng, pick(rng, _BACKDROPS[setting])), zones["back"], factor=1.15, crowd=0.15, shadow=False)


def _on_water(stage: _Stage, water: Zone) -> None:
    rng, setting = stage.rng, stage.ground.setting
    for _ in range(int(rng.integers(0, 4)) + (setting == "sea")):
        name = pick(rng, ("boat", "boat", "duck", "boat")) if setting != "lake" else pick(rng, ("boat", "duck"))
        stage.put(_any(rng, name), water, factor=0.8 if name == "boat" else 0.95, crowd=0.05, shadow=False)


def _traffic(stage: _Stage, repeated: bool) -> None:
    rng, zones, setting = stage.rng, stage.ground.zones, stage.ground.setting
    if setting in _TRAFFIC and chance(rng, 0.9 if setting == "street" else 0.3):
        name = pick(rng, _TRAFFIC[setting])
        for _ in range(1 + (repeated and chance(rng, 0.6))):
            stage.put(_any(rng, name), zones.get("road", zones["ground"]), factor=0.85)
        if setting == "street" and chance(rng, 0.5):
            stage.put(_any(rng, pick(rng, _TRAFFIC[setting])), zones["road"], factor=0.85)


def _animals(stage: _Stage, repeated: bool) -> None:
    rng, ground, setting = stage.rng, stage.ground.zones["ground"], stage.ground.setting
    if chance(rng, 0.62):
        name = pick(rng, _HABITATS[setting])
        for _ in range(pick(rng, (2, 2, 3)) if repeated else 1):
            stage.put(ANIMALS[name](rng), ground)
        if chance(rng, 0.3):
            stage.put(ANIMALS[pick(rng, _HABITATS[setting])](rng), ground)


def _objects_on_ground(stage: _Stage, probability: float) -> None:
    rng = stage.rng
    if chance(rng, probability):
        name = pick(rng, tuple(GROUND_THINGS))
        for _ in range(pick(rng, (1, 1, 2, 3))):
            stage.put(GROUND_THINGS[name](rng), stage.ground.zones["ground"], crowd=0.08)


def _indoors(stage: _Stage) -> None:
    rng, zones = stage.rng, stage.ground.zones
    for _ in range(pick(rng, (0, 1, 2, 2))):
        stage.put(_any(rng, pick(rng, tuple(WALL_THINGS))), zones["wall"], crowd=0.02, shadow=False)
    if chance(rng, 0.25):
        stage.put(door(rng), Zone("back", stage.ground.horizon + 1, stage.ground.horizon + 3), crowd=0.02, shadow=False)
    for _ in range(pick(rng, (0, 1, 1, 2, 2, 3))):
        stage.put(person_doing(rng, "room"), zones["ground"])
    for _ in range(pick(rng, (1, 1, 2))):
        name = pick(rng, ("table", "table", "lamp", "bookshelf", "sofa", "chair", "bed"))
        zone = zones["back"] if name in ("bookshelf", "lamp", "sofa", "bed") else zones["ground"]
        stage.put(laid_table(rng) if name == "table" else FURNITURE[name](rng), zone, crowd=0.06)
    if chance(rng, 0.5):
        name = pick(rng, _HABITATS["room"])
        for _ in range(pick(rng, (1, 1, 2))):
            stage.put(ANIMALS[name](rng), zones["ground"], crowd=0.08)
    _objects_on_ground(stage, 0.5)


def _things(stage: _Stage, scene: Scene) -> None:
    """Adds what was placed as things with boxes in pixels; `stage.placed` is in painting order."""
    of_mark: dict[Mark, Thing] = {}
    frame = (0.0, 0.0, float(stage.width), float(stage.height))
    for order, placed in enumerate(stage.placed):
        later = [p.pixels(p.sketch.extent) for p in stage.placed[order + 1 :]]
        for mark in placed.sketch.marks:
            full = placed.pixels(mark.extent)
            box = (max(0.0, full[0]), max(0.0, full[1]), min(frame[2], full[2]), min(frame[3], full[3]))
            if _area(box) <= 0:
                continue
            hidden = sum(_overlap(box, other) for other in later)
            visible = max(0.0, _area(box) - hidden) / max(1e-6, _area(full))
            of_mark[mark] = Thing(mark.kind, mark.attributes, box, visible=visible)
        for mark in placed.sketch.marks:
            if mark in of_mark:
                of_mark[mark].whole = of_mark.get(mark.parent) if mark.parent else None
                scene.things.append(of_mark[mark])
        scene.relations += [
            (of_mark[a], word, of_mark[b]) for a, word, b in placed.sketch.relations if a in of_mark and b in of_mark
        ]


def compose_scene(rng: np.random.Generator) -> Scene:
    """A random scene; the same state of `rng` gives the same bytes."""
    width, height = pick(rng, SIZES)
    canvas = Image.new("RGB", (width * FINE, height * FINE))
    ground = paint_background(canvas, FINE, rng)
    stage = _Stage(rng, ground, width, height)
    if ground.setting == "portrait":
        for _ in range(pick(rng, (1, 1, 2))):
            stage.put(person_doing(rng, "portrait"), ground.zones["near"], crowd=0.02, shadow=False)
    elif ground.setting == "room":
        _indoors(stage)
    else:
        _outdoors(stage)
    for _ in range(3):
        if len(stage.placed) < 3 and "ground" in ground.zones:
            stage.put(person_doing(rng, ground.setting), ground.zones["ground"])
    _sky_things(stage)
    stage.placed.sort(key=lambda placed: (placed.shadow, placed.y))
    draw = ImageDraw.Draw(canvas, "RGBA")
    for placed in stage.placed:
        if placed.shadow:
            _cast_shadow(draw, placed)
        placed.sketch.paint(draw, placed.x, placed.y, placed.scale, placed.flip, FINE)
    scene = Scene(canvas.reduce(FINE), ground.setting, ground.night)
    scene.things += [Thing(kind, attributes, box) for kind, attributes, box in ground.surfaces]
    _things(stage, scene)
    return scene


def _cast_shadow(draw: ImageDraw.ImageDraw, placed: _Placed) -> None:
    for mark in _standing(placed.sketch):
        x1, _, x2, _ = placed.pixels(mark.extent)
        y, rx = placed.y, (x2 - x1) * 0.46
        ry = max(1.5, min(5.0, rx * 0.14))
        corners = [((x1 + x2) / 2 - rx) * FINE, (y - ry) * FINE, ((x1 + x2) / 2 + rx) * FINE, (y + ry) * FINE]
        draw.ellipse(corners, fill=(20, 24, 40, 58))


def _standing(sketch: Sketch) -> Iterator[Mark]:
    """The outermost marks that touch the ground."""
    return (mark for mark in sketch.marks if mark.parent is None and mark.extent[1] < 0.06)
