"""Pictures to look at: an image with its phrases boxed and its caption in matching colours, and heat maps.

Everything is drawn at twice the size and reduced, so that round corners and dashes are smooth. The font is the one
inside Pillow: no font file, the same picture on every machine.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from unboxed.errors import ImageError
from unboxed.types import Array, Phrase

__all__ = [
    "PALETTE",
    "caption_strip",
    "draw_boxes",
    "draw_grounding",
    "draw_heat",
    "heat_colours",
    "heat_map",
    "ink",
    "lettering",
    "phrase_colours",
    "save_picture",
]

# Okabe and Ito's colours, which colour-blind people can tell apart, deepened where white lettering needs it; two more
# after them, as long captions have nine phrases.
PALETTE = ("#0072B2", "#E69F00", "#00875F", "#C25200", "#B5508B", "#3FA7DC", "#E3D31B", "#6B4BA1", "#7A5230")

# Dark to light in even steps of lightness, so that more heat always looks like more.
_HEAT = np.array(
    [
        [0, 0, 4],
        [40, 11, 84],
        [101, 21, 110],
        [159, 42, 99],
        [212, 72, 66],
        [245, 125, 21],
        [250, 193, 39],
        [252, 255, 164],
    ]
)
_SMOOTH = 2  # drawn at twice the size
_LONG_SIDE = 800  # a smaller image is enlarged to it
_PAPER, _TEXT = "#FFFFFF", "#1B1F24"

Rectangle = tuple[float, float, float, float]
Floats = npt.NDArray[np.float64]


class BoxedPhrase(Protocol):
    """What is drawn of a phrase: its text and span in the caption, and its boxes `[N, 4]` in pixels, best first."""

    @property
    def text(self) -> str: ...
    @property
    def start(self) -> int: ...
    @property
    def end(self) -> int: ...
    @property
    def boxes(self) -> Array: ...


def draw_grounding(
    image: Image.Image,
    caption: str,
    phrases: Sequence[BoxedPhrase],
    *,
    gold: Sequence[Phrase] = (),
    top: int = 1,
) -> Image.Image:
    """The image with each phrase's best boxes, and the caption below it with each phrase in its boxes' colour.

    Args:
        photo: RGB, upright; enlarged when its long side is less than 800 pixels.
        caption: the text that the phrases' spans count characters of.
        phrases: boxes in pixels of `photo`, best first; one without boxes stays uncoloured.
        gold: phrases whose gold boxes are drawn dashed, in the colour of the phrase with the same span.
        top: boxes drawn per phrase, at least 1; thinner from the second on.

    Returns:
        RGB, as wide as the enlarged image and taller by the caption.
    """
    scale = max(1.0, _LONG_SIDE / max(image.size))
    colours = phrase_colours(phrases)
    picture = draw_boxes(image, phrases, colours, scale, gold=gold, top=top)
    below = caption_strip(
        caption, [(p.start, p.end, colours[p.start, p.end]) for p in phrases if len(p.boxes)], picture.width
    )
    whole = Image.new("RGB", (picture.width, picture.height + below.height), _PAPER)
    whole.paste(picture, (0, 0))
    whole.paste(below, (0, picture.height))
    return whole


def phrase_colours(phrases: Sequence[BoxedPhrase]) -> dict[tuple[int, int], str]:
    """The colour (as `#RRGGBB`) of each phrase by its characters (start, end)."""
    return {(phrase.start, phrase.end): PALETTE[i % len(PALETTE)] for i, phrase in enumerate(phrases)}


def draw_boxes(
    image: Image.Image,
    phrases: Sequence[BoxedPhrase],
    colours: Mapping[tuple[int, int], str],
    scale: float,
    *,
    gold: Sequence[Phrase] = (),
    top: int = 1,
    tagged: bool = True,
) -> Image.Image:
    """The image, enlarged or reduced by `scale`, with each phrase's best boxes.

    Args:
        photo: RGB, upright.
        phrases: boxes in pixels of `photo`, best first.
        colours: of `phrase_colours`.
        scale: of the picture to the image.
        gold: phrases whose gold boxes are drawn dashed.
        top: boxes drawn per phrase, at least 1; thinner from the second on.
        tagged: with the phrases' texts at the boxes.
    """
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    picture = image.convert("RGB").resize(size, _filter(scale))
    layer = _Layer(picture.size)
    for own in gold:
        for box in own.boxes:
            layer.dashed(_scaled(box, scale), colours.get((own.start, own.end), _TEXT))
    drawn: list[Rectangle] = []
    tags = []
    for phrase in sorted(phrases, key=_first_area, reverse=True):  # small ones over large ones
        colour = colours[phrase.start, phrase.end]
        for rank, box in enumerate(phrase.boxes[:top]):
            outline = _apart(_scaled(box, scale), drawn, layer.line)
            drawn.append(outline)
            layer.box(outline, colour, layer.line if rank == 0 else layer.line / 2)
            if rank == 0:
                tags.append((outline, phrase.text, colour))
    if tagged:
        layer.tags(sorted(tags, key=lambda tag: tag[0][1]))
    return Image.alpha_composite(picture.convert("RGBA"), layer.reduced()).convert("RGB")


def save_picture(path: Path, picture: Image.Image) -> None:
    """Write a picture in the format of the file's ending, in one step; raises `ImageError` for an ending not known."""
    if path.suffix.lower() not in (".png", ".jpg", ".jpeg", ".webp"):
        raise ImageError(f"Cannot save a picture as {path.name!r}; let its name end in .png, .jpg or .webp.")
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        picture.save(beside)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def draw_heat(image: Image.Image, boxes: Array, weights: Array) -> Image.Image:
    """The image under the heat of a word's attention: dark where it does not look, bright where it looks most.

    Args:
        photo: RGB, upright.
        boxes: `[R, 4]` pixels of `photo`.
        weights: `[R]`, not negative; only their proportions matter.

    Returns:
        RGB, of the photograph's size, but at least 800 pixels on its long side.
    """
    scale = max(1.0, _LONG_SIDE / max(image.size))
    picture = image.convert("RGB").resize((round(image.width * scale), round(image.height * scale)), _filter(scale))
    cells = 96
    size = (max(1, round(cells * image.width / max(image.size))), max(1, round(cells * image.height / max(image.size))))
    heat = heat_map(boxes, weights, image.size, size)
    blurred = Image.fromarray((255 * heat).astype(np.uint8)).filter(ImageFilter.GaussianBlur(2))
    level = np.asarray(blurred.resize(picture.size, Image.Resampling.BICUBIC), dtype=np.float64) / 255
    grey = np.asarray(picture.convert("L"), dtype=np.float64)[..., None].repeat(3, axis=2)
    cover = 0.45 + 0.3 * level[..., None]
    mixed = (1 - cover) * grey + cover * heat_colours(level)
    return Image.fromarray(mixed.clip(0, 255).astype(np.uint8))


