"""Small ONNX graphs with known answers, made where a test needs them, and images to run them on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from unboxed.regions import store
from unboxed.regions.extraction import extract
from unboxed.regions.settings import RegionSettings
from unboxed.scenes.writing import DETECTOR
from unboxed.types import Caption, Example

SETTINGS = RegionSettings(detectors=(DETECTOR,), grid=2)
"""The detector of drawn images, and a grid; `whole` is made with them."""


class Graphs:
    """Makes the graphs; `cells` is how many YOLOX has of strides 8, 16 and 32 on 64 x 64 pixels."""

    cells = 8 * 8 + 4 * 4 + 2 * 2

    def constant(
        self,
        path: Path,
        outputs: dict[str, np.ndarray],
        *,
        size: tuple[int, int] | None = None,
        metadata: dict[str, str] | None = None,
        declared: dict[str, list[int | str]] | None = None,
    ) -> Path:
        """A graph with constant `outputs`; `size` (height, width) fixes its input."""
        height, width = size or ("h", "w")
        image = helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, height, width])
        nodes = [
            # Adding nothing times the image makes the output depend on the input, as a graph's must.
            helper.make_node("ReduceSum", ["images"], ["sum"], keepdims=0),
            helper.make_node("Mul", ["sum", "zero"], ["nothing"]),
        ]
        weights = [numpy_helper.from_array(np.zeros((), np.float32), "zero")]
        results = []
        for name, values in outputs.items():
            weights.append(numpy_helper.from_array(values.astype(np.float32), f"{name}_values"))
            nodes.append(helper.make_node("Add", [f"{name}_values", "nothing"], [name]))
            shape = (declared or {}).get(name, list(values.shape))
            results.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
        return _save(path, nodes, [image], results, weights, metadata)

    def averaging(
        self, path: Path, *, stride: int = 8, name: str = "map", metadata: dict[str, str] | None = None
    ) -> Path:
        """A backbone whose feature map [n, 3, H / stride, W / stride] is the mean of its input over each cell."""
        image = helper.make_tensor_value_info("images", TensorProto.FLOAT, ["n", 3, "h", "w"])
        nodes = [helper.make_node("AveragePool", ["images"], [name], kernel_shape=[stride] * 2, strides=[stride] * 2)]
        nodes.append(helper.make_node("GlobalAveragePool", ["images"], ["pooled"]))
        nodes.append(helper.make_node("Flatten", ["pooled"], ["embedding"]))
        results = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 3, "h8", "w8"]),
            helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["n", 3]),
        ]
        return _save(path, nodes, [image], results, [], metadata)

    def undecoded_yolox(
        self, centre: tuple[float, float], size: tuple[float, float], scores: list[float]
    ) -> np.ndarray:
        """YOLOX rows [1, 84, 5 + K] for 64 x 64 pixels with one box, written into the stride-8 cell it falls in."""
        rows = np.zeros((1, self.cells, 5 + len(scores)), np.float32)
        column, row = int(centre[0] // 8), int(centre[1] // 8)
        cell = rows[0, row * 8 + column]
        cell[:2] = centre[0] / 8 - column, centre[1] / 8 - row
        cell[2:4] = np.log(size[0] / 8), np.log(size[1] / 8)
        cell[4] = 1
        cell[5:] = scores
        return rows

    def segmenter(self, path: Path, classes: str = "background\nred stuff\ngreen stuff\nblue stuff") -> Path:
        """A segmenter [n, 4, H / 4, W / 4] that sees where red, green and blue are strong."""
        image = helper.make_tensor_value_info("images", TensorProto.FLOAT, ["n", 3, "h", "w"])
        kernel = np.zeros((4, 3, 1, 1), np.float32)
        for channel in range(3):
            kernel[channel + 1, channel] = 10
        nodes = [
            helper.make_node("AveragePool", ["images"], ["small"], kernel_shape=[4, 4], strides=[4, 4]),
            helper.make_node("Conv", ["small", "kernel"], ["logits"]),
        ]
        result = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 4, "h4", "w4"])
        return _save(path, nodes, [image], [result], [numpy_helper.from_array(kernel, "kernel")], {"classes": classes})


@pytest.fixture
def examples(tmp_path: Path) -> list[Example]:
    """Nine small images of noise."""
    rng = np.random.default_rng(0)
    made = []
    for i in range(9):
        path = tmp_path / "images" / f"{i}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (20, 30 + i, 3), dtype=np.uint8)).save(path)
        made.append(Example(f"image{i}", path, (Caption("noise"),), 30 + i, 20))
    return made


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stores write a shard after every second image."""
    monkeypatch.setattr(store, "_IMAGES_PER_SHARD", 2)


@pytest.fixture(scope="session")
def library() -> Any:
    """The package transformers; the test skips without it."""
    pytest.importorskip("torch")
    return pytest.importorskip("transformers", reason="the hf extra is not installed")


@pytest.fixture(scope="module")
def whole(examples: list[Example], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store that one process writes of the `examples` of a module."""
    out = tmp_path_factory.mktemp("whole") / "store"
    extract(examples, SETTINGS, out, workers=1, progress=False)
    return out


@pytest.fixture(scope="session")
def graphs() -> Graphs:
    """Makes small ONNX graphs."""
    return Graphs()


def _save(path, nodes, inputs, outputs, weights, metadata) -> Path:
    graph = helper.make_graph(nodes, "test", inputs, outputs, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    helper.set_model_props(model, metadata or {})
    onnx.save(model, str(path))
    return path
