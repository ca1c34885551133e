"""Error analysis: each answer is assigned one kind, correct or one of five errors, and the kinds are counted by type.

The first kind that applies is the answer's:

    ok               IoU >= 0.5 with one of the gold boxes: correct under `recall_any@1`
    no proposal      no region has IoU >= 0.5 with a gold box, so no ranking could be correct
    wrong instance   IoU >= 0.5 with a gold box of another entity of the image, and the one with the highest IoU shares
                     a type: the other man
    wrong object     the same, and that entity is of other types: the man's hat instead of the man
    loose box        IoU >= 0.25 with a gold box: the right place, the wrong extent
    background       everything else, including no answer

An entity is a coreference chain. Where chains are unknown, every other phrase of the same caption is another entity. Of
two other entities with the same IoU, one that shares a type counts. Boxes have continuous edges (`CONTINUOUS_RULE`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from unboxed.evaluation.box_rules import CONTINUOUS_RULE
from unboxed.evaluation.grounded_split import GroundedExample
from unboxed.types import Array, Phrase

__all__ = ["ERROR_KINDS", "ErrorTable", "count_errors", "error_kind", "error_kinds"]

ERROR_KINDS = ("ok", "no proposal", "wrong instance", "wrong object", "loose box", "background")
"""The kinds of answers, as defined at the top of this module."""

_RIGHT, _LOOSE = 0.5, 0.25


@dataclass(frozen=True)
class ErrorTable:
    """Number of answers of each kind, by entity type.

    Attributes:
        counts: one number for each of `ERROR_KINDS`, by type, most frequent type first. A phrase of two types counts in
            both, one without types in none.
        total: one number for each of `ERROR_KINDS`; every phrase counts once.
    """

    counts: Mapping[str, tuple[float, ...]]
    total: tuple[float, ...]

    def to_markdown(self) -> str:
        """A Markdown table of the percentages of each type's phrases, one row per type."""
        lines = ["| | phrases | " + " | ".join(ERROR_KINDS) + " |", "| --- |" + " ---: |" * (1 + len(ERROR_KINDS))]
        lines += [_row(name, counts) for name, counts in (("all", self.total), *self.counts.items())]
        return "\n".join(lines) + "\n"

    @staticmethod
    def mean(tables: Sequence[ErrorTable]) -> ErrorTable:
        """The mean over at least one run on the same phrases."""
        counts = {
            name: tuple(float(n) for n in np.mean([table.counts[name] for table in tables], axis=0))
            for name in tables[0].counts
        }
        return ErrorTable(counts, tuple(float(n) for n in np.mean([table.total for table in tables], axis=0)))


def count_errors(grounded: Iterable[GroundedExample]) -> ErrorTable:
    """Counts the kinds of the answers to all phrases that have gold boxes."""
    kinds = [kind for item in grounded for kind in error_kinds(item)]
    of_type = Counter(name for phrase, _ in kinds for name in set(phrase.types))
    types = sorted(of_type, key=lambda name: (-of_type[name], name))
    return ErrorTable(
        {name: _counted(kind for phrase, kind in kinds if name in phrase.types) for name in types},
        _counted(kind for _, kind in kinds),
    )


def error_kinds(item: GroundedExample) -> Iterator[tuple[Phrase, str]]:
    """Each phrase of an image's captions that has gold boxes, with the kind of its answer, one of `ERROR_KINDS`."""
    phrases = [phrase for caption in item.example.captions for phrase in caption.phrases]
    for phrase, others, answer, proposals in _answers(item, phrases):
        yield phrase, error_kind(phrase, others, answer, proposals)


def error_kind(phrase: Phrase, others: Sequence[Phrase], answer: Array, proposals: Array | None) -> str:
    """The kind of one answer, one of `ERROR_KINDS`.

    Args:
        phrase: with at least one gold box.
        others: phrases of other entities of the image, with gold boxes.
        answer: `[1, 4]`, or `[0, 4]` for none.
        proposals: `[R, 4]`, the boxes that the answer was chosen from; None where the image has no regions.
    """
    overlap = _best_overlap(answer, phrase)
    if overlap >= _RIGHT:
        return "ok"
    if proposals is None or _best_overlap(proposals, phrase) < _RIGHT:
        return "no proposal"
    best, same_type = max(
        ((_best_overlap(answer, other), bool(set(other.types) & set(phrase.types))) for other in others),
        default=(0.0, False),
    )
    if best >= _RIGHT:
        return "wrong instance" if same_type else "wrong object"
    return "loose box" if overlap >= _LOOSE else "background"


def _best_overlap(boxes: Array, phrase: Phrase) -> float:
    """The highest IoU of any of the boxes `[N, 4]` with a gold box of the phrase; 0 without boxes."""
    return float(CONTINUOUS_RULE.intersection_over_union(boxes, phrase.boxes).max(initial=0))


def _answers(
    item: GroundedExample, phrases: Sequence[Phrase]
) -> Iterator[tuple[Phrase, list[Phrase], Array, Array | None]]:
    """The arguments of `error_kind` for each phrase with gold boxes; `phrases` are those of all captions."""
    for caption, grounding in item.pairs:
        for number, phrase in enumerate(caption.phrases):
            if not len(phrase.boxes):
                continue
            of_image = caption.phrases if phrase.chain is None else phrases
            others = [other for other in of_image if len(other.boxes) and _is_other(other, phrase)]
            if grounding is None:
                yield phrase, others, np.zeros((0, 4), np.float32), None
                continue
            boxes = grounding.phrases[number].boxes
            # With a heat map, the answer is chosen from the boxes read off the map, not from the grid cells.
            yield phrase, others, boxes[:1], grounding.regions.boxes if grounding.heat_PYX is None else boxes


def _is_other(other: Phrase, phrase: Phrase) -> bool:
    return other is not phrase if phrase.chain is None or other.chain is None else other.chain != phrase.chain


def _counted(kinds: Iterable[str]) -> tuple[float, ...]:
    counts = Counter(kinds)
    return tuple(float(counts[kind]) for kind in ERROR_KINDS)


def _row(name: str, counts: Sequence[float]) -> str:
    phrases = sum(counts)
    shares = " | ".join(f"{100 * count / phrases:.1f}" if phrases else "–" for count in counts)
    return f"| {name} | {phrases:,.0f} | {shares} |"