def heat_map(boxes: Array, weights: Array, extent: tuple[int, int], size: tuple[int, int]) -> Floats:
    """How much weight lies over each point: `[height, width]` in [0, 1], 1 where most regions' weight adds up.

    Args:
        boxes: `[R, 4]` in a frame of `extent` (width, height).
        weights: `[R]`, not negative.
        extent: width and height of the frame of the boxes.
        size: width and height of the map.
    """
    width, height = size
    columns = (np.arange(width) + 0.5) * extent[0] / width
    rows = (np.arange(height) + 0.5) * extent[1] / height
    across = (columns >= boxes[:, 0, None]) & (columns <= boxes[:, 2, None])
    down = (rows >= boxes[:, 1, None]) & (rows <= boxes[:, 3, None])
    weighted: Floats = np.asarray(weights, dtype=np.float64)[:, None] * across
    total: Floats = down.T.astype(np.float64) @ weighted
    return total / total.max() if total.size and total.max() > 0 else total


def heat_colours(level: Floats) -> Floats:
    """RGB in 0..255, `[..., 3]`, of levels `[...]` in [0, 1]."""
    at = np.linspace(0, 1, len(_HEAT))
    return np.stack([np.interp(level, at, _HEAT[:, channel]) for channel in range(3)], axis=-1)


def ink(colour: str) -> str:
    """Black or white (as `#RRGGBB`), whichever reads better on `colour`."""
    red, green, blue = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (red, green, blue)]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "#FFFFFF" if luminance < 0.28 else "#14171A"


