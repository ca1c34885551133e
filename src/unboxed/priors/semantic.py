"""The semantic prior: how well regions fit phrases before anything is trained (after SPRM, section 3.2).

A phrase becomes a row of affinities, a region a row of evidence, and a score is a function of the two rows alone, so
that all phrases meet all regions in one matrix product (`scores`). Both have the same E columns:

    classes    how well the phrase fits the detector's class     how surely the region shows it
    parts      is it worn on, or part of, head, torso, legs      is the region a person's head, torso, legs
    union      does the phrase want a box around several         is the region one
    places     does the phrase say left, right, …                is the region left, right, … among its like

Phrases of which nothing is known have a row of zeros, and score 0 everywhere.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from unboxed import boxes as box_arithmetic
from unboxed.errors import ModelError
from unboxed.negatives.inflection import noun_key
from unboxed.phrases import head_noun
from unboxed.priors import person_words
from unboxed.priors.class_map import ClassMap, load_class_map, named_classes, words_to_head
from unboxed.priors.cooccurrence import Cooccurrence
from unboxed.priors.settings import PriorSettings
from unboxed.priors.spatial import SPATIAL_WORDS, box_relations, phrase_places
from unboxed.regions.persons import PERSON_CLASSES
from unboxed.text.word_classes import is_plural
from unboxed.text.word_vectors import WordVectors
from unboxed.text.wordnet import WordNet
from unboxed.types import Array

__all__ = ["PriorSettings", "SemanticPrior", "expected_overlap", "scores"]

_FORMAT, _VERSION = "unboxed-prior", 1
_PARTS = ("head", "torso", "legs")
_WORN = person_words.HEAD | person_words.TORSO | person_words.LEGS | person_words.WHOLE
_PLACES = len(SPATIAL_WORDS)
_CLOSE = 0.25  # classes whose affinity is further below the best are not meant
_KNOWS_CLOTHING = 3  # so many classes for what persons wear and have, and the parts need not stand in for them


def scores(affinity_PE: Any, evidence_RE: Any) -> Any:
    """How well every region fits every phrase, `[…, P, R]` in [0, 1]; 0 where nothing is known.

    Args:
        affinity_PE: `[…, P, E]`, rows of `SemanticPrior.affinity`; NumPy or torch, as `evidence_RE`.
        evidence_RE: `[…, R, E]`, rows of `SemanticPrior.evidence`; padded regions are zeros. Leading axes are
            broadcast: `[1, C, P, E]` with `[B, 1, R, E]` gives `[B, C, P, R]`.
    """
    classes = affinity_PE.shape[-1] - _PLACES - 1
    fit = _products(affinity_PE[..., :classes], evidence_RE[..., :classes])
    fit = fit * (1 + _products(affinity_PE[..., classes : classes + 1], evidence_RE[..., classes : classes + 1]))
    placed = _products(affinity_PE[..., classes + 1 :], evidence_RE[..., classes + 1 :])
    there = (placed >= 0.5) & (fit > 0)
    return (fit * (there | ~there.any(axis=-1, keepdims=True))).clip(0, 1)


def expected_overlap(score_PR: Array, overlap_RR: Array, power: float = 2.0) -> Array:
    """Scores `[P, R]` by what each region is expected to share with the right one.

    The scores to a power, normalised over regions, are taken as its distribution.

    Args:
        score_PR: scores, 0 or more.
        overlap_RR: IoU of the regions.
        power: sharpens.
    """
    sharp_PR = score_PR**power
    return np.asarray(sharp_PR / np.maximum(sharp_PR.sum(axis=-1, keepdims=True), 1e-9) @ overlap_RR, dtype=np.float32)


class SemanticPrior:
    """The untrained prior for one detector's classes.

    Build one with `SemanticPrior.build`, read one with `SemanticPrior.load`.
    """

    def __init__(
        self,
        settings: PriorSettings,
        class_names: Sequence[str],
        *,
        vectors: WordVectors | None = None,
        wordnet: WordNet | None = None,
        own_map: dict[str, str] | None = None,
        cooccurrence: Cooccurrence | None = None,
    ) -> None:
        self.settings = settings
        self.class_names = tuple(class_names)
        self._vectors, self._wordnet, self._own_map, self._cooccurrence = vectors, wordnet, own_map, cooccurrence
        self._taken, self._into = _merged(self.class_names)
        names = [self.class_names[k].rpartition(":")[2] for k in self._taken]
        self._names = tuple(names)
        self._class_map = ClassMap(self.class_names, None, own_map)
        self._person_K = np.array([name.lower() in PERSON_CLASSES for name in names], dtype=bool)
        self._stuff_K = np.array([noun_key(name.lower().split()[-1]) in person_words.STUFF for name in names], bool)
        named = sum(noun_key(name.lower().split()[-1]) in _WORN for name in names)
        self._person_parts = bool(self._person_K.any()) and named < _KNOWS_CLOTHING and settings.part_weight > 0
        self._class_vectors = None if vectors is None else vectors.matrix(names)
        self._by_head: dict[str, Array] = {}
        self._by_phrase: dict[str, Array] = {}

    @classmethod
    def build(
        cls,
        settings: PriorSettings,
        class_names: Sequence[str],
        *,
        captions: Iterable[str] = (),
        photographs: Iterable[tuple[Sequence[str], npt.NDArray[np.floating]]] = (),
    ) -> SemanticPrior:
        """The prior of a detector.

        Args:
            settings: how to match, and the files to match with.
            class_names: the K classes of the regions' `class_probs`.
            captions: the training captions, read only where word vectors are to be counted from them.
            photographs: of each training photograph the phrases of its captions, and the `class_probs` `[R, K]` of its
                regions; for the co-occurrence of nouns and classes.

        Raises:
            ModelError: a file that is missing or damaged, a class map with a class that the detector does not have, or
                nothing left to match with.
        """
        vectors = wordnet = own_map = cooccurrence = None
        if "vectors" in settings.match:
            if settings.word_vectors is not None:
                vectors = WordVectors.open(settings.word_vectors)
            elif texts := list(captions):
                vectors = WordVectors.from_captions(texts)
        if "wordnet" in settings.match and settings.wordnet is not None:
            nltk = str(settings.wordnet) == "nltk"
            wordnet = WordNet.from_nltk() if nltk else WordNet.open(settings.wordnet)
        if "map" in settings.match and settings.class_map is not None:
            own_map = load_class_map(settings.class_map)
        prior = cls(settings, class_names, vectors=vectors, wordnet=wordnet, own_map=own_map)
        if settings.cooccurrence > 0:
            cooccurrence = Cooccurrence.fit(
                ([noun_key(head_noun(phrase)) for phrase in phrases], prior._presence(class_probs))
                for phrases, class_probs in photographs
            )
            prior._cooccurrence = cooccurrence if cooccurrence.nouns else None
        if not prior._can_match:
            raise ModelError(
                f"The prior is to match by {', '.join(settings.match) or 'nothing'}, but has nothing to match with; "
                "name word_vectors, wordnet or class_map, or let it match by names."
            )
        return prior

    @property
    def width(self) -> int:
        """E, the number of columns."""
        return len(self._names) + len(_PARTS) + 1 + _PLACES

    def affinity(self, phrase: str) -> Array:
        """What a phrase looks for, `[E]`; zeros when nothing is known of it."""
        if phrase not in self._by_phrase:
            self._by_phrase[phrase] = self._affinity(phrase)
        return self._by_phrase[phrase]

    def evidence(
        self,
        boxes: Array,
        class_probs: npt.NDArray[np.floating],
        sources: Sequence[str],
        width: int,
        height: int,
    ) -> Array:
        """What the R regions of a photograph show, `[R, E]` in [0, 1].

        Args:
            boxes: `[R, 4]` pixels.
            class_probs: `[R, K]`.
            sources: R names of what proposed them.
            width, height: of the photograph.
        """
        settings = self.settings
        belief_RK = self._belief(class_probs)
        label_R = _best_class(belief_RK)
        if settings.evidence == "label":
            belief_RK = (label_R[:, None] == np.arange(len(self._names))).astype(np.float32)
        side_R1 = np.sqrt(box_arithmetic.area(boxes) / (width * height))[:, None]
        larger_R1 = (1 + 4 * settings.stuff_size * side_R1) / (1 + 4 * settings.stuff_size)
        shown_RK = np.where(self._stuff_K, settings.stuff_weight * larger_R1, 1) * belief_RK
        sure_R = belief_RK.max(axis=1, initial=0)
        places_R6 = box_relations(boxes, np.where(sure_R >= settings.spatial_score, label_R, -1))
        columns = [shown_RK, self._parts(boxes, belief_RK, sources)]
        columns += [np.array([[source == "union"] for source in sources], np.float32).reshape(-1, 1), places_R6]
        return np.concatenate(columns, axis=1).astype(np.float32)

    def save(self, folder: Path) -> None:
        """Writes everything that `load` needs; nothing outside the folder is read again."""
        folder.mkdir(parents=True, exist_ok=True)
        kept = replace(self.settings, word_vectors=None, wordnet=None, class_map=None)
        if self._vectors is not None:
            self._vectors.save(folder / "word_vectors.npz")
            kept = replace(kept, word_vectors=Path("word_vectors.npz"))
        if self._wordnet is not None:
            self._wordnet.save(folder / "wordnet.tsv.gz")
            kept = replace(kept, wordnet=Path("wordnet.tsv.gz"))
        if self._own_map is not None:
            _write_json(folder / "class_map.json", self._own_map)
            kept = replace(kept, class_map=Path("class_map.json"))
        if self._cooccurrence is not None:
            self._cooccurrence.save(folder / "cooccurrence.npz")
        content = {
            "format": _FORMAT,
            "version": _VERSION,
            "settings": kept.to_dict(),
            "class_names": list(self.class_names),
            "cooccurrence": self._cooccurrence is not None,
        }
        _write_json(folder / "prior.json", content)

    @classmethod
    def load(cls, folder: Path) -> SemanticPrior:
        """The prior that `save` wrote.

        Raises:
            ModelError: no prior there, a damaged one, or one of a newer version.
        """
        file = folder / "prior.json"
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
            if content["format"] != _FORMAT:
                raise KeyError("format")
            version, named, class_names = content["version"], content["settings"], tuple(content["class_names"])
            counted = bool(content["cooccurrence"])
        except OSError as error:
            raise ModelError(f"There is no semantic prior in {folder} ({error}); train the run anew.") from None
        except (ValueError, KeyError, TypeError) as error:
            raise ModelError(f"{file} is damaged ({error!r}); train the run anew.") from None
        if not isinstance(version, int) or version > _VERSION:
            raise ModelError(f"{file} has version {version!r}; this unboxed reads up to {_VERSION}. Update unboxed.")
        settings = PriorSettings.from_dict(named)
        paths = {
            name: folder / path
            for name in ("word_vectors", "wordnet", "class_map")
            if (path := getattr(settings, name)) is not None
        }
        return cls(
            replace(settings, **paths),
            class_names,
            vectors=WordVectors.open(paths["word_vectors"]) if "word_vectors" in paths else None,
            wordnet=WordNet.open(paths["wordnet"]) if "wordnet" in paths else None,
            own_map=load_class_map(paths["class_map"]) if "class_map" in paths else None,
            cooccurrence=Cooccurrence.load(folder / "cooccurrence.npz") if counted else None,
        )

    @property
    def _can_match(self) -> bool:
        given = {"map": self._own_map, "wordnet": self._wordnet, "vectors": self._vectors}
        always = {"names", "parts"} & set(self.settings.match)
        return bool(always) or self._cooccurrence is not None or any(value is not None for value in given.values())

    def _belief(self, class_probs: npt.NDArray[np.floating]) -> Array:
        """`[R, K']` the probabilities of the classes kept, without what a detector says of anything."""
        belief_RK = np.zeros((len(class_probs), len(self._taken)), dtype=np.float32)
        for k, place in enumerate(self._into):
            if place >= 0:
                belief_RK[:, place] = np.maximum(belief_RK[:, place], class_probs[:, k])
        background_K = np.where(self._stuff_K, 0, self.settings.background)
        return np.asarray(np.clip((belief_RK - background_K) / (1 - background_K), 0, 1), dtype=np.float32)

    def _presence(self, class_probs: npt.NDArray[np.floating]) -> Array:
        """`[K']` how surely a photograph shows each class."""
        weight_K = np.where(self._stuff_K, self.settings.stuff_weight, 1)
        return np.asarray(self._belief(class_probs).max(axis=0, initial=0) * weight_K, dtype=np.float32)

    def _parts(self, boxes: Array, belief_RK: Array, sources: Sequence[str]) -> Array:
        """`[R, 3]`: how surely a region is the head, torso, legs of a person: as sure as the person it lies in."""
        parts_R3 = np.array([[source == part for part in _PARTS] for source in sources], np.float32).reshape(-1, 3)
        if not parts_R3.any() or not self._person_K.any():
            return np.zeros_like(parts_R3)
        whole_R = np.array([source == "detector" for source in sources])
        person_R = np.where(whole_R, belief_RK[:, self._person_K].max(axis=1), 0)
        inside_RR = _shared(boxes) >= 0.95 * np.maximum(box_arithmetic.area(boxes), 1e-6)[:, None]
        return np.asarray(parts_R3 * (inside_RR * person_R).max(axis=1)[:, None], dtype=np.float32)

    def _affinity(self, phrase: str) -> Array:
        settings = self.settings
        row = np.zeros(self.width, dtype=np.float32)
        classes = self._classes(phrase)
        row[: len(classes)] = classes / max(1.0, float(classes.sum()))
        if row.any():
            head = head_noun(phrase)
            several = is_plural(head) or noun_key(head) in person_words.GROUPS
            row[len(classes)] = (settings.plural_union if several else settings.single_union) - 1
            if settings.spatial:
                row[len(classes) + 1 :] = phrase_places(phrase)
        row.setflags(write=False)
        return row

    def _classes(self, phrase: str) -> Array:
        """`[K' + 3]` the affinities of classes and parts."""
        head = noun_key(head_noun(phrase))
        found = np.zeros(len(self._names) + len(_PARTS), dtype=np.float32)
        for match in self.settings.match:
            found = self._matchers[match](phrase)
            if found.any():
                break
        together = None if self._cooccurrence is None else self._cooccurrence.of(head)
        if together is not None:
            found = found + np.pad(self.settings.cooccurrence * together, (0, len(_PARTS)))
        return found

    @property
    def _matchers(self) -> dict[str, Callable[[str], Array]]:
        return {
            "map": self._by_map,
            "names": self._by_name,
            "parts": self._by_part,
            "wordnet": self._by_wordnet,
            "vectors": self._by_vectors,
        }

    def _by_map(self, phrase: str) -> Array:
        own = self._class_map.own(phrase)
        return self._row([] if own is None else [self._into[own]])

    def _by_name(self, phrase: str) -> Array:
        named = named_classes(phrase, self._names)
        if not named and noun_key(head_noun(phrase)) in person_words.PERSONS | person_words.GROUPS:
            return self._row(np.flatnonzero(self._person_K))
        return self._row(named)

    def _by_part(self, phrase: str) -> Array:
        key, weight = noun_key(head_noun(phrase)), self.settings.part_weight
        row = self._row([])
        if not self._person_parts:
            return row
        for part, nouns in enumerate((person_words.HEAD, person_words.TORSO, person_words.LEGS)):
            row[len(self._names) + part] = weight * (key in nouns)
        if key in person_words.WHOLE:
            row[: len(self._names)] = weight * self._person_K
            row[len(self._names) + 1] = weight
        return row

    def _by_wordnet(self, phrase: str) -> Array:
        if self._wordnet is None:
            return self._row([])
        for noun in (" ".join(words_to_head(phrase)[-2:]), head_noun(phrase)):
            if noun and noun in self._wordnet:
                if noun not in self._by_head:
                    raw = [self._wordnet.affinity(noun, name) for name in self._names]
                    self._by_head[noun] = self._sharp(np.array(raw, np.float32))
                if self._by_head[noun].any():
                    return self._by_head[noun]
        return self._row([])

    def _by_vectors(self, phrase: str) -> Array:
        vector = None if self._vectors is None else self._vectors.vector(head_noun(phrase))
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
        return np.pad(sharp_K, (0, len(_PARTS))).astype(np.float32)

    def _row(self, classes: Iterable[int]) -> Array:
        row = np.zeros(len(self._names) + len(_PARTS), dtype=np.float32)
        row[list(classes)] = 1
        return row


def _merged(class_names: Sequence[str]) -> tuple[list[int], list[int]]:
    """The classes kept, and where each class goes: a second detector's to the first's, a segmenter's nowhere (-1)."""
    taken: list[int] = []
    places: dict[str, int] = {}
    into = []
    for k, name in enumerate(class_names):
        source, _, plain = name.rpartition(":")
        if plain in places and source:
            into.append(-1 if source == "segmenter" else places[plain])
            continue
        places.setdefault(plain, len(taken))
        into.append(len(taken))
        taken.append(k)
    return taken, into


