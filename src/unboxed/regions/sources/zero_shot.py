"""Zero-shot object detectors of transformers, which look for what a text names: OWL-ViT, OWLv2 and Grounding DINO.

`open_zero_shot` reads one, which is then asked for any texts; `ZeroShotDetector` is a detector whose classes are the
`queries` of the region settings, as a rule the nouns of the training captions:

    model = open_zero_shot("owlv2-base")
    found = model.detect(View(image, image.size), ("dog", "red frisbee"))      # boxes [N, 4], class_scores [N, 2]
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from PIL import Image

from unboxed.errors import RegionsError
from unboxed.regions.base import Detections
from unboxed.regions.image_batches import ImageBatches
from unboxed.regions.image_view import View
from unboxed.regions.networks import load_transformers, photo_prompts
from unboxed.regions.queries import GROUNDING_DINO, OTHER_ZERO_SHOT, OWL, model_type
from unboxed.regions.sources.detector_layouts import corners

__all__ = ["GroundingDino", "Owl", "ZeroShotDetector", "ZeroShotModel", "open_zero_shot"]

_KEPT = 300  # boxes of one prompt of Grounding DINO


class ZeroShotModel(ABC):
    """A model that finds boxes of what texts name.

    Args:
        name: hub name or local folder.

    Raises:
        RegionsError: transformers is not installed, or there is no such model.
    """

    types: ClassVar[tuple[str, ...]]
    """The values of `model_type` in config.json that it reads."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._model, self._processor = load_transformers("AutoModelForZeroShotObjectDetection", name, "AutoProcessor")
        self._found = ImageBatches(self._run, self._model.device)
        if getattr(self._processor, "tokenizer", None) is None:
            raise RegionsError(
                f"{name} has no tokenizer, so it cannot be asked for texts; put tokenizer.json and "
                "tokenizer_config.json of the model beside its weights."
            )

    @abstractmethod
    def detect(self, view: View, queries: Sequence[str]) -> Detections:
        """All boxes in pixels of the image, before suppression, and their scores `[N, K]` in [0, 1] of K >= 1 texts."""

    @abstractmethod
    def _run(self, inputs: dict[str, Any], asked: Any) -> tuple[Any, Any]:
        """Boxes `[n, N, 4]` and scores of n images, for `ImageBatches`."""

    def _pixels(self, view: View) -> dict[str, Any]:
        whole = Image.fromarray(view.resized(*view.original_size).pixels)
        return dict(self._processor.image_processor(images=whole, return_tensors="pt"))