class _Layer:
    """A transparent sheet of the picture's size, drawn on in pixels of the picture."""

    def __init__(self, size: tuple[int, int]) -> None:
        self.size = size
        self.sheet = Image.new("RGBA", (size[0] * _SMOOTH, size[1] * _SMOOTH), (255, 255, 255, 0))
        self.draw = ImageDraw.Draw(self.sheet)
        self.line = max(3.0, max(size) / 240)
        self.font = lettering(max(14, max(size) / 50) * _SMOOTH)

    def reduced(self) -> Image.Image:
        return self.sheet.resize(self.size, Image.Resampling.BOX)

    def box(self, outline: Rectangle, colour: str, line: float) -> None:
        halo = 1.4
        self._frame(_grown(outline, halo), "#FFFFFFD9", line + 2 * halo)
        self._frame(outline, colour, line)

    def dashed(self, outline: Rectangle, colour: str) -> None:
        line, dash = self.line * 0.75, self.line * 3.2
        x1, y1, x2, y2 = outline
        for width, shade, extra in ((line + 2.4, "#FFFFFFE6", 1.0), (line, colour, 0.0)):
            for (ax, ay), (bx, by) in (
                ((x1, y1), (x2, y1)),
                ((x2, y1), (x2, y2)),
                ((x2, y2), (x1, y2)),
                ((x1, y2), (x1, y1)),
            ):
                length = max(abs(bx - ax), abs(by - ay), 1e-6)
                for start in np.arange(0, length, 1.75 * dash):
                    a, b = max(0, start - extra) / length, min(length, start + dash + extra) / length
                    ends = (ax + (bx - ax) * a, ay + (by - ay) * a, ax + (bx - ax) * b, ay + (by - ay) * b)
                    self.draw.line(_grid(ends), fill=shade, width=round(width * _SMOOTH))

    def tags(self, tags: Sequence[tuple[Rectangle, str, str]]) -> None:
        placed: list[Rectangle] = []
        for outline, text, colour in tags:
            label = text if len(text) <= 32 else text[:31].rstrip() + "…"
            ascent, descent = self.font.getmetrics()
            width = self.font.getlength(label) / _SMOOTH + 12
            height = (ascent + descent) / _SMOOTH + 5
            spot = self._spot(outline, width, height, placed)
            placed.append(spot)
            self.draw.rounded_rectangle(_grid(_grown(spot, 1.4)), radius=6 * _SMOOTH, fill="#FFFFFFD9")
            self.draw.rounded_rectangle(_grid(spot), radius=5 * _SMOOTH, fill=colour)
            middle = ((spot[0] + 6) * _SMOOTH, (spot[1] + spot[3]) / 2 * _SMOOTH)
            self.draw.text(middle, label, font=self.font, fill=ink(colour), anchor="lm")

    def _spot(self, outline: Rectangle, width: float, height: float, placed: Sequence[Rectangle]) -> Rectangle:
        """The place at the box, inside the picture, where the tag covers least of the tags before it."""
        x1, y1, x2, y2 = outline
        lefts, tops = (x1, x2 - width, (x1 + x2 - width) / 2), (y1 - height - 3, y1 + 4, y2 - height - 4, y2 + 3)
        lanes = [y1 + 4 + n * (height + 4) for n in range(1, 6)]
        best, least = (x1, y1, x1 + width, y1 + height), np.inf
        for rank, (top, left) in enumerate((top, left) for top in (*tops, *lanes) for left in lefts):
            inside_left = float(np.clip(left, 3, max(3, self.size[0] - width - 3)))
            inside_top = float(np.clip(top, 3, max(3, self.size[1] - height - 3)))
            spot = (inside_left, inside_top, inside_left + width, inside_top + height)
            moved = abs(inside_top - top) + abs(inside_left - left)
            cost = sum(_overlap(_grown(spot, 2), other) for other in placed) + rank / 2 + moved / 4
            if cost < least:
                best, least = spot, cost
        return best

    def _frame(self, outline: Rectangle, colour: str, line: float) -> None:
        self.draw.rounded_rectangle(_grid(outline), radius=4 * _SMOOTH, outline=colour, width=round(line * _SMOOTH))


