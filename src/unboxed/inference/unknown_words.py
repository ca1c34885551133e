"""The line in which a command names the words that a run was not trained with."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from unboxed.inference.grounder import Grounder

from unboxed.runtime.progress import Show

__all__ = ["show_unknown_words"]


def show_unknown_words(grounder: Grounder, text: str, show: Show) -> None:
    """Show the words of a text that are not in the vocabulary of the run, if there are any.

    Args:
        grounder: the run.
        text: a caption, or phrases.
        show: called with a line of text.
    """
    if unknown := grounder.unknown_words(text):
        words = ", ".join(unknown)
        show(f"Words that are not in the vocabulary of the run: {words}. Their boxes and probabilities may be wrong.")
