"""What an index keeps of an image: its regions' boxes and codes, enough to score and ground captions exactly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple, cast

import numpy as np
import torch

from unboxed.attention.base import RegionEmbeddings
from unboxed.data.collate import collate
from unboxed.inference.batching import Inputs
from unboxed.inference.grounder import Grounder
from unboxed.inference.grounding import ground_together
from unboxed.inference.results import Grounding
from unboxed.recipes.encoded import EncodedCaptions, EncodedImages, encode_captions, encode_images
from unboxed.text.encoding import EncodedCaption
from unboxed.types import Batch, Caption, Regions

__all__ = ["StoredImage", "encoded_captions", "ground_stored", "stored_images", "together"]


class StoredImage(NamedTuple):
    """One image, encoded.

    Attributes:
        width, height: of the image in pixels.
        boxes_R4: float32 pixels.
        label_R: int16, each region's most probable class, -1 for none.
        sure_R: float16, that class's probability.
        evidence_RE: float16, what a semantic prior reads of the regions; E may be 0.
        codes: float16, the model's codes `[R, D]`, or `[1, D]` of the image as a whole.
    """

    width: int
    height: int
    boxes_R4: torch.Tensor
    label_R: torch.Tensor
    sure_R: torch.Tensor
    evidence_RE: torch.Tensor
    codes: tuple[torch.Tensor, ...]


@torch.inference_mode()
def stored_images(grounder: Grounder, regions_B: Sequence[Regions]) -> list[StoredImage]:
    """Encode the regions of images.

    Raises:
        RegionsError: regions of other features or classes than the model was trained on.
    """
    for regions in regions_B:
        grounder.inputs.check(regions)
    batch = grounder.inputs.batch(regions_B, grounder.inputs.encoded([Caption("a")]))
    if batch.region_mask_BR.shape[1] == 1:  # one code an image must differ from one region in each
        pad = torch.nn.functional.pad
        batch = replace(
            batch,
            features_BRV=pad(batch.features_BRV, (0, 0, 0, 1)),
            region_mask_BR=pad(batch.region_mask_BR, (0, 1)),
            evidence_BRK=pad(batch.evidence_BRK, (0, 0, 0, 1)),
        )
    encoded = encode_images(grounder.model, batch)
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
                encoded.evidence_BRE[b, :count].half(),
                tuple(code[b, : 1 if code.shape[1] == 1 else count].half() for code in encoded.regions.tensors),
            )
        )
    return stored


def together(images: Sequence[StoredImage]) -> EncodedImages:
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
    evidence_BRE = torch.zeros(len(images), most, images[0].evidence_RE.shape[1])
    if evidence_BRE.shape[2]:
        for row_RE, image in zip(evidence_BRE, images, strict=True):
            row_RE[: len(image.boxes_R4)] = image.evidence_RE
    return EncodedImages(RegionEmbeddings(tuple(codes), mask_BR), evidence_BRE)


@torch.inference_mode()
def encoded_captions(grounder: Grounder, captions: Sequence[Caption]) -> EncodedCaptions:
    """Captions as the model's queries."""
    return encode_captions(grounder.model, _batch([], grounder.inputs.encoded(captions), None))


def ground_stored(grounder: Grounder, images: Sequence[StoredImage], caption: Caption) -> list[Grounding]:
    """Where the phrases of a caption are in each of the images, as `Grounder.ground_regions` has it."""
    names = grounder.config.class_names
    regions_B = [_StoredRegions.of(image, names) for image in images]
    reader = _Reader(grounder.config, grounder.model, grounder.vocabulary, grounder.prior)
    return [own[0] for own in ground_together(reader, regions_B, [[caption]] * len(images))]


@dataclass(frozen=True, eq=False)
class _StoredRegions(Regions):
    """Regions without features: of their classes only the best is known, and the codes come along."""

    stored: StoredImage | None = field(default=None)

    @staticmethod
    def of(image: StoredImage, class_names: tuple[str, ...]) -> _StoredRegions:
        count = len(image.boxes_R4)
        sure_R = image.sure_R.float().numpy()
        probs_RK = np.zeros((count, len(class_names)), np.float32)
        labelled = np.flatnonzero(image.label_R.numpy() >= 0)
        probs_RK[labelled, image.label_R.numpy()[labelled]] = sure_R[labelled]
        return _StoredRegions(
            boxes=image.boxes_R4.numpy(),
            scores=sure_R if class_names else np.ones(count, np.float32),
            features=np.zeros((count, 0), np.float32),
            class_probs=probs_RK,
            class_names=class_names,
            sources=("index",) * count,
            width=image.width,
            height=image.height,
            stored=image,
        )


class _Reader(Grounder):
    """Grounds in images that were encoded before."""

    @property
    def inputs(self) -> Inputs:
        """What makes batches of them."""
        return _StoredInputs(self.config, self.vocabulary, self.prior)


class _StoredInputs(Inputs):
    """Makes batches of images that were encoded before."""

    def batch(
        self, regions: Sequence[Regions], captions: Sequence[EncodedCaption], image_of_C: Sequence[int] | None = None
    ) -> Batch:
        """One batch of them all, with the photographs' codes."""
        images = [cast(StoredImage, own.stored) for own in regions if isinstance(own, _StoredRegions)]
        return _batch(images, captions, image_of_C)

    def check(self, regions: Regions) -> None:
        """They were checked before they were encoded."""


def _batch(
    images: Sequence[StoredImage], captions: Sequence[EncodedCaption], image_of_C: Sequence[int] | None
) -> Batch:
    """Captions with the codes of images; of none, with an empty one."""
    if not images:
        width = next((own.affinity_PK.shape[1] for own in captions if own.affinity_PK is not None), 0)
        inputs, evidence = [np.zeros((1, 0), np.float32)], [np.zeros((1, width), np.float32)]
        return collate(inputs, captions, [0] * len(captions), evidence_B=evidence)
    inputs = [np.zeros((len(image.boxes_R4), 0), np.float32) for image in images]
    evidence = [image.evidence_RE.float().numpy() for image in images]
    batch = collate(inputs, captions, image_of_C or [0] * len(captions), evidence_B=evidence)
    return replace(batch, codes=together(images).regions)