def caption_strip(caption: str, spans: Sequence[tuple[int, int, str]], width: int) -> Image.Image:
    """The caption on white paper, wrapped, with a rounded patch of its colour behind each phrase."""
    size = float(np.clip(width / 36, 15, 30))
    font = lettering(size * _SMOOTH)
    margin, pad, leading = size * 0.9, size * 0.28, size * 1.75
    pieces = _pieces(caption, spans)

    lines: list[list[tuple[float, str, str | None]]] = [[]]
    x = margin
    for text, colour, glued in pieces:
        advance = font.getlength(text) / _SMOOTH
        before = lines[-1][-1][2] if lines[-1] else None
        gap = 0.0 if glued or not lines[-1] else font.getlength(" ") / _SMOOTH
        if lines[-1] and colour != before:
            gap += (pad if colour else 0) + (pad if before else 0)
        if lines[-1] and x + gap + advance > width - margin:
            lines.append([])
            x, gap = margin, 0.0
        lines[-1].append((x + gap, text, colour))
        x += gap + advance

    height = round(2 * margin + leading * len(lines) - (leading - size))
    sheet = Image.new("RGB", (width * _SMOOTH, height * _SMOOTH), _PAPER)
    draw = ImageDraw.Draw(sheet)
    for row, line in enumerate(lines):
        middle = margin + size / 2 + row * leading
        for colour, start, end in _patches(line, font):
            patch = (start - pad, middle - size * 0.72, end + pad, middle + size * 0.72)
            draw.rounded_rectangle(_grid(patch), radius=size * 0.3 * _SMOOTH, fill=colour)
        for left, text, own in line:
            fill = ink(own) if own else _TEXT
            draw.text((left * _SMOOTH, middle * _SMOOTH), text, font=font, fill=fill, anchor="lm")
    return sheet.resize((width, height), Image.Resampling.BOX)


def _pieces(caption: str, spans: Sequence[tuple[int, int, str]]) -> list[tuple[str, str | None, bool]]:
    """The caption's words as (text, colour or None, glued to the word before); a phrase's edge cuts a word in two."""
    colour_of: list[str | None] = [None] * len(caption)
    for start, end, colour in spans:
        colour_of[start:end] = [colour] * (end - start)
    pieces: list[tuple[str, str | None, bool]] = []
    for i, character in enumerate(caption):
        if character.isspace():
            continue
        glued = i > 0 and not caption[i - 1].isspace()
        if glued and pieces[-1][1] == colour_of[i]:
            pieces[-1] = (pieces[-1][0] + character, *pieces[-1][1:])
        else:
            pieces.append((character, colour_of[i], glued))
    return pieces


def _patches(
    line: Sequence[tuple[float, str, str | None]], font: ImageFont.FreeTypeFont
) -> list[tuple[str, float, float]]:
    """(colour, left, right) of each run of words of one colour."""
    runs: list[tuple[str, float, float]] = []
    before = None
    for left, text, colour in line:
        right = left + font.getlength(text) / _SMOOTH
        if colour and colour == before:
            runs[-1] = (colour, runs[-1][1], right)
        elif colour:
            runs.append((colour, left, right))
        before = colour
    return runs


def _apart(outline: Rectangle, drawn: Sequence[Rectangle], line: float) -> Rectangle:
    """The outline drawn in so far that it does not hide one already there."""
    for _ in range(6):
        boxes = np.array([outline, *drawn], dtype=np.float32)
        near = np.abs(boxes[1:] - boxes[0]).max(axis=1) < 1.5 * line
        if not near.any() or min(outline[2] - outline[0], outline[3] - outline[1]) < 8 * line:
            break
        outline = _grown(outline, -1.8 * line)
    return outline


def lettering(size: float) -> ImageFont.FreeTypeFont:
    """The font inside Pillow, at a size in pixels."""
    own = ImageFont.load_default(size=size)
    assert isinstance(own, ImageFont.FreeTypeFont)  # a size always asks for the scalable font
    return own


def _first_area(phrase: BoxedPhrase) -> float:
    return float((phrase.boxes[0, 2:] - phrase.boxes[0, :2]).prod()) if len(phrase.boxes) else 0.0


def _scaled(box: Array, scale: float) -> Rectangle:
    x1, y1, x2, y2 = (float(edge) * scale for edge in box)
    return x1, y1, x2, y2


def _grown(outline: Rectangle, by: float) -> Rectangle:
    x1, y1, x2, y2 = outline
    return (
        min(x1 - by, (x1 + x2) / 2),
        min(y1 - by, (y1 + y2) / 2),
        max(x2 + by, (x1 + x2) / 2),
        max(y2 + by, (y1 + y2) / 2),
    )


def _grid(outline: Rectangle) -> Rectangle:
    x1, y1, x2, y2 = (edge * _SMOOTH for edge in outline)
    return x1, y1, x2, y2


def _overlap(first: Rectangle, second: Rectangle) -> float:
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    return max(0.0, width) * max(0.0, height)


def _filter(scale: float) -> Image.Resampling:
    return Image.Resampling.BICUBIC if scale > 1 else Image.Resampling.LANCZOS
