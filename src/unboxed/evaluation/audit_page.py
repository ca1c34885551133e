"""The page of an audit: the most suspicious captions with their images, as one file that loads nothing."""

from __future__ import annotations

from pathlib import Path

from unboxed.data.images import open_image
from unboxed.errors import ImageError
from unboxed.evaluation.audit import Audit, AuditedCaption
from unboxed.runtime.locks import write_locked
from unboxed.visualization.html import html_template, thumbnail_data_uri

__all__ = ["write_audit_page"]

_SHOWN = 200  # captions


def write_audit_page(path: Path, audit: Audit) -> int:
    """Write the page atomically, and return how many captions it shows; images that are gone are left out."""
    shown = audit.captions[:_SHOWN]
    pictures = {path: _picture(path) for path in dict.fromkeys(caption.path for caption in shown)}
    cards = [(caption, picture, _parts(caption)) for caption in shown if (picture := pictures[caption.path])]
    page = html_template("unboxed.evaluation", "audit.html").render(audit=audit, cards=cards)
    write_locked(path, page)
    return len(cards)


def _picture(path: Path) -> str:
    """The image for the page; "" if it cannot be read."""
    try:
        return thumbnail_data_uri(open_image(path))
    except ImageError:
        return ""


def _parts(caption: AuditedCaption) -> list[tuple[str, float | None]]:
    """The caption in pieces, each with the probability of its phrase; None between phrases.

    A phrase that begins within another one is not a piece.
    """
    parts: list[tuple[str, float | None]] = []
    end = 0
    for phrase, probability in caption.phrases:
        if phrase.start < end:
            continue
        parts += [
            (caption.caption[end : phrase.start], None),
            (caption.caption[phrase.start : phrase.end], probability),
        ]
        end = phrase.end
    return [*parts, (caption.caption[end:], None)]
