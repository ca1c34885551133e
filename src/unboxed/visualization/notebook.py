"""Groundings as notebooks show them: a PNG picture, and HTML with the caption as text."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from io import BytesIO
from itertools import groupby

from PIL import Image

from unboxed.visualization.draw import (
    BoxedPhrase,
    character_colours,
    draw_boxes,
    draw_grounding,
    ink,
    phrase_colours,
)
from unboxed.visualization.html import jpeg_data_uri

__all__ = ["grounding_html", "grounding_png"]

_LONG_SIDE = 800  # of the picture, whatever the size of the image
_JPEG_QUALITY = 90
_PATCH = "background:{};color:{};border-radius:4px;padding:1px 5px"


def grounding_png(image: Image.Image, caption: str, phrases: Sequence[BoxedPhrase]) -> bytes:
    """The picture of `draw_grounding` as a PNG file, with a long side of 800 pixels.

    Args:
        image: RGB, upright.
        caption: the text that the spans of `phrases` index.
        phrases: those to box, with boxes in pixels of `image`.
    """
    content = BytesIO()
    draw_grounding(image, caption, phrases, scale=_scale(image)).save(content, "PNG", optimize=True)
    return content.getvalue()


def grounding_html(
    image: Image.Image, caption: str, phrases: Sequence[BoxedPhrase], absent: Sequence[BoxedPhrase] = ()
) -> str:
    """An HTML `figure`: the image with its boxes, the caption with each phrase in the colour of its boxes.

    Args:
        image: RGB, upright.
        caption: the text that the spans of `phrases` index; it is escaped.
        phrases: those to box, with boxes in pixels of `image`.
        absent: phrases to list below the caption as not in the image.
    """
    colours = phrase_colours(phrases)
    picture = draw_boxes(image, phrases, colours, _scale(image))
    source = jpeg_data_uri(picture, _JPEG_QUALITY)
    spans = [(phrase.start, phrase.end, colours[phrase.start, phrase.end]) for phrase in phrases if len(phrase.boxes)]
    below = _coloured(caption, spans)
    if absent:
        below += f"<br><small>Not in the image: {escape(', '.join(phrase.text for phrase in absent))}</small>"
    return (
        f'<figure style="margin:0;max-width:{picture.width}px">'
        f'<img src="{source}" alt="{escape(caption)}" style="max-width:100%">'
        f'<figcaption style="font-size:1.1em;line-height:1.9">{below}</figcaption></figure>'
    )


def _coloured(caption: str, spans: Sequence[tuple[int, int, str]]) -> str:
    """The caption as HTML, each phrase on a patch of its colour."""
    parts = []
    for colour, pairs in groupby(zip(character_colours(caption, spans), caption, strict=True), lambda pair: pair[0]):
        text = escape("".join(character for _, character in pairs))
        parts.append(f'<span style="{_PATCH.format(colour, ink(colour))}">{text}</span>' if colour else text)
    return "".join(parts)


def _scale(image: Image.Image) -> float:
    return _LONG_SIDE / max(image.size)
