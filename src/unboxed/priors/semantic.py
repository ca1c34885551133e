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
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from unboxed import boxes as box_arithmetic
from unboxed.errors import ModelError
from unboxed.priors import person_words
from unboxed.priors.class_map import load_class_map
from unboxed.priors.cooccurrence import Cooccurrence
from unboxed.priors.matching import PARTS, Knowledge, PhraseMatcher
from unboxed.priors.scoring import expected_overlap, scores
from unboxed.priors.settings import PriorSettings
from unboxed.priors.spatial import SPATIAL_WORDS, box_relations, phrase_places
from unboxed.regions import sources as region_sources
from unboxed.regions.sources import Detectors, Segmenter, Unions
from unboxed.text.inflection import noun_key
from unboxed.text.phrases import head_noun
from unboxed.text.word_vectors import WordVectors
from unboxed.text.wordnet import WordNet
from unboxed.types import Array

__all__ = ["PriorSettings", "SemanticPrior", "expected_overlap", "scores"]

_FORMAT, _VERSION = "unboxed-prior", 1
_DETECTED = frozenset((*Detectors.names, *Unions.names))
_PLACES = len(SPATIAL_WORDS)


class SemanticPrior:
    """The untrained prior for one detector's classes.

    Build one with `SemanticPrior.build`, read one with `SemanticPrior.load`.
    """

    def __init__(
        self,
        settings: PriorSettings,
        class_names: Sequence[str],
        knowledge: Knowledge,
    ) -> None:
        self.settings = settings
        self.class_names = tuple(class_names)
        self._taken, into = _merged(self.class_names)
        self._share_KK = _shares(into, len(self._taken))
        names = tuple(self.class_names[k].rpartition(":")[2] for k in self._taken)
        self._stuff_K = np.array(
            [noun_key(name.lower().rpartition(" ")[2]) in person_words.STUFF for name in names], bool
        )
        self._matcher = PhraseMatcher(settings, names, knowledge)
        self._rows: dict[str, Array] = {}

    @classmethod
    def build(
        cls,
        settings: PriorSettings,
        class_names: Sequence[str],
        *,
        captions: Iterable[str] = (),
        images: Iterable[tuple[Sequence[str], npt.NDArray[np.floating]]] = (),
    ) -> SemanticPrior:
        """The prior of a detector.

        Args:
            settings: how to match, and the files to match with.
            class_names: the K classes of the regions' `class_probs`.
            captions: the training captions, read only where word vectors are to be counted from them.
            photographs: of each training image the phrases of its captions, and the `class_probs` `[R, K]` of its
                regions; for the co-occurrence of nouns and classes.

        Raises:
            ModelError: a file that is missing or damaged, a class map with a class that the detector does not have, or
                nothing left to match with.
        """
        vectors = wordnet = own_map = None
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
        knowledge = Knowledge(vectors, wordnet, own_map)
        prior = cls(settings, class_names, knowledge)
        if settings.cooccurrence > 0:
            learned = Cooccurrence.fit(
                ([noun_key(head_noun(phrase)) for phrase in phrases], prior._presence(class_probs))
                for phrases, class_probs in images
            )
            prior = cls(settings, class_names, replace(knowledge, cooccurrence=learned if learned.nouns else None))
        if not prior._matcher.can_match:
            raise ModelError(
                f"The prior is to match by {', '.join(settings.match) or 'nothing'}, but has nothing to match with; "
                "name word_vectors, wordnet or class_map, or let it match by names."
            )
        return prior

    @property
    def width(self) -> int:
        """E, the number of columns."""
        return len(self._taken) + len(PARTS) + 1 + _PLACES

    def affinity(self, phrase: str) -> Array:
        """What a phrase looks for, `[E]`; zeros when nothing is known of it."""
        if phrase not in self._rows:
            self._rows[phrase] = self._affinity(phrase)
        return self._rows[phrase]

    def evidence(
        self,
        boxes: Array,
        class_probs: npt.NDArray[np.floating],
        sources: Sequence[str],
        width: int,
        height: int,
    ) -> Array:
        """What the R regions of an image show, `[R, E]` in [0, 1].

        Args:
            boxes: `[R, 4]` pixels.
            class_probs: `[R, K]`.
            sources: R names of what proposed them.
            width, height: of the image.
        """
        settings = self.settings
        belief_RK = self._belief(class_probs)
        label_R = _best_class(belief_RK)
        if settings.evidence == "label":
            belief_RK = (label_R[:, None] == np.arange(len(self._taken))).astype(np.float32)
        side_R1 = np.sqrt(box_arithmetic.area(boxes) / (width * height))[:, None]
        larger_R1 = (1 + 4 * settings.stuff_size * side_R1) / (1 + 4 * settings.stuff_size)
        elsewhere_R1 = np.array([[source not in _DETECTED] for source in sources], bool).reshape(-1, 1)
        things_R1 = np.where(elsewhere_R1, settings.elsewhere_weight, 1)
        shown_RK = np.where(self._stuff_K, settings.stuff_weight * larger_R1, things_R1) * belief_RK
        sure_R = belief_RK.max(axis=1, initial=0)
        no_thing = {name for source in region_sources.SOURCES if not source.one_thing for name in source.names}
        single_R = np.array([source not in no_thing for source in sources], dtype=bool)
        places_R6 = box_relations(boxes, np.where(single_R & (sure_R >= settings.spatial_score), label_R, -1))
        columns = [shown_RK, self._parts(boxes, belief_RK, sources)]
        columns += [np.array([[source in Unions.names] for source in sources], np.float32).reshape(-1, 1), places_R6]
        return np.concatenate(columns, axis=1).astype(np.float32)

    def save(self, folder: Path) -> None:
        """Writes everything that `load` needs; nothing outside the folder is read again."""
        folder.mkdir(parents=True, exist_ok=True)
        known = self._matcher.knowledge
        kept = replace(self.settings, word_vectors=None, wordnet=None, class_map=None)
        if known.vectors is not None:
            known.vectors.save(folder / "word_vectors.npz")
            kept = replace(kept, word_vectors=Path("word_vectors.npz"))
        if known.wordnet is not None:
            known.wordnet.save(folder / "wordnet.tsv.gz")
            kept = replace(kept, wordnet=Path("wordnet.tsv.gz"))
        if known.own_map is not None:
            _write_json(folder / "class_map.json", known.own_map)
            kept = replace(kept, class_map=Path("class_map.json"))
        if known.cooccurrence is not None:
            known.cooccurrence.save(folder / "cooccurrence.npz")
        content = {
            "format": _FORMAT,
            "version": _VERSION,
            "settings": kept.to_dict(),
            "class_names": list(self.class_names),
            "cooccurrence": known.cooccurrence is not None,
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
            Knowledge(
                vectors=WordVectors.open(paths["word_vectors"]) if "word_vectors" in paths else None,
                wordnet=WordNet.open(paths["wordnet"]) if "wordnet" in paths else None,
                own_map=load_class_map(paths["class_map"]) if "class_map" in paths else None,
                cooccurrence=Cooccurrence.load(folder / "cooccurrence.npz") if counted else None,
            ),
        )

    def _belief(self, class_probs: npt.NDArray[np.floating]) -> Array:
        """`[R, K']` the probabilities of the classes kept, without what a detector says of anything.

        Of a class that several detectors know it is their mean: what they agree on comes first.
        """
        belief_RK = np.asarray(class_probs, dtype=np.float32) @ self._share_KK
        background_K = np.where(self._stuff_K, 0, self.settings.background)
        return np.asarray(np.clip((belief_RK - background_K) / (1 - background_K), 0, 1), dtype=np.float32)

    def _presence(self, class_probs: npt.NDArray[np.floating]) -> Array:
        """`[K']` how surely an image shows each class."""
        weight_K = np.where(self._stuff_K, self.settings.stuff_weight, 1)
        return np.asarray(self._belief(class_probs).max(axis=0, initial=0) * weight_K, dtype=np.float32)

    def _parts(self, boxes: Array, belief_RK: Array, sources: Sequence[str]) -> Array:
        """`[R, 3]`: how surely a region is the head, torso, legs of a person: as sure as the person it lies in."""
        parts_R3 = np.array([[source == part for part in PARTS] for source in sources], np.float32).reshape(-1, 3)
        if not parts_R3.any() or not self._matcher.person_K.any():
            return np.zeros_like(parts_R3)
        whole_R = np.array([source in Detectors.names for source in sources])
        person_R = np.where(whole_R, belief_RK[:, self._matcher.person_K].max(axis=1), 0)
        inside_RR = _shared(boxes) >= 0.95 * np.maximum(box_arithmetic.area(boxes), 1e-6)[:, None]
        return np.asarray(parts_R3 * (inside_RR * person_R).max(axis=1)[:, None], dtype=np.float32)

    def _affinity(self, phrase: str) -> Array:
        row = np.zeros(self.width, dtype=np.float32)
        classes = self._matcher(phrase)
        row[: len(classes)] = classes / max(1.0, float(classes.sum()))
        if row.any():
            several = self._matcher.is_several(phrase)
            row[len(classes)] = (self.settings.plural_union if several else self.settings.single_union) - 1
            if self.settings.spatial:
                row[len(classes) + 1 :] = phrase_places(phrase)
        row.setflags(write=False)
        return row


def _merged(class_names: Sequence[str]) -> tuple[list[int], list[int]]:
    """The classes kept, and where each class goes: a second detector's to the first's, a segmenter's nowhere (-1)."""
    taken: list[int] = []
    places: dict[str, int] = {}
    into = []
    for k, name in enumerate(class_names):
        source, _, plain = name.rpartition(":")
        if plain in places and source:
            into.append(-1 if source in Segmenter.names else places[plain])
            continue
        places.setdefault(plain, len(taken))
        into.append(len(taken))
        taken.append(k)
    return taken, into


def _shares(into: list[int], kept: int) -> Array:
    """`[K, K']` the share that each class has in the one it goes to."""
    share_KK = np.zeros((len(into), kept), dtype=np.float32)
    for k, place in enumerate(into):
        if place >= 0:
            share_KK[k, place] = 1 / into.count(place)
    return share_KK


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


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
