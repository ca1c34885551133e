"""Names boxes by the phrases that they were found for: by head noun, type, whole phrase or class."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable

from unboxed.export.classes import ClassSet
from unboxed.export.labels import LabelledBox
from unboxed.export.options import SelectionOptions
from unboxed.inference.results import GroundedPhrase
from unboxed.text import lexicon
from unboxed.text.lexicon import noun_key
from unboxed.text.phrases import head_noun
from unboxed.text.synonyms import synonym_key
from unboxed.text.word_lists import word_set

__all__ = ["BoxNames"]

# Head nouns of phrases that mean no object with an outline: a place in the picture, a time, the picture itself.
_NO_OBJECT = word_set(
    """
    air area background bottom camera center centre close closeup corner day distance edge end evening foreground
    front image landscape left lot middle morning night photo photograph picture place portrait position right
    scene setting shot side sight something space time top view way
    action activity appearance beauty concept depth detail direction effort event example fun idea kind moment north
    overview rest size sort south story stuff style thing type usage use variety version west
    """
)

_NOT_IN_NAMES = ("Cc", "Cs", "Cn", "Zl", "Zp")  # Unicode's: control, surrogates, unassigned, separators of lines


class BoxNames:
    """Names of boxes by the options.

    Args:
        options: which names.

    Attributes:
        classes: the only names; None for any.

    Raises:
        ExportError: the file of the classes cannot be used.
    """

    def __init__(self, options: SelectionOptions) -> None:
        self._options = options
        self._key = synonym_key if options.synonyms else noun_key
        self._heads: Counter[tuple[str, str]] = Counter()
        self.classes = None if options.classes is None else ClassSet.open(options.classes)

    def of(self, phrase: GroundedPhrase, boxes: int) -> str:
        """The name under which boxes are merged and counted; "" for a phrase that gives none.

        Args:
            phrase: a grounded phrase.
            boxes: its boxes, for `mapping`.
        """
        if self.classes is not None:
            name = self.classes.find(phrase.text) or ""
        elif self._options.names == "phrases":
            return _one_line(phrase.text.lower())
        elif self._options.names == "types" and phrase.types:
            return _one_line(phrase.types[0])
        else:
            name = self._noun(head_noun(phrase.text))
        if boxes:
            self._heads[head_noun(phrase.text), name] += boxes
        return name

    def shown(self, kept: set[str], boxes: Iterable[LabelledBox]) -> dict[str, str]:
        """The name to show for each name kept: the most frequent form of a noun, a singular before a plural."""
        if self.classes is not None or self._options.names == "phrases":
            return {name: name for name in kept}
        forms: dict[str, Counter[str]] = {name: Counter() for name in kept}
        for box in boxes:
            head = head_noun(box.mention.phrase)
            if box.category in kept:
                forms[box.category][head if self._key(head) == box.category else box.category] += 1
        return {
            name: min(counts, key=lambda form: (lexicon.is_plural(form), -counts[form], form))
            for name, counts in forms.items()
        }

    def mapping(self, shown: dict[str, str]) -> tuple[tuple[str, str, int], ...]:
        """(head noun, shown name or "", boxes) of what `of` has named, the most frequent first."""
        rows = [(head, shown.get(name, ""), count) for (head, name), count in self._heads.items()]
        return tuple(sorted(rows, key=lambda row: (-row[2], row[:2])))

    def _noun(self, head: str) -> str:
        no_object = head in _NO_OBJECT or head in lexicon.PRONOUNS or head in lexicon.DETERMINERS
        return "" if not head or no_object or lexicon.is_numeral(head) else self._key(head)


def _one_line(text: str) -> str:
    """A text without control characters, line breaks and what else XML and YAML do not allow."""
    allowed = (" " if unicodedata.category(letter) in _NOT_IN_NAMES else letter for letter in text)
    return " ".join("".join(allowed).split())
