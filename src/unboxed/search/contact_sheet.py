"""A picture of the hits of a search: the images in a grid, with the boxes of each phrase in its colour."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from PIL import Image, ImageDraw, ImageFont

from unboxed.data.images import open_image
from unboxed.errors import ImageError
from unboxed.inference.results import GroundedPhrase
from unboxed.search.index import Hit
from unboxed.visualization.draw import PALETTE, caption_strip, draw_boxes, ink, phrase_colours
from unboxed.visualization.lettering import lettering, plain_letters

__all__ = ["draw_contact_sheet"]

_SMOOTH = 2  # letters and corners are drawn at twice the size and reduced
_WIDE, _HIGH = 340, 272  # of the place of an image
_GAP, _MARGIN = 22, 28
_LINE = 26
_PAPER, _MAT, _TEXT, _QUIET = "#FFFFFF", "#EEF0F2", "#1B1F24", "#5B6570"

Colours = Mapping[tuple[int, int], str]


def draw_contact_sheet(query: str, hits: Sequence[Hit], *, columns: int | None = None) -> Image.Image:
    """The query, and below it each hit: the image with its boxes, its score, its file name and its phrases.

    The number beside a phrase is the probability that it is in the image, or the score of its best box where the model
    was not calibrated. A phrase that is not in an image has no box there, and only an outline around its text. The
    place of an image whose file is gone is empty.

    Args:
        query: the text that was searched for.
        hits: best first, at least one.
        columns: images side by side; None chooses by their number.

    Returns:
        An RGB picture.
    """
    across = min(columns or _columns(len(hits)), len(hits))
    colours = phrase_colours(hits[0].phrases)
    places = [_place(rank, hit, colours) for rank, hit in enumerate(hits, start=1)]
    width = 2 * _MARGIN + across * _WIDE + (across - 1) * _GAP
    spans = [(phrase.start, phrase.end, colours[phrase.start, phrase.end]) for phrase in hits[0].phrases]
    head = caption_strip(query, spans, width - 2 * _MARGIN + 30)
    rows = [places[first : first + across] for first in range(0, len(places), across)]
    height = head.height + sum(max(place.height for place in row) + _GAP for row in rows) + _MARGIN - _GAP // 2
    sheet = Image.new("RGB", (width, height), _PAPER)
    sheet.paste(head, (_MARGIN - 22, 6))
    top = head.height
    for row in rows:
        for column, place in enumerate(row):
            sheet.paste(place, (_MARGIN + column * (_WIDE + _GAP), top))
        top += max(place.height for place in row) + _GAP
    return sheet


def _columns(count: int) -> int:
    """Columns that fill their rows well."""
    return next(
        (columns for most, columns in ((4, count), (6, 3), (8, 4), (9, 3), (10, 5), (12, 4)) if count <= most), 5
    )


def _place(rank: int, hit: Hit, colours: Colours) -> Image.Image:
    labels = _label_lines(hit.phrases, colours)
    height = _HIGH + 12 + _LINE + _LINE * len(labels)
    large = Image.new("RGB", (_WIDE * _SMOOTH, height * _SMOOTH), _PAPER)
    draw = ImageDraw.Draw(large)
    middle = _HIGH + 8 + _LINE / 2
    number = lettering(14 * _SMOOTH)
    score = f"match {hit.score:.2f}"
    draw.text(_at(_WIDE, middle), score, font=number, fill=_QUIET, anchor="rm")
    label = lettering(15 * _SMOOTH)
    room = (_WIDE - 14) * _SMOOTH - number.getlength(score) - label.getlength(f"{rank}  ")
    draw.text(_at(0, middle), f"{rank}", font=label, fill=_QUIET, anchor="lm")
    left = label.getlength(f"{rank}  ") / _SMOOTH
    draw.text(_at(left, middle), _shortened(hit.name, label, room), font=label, fill=_TEXT, anchor="lm")
    for line, row in enumerate(labels):
        for one in row:
            upper = _HIGH + 12 + _LINE + line * _LINE
            box = (*_at(one.left, upper), *_at(one.right, upper + _LINE - 5))
            if one.present:
                draw.rounded_rectangle(box, radius=6 * _SMOOTH, fill=one.colour)
            else:
                draw.rounded_rectangle(box, radius=6 * _SMOOTH, outline=one.colour, width=_SMOOTH)
            fill = ink(one.colour) if one.present else _QUIET
            draw.text(_at(one.left + 8, upper + (_LINE - 5) / 2), one.text, font=_label_font(), fill=fill, anchor="lm")
    place = large.resize((_WIDE, height), Image.Resampling.BOX)
    place.paste(_framed(hit, colours), (0, 0))
    return place


def _framed(hit: Hit, colours: Colours) -> Image.Image:
    """The image with its boxes, centred in its place."""
    mat = Image.new("RGB", (_WIDE, _HIGH), _MAT)
    try:
        image = open_image(hit.image)
    except ImageError:
        ImageDraw.Draw(mat).text((_WIDE / 2, _HIGH / 2), "not there", font=lettering(16), fill=_QUIET, anchor="mm")
        return mat
    scale = min(_WIDE / image.width, _HIGH / image.height)
    picture = draw_boxes(image, hit.grounding.present, colours, scale, tagged=False)
    mat.paste(picture, ((_WIDE - picture.width) // 2, (_HIGH - picture.height) // 2))
    return mat


class _Label(NamedTuple):
    """The label of a phrase: its edges in a line, in pixels, and whether the phrase is in the image."""

    left: float
    right: float
    text: str
    colour: str
    present: bool


def _label_lines(phrases: Sequence[GroundedPhrase], colours: Colours) -> list[list[_Label]]:
    """The labels of the phrases, line by line."""
    lines: list[list[_Label]] = [[]]
    left = 0.0
    font = _label_font()
    for phrase in phrases:
        number = phrase.confidence if phrase.confidence is not None else float(phrase.scores[0])
        text = f"{_shortened(phrase.text, font, 220 * _SMOOTH)}  {number:.2f}"
        width = font.getlength(text) / _SMOOTH + 16
        if lines[-1] and left + width > _WIDE:
            lines.append([])
            left = 0.0
        colour = colours.get((phrase.start, phrase.end), PALETTE[0])
        lines[-1].append(_Label(left, left + width, text, colour, phrase.present))
        left += width + 6
    return lines


def _label_font() -> ImageFont.FreeTypeFont:
    return lettering(13 * _SMOOTH)


def _shortened(text: str, font: ImageFont.FreeTypeFont, room: float) -> str:
    """The text in plain letters, with its middle replaced by an ellipsis where it is wider than `room`."""
    text = plain_letters(text)
    if font.getlength(text) <= room:
        return text
    kept = len(text)
    while kept > 4 and font.getlength(f"{text[: kept // 2]}…{text[-(kept - kept // 2) :]}") > room:
        kept -= 1
    return f"{text[: kept // 2]}…{text[-(kept - kept // 2) :]}"


def _at(x: float, y: float) -> tuple[float, float]:
    return x * _SMOOTH, y * _SMOOTH
