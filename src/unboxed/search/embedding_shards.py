"""The files of an index that hold photographs' codes: each complete or not there, each with the list of its own.

An image is known by its content. What a killed call had finished is found again by these lists, and a picture that
lies in two places is encoded once.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from unboxed.errors import SearchError
from unboxed.search.image_embeddings import StoredImage

__all__ = ["CodeShard", "ShardImage", "shard_number", "write_code_shard"]


@dataclass(frozen=True)
class ShardImage:
    """One image of a shard.

    Attributes:
        key: what identifies its content, see `extraction.image_key`.
        width, height: in pixels.
        number: its place in the shard.
        start, count: its regions' rows.
    """

    key: str
    width: int
    height: int
    number: int
    start: int
    count: int


class CodeShard:
    """A shard opened for reading. Its tensors are maps of the file: only what is looked at is read.

    Raises:
        SearchError: damaged, or no shard.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            opened: Any = safe_open(str(path), framework="pt")
            self._tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
            self._metadata = opened.metadata() or {}
            self._codes = int(self._metadata["codes"])
            self.probes_NA = self._tensors["probes"]
        except FileNotFoundError:
            raise SearchError(f"{path} is gone: the index was changed since it was opened; open it again.") from None
        except (SafetensorError, OSError, ValueError, KeyError) as error:
            raise SearchError(
                f"{path} is damaged ({error}). Delete it and run `unboxed index` again: only its images are "
                "encoded anew."
            ) from None

    @property
    def images(self) -> tuple[ShardImage, ...]:
        """The list of what is in it."""
        return tuple(ShardImage(**entry) for entry in json.loads(self._metadata["photos"]))

    def image(self, number: int, start: int, count: int, width: int, height: int) -> StoredImage:
        """One image; the arguments are those of its `ShardImage`."""
        rows = slice(start, start + count)
        codes = tuple(
            self._tensors[f"whole{c}"][number : number + 1]
            if f"whole{c}" in self._tensors
            else self._tensors[f"regions{c}"][rows]
            for c in range(self._codes)
        )
        boxes_R4, label_R, sure_R, class_score_RE = (
            self._tensors[name][rows] for name in ("boxes", "label", "sure", "evidence")
        )
        return StoredImage(width, height, boxes_R4, label_R, sure_R, class_score_RE, codes)


def write_code_shard(
    path: Path, keys: Sequence[str], images: Sequence[StoredImage], probes_NA: torch.Tensor
) -> tuple[ShardImage, ...]:
    """Write a shard, all or nothing.

    Args:
        path: of the file.
        keys: of the contents.
        photos: encoded.
        probes_NA: their scores for the probes.
    """
    entries, start = [], 0
    for number, (key, image) in enumerate(zip(keys, images, strict=True)):
        entries.append(ShardImage(key, image.width, image.height, number, start, len(image.boxes_R4)))
        start += len(image.boxes_R4)
    tensors = {
        "probes": probes_NA.float().contiguous(),
        "boxes": torch.cat([image.boxes_R4 for image in images]),
        "label": torch.cat([image.label_R for image in images]),
        "sure": torch.cat([image.sure_R for image in images]),
        "evidence": torch.cat([image.class_score_RE for image in images]),
    }
    several = any(len(image.boxes_R4) > 1 for image in images)
    for c, parts in enumerate(zip(*(image.codes for image in images), strict=True)):
        whole = several and all(len(part) == 1 for part in parts)
        tensors[f"{'whole' if whole else 'regions'}{c}"] = torch.cat(parts)
    metadata = {"photos": json.dumps([asdict(entry) for entry in entries]), "codes": str(len(images[0].codes))}
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    save_file(tensors, beside, metadata)
    with beside.open("rb") as written:
        os.fsync(written.fileno())
    beside.replace(path)
    return tuple(entries)


def shard_number(path: Path) -> int:
    """`000012.safetensors` -> 12."""
    return int(path.stem)
