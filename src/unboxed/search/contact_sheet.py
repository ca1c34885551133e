"""A picture of what a search found: the images in a grid, with what matched in the colours of the query."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from PIL import Image, ImageDraw, ImageFont

from unboxed.data.images import open_image
from unboxed.errors import ImageError
from unboxed.inference.results import GroundedPhrase
from unboxed.search.index import Hit
from unboxed.visualization.draw import PALETTE, caption_strip, draw_boxes, ink, lettering, phrase_colours

__all__ = ["draw_contact_sheet"]

_SMOOTH = 2  # letters and corners are drawn at twice the size
_WIDE, _HIGH = 340, 272  # of a photograph's place
_GAP, _MARGIN = 22, 28
_LINE = 26
_PAPER, _MAT, _TEXT, _QUIET = "#FFFFFF", "#EEF0F2", "#1B1F24", "#5B6570"

Colours = Mapping[tuple[int, int], str]


def draw_contact_sheet(query: str, hits: Sequence[Hit], *, columns: int | None = None) -> Image.Image:
    """The query, and below it each hit with its boxes, its score, its file's name and its phrases.

    A chip tells how sure the phrase is to be in the image, or, of a run that cannot tell, its best box's score. A
    phrase that does not seem to be in an image has no box there, and a chip with an outline only. An image that
    was moved since it was indexed leaves an empty place.

    Args:
        query: the text that was searched for.
        hits: what was found, best first, at least one.
        columns: images side by side; None: as suits their number.

    Returns:
        RGB.
    """
    across = min(columns or _columns(len(hits)), len(hits))
    colours = phrase_colours(hits[0].phrases)
    cells = [_cell(rank, hit, colours) for rank, hit in enumerate(hits, start=1)]
    width = 2 * _MARGIN + across * _WIDE + (across - 1) * _GAP
    spans = [(phrase.start, phrase.end, colours[phrase.start, phrase.end]) for phrase in hits[0].phrases]
    head = caption_strip(query, spans, width - 2 * _MARGIN + 30)
    rows = [cells[first : first + across] for first in range(0, len(cells), across)]
    height = head.height + sum(max(cell.height for cell in row) + _GAP for row in rows) + _MARGIN - _GAP // 2
    sheet = Image.new("RGB", (width, height), _PAPER)
    sheet.paste(head, (_MARGIN - 22, 6))
    top = head.height
    for row in rows:
        for column, cell in enumerate(row):
            sheet.paste(cell, (_MARGIN + column * (_WIDE + _GAP), top))
        top += max(cell.height for cell in row) + _GAP
    return sheet


def _columns(count: int) -> int:
    return next(
        (columns for most, columns in ((4, count), (6, 3), (8, 4), (9, 3), (10, 5), (12, 4)) if count <= most), 5
    )


def _cell(rank: int, hit: Hit, colours: Colours) -> Image.Image:
    chips = _chip_lines(hit.phrases, colours)
    height = _HIGH + 12 + _LINE + _LINE * len(chips)
    large = Image.new("RGB", (_WIDE * _SMOOTH, height * _SMOOTH), _PAPER)
    draw = ImageDraw.Draw(large)
    middle = _HIGH + 8 + _LINE / 2
    number = lettering(14 * _SMOOTH)
    score = f"{hit.score:.2f}"
    draw.text(_at(_WIDE, middle), score, font=number, fill=_QUIET, anchor="rm")
    label = lettering(15 * _SMOOTH)
    room = (_WIDE - 14) * _SMOOTH - number.getlength(score) - label.getlength(f"{rank}  ")
    draw.text(_at(0, middle), f"{rank}", font=label, fill=_QUIET, anchor="lm")
    left = label.getlength(f"{rank}  ") / _SMOOTH
    draw.text(_at(left, middle), _shortened(hit.name, label, room), font=label, fill=_TEXT, anchor="lm")
    for line, row in enumerate(chips):
        for left, right, text, colour, present in row:
            upper = _HIGH + 12 + _LINE + line * _LINE
            box = (*_at(left, upper), *_at(right, upper + _LINE - 5))
            if present:
                draw.rounded_rectangle(box, radius=6 * _SMOOTH, fill=colour)
            else:
                draw.rounded_rectangle(box, radius=6 * _SMOOTH, outline=colour, width=_SMOOTH)
            fill = ink(colour) if present else _QUIET
            draw.text(_at(left + 8, upper + (_LINE - 5) / 2), text, font=_chip_font(), fill=fill, anchor="lm")
    cell = large.resize((_WIDE, height), Image.Resampling.BOX)
    cell.paste(_framed(hit, colours), (0, 0))
    return cell


def _framed(hit: Hit, colours: Colours) -> Image.Image:
    """The image with its boxes in the middle of its place."""
    mat = Image.new("RGB", (_WIDE, _HIGH), _MAT)
    try:
        image = open_image(hit.image)
    except ImageError:
        ImageDraw.Draw(mat).text((_WIDE / 2, _HIGH / 2), "not there", font=lettering(16), fill=_QUIET, anchor="mm")
        return mat
    scale = min(_WIDE / image.width, _HIGH / image.height)
    shown = [phrase for phrase in hit.phrases if phrase.present]
    picture = draw_boxes(image, shown, colours, scale, tagged=False)
    mat.paste(picture, ((_WIDE - picture.width) // 2, (_HIGH - picture.height) // 2))
    return mat


def _chip_lines(phrases: Sequence[GroundedPhrase], colours: Colours) -> list[list[tuple[float, float, str, str, bool]]]:
    """(left, right, text, colour, present) of each phrase's chip, line by line."""
    lines: list[list[tuple[float, float, str, str, bool]]] = [[]]
    left = 0.0
    font = _chip_font()
    for phrase in phrases:
        sure = phrase.confidence if phrase.confidence is not None else float(phrase.scores[0])
        text = f"{_shortened(phrase.text, font, 220 * _SMOOTH)}  {sure:.2f}"
        width = font.getlength(text) / _SMOOTH + 16
        if lines[-1] and left + width > _WIDE:
            lines.append([])
            left = 0.0
        colour = colours.get((phrase.start, phrase.end), PALETTE[0])
        lines[-1].append((left, left + width, text, colour, phrase.present))
        left += width + 6
    return lines


def _chip_font() -> ImageFont.FreeTypeFont:
    return lettering(13 * _SMOOTH)


def _shortened(text: str, font: ImageFont.FreeTypeFont, room: float) -> str:
    """The text, without its middle where it is too long."""
    if font.getlength(text) <= room:
        return text
    kept = len(text)
    while kept > 4 and font.getlength(f"{text[: kept // 2]}…{text[-(kept - kept // 2) :]}") > room:
        kept -= 1
    return f"{text[: kept // 2]}…{text[-(kept - kept // 2) :]}"


def _at(x: float, y: float) -> tuple[float, float]:
    return x * _SMOOTH, y * _SMOOTH
