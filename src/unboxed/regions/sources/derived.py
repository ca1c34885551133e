"""Boxes made from a detector's boxes: head, torso and legs of persons, and the union of several of a kind.

Captions speak of hats, shirts and trousers, and of “two men”; detectors of everyday classes box neither. Both are
plain geometry and need no weights.
"""

from __future__ import annotations

import numpy as np

from unboxed import boxes as box_arithmetic
from unboxed.regions.proposals import Proposals
from unboxed.types import Array

__all__ = ["PERSON_CLASSES", "person_parts", "person_scores", "unions"]

PERSON_CLASSES = frozenset(
    (
        *("person", "people", "man", "men", "woman", "women", "boy", "girl", "child", "kid", "baby"),
        *("player", "pedestrian", "human", "guy", "lady"),
    )
)


def person_scores(class_scores: Array, class_names: tuple[str, ...]) -> Array:
    """How much each of N boxes is a person, `[N]`: the best of the person-like classes; 0 where there are none."""
    columns = [k for k, name in enumerate(class_names) if name.lower() in PERSON_CLASSES]
    if not columns:
        return np.zeros(len(class_scores), np.float32)
    return np.asarray(class_scores[:, columns].max(axis=1), dtype=np.float32)


def person_parts(boxes: Array, scores: Array, shape: tuple[float, float], count: int, threshold: float) -> Proposals:
    """Head, torso and legs of the `count` best persons.

    Shoulders are about as wide as the box, but at most six tenths of its height (spread arms are wider), and a head is
    a little less than half of that: measured in shoulders, the rule holds for whole bodies and for half ones. Legs are
    the lower half.

    Args:
        boxes: `[N, 4]` pixels of the image.
        scores: `[N]` person scores.
        shape: (x, y) factors from the photograph's pixels to ones of its original shape.
        count: how many persons.
        threshold: persons below this score are left out.
    """
    best = [int(i) for i in np.argsort(-scores, kind="stable")[:count] if scores[i] >= threshold]
    parts: list[list[float]] = []
    names: list[str] = []
    part_scores: list[float] = []
    for i in best:
        x1, y1, x2, y2 = (float(v) for v in boxes[i])
        height = y2 - y1
        # The width in the same units as the height: the image may be squashed.
        shoulders = min((x2 - x1) * shape[0] / shape[1], 0.6 * height)
        head = 0.45 * shoulders
        centre, half_head = (x1 + x2) / 2, 0.24 * shoulders * shape[1] / shape[0]
        parts.append([centre - half_head, y1, centre + half_head, y1 + head])
        parts.append([x1, y1 + 0.8 * head, x2, min(y1 + 0.8 * head + 1.05 * shoulders, y2)])
        parts.append([x1, y1 + 0.5 * height, x2, y2])
        names += ["head", "torso", "legs"]
        part_scores += [float(scores[i])] * 3
    if not parts:
        return Proposals.none()
    return Proposals(np.array(parts, np.float32), np.array(part_scores, np.float32), tuple(names))


def unions(boxes: Array, class_scores: Array, count: int, threshold: float) -> tuple[Proposals, list[tuple[int, ...]]]:
    """The box around all, and around the two best, of the same class.

    Args:
        boxes: `[N, 4]`, after suppression.
        class_scores: `[N, K]`.
        count: at most so many unions.
        threshold: a box below it is no member.

    Returns:
        The unions, scored by their weakest of the two best members, and the indices of each one's members.
    """
    best_class = class_scores.argmax(axis=1) if class_scores.size else np.zeros(len(boxes), int)
    found: list[tuple[float, tuple[int, ...]]] = []
    for k in np.unique(best_class):
        members = [int(i) for i in np.flatnonzero((best_class == k) & (class_scores[:, k] >= threshold))]
        members.sort(key=lambda i: -class_scores[i, k])
        if len(members) < 2:
            continue
        score = float(class_scores[members[1], k])
        found.append((score, tuple(members)))
        if len(members) > 2:
            found.append((score, tuple(members[:2])))
    found = sorted(found, key=lambda item: -item[0])[:count]
    if not found:
        return Proposals.none(), []
    union_boxes = np.concatenate([box_arithmetic.enclosing(boxes[list(members)]) for _, members in found])
    scores = np.array([score for score, _ in found], np.float32)
    return Proposals(union_boxes, scores, ("union",) * len(found)), [members for _, members in found]
