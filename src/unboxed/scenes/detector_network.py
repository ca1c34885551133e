"""The network of the drawn world's detector, and its ONNX file.

A small anchor-free detector: a residual trunk, a feature pyramid of strides 4, 8, 16 and 32, and on each level one
class and one box prediction per grid cell (Tian et al., FCOS; class scores learn the IoU of their box as in Li et al.,
Generalized Focal Loss). As in detectors trained on Visual Genome, a linear head predicts kinds and attributes from the
mean of the finest features over a box, so that pooled features describe objects. The head is used in training only.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from unboxed.runtime.atomic import atomic_path
from unboxed.scenes.kinds import class_names

__all__ = ["INPUT", "STRIDES", "SceneDetector", "cell_centres", "save_onnx"]

INPUT = 256
"""Pixels of both sides of the input; smaller pictures are padded at the right and the bottom with grey 114/255."""
STRIDES = (4, 8, 16, 32)
_WIDTHS = (32, 72, 96, 96)
_PYRAMID = 64
# The number of boxes that the ONNX file outputs, best first, of 5,440 grid cells.
_KEPT = 400


def cell_centres() -> tuple[Tensor, Tensor]:
    """Centres `[N, 2]` of all cells in pixels and their strides `[N]`, level by level, row by row."""
    centres, strides = [], []
    for stride in STRIDES:
        steps = (torch.arange(INPUT // stride) + 0.5) * stride
        y, x = torch.meshgrid(steps, steps, indexing="ij")
        centres.append(torch.stack([x.reshape(-1), y.reshape(-1)], dim=1))
        strides.append(torch.full((x.numel(),), float(stride)))
    return torch.cat(centres), torch.cat(strides)


class _Conv(nn.Module):
    """Convolution and batch normalization, folded into one convolution in the ONNX file."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.norm(self.conv(x))
        return y

    def folded(self) -> tuple[Tensor, Tensor]:
        """Weight and bias of the convolution that is equivalent in evaluation mode."""
        mean, variance = self.norm.running_mean, self.norm.running_var
        assert mean is not None and variance is not None
        factor = self.norm.weight / torch.sqrt(variance + self.norm.eps)
        return self.conv.weight * factor[:, None, None, None], self.norm.bias - mean * factor


