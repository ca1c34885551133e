"""A convolutional network as an ONNX file, for its feature maps, or for an embedding of each crop.

Outputs [n, V, h, w] are feature maps; an output `embedding` [n, V] describes a crop. Input RGB, (x - 127.5) / 127.5
unless the metadata give `mean` and `std`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image

from unboxed.errors import RegionsError
from unboxed.regions.image_view import View
from unboxed.regions.onnx_network import Network
from unboxed.regions.proposals import FeatureMap
from unboxed.types import Array

__all__ = ["Backbone", "OnnxBackbone"]

_CROP = 224
_CROP_BATCH = 16


class Backbone(Protocol):
    """What region features are pooled from: an ONNX file, or a model of transformers."""

    def maps(self, view: View) -> tuple[FeatureMap, ...]:
        """The feature maps of one image."""
        ...


@dataclass(frozen=True, eq=False)
class OnnxBackbone:
    """A backbone read from an ONNX file.

    Attributes:
        network: the opened graph.
        names: the feature maps to pool from.
        longest: pixels of the longest side of the input, where the graph does not fix it.
    """

    network: Network
    names: tuple[str, ...]
    longest: int

    @staticmethod
    def open(path: Path, longest: int, names: tuple[str, ...] = ()) -> OnnxBackbone:
        """Opens a backbone.

        Args:
            path: the ONNX file.
            longest: pixels of the longest side of its input.
            names: the feature maps to pool from; empty: all it has.

        Raises:
            RegionsError: an unreadable file, no feature map, or none of that name.
        """
        network = Network.open(path)
        maps = tuple(name for name, shape in network.outputs if len(shape) == 4)
        unknown = [name for name in names if name not in maps]
        if unknown or not maps:
            wanted = f"no feature map {unknown[0]!r}" if unknown else "no feature map"
            raise RegionsError(
                f"{path} has {wanted}; its outputs are {network.describe_outputs()}, and a feature map is [n, V, h, w]."
            )
        return OnnxBackbone(network, names or maps, longest)

    def maps(self, view: View) -> tuple[FeatureMap, ...]:
        """The feature maps of one image."""
        fit = view.resized(*self.network.input_size) if self.network.input_size else view.fitted(self.longest, 32)
        mean, scale = self.network.normalisation()
        outputs = self.network.run(fit.pixels, mean, scale, list(self.names))
        return tuple(
            FeatureMap(f"backbone/{name}", values[0], fit.window)
            for name, values in zip(self.names, outputs, strict=True)
        )

    def crops(self, view: View, boxes: Array) -> Array:
        """The embedding of each box as a picture of its own, `[R, V]`.

        Sharper than pooling, since small things fill the input, and about 10 ms a box.

        Raises:
            RegionsError: the graph has no output `embedding` [n, V].
        """
        if "embedding" not in (name for name, _ in self.network.outputs):
            raise RegionsError(
                f"{self.network.path} has no output `embedding` [n, V] for crops (it has "
                f"{self.network.describe_outputs()}); turn `crops` off."
            )
        width, height = self.network.input_size or (_CROP, _CROP)
        mean, scale = self.network.normalisation()
        pixels = np.stack([_crop(view, box, width, height) for box in boxes])
        embeddings = [
            self.network.run(pixels[i : i + _CROP_BATCH], mean, scale, ["embedding"])[0]
            for i in range(0, len(pixels), _CROP_BATCH)
        ]
        return np.concatenate(embeddings)


def _crop(view: View, box: Array, width: int, height: int) -> npt.NDArray[np.uint8]:
    x1, y1, x2, y2 = (float(v) for v in box)
    limits = (x1, y1, max(x2, x1 + 1e-2), max(y2, y1 + 1e-2))
    return np.asarray(view.image.resize((width, height), Image.Resampling.BILINEAR, box=limits))
