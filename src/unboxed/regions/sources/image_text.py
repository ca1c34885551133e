"""Image-text encoders of transformers (CLIP, SigLIP) that compare crops of regions with queries."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar
from weakref import WeakValueDictionary

import numpy as np
from PIL import Image

from unboxed.errors import RegionsError
from unboxed.regions.image_view import View
from unboxed.regions.model_files import content_digest
from unboxed.regions.networks import load_transformers, photo_prompts
from unboxed.regions.queries import IMAGE_TEXT, model_type
from unboxed.runtime.devices import current_device
from unboxed.types import Array

__all__ = ["ImageTextEncoder", "ImageTextModel"]

_BATCH, _TEXTS = 32, 256


class ImageTextModel:
    """CLIP or SigLIP: embeddings of texts and of images, of length 1. `opened` opens each folder once.

    Args:
        path: local folder.

    Raises:
        RegionsError: transformers is not installed, or a folder without such a model.
    """

    _opened: ClassVar[WeakValueDictionary[tuple[str, str], ImageTextModel]] = WeakValueDictionary()

    def __init__(self, path: Path) -> None:
        self._kind = model_type(str(path))
        if self._kind not in IMAGE_TEXT:
            raise RegionsError(
                f"The labeler {path} is a folder with a model of type {self._kind or 'unknown'}; name an ONNX file, or "
                f"the folder of an image-text encoder of transformers ({', '.join(IMAGE_TEXT)})."
            )
        self._model, self._processor = load_transformers("AutoModel", str(path), "AutoProcessor")
        if getattr(self._processor, "tokenizer", None) is None:
            raise RegionsError(
                f"{path} has no tokenizer; put tokenizer.json and tokenizer_config.json beside its weights."
            )

    @classmethod
    def opened(cls, path: Path) -> ImageTextModel:
        """The model of a folder on the current device; one that is in use already is used again."""
        key = (content_digest(path), str(current_device().torch_device()))
        model = cls._opened.get(key)
        if model is None:
            cls._opened[key] = model = cls(path)
        return model

    def queries(self, texts: Sequence[str]) -> Any:
        """The embeddings `[K, D]` of “a photo of a …”, a tensor."""
        return self._texts(photo_prompts(self._model, self._processor, texts))

    def phrases(self, texts: Sequence[str]) -> Array:
        """The embeddings `[N, D]` of “a photo of …” for phrases, which have articles of their own."""
        padding = "longest" if self._kind == "clip" else "max_length"
        parts = [texts[start : start + _TEXTS] for start in range(0, len(texts), _TEXTS)]
        tokens = (photo_prompts(self._model, self._processor, part, "", padding) for part in parts)
        return np.concatenate([self._texts(of_part).float().cpu().numpy() for of_part in tokens])

    def _texts(self, tokens: Any) -> Any:
        import torch

        if self._kind == "siglip":
            tokens.pop("attention_mask", None)  # it reads the padding
        tokens.pop("token_type_ids", None)
        with torch.inference_mode():
            return _normalized(self._model.get_text_features(**tokens))

    @property
    def side(self) -> int:
        """Of the images, in pixels."""
        return int(self._model.config.vision_config.image_size)

    def images(self, images: list[Image.Image], text_KD: Any) -> tuple[Array, Array]:
        """The scores `[R, K]` in [0, 1] of images for texts, and their embeddings `[R, D]`."""
        import torch

        pixels = self._processor.image_processor(images=images, return_tensors="pt").to(self._model.device)
        with torch.inference_mode():
            image_RD = _normalized(self._model.get_image_features(pixel_values=pixels["pixel_values"]))
            logit_RK = image_RD @ text_KD.T * self._model.logit_scale.exp()
            if (bias := getattr(self._model, "logit_bias", None)) is not None:
                score_RK = (logit_RK + bias).sigmoid()
            else:
                score_RK = logit_RK.softmax(dim=1)
        return score_RK.float().cpu().numpy(), image_RD.float().cpu().numpy()


class ImageTextEncoder:
    """Finds which of K texts a crop shows: CLIP with a softmax over the texts, SigLIP with a sigmoid for each.

    Args:
        path: local folder.
        queries: the K texts; the prompt of each is “a photo of a …”.

    Attributes:
        class_names: the queries.

    Raises:
        RegionsError: no queries, transformers is not installed, or a folder without such a model.
    """

    def __init__(self, path: Path, queries: Sequence[str]) -> None:
        if not queries:
            raise RegionsError(
                f"{path} compares crops with texts, and no queries are given; name them (--queries dog hat ...), or "
                "give captions: `unboxed regions` and `fit` take the nouns of the training captions."
            )
        self.path, self.class_names = path, tuple(queries)
        self._model = ImageTextModel.opened(path)
        self._text_KD = self._model.queries(queries)

    def run_on_crops(self, view: View, boxes: Array) -> tuple[Array, Array]:
        """The scores `[R, K]` in [0, 1] and embeddings `[R, D]` of crops."""
        side = self._model.side
        crops = [Image.fromarray(view.crop(box, side, side)) for box in boxes]
        starts = range(0, len(crops), _BATCH)
        parts = [self._model.images(crops[start : start + _BATCH], self._text_KD) for start in starts]
        scores, embeddings = (np.concatenate(columns) for columns in zip(*parts, strict=True))
        return scores, embeddings


def _normalized(output: Any) -> Any:
    """The embedding of length 1; newer versions of transformers return it as `pooler_output`."""
    embedding = getattr(output, "pooler_output", output)
    return embedding / embedding.norm(dim=-1, keepdim=True)
