"""The proposer: its boxes come after the detectors', do not repeat them, and are ranked by their scores."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from unboxed.errors import RegionsError
from unboxed.regions.base import Detected
from unboxed.regions.extraction import RegionExtractor
from unboxed.regions.image_view import View
from unboxed.regions.settings import RegionSettings
from unboxed.regions.sources import Proposer

BOXES = [[0, 0, 20, 20], [40, 40, 60, 60], [41, 40, 61, 60], [10, 30, 30, 60]]


def proposer(path: Path, graphs: Any, scores: list[float], classes: str = "thing") -> Path:
    outputs = {"boxes": np.array([BOXES], np.float32), "scores": np.array(scores, np.float32).reshape(1, 4, -1)}
    return graphs.constant(path, outputs, size=(64, 64), metadata={"classes": classes})


def test_best_first_without_repeating_each_other_or_detections(tmp_path: Path, graphs: Any) -> None:
    path = proposer(tmp_path / "p.onnx", graphs, [0.3, 0.1, 0.2, 0.05])
    view = View(Image.new("RGB", (64, 64)), (64, 64))
    source = Proposer(RegionSettings(proposer=path))
    (network,) = source.networks()
    alone = source.propose(view, [network(view)], Detected.none())
    np.testing.assert_allclose(alone.boxes, [BOXES[0], BOXES[2], BOXES[3]])
    np.testing.assert_allclose(alone.scores, [0.3, 0.2, 0.05], rtol=1e-6)
    detected = Detected(
        boxes=np.array([[0, 0, 19, 20]], np.float32),
        scores=np.array([0.01], np.float32),
        sources=("detector",),
        class_scores=np.ones((1, 1), np.float32),
        person_scores=np.zeros(1, np.float32),
    )
    beside = source.propose(view, [network(view)], detected)
    np.testing.assert_allclose(beside.boxes, [BOXES[2], BOXES[3]])
    few = Proposer(RegionSettings(proposer=path, proposals=1))
    assert len(few.propose(view, [network(view)], Detected.none())) == 1


def test_regions_of_a_proposer_have_no_class_of_their_own(tmp_path: Path, graphs: Any) -> None:
    path = proposer(tmp_path / "p.onnx", graphs, [0.3, 0.1, 0.2, 0.05])
    regions = RegionExtractor(RegionSettings(proposer=path))(Image.new("RGB", (64, 64)))
    assert regions.sources == ("image", "proposal", "proposal", "proposal") and regions.class_names == ()


@pytest.mark.parametrize("score", [1.5, -0.2, float("nan")])
def test_scores_outside_0_to_1_are_refused(tmp_path: Path, graphs: Any, score: float) -> None:
    path = proposer(tmp_path / "p.onnx", graphs, [0.3, score, 0.2, 0.1])
    with pytest.raises(RegionsError, match=r"p.onnx has scores from .*; export it with a sigmoid"):
        RegionExtractor(RegionSettings(proposer=path))(Image.new("RGB", (64, 64)))


def test_a_detector_of_classes_is_no_proposer(tmp_path: Path, graphs: Any) -> None:
    outputs = {"boxes": np.array([BOXES], np.float32), "scores": np.zeros((1, 4, 2), np.float32)}
    path = graphs.constant(tmp_path / "d.onnx", outputs, metadata={"classes": "cat,dog"})
    with pytest.raises(RegionsError, match="has 2 classes, and a proposer has one; name it as a detector"):
        Proposer(RegionSettings(proposer=path))
