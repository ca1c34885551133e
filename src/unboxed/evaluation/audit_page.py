"""The page of an audit: the most suspicious captions with their images, as one file that loads nothing."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from unboxed.data.images import open_image
from unboxed.errors import ImageError
from unboxed.evaluation.audit import Audit, AuditedCaption
from unboxed.runtime.atomic import write_text
from unboxed.visualization.html import html_template, jpeg_data_uri

__all__ = ["write_audit_page"]

_LONG_SIDE, _JPEG_QUALITY = 420, 78


def write_audit_page(path: Path, audit: Audit, limit: int = 200) -> int:
    """Write the page atomically, and return how many captions it shows; images that are gone are left out."""
    cards = []
    for caption in audit.captions[:limit]:
        try:
            picture = open_image(caption.path)
        except ImageError:
            continue
        picture.thumbnail((_LONG_SIDE, _LONG_SIDE), Image.Resampling.LANCZOS)
        cards.append((caption, jpeg_data_uri(picture, _JPEG_QUALITY), _parts(caption)))
    page = html_template("unboxed.evaluation", "audit.html").render(audit=audit, cards=cards)
    write_text(path, page)
    return len(cards)


def _parts(caption: AuditedCaption) -> list[tuple[str, float | None]]:
    """The caption in pieces, each with the probability of its phrase; None between phrases."""
    parts: list[tuple[str, float | None]] = []
    end = 0
    for phrase, probability in caption.phrases:
        parts += [
            (caption.caption[end : phrase.start], None),
            (caption.caption[phrase.start : phrase.end], probability),
        ]
        end = phrase.end
    return [*parts, (caption.caption[end:], None)]
