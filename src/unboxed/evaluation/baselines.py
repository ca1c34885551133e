"""Baselines that learn nothing: what a split can be scored with before any training.

A trained grounder is worth its difference to the best of them, and a split on which one of them does well is an easy
one. Each ranks the regions of an image with a rule that a sentence states:

    image centre         answers the whole image, so it points at its centre
    largest region       larger regions first; the region that is the whole image is set aside
    random region        in an order drawn from the seed
    top-scoring region   what the detector is most sure of first; regions of sources that have no score come last
    detector name        by the probability of the class that the phrase's head noun names ("two dogs": dog); all
                         regions, when no class has that name, as in top-scoring region
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cache

import numpy as np
import numpy.typing as npt

from unboxed.boxes import area
from unboxed.evaluation.grounding import GroundedMention, GroundingScores, score_grounding
from unboxed.text.inflection import noun_key
from unboxed.text.phrases import head_noun
from unboxed.text.tokens import words
from unboxed.types import Array, Example, Phrase, Regions

__all__ = ["BASELINES", "baselines_markdown", "untrained_baselines"]

BASELINES = ("image centre", "largest region", "random region", "top-scoring region", "detector name")

_UNSCORED = frozenset({"grid", "image", "segments"})


def untrained_baselines(
    examples: Iterable[Example],
    regions_of: Callable[[Example], Regions | None],
    *,
    seed: int = 0,
    resamples: int = 1000,
) -> dict[str, GroundingScores]:
    """Scores of every baseline on the phrases that have gold boxes, by name, in the order of `BASELINES`.

    Args:
        examples: images with gold phrases.
        regions_of: the regions of an image, or None where there are none: its phrases are then wrong.
        seed: of the random regions and of the intervals.
        resamples: of the intervals.

    Raises:
        EvaluationError: no phrase has a gold box.
    """
    generator = np.random.default_rng(seed)
    mentions: dict[str, list[GroundedMention]] = {name: [] for name in BASELINES}
    for example in examples:
        regions = regions_of(example)
        whole = np.array([[0, 0, example.width, example.height]], dtype=np.float32)
        for phrase in (phrase for caption in example.captions for phrase in caption.phrases):
            ranked = {"image centre": whole} | _rankings(phrase, regions, generator)
            for name in BASELINES:
                proposals = regions.boxes if regions is not None else whole[:0]
                answer = ranked.get(name, whole[:0])
                mentions[name].append(GroundedMention(example.image_id, phrase.types, phrase.boxes, answer, proposals))
    return {name: score_grounding(own, seed=seed, resamples=resamples) for name, own in mentions.items()}


def baselines_markdown(scores: Mapping[str, GroundingScores]) -> str:
    """A Markdown table, one row per grounder, of the metrics that compare them."""
    shown = ("recall_any@1", "recall_any@5", "recall_any@10", "recall_union@1", "pointing_any", "pointing_union")
    lines = ["| | " + " | ".join(f"`{metric}`" for metric in shown) + " |", "| --- |" + " ---: |" * len(shown)]
    lines += [
        f"| {name} | " + " | ".join(f"{own[metric]:.1f}" for metric in shown) + " |" for name, own in scores.items()
    ]
    return "\n".join(lines) + "\n"


def _rankings(phrase: Phrase, regions: Regions | None, generator: np.random.Generator) -> dict[str, Array]:
    if regions is None or len(regions) == 0:
        return {}
    part = np.array([source != "image" for source in regions.sources])
    scored = np.array([source not in _UNSCORED for source in regions.sources])
    by_score = np.lexsort((-regions.scores, ~scored))
    belief = _name_belief(phrase, regions)
    orders: dict[str, npt.NDArray[np.intp]] = {
        "largest region": np.lexsort((-area(regions.boxes), ~part)),
        "random region": generator.permutation(len(regions)),
        "top-scoring region": by_score,
        "detector name": by_score[np.argsort(-belief[by_score], kind="stable")],
    }
    return {name: regions.boxes[order] for name, order in orders.items()}


def _name_belief(phrase: Phrase, regions: Regions) -> Array:
    """`[R]` the probability of the class that the phrase names, of whichever source gives most; 0 without one."""
    noun = noun_key(head_noun(phrase.text))
    said = {noun_key(word.text) for word in words(phrase.text)}
    same: dict[int, list[int]] = {}
    for k, name in enumerate(regions.class_names):
        named = _class_words(name)
        if named and named[-1] == noun and said.issuperset(named):
            same.setdefault(len(named), []).append(k)
    if not same:
        return np.zeros(len(regions), dtype=np.float32)
    longest = same[max(same)]  # "a hot dog" is a hot dog before it is a dog
    return np.asarray(regions.class_probs[:, longest].max(axis=1), dtype=np.float32)


@cache
def _class_words(name: str) -> tuple[str, ...]:
    return tuple(noun_key(word.text) for word in words(name.rpartition(":")[2]))  # “segmenter:person” is a person
