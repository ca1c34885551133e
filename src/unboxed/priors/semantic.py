"""The semantic prior: how well regions fit phrases before anything is trained (after SPRM, section 3.2).

A phrase becomes a row of affinities, a region a row of class scores, and the score of the pair is a function of the
two rows alone, so that `scores` compares all phrases with all regions in a few matrix products. Both rows have the same
E columns:

    column     affinity of the phrase                            class score of the region
    classes    how well it fits the detector's class             the probability of the class
    parts      is it worn on, or part of, head, torso, legs, …   is it a person's head, torso, legs, …
    labels     how well it fits the labeler's class              what the labeler gives the crop
     or crops  its embedding by an image-text encoder            the embedding of the crop (`priors.crop_evidence`)
    union      does it want a box around several things          is it one
    places     does it contain left, right, …                    is it left, right, … among others of its class

A phrase that matches no class has a row of zeros, and scores 0 everywhere; none does with embeddings.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from unboxed.errors import ModelError, errors_of, plain_reason
from unboxed.priors.class_scores import ClassScorer
from unboxed.priors.cooccurrence import Cooccurrence
from unboxed.priors.crop_evidence import CropEvidence
from unboxed.priors.matching import ALL_PARTS, PARTS, WORN, MatchingResources, PhraseMatcher, load_class_map
from unboxed.priors.scoring import REQUIRED, SPATIAL_WORDS, phrase_places, text_places
from unboxed.priors.settings import PriorSettings
from unboxed.runtime.atomic import write_json
from unboxed.runtime.confinement import is_inside
from unboxed.runtime.digests import record_digest, report_change, require_unchanged, with_digest
from unboxed.text.lexicon import noun_key
from unboxed.text.phrases import PhraseWords, head_noun, phrase_words
from unboxed.text.word_vectors import WordVectors
from unboxed.text.wordnet import WordNet
from unboxed.types import Array, DescribedRegions

__all__ = ["SemanticPrior", "matching_resources"]

_FORMAT, _VERSION = "unboxed-prior", 1
_VECTORS, _WORDNET, _CLASS_MAP = "word_vectors.npz", "wordnet.tsv.gz", "class_map.json"
_COOCCURRENCE, _CROPS = "cooccurrence.npz", "crops.npz"
_NOUNS = 5  # head nouns of a phrase of which the best one counts, as in SPRM


class SemanticPrior:
    """The untrained prior for one detector's classes. `build` makes one, `load` reads one.

    Args:
        settings: how to match and to weight.
        class_names: the K classes of the regions' `class_probs`.
        resources: what phrases are matched with.
        parts: the parts of persons among the sources of the regions.
    """

    def __init__(
        self,
        settings: PriorSettings,
        class_names: Sequence[str],
        resources: MatchingResources,
        parts: tuple[str, ...] = PARTS,
    ) -> None:
        self.settings = settings
        self.class_names = tuple(class_names)
        wordnet = resources.wordnet if settings.classes == "wordnet" else None
        self._scorer = ClassScorer(settings, self.class_names, parts, wordnet, resources.crops)
        self._crops = resources.crops
        self._matcher = PhraseMatcher(settings, self._scorer.names, resources, parts, self._scorer.label_names)
        self.parts = parts
        self._affinities: dict[str, Array] = {}

    @classmethod
    def build(
        cls,
        settings: PriorSettings,
        class_names: Sequence[str],
        *,
        captions: Iterable[str] = (),
        images: Iterable[tuple[Sequence[str], npt.NDArray[np.floating]]] = (),
        finer_parts: bool = False,
        crops: CropEvidence | None = None,
    ) -> SemanticPrior:
        """The prior of a detector.

        Args:
            settings: how to match, and the files to match with.
            class_names: the K classes of the regions' `class_probs`.
            captions: the training captions; read only to count word vectors when there is no file of them.
            images: of each training image the phrases of its captions, and the `class_probs` `[R, K]` of its regions;
                for the co-occurrence of nouns and classes.
            finer_parts: a segmenter of parts found the parts of persons, so that hands, feet, … are regions too, and
                clothing is sought in the regions that overlap a part.
            crops: compares phrases with the crops of regions.

        Raises:
            ModelError: a file that is missing or damaged, a class map with a class that the detector does not have, or
                nothing to match with.
        """
        resources = replace(matching_resources(settings, captions), crops=crops)
        parts = (*ALL_PARTS, *WORN) if finer_parts else PARTS
        prior = cls(settings, class_names, resources, parts)
        if settings.cooccurrence > 0:
            learned = Cooccurrence.fit(
                ([noun_key(head_noun(phrase)) for phrase in phrases], prior._scorer.of_image(class_probs))
                for phrases, class_probs in images
            )
            resources = replace(resources, cooccurrence=learned if learned.nouns else None)
            prior = cls(settings, class_names, resources, parts)
        if not prior._matcher.can_match:
            raise ModelError(
                f"The prior is to match by {', '.join(settings.match) or 'nothing'}, but has nothing to match with; "
                "name word_vectors, wordnet or class_map, or let it match by names."
            )
        return prior

    @property
    def width(self) -> int:
        """E, the number of columns."""
        return self._scorer.width

    @property
    def affinity_width(self) -> int:
        """The length of a phrase's affinities: E, or N times E where the best of N head nouns counts."""
        return self.width * (_NOUNS if self.settings.heads == "best" else 1)

    def affinity(self, phrase: str) -> Array:
        """The affinities of a phrase, `[E]`; zeros when it matches no class.

        Where the best head noun counts, these are the rows of N nouns, one after the other (`[N E]`), of which those
        beyond the nouns of the phrase match no class.
        """
        self.prepare([phrase])
        return self._affinities[phrase]

    def prepare(self, phrases: Iterable[str]) -> None:
        """Compute the affinities of many phrases, which an image-text encoder does faster together."""
        new = [phrase for phrase in dict.fromkeys(phrases) if phrase not in self._affinities]
        texts: Sequence[Array | None] = [None] * len(new)
        if self._crops is not None and new:
            texts = list(self._crops.phrases(new))
        for phrase, text_D in zip(new, texts, strict=True):
            self._affinities[phrase] = self._affinity(phrase, text_D)

    def _affinity(self, phrase: str, text_D: Array | None) -> Array:
        parsed = phrase_words(phrase)
        if self.settings.heads != "best":
            row = self._row(parsed, self._matcher(parsed), text_D)
        else:
            nouns = [replace(parsed, head=noun) for noun in parsed.heads[:_NOUNS]]
            rows = [self._row(noun, self._matcher(noun), text_D) for noun in nouns]
            row = np.concatenate(rows + [self._row(parsed, None, text_D)] * (_NOUNS - len(rows)))
        row.setflags(write=False)
        return row

    def _row(self, parsed: PhraseWords, class_N: Array | None, text_D: Array | None) -> Array:
        """The columns `[E]` of a phrase with these affinities of the classes; None: it matches no class."""
        row = np.zeros(self.width, dtype=np.float32)
        settings = self.settings
        if class_N is not None:
            shares = settings.affinities == "shares"
            row[: len(class_N)] = class_N / max(1.0, float(class_N.sum())) if shares else class_N
        labels = self._matcher.labels(parsed) if text_D is None else self._matcher.label_weight(parsed) * text_D
        union = self.width - len(SPATIAL_WORDS) - 1
        row[union - len(labels) : union] = labels
        if row.any() or settings.places == "released":
            plural = self._matcher.is_plural(parsed)
            row[union] = (settings.plural_union if plural else settings.single_union) - 1
            if settings.spatial:
                released = settings.places == "released"
                row[union + 1 :] = REQUIRED * text_places(parsed.text) if released else phrase_places(parsed)
        return row

    def class_scores(self, regions: DescribedRegions, crops_RD: npt.NDArray[np.floating] | None = None) -> Array:
        """The class scores `[R, E]` of the R regions of an image, in [0, 1] except for columns of embeddings.

        Args:
            regions: with probabilities of the classes of this prior.
            crops_RD: with an image-text encoder, its embeddings of the regions' crops.
        """
        return self._scorer(regions, crops_RD)

    def save(self, folder: Path) -> None:
        """Write the prior to `folder`, with all files that the affinities of new phrases need."""
        resources = self._matcher.resources
        folder.mkdir(parents=True, exist_ok=True)
        settings = replace(self.settings, word_vectors=None, wordnet=None, class_map=None)
        if resources.vectors is not None:
            resources.vectors.save(folder / _VECTORS)
            settings = replace(settings, word_vectors=Path(_VECTORS))
        if resources.wordnet is not None:
            resources.wordnet.save(folder / _WORDNET)
            settings = replace(settings, wordnet=Path(_WORDNET))
        if resources.class_map is not None:
            write_json(folder / _CLASS_MAP, resources.class_map)
            settings = replace(settings, class_map=Path(_CLASS_MAP))
        if resources.cooccurrence is not None:
            resources.cooccurrence.save(folder / _COOCCURRENCE)
        if resources.crops is not None:
            resources.crops.save(folder / _CROPS)
        content = {
            "format": _FORMAT,
            "version": _VERSION,
            "settings": settings.to_dict(),
            "class_names": list(self.class_names),
            "parts": list(self.parts),
            "cooccurrence": resources.cooccurrence is not None,
            **({} if resources.crops is None else {"crops": True}),
        }
        write_json(folder / "prior.json", with_digest(content))
        for name in (_CLASS_MAP, Path(_VECTORS).with_suffix(".vocab.txt").name):
            if (folder / name).is_file():
                record_digest(folder, folder / name)

    @classmethod
    def load(cls, folder: Path, labeler: Path | None = None) -> SemanticPrior:
        """The prior that `save` wrote.

        Args:
            folder: where.
            labeler: of the run's regions, the encoder of a prior that compares phrases with crops.

        Raises:
            ModelError: no prior there, a damaged one, or one of a newer version.
        """
        content = _read(folder)
        with errors_of(folder / "prior.json"):
            settings = PriorSettings.from_dict(content["settings"])
        paths = {
            name: folder / path
            for name in ("word_vectors", "wordnet", "class_map")
            if (path := getattr(settings, name)) is not None
        }
        for name, path in paths.items():
            if not is_inside(path, folder):
                raise ModelError(
                    f"{folder / 'prior.json'} names {path} as {name}, which is outside the prior; copy that file into "
                    "its folder and name it there."
                )
            listed = path.with_suffix(".vocab.txt")
            require_unchanged(path, listed, error=ModelError, fix="restore it, or train the run anew")
        settings = replace(settings, **paths)
        if content["crops"] and labeler is None:
            raise ModelError(
                f"The prior in {folder} compares phrases with crops by the labeler of its run, and the regions of this "
                "run have none; restore its config.json, or train the run anew."
            )
        vectors = paths.get("word_vectors")
        resources = MatchingResources(
            vectors=None if vectors is None else WordVectors.open(vectors, unit=settings.unit_vectors),
            wordnet=WordNet.open(paths["wordnet"]) if "wordnet" in paths else None,
            class_map=load_class_map(paths["class_map"]) if "class_map" in paths else None,
            cooccurrence=Cooccurrence.load(folder / _COOCCURRENCE) if content["cooccurrence"] else None,
            crops=CropEvidence.load(folder / _CROPS, labeler) if content["crops"] and labeler else None,
        )
        return cls(settings, content["class_names"], resources, content["parts"])


