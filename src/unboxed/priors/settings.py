"""Options of the semantic prior."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from unboxed.errors import ModelError, plain_reason
from unboxed.runtime.counts import require_literals
from unboxed.runtime.json_values import FieldHooks, UnknownFieldError, WrongKindError, from_json, to_json
from unboxed.runtime.paths import accept_strings

__all__ = ["Match", "PriorSettings"]

_MOST = 1_000_000  # of a weight; products stay finite in single precision

Match = Literal["map", "names", "parts", "wordnet", "vectors", "synonyms"]


@dataclass(frozen=True)
class PriorSettings:
    """How phrases are compared with the detector's classes, and classes with regions.

    Attributes:
        word_vectors: GloVe text, or `.npz` with `.vocab.txt`; without it, vectors are counted from the training
            captions.
        unit_vectors: scale the vectors of words to length 1 before the mean of a name; False: longer vectors count more
            (SPRM).
        wordnet: a WordNet file, or `nltk` for NLTK's where it is installed; without it, `wordnet` matches nothing.
        class_map: a JSON file {phrase: class} of your own.
        match: methods that find the classes of a phrase, in order; the first that finds any is used. `map` looks
            the phrase up in the class map, `names` compares with the class names, `parts` matches clothing and parts
            of the body with parts of persons, `wordnet` finds hypernyms and hyponyms, `vectors` compares word vectors,
            `synonyms` knows common ones from a list ("television", "tv").
        classes: which classes of several detectors and a segmenter are one: those of equal `names`, or also synonyms in
            `wordnet` ("couch", "sofa").
        cooccurrence: weight of the classes that co-occur with the noun in the training data; 0 leaves them out.
        evidence: `probability` of each class, or only the most probable class of a region (`label`; SPRM).
        temperature: an affinity this much below the best class's counts e times less; 0 takes affinities as they are
            (SPRM).
        affinities: the affinities of a phrase, as `shares` of their sum where that is above 1; or `plain`, as they are,
            and those of word vectors are the cosines, negative ones too, without temperature and threshold (SPRM).
        heads: what a phrase is compared by: its `one` head noun; the mean vector of the head nouns of `all` its noun
            phrases ("a group of people" has group and people; SPRM's `mean`); or the `best` of the first five of them,
            which is the one that a region of the image fits best (SPRM's `max`).
        vector_threshold: the least cosine of word vectors that match, in [0, 1].
        background: the detector's score of a class that is absent, in [0, 1); it is subtracted.
        stuff_weight: weight of sky, grass, walls and the like beside things, in [0, 1].
        stuff_size: how much larger regions of these are preferred, 0 or more.
        elsewhere_weight: weight of things in regions that no detector proposed, such as a segmenter's, in [0, 1].
        single_union: factor of the score of a box around several things for a singular noun, 0 or more.
        plural_union: the same for a plural: 1 prefers one of the things, 1.5 all of them.
        part_weight: weight of head, torso and legs for clothing and parts of the body; 0 leaves them out.
        spatial: use the words left, right, center, top, bottom, middle.
        places: which phrases have these words, and what regions in other places get. `words`: whole words besides the
            head noun, and 0 if a region is in the place. `released`, SPRM's code: anywhere in the text, so that
            "bright" is right, no chance elsewhere, and its slip in `center`.
        spatial_score: the least score of a thing that takes part in the order from left to right and from top to
            bottom, in [0, 1]; above 0 it keeps doubtful boxes from being leftmost.
        label_weight: weight of a labeler's class for nouns that no detector has a class for, 0 or more.
        label_beside: its weight for nouns that a detector has a class for.

    Raises:
        ModelError: a value outside its range, or an unknown name.
    """

    word_vectors: Path | None = None
    wordnet: Path | None = None
    class_map: Path | None = None
    match: tuple[Match, ...] = ("map", "names", "parts", "wordnet", "vectors")
    cooccurrence: float = 1.0
    evidence: Literal["probability", "label"] = "probability"
    temperature: float = 0.12
    vector_threshold: float = 0.35
    background: float = 0.01
    stuff_weight: float = 0.7
    stuff_size: float = 0.5
    elsewhere_weight: float = 0.9
    single_union: float = 0.5
    plural_union: float = 1.0
    part_weight: float = 1.0
    spatial: bool = True
    spatial_score: float = 0.3
    unit_vectors: bool = True
    affinities: Literal["shares", "plain"] = "shares"
    places: Literal["words", "released"] = "words"
    label_weight: float = 1.0
    label_beside: float = 0.1
    classes: Literal["names", "wordnet"] = "names"
    heads: Literal["one", "all", "best"] = "one"

    def __post_init__(self) -> None:
        accept_strings(self)
        require_literals(self, ModelError)
        for name in (
            "cooccurrence",
            "temperature",
            "stuff_size",
            "single_union",
            "plural_union",
            "part_weight",
            "label_weight",
            "label_beside",
        ):
            if not 0 <= getattr(self, name) <= _MOST:
                raise ModelError(f"The prior's {name} is {getattr(self, name)}; expected a value in 0..{_MOST}.")
        for name in ("background", "stuff_weight", "elsewhere_weight", "vector_threshold", "spatial_score"):
            if not 0 <= getattr(self, name) <= 1:
                raise ModelError(f"The prior's {name} is {getattr(self, name)}; expected a value in 0..1.")
        if self.background == 1:
            raise ModelError("The prior's background is 1, which leaves no score; 0.01 is usual.")
        for name in self.match:
            if name not in get_args(Match):
                raise ModelError(f"The prior cannot match by {name!r}; expected some of {', '.join(get_args(Match))}.")

    @staticmethod
    def paper(word_vectors: Path | None = None) -> PriorSettings:
        """SPRM's untrained module (section 3.2): cosine of the vectors of the head nouns and of the region's label."""
        return PriorSettings(
            word_vectors=word_vectors,
            unit_vectors=False,
            match=("vectors",),
            cooccurrence=0,
            evidence="label",
            temperature=0,
            affinities="plain",
            heads="all",
            vector_threshold=0,
            background=0,
            stuff_weight=1,
            stuff_size=0,
            elsewhere_weight=1,
            single_union=1,
            plural_union=1,
            part_weight=0,
            label_weight=0,
            label_beside=0,
            places="released",
            spatial_score=0,
        )

    def to_dict(self) -> dict[str, Any]:
        """The settings as JSON values."""
        return to_json(self)

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> PriorSettings:
        """The settings that `to_dict` wrote; fields that are left out take their defaults.

        Raises:
            ModelError: an unknown name, a value of the wrong kind or outside its range.
        """
        try:
            return from_json(PriorSettings, values, hooks={"match": FieldHooks(_names, list)})
        except UnknownFieldError as error:
            raise ModelError(f"The prior's settings have an unknown name {error.name!r}; update unboxed.") from None
        except WrongKindError as error:
            raise ModelError(f"The prior's settings hold a value of the wrong kind ({plain_reason(error)}).") from None


def _names(values: Any) -> tuple[Any, ...]:
    """A list as a tuple. `PriorSettings` checks its values itself, with a message that lists the known ones."""
    if not isinstance(values, (list, tuple)):
        raise TypeError(values)
    return tuple(values)
