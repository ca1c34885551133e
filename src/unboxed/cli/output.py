"""How a verb prints what programs read."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from unboxed.runtime.progress import show

if TYPE_CHECKING:
    from unboxed.inference.grounder import Grounder

__all__ = ["print_json", "print_unknown_words"]


def print_json(content: dict[str, Any]) -> None:
    """One JSON object on standard output, and nothing else."""
    print(json.dumps(content, ensure_ascii=False))


def print_unknown_words(grounder: Grounder, text: str) -> None:
    """Tell which words of a text the run has not learned, if there are any: boxes for them are guesses."""
    if unknown := grounder.unknown_words(text):
        show(f"Words that the run has not learned: {', '.join(unknown)}")
