"""What an index stores of an image: the boxes and embeddings of its regions. And the files that hold them, the shards.

A stored image is enough to score and ground captions exactly. A shard is written atomically and lists its images by
content, so that the work of a call that was killed is found again, and an image that has two names is encoded once.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError, safe_open

from unboxed.attention.base import RegionEmbeddings
from unboxed.data.images import is_possible_size
from unboxed.errors import SearchError, plain_reason
from unboxed.inference.grounder import Grounder
from unboxed.inference.grounding import ground_embedded
from unboxed.inference.results import Grounding
from unboxed.recipes.embeddings import ImageEmbeddings, pad_images
from unboxed.runtime.tensor_digests import check_tensor_file
from unboxed.runtime.tensor_file import write_tensor_file
from unboxed.types import Caption, ImageBatch, Regions, detected

__all__ = [
    "Shard",
    "ShardEntry",
    "StoredImage",
    "encode_for_index",
    "ground_stored",
    "image_batch",
    "shard_path",
    "write_shard",
]


class StoredImage(NamedTuple):
    """One encoded image.

    Attributes:
        width, height: of the image in pixels.
        boxes_R4: float32 pixels.
        class_R: int16, the most probable class of each region, -1 for none.
        class_prob_R: float16, the probability of that class.
        class_score_RE: float16, the semantic prior's row of each region; E is 0 without a prior.
        embeddings: float16, the tensors of `RegionEmbeddings` for this image, `[R, D]`, or `[1, D]` for one of the
            whole image.
    """

    width: int
    height: int
    boxes_R4: torch.Tensor
    class_R: torch.Tensor
    class_prob_R: torch.Tensor
    class_score_RE: torch.Tensor
    embeddings: tuple[torch.Tensor, ...]


@torch.inference_mode()
def encode_for_index(grounder: Grounder, regions_B: Sequence[Regions]) -> list[StoredImage]:
    """Encode the regions of images.

    Raises:
        RegionsError: regions of other features or classes than the model was trained on.
    """
    for regions in regions_B:
        grounder.batcher.check(regions)
    batch = grounder.batcher.images(regions_B)
    if batch.mask_BR.shape[1] == 1:  # an axis of length 1 must mean the whole image, not the one region of each
        pad = torch.nn.functional.pad
        batch = ImageBatch(
            inputs_BRV=pad(batch.inputs_BRV, (0, 0, 0, 1)),
            edges_BR4=pad(batch.edges_BR4, (0, 0, 0, 1)),
            mask_BR=pad(batch.mask_BR, (0, 1)),
            class_score_BRE=pad(batch.class_score_BRE, (0, 0, 0, 1)),
            label_BR=None if batch.label_BR is None else pad(batch.label_BR, (0, 1)),
            blocks_BRM=None if batch.blocks_BRM is None else pad(batch.blocks_BRM, (0, 0, 0, 1)),
        )
    encoded = grounder.model.encode_images(batch).to("cpu")
    stored = []
    for b, regions in enumerate(regions_B):
        count = len(regions)
        class_R, class_prob_R = np.full(count, -1, np.int16), np.zeros(count, np.float16)
        if regions.class_names:
            found_RK = regions.class_probs * detected(regions.class_names)
            class_prob_R = regions.confidence.astype(np.float16)
            class_R = np.where(class_prob_R > 0, found_RK.argmax(axis=1), -1).astype(np.int16)
        stored.append(
            StoredImage(
                regions.width,
                regions.height,
                torch.from_numpy(regions.boxes.copy()),
                torch.from_numpy(class_R),
                torch.from_numpy(class_prob_R),
                encoded.class_score_BRE[b, :count].half(),
                tuple(part[b, : 1 if part.shape[1] == 1 else count].half() for part in encoded.regions.tensors),
            )
        )
    return stored


def image_batch(images: Sequence[StoredImage]) -> ImageEmbeddings:
    """The embeddings of B images, at least one, padded to one batch in single precision."""
    halves = pad_images(
        [
            ImageEmbeddings(
                RegionEmbeddings(
                    tuple(part[None] for part in image.embeddings), torch.ones(1, len(image.boxes_R4), dtype=torch.bool)
                ),
                image.class_score_RE[None],
            )
            for image in images
        ]
    )
    tensors = tuple(part.float() for part in halves.regions.tensors)
    return ImageEmbeddings(RegionEmbeddings(tensors, halves.regions.mask_BR), halves.class_score_BRE.float())


def ground_stored(grounder: Grounder, images: Sequence[StoredImage], caption: Caption) -> list[Grounding]:
    """The phrases of a caption grounded in each of the images, as `Grounder.ground_regions` does it."""
    regions_B = [_regions(image, grounder.config.class_names) for image in images]
    found = ground_embedded(grounder.parts, image_batch(images), regions_B, [[caption]] * len(images))
    return [groundings[0] for groundings in found]


def _regions(image: StoredImage, class_names: tuple[str, ...]) -> Regions:
    """Regions without features, and with the probability of the most probable class only."""
    count = len(image.boxes_R4)
    class_R, class_prob_R = image.class_R.numpy(), image.class_prob_R.float().numpy()
    probs_RK = np.zeros((count, len(class_names)), np.float32)
    classified = np.flatnonzero(class_R >= 0)
    probs_RK[classified, class_R[classified]] = class_prob_R[classified]
    return Regions(
        boxes=image.boxes_R4.numpy(),
        scores=class_prob_R if class_names else np.ones(count, np.float32),
        features=np.zeros((count, 0), np.float32),
        class_probs=probs_RK,
        class_names=class_names,
        sources=("index",) * count,
        width=image.width,
        height=image.height,
    )


@dataclass(frozen=True)
class ShardEntry:
    """One image of a shard.

    Attributes:
        key: identifies its content, as `image_key` gives it.
        width, height: in pixels.
        number: its row among the images of the shard.
        start, count: its rows among the regions of the shard.
    """

    key: str
    width: int
    height: int
    number: int
    start: int
    count: int


class Shard:
    """A shard opened for reading. Its tensors are maps of the file, so that only the rows in use are read.

    Attributes:
        path: the file.
        entries: its images.
        anchor_score_NA: their exact scores for the anchor captions.

    Raises:
        SearchError: the file is damaged or gone.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            check_tensor_file(path)
            opened: Any = safe_open(str(path), framework="pt")
            self._tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
            metadata = opened.metadata() or {}
            self._embeddings = int(metadata["codes"])
            if not 0 <= self._embeddings <= len(self._tensors):
                raise ValueError(f"{self._embeddings} embeddings in {len(self._tensors)} tensors")
            self.entries = tuple(ShardEntry(**entry) for entry in json.loads(metadata["photos"]))
            self.anchor_score_NA = self._tensors["probes"]
            self._check()
        except FileNotFoundError:
            raise SearchError(f"{path} is gone: the index was changed since it was opened; open it again.") from None
        except (SafetensorError, OSError, ValueError, OverflowError, KeyError, TypeError, RecursionError) as error:
            raise SearchError(
                f"{path} is damaged ({plain_reason(error)}). "
                "Delete it and run `unboxed index` again: only its images are "
                "encoded again."
            ) from error

    def _check(self) -> None:
        """Raise an error where the tensors and the list of images do not fit each other."""
        rows, images = sum(entry.count for entry in self.entries), len(self.entries)
        parts = [f"whole{i}" if f"whole{i}" in self._tensors else f"regions{i}" for i in range(self._embeddings)]
        for name in ("boxes", "label", "sure", "evidence", "probes", *parts):
            tensor, axes = self._tensors[name], 1 if name in ("label", "sure") else 2
            expected = images if name == "probes" or name.startswith("whole") else rows
            if tensor.ndim != axes or len(tensor) != expected or tensor.is_floating_point() == (name == "label"):
                raise ValueError(f"{name} is {tensor.dtype} {list(tensor.shape)} for {images} images")
        for entry in self.entries:
            in_shard = 0 <= entry.number < images and 0 <= entry.start <= entry.start + entry.count <= rows
            if not in_shard or not is_possible_size(entry.width, entry.height):
                raise ValueError("its list of images has wrong numbers")

    def image(self, number: int, start: int, count: int, width: int, height: int) -> StoredImage:
        """One image; the arguments are those of its `ShardEntry`."""
        rows = slice(start, start + count)
        embeddings = tuple(
            self._tensors[f"whole{i}"][number : number + 1]
            if f"whole{i}" in self._tensors
            else self._tensors[f"regions{i}"][rows]
            for i in range(self._embeddings)
        )
        boxes_R4, class_R, class_prob_R, class_score_RE = (
            self._tensors[name][rows] for name in ("boxes", "label", "sure", "evidence")
        )
        return StoredImage(width, height, boxes_R4, class_R, class_prob_R, class_score_RE, embeddings)


