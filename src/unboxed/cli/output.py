"""Output that several commands print."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from unboxed.runtime.progress import show

if TYPE_CHECKING:
    from unboxed.inference.grounder import Grounder

__all__ = ["print_json", "print_unknown_words"]


def print_json(content: dict[str, Any]) -> None:
    """Print one JSON object on standard output."""
    print(json.dumps(content, ensure_ascii=False))


def print_unknown_words(grounder: Grounder, text: str) -> None:
    """Print the words of a text that are not in the vocabulary of the run, if there are any."""
    if unknown := grounder.unknown_words(text):
        words = ", ".join(unknown)
        show(f"Words that are not in the vocabulary of the run: {words}. Their boxes and probabilities may be wrong.")
