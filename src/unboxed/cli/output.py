"""Output that several commands print."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unboxed.inference.results import GroundedPhrase

__all__ = ["phrase_line", "print_json"]


def phrase_line(phrase: GroundedPhrase, absent: bool = False) -> str:
    """A phrase with its boxes and how sure they are.

    Args:
        phrase: a grounded phrase.
        absent: also give the boxes of a phrase that is probably not in the image.
    """
    parts = []
    if phrase.present or absent:
        parts += [f"[{', '.join(f'{edge:.0f}' for edge in box)}]" for box in phrase.set_boxes]
    guess = f", {phrase.guess}" if phrase.guess else ""
    parts.append(
        f"{phrase.strength}{guess}"
        if phrase.present
        else f"probably not in the image ({phrase.strength} that it is{guess})"
    )
    return f"{phrase.text}: {'  '.join(parts)}"


def print_json(content: dict[str, Any]) -> None:
    """Print one JSON object on standard output."""
    print(json.dumps(content, ensure_ascii=False))
