"""Conventions of boxes on hand-made boxes; the originals' own numbers are in tests/golden/test_boxes.py."""

from __future__ import annotations

import numpy as np

from unboxed.boxes import iou
from unboxed.evaluation.attention import AttendedWord, score_attention
from unboxed.evaluation.attention_protocol import AttentionProtocol
from unboxed.evaluation.box_rules import BoxRule
from unboxed.evaluation.box_sets import SetMention, score_sets
from unboxed.evaluation.error_analysis import error_kind
from unboxed.evaluation.grounding import GroundedMention, score_grounding
from unboxed.types import Phrase

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


# Boxes of an image that is stored at 0.832 of its size: their IoU is below a half, but not in float32.
NEAR, NEAR_GOLD = (np.float32(0.832 * np.array([box])) for box in ([48, 2, 72, 20], [46, 7, 82, 21]))


def test_all_metrics_decide_alike_on_an_iou_close_to_a_half() -> None:
    phrase = Phrase("a cup", 0, 5, ("other",), None, NEAR_GOLD)
    recall = score_grounding([GroundedMention("image", (), NEAR_GOLD, NEAR, NEAR)])["recall_any@1"]
    sets = score_sets([SetMention("image", np.repeat(NEAR_GOLD, 2, axis=0), NEAR, NEAR)])
    word = AttendedWord("image", 0, np.ones(1), NEAR, NEAR_GOLD)
    protocol = AttentionProtocol(unreachable="counted as 0", attention_threshold=0.5)
    assert sets is not None
    assert (recall, sets["precision_all"], score_attention([word], protocol)["precision"]) == (0, 0, 0)
    assert error_kind(phrase, [], NEAR, NEAR) == "no proposal"
    assert float(iou(NEAR, NEAR_GOLD)[0, 0]) >= 0.5 > float(iou(NEAR.astype(float), NEAR_GOLD.astype(float))[0, 0])


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
