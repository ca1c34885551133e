"""Untrained baselines: rules that rank the regions of an image without any training.

Compare a trained model with the best of them on the same split: a split on which one of them does well is an easy one.

    image centre         answers the whole image, so it points at the centre of the image
    largest region       larger regions first; the region that is the whole image comes last
    random region        in a random order from the seed
    top-scoring region   the region with the highest detector score first; regions of sources without scores come last
    detector name        by the probability of the class that the phrase's head noun names ("two dogs": dog); as
                         top-scoring region when no class has that name
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cache

import numpy as np
import numpy.typing as npt

from unboxed.boxes import area
from unboxed.evaluation.box_rules import CONTINUOUS_RULE, BoxRule
from unboxed.evaluation.grounding import GroundedMention, GroundingScores, score_grounding
from unboxed.regions import sources
from unboxed.text.lexicon import noun_key
from unboxed.text.phrases import head_noun
from unboxed.text.tokens import words
from unboxed.types import Array, Example, Phrase, Regions

__all__ = ["BASELINES", "baselines_markdown", "untrained_baselines"]

BASELINES = ("image centre", "largest region", "random region", "top-scoring region", "detector name")
"""The names of the baselines, as defined at the top of this module."""


def untrained_baselines(
    examples: Iterable[Example],
    regions_of: Callable[[Example], Regions | None],
    *,
    resamples: int = 1000,
    rule: BoxRule = CONTINUOUS_RULE,
) -> dict[str, GroundingScores]:
    """Scores of all baselines on the phrases that have gold boxes, by name, in the order of `BASELINES`.

    Args:
        examples: images with gold phrases.
        regions_of: returns the regions of an image, or None where there are none; all its phrases are then wrong.
        resamples: number of random samples of the bootstrap.
        rule: the convention of boxes.

    Raises:
        EvaluationError: no phrase has a gold box.
    """
    generator = np.random.default_rng(0)
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
    return {name: score_grounding(given, resamples=resamples, rule=rule) for name, given in mentions.items()}


def baselines_markdown(scores: Mapping[str, GroundingScores]) -> str:
    """A Markdown table with one row per baseline."""
    shown = ("recall_any@1", "recall_any@5", "recall_any@10", "recall_union@1", "pointing_any", "pointing_union")
    lines = ["| | " + " | ".join(f"`{metric}`" for metric in shown) + " |", "| --- |" + " ---: |" * len(shown)]
    lines += [
        f"| {name} | " + " | ".join(f"{row[metric]:.1f}" for metric in shown) + " |" for name, row in scores.items()
    ]
    return "\n".join(lines) + "\n"


def _rankings(phrase: Phrase, regions: Regions | None, generator: np.random.Generator) -> dict[str, Array]:
    if regions is None or len(regions) == 0:
        return {}
    part = np.array([source != "image" for source in regions.sources])
    unranked = {name for source in sources.SOURCES if not source.ranked for name in source.names}
    scored = np.array([source not in unranked for source in regions.sources])
    by_score = np.lexsort((-regions.scores, ~scored))
    named_R = _named_class_probs(phrase, regions)
    orders: dict[str, npt.NDArray[np.intp]] = {
        "largest region": np.lexsort((-area(regions.boxes), ~part)),
        "random region": generator.permutation(len(regions)),
        "top-scoring region": by_score,
        "detector name": by_score[np.argsort(-named_R[by_score], kind="stable")],
    }
    return {name: regions.boxes[order] for name, order in orders.items()}


def _named_class_probs(phrase: Phrase, regions: Regions) -> Array:
    """`[R]`, the probability of the class that the phrase names, the maximum over sources; 0 where no class fits."""
    noun = noun_key(head_noun(phrase.text))
    phrase_words = {noun_key(word.text) for word in words(phrase.text)}
    fitting: dict[int, list[int]] = {}  # number of words in the class name -> classes
    for k, name in enumerate(regions.class_names):
        named = _class_words(name)
        if named and named[-1] == noun and phrase_words.issuperset(named):
            fitting.setdefault(len(named), []).append(k)
    if not fitting:
        return np.zeros(len(regions), dtype=np.float32)
    longest = fitting[max(fitting)]  # "a hot dog" names the class "hot dog" rather than "dog"
    return np.asarray(regions.class_probs[:, longest].max(axis=1), dtype=np.float32)


@cache
def _class_words(name: str) -> tuple[str, ...]:
    return tuple(noun_key(word.text) for word in words(name.rpartition(":")[2]))  # "segmenter:person" is a person
