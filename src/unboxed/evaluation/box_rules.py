"""When a predicted box or point matches a gold box, under the conventions in which published metrics differ.

Boxes have continuous edges here. Published code often takes the numbers of a predicted box for its first and last
pixels, so that it is one pixel wider and higher. The effect is small, but a number that is compared with a published
one has to follow its rule.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from unboxed.boxes import area, contains, iou
from unboxed.errors import EvaluationError
from unboxed.evaluation.options import BoxRuleOptions
from unboxed.runtime.progress import counted

__all__ = ["CONTINUOUS_RULE", "BoxRule", "with_gold"]

_Boxes = npt.NDArray[Any]
_WIDER = np.array([0.0, 0.0, 1.0, 1.0])
_IOU = 0.5


@dataclass(frozen=True)
class BoxRule(BoxRuleOptions):
    """A rule that compares boxes and points; its options are those of `BoxRuleOptions`."""

    @staticmethod
    def of(options: BoxRuleOptions) -> BoxRule:
        """The rule of the options."""
        return BoxRule(options.boxes, options.overlap, options.point_on_edge)

    def __str__(self) -> str:
        relation = ">=" if self.overlap == "at-least" else ">"
        return f"{self.boxes} boxes, IoU {relation} {_IOU}, a point on an edge is {self.point_on_edge}"

    def intersection_over_union(self, boxes: _Boxes, gold_boxes: _Boxes) -> _Boxes:
        """IoU `[..., N, M]` of predicted boxes `[..., N, 4]` and gold boxes `[..., M, 4]` with continuous edges.

        It is computed in float64, so that all metrics decide alike on boxes whose IoU is close to the threshold. An
        empty box overlaps nothing under any rule.
        """
        boxes, gold_boxes = boxes.astype(np.float64), gold_boxes.astype(np.float64)
        if self.boxes == "inclusive":
            boxes += _WIDER * (area(boxes) > 0)[..., None]
        return iou(boxes, gold_boxes)

    def overlaps(self, boxes: _Boxes, gold_boxes: _Boxes) -> npt.NDArray[np.bool_]:
        """`[..., N, M]`: whether the IoU is large enough."""
        overlap = self.intersection_over_union(boxes, gold_boxes)
        large: npt.NDArray[np.bool_] = overlap >= _IOU if self.overlap == "at-least" else overlap > _IOU
        return large

    def inside(self, gold_boxes: _Boxes, points: _Boxes) -> npt.NDArray[np.bool_]:
        """`[..., N, M]`: whether point m, x and y `[..., M, 2]`, is inside of gold box n `[..., N, 4]`.

        With inclusive boxes, points are compared with the first and last pixel of the gold box.
        """
        edges = gold_boxes - _WIDER if self.boxes == "inclusive" else gold_boxes
        return contains(edges, points, closed=self.point_on_edge == "inside")


CONTINUOUS_RULE = BoxRule()
"""The rule of this package, the default everywhere."""


class _Mention(Protocol):
    @property
    def gold_boxes(self) -> _Boxes: ...


M = TypeVar("M", bound=_Mention)


def with_gold(mentions: Iterable[M]) -> tuple[list[M], int]:
    """The mentions that have a gold box, which are scored, and the number of the others.

    Raises:
        EvaluationError: no mention has a gold box.
    """
    given = list(mentions)
    scored = [mention for mention in given if len(mention.gold_boxes)]
    if not scored:
        raise EvaluationError(
            f"Of {counted(len(given), 'phrase')}, none has a gold box, so nothing can be scored; evaluate on a split "
            "whose annotations have boxes."
        )
    return scored, len(given) - len(scored)
