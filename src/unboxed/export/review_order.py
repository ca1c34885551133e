"""The order in which labelled images are reviewed: the most useful ones first."""

from __future__ import annotations

import hashlib
import heapq
from collections import Counter
from collections.abc import Sequence

import numpy as np

from unboxed.export.labels import LabelledBox, LabelledImage

__all__ = ["order_for_review"]

_RANDOM = 5  # every fifth image is a random one


def order_for_review(images: Sequence[LabelledImage]) -> list[int]:
    """The indices of the images in the order in which they are worth checking.

    An image is useful if its boxes are uncertain, and if images before it have few boxes of the same names: the sum
    over its boxes of (1 - |2 p - 1|) / (1 + n), divided by the square root of the number of its boxes. p is the
    probability of the phrase, and n counts the boxes of the name in the images before it. The most useful image comes
    next. Every fifth image is a random one instead, so that boxes that seem certain are checked, too. Images without
    boxes come last. The order is the same every time.
    """
    doubts = _doubts(images)
    seen: Counter[str] = Counter()

    def useful(i: int) -> float:
        boxes = images[i].boxes
        worth = sum(doubt / (1 + seen[box.category]) for box, doubt in zip(boxes, doubts[i], strict=True))
        return worth / len(boxes) ** 0.5 if boxes else -1.0

    queue = [(-useful(i), i) for i in range(len(images))]
    heapq.heapify(queue)
    drawn = sorted(
        (i for i in range(len(images)) if images[i].boxes), key=lambda i: _hash(images[i].name), reverse=True
    )
    order: list[int] = []
    taken: set[int] = set()
    while queue:
        while drawn and drawn[-1] in taken:
            drawn.pop()
        if drawn and len(order) % _RANDOM == _RANDOM - 1:
            i = drawn.pop()
        else:
            worth, i = heapq.heappop(queue)
            if i in taken:
                continue
            if (now := -useful(i)) > worth:  # images only become less useful: one that has not is the best one
                heapq.heappush(queue, (now, i))
                continue
        taken.add(i)
        order.append(i)
        seen.update(box.category for box in images[i].boxes)
    return order


def _doubts(images: Sequence[LabelledImage]) -> list[list[float]]:
    """1 - |2 p - 1| of each box; without a probability, p is 1/2 + 1/2 times the share of boxes with a lower score."""
    scores = np.sort([box.score for image in images for box in image.boxes if box.confidence is None])

    def doubt(box: LabelledBox) -> float:
        p = box.confidence
        if p is None:
            p = 0.5 + 0.5 * float(np.searchsorted(scores, box.score)) / len(scores)
        return 1 - abs(2 * p - 1)

    return [[doubt(box) for box in image.boxes] for image in images]


def _hash(name: str) -> bytes:
    return hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()
