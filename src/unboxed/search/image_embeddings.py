"""What an index keeps of an image: its regions' boxes and codes, enough to score and ground captions exactly."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from unboxed.attention.base import RegionEmbeddings
from unboxed.inference.grounder import Grounder
from unboxed.inference.grounding import ground_embedded
from unboxed.inference.results import Grounding
from unboxed.recipes.embeddings import ImageEmbeddings
from unboxed.types import Caption, ImageBatch, Regions

__all__ = ["StoredImage", "ground_stored", "stored_images", "together"]


class StoredImage(NamedTuple):
    """One image, encoded.

    Attributes:
        width, height: of the image in pixels.
        boxes_R4: float32 pixels.
        label_R: int16, each region's most probable class, -1 for none.
        sure_R: float16, that class's probability.
        class_score_RE: float16, the class scores of the semantic prior; E may be 0.
        codes: float16, the model's codes `[R, D]`, or `[1, D]` of the image as a whole.
    """

    width: int
    height: int
    boxes_R4: torch.Tensor
    label_R: torch.Tensor
    sure_R: torch.Tensor
    class_score_RE: torch.Tensor
    codes: tuple[torch.Tensor, ...]


@torch.inference_mode()
def stored_images(grounder: Grounder, regions_B: Sequence[Regions]) -> list[StoredImage]:
    """Encode the regions of images.

    Raises:
        RegionsError: regions of other features or classes than the model was trained on.
    """
    for regions in regions_B:
        grounder.batcher.check(regions)
    batch = grounder.batcher.images(regions_B)
    if batch.mask_BR.shape[1] == 1:  # one vector an image must differ from one region in each
        pad = torch.nn.functional.pad
        batch = ImageBatch(
            inputs_BRV=pad(batch.inputs_BRV, (0, 0, 0, 1)),
            edges_BR4=pad(batch.edges_BR4, (0, 0, 0, 1)),
            mask_BR=pad(batch.mask_BR, (0, 1)),
            class_score_BRE=pad(batch.class_score_BRE, (0, 0, 0, 1)),
        )
    encoded = grounder.model.encode_images(batch)
    stored = []
    for b, regions in enumerate(regions_B):
        count = len(regions)
        label_R, sure_R = np.full(count, -1, np.int16), np.zeros(count, np.float16)
        if regions.class_names:
            sure_R = regions.class_probs.max(axis=1).astype(np.float16)
            label_R = np.where(sure_R > 0, regions.class_probs.argmax(axis=1), -1).astype(np.int16)
        stored.append(
            StoredImage(
                regions.width,
                regions.height,
                torch.from_numpy(regions.boxes.copy()),
                torch.from_numpy(label_R),
                torch.from_numpy(sure_R),
                encoded.class_score_BRE[b, :count].half(),
                tuple(code[b, : 1 if code.shape[1] == 1 else count].half() for code in encoded.regions.tensors),
            )
        )
    return stored


def together(images: Sequence[StoredImage]) -> ImageEmbeddings:
    """Images padded to one block, in single precision."""
    counts = [len(image.boxes_R4) for image in images]
    most = max(counts)
    mask_BR = torch.arange(most) < torch.tensor(counts)[:, None]
    codes = []
    for parts in zip(*(image.codes for image in images), strict=True):
        whole = all(len(part) == 1 for part in parts) and most > 1
        block_BRD = torch.zeros(len(parts), 1 if whole else most, parts[0].shape[1])
        for row_RD, part in zip(block_BRD, parts, strict=True):
            row_RD[: len(part)] = part
        codes.append(block_BRD)
    class_score_BRE = torch.zeros(len(images), most, images[0].class_score_RE.shape[1])
    if class_score_BRE.shape[2]:
        for row_RE, image in zip(class_score_BRE, images, strict=True):
            row_RE[: len(image.boxes_R4)] = image.class_score_RE
    return ImageEmbeddings(RegionEmbeddings(tuple(codes), mask_BR), class_score_BRE)


def ground_stored(grounder: Grounder, images: Sequence[StoredImage], caption: Caption) -> list[Grounding]:
    """Where the phrases of a caption are in each of the images, as `Grounder.ground_regions` gives it."""
    regions_B = [_regions(image, grounder.config.class_names) for image in images]
    found = ground_embedded(grounder, together(images), regions_B, [[caption]] * len(images))
    return [groundings[0] for groundings in found]


def _regions(image: StoredImage, class_names: tuple[str, ...]) -> Regions:
    """Regions without features: of their classes only the most probable is known."""
    count = len(image.boxes_R4)
    sure_R = image.sure_R.float().numpy()
    probs_RK = np.zeros((count, len(class_names)), np.float32)
    labelled = np.flatnonzero(image.label_R.numpy() >= 0)
    probs_RK[labelled, image.label_R.numpy()[labelled]] = sure_R[labelled]
    return Regions(
        boxes=image.boxes_R4.numpy(),
        scores=sure_R if class_names else np.ones(count, np.float32),
        features=np.zeros((count, 0), np.float32),
        class_probs=probs_RK,
        class_names=class_names,
        sources=("index",) * count,
        width=image.width,
        height=image.height,
    )
