"""Made-up sentences whose scores say what an image shows."""

from __future__ import annotations

from random import Random

from unboxed.text.phrases import is_content
from unboxed.text.vocabulary import SPECIAL, Vocabulary

__all__ = ["probe_sentences"]

_FORMS = (
    "a {} {} on a {}",
    "a {} {} and a {} {}",
    "a {} {} {} with a {} {}",
    "a {} {} in a {} {} is {} near a {}",
    "a {} {} with a {} {} and a {} is {} in front of a {} {}",
)
_COMMON = 2.5  # how much commoner words are preferred; a vocabulary has them first


def probe_sentences(vocabulary: Vocabulary, count: int = 512) -> tuple[str, ...]:
    """Sentences of the vocabulary's nouns, adjectives and verbs, common ones more often; always the same.

    Args:
        vocabulary: of the run.
        count: how many.
    """
    known = [word for word in vocabulary.words if word not in SPECIAL and any(c.isalnum() for c in word)]
    telling = [word for word in known if is_content(word)] or known or ["thing"]
    lots = Random(0)

    def word() -> str:
        return telling[int(len(telling) * lots.random() ** _COMMON)]

    forms = [lots.choice(_FORMS) for _ in range(count)]
    return tuple(form.format(*(word() for _ in range(form.count("{}")))) for form in forms)
