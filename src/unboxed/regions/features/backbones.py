"""Features from neural networks: feature maps pooled over each box, and embeddings of crops.

A backbone is an ONNX file with outputs [n, V, h, w], its feature maps, and optionally an output `embedding` [n, V] for
crops; or a vision model of transformers. The input of an ONNX backbone is RGB, (x - 127.5) / 127.5 unless its metadata
give `mean` and `std`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from PIL import Image

from unboxed.errors import RegionsError
from unboxed.regions.base import BACKBONE, FeatureBlock, FeatureMap, RegionFeature
from unboxed.regions.image_batches import ImageBatches
from unboxed.regions.image_view import SizedImage, View
from unboxed.regions.networks import Network, load_transformers
from unboxed.regions.pooling import pool
from unboxed.regions.settings import RegionSettings
from unboxed.types import Array

__all__ = ["NetworkFeatures", "OnnxBackbone", "TransformersBackbone"]

_CROP = 224
_CROP_BATCH = 16


class NetworkFeatures(RegionFeature):
    """The mean over each box of every feature map of the backbones and the detectors, and the embedding of its crop."""

    settings = ("backbone", "backbone_hf", "detector_features", "crops")
    describes = "the mean over the box of every feature map; with `crops` also the backbone's embedding of the crop"

    def __init__(self, settings: RegionSettings) -> None:
        super().__init__(settings)
        size = settings.backbone_size
        self._onnx = OnnxBackbone(settings.backbone, size, settings.feature_maps) if settings.backbone else None
        self._backbones: list[OnnxBackbone | TransformersBackbone] = [self._onnx] if self._onnx else []
        if settings.backbone_hf:
            self._backbones.append(TransformersBackbone(settings.backbone_hf, size))

    @classmethod
    def open(cls, settings: RegionSettings) -> Self:
        """Always on: without a backbone, feature maps of the detectors may still be pooled."""
        return cls(settings)

    def networks(self) -> Sequence[Callable[[View], tuple[FeatureMap, ...]]]:
        """The backbones."""
        return [backbone.maps for backbone in self._backbones]

    def blocks(
        self, view: View, outputs: Sequence[Sequence[FeatureMap]], maps: Sequence[FeatureMap], boxes: Array
    ) -> Sequence[FeatureBlock]:
        """A block for each map of the backbones, then of the detectors, then `crop`."""
        pooled = [plane for found in (*outputs, maps) for plane in found]
        blocks = [FeatureBlock(plane.name, pool(plane, boxes)) for plane in pooled]
        if self.options.crops and self._onnx and not self.options.labeler:
            blocks.append(FeatureBlock("crop", self._onnx.crops(view, boxes)))
        return blocks


class OnnxBackbone:
    """A backbone read from an ONNX file.

    Args:
        path: the file.
        longest: pixels of the longest side of the input, where the graph does not fix it.
        names: the feature maps to pool from; empty: all of them.

    Raises:
        RegionsError: an unreadable file, no feature map, or none of that name.
    """

    def __init__(self, path: Path, longest: int, names: tuple[str, ...] = ()) -> None:
        self._network = network = Network(path)
        maps = tuple(name for name, shape in network.outputs if len(shape) == 4)
        unknown = [name for name in names if name not in maps]
        if unknown or not maps:
            wanted = f"no feature map {unknown[0]!r}" if unknown else "no feature map"
            raise RegionsError(
                f"{path} has {wanted}; its outputs are {network.describe_outputs()}, and a feature map is [n, V, h, w]."
            )
        self._names, self._longest = names or maps, longest

    def maps(self, view: View) -> tuple[FeatureMap, ...]:
        """The feature maps of one image."""
        sized = view.sized(self._network.input_size, self._longest)
        outputs = self._network.run_normalized(sized.pixels, list(self._names))
        return tuple(
            FeatureMap(f"{BACKBONE}{name}", values[0], sized.window)
            for name, values in zip(self._names, outputs, strict=True)
        )

    def crops(self, view: View, boxes: Array) -> Array:
        """The embedding of the crop of each box, `[R, V]`.

        Crops describe small things better than pooling, because they fill the input. They take about 10 ms a box.

        Raises:
            RegionsError: the graph has no output `embedding` [n, V].
        """
        if "embedding" not in (name for name, _ in self._network.outputs):
            raise RegionsError(
                f"{self._network.path} has no output `embedding` [n, V] for crops (it has "
                f"{self._network.describe_outputs()}); turn `crops` off."
            )
        width, height = self._network.input_size or (_CROP, _CROP)
        pixels = np.stack([view.crop(box, width, height) for box in boxes])
        return self._network.run_normalized(pixels, ["embedding"], _CROP_BATCH)[0]


class TransformersBackbone:
    """A vision model whose last hidden state is a feature map [1, V, h, w], or tokens [1, prefix + h * w, V].

    Args:
        name: hub name or local folder; of a model of images and text, the image encoder is used.
        longest: pixels of the longest side of the input, where the model does not fix it.

    Raises:
        RegionsError: transformers is not installed, or there is no such model.
    """

    def __init__(self, name: str, longest: int) -> None:
        model, self._processor = load_transformers("AutoModel", name)
        self._model, self._longest = getattr(model, "vision_model", model), longest
        self._hidden = ImageBatches(self._run, self._model.device)

    def maps(self, view: View) -> tuple[FeatureMap, ...]:
        """The last hidden state over the whole image.

        Raises:
            RegionsError: the model has no such hidden state.
        """
        sized = self._sized(view)
        # The image has its final size already, and a centre crop would lose its borders.
        whole = {"do_center_crop": False} if hasattr(self._processor, "do_center_crop") else {}
        inputs = self._processor(images=Image.fromarray(sized.pixels), do_resize=False, return_tensors="pt", **whole)
        (hidden,) = self._hidden({"pixel_values": inputs["pixel_values"]})
        if hidden.ndim == 2:
            rows, columns = self._patches(sized, len(hidden))
            hidden = hidden[len(hidden) - rows * columns :].T.reshape(-1, rows, columns)
        if hidden.ndim != 3:
            raise RegionsError(
                f"The model's last hidden state has shape {list(hidden.shape)}; expected a feature map [V, h, w] or "
                "tokens [n, V]. Choose a vision backbone."
            )
        return (FeatureMap(f"{BACKBONE}hidden", np.ascontiguousarray(hidden), sized.window),)

    def _run(self, inputs: dict[str, Any], asked: Any) -> tuple[Any]:
        return (self._model(**inputs).last_hidden_state,)

    def _sized(self, view: View) -> SizedImage:
        fixed = getattr(self._model.config, "image_size", None)
        if getattr(self._model.config, "patch_size", None) and fixed:  # positions are learned for this size alone
            height, width = (fixed, fixed) if isinstance(fixed, int) else fixed
            return view.resized(width, height)
        return view.fitted(self._longest, 32)

    def _patches(self, sized: SizedImage, tokens: int) -> tuple[int, int]:
        """(rows, columns) of the patches; tokens that are not patches, such as the class token, come before them."""
        patch = getattr(self._model.config, "patch_size", None)
        height, width = sized.pixels.shape[:2]
        if isinstance(patch, int):
            return height // patch, width // patch
        side = math.isqrt(tokens)
        return side, side
