"""Affinities of phrases with a detector's classes: by names, maps, synonyms, lexical files and counts over captions."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from unboxed.errors import ModelError, errors_of, plain_reason
from unboxed.priors import noun_sets
from unboxed.priors.cooccurrence import Cooccurrence
from unboxed.priors.crop_evidence import CropEvidence
from unboxed.priors.settings import Match, PriorSettings
from unboxed.regions.sources.body_parts import PersonParts
from unboxed.regions.sources.geometry import PERSON_CLASSES
from unboxed.text.lexicon import is_plural, noun_key
from unboxed.text.phrases import PhraseWords
from unboxed.text.synonyms import synonym_key
from unboxed.text.tokens import words
from unboxed.text.word_vectors import WordVectors
from unboxed.text.wordnet import WordNet
from unboxed.types import Array

__all__ = [
    "ALL_PARTS",
    "PARTS",
    "WORN",
    "ClassMap",
    "MatchingResources",
    "PhraseMatcher",
    "classes_by_name",
    "load_class_map",
    "person_classes",
]

PARTS = ("head", "torso", "legs")
"""The parts of persons that regions have without a segmenter of parts."""
ALL_PARTS = PersonParts.names
WORN = tuple(f"on {part}" for part in ALL_PARTS)
"""Places where things are worn: a hat is seldom the whole head, so regions that overlap the part score too."""

_NOUNS_OF = {
    "head": noun_sets.HEAD - noun_sets.FACE,
    "face": noun_sets.FACE,
    "torso": noun_sets.TORSO - noun_sets.ARMS,
    "arms": noun_sets.ARMS,
    "hand": noun_sets.HAND,
    "legs": noun_sets.LEGS - noun_sets.FEET,
    "feet": noun_sets.FEET,
}
_COARSE_NOUNS_OF = {"head": noun_sets.HEAD, "torso": noun_sets.TORSO, "legs": noun_sets.LEGS}

_CLOSE = 0.25  # a class whose affinity is further below the best one gets none
_MANY_CLOTHING_CLASSES = 5  # with this many classes for clothing and the body, parts of persons do not replace them


@dataclass(frozen=True, eq=False)
class MatchingResources:
    """Resources besides the class names for matching phrases with classes; None for those that are not available.

    Attributes:
        vectors: word vectors.
        wordnet: kinds of nouns.
        class_map: phrase -> class name.
        cooccurrence: the classes that co-occur with each noun in the training data.
        crops: an image-text encoder that compares phrases with the crops of regions.
    """

    vectors: WordVectors | None = None
    wordnet: WordNet | None = None
    class_map: dict[str, str] | None = None
    cooccurrence: Cooccurrence | None = None
    crops: CropEvidence | None = None


def person_classes(names: Sequence[str]) -> npt.NDArray[np.bool_]:
    """`[N]`: True for the class names of persons."""
    return np.array([name.lower() in PERSON_CLASSES for name in names], dtype=bool)


class PhraseMatcher:
    """Affinities of phrases with N classes and with the parts of a person, `[N + parts]`.

    Args:
        settings: which methods to use, in which order.
        names: the N class names, without the source before the colon.
        resources: what to match with.
        parts: the S parts of persons that regions have.
        label_names: the L class names of a labeler.
    """

    def __init__(
        self,
        settings: PriorSettings,
        names: Sequence[str],
        resources: MatchingResources,
        parts: tuple[str, ...] = PARTS,
        label_names: Sequence[str] = (),
    ) -> None:
        self.settings = settings
        self.parts = parts
        self.label_names = tuple(label_names)
        self.names = tuple(names)
        self.resources = resources
        cooccurrence = resources.cooccurrence
        if cooccurrence is not None and cooccurrence.nouns and cooccurrence.weight_NK.shape[1] != len(self.names):
            raise ModelError(
                f"The prior has {len(self.names)} classes, its co-occurrences {cooccurrence.weight_NK.shape[1]}; "
                "restore the files of its folder, or train the run anew."
            )
        self._person_N = person_classes(names)
        clothing_classes = sum(noun_key(name.lower()) in noun_sets.CLOTHING for name in names)
        self._use_parts = (
            bool(self._person_N.any()) and clothing_classes < _MANY_CLOTHING_CLASSES and settings.part_weight > 0
        )
        with nullcontext() if settings.class_map is None else errors_of(settings.class_map):
            self._class_map = ClassMap(resources.class_map or {}, self.names)
        self._class_vectors = None if resources.vectors is None else resources.vectors.matrix(self.names)
        self._wordnet_rows: dict[str, Array] = {}
        self._ways: dict[Match, Callable[[PhraseWords], Array]] = {
            "map": lambda phrase: self._row(self._class_map(phrase)),
            "names": self._by_name,
            "parts": self._by_part,
            "wordnet": self._by_wordnet,
            "vectors": self._by_vectors,
            "synonyms": self._by_synonym,
        }

    @property
    def can_match(self) -> bool:
        """Whether any method can match: `names`, `parts` and `synonyms` always can, the others need their resource."""
        resources = self.resources
        given = (resources.class_map, resources.wordnet, resources.vectors, resources.cooccurrence)
        return not {"names", "parts", "synonyms"}.isdisjoint(self.settings.match) or any(
            resource is not None for resource in given
        )

    def __call__(self, phrase: PhraseWords) -> Array:
        """`[N + parts]` affinities of the classes, then of `PARTS`; zeros where no method matches.

        They are 0 or more, except for plain cosines.
        """
        found = self._row([])
        for match in self.settings.match:
            found = self._ways[match](phrase)
            if found.any():
                break
        cooccurrence = self.resources.cooccurrence
        class_N = None if cooccurrence is None else cooccurrence.of(noun_key(phrase.head))
        if class_N is not None:
            found = found + np.pad(self.settings.cooccurrence * class_N, (0, len(self.parts)))
        return found

    def labels(self, phrase: PhraseWords) -> Array:
        """`[L]` affinities of the labeler's classes, by name; they sum to `label_weight`, or are 0."""
        row = np.zeros(len(self.label_names), dtype=np.float32)
        if found := classes_by_name(phrase, self.label_names):
            row[list(found)] = self.label_weight(phrase) / len(found)
        return row

    def label_weight(self, phrase: PhraseWords) -> float:
        """The weight of what crops show beside classes.

        It is smaller for what the detectors have a class for: they see where it is, and know persons better.
        """
        return self.settings.label_beside if self._by_name(phrase).any() else self.settings.label_weight

    @staticmethod
    def is_plural(phrase: PhraseWords) -> bool:
        """Whether the phrase names several things or persons."""
        return is_plural(phrase.head) or noun_key(phrase.head) in noun_sets.GROUPS

    def _by_name(self, phrase: PhraseWords) -> Array:
        classes = classes_by_name(phrase, self.names)
        if not classes and noun_key(phrase.head) in noun_sets.PERSONS | noun_sets.GROUPS:
            return self._row(np.flatnonzero(self._person_N))
        return self._row(classes)

    def _by_part(self, phrase: PhraseWords) -> Array:
        row, weight = self._row([]), self.settings.part_weight
        if not self._use_parts:
            return row
        key = noun_key(phrase.head)
        nouns_of = _COARSE_NOUNS_OF if self.parts == PARTS else _NOUNS_OF
        worn = WORN[0] in self.parts and key not in noun_sets.BODY
        for column, part in enumerate(self.parts, start=len(self.names)):
            row[column] = weight * ((part in WORN) == worn and key in nouns_of[part.removeprefix("on ")])
        if key in noun_sets.OUTFITS:
            row[: len(self.names)] = weight * self._person_N
            row[len(self.names) + self.parts.index("on torso" if worn else "torso")] = weight
        return row

    def _by_wordnet(self, phrase: PhraseWords) -> Array:
        wordnet = self.resources.wordnet
        if wordnet is None:
            return self._row([])
        for noun in _nouns(phrase):
            if noun not in self._wordnet_rows:
                affinities = [wordnet.affinity(noun, name) for name in self.names] if noun in wordnet else []
                self._wordnet_rows[noun] = self._sharpened(np.array(affinities, np.float32))
            if self._wordnet_rows[noun].any():
                return self._wordnet_rows[noun]
        return self._row([])

    def _by_vectors(self, phrase: PhraseWords) -> Array:
        vectors = self.resources.vectors
        heads = phrase.heads if self.settings.heads == "all" else (phrase.head,)
        vector = None if vectors is None else vectors.vector(" ".join(heads))
        if vector is None or self._class_vectors is None:
            return self._row([])
        cosine_N = self._class_vectors @ vector
        if self.settings.affinities == "plain":
            return np.pad(cosine_N, (0, len(self.parts)))
        return self._sharpened(cosine_N, self.settings.vector_threshold)

    def _by_synonym(self, phrase: PhraseWords) -> Array:
        for noun in _nouns(phrase):
            if found := _by_synonym_key(self.names).get(synonym_key(noun)):
                return self._row(found)
        return self._row([])

    def _sharpened(self, affinity_N: Array, threshold: float = 0.0) -> Array:
        """The best class's affinity, and those close to it lowered by the temperature; `[N + parts]`."""
        best = float(affinity_N.max(initial=0))
        if best <= 0 or best < threshold:
            return self._row([])
        if self.settings.temperature == 0:
            sharp_N = np.maximum(affinity_N, 0)
        else:
            close_N = (affinity_N > best - _CLOSE) & (affinity_N > 0)
            sharp_N = best * close_N * np.exp((affinity_N - best) / self.settings.temperature)
        return np.pad(sharp_N, (0, len(self.parts))).astype(np.float32)

    def _row(self, classes: Iterable[int]) -> Array:
        row = np.zeros(len(self.names) + len(self.parts), dtype=np.float32)
        row[list(classes)] = 1
        return row


