"""Boxes, IoU, pointing and recall of the originals, which count inclusive pixels; the library has continuous edges.

A box of inclusive pixels is the library's box with its right and lower edges moved out: by 1 in InfoGround and SPRM
(`BoxRule`), by 0.001 in CKD. The recorded gold boxes are inclusive; a reader of a dataset widens them. Where an
original differs from this in more, the test compares the cases that agree.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from unboxed.attention import Ranking
from unboxed.attention.heatmaps import hottest_point, upsampled
from unboxed.attention.positions import cover_blocks
from unboxed.attention.ranking import RegionTerms, phrase_scores, ranked_scores
from unboxed.boxes import area, centre, enclosing, iou
from unboxed.evaluation.box_rules import BoxRule
from unboxed.evaluation.grounding import METRICS, GroundedMention, mention_outcomes
from unboxed.evaluation.heatmap import HeatMention, score_heat
from unboxed.priors.scoring import box_places, phrase_places, text_places
from unboxed.text.phrases import phrase_words


def wider(boxes: Any, by: float = 1.0) -> Any:
    """The boxes with their right and lower edges moved out."""
    return boxes + np.array([0.0, 0.0, by, by])


def test_infoground_iou_and_pointing_of_pairs_of_boxes(golden: Callable[[str], Any]) -> None:
    fixture, rule = golden("infoground_boxes"), BoxRule(boxes="inclusive")
    predicted_N14, gold_N14 = fixture.arrays["in_predicted"][:, None], wider(fixture.arrays["in_gold"][:, None])
    found_N = rule.intersection_over_union(predicted_N14, gold_N14)[:, 0, 0]
    overlap_N2 = np.minimum(predicted_N14, gold_N14 - 1)[:, 0, 2:] - np.maximum(predicted_N14, gold_N14)[:, 0, :2]
    union_N = (area(wider(predicted_N14)) + area(gold_N14))[:, 0] / (1 + found_N)
    # The original sets IoU to 0 where the boxes overlap in less than a pixel, and adds 1e-6 to the union.
    fixture.check("out_iou", np.where((overlap_N2 > 0).all(axis=1), found_N / (1 + 1e-6 / union_N), 0))
    fixture.check("out_right", rule.overlaps(predicted_N14, gold_N14)[:, 0, 0])
    fixture.check("out_centre_inside", rule.inside(gold_N14, centre(predicted_N14))[:, 0, 0])
    fixture.assert_complete()


def test_infoground_ranks_recall_and_pointing_of_phrases(golden: Callable[[str], Any]) -> None:
    fixture = golden("infoground_phrases")
    boxes_BR4, slots = fixture.arrays["in_boxes"].astype(np.float64), fixture.arrays["in_attention"].shape[2]
    mentions, top = [], []
    for phrase, pieces_Q in enumerate(fixture["in_phrase_word_pieces"]):
        image = phrase // 5
        attention_QR = fixture["in_attention"][image]
        ranking = Ranking.plain()
        score_PR = phrase_scores(attention_QR, attention_QR, pieces_Q[None], pieces_Q, ranking)
        score_R = ranked_scores(score_PR, RegionTerms(torch.eye(slots, dtype=torch.float64)), ranking)[0]
        best_N = score_R.argsort(descending=True, stable=True)[:10].numpy()
        top.append(best_N)
        # Slots without a box are ranked too, and then left out.
        ranked_N4 = boxes_BR4[image, best_N[best_N < fixture.arrays["in_box_counts"][image]]]
        gold_N4 = wider(fixture.arrays["in_gold_boxes"][phrase, : fixture.arrays["in_gold_counts"][phrase]])
        mentions.append(GroundedMention(str(image), (), gold_N4, ranked_N4, ranked_N4))
    fixture.check("out_top_slots", np.stack(top))
    outcomes_MX = mention_outcomes(mentions, BoxRule(boxes="inclusive"))
    at_M10 = fixture.arrays["out_recalled_at"]
    recalls = [outcomes_MX[:, METRICS.index(f"recall_any@{k}")] for k in (1, 5, 10)]
    pointed_M = outcomes_MX[:, METRICS.index("pointing_any")]
    np.testing.assert_array_equal(np.stack(recalls, axis=1), at_M10[:, [0, 4, 9]])
    fixture.check("out_pointed", pointed_M.astype(np.int64))
    fixture.check("out_percent", np.array([round(100 * float(hit.mean()), 2) for hit in (*recalls, pointed_M)]))
    fixture.assert_complete(["out_recalled_at"])  # at k = 1, 5 and 10, above


def test_ckd_iou(golden: Callable[[str], Any]) -> None:
    fixture = golden("ckd_iou_ramp")
    boxes, others = (wider(fixture.arrays[name].astype(np.float64), 0.001) for name in ("in_boxes", "in_other_boxes"))
    found = iou(boxes, others)
    fixture.check("out_iou", found)
    # Two pairs are at one half exactly, where the original's single precision decides.
    clear = np.abs(found - 0.5) > 1e-6
    np.testing.assert_array_equal((found > 0.5)[clear], fixture.arrays["out_right"][clear])
    assert (~clear).sum() <= 2
    fixture.assert_complete(["out_right", "out_weight"])


def test_sprm_relations_and_locations(golden: Callable[[str], Any]) -> None:
    fixture = golden("sprm_spatial")
    for image, count in enumerate(fixture.arrays["in_counts"]):
        boxes, labels = fixture.arrays["in_boxes"][image, :count], fixture.arrays["in_labels"][image, :count]
        mended_R6 = fixture.arrays["out_relation"][image, :count].copy()
        np.testing.assert_array_equal(box_places(boxes, labels, released=True), mended_R6)
        mended_R6[:, 2] = fixture.arrays["out_relation_center_mended"][image, :count]
        np.testing.assert_array_equal(box_places(boxes, labels), mended_R6)
    phrases = [str(phrase) for phrase in fixture.arrays["in_phrases"]]
    fixture.check("out_location", np.stack([text_places(phrase) for phrase in phrases]).astype(np.int64))
    fixture.assert_complete(["out_relation", "out_relation_center_mended"])  # image by image, above
    # By default only whole words besides the head noun count, in small or capital letters.
    found_N6 = np.stack([phrase_places(phrase_words(phrase)) for phrase in phrases])
    found_N6[~found_N6.any(axis=1)] = 1
    same_N = (found_N6 == fixture.arrays["out_location"]).all(axis=1)
    differing = {phrase for phrase, same in zip(phrases, same_N, strict=True) if not same}
    assert differing == {
        "bright light",
        "the laptop",
        "a tank top",
        "Left hand",
        "the bottom",
        "topmost branch",
        "a rightful owner",
    }


def test_sprm_accuracy_and_pointing_on_the_union(golden: Callable[[str], Any]) -> None:
    fixture, rule = golden("sprm_accuracy"), BoxRule(boxes="inclusive", point_on_edge="inside")
    predicted_N14, counts = fixture.arrays["in_predicted"][:, None], fixture.arrays["in_gold_counts"]
    gold = [boxes[:count] for boxes, count in zip(fixture.arrays["in_gold_boxes"], counts, strict=True)]
    union_N14 = np.stack([enclosing(boxes) for boxes in gold])
    fixture.check("out_union", union_N14[:, 0])
    fixture.check("out_iou", rule.intersection_over_union(predicted_N14, wider(union_N14))[:, 0, 0])
    mentions = [
        GroundedMention("image", (), wider(boxes), predicted_14, predicted_14)
        for boxes, predicted_14 in zip(gold, predicted_N14, strict=True)
    ]
    outcomes_MX = mention_outcomes(mentions, rule)
    right_N, inside_N = (outcomes_MX[:, METRICS.index(name)] for name in ("recall_union@1", "pointing_union"))
    fixture.check("out_right", right_N)
    fixture.check("out_centre_inside", inside_N)
    fixture.check("out_accuracy_and_pointing", np.array([right_N.mean(), inside_N.mean()]))
    fixture.assert_complete()


def test_pfan_blocks_and_shares_of_boxes(golden: Callable[[str], Any]) -> None:
    fixture = golden("pfan_blocks")
    block_NL, share_NL = cover_blocks(fixture["in_box"], slots=256)
    share_NK = torch.zeros(len(block_NL), 257, dtype=torch.float64).scatter_add(1, block_NL, share_NL)
    fixture.check("out_share_of_all_blocks", share_NK[:, :256])

    block_NL, share_NL = cover_blocks(fixture["in_file_box"])
    fixture.check("out_file_share", share_NL)
    # Blocks of equal share may be in any order.
    found, expected = (torch.zeros(len(block_NL), 257, dtype=torch.float64) for _ in range(2))
    found.scatter_add_(1, block_NL, share_NL)
    expected.scatter_add_(1, fixture["out_file_block"], fixture["out_file_share"])
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
    assert torch.equal(block_NL.sort(dim=1).values, fixture["out_file_block"].sort(dim=1).values)
    fixture.assert_complete(["out_file_block"])


def test_locnet_peaks_and_pointing_of_heat_maps(golden: Callable[[str], Any]) -> None:
    fixture, side = golden("locnet_pointing"), 224
    maps, boxes = fixture.arrays["in_maps"].astype(np.float64), fixture.arrays["in_boxes"]
    fixture.check("out_resized_map", upsampled(maps[0, 0], side, side)[::4, ::4])
    peaks, scaled = np.full((*boxes.shape[:2], 2), -1), np.zeros_like(boxes)
    rule = BoxRule(point_on_edge="inside")
    shares, released = np.zeros(len(boxes)), np.zeros(len(boxes))
    for caption, phrases in enumerate(fixture.arrays["in_phrase_counts"]):
        mentions = []
        for phrase in range(phrases):
            x, y = hottest_point(upsampled(maps[caption, phrase], side, side))
            peaks[caption, phrase] = y - 0.5, x - 0.5
            count = fixture.arrays["in_box_counts"][caption, phrase]
            scale = np.tile(side / fixture.arrays["in_image_sizes"][caption], 2)
            scaled[caption, phrase, :count] = boxes[caption, phrase, :count] * scale
            # The original compares the pixel's number, not its centre, and counts the edges as inside.
            mentions.append(HeatMention("image", caption, scaled[caption, phrase, :count], (x - 0.5, y - 0.5)))
        if any(len(mention.gold_boxes) for mention in mentions):
            swapped = [replace(mention, point=mention.point[::-1]) for mention in mentions]
            for found, of in ((shares, mentions), (released, swapped)):
                found[caption] = score_heat(of, resamples=1, rule=rule).pointing_heatmap_per_box / 100
    fixture.check("out_peak_row_column", peaks)
    fixture.check("out_scaled_boxes", scaled)
    fixture.check("out_score_axes_in_order", shares)
    fixture.check("out_score_as_released", released)  # takes (row, column) for (x, y)
    fixture.assert_complete()
