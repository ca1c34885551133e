"""Pictures of groundings: an image with its phrases boxed, and its caption in matching colours.

Shapes and letters are drawn at twice the size and then reduced, which smooths round corners and dashes. The font is
Pillow's built-in one, so a picture is the same on every machine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from unboxed.errors import ImageError
from unboxed.runtime.atomic import PICTURES, atomic_path
from unboxed.types import Array, Phrase
from unboxed.visualization.lettering import lettering, plain_letters

__all__ = [
    "PALETTE",
    "BoxedPhrase",
    "caption_strip",
    "character_colours",
    "draw_boxes",
    "draw_grounding",
    "ink",
    "phrase_colours",
    "save_picture",
]

PALETTE = ("#0072B2", "#E69F00", "#00875F", "#C25200", "#B5508B", "#3FA7DC", "#E3D31B", "#6B4BA1", "#7A5230")
"""The colours of phrases in order: those of Okabe and Ito, which colour-blind readers can distinguish, darkened where
white letters need more contrast, and two more."""

_SMOOTH = 2  # drawn at twice the size
_LONG_SIDE = 800  # a smaller image is enlarged to it
_LONGEST = {".jpg": 65_500, ".jpeg": 65_500, ".webp": 16_383}  # pixels a side that the format allows
_PAPER, _TEXT = "#FFFFFF", "#1B1F24"

Rectangle = tuple[float, float, float, float]


class BoxedPhrase(Protocol):
    """A phrase to draw, such as a `GroundedPhrase`."""

    @property
    def text(self) -> str:
        """The phrase."""

    @property
    def start(self) -> int:
        """First character in the caption."""

    @property
    def end(self) -> int:
        """Character after the last one."""

    @property
    def boxes(self) -> Array:
        """`[N, 4]` pixels, best first; N may be 0."""


def draw_grounding(
    image: Image.Image,
    caption: str,
    phrases: Sequence[BoxedPhrase],
    *,
    gold: Sequence[Phrase] = (),
    top: int = 1,
    scale: float | None = None,
) -> Image.Image:
    """An image with the best boxes of each phrase, above the caption with each phrase in the colour of its boxes.

    Args:
        image: RGB, upright.
        caption: the text that the spans of `phrases` index.
        phrases: boxes in pixels of `image`; a phrase without boxes gets no colour in the caption.
        gold: phrases whose gold boxes are drawn dashed, in the colour of the phrase with the same span.
        top: boxes drawn per phrase, at least 1; those beside its `set_ranks` with thinner lines.
        scale: the picture's width divided by the image's; None enlarges an image whose long side has fewer than 800
            pixels to 800, and keeps the size of others.

    Returns:
        An RGB picture.
    """
    scale = max(1.0, _LONG_SIDE / max(image.size)) if scale is None else scale
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
    """The colour (`#RRGGBB`) of each phrase, by its character span (start, end)."""
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
    """An image, resized by the factor `scale`, with the best boxes of each phrase.

    Args:
        image: RGB, upright.
        phrases: boxes in pixels of `image`.
        colours: as `phrase_colours` gives them.
        scale: the picture's width divided by the image's.
        gold: phrases whose gold boxes are drawn dashed.
        top: as for `draw_grounding`.
        tagged: write the text of each phrase at its best box.
    """
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    picture = image.convert("RGB").resize(size, _filter(scale))
    layer = _Layer(picture.size)
    for phrase_with_gold in gold:
        for box in phrase_with_gold.boxes:
            layer.dashed(_scaled(box, scale), colours.get((phrase_with_gold.start, phrase_with_gold.end), _TEXT))
    drawn = np.zeros((sum(len(phrase.boxes) for phrase in phrases), 4), np.float32)
    count, tags = 0, []
    for phrase in sorted(phrases, key=_first_area, reverse=True):  # small boxes are drawn over large ones
        colour = colours[phrase.start, phrase.end]
        set_ranks = getattr(phrase, "set_ranks", (0,))
        ranks = sorted({*set_ranks, *range(top if top > 1 else 0)} & set(range(len(phrase.boxes))))
        for rank in ranks:
            outline = _inset(_scaled(phrase.boxes[rank], scale), drawn[:count], layer.line)
            drawn[count], count = outline, count + 1
            layer.box(outline, colour, layer.line if rank in set_ranks else layer.line / 2)
            if rank == ranks[0]:
                tags.append((outline, phrase.text, colour))
    if tagged:
        layer.tags(sorted(tags, key=lambda tag: tag[0][1]))
    return Image.alpha_composite(picture.convert("RGBA"), layer.reduced()).convert("RGB")


def save_picture(path: Path, picture: Image.Image) -> None:
    """Write a picture in one step, in the format of the file's ending.

    Raises:
        ImageError: the ending is not .png, .jpg, .jpeg or .webp, or the picture is too large for the format.
    """
    ending = path.suffix.lower()
    if ending not in PICTURES:
        raise ImageError(f"Cannot save a picture as {path.name!r}; let its name end in .png, .jpg or .webp.")
    if max(picture.size) > (most := _LONGEST.get(ending, max(picture.size))):
        raise ImageError(
            f"The picture {path.name!r} would have {picture.width} x {picture.height} pixels, and {ending} files have "
            f"at most {most} a side; let its name end in .png."
        )
    with atomic_path(path) as partial:
        picture.save(partial)


def ink(colour: str) -> str:
    """Near-black or white, whichever is easier to read on `colour`; both as `#RRGGBB`."""
    red, green, blue = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (red, green, blue)]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "#FFFFFF" if luminance < 0.28 else "#14171A"


class _Layer:
    """A transparent layer over a picture; coordinates are pixels of the picture."""

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
        placed = np.zeros((len(tags), 4))
        for number, (outline, text, colour) in enumerate(tags):
            label = plain_letters(text if len(text) <= 32 else text[:31].rstrip() + "…")
            ascent, descent = self.font.getmetrics()
            width = self.font.getlength(label) / _SMOOTH + 12
            height = (ascent + descent) / _SMOOTH + 5
            spot = self._spot(outline, width, height, placed[:number])
            placed[number] = spot
            self.draw.rounded_rectangle(_grid(_grown(spot, 1.4)), radius=6 * _SMOOTH, fill="#FFFFFFD9")
            self.draw.rounded_rectangle(_grid(spot), radius=5 * _SMOOTH, fill=colour)
            middle = ((spot[0] + 6) * _SMOOTH, (spot[1] + spot[3]) / 2 * _SMOOTH)
            self.draw.text(middle, label, font=self.font, fill=ink(colour), anchor="lm")

    def _spot(self, outline: Rectangle, width: float, height: float, placed_N4: npt.NDArray[np.float64]) -> Rectangle:
        """The place near the box, inside the picture, where a tag overlaps the tags before it least."""
        x1, y1, x2, y2 = outline
        lefts, tops = (x1, x2 - width, (x1 + x2 - width) / 2), (y1 - height - 3, y1 + 4, y2 - height - 4, y2 + 3)
        lanes = [y1 + 4 + n * (height + 4) for n in range(1, 6)]
        wanted_S2 = np.array([(left, top) for top in (*tops, *lanes) for left in lefts])
        inside_S2 = wanted_S2.clip(3, np.maximum(3, np.subtract(self.size, (width, height)) - 3))
        spot_S4 = np.concatenate([inside_S2, inside_S2 + np.array((width, height))], axis=1)
        moved_S = np.abs(inside_S2 - wanted_S2).sum(axis=1)
        grown_S4 = spot_S4 + np.array((-2, -2, 2, 2))
        least_2, most_2 = grown_S4[:, :2].min(axis=0), grown_S4[:, 2:].max(axis=0)
        placed_N4 = placed_N4[((placed_N4[:, :2] < most_2) & (placed_N4[:, 2:] > least_2)).all(axis=1)]  # near ones
        low_NS2 = np.maximum(grown_S4[:, :2], placed_N4[:, None, :2])
        high_NS2 = np.minimum(grown_S4[:, 2:], placed_N4[:, None, 2:])
        overlap_S = (high_NS2 - low_NS2).clip(0).prod(axis=2).sum(axis=0)
        best = np.argmin(overlap_S + np.arange(len(spot_S4)) / 2 + moved_S / 4)
        left, top, right, bottom = spot_S4[best].tolist()
        return left, top, right, bottom

    def _frame(self, outline: Rectangle, colour: str, line: float) -> None:
        self.draw.rounded_rectangle(_grid(outline), radius=4 * _SMOOTH, outline=colour, width=round(line * _SMOOTH))


def caption_strip(caption: str, spans: Sequence[tuple[int, int, str]], width: int) -> Image.Image:
    """The caption as wrapped text on white, `width` pixels wide, each phrase on a patch of its colour.

    Args:
        caption: the text.
        spans: (start, end, `#RRGGBB`) of each phrase; where spans overlap, the later one counts.
        width: of the picture, in pixels.
    """
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
        for left, text, colour_behind in line:
            fill = ink(colour_behind) if colour_behind else _TEXT
            draw.text((left * _SMOOTH, middle * _SMOOTH), text, font=font, fill=fill, anchor="lm")
    return sheet.resize((width, height), Image.Resampling.BOX)


def character_colours(caption: str, spans: Sequence[tuple[int, int, str]]) -> list[str | None]:
    """The colour of every character of a caption; None outside of spans.

    Args:
        caption: the text.
        spans: (start, end, colour) of each phrase; where spans overlap, the later one counts.
    """
    colours: list[str | None] = [None] * len(caption)
    for start, end, colour in spans:
        colours[start:end] = [colour] * (end - start)
    return colours


def _pieces(caption: str, spans: Sequence[tuple[int, int, str]]) -> list[tuple[str, str | None, bool]]:
    """The caption's words as (text, colour or None, whether no space precedes it); a phrase may begin inside a word."""
    colour_of = character_colours(caption, spans)
    pieces: list[tuple[str, str | None, bool]] = []
    for i, character in enumerate(caption):
        if character.isspace():
            continue
        glued = i > 0 and not caption[i - 1].isspace()
        if glued and pieces[-1][1] == colour_of[i]:
            pieces[-1] = (pieces[-1][0] + plain_letters(character), *pieces[-1][1:])
        else:
            pieces.append((plain_letters(character), colour_of[i], glued))
    return pieces


def _patches(
    line: Sequence[tuple[float, str, str | None]], font: ImageFont.FreeTypeFont
) -> list[tuple[str, float, float]]:
    """(colour, left, right) of each sequence of words of one colour."""
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


def _inset(outline: Rectangle, drawn_N4: Array, line: float) -> Rectangle:
    """The outline, made smaller until it does not hide one that is already drawn."""
    for _ in range(6):
        near = np.abs(drawn_N4 - np.array(outline, np.float32)).max(axis=1) < 1.5 * line
        if not near.any() or min(outline[2] - outline[0], outline[3] - outline[1]) < 8 * line:
            break
        outline = _grown(outline, -1.8 * line)
    return outline


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


def _filter(scale: float) -> Image.Resampling:
    return Image.Resampling.BICUBIC if scale > 1 else Image.Resampling.LANCZOS
