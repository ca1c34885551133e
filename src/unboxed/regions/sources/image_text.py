"""Image-text encoders of transformers (CLIP, SigLIP) that compare crops of regions with queries."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from unboxed.errors import RegionsError
from unboxed.regions.image_view import View
from unboxed.regions.networks import load_transformers, photo_prompts
from unboxed.regions.queries import IMAGE_TEXT, model_type
from unboxed.types import Array

__all__ = ["ImageTextEncoder"]

_BATCH = 32


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
        import torch

        if (found := model_type(str(path))) not in IMAGE_TEXT:
            raise RegionsError(
                f"The labeler {path} is a folder with a model of type {found or 'unknown'}; name an ONNX file, or the "
                f"folder of an image-text encoder of transformers ({', '.join(IMAGE_TEXT)})."
            )
        if not queries:
            raise RegionsError(
                f"{path} compares crops with texts, and no queries are given; name them (--queries dog hat ...), or "
                "give captions: `unboxed regions` and `fit` take the nouns of the training captions."
            )
        self.path, self.class_names = path, tuple(queries)
        self._model, self._processor = load_transformers("AutoModel", str(path), "AutoProcessor")
        if getattr(self._processor, "tokenizer", None) is None:
            raise RegionsError(
                f"{path} has no tokenizer; put tokenizer.json and tokenizer_config.json beside its weights."
            )
        tokens = photo_prompts(self._model, self._processor, queries)
        if found == "siglip":
            tokens.pop("attention_mask", None)  # it reads the padding
        tokens.pop("token_type_ids", None)
        with torch.inference_mode():
            self._text_KD = _normalized(self._model.get_text_features(**tokens))

    def run_on_crops(self, view: View, boxes: Array) -> tuple[Array, Array]:
        """The scores `[R, K]` in [0, 1] and embeddings `[R, D]` of crops, computed once for an image and its boxes."""
        key = (self.path, boxes.tobytes())
        if key not in view.computed:
            side = int(self._model.config.vision_config.image_size)
            crops = [Image.fromarray(view.crop(box, side, side)) for box in boxes]
            parts = [self._run(crops[start : start + _BATCH]) for start in range(0, len(crops), _BATCH)]
            view.computed[key] = tuple(np.concatenate(columns) for columns in zip(*parts, strict=True))
        scores, embeddings = view.computed[key]
        return scores, embeddings

    def _run(self, crops: list[Image.Image]) -> tuple[Array, Array]:
        import torch

        pixels = self._processor.image_processor(images=crops, return_tensors="pt").to(self._model.device)
        with torch.inference_mode():
            image_RD = _normalized(self._model.get_image_features(pixel_values=pixels["pixel_values"]))
            logit_RK = image_RD @ self._text_KD.T * self._model.logit_scale.exp()
            if (bias := getattr(self._model, "logit_bias", None)) is not None:
                score_RK = (logit_RK + bias).sigmoid()
            else:
                score_RK = logit_RK.softmax(dim=1)
        return score_RK.float().cpu().numpy(), image_RD.float().cpu().numpy()


def _normalized(output: Any) -> Any:
    """The embedding of length 1; newer versions of transformers return it as `pooler_output`."""
    embedding = getattr(output, "pooler_output", output)
    return embedding / embedding.norm(dim=-1, keepdim=True)
