"""Groundings as other libraries' objects."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from unboxed.errors import ExportError
from unboxed.inference.results import GroundedPhrase, Grounding
from unboxed.types import Regions

MEN, DOG, WHOLE = [10, 20, 60, 90], [100, 50, 150, 100], [0, 0, 200, 100]


@pytest.fixture
def grounding() -> Grounding:
    """Two phrases that are in the image and one that is not, each with two boxes."""
    caption = "Two men walk a dog past a cat."
    phrases = []
    for text, box, score, confidence in (
        ("Two men", MEN, 0.9, 0.9),
        ("a dog", DOG, 0.4, 0.8),
        ("a cat", DOG, 0.5, 0.1),
    ):
        start = caption.index(text)
        boxes, scores = [box, WHOLE], [score, score / 10]
        phrases.append(GroundedPhrase(text, start, start + len(text), boxes, scores, confidence=confidence))
    none = np.zeros((0, 0))
    regions = Regions(np.zeros((0, 4)), np.zeros(0), none, none, (), (), 200, 100)
    return Grounding(caption, tuple(phrases), (), regions, none, 200, 100)


@pytest.fixture(params=["plain", "installed"])
def supervision(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The package where it is installed, and a plain stand-in for it."""
    if request.param == "installed":
        pytest.importorskip("supervision", reason="supervision is not installed: pip install 'unboxed[supervision]'")
    else:
        module = ModuleType("supervision")
        module.Detections = SimpleNamespace  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "supervision", module)


@pytest.mark.usefixtures("supervision")
def test_supervision_has_the_boxes_and_the_words_of_phrases_that_are_present(grounding: Grounding) -> None:
    detections = grounding.to_supervision(min_score=0.05, top=2)
    assert detections.xyxy.tolist() == [MEN, WHOLE, DOG]
    assert detections.confidence == pytest.approx([0.9, 0.09, 0.4])
    assert detections.class_id.tolist() == [0, 0, 1]
    assert detections.data["class_name"].tolist() == ["Two men", "Two men", "a dog"]
    assert detections.data["start"].tolist() == [0, 0, 13]
    assert len(grounding.to_supervision(min_score=2).xyxy) == 0


def test_without_supervision_the_error_says_how_to_install_it(
    grounding: Grounding, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(ExportError, match=r'pip install "unboxed\[supervision\]"'):
        grounding.to_supervision()
