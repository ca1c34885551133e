"""Metrics of heat maps: hand-made mentions with known answers, and a naive loop beside them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unboxed.errors import EvaluationError
from unboxed.evaluation.heatmap import HeatMention, heat_per_image, score_heat


def _boxes(*boxes: list[int]) -> np.ndarray:
    return np.array(boxes, np.float32).reshape(-1, 4)


class TestScores:
    LEFT, RIGHT = [0, 0, 10, 10], [30, 0, 40, 10]

    def mentions(self) -> list[HeatMention]:
        return [
            HeatMention("a", 0, _boxes(self.LEFT, self.RIGHT), (5, 5), 0.5),  # any: right; of its two boxes one
            HeatMention("a", 0, _boxes(self.LEFT), (35, 5), 0.0),
            HeatMention("a", 1, _boxes(self.LEFT), (5, 5), 1.0),
            HeatMention("b", 0, _boxes(self.LEFT), None),
            HeatMention("b", 1, _boxes(), (5, 5)),  # not counted
        ]

    def test_every_protocol_by_hand(self):
        scores = score_heat(self.mentions())
        assert scores.phrases == 4
        assert scores.pointing_heatmap == 50
        # Caption 0 of a: boxes hit 1, 0 and 0 of 3; caption 1 of a: 1 of 1; caption 0 of b: 0 of 1.
        assert scores.pointing_heatmap_per_box == pytest.approx(100 * (1 / 3 + 1 + 0) / 3)
        assert scores.heat_inside == pytest.approx(100 * 1.5 / 4)
        low, high = scores.interval
        assert 0 <= low <= 50 <= high <= 100

    def test_a_point_on_the_edge_is_outside(self):
        assert score_heat([HeatMention("a", 0, _boxes(self.LEFT), (10, 5))]).pointing_heatmap == 0

    def test_the_dictionary_is_plain(self):
        found = score_heat(self.mentions()).to_dict()
        assert found["pointing_heatmap"] == 50
        assert list(found) == ["pointing_heatmap", "pointing_heatmap_per_box", "heat_inside", "interval"]

    def test_nothing_to_score_is_an_error(self):
        with pytest.raises(EvaluationError, match="Of 1 phrase, none has a gold box"):
            score_heat([HeatMention("a", 0, _boxes(), None)])


@st.composite
def heat_mentions(draw: st.DrawFn) -> HeatMention:
    corners = st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(1, 6), st.integers(1, 6))
    boxes = [[x, y, x + w, y + h] for x, y, w, h in draw(st.lists(corners, max_size=3))]
    point = draw(st.none() | st.tuples(st.integers(0, 10), st.integers(0, 10)).map(lambda p: (p[0] + 0.5, p[1] + 0.5)))
    return HeatMention(
        draw(st.sampled_from("cab")),
        draw(st.integers(0, 1)),
        _boxes(*boxes),
        point,
        draw(st.sampled_from([0, 0.25, 1])),
    )


@given(st.lists(heat_mentions(), max_size=9))
def test_every_metric_equals_a_loop(mentions):
    scored = [one for one in mentions if len(one.gold_boxes)]
    if not scored:
        assert heat_per_image(mentions) == {}
        return
    hits = [
        [
            one.point is not None and x1 < one.point[0] < x2 and y1 < one.point[1] < y2
            for x1, y1, x2, y2 in one.gold_boxes
        ]
        for one in scored
    ]
    captions = {(one.image_id, one.caption) for one in scored}
    per_caption = [
        np.mean(
            [h for one, hit in zip(scored, hits, strict=True) if (one.image_id, one.caption) == caption for h in hit]
        )
        for caption in captions
    ]
    found = score_heat(mentions, resamples=50)
    assert found.phrases == len(scored)
    assert found.pointing_heatmap == pytest.approx(100 * np.mean([any(hit) for hit in hits]))
    assert found.pointing_heatmap_per_box == pytest.approx(100 * np.mean(per_caption))
    assert found.heat_inside == pytest.approx(100 * np.mean([one.inside for one in scored]))
    per_image = heat_per_image(mentions)
    assert per_image["pointing_heatmap"].value == pytest.approx(found.pointing_heatmap)
    assert per_image["heat_inside"].value == pytest.approx(found.heat_inside)


def test_the_interval_does_not_depend_on_the_order_of_the_mentions():
    mentions = [HeatMention(name, 0, _boxes([0, 0, 10, 10]), (5, 5) if name in "bd" else None) for name in "dbacc"]
    assert score_heat(mentions).interval == score_heat(mentions[::-1]).interval
    text = str(score_heat(mentions))
    assert "pointing_heatmap 40.0 (" in text and "heat_inside 0.0" in text