def matching_resources(settings: PriorSettings, captions: Iterable[str] = ()) -> MatchingResources:
    """The files that the settings name; word vectors are counted from the captions, if any, when no file has them.

    Raises:
        ModelError: a file that is missing or damaged.
    """
    vectors = wordnet = class_map = None
    if "vectors" in settings.match:
        if settings.word_vectors is not None:
            vectors = WordVectors.open(settings.word_vectors, unit=settings.unit_vectors)
        elif texts := list(captions):
            vectors = WordVectors.from_captions(texts, unit=settings.unit_vectors)
    if ("wordnet" in settings.match or settings.classes == "wordnet") and settings.wordnet is not None:
        nltk = str(settings.wordnet) == "nltk"
        wordnet = WordNet.from_nltk() if nltk else WordNet.open(settings.wordnet)
    if settings.classes == "wordnet" and wordnet is None:
        raise ModelError(
            "The prior is to merge classes by WordNet, but names none; name its file, or `nltk`, as wordnet."
        )
    if "map" in settings.match and settings.class_map is not None:
        class_map = load_class_map(settings.class_map)
    return MatchingResources(vectors, wordnet, class_map)


def _read(folder: Path) -> dict[str, Any]:
    """The content of `prior.json`, with its names checked."""
    file = folder / "prior.json"
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        if content["format"] != _FORMAT:
            raise KeyError("format")
        version = content["version"]
        read = {name: content[name] for name in ("settings", "cooccurrence")}
        read["class_names"] = tuple(content["class_names"])
        if not all(isinstance(name, str) for name in read["class_names"]):
            raise TypeError("a class name is not text")
        read["parts"] = tuple(content.get("parts", PARTS))
        read["crops"] = content.get("crops", False)
        if not set(read["parts"]) <= {*ALL_PARTS, *WORN}:
            raise ValueError(f"unknown parts {read['parts']}")
    except OSError as error:
        raise ModelError(
            f"There is no semantic prior in {folder} ({plain_reason(error)}); train the run anew."
        ) from None
    except (ValueError, OverflowError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ModelError(f"{file} is damaged ({plain_reason(error)}); train the run anew.") from None
    if not isinstance(version, int) or version > _VERSION:
        raise ModelError(f"{file} has version {version!r}; this unboxed reads up to {_VERSION}. Update unboxed.")
    report_change(file, content)
    return read
