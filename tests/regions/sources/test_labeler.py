"""The labeler scores and embeds the crop of every region, once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from unboxed.errors import RegionsError
from unboxed.regions.extraction import RegionExtractor
from unboxed.regions.networks import Network
from unboxed.regions.settings import RegionSettings
from unboxed.regions.sources import Labeler


@pytest.fixture
def labeler(tmp_path: Path) -> Path:
    """Scores of `red` and `green`: the mean of these channels of the crop in 0..1; the embedding is their logits."""
    image = helper.make_tensor_value_info("images", TensorProto.FLOAT, ["n", 3, "h", "w"])
    nodes = [
        helper.make_node("ReduceMean", ["images"], ["means"], axes=[2, 3], keepdims=0),
        helper.make_node("Gather", ["means", "columns"], ["embedding"], axis=1),
        helper.make_node("Mul", ["embedding", "half"], ["halved"]),
        helper.make_node("Add", ["halved", "half"], ["scores"]),
    ]
    weights = [
        numpy_helper.from_array(np.array([0, 1], np.int64), "columns"),
        numpy_helper.from_array(np.array(0.5, np.float32), "half"),
    ]
    results = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 2]) for name in ("scores", "embedding")]
    graph = helper.make_graph(nodes, "labeler", [image], results, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    helper.set_model_props(model, {"classes": "red,green"})
    onnx.save(model, str(tmp_path / "labeler.onnx"))
    return tmp_path / "labeler.onnx"


@pytest.fixture
def image() -> Image.Image:
    """Red on the left, green on the right."""
    pixels = np.zeros((20, 40, 3), np.uint8)
    pixels[:, :20, 0] = pixels[:, 20:, 1] = 255
    return Image.fromarray(pixels)


def test_every_region_is_scored_and_embedded(labeler: Path, image: Image.Image) -> None:
    extractor = RegionExtractor(RegionSettings(labeler=labeler, grid=2, crops=True, colour=False, texture=False))
    regions = extractor(image)
    assert regions.class_names == ("labeler:red", "labeler:green")
    assert extractor.feature_blocks == (("labeler", 2),)
    np.testing.assert_allclose(regions.class_probs, [[0.5, 0.5], [1, 0], [0, 1], [1, 0], [0, 1]], atol=0.02)
    np.testing.assert_allclose(regions.features, 2 * regions.class_probs - 1, atol=0.01)


def test_crops_are_looked_at_once(labeler: Path, image: Image.Image, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    run = Network.run
    monkeypatch.setattr(
        Network, "run", lambda self, pixels, *rest: sizes.append(len(pixels)) or run(self, pixels, *rest)
    )
    RegionExtractor(RegionSettings(labeler=labeler, grid=2, crops=True, colour=False, texture=False))(image)
    assert sizes == [5]


def test_the_file_is_opened_once(labeler: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Path] = []
    start = Network.__init__
    monkeypatch.setattr(Network, "__init__", lambda self, path: opened.append(path) or start(self, path))
    RegionExtractor(RegionSettings(labeler=labeler, crops=True))
    assert opened == [labeler]


def test_without_crops_there_are_scores_alone(labeler: Path, image: Image.Image) -> None:
    regions = RegionExtractor(RegionSettings(labeler=labeler, colour=False, texture=False))(image)
    assert regions.features.shape == (1, 0) and regions.class_probs.shape == (1, 2)


def test_labelers_that_cannot_be_used(tmp_path: Path, graphs: Any, image: Image.Image) -> None:
    embedding = np.zeros((1, 4), np.float32)
    unnamed = graphs.constant(tmp_path / "unnamed.onnx", {"scores": np.zeros((1, 2)), "embedding": embedding})
    with pytest.raises(RegionsError, match=r"unnamed.onnx carries no class names; give them with"):
        Labeler(RegionSettings(labeler=unnamed))
    other = graphs.constant(tmp_path / "other.onnx", {"logits": np.zeros((1, 2))})
    with pytest.raises(RegionsError, match=r"other.onnx has the outputs logits \[1, 2\]; a labeler needs `scores`"):
        Labeler(RegionSettings(labeler=other))
    scores = {"scores": np.full((1, 2), 3.0), "embedding": embedding}
    logits = graphs.constant(tmp_path / "logits.onnx", scores, metadata={"classes": "a,b"})
    with pytest.raises(RegionsError, match="has scores from 3 to 3; export it with a sigmoid"):
        RegionExtractor(RegionSettings(labeler=logits))(image)
