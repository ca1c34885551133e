"""What goes wrong: every answer sorted into one kind of failure, by entity type.

The first kind that holds is the answer's:

    ok               IoU >= 0.5 with one of the gold boxes: right under `recall_any@1`
    no proposal      no region has IoU >= 0.5 with a gold box, so that no ranking could be right
    wrong instance   IoU >= 0.5 with a gold box of another entity of the image that shares a type: the other man
    wrong object     the same with an entity of other types: the man's hat for the man
    loose box        IoU >= 0.25 with a gold box: the right place, the wrong extent
    background       everything else, no answer too

An entity is a coreference chain; where chains are unknown, every other phrase of the same caption is another entity.
Of two other entities that the answer fits equally, one that shares a type counts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from unboxed.boxes import iou
from unboxed.evaluation.evaluate import GroundedExample
from unboxed.types import Array, Phrase

__all__ = ["FAILURES", "ErrorTable", "count_errors", "error_kind", "error_kinds"]

FAILURES = ("ok", "no proposal", "wrong instance", "wrong object", "loose box", "background")
_RIGHT, _LOOSE = 0.5, 0.25


@dataclass(frozen=True)
class ErrorTable:
    """How many answers are of each kind, by entity type.

    Attributes:
        counts: type -> one number for each of `FAILURES`; most frequent type first. A phrase of two types counts in
            both, one without types in none.
        total: one number for each of `FAILURES`, every phrase once.
    """

    counts: Mapping[str, tuple[float, ...]]
    total: tuple[float, ...]

    def to_markdown(self) -> str:
        """Per cent of the phrases of each type, one row a type."""
        lines = ["| | phrases | " + " | ".join(FAILURES) + " |", "| --- |" + " ---: |" * (1 + len(FAILURES))]
        lines += [_row(name, counts) for name, counts in (("all", self.total), *self.counts.items())]
        return "\n".join(lines) + "\n"

    @staticmethod
    def mean(tables: Sequence[ErrorTable]) -> ErrorTable:
        """The mean over several runs on the same phrases; at least one."""
        counts = {
            name: tuple(float(n) for n in np.mean([table.counts[name] for table in tables], axis=0))
            for name in tables[0].counts
        }
        return ErrorTable(counts, tuple(float(n) for n in np.mean([table.total for table in tables], axis=0)))


def count_errors(grounded: Iterable[GroundedExample]) -> ErrorTable:
    """Sorts the answers to all phrases that have gold boxes."""
    kinds = [kind for item in grounded for kind in error_kinds(item)]
    of_type = Counter(name for phrase, _ in kinds for name in set(phrase.types))
    types = sorted(of_type, key=lambda name: (-of_type[name], name))
    return ErrorTable(
        {name: _counted(kind for phrase, kind in kinds if name in phrase.types) for name in types},
        _counted(kind for _, kind in kinds),
    )


def error_kinds(item: GroundedExample) -> Iterator[tuple[Phrase, str]]:
    """Each phrase of a photograph's captions that has gold boxes, with its kind of `FAILURES`."""
    said = [phrase for caption in item.example.captions for phrase in caption.phrases]
    for phrase, others, answer, proposals in _answers(item, said):
        yield phrase, error_kind(phrase, others, answer, proposals)


def error_kind(phrase: Phrase, others: Sequence[Phrase], answer: Array, proposals: Array | None) -> str:
    """One of `FAILURES` for one answer.

    Args:
        phrase: with at least one gold box.
        others: phrases with gold boxes of other entities of the image.
        answer: `[1, 4]`, or `[0, 4]` for none.
        proposals: `[R, 4]` that could have been answered.
    """
    overlap = float(iou(answer, phrase.boxes).max(initial=0))
    if overlap >= _RIGHT:
        return "ok"
    if proposals is None or float(iou(proposals, phrase.boxes).max(initial=0)) < _RIGHT:
        return "no proposal"
    best, same_type = max(
        (
            (float(iou(answer, other.boxes).max(initial=0)), bool(set(other.types) & set(phrase.types)))
            for other in others
        ),
        default=(0.0, False),
    )
    if best >= _RIGHT:
        return "wrong instance" if same_type else "wrong object"
    return "loose box" if overlap >= _LOOSE else "background"


def _answers(
    item: GroundedExample, said: Sequence[Phrase]
) -> Iterator[tuple[Phrase, list[Phrase], Array, Array | None]]:
    """Each phrase with gold boxes, the phrases of other entities, the answer, and what could have been answered."""
    groundings = item.groundings or (None,) * len(item.example.captions)
    for caption, grounding in zip(item.example.captions, groundings, strict=True):
        for number, phrase in enumerate(caption.phrases):
            if not len(phrase.boxes):
                continue
            of_image = caption.phrases if phrase.chain is None else said
            others = [other for other in of_image if len(other.boxes) and _is_other(other, phrase)]
            if grounding is None:
                yield phrase, others, np.zeros((0, 4), np.float32), None
                continue
            boxes = grounding.phrases[number].boxes
            # Boxes that are read off a heat map are all that could be answered; its cells are not.
            yield phrase, others, boxes[:1], grounding.regions.boxes if grounding.heat_PYX is None else boxes


def _is_other(other: Phrase, phrase: Phrase) -> bool:
    return other is not phrase if phrase.chain is None or other.chain is None else other.chain != phrase.chain


def _counted(kinds: Iterable[str]) -> tuple[float, ...]:
    counts = Counter(kinds)
    return tuple(float(counts[kind]) for kind in FAILURES)


def _row(name: str, counts: Sequence[float]) -> str:
    phrases = sum(counts)
    shares = " | ".join(f"{100 * count / phrases:.1f}" if phrases else "–" for count in counts)
    return f"| {name} | {phrases:,.0f} | {shares} |"