class Owl(ZeroShotModel):
    """OWL-ViT and OWLv2: every patch of the image has a box, and its embedding is compared with those of the texts."""

    types = OWL

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._embedded: dict[str, Any] = {}  # of a text, `[D]`; the texts are the same for all images of a store

    def detect(self, view: View, queries: Sequence[str]) -> Detections:
        """One box for each patch of the image."""
        box_N4, score_NK = self._found({"pixel_values": self._pixels(view)["pixel_values"]}, tuple(queries))
        width, height = view.size
        if self._model.config.model_type == "owlv2":  # pads the image as it was to a square, below or on the right
            original = np.array(view.original_size, np.float32)
            width, height = (np.array(view.size) * original.max() / original).tolist()
        boxes = corners(box_N4) * np.array([width, height] * 2, np.float32)
        return Detections(boxes.astype(np.float32), score_NK)

    def _run(self, inputs: dict[str, Any], asked: Sequence[str]) -> tuple[Any, Any]:
        # `forward` of the model, but for the texts, which it would encode again for every image.
        embedding_KD = self._embeddings(asked)
        map_nhwD = self._model.image_embedder(pixel_values=inputs["pixel_values"])[0]
        patch_nND = map_nhwD.flatten(1, 2)
        logit_nNK = self._model.class_predictor(patch_nND, embedding_KD.expand(len(patch_nND), -1, -1))[0]
        return self._model.box_predictor(patch_nND, map_nhwD), logit_nNK.float().sigmoid()

    def _embeddings(self, queries: Sequence[str]) -> Any:
        """`[K, D]` of “a photo of a …”, the prompt of the paper's evaluation."""
        import torch

        new = [query for query in dict.fromkeys(queries) if query not in self._embedded]
        if new:
            tokens = photo_prompts(self._model, self._processor, new)
            encoder = self._model.owlvit if hasattr(self._model, "owlvit") else self._model.owlv2
            output = encoder.get_text_features(input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"])
            self._embedded |= dict(zip(new, getattr(output, "pooler_output", output), strict=True))
        return torch.stack([self._embedded[query] for query in queries])


class GroundingDino(ZeroShotModel):
    """Grounding DINO: texts in one prompt, “dog. red frisbee.”; a text's score is the best one of its tokens.

    Texts that do not fit into one prompt are asked for in several, each of which runs the model again.
    """

    types = GROUNDING_DINO

    def detect(self, view: View, queries: Sequence[str]) -> Detections:
        """The best 300 boxes of each prompt; the scores of texts of other prompts are 0."""
        pixels = self._pixels(view)
        boxes, scores = [], []
        for ids, spans in self._prompts(queries):
            box_N4, probability_NT = self._found(pixels, tuple(ids))
            score_NK = np.zeros((len(probability_NT), len(queries)), np.float32)
            for k, tokens_of in spans.items():
                score_NK[:, k] = probability_NT[:, tokens_of].max(axis=1)
            best = np.argsort(-score_NK.max(axis=1), kind="stable")[:_KEPT]
            boxes.append(box_N4[best])
            scores.append(score_NK[best])
        found = corners(np.concatenate(boxes)) * np.array([*view.size] * 2, np.float32)
        return Detections(found.astype(np.float32), np.concatenate(scores))

    def _run(self, inputs: dict[str, Any], asked: Sequence[int]) -> tuple[Any, Any]:
        import torch

        tokens = torch.tensor([asked] * len(inputs["pixel_values"]), device=self._model.device)
        mask = torch.ones_like(tokens)
        output = self._model(**inputs, input_ids=tokens, attention_mask=mask, token_type_ids=torch.zeros_like(tokens))
        return output.pred_boxes, output.logits.float().sigmoid()

    def _prompts(self, queries: Sequence[str]) -> list[tuple[list[int], dict[int, slice]]]:
        """Token ids of each prompt, `[CLS] dog . red frisbee . [SEP]`, and the tokens of each text in it."""
        tokenizer = self._processor.tokenizer
        longest = int(self._model.config.max_text_len)
        dot = tokenizer(".", add_special_tokens=False)["input_ids"]
        prompts: list[tuple[list[int], dict[int, slice]]] = []
        for k, query in enumerate(queries):
            ids = tokenizer(query.lower().replace(".", " "), add_special_tokens=False)["input_ids"]
            ids = ids[: longest - 2 - len(dot)] or [tokenizer.unk_token_id]
            if not prompts or len(prompts[-1][0]) + len(ids) + len(dot) + 1 > longest:
                prompts.append(([tokenizer.cls_token_id], {}))
            prompt, spans = prompts[-1]
            spans[k] = slice(len(prompt), len(prompt) + len(ids))
            prompt += [*ids, *dot]
        return [([*prompt, tokenizer.sep_token_id], spans) for prompt, spans in prompts]


class ZeroShotDetector:
    """A zero-shot model as a detector of fixed classes, for the regions of all images of a dataset.

    Args:
        name: hub name or local folder.
        queries: the K texts.

    Attributes:
        class_names: the queries.

    Raises:
        RegionsError: no queries, or no such model.
    """

    def __init__(self, name: str, queries: Sequence[str]) -> None:
        if not queries:
            raise RegionsError(
                f"{name} finds what it is asked for, and no queries are given; name them (--queries dog hat ...), or "
                "give captions: `unboxed regions` and `fit` ask for the nouns of the training captions."
            )
        self.class_names = tuple(queries)
        self._model = open_zero_shot(name)

    def detect(self, view: View) -> Detections:
        """All boxes in pixels of the image, before suppression."""
        return self._model.detect(view, self.class_names)


def open_zero_shot(name: str) -> ZeroShotModel:
    """The zero-shot model of transformers with this hub name or in this local folder.

    Raises:
        RegionsError: transformers is not installed, there is no such model, or it is of another kind.
    """
    found = model_type(name)
    kinds: tuple[type[ZeroShotModel], ...] = (Owl, GroundingDino)
    for kind in kinds:
        if found in kind.types:
            return kind(name)
    known = ", ".join(name for kind in kinds for name in kind.types)
    why = " (its output has another form)" if found in OTHER_ZERO_SHOT else ""
    raise RegionsError(
        f"{name} is a model of type {found or 'unknown'}{why}, not a zero-shot detector known here ({known}); name one "
        "of these, such as google/owlv2-base-patch16-ensemble or IDEA-Research/grounding-dino-tiny."
    )
