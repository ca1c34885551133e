"""Conventions of boxes on hand-made boxes; the originals' own numbers are in tests/golden/test_boxes.py."""

from __future__ import annotations

import numpy as np

from unboxed.evaluation.box_rules import BoxRule
from unboxed.evaluation.grounding import GroundedMention, score_grounding

GOLD = np.array([[0.0, 0.0, 10.0, 10.0]])


def test_an_inclusive_box_is_a_pixel_wider_and_higher() -> None:
    predicted = np.array([[0.0, 0.0, 9.0, 4.0]])  # first and last pixels: 10 x 5 pixels
    assert BoxRule().intersection_over_union(predicted, GOLD)[0, 0] == 0.36
    inclusive = BoxRule(boxes="inclusive")
    assert inclusive.intersection_over_union(predicted, GOLD)[0, 0] == 0.5
    assert inclusive.overlaps(predicted, GOLD)[0, 0] and not BoxRule().overlaps(predicted, GOLD)[0, 0]
    assert not BoxRule(boxes="inclusive", overlap="above").overlaps(predicted, GOLD)[0, 0]


def test_an_empty_box_overlaps_nothing() -> None:
    nothing = np.zeros((1, 4))
    pixel = np.array([[0.0, 0.0, 1.0, 1.0]])
    for rule in (BoxRule(), BoxRule(boxes="inclusive"), BoxRule(point_on_edge="inside")):
        assert not rule.overlaps(nothing, pixel)[0, 0] and not rule.inside(nothing, np.zeros((1, 2)))[0, 0]


def test_points_on_edges() -> None:
    points = np.array([[0.0, 5.0], [9.0, 5.0], [9.5, 5.0], [10.0, 5.0], [5.0, 5.0]])

    def inside(rule: BoxRule) -> list[bool]:
        return rule.inside(GOLD, points)[0].tolist()

    assert inside(BoxRule()) == [False, True, True, False, True]
    assert inside(BoxRule(point_on_edge="inside")) == [True, True, True, True, True]
    # The last pixel of the gold box is 9.
    assert inside(BoxRule(boxes="inclusive")) == [False, False, False, False, True]
    assert inside(BoxRule(boxes="inclusive", point_on_edge="inside")) == [True, True, False, False, True]


def test_the_rule_is_part_of_the_result() -> None:
    mention = GroundedMention("image", (), GOLD, np.array([[0.0, 0.0, 9.0, 4.0]]), GOLD)
    default = score_grounding([mention], resamples=2)
    assert default["recall_any@1"] == 0 and "boxes" not in default.to_dict()
    rule = BoxRule(boxes="inclusive")
    scores = score_grounding([mention], resamples=2, rule=rule)
    assert scores["recall_any@1"] == 100
    assert scores.to_dict()["boxes"] == "inclusive boxes, IoU >= 0.5, a point on an edge is outside"