class ClassMap:
    """A user's map from phrases to classes.

    Args:
        classes: phrase -> class name.
        class_names: the detector's K classes. Of two with one name the first is taken.

    Raises:
        ModelError: `classes` holds a class that the detector does not have.
    """

    def __init__(self, classes: Mapping[str, str], class_names: Sequence[str]) -> None:
        self._class_of: dict[tuple[str, ...], int] = {}
        for phrase, name in classes.items():
            if name not in class_names:
                raise ModelError(
                    f"The class map gives {phrase!r} the class {name!r}, which the detector does not have; its classes "
                    f"are {', '.join(class_names[:12])}{', …' if len(class_names) > 12 else ''}."
                )
            self._class_of[_keys(word.text for word in words(phrase))] = class_names.index(name)

    def __call__(self, phrase: PhraseWords) -> tuple[int, ...]:
        """The index of the class that the map gives the phrase, or else its head noun; empty without either."""
        keys = (_keys(phrase.words), _keys([phrase.head]))
        return tuple(self._class_of[key] for key in keys if key in self._class_of)[:1]


def load_class_map(path: Path) -> dict[str, str]:
    """The class map in a file, a JSON object {phrase: class}.

    Raises:
        ModelError: no such file, or not such an object.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ModelError(
            f"The class map {path} cannot be read ({plain_reason(error)}); name a JSON file {{phrase: class}}."
        ) from None
    except (ValueError, RecursionError) as error:
        raise ModelError(f"The class map {path} is no JSON ({plain_reason(error)}); write {{phrase: class}}.") from None
    if not isinstance(content, dict) or not all(isinstance(name, str) for name in content.values()):
        raise ModelError(f"The class map {path} must be a JSON object {{phrase: class}}, all in quotes.")
    return content


def classes_by_name(phrase: PhraseWords, class_names: Sequence[str]) -> tuple[int, ...]:
    """The classes whose name occurs in the phrase and ends in its head noun; only the longest names of several.

    Args:
        phrase: see `unboxed.text.phrases.phrase_words`.
        class_names: a name may have variants, separated by commas, and a source before a colon.

    Examples:
        >>> from unboxed.text.phrases import phrase_words
        >>> classes_by_name(phrase_words("two hot dogs"), ("dog", "hot dog"))
        (1,)
        >>> classes_by_name(phrase_words("a dog"), ("dog", "segmenter:dog"))
        (0, 1)
    """
    keys = _keys(phrase.up_to_head)
    candidates = _by_last_word(tuple(class_names)).get(keys[-1], ()) if keys else ()
    found = [(len(name_keys), k) for name_keys, k in candidates if name_keys.issubset(keys)]
    longest = max((length for length, _ in found), default=0)
    return tuple(dict.fromkeys(k for length, k in found if length == longest))


@lru_cache(maxsize=16)
def _by_last_word(class_names: tuple[str, ...]) -> dict[str, list[tuple[frozenset[str], int]]]:
    """Key of the last word of a class name -> the keys of all its words, and the class."""
    found: dict[str, list[tuple[frozenset[str], int]]] = {}
    for k, variant in _variants(class_names):
        if keys := _keys(word.text for word in words(variant)):
            found.setdefault(keys[-1], []).append((frozenset(keys), k))
    return found


@lru_cache(maxsize=16)
def _by_synonym_key(class_names: tuple[str, ...]) -> dict[str, list[int]]:
    """The `synonym_key` of a class name, or of one of its variants -> the classes."""
    found: dict[str, list[int]] = {}
    for k, variant in _variants(class_names):
        found.setdefault(synonym_key(variant), []).append(k)
    return found


def _variants(class_names: Sequence[str]) -> Iterator[tuple[int, str]]:
    """Each variant of each class name, without its source, with the index of the class."""
    for k, name in enumerate(class_names):
        yield from ((k, variant) for variant in name.rpartition(":")[2].split(","))


def _nouns(phrase: PhraseWords) -> tuple[str, str]:
    """The head noun with the word before it, such as "hot dog", and the head noun alone."""
    return " ".join(phrase.up_to_head[-2:]), phrase.head


def _keys(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(map(noun_key, texts))
