"""How the untrained semantic prior finds and weighs things, as one value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from unboxed.errors import ModelError

__all__ = ["Match", "PriorSettings"]

Match = Literal["map", "names", "parts", "wordnet", "vectors"]


@dataclass(frozen=True)
class PriorSettings:
    """How phrases are compared with the detector's classes, and classes with regions.

    Attributes:
        word_vectors: GloVe text, or `.npz` with `.vocab.txt`; without one they are counted from the training captions.
        wordnet: a WordNet file, or `nltk` for NLTK's where it is installed; without one WordNet is not asked.
        class_map: a JSON file {phrase: class}, your own word on what is what.
        match: how the classes of a phrase are found, in turn: the first that knows its head noun answers. `map` asks
            the class map, `names` compares with the classes' names, `parts` knows what persons wear and are made of,
            `wordnet` what is a kind of what, `vectors` compares word vectors.
        cooccurrence: how much the classes count that the noun goes with in the training captions; 0 leaves that out.
        evidence: `probability` of each class, or only the most probable class of a region (`label`; SPRM).
        temperature: affinities this much below the best class's count e times less; 0 takes them as they are (SPRM).
        vector_threshold: word vectors must be at least so alike, or nothing is known.
        background: a detector's score that means nothing.
        stuff_weight: how much sky, grass and walls count beside things.
        stuff_size: how much larger regions of these are preferred.
        elsewhere_weight: how much things count in regions that no detector proposed, such as a segmenter's.
        single_union: what the score of a box around several things is multiplied by when the noun is singular.
        plural_union: the same when it is plural: 1 answers one of them, 1.5 all of them.
        part_weight: how much head, torso and legs count for clothing and parts of the body; 0 leaves them out.
        spatial: heed left, right, center, top, bottom, middle.
        spatial_score: a thing this sure has a place among its like; surer than 0 keeps doubtful boxes from being
            leftmost.

    Raises:
        ModelError: a value outside its range.
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

    def __post_init__(self) -> None:
        for name in ("cooccurrence", "temperature", "stuff_size", "single_union", "plural_union", "part_weight"):
            if getattr(self, name) < 0:
                raise ModelError(f"The prior's {name} is {getattr(self, name)}; expected 0 or more.")
        for name in ("background", "stuff_weight", "elsewhere_weight", "vector_threshold", "spatial_score"):
            if not 0 <= getattr(self, name) <= 1:
                raise ModelError(f"The prior's {name} is {getattr(self, name)}; expected a value in 0..1.")
        if self.background == 1:
            raise ModelError("The prior's background is 1, which leaves no score; 0.01 is usual.")
        known = Match.__args__  # type: ignore[attr-defined]
        for name in self.match:
            if name not in known:
                raise ModelError(f"The prior cannot match by {name!r}; expected some of {', '.join(known)}.")

    @staticmethod
    def paper(word_vectors: Path | None = None) -> PriorSettings:
        """SPRM's untrained module (section 3.2): cosine of the vectors of the head noun and of the region's label."""
        return PriorSettings(
            word_vectors=word_vectors,
            match=("vectors",),
            cooccurrence=0,
            evidence="label",
            temperature=0,
            vector_threshold=0,
            background=0,
            stuff_weight=1,
            stuff_size=0,
            elsewhere_weight=1,
            single_union=1,
            plural_union=1,
            part_weight=0,
            spatial_score=0,
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        values["match"] = list(self.match)
        return {name: str(value) if isinstance(value, Path) else value for name, value in values.items()}

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> PriorSettings:
        """The settings that `to_dict` wrote.

        Raises:
            ModelError: an unknown name or a value of the wrong kind.
        """
        known = {field.name for field in fields(PriorSettings)}
        if unknown := sorted(set(values) - known):
            raise ModelError(f"The prior's settings have an unknown name {unknown[0]!r}; update unboxed.")
        chosen = dict(values)
        try:
            for name in ("word_vectors", "wordnet", "class_map"):
                if chosen.get(name) is not None:
                    chosen[name] = Path(chosen[name])
            if "match" in chosen:
                chosen["match"] = tuple(chosen["match"])
            return PriorSettings(**chosen)
        except TypeError as error:
            raise ModelError(f"The prior's settings hold a value of the wrong kind ({error}).") from error
