"""Detection of absent phrases: metrics of hand-made scores, and a naive loop beside the area under the curve."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unboxed.evaluation import presence
from unboxed.evaluation.presence import PresenceScores, score_presence
from unboxed.inference.calibration import PresenceCalibration
from unboxed.inference.ranks import area_under_curve
from unboxed.training.calibration import SwappedPhrases

CALIBRATED = SimpleNamespace(
    grounder=SimpleNamespace(config=SimpleNamespace(presence=PresenceCalibration(slope=1.0, bias=0.0, phrases=1)))
)


def scored(monkeypatch: pytest.MonkeyPatch, present: list[float], absent: list[float]) -> PresenceScores | None:
    """The scores where phrases match by these numbers; above 0 they are predicted present."""
    match_N = np.array([*present, *absent])
    found = SwappedPhrases(match_N, np.arange(len(match_N)) < len(present), 3)
    monkeypatch.setattr(presence, "swapped_phrases", lambda split, examples, images: found)
    split: Any = CALIBRATED
    return score_presence(split, [])


def test_precision_and_recall_weigh_both_classes_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    found = scored(monkeypatch, present=[2, 1, -1, 3], absent=[-2, 0.5])
    assert found is not None
    assert (found.images, found.present, found.absent) == (3, 4, 2)
    assert found.present_recall == pytest.approx(75)
    assert found.absent_recall == pytest.approx(50)
    assert found.present_precision == pytest.approx(100 * 0.75 / (0.75 + 0.5))
    assert found.absent_precision == pytest.approx(100 * 0.5 / (0.5 + 0.25))
    assert found.auc == pytest.approx(100 * 7 / 8)
    assert "captions swapped among 3 images: 2 phrases absent, 4 present" in str(found)


def test_the_dictionary_keeps_its_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    found = scored(monkeypatch, present=[1], absent=[-1])
    assert found is not None
    assert found.to_dict() == {
        "photos": 3, "present": 1, "absent": 1, "absent_precision": 100.0, "absent_recall": 100.0,
        "present_precision": 100.0, "present_recall": 100.0, "auc": 100.0,
    }  # fmt: skip


def test_one_class_or_no_calibration_cannot_be_scored(monkeypatch: pytest.MonkeyPatch) -> None:
    assert scored(monkeypatch, present=[1], absent=[]) is None
    assert scored(monkeypatch, present=[], absent=[1]) is None
    uncalibrated: Any = SimpleNamespace(grounder=SimpleNamespace(config=SimpleNamespace(presence=None)))
    assert score_presence(uncalibrated, []) is None


_scores = st.lists(st.integers(-3, 3).map(float), min_size=1, max_size=9)


@given(_scores, _scores)
def test_the_area_counts_pairs(present: list[float], absent: list[float]) -> None:
    pairs = [(one, other) for one in present for other in absent]
    expected = sum(one > other for one, other in pairs) + sum(one == other for one, other in pairs) / 2
    mask_N = np.arange(len(present) + len(absent)) < len(present)
    assert area_under_curve(np.array([*present, *absent]), mask_N) == pytest.approx(expected / len(pairs))