def write_shard(
    path: Path, keys: Sequence[str], images: Sequence[StoredImage], anchor_score_NA: torch.Tensor
) -> tuple[ShardEntry, ...]:
    """Write a shard atomically, and return its entries.

    Args:
        path: the file.
        keys: of the images' contents.
        images: at least one.
        anchor_score_NA: their exact scores for the anchor captions.
    """
    entries, start = [], 0
    for number, (key, image) in enumerate(zip(keys, images, strict=True)):
        entries.append(ShardEntry(key, image.width, image.height, number, start, len(image.boxes_R4)))
        start += len(image.boxes_R4)
    # The names of the tensors and of the metadata are those of the first version of the format.
    tensors = {
        "probes": anchor_score_NA.float(),
        "boxes": torch.cat([image.boxes_R4 for image in images]),
        "label": torch.cat([image.class_R for image in images]),
        "sure": torch.cat([image.class_prob_R for image in images]),
        "evidence": torch.cat([image.class_score_RE for image in images]),
    }
    several = any(len(image.boxes_R4) > 1 for image in images)
    for i, parts in enumerate(zip(*(image.embeddings for image in images), strict=True)):
        whole = several and all(len(part) == 1 for part in parts)
        tensors[f"{'whole' if whole else 'regions'}{i}"] = torch.cat(parts)
    metadata = {"photos": json.dumps([asdict(entry) for entry in entries]), "codes": str(len(images[0].embeddings))}
    write_tensor_file(path, tensors, metadata)
    return tuple(entries)


def shard_path(folder: Path, number: int) -> Path:
    """The file of a shard: 12 -> `000012.safetensors`."""
    return folder / f"{number:06d}.safetensors"
