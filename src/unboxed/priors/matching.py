"""Which of a detector's classes a phrase means, and how surely: names, general knowledge, counts of captions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from unboxed.priors import person_words
from unboxed.priors.class_map import ClassMap, named_classes, words_to_head
from unboxed.priors.cooccurrence import Cooccurrence
from unboxed.priors.settings import Match, PriorSettings
from unboxed.regions.sources.derived import PERSON_CLASSES, PersonParts
from unboxed.text.inflection import noun_key
from unboxed.text.lexicon import is_plural
from unboxed.text.phrases import head_noun
from unboxed.text.word_vectors import WordVectors
from unboxed.text.wordnet import WordNet
from unboxed.types import Array

__all__ = ["PARTS", "Knowledge", "PhraseMatcher"]

PARTS = PersonParts.names

_CLOSE = 0.25  # classes whose affinity is further below the best are not meant
_WORN = person_words.HEAD | person_words.TORSO | person_words.LEGS | person_words.WHOLE
_KNOWS_CLOTHING = 5  # so many classes for what persons wear and have, and the parts need not stand in for them


@dataclass(frozen=True, eq=False)
class Knowledge:
    """What phrases are matched with, beside names; None where there is none."""

    vectors: WordVectors | None = None
    wordnet: WordNet | None = None
    own_map: dict[str, str] | None = None
    """phrase -> class name."""
    cooccurrence: Cooccurrence | None = None


class PhraseMatcher:
    """Affinities of phrases with K classes and with the three parts of a person, `[K + 3]`.

    Args:
        settings: which ways to match, in which order.
        names: the K names, without the sources before them.
        knowledge: what to match with.
    """

    def __init__(self, settings: PriorSettings, names: Sequence[str], knowledge: Knowledge) -> None:
        self.settings = settings
        self.names = tuple(names)
        self.knowledge = knowledge
        self.person_K = np.array([name.lower() in PERSON_CLASSES for name in names], dtype=bool)
        known = sum(noun_key(name.lower()) in _WORN for name in names)
        self._parts = bool(self.person_K.any()) and known < _KNOWS_CLOTHING and settings.part_weight > 0
        self._class_map = ClassMap(names, None, knowledge.own_map)
        self._class_vectors = None if knowledge.vectors is None else knowledge.vectors.matrix(self.names)
        self._by_noun: dict[str, Array] = {}
        self._ways: dict[Match, Callable[[str], Array]] = {
            "map": self._by_map,
            "names": self._by_name,
            "parts": self._by_part,
            "wordnet": self._by_wordnet,
            "vectors": self._by_vectors,
        }

    @property
    def can_match(self) -> bool:
        """Is there anything to match with?"""
        known = self.knowledge
        always = {"names", "parts"} & set(self.settings.match)
        sources = (known.own_map, known.wordnet, known.vectors, known.cooccurrence)
        return bool(always) or any(source is not None for source in sources)

    def __call__(self, phrase: str) -> Array:
        """`[K + 3]` affinities of the classes, then of `PARTS`, 0 or more; zeros when nothing is known."""
        found = self._row([])
        for match in self.settings.match:
            found = self._ways[match](phrase)
            if found.any():
                break
        counted = self.knowledge.cooccurrence
        together = None if counted is None else counted.of(noun_key(head_noun(phrase)))
        if together is not None:
            found = found + np.pad(self.settings.cooccurrence * together, (0, len(PARTS)))
        return found

    def is_several(self, phrase: str) -> bool:
        """Does the phrase speak of several things or persons?"""
        head = head_noun(phrase)
        return is_plural(head) or noun_key(head) in person_words.GROUPS

    def _by_map(self, phrase: str) -> Array:
        own = self._class_map.own(phrase)
        return self._row([] if own is None else [own])

    def _by_name(self, phrase: str) -> Array:
        named = named_classes(phrase, self.names)
        if not named and noun_key(head_noun(phrase)) in person_words.PERSONS | person_words.GROUPS:
            return self._row(np.flatnonzero(self.person_K))
        return self._row(named)

    def _by_part(self, phrase: str) -> Array:
        row, weight = self._row([]), self.settings.part_weight
        if not self._parts:
            return row
        key = noun_key(head_noun(phrase))
        for part, nouns in enumerate((person_words.HEAD, person_words.TORSO, person_words.LEGS)):
            row[len(self.names) + part] = weight * (key in nouns)
        if key in person_words.WHOLE:
            row[: len(self.names)] = weight * self.person_K
            row[len(self.names) + PARTS.index("torso")] = weight
        return row

    def _by_wordnet(self, phrase: str) -> Array:
        wordnet = self.knowledge.wordnet
        if wordnet is None:
            return self._row([])
        for noun in (" ".join(words_to_head(phrase)[-2:]), head_noun(phrase)):
            if noun not in self._by_noun:
                affinity = [wordnet.affinity(noun, name) for name in self.names] if noun in wordnet else []
                self._by_noun[noun] = self._sharp(np.array(affinity, np.float32)) if affinity else self._row([])
            if self._by_noun[noun].any():
                return self._by_noun[noun]
        return self._row([])

    def _by_vectors(self, phrase: str) -> Array:
        vectors = self.knowledge.vectors
        vector = None if vectors is None else vectors.vector(head_noun(phrase))
        if vector is None or self._class_vectors is None:
            return self._row([])
        return self._sharp(self._class_vectors @ vector, self.settings.vector_threshold)

    def _sharp(self, affinity_K: Array, threshold: float = 0.0) -> Array:
        """The best class's affinity, and of those close to it what the temperature leaves."""
        best = float(affinity_K.max(initial=0))
        if best <= 0 or best < threshold:
            return self._row([])
        if self.settings.temperature == 0:
            sharp_K = np.maximum(affinity_K, 0)
        else:
            meant_K = (affinity_K > best - _CLOSE) & (affinity_K > 0)
            sharp_K = best * meant_K * np.exp((affinity_K - best) / self.settings.temperature)
        return np.pad(sharp_K, (0, len(PARTS))).astype(np.float32)

    def _row(self, classes: Iterable[int]) -> Array:
        row = np.zeros(len(self.names) + len(PARTS), dtype=np.float32)
        row[list(classes)] = 1
        return row