def _best_class(belief_RK: Array) -> npt.NDArray[np.intp]:
    """`[R]` the most probable class of each region; -1 where none has any probability."""
    if belief_RK.shape[1] == 0:
        return np.full(len(belief_RK), -1, dtype=np.intp)
    return np.where(belief_RK.max(axis=1) > 0, belief_RK.argmax(axis=1), -1)


def _shared(boxes: Array) -> Array:
    """`[R, R]` area that two boxes share."""
    low = np.maximum(boxes[:, None, :2], boxes[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    return np.asarray(np.clip(high - low, 0, None).prod(axis=2), dtype=np.float32)


def _products(affinity: Any, evidence: Any) -> Any:
    """`[…, P, R]` inner products; where every leading axis belongs to one side, in a single product of two matrices."""
    if affinity.ndim == 4 and evidence.ndim == 4 and affinity.shape[0] == 1 and evidence.shape[1] == 1:
        captions, phrases, width = affinity.shape[1:]
        images, regions = evidence.shape[0], evidence.shape[2]
        flat = affinity.reshape(captions * phrases, width) @ evidence.reshape(images * regions, width).T
        return flat.reshape(captions, phrases, images, regions).swapaxes(1, 2).swapaxes(0, 1)
    return affinity @ evidence.swapaxes(-1, -2)


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
