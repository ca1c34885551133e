"""The line in which a command names the words that a run was not trained with."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from unboxed.inference.grounder import Grounder

from unboxed.runtime.progress import Show

__all__ = ["show_unknown_words", "unknown_words_note"]


def unknown_words_note(grounder: Grounder, text: str, *, by_prior: bool = True) -> str | None:
    """A line with the words of a text that the run does not know; None if there are none.

    Args:
        grounder: the run.
        text: a caption, or phrases.
        by_prior: words count as known that are not in the vocabulary, but for which the prior has a class.
    """
    prior = grounder.prior if by_prior else None
    unknown = [word for word in grounder.unknown_words(text) if prior is None or not prior.affinity(word).any()]
    if not unknown:
        return None
    words = ", ".join(unknown)
    return f"Words that are not in the vocabulary of the run: {words}. Their boxes and probabilities may be wrong."


def show_unknown_words(grounder: Grounder, text: str, show: Show, *, by_prior: bool = True) -> None:
    """Show `unknown_words_note`, if there is one; `show` is called with a line of text."""
    if (note := unknown_words_note(grounder, text, by_prior=by_prior)) is not None:
        show(note)
