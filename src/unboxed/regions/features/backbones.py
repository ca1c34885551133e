"""Features from neural networks: feature maps pooled over each box, and embeddings of crops.

A backbone is an ONNX file with outputs [n, V, h, w], its feature maps, and optionally an output `embedding` [n, V] for
crops; or a vision model of transformers. The input of an ONNX backbone is RGB, (x - 127.5) / 127.5 unless its metadata
give `mean` and `std`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

import numpy as np
import numpy.typing as npt
from PIL import Image

from unboxed.errors import RegionsError
from unboxed.regions.features.base import FeatureBlock, RegionFeature
from unboxed.regions.image_view import SizedImage, View
from unboxed.regions.networks import Network, load_transformers
from unboxed.regions.pooling import pool
from unboxed.regions.proposals import FeatureMap
from unboxed.types import Array

if TYPE_CHECKING:
    from unboxed.regions.settings import RegionSettings

__all__ = ["Backbone", "NetworkFeatures", "OnnxBackbone", "TransformersBackbone"]

_CROP = 224
_CROP_BATCH = 16


class NetworkFeatures(RegionFeature):
    """The mean over each box of every feature map of the backbones and the detectors, and the embedding of its crop."""

    settings = ("backbone", "backbone_hf", "detector_features", "crops")
    describes = "the mean over the box of every feature map; with `crops` also an embedding of the crop"

    def __init__(self, backbones: Sequence[Backbone], crops_by: OnnxBackbone | None) -> None:
        self._backbones, self._crops_by = backbones, crops_by

    @classmethod
    def open(cls, settings: RegionSettings) -> Self | None:
        """Opens the backbones; without any, feature maps of the detectors may still be pooled."""
        backbones: list[Backbone] = []
        crops_by = None
        if settings.backbone:
            opened = OnnxBackbone.open(settings.backbone, settings.backbone_size, settings.feature_maps)
            backbones.append(opened)
            crops_by = opened if settings.crops else None
        if settings.backbone_hf:
            backbones.append(TransformersBackbone.open(settings.backbone_hf, settings.backbone_size))
        return cls(backbones, crops_by)

    def networks(self) -> Sequence[Callable[[View], tuple[FeatureMap, ...]]]:
        """The backbones."""
        return [backbone.maps for backbone in self._backbones]

    def blocks(
        self, view: View, outputs: Sequence[Sequence[FeatureMap]], maps: Sequence[FeatureMap], boxes: Array
    ) -> Sequence[FeatureBlock]:
        """A block for each map of the backbones, then of the detectors, then `crop`."""
        pooled = [plane for found in (*outputs, maps) for plane in found]
        blocks = [FeatureBlock(plane.name, pool(plane, boxes)) for plane in pooled]
        if self._crops_by:
            blocks.append(FeatureBlock("crop", self._crops_by.crops(view, boxes)))
        return blocks


class Backbone(Protocol):
    """Computes feature maps to pool from: `OnnxBackbone` or `TransformersBackbone`."""

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
            names: the feature maps to pool from; empty: all of them.

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
        sized = view.sized(self.network.input_size, self.longest)
        mean, scale = self.network.normalization()
        outputs = self.network.run(sized.pixels, mean, scale, list(self.names))
        return tuple(
            FeatureMap(f"backbone/{name}", values[0], sized.window)
            for name, values in zip(self.names, outputs, strict=True)
        )

    def crops(self, view: View, boxes: Array) -> Array:
        """The embedding of the crop of each box, `[R, V]`.

        Crops describe small things better than pooling, because they fill the input. They take about 10 ms a box.

        Raises:
            RegionsError: the graph has no output `embedding` [n, V].
        """
        if "embedding" not in (name for name, _ in self.network.outputs):
            raise RegionsError(
                f"{self.network.path} has no output `embedding` [n, V] for crops (it has "
                f"{self.network.describe_outputs()}); turn `crops` off."
            )
        width, height = self.network.input_size or (_CROP, _CROP)
        mean, scale = self.network.normalization()
        pixels = np.stack([_crop(view, box, width, height) for box in boxes])
        embeddings = [
            self.network.run(pixels[i : i + _CROP_BATCH], mean, scale, ["embedding"])[0]
            for i in range(0, len(pixels), _CROP_BATCH)
        ]
        return np.concatenate(embeddings)


@dataclass(frozen=True, eq=False)
class TransformersBackbone:
    """A vision model whose last hidden state is a feature map [1, V, h, w], or tokens [1, prefix + h * w, V].

    Attributes:
        model, processor: as transformers loads them.
        longest: pixels of the longest side of the input, where the model does not fix it.
    """

    model: Any
    processor: Any
    longest: int

    @staticmethod
    def open(name: str, longest: int) -> TransformersBackbone:
        """Loads a model by hub name or local folder; of a model of images and text, the image encoder.

        Raises:
            RegionsError: transformers is not installed, or there is no such model.
        """
        model, processor = load_transformers("AutoModel", name)
        return TransformersBackbone(getattr(model, "vision_model", model), processor, longest)

    def maps(self, view: View) -> tuple[FeatureMap, ...]:
        """The last hidden state over the whole image.

        Raises:
            RegionsError: the model has no such hidden state.
        """
        import torch

        sized = self._sized(view)
        # The image has its final size already, and a centre crop would lose its borders.
        inputs = self.processor(
            images=Image.fromarray(sized.pixels), do_resize=False, do_center_crop=False, return_tensors="pt"
        )
        with torch.inference_mode():
            hidden = self.model(pixel_values=inputs["pixel_values"]).last_hidden_state[0].float().numpy()
        if hidden.ndim == 2:
            rows, columns = self._patches(sized, len(hidden))
            hidden = hidden[len(hidden) - rows * columns :].T.reshape(-1, rows, columns)
        if hidden.ndim != 3:
            raise RegionsError(
                f"The model's last hidden state has shape {list(hidden.shape)}; expected a feature map [V, h, w] or "
                "tokens [n, V]. Choose a vision backbone."
            )
        return (FeatureMap("backbone/hidden", np.ascontiguousarray(hidden), sized.window),)

    def _sized(self, view: View) -> SizedImage:
        fixed = getattr(self.model.config, "image_size", None)
        if getattr(self.model.config, "patch_size", None) and fixed:  # positions are learned for this size alone
            height, width = (fixed, fixed) if isinstance(fixed, int) else fixed
            return view.resized(width, height)
        return view.fitted(self.longest, 32)

    def _patches(self, sized: SizedImage, tokens: int) -> tuple[int, int]:
        """(rows, columns) of the patches; tokens that are not patches, such as the class token, come before them."""
        patch = getattr(self.model.config, "patch_size", None)
        height, width = sized.pixels.shape[:2]
        if isinstance(patch, int):
            return height // patch, width // patch
        side = math.isqrt(tokens)
        return side, side


def _crop(view: View, box: Array, width: int, height: int) -> npt.NDArray[np.uint8]:
    x1, y1, x2, y2 = (float(v) for v in box)
    limits = (x1, y1, max(x2, x1 + 1e-2), max(y2, y1 + 1e-2))
    return np.asarray(view.image.resize((width, height), Image.Resampling.BILINEAR, box=limits))