class SceneDetector(nn.Module):
    """Pictures `[B, 3, 256, 256]` in 0..1 -> class logits `[B, N, K]`, boxes `[B, N, 4]`, features `[B, 64, 64, 64]`.

    Args:
        kinds, attributes: sizes of the two outputs of the training head.
    """

    def __init__(self, kinds: int, attributes: int) -> None:
        super().__init__()
        self.stem = _Conv(3, 16, 3, 2)
        before = (16, *_WIDTHS[:-1])
        self.down = nn.ModuleList(_Conv(a, b, 3, 2) for a, b in zip(before, _WIDTHS, strict=True))
        self.first = nn.ModuleList(_Conv(width, width) for width in _WIDTHS)
        self.second = nn.ModuleList(_Conv(width, width) for width in _WIDTHS[:3])
        self.lateral = nn.ModuleList(_Conv(width, _PYRAMID, 1) for width in _WIDTHS)
        self.smooth = nn.ModuleList(_Conv(_PYRAMID, _PYRAMID) for _ in STRIDES)
        # One for each level, because the statistics of batch normalization differ between levels.
        self.tower = nn.ModuleList(_Conv(_PYRAMID, _PYRAMID, 1) for _ in STRIDES)
        self.classes = nn.Conv2d(_PYRAMID, len(class_names()), 1)
        self.sides = nn.Conv2d(_PYRAMID, 4, 1)
        self.head = nn.Linear(_PYRAMID, kinds + attributes)
        nn.init.constant_(self.classes.bias, -4.6)  # type: ignore[arg-type]
        nn.init.constant_(self.sides.bias, 0.7)  # type: ignore[arg-type]

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Class logits `[B, N, K]`, boxes `[B, N, 4]` in pixels, and features of the finest level, for N grid cells."""
        x = functional.relu(self.stem((pictures - 0.5) * 4))
        levels = []
        for level, down in enumerate(self.down):
            x = functional.relu(down(x))
            y = functional.relu(self.first[level](x))
            x = functional.relu(x + self.second[level](y)) if level < 3 else y
            levels.append(self.lateral[level](x))
        for level in (2, 1, 0):
            levels[level] = levels[level] + functional.interpolate(levels[level + 1], scale_factor=2.0)
        maps = [functional.relu(smooth(x)) for smooth, x in zip(self.smooth, levels, strict=True)]
        logits, boxes = [], []
        for tower, x in zip(self.tower, maps, strict=True):
            y = functional.relu(tower(x))
            logits.append(self.classes(y).flatten(2).transpose(1, 2))
            boxes.append(self.sides(y).flatten(2).transpose(1, 2))
        centre_N2, stride_N = cell_centres()
        sides_BN4 = torch.exp(torch.cat(boxes, 1).float().clamp(max=5)) * stride_N[:, None]
        boxes_BN4 = torch.cat([centre_N2 - sides_BN4[..., :2], centre_N2 + sides_BN4[..., 2:]], dim=2)
        return torch.cat(logits, 1), boxes_BN4, maps[0]

    def describe(self, features: Tensor, boxes: Tensor) -> Tensor:
        """Kind and attribute logits `[B, M, kinds + attributes]` of boxes `[B, M, 4]` from their mean features."""
        steps = (torch.arange(7) + 0.5) / 7
        x = boxes[..., 0:1] + (boxes[..., 2:3] - boxes[..., 0:1]) * steps
        y = boxes[..., 1:2] + (boxes[..., 3:4] - boxes[..., 1:2]) * steps
        grid = torch.stack([x[:, :, None, :].expand(-1, -1, 7, 7), y[:, :, :, None].expand(-1, -1, 7, 7)], dim=-1)
        grid = (grid / INPUT * 2 - 1).flatten(2, 3)
        pooled = functional.grid_sample(features.float(), grid, align_corners=False).mean(3)
        described: Tensor = self.head(pooled.transpose(1, 2))
        return described


class _Graph:
    """Collects the nodes and the weights of an ONNX graph."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.weights: list[Any] = []
        self.count = 0

    def constant(self, values: Tensor | np.ndarray[tuple[int, ...], np.dtype[np.generic]], half: bool = False) -> str:
        """A weight; `half` stores it in 16 bits and casts it to 32 when the file is loaded."""
        from onnx import TensorProto, numpy_helper

        array = values.detach().numpy() if isinstance(values, Tensor) else values
        self.count += 1
        name = f"w{self.count}"
        self.weights.append(numpy_helper.from_array(array.astype(np.float16) if half else array, name))
        return self.node("Cast", name, to=TensorProto.FLOAT) if half else name

    def node(self, kind: str, *inputs: str, name: str | None = None, **attributes: Any) -> str:
        from onnx import helper

        self.count += 1
        output = name or f"t{self.count}"
        self.nodes.append(helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def best(self, scores: str, count: int) -> str:
        """Indices `[count]` of the highest of `scores` `[1, N]`."""
        from onnx import helper

        values = [scores, self.constant(np.array([count]))]
        self.nodes.append(helper.make_node("TopK", values, ["best_scores", "best"], axis=1))
        return self.node("Reshape", "best", self.constant(np.array([-1])))

    def conv(self, x: str, weight: Tensor, bias: Tensor, stride: int = 1) -> str:
        kernel = weight.shape[2]
        return self.node(
            "Conv", x, self.constant(weight, half=True), self.constant(bias),
            kernel_shape=[kernel, kernel], strides=[stride, stride], pads=[kernel // 2] * 4,
        )  # fmt: skip

    def block(self, x: str, block: nn.Module, relu: bool = True) -> str:
        assert isinstance(block, _Conv)
        y = self.conv(x, *block.folded(), stride=block.conv.stride[0])
        return self.node("Relu", y) if relu else y


def save_onnx(network: SceneDetector, path: Path, metadata: dict[str, str]) -> None:
    """Write the detector in the layout “boxes + scores” of `regions.sources.detectors`, with `features` to pool from.

    Needs the `onnx` package (the extra `scenes`); reading the file needs onnxruntime only.
    """
    import onnx
    from onnx import TensorProto, helper

    g, f32 = _Graph(), np.float32
    x = g.node("Mul", g.node("Sub", "images", g.constant(np.array(0.5, f32))), g.constant(np.array(4, f32)))
    x = g.block(x, network.stem)
    levels = []
    for level, down in enumerate(network.down):
        x = g.block(x, down)
        y = g.block(x, network.first[level])
        if level < 3:
            y = g.node("Relu", g.node("Add", x, g.block(y, network.second[level], relu=False)))
        x = y
        levels.append(g.block(x, network.lateral[level], relu=False))
    twice = g.constant(np.array([1, 1, 2, 2], f32))
    for level in (2, 1, 0):
        up = g.node("Resize", levels[level + 1], "", twice, mode="nearest", coordinate_transformation_mode="asymmetric")
        levels[level] = g.node("Add", levels[level], up)
    logits: list[str] = []
    sides: list[str] = []
    for level, x in enumerate(levels):
        x = g.block(x, network.smooth[level])
        if level == 0:
            g.node("Identity", x, name="features")
        tower = g.block(x, network.tower[level])
        cells = (INPUT // STRIDES[level]) ** 2
        for head, found in ((network.classes, logits), (network.sides, sides)):
            assert head.bias is not None
            flat = g.constant(np.array([1, head.out_channels, cells], np.int64))
            y = g.node("Reshape", g.conv(tower, head.weight, head.bias), flat)
            found.append(g.node("Transpose", y, perm=[0, 2, 1]))
    every_score = g.node("Sigmoid", g.node("Concat", *logits, axis=1))
    centre_N2, stride_N = cell_centres()
    capped = g.node("Min", g.node("Concat", *sides, axis=1), g.constant(np.array(5, f32)))
    reach = g.node("Mul", g.node("Exp", capped), g.constant(stride_N[:, None].clone()))
    signed = g.node("Mul", reach, g.constant(np.array([-1, -1, 1, 1], f32)))
    every_box = g.node("Add", signed, g.constant(torch.cat([centre_N2, centre_N2], dim=1)))
    best = g.best(g.node("ReduceMax", every_score, axes=[2], keepdims=0), _KEPT)
    g.node("Gather", every_box, best, name="boxes", axis=1)
    g.node("Gather", every_score, best, name="scores", axis=1)
    shapes = {
        "boxes": [1, _KEPT, 4], "scores": [1, _KEPT, len(class_names())],
        "features": [1, _PYRAMID, INPUT // STRIDES[0], INPUT // STRIDES[0]],
    }  # fmt: skip
    graph = helper.make_graph(
        g.nodes, "scene detector", [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, INPUT, INPUT])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()], g.weights,
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    helper.set_model_props(model, metadata)
    onnx.checker.check_model(model)
    with atomic_path(path) as partial:
        partial.write_bytes(model.SerializeToString(deterministic=True))
